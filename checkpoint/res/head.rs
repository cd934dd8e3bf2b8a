// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! The header: which format, which kernel, which machine.
//!
//! Strings tell people where an image comes from; what decides whether it can
//! be restarted here is the architecture record.

use crate::arch::machine;
use crate::ctx::restore::RestoreCtx;
use crate::ctx::save::SaveCtx;
use crate::error::ensure;
use crate::error::Failure;
use crate::error::Outcome;
use crate::format::head::Head;
use crate::format::head::HeadArch;
use crate::format::head::ARCH_X86_64;
use crate::format::head::HEAD_MAGIC;
use crate::format::head::VERSION;
use crate::image::Written;
use crate::kapi::ids;
use crate::kapi::sched;
use kernel::prelude::*;

/// Longest name that uname(2) tells, in bytes.
const UTS_LEN: usize = 64;

/// Writes the header records.
#[inline(never)]
pub(crate) fn save(ctx: &mut SaveCtx, nr_tasks: usize) -> Outcome {
    let mut head = Head::zeroed();
    head.magic = HEAD_MAGIC;
    head.version = VERSION;
    head.arch = ARCH_X86_64;
    head.page_size = 4096;
    (head.major, head.minor, head.patch) = sched::kernel_version();
    head.nr_strings = 3;
    head.flags = ctx.flags;
    head.crid = ctx.crid as u32;
    head.nr_tasks = nr_tasks as u32;
    head.last_pid = ids::last_pid();
    (head.realtime_ns, head.monotonic_ns, head.boottime_ns) = sched::clocks();
    ctx.writer.record(0, &head).written()?;
    for text in sched::utsname() {
        ctx.string(0, &text)?;
    }
    ctx.writer.record(0, &machine::describe()).written()
}

/// Reads the header records and compares the machine; returns the number of tasks.
#[inline(never)]
pub(crate) fn restore(ctx: &mut RestoreCtx) -> Outcome<u32> {
    let head: Head = ctx.reader.record(0)?;
    ensure(
        head.ro_compat == 0,
        EOPNOTSUPP,
        "the image needs a feature that restart does not know",
    )?;
    for _ in 0..3 {
        let text = ctx.any_string(0)?;
        ensure(
            text.len() <= UTS_LEN,
            EINVAL,
            "a name of the kernel is too long",
        )?;
    }
    let image: HeadArch = ctx.reader.record(0)?;
    ctx.last_pid = head.last_pid;
    ctx.same_vdso = machine::has_vdso_of(&image);
    match machine::lacks(&image) {
        None => Ok(head.nr_tasks),
        Some((why, name)) => Err(Failure::new(EOPNOTSUPP, why).about(name.as_bytes())),
    }
}
