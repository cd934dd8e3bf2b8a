// SPDX-License-Identifier: GPL-2.0

//! POSIX timers.

use ckptfmt::format::timer::cpu_clock;
use ckptfmt::format::timer::notify;
use ckptfmt::format::timer::timer_flags;
use ckptfmt::format::timer::Timer;
use serde_json::json;
use serde_json::Value;

use crate::json::hex;
use crate::text;
use crate::time;

fn clock(timer: &Timer) -> String {
    let of = |what: &str| format!("{what} of thread {}", timer.clock_tid);
    match timer.clock {
        0 => "real time".into(),
        1 => "monotonic".into(),
        7 => "boot time".into(),
        11 => "TAI".into(),
        cpu_clock::PROCESS_SCHED => "CPU time".into(),
        cpu_clock::PROCESS_PROF => "CPU ticks".into(),
        cpu_clock::PROCESS_VIRT => "user time".into(),
        cpu_clock::THREAD_SCHED => of("CPU time"),
        cpu_clock::THREAD_PROF => of("CPU ticks"),
        cpu_clock::THREAD_VIRT => of("user time"),
        other => format!("clock {other}"),
    }
}

fn has(timer: &Timer, flag: u32) -> bool {
    timer.flags & flag != 0
}

/// How often it has expired since its signal waits.
fn times(timer: &Timer) -> i64 {
    timer.overrun.saturating_add(1)
}

/// A timer in one line.
pub fn text(timer: &Timer) -> String {
    let mut line = clock(timer);
    line.push_str(&match (timer.value, timer.interval) {
        (0, _) => ": stopped".into(),
        (value, 0) => format!(": {} left, once", time::span(value)),
        (value, every) => format!(": {} left, every {}", time::span(value), time::span(every)),
    });
    if timer.notify == notify::NONE {
        line.push_str("; no signal");
    } else {
        let signal = text::signal(usize::try_from(timer.signo).unwrap_or_default());
        line.push_str(&format!("; {signal}, value {:#x}", timer.sigval));
    }
    if timer.tid != 0 {
        line.push_str(&format!(", to thread {}", timer.tid));
    }
    if has(timer, timer_flags::ABSOLUTE) {
        line.push_str("; moves with the clock");
    }
    if has(timer, timer_flags::PENDING) {
        line.push_str(&format!("; pending, {} times", times(timer).max(1)));
    }
    if has(timer, timer_flags::IGNORED) {
        line.push_str("; ignored");
    }
    line
}

/// One of them.
pub fn json(timer: &Timer) -> Value {
    json!({
        "id": timer.id,
        "clock": clock(timer),
        "clock_number": timer.clock,
        "clock_thread": (timer.clock_tid != 0).then_some(timer.clock_tid),
        "notify": timer.notify,
        "signal": timer.signo,
        "thread": (timer.tid != 0).then_some(timer.tid),
        "value": hex(timer.sigval),
        "remaining_ns": timer.value.to_string(),
        "interval_ns": timer.interval.to_string(),
        "absolute": has(timer, timer_flags::ABSOLUTE),
        "pending": has(timer, timer_flags::PENDING),
        "ignored": has(timer, timer_flags::IGNORED),
        "overrun": timer.overrun.to_string(),
        "last_overrun": timer.overrun_last.to_string(),
        "text": text(timer),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_timer_is_told() {
        for clock in (-10..20).chain([i32::MIN, i32::MAX]) {
            for signo in [i32::MIN, 0, 1, 64, i32::MAX] {
                let mut timer = Timer::zeroed();
                (timer.clock, timer.signo, timer.flags) = (clock, signo, u32::MAX);
                timer.overrun = i64::MAX;
                assert!(!text(&timer).is_empty());
            }
        }
        let mut timer = Timer::zeroed();
        (timer.clock, timer.notify) = (7, notify::NONE);
        assert_eq!(text(&timer), "boot time: stopped; no signal");
    }
}
