// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! The thread: TLS, registers, FPU, an interrupted call, and its registrations with
//! the kernel.

use crate::arch;
use crate::charge::charged;
use crate::ctx::restore::RestoreCtx;
use crate::ctx::save::SaveCtx;
use crate::error::ensure;
use crate::error::Explain;
use crate::error::Outcome;
use crate::error::Place;
use crate::format;
use crate::format::call::goes_on;
use crate::format::call::RestartBlock;
use crate::format::call::CONTINUE;
use crate::format::cpu::Cpu;
use crate::format::cpu::Thread;
use crate::format::cpu::UserDesc;
use crate::format::cpu::NR_TLS;
use crate::image::Written;
use crate::kapi::call;
use crate::kapi::call::NR_RESTART_SYSCALL;
use crate::kapi::task;
use kernel::prelude::*;

/// Writes the thread, CPU and FPU records.
#[inline(never)]
pub(crate) fn save(ctx: &mut SaveCtx, task: u32) -> Outcome {
    save_thread(ctx, task)?;
    let call = save_cpu(ctx, task)?;
    let fpu = arch::fpu::save()?;
    ctx.writer.bytes(format::FPU, task, &fpu).written()?;
    match call {
        Some(call) => ctx.writer.record(task, &call).written(),
        None => Ok(()),
    }
}

#[inline(never)]
fn save_thread(ctx: &mut SaveCtx, task: u32) -> Outcome {
    let mut rec = Thread::zeroed();
    rec.ntls = NR_TLS as u32;
    rec.sizeof_tls = size_of::<UserDesc>() as u32;
    rec.tls = arch::tls::save()?;
    (rec.robust_list, rec.clear_child_tid) = task::user_pointers();
    rec.robust_len = if rec.robust_list != 0 { 24 } else { 0 };
    let rseq = task::rseq();
    rec.rseq_addr = rseq.addr;
    rec.rseq_len = rseq.len;
    rec.rseq_sig = rseq.sig;
    rec.rseq_version = rseq.version;
    ctx.writer.record(task, &rec).written()
}

/// Writes the registers, and returns what the interrupted call needs.
#[inline(never)]
fn save_cpu(ctx: &mut SaveCtx, task: u32) -> Outcome<Option<RestartBlock>> {
    let mut cpu = if ctx.outside {
        arch::cpu::save_interrupted()
    } else {
        arch::cpu::save()
    }
    .why("a segment register holds an unknown selector")?;
    let call = interrupted(&cpu, ctx.counted.spent_by_process())?;
    cpu.nr_restart = u32::from(call.is_some());
    ctx.writer.record(task, &cpu).written()?;
    Ok(call)
}

/// What the interrupted call needs to go on; `spent` is the time on a processor, in
/// nanoseconds, that the image says the process has spent.
fn interrupted(cpu: &Cpu, spent: u64) -> Outcome<Option<RestartBlock>> {
    // The second one: on its way to restart_syscall(2) already.
    if cpu.orig_ax != u64::MAX && cpu.ax as i64 == CONTINUE || cpu.ax == NR_RESTART_SYSCALL {
        let block = call::save(spent);
        ensure(
            block.is_some() || call::is_none(),
            EOPNOTSUPP,
            "an interrupted system call of this kind is not supported",
        )
        .map_err(|f| f.at(Place::Number(cpu.orig_ax)))?;
        return Ok(block);
    }
    Ok(None)
}

/// The records of a thread.
struct Records {
    thread: Thread,
    cpu: Cpu,
    call: Option<RestartBlock>,
}

impl Records {
    #[inline(never)]
    fn new() -> Outcome<KBox<Self>> {
        let none = Self {
            thread: Thread::zeroed(),
            cpu: Cpu::zeroed(),
            call: None,
        };
        Ok(KBox::new(none, charged())?)
    }
}

/// A thread that was read, not yet in the processor.
pub(crate) struct Ready {
    records: KBox<Records>,
    fpu: KVec<u8>,
}

/// Reads the thread, CPU and FPU records.
#[inline(never)]
pub(crate) fn restore(ctx: &mut RestoreCtx, task: u32) -> Outcome<Ready> {
    let hdr = ctx.reader.header()?;
    let mut records = Records::new()?;
    ctx.reader.body_into(&hdr, task, &mut records.thread)?;
    ctx.reader.record_into(task, &mut records.cpu)?;
    let size = records.cpu.xstate_size;
    ensure(
        size == arch::fpu::size(),
        EINVAL,
        "FPU state has another size than the header says",
    )?;
    let mut fpu = KVec::from_elem(0, size as usize, charged())?;
    ctx.reader.bytes(format::FPU, task, &mut fpu)?;
    if records.cpu.nr_restart != 0 {
        records.call = Some(ctx.reader.record(task)?);
    }
    Ok(Ready { records, fpu })
}

/// TLS and FPU of the image are loaded; the former ones are kept.
pub(crate) struct Loaded {
    records: KBox<Records>,
    fpu: Option<arch::fpu::Loaded>,
    former_tls: [UserDesc; NR_TLS],
}

impl Ready {
    /// Loads TLS and FPU, which the kernel checks. Dropping goes back.
    #[inline(never)]
    pub(crate) fn load(self) -> Outcome<Loaded> {
        let fpu = arch::fpu::load(&self.fpu).blame("the FPU state is not valid")?;
        let former_tls = arch::tls::save()?;
        arch::tls::load(&self.records.thread.tls).blame("a TLS descriptor is not valid")?;
        Ok(Loaded {
            records: self.records,
            fpu: Some(fpu),
            former_tls,
        })
    }
}

impl Loaded {
    /// Writes the registers. Cannot fail. Returns the system call's result.
    #[inline(never)]
    pub(crate) fn commit(mut self) -> isize {
        let thread = &self.records.thread;
        task::set_user_pointers(thread.robust_list, thread.clear_child_tid);
        task::set_rseq(&task::Rseq {
            addr: thread.rseq_addr,
            len: thread.rseq_len,
            sig: thread.rseq_sig,
            version: thread.rseq_version,
        });
        if let Some(fpu) = self.fpu.take() {
            fpu.commit();
        }
        call::restore(self.records.call.as_ref());
        let cpu = &self.records.cpu;
        if cpu.orig_ax != u64::MAX && goes_on(cpu.ax) {
            task::notify_signal();
        }
        arch::cpu::restore(cpu)
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        if self.fpu.is_some() {
            // These came from the kernel, which accepts them again.
            let _ = arch::tls::load(&self.former_tls);
        }
    }
}
