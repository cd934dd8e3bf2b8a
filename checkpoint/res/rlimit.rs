// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Resource limits, with the rules of setrlimit(2).

use crate::ctx::restore::RestoreCtx;
use crate::ctx::save::SaveCtx;
use crate::error::ensure;
use crate::error::Explain;
use crate::error::Locate;
use crate::error::Outcome;
use crate::error::Place;
use crate::format::task::Rlimit;
use crate::format::task::Rlimits;
use crate::image::Written;
use crate::kapi::limits;
use crate::kapi::task;
use kernel::bindings::RLIMIT_NOFILE;
use kernel::prelude::KBox;

/// Writes the limits.
#[inline(never)]
pub(crate) fn save(ctx: &mut SaveCtx, task: u32) -> Outcome {
    let limits = limits::rlimits().map(|(cur, max)| Rlimit { cur, max });
    ctx.writer.record(task, &Rlimits { limits }).written()
}

/// Limits that were read and are allowed.
pub(crate) struct Ready(KBox<Rlimits>);

/// Reads the limits and checks the caller's rights to them.
#[inline(never)]
pub(crate) fn restore(ctx: &mut RestoreCtx, task: u32) -> Outcome<Ready> {
    let rec: KBox<Rlimits> = ctx.reader.boxed(task)?;
    let here = limits::rlimits();
    for (nr, (limit, have)) in rec.limits.iter().zip(&here).enumerate() {
        let want = &(limit.cur, limit.max);
        let place = Place::Number(nr as u64);
        ensure(
            want.1 <= have.1 || task::capable(task::CAP_SYS_RESOURCE),
            kernel::error::code::EPERM,
            "a resource limit of the image is above the caller's",
        )
        .at(place)?;
        if want != have {
            limits::may_set_rlimit(nr, want.0, want.1)
                .blame("a resource limit is not allowed")
                .at(place)?;
        }
        ensure(
            nr != RLIMIT_NOFILE as usize || want == have || want.1 <= limits::nr_open(),
            kernel::error::code::EPERM,
            "the limit of descriptors is above fs.nr_open",
        )
        .at(place)?;
    }
    Ok(Ready(rec))
}

impl Ready {
    /// Sets the limits. Cannot fail.
    pub(crate) fn commit(self) {
        limits::set_rlimits(&self.0.limits.map(|limit| (limit.cur, limit.max)));
    }
}
