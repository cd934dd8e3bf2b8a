// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Seccomp: strict mode, and filters of system calls, which tasks have in common.
//!
//! A restart never takes a filter away: those of the caller stay, and all its tasks are
//! born with them. The filters of the image come on top, but for those at the root that
//! the caller has itself: who is checkpointed and restarted in the same container has as
//! many filters as before. They take effect at the commit.

use crate::ctx::restore::RestoreCtx;
use crate::ctx::save::SaveCtx;
use crate::error::ensure;
use crate::error::Explain;
use crate::error::Failure;
use crate::error::Outcome;
use crate::format;
use crate::format::seccomp::seccomp_flags;
use crate::format::seccomp::Seccomp;
use crate::format::seccomp::SeccompFilter;
use crate::format::seccomp::SockFilter;
use crate::format::seccomp::INSNS_CHUNK;
use crate::format::task::SECCOMP_FILTER;
use crate::format::task::SECCOMP_STRICT;
use crate::format::IntoBytes;
use crate::image::Written;
use crate::kapi::sched;
use crate::kapi::seccomp;
use crate::kapi::seccomp::Filter;
use crate::kapi::task;
use crate::objhash::Restored;
use kernel::prelude::*;

/// Why a filter that asks somebody is refused, also before its task stands still.
pub(crate) const LISTENER: &str = "a listener of a seccomp filter is not supported";

/// Refuses what cannot be saved.
pub(crate) fn check() -> Outcome {
    ensure(
        seccomp::mode() <= SECCOMP_FILTER,
        EBUSY,
        "seccomp has killed the task",
    )?;
    for filter in &seccomp::chain()? {
        let state = filter.state();
        ensure(!state.listener, EOPNOTSUPP, LISTENER)?;
        ensure(
            !state.code.is_empty(),
            EOPNOTSUPP,
            "a seccomp filter without its instructions is not supported",
        )?;
    }
    Ok(())
}

/// Writes the filters of the current task that no task before has.
#[inline(never)]
pub(crate) fn save(ctx: &mut SaveCtx, task: u32) -> Outcome {
    if seccomp::mode() != SECCOMP_FILTER {
        return Ok(());
    }
    // Somebody may have begun to listen.
    check()?;
    let chain = seccomp::chain()?;
    let mut refs: KVVec<(&Filter, u32)> = KVVec::new();
    let mut known = 0;
    for filter in &chain {
        let (objref, new) = ctx.objects.refer(filter.identity())?;
        if !new {
            known = objref;
            break;
        }
        refs.push((filter, objref), GFP_KERNEL_ACCOUNT)?;
    }
    let mut rec = Seccomp::zeroed();
    rec.filter = refs.first().map_or(known, |last| last.1);
    rec.nr_filters = refs.len() as u32;
    ctx.writer.record(task, &rec).written()?;
    let mut prev = known;
    for (filter, objref) in refs.iter().rev() {
        let state = filter.state();
        let mut rec = SeccompFilter::zeroed();
        rec.objref = *objref;
        rec.prev = prev;
        rec.flags = if state.log { seccomp_flags::LOG } else { 0 };
        rec.len = state.code.len() as u32;
        ctx.writer.record(task, &rec).written()?;
        for chunk in state.code.chunks(INSNS_CHUNK) {
            ctx.writer
                .bytes(format::SECCOMP_CODE, *objref, chunk.as_bytes())
                .written()?;
        }
        prev = *objref;
        sched::breathe()?;
    }
    Ok(())
}

/// A filter of the image.
struct Built {
    filter: Filter,
    /// The caller has it, and this is how many it has up to it.
    own: Option<usize>,
}

/// The filters of the image, and those of the caller.
pub(crate) struct Filters {
    built: Restored<Built>,
    /// The oldest first.
    own: KVVec<Filter>,
}

