// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! The address space: its fields, its mappings, its architecture part.

use crate::arch::context;
use crate::ctx::restore::RestoreCtx;
use crate::ctx::save::SaveCtx;
use crate::error::ensure;
use crate::error::Explain;
use crate::error::Failure;
use crate::error::Locate;
use crate::error::Outcome;
use crate::error::Place;
use crate::format;
use crate::format::cpu::MmContext;
use crate::format::cpu::UserDesc;
use crate::format::cpu::LDT_CHUNK;
use crate::format::cpu::TASK_SIZE_MAX;
use crate::format::mm::mm_flags as f;
use crate::format::mm::Mm;
use crate::format::mm::GUARDS_MAX;
use crate::format::mm::SPACE_PAGES;
use crate::format::task::Task;
use crate::format::IntoBytes;
use crate::image::Written;
use crate::kapi::common::Space;
use crate::kapi::file;
use crate::kapi::mm;
use crate::kapi::mmswitch::NewMm;
use crate::kapi::mmswitch::OldMm;
use crate::kapi::task;
use crate::kapi::vma;
use kernel::bindings as b;
use kernel::prelude::*;

/// Image bits and the kernel's flags that they stand for.
const FLAGS: [(u64, u32); 5] = [
    (f::THP_DISABLE, b::MMF_DISABLE_THP_COMPLETELY),
    (
        f::THP_DISABLE_EXCEPT_ADVISED,
        b::MMF_DISABLE_THP_EXCEPT_ADVISED,
    ),
    (f::MDWE, b::MMF_HAS_MDWE),
    (f::MDWE_NO_INHERIT, b::MMF_HAS_MDWE_NO_INHERIT),
    (f::TOPDOWN, b::MMF_TOPDOWN),
];

/// Flags that only ever get stricter.
const STICKY: u64 = f::MDWE | f::MDWE_NO_INHERIT;

/// READ_IMPLIES_EXEC: would change the protection of new mappings.
const READ_IMPLIES_EXEC: u32 = 0x0040_0000;

const LOCKED: u64 = vma::bit(b::VMA_LOCKED_BIT);
const LOCKONFAULT: u64 = vma::bit(b::VMA_LOCKONFAULT_BIT);

/// Writes the address space with everything in it.
#[inline(never)]
pub(crate) fn save(ctx: &mut SaveCtx, task: u32, objref: u32) -> Outcome {
    let (fields, auxv, list) = {
        let lock = mm::ReadLock::current()?;
        (
            mm::fields(&lock),
            mm::auxv(&lock)?,
            vma::list(&lock, GUARDS_MAX as usize)?,
        )
    };
    ensure(
        !context::has_foreign_vdso(),
        EOPNOTSUPP,
        "the vDSO is not the one of 64-bit tasks",
    )?;
    for (flag, why) in [
        (b::MMF_VM_MERGE_ANY, "PR_SET_MEMORY_MERGE is not supported"),
        (b::MMF_HAS_UPROBES, "uprobes are not supported"),
    ] {
        ensure(fields.flags >> flag & 1 == 0, EOPNOTSUPP, why)?;
    }
    let vdso = mapped_vdso(&list)?;
    let exe = match mm::exe_file() {
        Some(exe) => super::file::save(ctx, &exe, None).map_err(Failure::of_mapping)?,
        None => 0,
    };
    let mut rec = Mm::zeroed();
    rec.objref = objref;
    rec.map_count = list.len() as u32;
    (rec.start_code, rec.end_code) = fields.code;
    (rec.start_data, rec.end_data) = fields.data;
    (rec.start_brk, rec.brk) = fields.brk;
    rec.start_stack = fields.start_stack;
    (rec.arg_start, rec.arg_end) = fields.arg;
    (rec.env_start, rec.env_end) = fields.env;
    rec.mmap_base = fields.mmap_base;
    // It may have had room above 47 bits.
    let (rss, vm) = fields.hiwater;
    (rec.hiwater_rss, rec.hiwater_vm) = (rss.min(SPACE_PAGES), vm.min(SPACE_PAGES));
    // Mappings above 47 bits are refused one by one.
    rec.task_size = TASK_SIZE_MAX;
    rec.vdso = vdso;
    rec.exe_file = exe;
    rec.nr_auxv = auxv.len() as u32;
    rec.flags = fields.flags >> b::MMF_DUMP_FILTER_SHIFT & f::DUMP_FILTER;
    for (image, kernel) in FLAGS {
        rec.flags |= if fields.flags >> kernel & 1 == 1 {
            image
        } else {
            0
        };
    }
    for (image, kernel) in [(f::LOCK_FUTURE, LOCKED), (f::LOCK_ONFAULT, LOCKONFAULT)] {
        rec.flags |= if fields.def_flags & kernel != 0 {
            image
        } else {
            0
        };
    }
    super::valid(&rec)?;
    ctx.writer.record(task, &rec).written()?;
    if !auxv.is_empty() {
        ctx.writer
            .bytes(format::AUXV, rec.objref, auxv.as_slice().as_bytes())
            .written()?;
    }
    for info in &list {
        super::vma::save(ctx, rec.objref, vdso, info)?;
    }
    save_context(ctx, rec.objref)
}

