// SPDX-License-Identifier: GPL-2.0

//! How slow this kernel is: one with every checker on takes many times as long.

/// Environment variable: what is repeated is not thinned out, on no kernel.
pub const FULL: &str = "CKPT_FULL";

/// Time limits are multiplied by this.
pub fn factor() -> u64 {
    let checked = ["/proc/lockdep_stats", "/sys/kernel/debug/kmemleak"];
    if checked
        .iter()
        .any(|path| std::path::Path::new(path).exists())
    {
        8
    } else {
        1
    }
}

/// Is nothing to be thinned out?
pub fn is_full() -> bool {
    std::env::var_os(FULL).is_some()
}

/// What is repeated is repeated one in so many times.
pub fn thinning() -> u64 {
    if is_full() {
        1
    } else {
        factor()
    }
}

/// The time limit of a whole program is multiplied by this.
pub fn whole() -> u64 {
    factor() * factor() / thinning()
}
