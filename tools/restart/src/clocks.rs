// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Clocks that go on from where they were: a time namespace, as in time_namespaces(7).
//!
//! Programs keep points of CLOCK_MONOTONIC in their memory, which the kernel does not see.
//! Behind a reboot, or on another machine, that clock shows something else; in a time
//! namespace it shows what it did at the checkpoint.

use std::fs;
use std::time::Duration;

use nix::errno::Errno;
use nix::time::clock_gettime;
use nix::time::ClockId;

use crate::sys;
use crate::trouble::Step;
use crate::trouble::Trouble;

/// The offsets of the namespace that children will be in.
const OFFSETS: &str = "/proc/self/timens_offsets";

const NS_PER_S: i128 = 1_000_000_000;

/// What the clocks of a process showed, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clocks {
    /// CLOCK_MONOTONIC.
    pub monotonic: u64,
    /// CLOCK_BOOTTIME.
    pub boottime: u64,
}

impl Clocks {
    /// What those of this program show.
    ///
    /// # Errors
    ///
    /// Those of clock_gettime(2).
    fn now() -> Result<Self, Errno> {
        let read = |clock| {
            let now = Duration::from(clock_gettime(clock)?);
            Ok::<u64, Errno>(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX))
        };
        Ok(Self {
            monotonic: read(ClockId::CLOCK_MONOTONIC)?,
            boottime: read(ClockId::CLOCK_BOOTTIME)?,
        })
    }

    /// By how much CLOCK_MONOTONIC of this program is behind, if it is by a second.
    pub fn behind(&self) -> Option<Duration> {
        let now = Self::now().ok()?;
        let behind = Duration::from_nanos(self.monotonic.saturating_sub(now.monotonic));
        (behind >= Duration::from_secs(1)).then_some(behind)
    }

    /// Makes these the clocks of the processes that this program makes from now on, in a new
    /// time namespace; those of this program stay. Memory that is shared with it (threads)
    /// keeps a process outside of it.
    ///
    /// # Errors
    ///
    /// What the making of the namespace has met.
    pub fn go_on(&self) -> Result<(), Trouble> {
        let trouble = |errno| Trouble::new(Step::Clocks, errno);
        let failed = |e: std::io::Error| trouble(Errno::try_from(e).unwrap_or(Errno::EIO));
        sys::new_time_namespace().map_err(trouble)?;
        // What is there is from the namespace of this program, whose clocks may be moved.
        let now = Self::now().map_err(trouble)?;
        let text = fs::read_to_string(OFFSETS).map_err(failed)?;
        let moved = self.offsets(&text, now).ok_or(trouble(Errno::EPROTO))?;
        fs::write(OFFSETS, moved).map_err(failed)
    }

    /// The offsets with which clocks that show `now` under the offsets in `text` show these.
    fn offsets(&self, text: &str, now: Self) -> Option<String> {
        let moved = |name, saved: u64, now: u64| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            let mut numbers = line.split_whitespace().skip(1);
            let mut number = || numbers.next()?.parse::<i64>().ok();
            let (s, ns) = (i128::from(number()?), i128::from(number()?));
            let offset = s.checked_mul(NS_PER_S)?.checked_add(ns)?;
            let offset = offset.checked_add(i128::from(saved))?;
            let offset = offset.checked_sub(i128::from(now))?;
            let (s, ns) = (offset.div_euclid(NS_PER_S), offset.rem_euclid(NS_PER_S));
            Some(format!("{name} {s} {ns}\n"))
        };
        let monotonic = moved("monotonic", self.monotonic, now.monotonic)?;
        let boottime = moved("boottime", self.boottime, now.boottime)?;
        Some(monotonic + &boottime)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: &str = "monotonic           0         0\nboottime            0         0\n";

    fn clocks(monotonic: u64, boottime: u64) -> Clocks {
        Clocks {
            monotonic,
            boottime,
        }
    }

    #[test]
    fn offsets_lead_from_now_to_then() {
        let then = clocks(90_000_000_005, 3_000_000_000);
        let text = then.offsets(NONE, clocks(1_000_000_000, 5_500_000_000));
        // Nanoseconds are never negative.
        assert_eq!(
            text.unwrap(),
            "monotonic 89 5\nboottime -3 500000000\n".to_string()
        );
    }

    #[test]
    fn offsets_of_the_namespace_before_count() {
        let before = "monotonic         -10 250000000\nboottime           7         0\n";
        let then = clocks(20_000_000_000, 20_000_000_000);
        let text = then.offsets(before, clocks(20_000_000_000, 21_000_000_000));
        assert_eq!(
            text.unwrap(),
            "monotonic -10 250000000\nboottime 6 0\n".to_string()
        );
    }

    #[test]
    fn nothing_is_too_large_and_nonsense_is_none() {
        let ends = clocks(u64::MAX, 0).offsets(NONE, clocks(0, u64::MAX));
        assert!(ends
            .unwrap()
            .starts_with("monotonic 18446744073 709551615\n"));
        for text in ["", "monotonic 1 2\n", "monotonic x 0\nboottime 0 0\n"] {
            assert_eq!(clocks(1, 1).offsets(text, clocks(0, 0)), None);
        }
    }

    #[test]
    fn only_a_clock_in_the_past_is_behind() {
        let now = Clocks::now().unwrap();
        assert_eq!(clocks(now.monotonic, 0).behind(), None);
        assert_eq!(clocks(0, u64::MAX).behind(), None);
        let later = clocks(now.monotonic + 100 * 1_000_000_000, 0);
        let behind = later.behind().unwrap().as_secs();
        assert!((90..=100).contains(&behind), "{behind}");
    }
}
