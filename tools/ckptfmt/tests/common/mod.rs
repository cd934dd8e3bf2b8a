// SPDX-License-Identifier: GPL-2.0

//! Collects the events of a walk into an image again.

use ckptfmt::build::page;
use ckptfmt::build::Anon;
use ckptfmt::build::Filters;
use ckptfmt::build::Image;
use ckptfmt::build::Mapping;
use ckptfmt::build::OpenFile;
use ckptfmt::build::Other;
use ckptfmt::build::Pipe;
use ckptfmt::build::Shared;
use ckptfmt::build::Sockets;
use ckptfmt::format::cpu::Cpu;
use ckptfmt::format::cpu::Thread;
use ckptfmt::format::signal::ThreadSignal;
use ckptfmt::format::task::Creds;
use ckptfmt::format::task::EXIT_ZOMBIE;
use ckptfmt::walk::walk;
use ckptfmt::walk::Event;
use ckptfmt::walk::Stop;
use ckptfmt::walk::Totals;

/// Takes in what belongs to the last thread; false for all else.
fn thread_part(to: &mut Image, event: &Event<'_>) -> bool {
    let Some(Other::Thread {
        thread,
        cpu,
        fpu,
        restart_block,
        fs,
        table,
        signal,
        pending,
        creds,
        filters,
        ..
    }) = to.others.last_mut()
    else {
        return false;
    };
    match event {
        Event::Thread(r) => *thread = **r,
        Event::Cpu(r) => *cpu = **r,
        Event::Fpu(bytes) => *fpu = bytes.to_vec(),
        Event::RestartBlock(r) => *restart_block = Some(**r),
        Event::Fs(r) => *fs = Some((**r, Default::default())),
        Event::Root(s) => fs.as_mut().unwrap().1[0] = s.to_vec(),
        Event::Cwd(s) => fs.as_mut().unwrap().1[1] = s.to_vec(),
        Event::Files(r) => *table = Some((**r, Vec::new())),
        Event::Fd(r) => table.as_mut().unwrap().1.push(**r),
        Event::ThreadSignal(r) => *signal = **r,
        Event::Siginfo(r) => pending.push(**r),
        Event::Creds(r) => *creds = **r,
        Event::Seccomp(_) | Event::Filter(..) => filtered(filters, event),
        _ => return false,
    }
    true
}

/// Takes in the filters of a task.
fn filtered(filters: &mut Option<Filters>, event: &Event<'_>) {
    match event {
        Event::Seccomp(r) => {
            *filters = Some(Filters {
                seccomp: **r,
                new: Vec::new(),
            });
        }
        Event::Filter(r, code) => filters.as_mut().unwrap().new.push((**r, code.to_vec())),
        _ => panic!("not about filters"),
    }
}