/// The vDSO's address if all of it is mapped, 0 if nothing is.
fn mapped_vdso(list: &[vma::Info]) -> Outcome<u64> {
    let vdso = context::vdso();
    let Some((from, to)) = super::vma::vdso_range(vdso) else {
        return Ok(0);
    };
    let mapped = list
        .iter()
        .filter(|info| info.special && info.start >= from && info.end <= to)
        .fold(0, |sum: u64, info| {
            sum.saturating_add(info.end.saturating_sub(info.start))
        });
    match mapped {
        0 => Ok(0),
        bytes if bytes == to.saturating_sub(from) => Ok(vdso),
        _ => Err(Failure::new(ETXTBSY, "the vDSO is mapped in part").at(Place::Range(from, to))),
    }
}

fn save_context(ctx: &mut SaveCtx, mm: u32) -> Outcome {
    let ldt = context::ldt()?;
    let (pkey_map, execute_only_pkey) = context::pkeys();
    let rec = MmContext {
        ldt_entry_size: size_of::<UserDesc>() as u32,
        nldt: ldt.len() as u32,
        pkey_map,
        execute_only_pkey,
        reserved: [0; 2],
    };
    ctx.writer.record(mm, &rec).written()?;
    for chunk in ldt.chunks(LDT_CHUNK) {
        ctx.writer
            .bytes(format::LDT, mm, chunk.as_bytes())
            .written()?;
    }
    Ok(())
}

/// The image's address space is the current one; the caller's is kept.
pub(crate) struct Built {
    /// Fields drop in this order: the personality goes back first.
    _personality: Personality,
    mm: NewMm,
}

/// Brings the caller's personality back unless the restart commits.
struct Personality {
    former: u32,
    committed: bool,
}

impl Drop for Personality {
    fn drop(&mut self) {
        if !self.committed {
            task::set_personality(self.former);
        }
    }
}

impl Built {
    /// Leaves the caller's address space, which goes with the result. Cannot fail.
    pub(crate) fn commit(mut self) -> OldMm {
        self._personality.committed = true;
        self.mm.commit()
    }
}

