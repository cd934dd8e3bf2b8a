// SPDX-License-Identifier: GPL-2.0

//! A small tree whose tasks have pages in common.

use std::time::Duration;

use ckpt_guest::mem::Map;
use ckpt_guest::mem::PAGE;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;

use crate::PAGES;

/// A child with a thread, and one below it; all have pages in common.
pub struct Family {
    memory: Map,
    child: i32,
    /// Closed when they shall end.
    hold: i32,
}

impl Family {
    /// Starts them, and waits until they have begun.
    pub fn new() -> Result<Self, sys::Errno> {
        let memory = Map::anon(PAGES * PAGE)?;
        (0..PAGES).for_each(|page| memory.fill_page(page, page as u64));
        let [told, hold] = sys::pipe(0)?;
        let [begun, begin] = sys::pipe(0)?;
        let end = |own: u64, next: Option<i32>| {
            let _ = sys::close(hold);
            memory.fill_page(0, own);
            let _ = sys::write(begin, b"b");
            let _ = (sys::close(begun), sys::close(begin));
            let _ = sys::read(told, &mut [0]);
            let good = |page: usize| match page {
                0 => memory.page_is(0, own),
                page => memory.page_is(page, page as u64),
            };
            let ended = next.map_or(Ended::Exit(0), |pid| sys::wait_for(pid, 30));
            let bad = (0..PAGES).find(|page| !good(*page));
            if ended != Ended::Exit(0) || bad.is_some() {
                println!("FAILED: below {own}: {ended:?}, page {bad:?}");
                sys::exit(1);
            }
            sys::exit(0)
        };
        let child = sys::fork()?;
        if child == 0 {
            std::thread::spawn(|| loop {
                std::thread::sleep(Duration::from_secs(1000));
            });
            match sys::fork() {
                Ok(0) => end(1000, None),
                Ok(next) => end(2000, Some(next)),
                Err(_) => sys::exit(1),
            }
        }
        let _ = (sys::close(told), sys::close(begin));
        // What they allocate for themselves is none of the test's.
        for _ in 0..2 {
            if sys::read(begun, &mut [0])? != 1 {
                return Err(sys::Errno(libc::EIO));
            }
        }
        let _ = sys::close(begun);
        Ok(Self {
            memory,
            child,
            hold,
        })
    }

    /// All end, and have found what they had.
    pub fn ends_well(self) -> bool {
        let _ = sys::close(self.hold);
        let ended = sys::wait_for(self.child, 30);
        let bad = (0..PAGES).find(|page| !self.memory.page_is(*page, *page as u64));
        if ended != Ended::Exit(0) || bad.is_some() {
            println!("FAILED: {ended:?}, page {bad:?}");
            return false;
        }
        true
    }
}