impl Filters {
    /// Those of the caller.
    pub(crate) fn of_caller() -> Result<Self> {
        let mut own = seccomp::chain()?;
        own.reverse();
        Ok(Self {
            built: Restored::new(),
            own,
        })
    }

    /// Makes a filter, on top of another one of the image.
    fn add(&mut self, rec: &SeccompFilter, code: &[SockFilter]) -> Outcome {
        let log = rec.flags & seccomp_flags::LOG != 0;
        let (prev, own) = if rec.prev == 0 {
            (None, Some(0))
        } else {
            let prev = self.find(rec.prev)?;
            (Some(&prev.filter), prev.own)
        };
        let same = |filter: &&Filter| {
            let state = filter.state();
            state.log == log && !state.listener && state.code == code
        };
        let known = own.and_then(|own| self.own.get(own)).filter(same);
        let built = match (known, own) {
            (Some(known), Some(own)) => Built {
                filter: known.clone(),
                own: own.checked_add(1),
            },
            _ => {
                let prev = if own.is_some() { self.own.last() } else { prev };
                let filter =
                    Filter::new(code, prev, log).why("a filter of system calls cannot be made")?;
                Built { filter, own: None }
            }
        };
        Ok(self.built.insert(rec.objref, built)?)
    }

    fn find(&self, objref: u32) -> Outcome<&Built> {
        self.built.get(objref).ok_or(Failure::new(
            EINVAL,
            "reference to a filter that is not in the image",
        ))
    }
}

/// What restricts a task from its commit on.
pub(crate) enum Ready {
    /// What restricts the caller.
    Same,
    /// Strict mode.
    Strict,
    /// A filter, and those before it.
    Filter(Filter),
}

/// Reads the filters of a task whose mode and no_new_privs are known, and makes those
/// that are new.
#[inline(never)]
pub(crate) fn restore(
    ctx: &mut RestoreCtx,
    task: u32,
    mode: u32,
    no_new_privs: bool,
) -> Outcome<Ready> {
    if mode == SECCOMP_STRICT {
        ensure(
            seccomp::mode() == 0,
            EPERM,
            "the caller has filters of system calls, and the image strict mode",
        )?;
        return Ok(Ready::Strict);
    }
    if mode != SECCOMP_FILTER {
        return Ok(Ready::Same);
    }
    let rec: Seccomp = ctx.reader.record(task)?;
    // As seccomp(2), behind prctl(2).
    ensure(
        no_new_privs || task::no_new_privs() || task::ns_capable(task::CAP_SYS_ADMIN),
        EACCES,
        "filters of system calls need no_new_privs or CAP_SYS_ADMIN",
    )?;
    let mut last = None;
    for _ in 0..rec.nr_filters {
        let new: SeccompFilter = ctx.reader.record(task)?;
        ensure(
            last.is_none_or(|last| new.prev == last),
            EINVAL,
            "filters of a task are not in their order",
        )?;
        let mut code: KVVec<SockFilter> = KVVec::new();
        code.resize(new.len as usize, SockFilter::zeroed(), GFP_KERNEL_ACCOUNT)?;
        for chunk in code.chunks_mut(INSNS_CHUNK) {
            ctx.reader
                .bytes(format::SECCOMP_CODE, new.objref, chunk.as_mut_bytes())?;
        }
        ctx.filters.add(&new, &code)?;
        last = Some(new.objref);
        sched::breathe()?;
    }
    ensure(
        last.is_none_or(|last| last == rec.filter),
        EINVAL,
        "filters of a task are not in their order",
    )?;
    let built = ctx.filters.find(rec.filter)?;
    Ok(match built.own {
        Some(_) => Ready::Same,
        None => Ready::Filter(built.filter.clone()),
    })
}

impl Ready {
    /// Puts it in force for the current task. Cannot fail.
    pub(crate) fn commit(self) {
        match self {
            Self::Same => {}
            Self::Strict => seccomp::set_strict(),
            Self::Filter(filter) => filter.install(),
        }
    }
}
