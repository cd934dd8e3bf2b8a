// SPDX-License-Identifier: GPL-2.0

//! Restarts many images, in children that survive refusals.
//!
//! A child tries one image after the other and compares itself after each. Should an
//! image be accepted, the child becomes its program; another one goes on behind it.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::mem::Map;
use ckpt_guest::mem::Spec;
use ckpt_guest::mem::PAGE;
use ckpt_guest::pace;
use ckpt_guest::rng::Rng;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;
use ckpt_guest::unharmed::Unharmed;

/// One image to try.
pub struct Attempt {
    /// What was done to it.
    pub label: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// It must never be accepted.
    pub never: bool,
}

/// Images that are made when it is their turn.
pub struct List<'a> {
    /// How many.
    pub count: usize,
    /// Makes the image with this index.
    pub make: Box<dyn Fn(usize) -> Attempt + 'a>,
    /// One of so many is tried.
    stride: usize,
}

impl<'a> List<'a> {
    /// Every `stride`th of the list. Chance tells which is the first, so that all have
    /// their turn in some run.
    pub fn thinned(self, stride: usize, seed: u64) -> Self {
        let first = Rng::new(seed).below(stride.min(self.count).max(1) as u64) as usize;
        let make = self.make;
        Self {
            count: (self.count - first.min(self.count)).div_ceil(stride),
            make: Box::new(move |i| make(first + i * stride)),
            stride: self.stride * stride,
        }
    }

    /// A list of changes, each of which `make` carries out.
    pub fn of<T: 'a>(items: Vec<T>, make: impl Fn(&T) -> Attempt + 'a) -> Self {
        Self {
            count: items.len(),
            make: Box::new(move |i| make(&items[i])),
            stride: 1,
        }
    }
}

/// The child has tried all images.
const DONE: i32 = 90;
/// The child was harmed, and has said how.
const HARMED: i32 = 91;
/// The caller is compared as a whole at one attempt of this many.
const WHOLE: usize = 32;
/// Memory that is compared after each attempt.
const SAMPLE: usize = 16 * PAGE;
/// A sweep ends after this many failures.
const ENOUGH: usize = 10;
/// Seconds until those that an image has left must have ended.
pub const PATIENCE: u64 = 10;
/// Errno counters start behind the two indices in the shared page.
const COUNTERS: usize = 2;

/// Where attempts are made.
pub struct Engine {
    /// The image, a file in memory.
    file: i32,
    /// The log, which is thrown away.
    log: i32,
    /// A page that parent and child share: index, last return, errno counters.
    shared: Map,
    sample: Map,
}

impl Engine {
    /// Opens what is needed.
    pub fn new() -> Result<Self, String> {
        let name = c"image".as_ptr() as usize;
        let file = sys::plain(libc::SYS_memfd_create, &[name, 0]);
        let log = sys::open(c"/dev/null", libc::O_RDWR, 0);
        let shared = Map::new(Spec {
            flags: libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            ..Spec::default()
        });
        let text = |e: sys::Errno| e.to_string();
        let engine = Self {
            file: file.map_err(text)? as i32,
            log: log.map_err(text)?,
            shared: shared.map_err(text)?,
            sample: Map::anon(SAMPLE).map_err(text)?,
        };
        Rng::new(9).fill(engine.sample.bytes_mut());
        Ok(engine)
    }

    fn cell(&self, index: usize) -> &AtomicUsize {
        assert!(index < PAGE / size_of::<AtomicUsize>());
        // SAFETY: the page is mapped, aligned, and only used through atomics.
        unsafe { &*(self.shared.addr as *const AtomicUsize).add(index) }
    }

    fn sample_sum(&self) -> u64 {
        let words = self.sample.bytes().chunks_exact(8);
        words.fold(0, |sum, w| {
            let word = u64::from_le_bytes(w.try_into().unwrap_or_default());
            (sum.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95)
        })
    }

    fn load(&self, bytes: &[u8]) -> Result<(), String> {
        let put = sys::pwrite(self.file, bytes, 0);
        let cut = sys::plain(libc::SYS_ftruncate, &[self.file as usize, bytes.len()]);
        if put != Ok(bytes.len()) || cut.is_err() {
            return Err("cannot write the image".to_string());
        }
        Ok(())
    }

