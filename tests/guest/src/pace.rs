// SPDX-License-Identifier: GPL-2.0

//! How slow this kernel is: one with every checker on takes many times as long.

/// Time limits are multiplied by this, and long sweeps are thinned out by it.
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
