// SPDX-License-Identifier: GPL-2.0

//! A caller that has set on itself what it can, each to something unusual.

use ckpt_guest::caps;
use ckpt_guest::mem::Map;
use ckpt_guest::mem::Spec;
use ckpt_guest::mem::ANON;
use ckpt_guest::regs;
use ckpt_guest::sys;
use ckpt_guest::sys32;
use ckpt_guest::timer;

/// What the caller gives up, so that it may not have each scheduling.
pub const RIGHTS: u64 = caps::SYS_NICE | caps::SYS_ADMIN;

/// Numbers in the 32-bit table.
const SET_THREAD_AREA: u32 = 243;
const GET_THREAD_AREA: u32 = 244;
/// The first entry of the TLS array.
const FIRST: u32 = 12;
/// 32-bit segment, limit in pages, usable.
const FLAGS: u32 = 1 | 1 << 4 | 1 << 6;

/// modify_ldt(2): a data segment.
pub fn set_ldt(entry: u32, base: u32, limit: u32) -> sys::Ret {
    let desc = [entry, base, limit, FLAGS];
    let at = desc.as_ptr() as usize;
    // SAFETY: the kernel reads 16 bytes; nothing else here uses the table.
    unsafe { sys::raw(libc::SYS_modify_ldt as usize, [0x11, at, 16, 0, 0, 0]) }
}

/// sched_setaffinity(2).
pub fn set_cpus(bits: u64) {
    let at = (&raw const bits) as usize;
    let _ = sys::plain(libc::SYS_sched_setaffinity, &[0, 8, at]);
    std::hint::black_box(bits);
}

/// rt_sigprocmask(2): these are blocked.
pub fn block(mask: u64) {
    let at = (&raw const mask) as usize;
    let how = libc::SIG_SETMASK as usize;
    let _ = sys::plain(libc::SYS_rt_sigprocmask, &[how, at, 0, 8]);
    std::hint::black_box(mask);
}

/// setitimer(2), without an interval.
pub fn interval_timer(which: usize, seconds: u64) {
    let value = [0, 0, seconds, 0];
    let at = value.as_ptr() as usize;
    let _ = sys::plain(libc::SYS_setitimer, &[which, at, 0]);
    std::hint::black_box(value);
}

/// The caller, and what only it can compare.
pub struct Caller {
    /// A word of this is read through gs.
    word: u64,
    /// Where a 32-bit call finds a descriptor.
    desk: Option<Map>,
    tls: [[u32; 4]; 3],
    next_timer: usize,
}

impl Caller {
    /// Sets everything. The segment in gs is of the LDT, or of the TLS array.
    pub fn become_odd(of_tls: bool) -> Result<Self, String> {
        let low = || {
            let spec = Spec {
                flags: ANON | libc::MAP_32BIT,
                ..Spec::default()
            };
            Map::new(spec).map_err(|e| format!("memory below 4 GiB: {e}"))
        };
        let desk = if sys32::available() {
            Some(low()?)
        } else {
            None
        };
        let memory = low()?;
        memory.fill_page(0, 5);
        let text = |what: &'static str| move |e: sys::Errno| format!("{what}: {e}");
        set_ldt(3, memory.addr as u32, 0).map_err(text("modify_ldt"))?;
        set_ldt(70, 0x1000, 7).map_err(text("modify_ldt"))?;
        regs::set_gs_selector(3 << 3 | 7);
        if let Some(desk) = &desk {
            for (entry, base) in [(FIRST, memory.addr as u32), (FIRST + 2, 0x5000)] {
                // SAFETY: the page is ours, mapped and writable.
                unsafe { (desk.addr as *mut [u32; 4]).write([entry, base, 0, FLAGS]) };
                let done = sys32::call(SET_THREAD_AREA, [desk.addr as u32, 0, 0, 0]);
                done.map_err(text("set_thread_area"))?;
            }
            if of_tls {
                regs::set_gs_selector((FIRST << 3 | 3) as u16);
            }
        }
        let plain = |what, nr, args: &[usize]| sys::plain(nr, args).map_err(text(what));
        plain("personality", libc::SYS_personality, &[0x004_0000])?;
        plain("nice", libc::SYS_setpriority, &[0, 0, -7i32 as usize])?;
        // Real time, 3. Best effort would be had again by everybody.
        plain("ioprio_set", libc::SYS_ioprio_set, &[1, 0, 1 << 13 | 3])?;
        plain("timer slack", libc::SYS_prctl, &[29, 222_222, 0, 0, 0])?;
        set_cpus(2);
        block(!0);
        plain("kill", libc::SYS_kill, &[sys::getpid() as usize, 34])?;
        let own = [sys::getpid() as usize, timer::gettid() as usize, 10];
        plain("tgkill", libc::SYS_tgkill, &own)?;
        (0..3).for_each(|which| interval_timer(which, 1000));
        let next_timer = new_timer()?;
        timer::set(next_timer, 0, 900 * timer::SECOND, 0).map_err(text("timer_settime"))?;
        new_timer()?;
        caps::give_up(RIGHTS).map_err(text("capset"))?;
        let mut this = Self {
            word: regs::read_gs(16),
            desk,
            tls: [[0; 4]; 3],
            next_timer,
        };
        this.tls = this.table();
        Ok(this)
    }

    /// The TLS array.
    fn table(&self) -> [[u32; 4]; 3] {
        let Some(desk) = &self.desk else {
            return [[0; 4]; 3];
        };
        [FIRST, FIRST + 1, FIRST + 2].map(|entry| {
            let at = desk.addr as *mut [u32; 4];
            // SAFETY: the page is ours, mapped and writable.
            unsafe { at.write([entry, 0, 0, 0]) };
            let _ = sys32::call(GET_THREAD_AREA, [desk.addr as u32, 0, 0, 0]);
            // SAFETY: as above; the kernel wrote a descriptor.
            unsafe { at.read() }
        })
    }

    /// What is left to be compared.
    pub fn check(&self) -> Result<(), String> {
        if regs::read_gs(16) != self.word {
            return Err("gs leads to another segment".to_string());
        }
        if self.table() != self.tls {
            return Err(format!(
                "TLS array: {:x?}, not {:x?}",
                self.table(),
                self.tls
            ));
        }
        // The id behind those that the caller has made.
        match new_timer()? {
            id if id == self.next_timer + 2 => Ok(()),
            id => Err(format!("the next timer is {id}, after {}", self.next_timer)),
        }
    }
}

fn new_timer() -> Result<usize, String> {
    let signals = timer::Signals {
        notify: timer::SIGEV_NONE,
        signo: 0,
        value: 0,
        tid: 0,
    };
    timer::create(libc::CLOCK_MONOTONIC, signals, 0).map_err(|e| format!("timer_create: {e}"))
}
