// SPDX-License-Identifier: GPL-2.0

//! Times in nanoseconds, for people.

/// A time in nanoseconds since 1970, as UTC.
pub fn utc(ns: u64) -> String {
    let [year, month, day, hour, minute, second] = ckpttool::date(ns / 1_000_000_000);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// The time of a file in seconds since 1970, with the nanoseconds as a fraction: as touch(1)
/// takes it and stat(1) prints it.
pub fn of_file(sec: i64, nsec: u32) -> String {
    let whole = i128::from(sec).saturating_mul(1_000_000_000);
    let ns = whole.saturating_add(i128::from(nsec));
    let sign = if ns < 0 { "-" } else { "" };
    let ns = ns.unsigned_abs();
    format!("{sign}{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000)
}

/// Seconds with three digits.
pub fn seconds(ns: u64) -> String {
    format!("{}.{:03} s", ns / 1_000_000_000, ns / 1_000_000 % 1000)
}

/// A span of time in the two units that matter; only zero is none.
pub fn span(ns: u64) -> String {
    let all = ns / 1_000_000_000;
    let (days, hours, minutes) = (all / 86_400, all / 3600 % 24, all / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) if ns == 0 => "no time".into(),
        (0, 0, 0) if ns < 1_000_000 => format!("{ns} ns"),
        (0, 0, 0) if all == 0 => {
            format!("{}.{:03} ms", ns / 1_000_000, ns / 1000 % 1000)
        }
        (0, 0, 0) => seconds(ns),
        (0, 0, _) => format!("{minutes} min {} s", all % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{} {hours} h", super::text::count(days, "day")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(utc(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(utc(951_782_399_000_000_000), "2000-02-28 23:59:59 UTC");
        assert_eq!(utc(1_790_000_000_000_000_000), "2026-09-21 14:13:20 UTC");
        assert_eq!(utc(u64::MAX), "2554-07-21 23:34:33 UTC");
    }

    #[test]
    fn times_of_files_are_exact() {
        assert_eq!(of_file(1_796_037_461, 43_234_264), "1796037461.043234264");
        assert_eq!(of_file(-2, 999_999_999), "-1.000000001");
        assert_eq!(of_file(-1, 0), "-1.000000000");
        assert_eq!(of_file(0, 0), "0.000000000");
        assert_eq!(of_file(i64::MIN, 0), "-9223372036854775808.000000000");
    }

    #[test]
    fn spans_have_units_that_fit() {
        let second = 1_000_000_000;
        for (ns, text) in [
            (0, "no time"),
            (999_999, "999999 ns"),
            (1_000_000, "1.000 ms"),
            (999_999_999, "999.999 ms"),
            (1_500_000_000, "1.500 s"),
            (60 * second, "1 min 0 s"),
            (3599 * second, "59 min 59 s"),
            (7260 * second, "2 h 1 min"),
            (90_000 * second, "1 day 1 h"),
            (u64::MAX, "213503 days 23 h"),
        ] {
            assert_eq!(span(ns), text);
        }
    }
}