/// Walks `bytes`; the image as the events tell it.
pub fn collect(bytes: &[u8]) -> Result<(Image, Totals), Box<Stop<std::io::Error>>> {
    let mut to = Image::minimal();
    to.paths = Default::default();
    let (mut data, mut run) = (Vec::new(), Vec::new());
    let (mut trees, mut tasks) = (0, 0);
    // The pages at hand are those of a shared memory object.
    let mut shared = false;
    let mut rest = bytes;
    let totals = walk(&mut rest, &mut |event| match event {
        Event::Head(r) => to.head = **r,
        Event::Release(s) => to.uts[0] = s.to_vec(),
        Event::Version(s) => to.uts[1] = s.to_vec(),
        Event::Machine(s) => to.uts[2] = s.to_vec(),
        Event::HeadArch(r) => to.arch = **r,
        Event::Tree(r) => {
            // The minimal image has one.
            if trees == 0 {
                to.tree.clear();
            }
            trees += 1;
            to.tree.push(**r);
        }
        Event::Affinity(bits) => to.affinity = bits.to_vec(),
        Event::Task(r) => {
            if tasks == 0 {
                to.task = **r;
            } else if r.exit_state == EXIT_ZOMBIE {
                to.others.push(Other::Zombie(**r));
            } else {
                to.others.push(Other::Thread {
                    task: **r,
                    thread: Thread::zeroed(),
                    cpu: Cpu::zeroed(),
                    fpu: Vec::new(),
                    restart_block: None,
                    fs: None,
                    table: None,
                    signal: ThreadSignal::zeroed(),
                    pending: Vec::new(),
                    creds: Creds::zeroed(),
                    filters: None,
                });
            }
            tasks += 1;
        }
        event if tasks > 1 && thread_part(&mut to, event) => {}
        Event::ThreadSignal(_) => panic!("signals of no thread"),
        Event::File(r, path) => to.files.push(OpenFile {
            file: **r,
            path: path.to_vec(),
        }),
        Event::Opener(objref, r, groups) => to.openers.push((*objref, **r, groups.to_vec())),
        Event::Eventfd(r) => {
            let objref = to.files.last().unwrap().file.objref;
            to.anons.push((objref, Anon::Eventfd(**r)));
        }
        Event::Signalfd(r) => {
            let objref = to.files.last().unwrap().file.objref;
            to.anons.push((objref, Anon::Signalfd(**r)));
        }
        Event::Timerfd(r) => {
            let objref = to.files.last().unwrap().file.objref;
            to.anons.push((objref, Anon::Timerfd(**r)));
        }
        Event::Pidfd(r) => {
            let objref = to.files.last().unwrap().file.objref;
            to.anons.push((objref, Anon::Pidfd(**r)));
        }
        Event::Epoll(_) => {
            let objref = to.files.last().unwrap().file.objref;
            to.anons.push((objref, Anon::Epoll(Vec::new())));
        }
        Event::EpollItem(r) => match to.anons.last_mut() {
            Some((_, Anon::Epoll(items))) => items.push(**r),
            _ => panic!("an entry without an epoll"),
        },
        Event::Pipe(r, path) => to.pipes.push(Pipe {
            pipe: **r,
            path: path.to_vec(),
            bufs: Vec::new(),
        }),
        Event::PipeBuf(r, bytes) => {
            to.pipes
                .last_mut()
                .unwrap()
                .bufs
                .push((**r, bytes.to_vec()));
        }
        Event::Socket(r) => {
            let pair = to.sockets.last_mut();
            let first = pair.filter(|p| p.ends.len() == 1 && p.ends[0].0.peer == r.objref);
            match first {
                Some(pair) => pair.ends.push((**r, Vec::new())),
                None => to.sockets.push(Sockets {
                    ends: vec![(**r, Vec::new())],
                }),
            }
        }
        Event::SocketMsg(objref, r) => {
            let ends = &mut to.sockets.last_mut().unwrap().ends;
            let end = ends.iter_mut().find(|e| e.0.objref == *objref);
            end.unwrap().1.push((**r, Vec::new()));
        }
        Event::SocketData(objref, bytes) => {
            let ends = &mut to.sockets.last_mut().unwrap().ends;
            let end = ends.iter_mut().find(|e| e.0.objref == *objref);
            end.unwrap()
                .1
                .last_mut()
                .unwrap()
                .1
                .extend_from_slice(bytes);
        }
        Event::Shmem(r, name) => {
            shared = true;
            to.shmem.push(Shared {
                object: **r,
                name: name.to_vec(),
                runs: Vec::new(),
            });
        }
        Event::ShmemEnd(nr) => {
            shared = false;
            assert!(data.is_empty());
            let runs = &to.shmem.last().unwrap().runs;
            assert_eq!(runs.iter().map(|r| r.len() as u64).sum::<u64>(), *nr);
        }
        Event::Mm(r) => to.mm = **r,
        Event::Auxv(v) => to.auxv = v.to_vec(),
        Event::Vma(r, name) => to.mappings.push(Mapping {
            vma: **r,
            name: name.to_vec(),
            guards: Vec::new(),
            runs: Vec::new(),
            again: Vec::new(),
        }),
        Event::Guards(g) => to.mappings.last_mut().unwrap().guards.extend_from_slice(g),
        Event::Pages(addrs) => {
            run = addrs.to_vec();
            let runs = if shared {
                &mut to.shmem.last_mut().unwrap().runs
            } else {
                &mut to.mappings.last_mut().unwrap().runs
            };
            runs.push(run.clone());
        }
        Event::Data(bytes) => {
            data.extend_from_slice(bytes);
            if data.len() == run.len() * 4096 {
                assert!(data
                    .chunks(4096)
                    .zip(&run)
                    .all(|(got, addr)| got == page(*addr)));
                data.clear();
            }
        }
        Event::Again(r) => to.mappings.last_mut().unwrap().again.push(**r),
        Event::VmaEnd(nr) => {
            assert!(data.is_empty());
            let runs = &to.mappings.last().unwrap().runs;
            assert_eq!(runs.iter().map(|r| r.len() as u64).sum::<u64>(), *nr);
        }
        Event::MmContext(r) => to.mm_context = **r,
        Event::Ldt(entries) => to.ldt.extend_from_slice(entries),
        Event::Thread(r) => to.thread = **r,
        Event::Cpu(r) => to.cpu = **r,
        Event::Fpu(bytes) => to.fpu = bytes.to_vec(),
        Event::RestartBlock(r) => to.restart_block = Some(**r),
        Event::Fs(r) => to.fs = **r,
        Event::Root(s) => to.paths[0] = s.to_vec(),
        Event::Cwd(s) => to.paths[1] = s.to_vec(),
        Event::Files(r) => to.table = **r,
        Event::Fd(r) => to.fds.push(**r),
        Event::FileLock(fd, r) => to.locks.push((*fd, **r)),
        Event::Signal(r) => to.signal = **r,
        Event::Siginfo(r) => to.pending.push(**r),
        Event::Itimers(r) => to.itimers = **r,
        Event::Timers(r) => to.timers = **r,
        Event::Timer(r) => to.posix.push(**r),
        Event::Creds(r) => to.creds = **r,
        Event::Groups(g) => to.groups.extend_from_slice(g),
        event @ (Event::Seccomp(_) | Event::Filter(..)) => filtered(&mut to.filters, event),
        Event::Rlimits(r) => to.rlimits = **r,
        Event::End(_) => {}
    })?;
    assert_eq!(totals.bytes as usize, bytes.len() - rest.len());
    Ok((to, totals))
}