/// Takes over the address space of another process, or reads it and builds it aside.
#[inline(never)]
pub(crate) fn restore(
    ctx: &mut RestoreCtx,
    task: u32,
    values: &Task,
    goes_back: bool,
) -> Outcome<Built> {
    if let Some(space) = ctx.spaces.get(values.mm) {
        return Ok(Built {
            _personality: Personality {
                former: task::personality(),
                committed: false,
            },
            mm: NewMm::join(space, goes_back).why("an address space cannot be shared")?,
        });
    }
    let hdr = ctx.header_after_files()?;
    let rec: Mm = ctx.reader.body(&hdr, task)?;
    ensure(
        rec.objref == values.mm,
        EINVAL,
        "the address space is another one than the task's",
    )?;
    ensure(
        rec.flags & f::MERGE_ANY == 0,
        EOPNOTSUPP,
        "PR_SET_MEMORY_MERGE is not supported",
    )?;
    let mut auxv: KVec<u64> = KVec::from_elem(0, rec.nr_auxv as usize, GFP_KERNEL_ACCOUNT)?;
    if !auxv.is_empty() {
        let bytes = auxv.as_mut_slice().as_mut_bytes();
        ctx.reader.bytes(format::AUXV, rec.objref, bytes)?;
    }
    let personality = Personality {
        former: task::personality(),
        committed: false,
    };
    task::set_personality(values.personality & !READ_IMPLIES_EXEC);
    let built = Built {
        _personality: personality,
        mm: NewMm::begin(goes_back).why("a new address space cannot be made")?,
    };
    ctx.spaces.insert(rec.objref, Space::current())?;
    context::set_64bit();
    if rec.vdso != 0 {
        ensure(
            ctx.same_vdso,
            EOPNOTSUPP,
            "the vDSO of this kernel is another one",
        )?;
        context::map_vdso(rec.vdso).why("the vDSO cannot be mapped at its place")?;
    }
    mm::set_auxv(&auxv).blame("auxiliary vector is too long")?;
    set_flags(&rec, !STICKY);
    // Inherited from the caller, and never in an image.
    mm::set_flag(b::MMF_VM_MERGE_ANY, false);
    // A page alone must not come with all others of a huge one.
    mm::set_flag(b::MMF_DISABLE_THP_COMPLETELY, true);
    let mut seals: KVVec<(u64, u64)> = KVVec::new();
    let mut behind = 0;
    for _ in 0..rec.map_count {
        let (end, seal) = super::vma::restore(ctx, rec.objref, rec.vdso, behind)?;
        behind = end;
        if let Some(seal) = seal {
            seals.push(seal, GFP_KERNEL_ACCOUNT)?;
        }
    }
    restore_context(ctx, rec.objref)?;
    if rec.exe_file != 0 {
        let exe = ctx.file(rec.exe_file)?;
        // As execve(2) would ask. The link says no more than which program the
        // caller could have started: it can also start it and change it. Nobody can write
        // to the file from now on, so that it must be one.
        ensure(
            ctx.is_regular(rec.exe_file) && file::may_execute(exe) && file::is_program(exe),
            EACCES,
            "the program's file may not be executed",
        )?;
        super::namedfile::check_mapped(ctx, rec.exe_file, false)?;
        mm::set_exe_file(exe).why("the program's file cannot be set")?;
    }
    for (start, end) in &seals {
        vma::seal(*start, *end)
            .why("a mapping cannot be sealed")
            .at(Place::Range(*start, *end))?;
    }
    mm::set_fields(&fields(&rec))?;
    set_flags(&rec, f::THP_DISABLE);
    // It did not look while there were to be none.
    vma::tell_khugepaged()?;
    // The caller's own is stricter, or the same: children do not leave it behind.
    if !mm::has_flag(b::MMF_HAS_MDWE) {
        set_flags(&rec, STICKY);
    }
    Ok(built)
}

fn fields(rec: &Mm) -> mm::Fields {
    let mut def_flags = 0;
    for (image, kernel) in [(f::LOCK_FUTURE, LOCKED), (f::LOCK_ONFAULT, LOCKONFAULT)] {
        def_flags |= if rec.flags & image != 0 { kernel } else { 0 };
    }
    mm::Fields {
        code: (rec.start_code, rec.end_code),
        data: (rec.start_data, rec.end_data),
        brk: (rec.start_brk, rec.brk),
        start_stack: rec.start_stack,
        arg: (rec.arg_start, rec.arg_end),
        env: (rec.env_start, rec.env_end),
        mmap_base: rec.mmap_base,
        hiwater: (rec.hiwater_rss, rec.hiwater_vm),
        def_flags,
        ..Default::default()
    }
}

/// Sets the flags in `mask`; sticky ones are never cleared.
fn set_flags(rec: &Mm, mask: u64) {
    for (image, kernel) in FLAGS {
        let on = rec.flags & image != 0;
        if mask & image != 0 && (on || STICKY & image == 0) {
            mm::set_flag(kernel, on);
        }
    }
    for nr in 0..b::MMF_DUMP_FILTER_BITS {
        if mask & f::DUMP_FILTER >> nr & 1 != 0 {
            mm::set_flag(
                nr.wrapping_add(b::MMF_DUMP_FILTER_SHIFT),
                rec.flags >> nr & 1 == 1,
            );
        }
    }
}

fn restore_context(ctx: &mut RestoreCtx, mm: u32) -> Outcome {
    let rec: MmContext = ctx.reader.record(mm)?;
    context::set_pkeys(rec.pkey_map, rec.execute_only_pkey)
        .blame("this machine has no protection keys")?;
    let mut left = rec.nldt as usize;
    let mut next = 0;
    while left != 0 {
        let now = left.min(LDT_CHUNK);
        let mut chunk: KVec<UserDesc> = KVec::from_elem(UserDesc::zeroed(), now, GFP_KERNEL)?;
        ctx.reader
            .bytes(format::LDT, mm, chunk.as_mut_slice().as_mut_bytes())?;
        for desc in &chunk {
            desc.check()?;
            ensure(
                desc.entry_number >= next,
                EINVAL,
                "LDT entries are not in order",
            )?;
            next = desc.entry_number.saturating_add(1);
            context::set_ldt_entry(desc)
                .blame("an LDT entry is not valid")
                .at(Place::Number(desc.entry_number.into()))?;
        }
        left = left.saturating_sub(now);
    }
    Ok(())
}
