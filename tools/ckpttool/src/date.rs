// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! The calendar.

/// Year, month, day, hour, minute and second of a time in seconds since 1970, as UTC.
pub fn date(seconds: u64) -> [u64; 6] {
    let (day, rest) = (seconds / 86_400, seconds % 86_400);
    // The calendar is the same again after 400 years.
    let (cycles, mut left) = (day / 146_097, day % 146_097);
    let mut year = cycles.saturating_mul(400).saturating_add(1970);
    let leap = |y: u64| y.is_multiple_of(4) && (!y.is_multiple_of(100) || y.is_multiple_of(400));
    loop {
        let days = if leap(year) { 366 } else { 365 };
        if left < days {
            break;
        }
        left = left.saturating_sub(days);
        year = year.saturating_add(1);
    }
    let february = if leap(year) { 29 } else { 28 };
    let mut month = 1u64;
    for days in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if left < days {
            break;
        }
        left = left.saturating_sub(days);
        month = month.saturating_add(1);
    }
    let day = left.saturating_add(1);
    [year, month, day, rest / 3600, rest / 60 % 60, rest % 60]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), [1970, 1, 1, 0, 0, 0]);
        assert_eq!(date(951_782_399), [2000, 2, 28, 23, 59, 59]);
        assert_eq!(date(951_782_400), [2000, 2, 29, 0, 0, 0]);
        assert_eq!(date(1_790_000_000), [2026, 9, 21, 14, 13, 20]);
        assert_eq!(date(12_622_780_800), [2370, 1, 1, 0, 0, 0]);
        // Ends.
        date(u64::MAX);
    }
}
