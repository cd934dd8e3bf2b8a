// SPDX-License-Identifier: GPL-2.0

//! What the numbers depend on: fixed where it can be, printed with them.

use anyhow::ensure;
use anyhow::Result;
use serde_json::json;

const THP: &str = "/sys/kernel/mm/transparent_hugepage/enabled";
const KSM: &str = "/sys/kernel/mm/ksm/run";

/// CPU features that change how bytes are copied and summed.
const FEATURES: [&str; 5] = ["erms", "fsrm", "sse4_2", "pclmulqdq", "avx512f"];

/// Sets huge pages to "only where asked for", KSM off; prints what holds.
pub fn fix_and_print() -> Result<()> {
    // Absent without the option, which is as good.
    let _ = std::fs::write(THP, "madvise");
    let _ = std::fs::write(KSM, "0");
    let read = |path: &str| match std::fs::read_to_string(path) {
        Ok(text) => text.trim().to_string(),
        Err(_) => "not built".to_string(),
    };
    let cpuinfo = read("/proc/cpuinfo");
    let field = |name: &str| {
        cpuinfo
            .lines()
            .find(|line| line.starts_with(name))
            .and_then(|line| line.split_once(':'))
            .map_or(String::new(), |(_, value)| value.trim().to_string())
    };
    let flags = field("flags");
    let has = |flag: &&&str| flags.split(' ').any(|f| f == **flag);
    let features: Vec<&str> = FEATURES.iter().filter(has).copied().collect();
    let cpus = cpuinfo
        .lines()
        .filter(|l| l.starts_with("processor"))
        .count();
    ensure!(
        cpus == 1,
        "{cpus} CPUs; with more than one, time is not a count"
    );
    println!(
        "{}",
        json!({
            "kind": "settings",
            "kernel": read("/proc/sys/kernel/osrelease"),
            "cpu": field("model name"),
            "features": features,
            "thp": read(THP),
            "shmem_thp": read("/sys/kernel/mm/transparent_hugepage/shmem_enabled"),
            "ksm": read(KSM),
            "clocksource": read("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        })
    );
    Ok(())
}