    fn restart(&self) -> i32 {
        let _ = sys::lseek(self.file, 0, libc::SEEK_SET);
        sys::restart(0, self.file, sys::LOG, self.log).0
    }

    /// The image as it is must be accepted.
    pub fn control(&mut self, bytes: &[u8]) -> Case {
        self.load(bytes)?;
        let ended = sys::in_child(20, || {
            let errno = self.restart();
            println!("FAILED: restart: {}", sys::Errno(errno));
            DONE
        });
        if ended != Ended::Exit(0) {
            return Err(format!("the image does not restart: {ended:?}"));
        }
        reap(PATIENCE)?;
        pass_with(format!("{} bytes", bytes.len()))
    }

    /// Tries all images of a list.
    pub fn sweep(&mut self, list: &List<'_>) -> Case {
        (0..PAGE / 8).for_each(|i| self.cell(i).store(0, Ordering::Relaxed));
        if list.count == 0 {
            return Err("there is nothing to change".to_string());
        }
        let start = Instant::now();
        let (mut next, mut accepted, mut killed, mut wrong) = (0, 0, 0, Vec::new());
        while next < list.count && wrong.len() < ENOUGH {
            self.cell(1).store(usize::MAX, Ordering::Relaxed);
            let (ended, own) = self.attempts(list, next)?;
            let at = self.cell(0).load(Ordering::Relaxed);
            let returned = self.cell(1).load(Ordering::Relaxed) == at;
            if returned || own {
                reap(PATIENCE).map_err(|why| {
                    // The next case is judged for itself.
                    let _ = kill_all();
                    format!("up to {}: {why}", (list.make)(at).label)
                })?;
            } else if reap(1).is_err() {
                // It was accepted, and may have told them not to end.
                killed += 1;
                kill_all().map_err(|why| format!("{}: {why}", (list.make)(at).label))?;
            }
            match ended {
                Ended::Exit(DONE) => break,
                Ended::Exit(HARMED) => wrong.push((list.make)(at).label),
                // Out of time on a slow machine, not at one attempt: go on there.
                Ended::Hung if at > next => {
                    next = at;
                    continue;
                }
                _ if returned => {
                    let label = (list.make)(at).label;
                    wrong.push(format!(
                        "{label}: refused, then the caller ended: {ended:?}"
                    ));
                }
                _ if own => {
                    let label = (list.make)(at).label;
                    wrong.push(format!("{label}: the caller ended in the call: {ended:?}"));
                }
                _ => {
                    let attempt = (list.make)(at);
                    accepted += 1;
                    if attempt.never {
                        wrong.push(format!("{}: accepted ({ended:?})", attempt.label));
                    }
                }
            }
            next = at + 1;
        }
        let mut remark = self.remark(next.max(self.cell(0).load(Ordering::Relaxed) + 1), accepted);
        if killed > 0 {
            remark.push_str(&format!("; {killed} left others, which were killed"));
        }
        if list.stride > 1 {
            remark.push_str(&format!("; one in {}", list.stride));
        }
        remark.push_str(&format!("; {} s", start.elapsed().as_secs()));
        if wrong.is_empty() {
            return pass_with(remark);
        }
        Err(format!("{}; {remark}", wrong.join("; ")))
    }

    /// Tries the images from `first` on in a child, until one is accepted: how that ended,
    /// and whether it still was the caller then, not what the image has made of it.
    fn attempts(&self, list: &List<'_>, first: usize) -> Result<(Ended, bool), String> {
        let pid = sys::fork().map_err(|e| format!("fork: {e}"))?;
        if pid == 0 {
            sys::exit(self.child(list, first))
        }
        let start = Instant::now();
        let limit = Duration::from_secs(60 * pace::factor());
        while !sys::has_ended(pid) && start.elapsed() < limit {
            std::thread::sleep(Duration::from_micros(500));
        }
        // Until it is waited for, it has its name.
        let name = |of: &str| std::fs::read(format!("/proc/{of}/comm"));
        let (its, ours) = (name(&pid.to_string()), name("self"));
        let ended = sys::wait_for(pid, 0);
        let text = |e: std::io::Error| e.to_string();
        Ok((ended, its.map_err(text)? == ours.map_err(text)?))
    }

