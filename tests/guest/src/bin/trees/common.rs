// SPDX-License-Identifier: GPL-2.0

//! Victims that have memory in common since a fork.

use std::os::unix::fs::FileExt;

use ckpt_guest::act::slowness;
use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::mem::Map;
use ckpt_guest::mem::Spec;
use ckpt_guest::mem::PAGE;
use ckpt_guest::sys;
use ckpt_guest::victim::Scene;

use crate::family::child;
use crate::family::ends_well;
use crate::stress::Body;

/// Pages of either piece of memory.
const PAGES: usize = 1024;
const LARGE: usize = 512 * PAGE;

/// Who has changed a page; 0 is the first process.
type Owners = Vec<u8>;

/// Small pages, and large ones.
#[derive(Clone, Copy)]
struct Memory {
    small: usize,
    large: usize,
}

impl Memory {
    fn new() -> Result<Self, String> {
        let map = |len| {
            let spec = Spec {
                len,
                ..Spec::default()
            };
            Map::new(spec).map_err(|e| format!("mmap: {e}"))
        };
        let small = map(PAGES * PAGE)?.addr;
        let large = map(PAGES * PAGE + LARGE)?.addr.next_multiple_of(LARGE);
        let args = [large, PAGES * PAGE, libc::MADV_HUGEPAGE as usize];
        sys::plain(libc::SYS_madvise, &args).map_err(|e| format!("madvise: {e}"))?;
        Ok(Self { small, large })
    }

    fn address(&self, nr: usize) -> usize {
        match nr.checked_sub(PAGES) {
            None => self.small + nr * PAGE,
            Some(nr) => self.large + nr * PAGE,
        }
    }

    fn change(&self, owners: &mut Owners, nr: usize, who: u8) {
        owners[nr] = who;
        let words = self.address(nr) as *mut u64;
        for i in 0..PAGE / 8 {
            // SAFETY: the page is one of our own mapping.
            unsafe { words.add(i).write_volatile(word(nr, i, who)) };
        }
    }

    fn verify(&self, owners: &Owners) -> Result<(), String> {
        for (nr, who) in owners.iter().enumerate().filter(|(_, who)| **who != GONE) {
            let words = self.address(nr) as *const u64;
            for i in 0..PAGE / 8 {
                // SAFETY: the page is one of our own mapping.
                let found = unsafe { words.add(i).read_volatile() };
                let want = match *who {
                    EMPTY => 0,
                    who => word(nr, i, who),
                };
                if found != want {
                    return Err(format!("page {nr}, word {i}: {found:#x}, not {want:#x}"));
                }
            }
        }
        Ok(())
    }

    /// Page frames of a process.
    fn frames(&self, pid: i32) -> Result<Vec<u64>, String> {
        let file = std::fs::File::open(format!("/proc/{pid}/pagemap"));
        let file = file.map_err(|e| format!("pagemap: {e}"))?;
        let frame = |nr| {
            let mut entry = [0; 8];
            let at = self.address(nr) / PAGE * 8;
            file.read_exact_at(&mut entry, at as u64)
                .map_err(|e| format!("pagemap: {e}"))?;
            let entry = u64::from_ne_bytes(entry);
            Ok(if entry >> 63 == 1 {
                entry & ((1 << 55) - 1)
            } else {
                0
            })
        };
        (0..2 * PAGES).map(frame).collect()
    }
}

/// Nothing is mapped; nothing was written.
const GONE: u8 = 255;
const EMPTY: u8 = 254;

fn word(nr: usize, i: usize, who: u8) -> u64 {
    let x = (nr * PAGE + i) as u64 + (u64::from(who) << 40);
    x.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1
}

/// What a descendant does to its copy, and what is in it then.
fn change(memory: &Memory, owners: &mut Owners, who: u8) -> Result<(), String> {
    let range = |nr: libc::c_long, from: usize, to: usize, last: i32| {
        let args = [memory.address(from), (to - from) * PAGE, last as usize];
        sys::plain(nr, &args).map_err(|e| format!("system call {nr}: {e}"))
    };
    match who {
        1 => (0..PAGES)
            .step_by(4)
            .for_each(|nr| memory.change(owners, nr, 1)),
        2 => {
            range(libc::SYS_madvise, 100, 200, libc::MADV_DONTNEED)?;
            owners[100..200].fill(EMPTY);
            range(libc::SYS_munmap, 300, 310, 0)?;
            owners[300..310].fill(GONE);
            range(libc::SYS_mprotect, 500, 600, libc::PROT_READ)?;
        }
        3 => (0..50).for_each(|nr| memory.change(owners, nr, 3)),
        _ => (40..60).for_each(|nr| memory.change(owners, nr, 4)),
    }
    Ok(())
}

