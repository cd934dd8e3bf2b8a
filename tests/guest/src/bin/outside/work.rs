// SPDX-License-Identifier: GPL-2.0

//! Victims that compute, write files, change their memory, and handle signals.

use std::io::Seek;
use std::io::SeekFrom;
use std::io::Write;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use ckpt_guest::mem::Map;
use ckpt_guest::rng::Rng;
use ckpt_guest::sys;

use ckpt_guest::act::Act;
use ckpt_guest::victim::Scene;

/// Time in which a busy victim is stopped, in milliseconds.
const BUSY: u64 = 400;

/// Calls `step` with growing numbers until the victim shall end.
fn busy(scene: &Scene, mut step: impl FnMut(u64) -> Result<(), String>) -> Result<(), String> {
    let mut i = 0;
    while !scene.finished() {
        for _ in 0..16 {
            step(i)?;
            i += 1;
        }
    }
    Ok(())
}

/// Integer and floating-point registers; the sums are known.
fn compute(scene: &Scene) -> Result<(), String> {
    busy(scene, |i| {
        let n = 20_000u64;
        let (mut sum, mut float) = (i, i as f64);
        for k in 1..=n {
            sum = std::hint::black_box(sum.wrapping_add(k * k));
            float = std::hint::black_box(float + k as f64);
        }
        let whole = n * (n + 1) / 2;
        if sum != i + n * (n + 1) * (2 * n + 1) / 6 || float != (i + whole) as f64 {
            return Err(format!("round {i}: {sum} {float}"));
        }
        Ok(())
    })
}

/// A file that grows by a number at a time, none twice and none missing.
fn write_file(scene: &Scene) -> Result<(), String> {
    let path = scene.dir.join("numbers");
    let flags = libc::O_RDWR | libc::O_CREAT;
    let c_path = ckpt_guest::life::c_path(&path);
    let fd = sys::open(&c_path, flags, 0o644).map_err(|e| e.to_string())?;
    busy(scene, |i| {
        let done = sys::write(fd, &i.to_le_bytes());
        if done != Ok(8) {
            return Err(format!("write {i}: {done:?}"));
        }
        let mut back = [0; 8];
        let _ = sys::pread(fd, &mut back, i as usize * 8);
        if u64::from_le_bytes(back) != i {
            return Err(format!("number {i} is {back:?}"));
        }
        Ok(())
    })
}

/// Mappings that come, are filled, checked and go.
fn mappings(scene: &Scene) -> Result<(), String> {
    let mut rng = Rng::new(5);
    let mut maps: Vec<(Map, u64)> = Vec::new();
    busy(scene, |i| {
        if maps.len() > 20 {
            let (map, salt) = maps.swap_remove(rng.below(20) as usize);
            if !map.page_is(0, salt) {
                return Err(format!("round {i}: a page differs"));
            }
        }
        let map = Map::anon(4096 << rng.below(4)).map_err(|e| format!("mmap: {e}"))?;
        map.fill_page(0, i);
        maps.push((map, i));
        Ok(())
    })
}

static HANDLED: AtomicU64 = AtomicU64::new(0);

extern "C" fn on_signal(_: i32) {
    HANDLED.fetch_add(1, Ordering::Relaxed);
    std::hint::black_box((0..200).sum::<u64>());
}

/// Handlers that run one after another.
fn handlers(scene: &Scene) -> Result<(), String> {
    // SAFETY: the handler touches an atomic only.
    unsafe { libc::signal(libc::SIGUSR1, on_signal as *const () as usize) };
    HANDLED.store(0, Ordering::Relaxed);
    busy(scene, |i| {
        // A restart between the two calls leaves the id of before.
        while sys::signal_self(libc::SIGUSR1).is_err() {}
        match HANDLED.load(Ordering::Relaxed) {
            n if n == i + 1 => Ok(()),
            n => Err(format!("{n} signals handled, not {}", i + 1)),
        }
    })
}

/// Short system calls that always return the same.
fn calls(scene: &Scene) -> Result<(), String> {
    let mut file = std::fs::File::create(scene.dir.join("seek")).map_err(|e| e.to_string())?;
    file.write_all(&[7; 4096]).map_err(|e| e.to_string())?;
    busy(scene, |i| {
        let at = i % 4096;
        let got = file.seek(SeekFrom::Start(at)).map_err(|e| e.to_string())?;
        let parent = sys::plain(libc::SYS_getuid, &[]);
        if got != at || parent != Ok(0) || sys::close(999).is_ok() {
            return Err(format!("round {i}: {got} {parent:?}"));
        }
        Ok(())
    })
}

const fn act(name: &'static str, play: fn(&Scene) -> Result<(), String>) -> Act {
    Act {
        name,
        play,
        waits: BUSY,
        there: 0,
    }
}

/// Victims that work.
pub const ACTS: &[Act] = &[
    act("compute", compute),
    act("write-file", write_file),
    act("mappings", mappings),
    act("handlers", handlers),
    act("short-calls", calls),
];
