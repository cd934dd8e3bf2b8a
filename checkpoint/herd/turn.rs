// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! One gathers at a time, as a rule.

use crate::error::Outcome;
use crate::freeze::given_up;
use crate::freeze::pause;
use crate::freeze::PATIENCE_MS;
use crate::kapi::task;
use kernel::prelude::*;
use kernel::sync::atomic::Atomic;
use kernel::sync::atomic::Full;
use kernel::sync::atomic::Release;

/// Turns of users, by their ids; the last one is that of the privileged.
const TURNS: usize = 257;

/// Longest time to wait for a turn, in milliseconds. Whoever is held up by a task that does
/// not come to a stand must not make all others fail.
const TURN_MS: u32 = PATIENCE_MS / 4;

/// Somebody gathers at this moment.
static GATHERING: [Atomic<i32>; TURNS] = [const { Atomic::new(0) }; TURNS];

/// The turn to gather. Two that gather the same tasks would each get some of them,
/// and wait for the others until their patience ends. Who may hold the same tasks has
/// the same turn, as a rule. Users whose ids are alike modulo 256 wait for each other, for a
/// while: it only makes it unlikely that two come into each other's way.
pub(super) struct Turn(Option<&'static Atomic<i32>>);

impl Turn {
    /// Waits for the turn, at most [`TURN_MS`] of the `left` milliseconds, which become less;
    /// goes on without it then. Not with a lock: whoever waits may have to stand still for
    /// the other one.
    pub(super) fn take(left: &mut u32) -> Outcome<Self> {
        let last = TURNS.saturating_sub(1);
        let own = if task::capable(task::CAP_SYS_ADMIN) {
            last
        } else {
            (task::real_uid() as usize).checked_rem(last).unwrap_or(0)
        };
        let turn = GATHERING.get(own).ok_or(EINVAL)?;
        let least = left.saturating_sub(TURN_MS);
        while turn.cmpxchg(0, 1, Full).is_err() {
            if *left <= least {
                return Ok(Self(None));
            }
            let paused = pause(left).map_err(|failure| {
                let why = "killed while another checkpoint has not gathered its tasks";
                given_up(failure, why)
            });
            paused?;
        }
        Ok(Self(Some(turn)))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(turn) = self.0 {
            turn.store(0, Release);
        }
    }
}