    fn remark(&self, tried: usize, accepted: usize) -> String {
        let errnos: BTreeMap<usize, usize> = (1..200)
            .map(|e| (e, self.cell(COUNTERS + e).load(Ordering::Relaxed)))
            .filter(|(_, count)| *count > 0)
            .collect();
        let errnos: Vec<String> = errnos
            .iter()
            .map(|(errno, count)| format!("{count} {}", sys::Errno(*errno as i32)))
            .collect();
        format!("{tried} images, {accepted} accepted, {}", errnos.join(", "))
    }

    /// Tries the images from `first` on.
    fn child(&self, list: &List<'_>, first: usize) -> i32 {
        let mut caller = Unharmed::take_beside_others([self.file, self.log]);
        let (sum, fds) = (self.sample_sum(), fds());
        for index in first..list.count {
            let attempt = (list.make)(index);
            if let Err(why) = self.load(&attempt.bytes) {
                println!("FAILED: {why}");
                return HARMED;
            }
            let whole = index % WHOLE == 0 || index == first;
            if whole {
                caller.again();
            }
            self.cell(0).store(index, Ordering::Relaxed);
            let errno = self.restart();
            self.cell(1).store(index, Ordering::Relaxed);
            let harm = if whole { caller.check().err() } else { None };
            let harm = harm
                .or((errno == 0).then(|| "the call returned 0".to_string()))
                .or((self.sample_sum() != sum).then(|| "the caller's memory differs".to_string()))
                .or((self::fds() != fds).then(|| "the caller's descriptors differ".to_string()));
            if let Some(why) = harm {
                println!("FAILED: {}: {why}", attempt.label);
                return HARMED;
            }
            let counter = COUNTERS + (errno as usize).min(200);
            self.cell(counter).fetch_add(1, Ordering::Relaxed);
        }
        DONE
    }
}

/// Waits so many seconds for those that an image has left to us, who have no reason to go
/// on; an error if some do.
pub fn reap(seconds: u64) -> Result<(), String> {
    let limit = Duration::from_secs(seconds * pace::factor());
    let start = Instant::now();
    loop {
        // SAFETY: waits for children of ours, and stores nothing.
        match unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG | libc::__WALL) } {
            0 if start.elapsed() > limit => break,
            0 => std::thread::sleep(Duration::from_millis(10)),
            pid if pid < 0 => return Ok(()),
            _ => {}
        }
    }
    let left: Vec<String> = children().into_iter().map(|(_, line)| line).collect();
    Err(format!("these do not end: {}", left.join(", ")))
}

/// Kills those that an image has left to us, and those that they leave.
fn kill_all() -> Result<(), String> {
    let mut left = Ok(());
    for _ in 0..PATIENCE {
        for (pid, _) in children() {
            let args = [pid as usize, libc::SIGKILL as usize];
            let _ = sys::plain(libc::SYS_kill, &args);
        }
        left = reap(1);
        if left.is_ok() {
            break;
        }
    }
    left
}

/// Our children: id, and the start of its line in procfs, with name and state.
fn children() -> Vec<(i32, String)> {
    let me = sys::getpid().to_string();
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    all.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let line = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        let (name, rest) = line.rsplit_once(") ")?;
        let mut words = rest.split(' ');
        let state = words.next()?;
        (words.next()? == me).then(|| (pid, format!("{name}) {state}")))
    })
    .collect()
}

/// Which of the low descriptors are open, on what, and how.
fn fds() -> [usize; 24] {
    std::array::from_fn(|fd| {
        let get = |what| sys::fcntl(fd as i32, what, 0).unwrap_or(usize::MAX);
        get(libc::F_GETFD) ^ get(libc::F_GETFL) << 8 ^ sys::inode(fd as i32) << 24
    })
}