/// A descendant; the third one has another one.
fn descendant(
    scene: &Scene,
    memory: Memory,
    mut owners: Owners,
    who: u8,
    [told, tell]: [i32; 2],
) -> Result<(), String> {
    change(&memory, &mut owners, who)?;
    let next = match who {
        3 => {
            let owners = owners.clone();
            Some(child(|| {
                descendant(scene, memory, owners, 4, [told, tell])
            })?)
        }
        _ => None,
    };
    sys::write(tell, &[who]).map_err(|e| format!("write: {e}"))?;
    let _ = sys::close(tell);
    // The first process has looked at everybody.
    let mut byte = [0];
    sys::read(told, &mut byte).map_err(|e| format!("read: {e}"))?;
    memory.verify(&owners)?;
    // What one writes, nobody else sees.
    for nr in (0..2 * PAGES).filter(|nr| who != 2 || !(300..600).contains(nr)) {
        if nr % 3 == 0 {
            memory.change(&mut owners, nr, 10 + who);
        }
    }
    scene.pause(20);
    memory.verify(&owners)?;
    next.map_or(Ok(()), ends_well)
}

/// The first process, which sees that the others have its pages.
fn pages(scene: &Scene) -> Result<(), String> {
    let memory = Memory::new()?;
    let mut owners = vec![0; 2 * PAGES];
    for nr in 0..2 * PAGES {
        memory.change(&mut owners, nr, 0);
    }
    let pipe = || {
        let mut ends = [0i32; 2];
        let args = [ends.as_mut_ptr() as usize, 0];
        sys::plain(libc::SYS_pipe2, &args).map_err(|e| format!("pipe: {e}"))?;
        Ok::<_, String>(ends)
    };
    let ([there, tell], [told, go]) = (pipe()?, pipe()?);
    let mut pids = Vec::new();
    for who in 1..4 {
        let owners = owners.clone();
        pids.push(child(|| {
            let _ = sys::close(go);
            descendant(scene, memory, owners, who, [told, tell])
        })?);
    }
    for _ in 0..4 {
        let mut byte = [0];
        sys::read(there, &mut byte).map_err(|e| format!("read: {e}"))?;
    }
    scene.announce();
    scene.wait();
    let own = memory.frames(sys::getpid())?;
    for (pid, who) in pids.iter().zip(1..) {
        let frames = memory.frames(*pid)?;
        let mut owners = vec![0; 2 * PAGES];
        if who != 2 {
            changed(&mut owners, who);
        } else {
            owners[100..200].fill(EMPTY);
            // Another protection needs another page table entry.
            owners[300..600].fill(GONE);
        }
        let unlike = (0..2 * PAGES)
            .filter(|nr| owners[*nr] == 0 && (own[*nr] != frames[*nr] || own[*nr] == 0))
            .collect::<Vec<_>>();
        if !unlike.is_empty() {
            let (count, first) = (unlike.len(), unlike[0]);
            return Err(format!(
                "{count} pages of child {who} are not shared, the first is {first}"
            ));
        }
    }
    let _ = sys::close(go);
    memory.verify(&owners)?;
    pids.into_iter().try_for_each(ends_well)
}

/// The pages that a descendant changes, without changing them.
fn changed(owners: &mut Owners, who: u8) {
    match who {
        1 => owners[..PAGES].iter_mut().step_by(4).for_each(|o| *o = 1),
        _ => owners[..50].fill(who),
    }
}

/// Five processes with 8 MiB, of which 326 pages were changed.
fn common_pages() -> Case {
    const WAITS: u64 = 2000;
    let waits = WAITS * slowness();
    let scene = Scene::new("common-pages");
    let victim = scene.start(pages)?;
    scene.until_there()?;
    let images = [
        victim.checkpoint("first", 0)?,
        victim.checkpoint("second", 0)?,
    ];
    let bytes = std::fs::metadata(&images[0]).map_or(0, |m| m.len());
    victim.ends_well(waits)?;
    let limit = ((2 * PAGES + 326) * PAGE + (3 << 20)) as u64;
    if bytes > limit {
        return Err(format!("an image of {bytes} bytes, more than {limit}"));
    }
    for image in &images {
        scene.restart(image, waits)?;
    }
    pass_with(format!("{} KiB", bytes / 1024))
}

/// Cases of memory in common.
pub const CASES: &[(&str, Body)] = &[("common-pages", common_pages)];
