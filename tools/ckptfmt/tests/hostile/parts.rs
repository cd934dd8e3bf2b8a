// SPDX-License-Identifier: GPL-2.0

//! Interrupted calls, pending signals and timers that lie.

use ckptfmt::build::reseal;
use ckptfmt::build::split;
use ckptfmt::build::Image;
use ckptfmt::build::Other;
use ckptfmt::format;
use ckptfmt::format::call::flags;
use ckptfmt::format::call::kind;
use ckptfmt::format::call::RestartBlock;
use ckptfmt::format::files::File;
use ckptfmt::format::pending::Siginfo;
use ckptfmt::format::pending::PENDING_MAX;
use ckptfmt::format::task::Task;

use super::lie;
use super::refusal;

#[test]
fn a_restart_block_that_lies() {
    let change = |change: fn(&mut RestartBlock)| {
        move |i: &mut Image| change(i.restart_block.as_mut().unwrap())
    };
    lie(
        "restart block of an unknown kind",
        change(|b| b.kind = u32::MAX),
    );
    lie(
        "restart block has a kernel address",
        change(|b| b.addr = u64::MAX),
    );
    lie(
        "time that is left is out of range",
        change(|b| b.remaining_ns = u64::MAX),
    );
    // Whatever a socket may be asked for, execve(2) it is not.
    lie(
        "restart block has an unknown call",
        change(|b| {
            *b = RestartBlock::zeroed();
            (b.kind, b.flags, b.call) = (kind::SOCKET, flags::TIMEOUT, 59);
        }),
    );
    of_another_object(format::RESTART_BLOCK);
}

/// The first record of `kind` belongs to the task and to nobody else.
fn of_another_object(kind: i16) {
    let mut bytes = Image::sample().bytes();
    let record = split(&bytes)
        .into_iter()
        .find(|r| bytes[r.start..r.start + 2] == kind.to_le_bytes())
        .unwrap();
    bytes[record.start + 4] ^= 1;
    reseal(&mut bytes);
    assert_eq!(refusal(&bytes), "record belongs to another object");
}

#[test]
fn pending_signals_and_timers_that_lie() {
    let expected = "record is not the one expected here";
    lie(expected, |i| i.signal.nr_pending = 0);
    lie(expected, |i| i.signal.nr_pending = 1);
    lie(expected, |i| i.signal.nr_pending += 1);
    lie(expected, |i| i.signal.nr_pending = PENDING_MAX);
    lie("too many signals are pending", |i| {
        i.signal.nr_pending = u32::MAX;
    });
    lie(expected, |i| i.pending.clear());
    lie("pending signal of an unknown queue", |i| {
        i.pending[1].queue = u32::MAX;
    });
    lie("pending signal has no such number", |i| {
        i.pending[0].signo = i32::MIN;
    });
    lie("SIGKILL or SIGSTOP is pending", |i| i.pending[0].signo = 9);
    lie("pending signal of a POSIX timer has another code", |i| {
        i.pending[1].flags = 1;
    });
    lie("time of a timer is out of range", |i| {
        i.itimers.timers[2].interval = u64::MAX;
    });
    of_another_object(format::SIGINFO);
    of_another_object(format::ITIMERS);
}

/// What waits for the second thread.
fn of_thread(image: &mut Image) -> &mut Vec<Siginfo> {
    match &mut image.others[0] {
        Other::Thread { pending, .. } => pending,
        Other::Zombie(_) => panic!("the sample has another order"),
    }
}

#[test]
fn posix_timers_that_lie() {
    let expected = "record is not the one expected here";
    lie(expected, |i| i.timers.nr_timers = 3);
    lie(expected, |i| i.timers.nr_timers += 1);
    lie("too many POSIX timers", |i| i.timers.nr_timers = u32::MAX);
    lie("ids of POSIX timers do not grow", |i| i.posix.swap(0, 2));
    lie("ids of POSIX timers do not grow", |i| i.posix[0].id = 2);
    lie("signal of a POSIX timer is missing", |i| {
        i.pending.retain(|s| s.flags == 0);
        of_thread(i).clear();
        i.settle();
    });
    lie("signal of a POSIX timer is missing", |i| {
        of_thread(i).pop();
        i.settle();
    });
    lie("pending signal is of no POSIX timer", |i| {
        i.posix[3].flags = 0;
    });
    lie("pending signal is of no POSIX timer", |i| {
        let again = *of_thread(i).last().unwrap();
        of_thread(i).push(again);
        i.settle();
    });
    let other: [fn(&mut Image); 10] = [
        |i| i.posix[1].flags = 0,
        |i| i.posix[2].flags = 2,
        // Each thread has what is for it.
        |i| i.posix[3].tid = 100,
        |i| {
            let sent = of_thread(i).pop();
            i.pending.extend(sent);
            i.settle();
        },
        |i| {
            let sent = i.pending.pop();
            of_thread(i).extend(sent);
            of_thread(i)[2].queue = 0;
            i.settle();
        },
        |i| i.pending[2].queue = 0,
        |i| i.pending[2].signo = 35,
        |i| i.pending[2].errno = 1,
        |i| i.pending[2].fields[0] = 0,
        |i| i.pending[2].fields[1] = 8,
    ];
    for change in other {
        lie("POSIX timer and its pending signal do not fit", change);
    }
    lie("POSIX timer of a thread that is not in the image", |i| {
        i.posix[2].tid += 5;
    });
    lie("POSIX timer of a thread that is not in the image", |i| {
        i.posix[2].clock_tid += 5;
    });
    // A child that has ended is no thread.
    lie("POSIX timer of a thread that is not in the image", |i| {
        i.posix[3].tid = 102;
    });
    of_another_object(format::TIMERS);
    of_another_object(format::TIMER);
}

#[test]
fn things_that_tasks_share_and_lies_about_them() {
    lie("address space is another one than the task's", |i| {
        i.task.mm = 60
    });
    lie("descriptor table is another one than the task's", |i| {
        i.task.files = 60
    });
    lie("file system view is another one than the task's", |i| {
        i.task.fs = 60
    });
    lie("object reference is used twice", |i| {
        i.task.handlers = i.task.objref
    });
    fn of_thread(change: fn(&mut Task)) -> impl FnOnce(&mut Image) {
        move |i| match i.others.first_mut() {
            Some(Other::Thread { task, .. }) => change(task),
            _ => panic!("another sample"),
        }
    }
    let different = "threads of a process have different memory or handlers";
    lie(different, of_thread(|task| task.mm = 60));
    lie(different, of_thread(|task| task.handlers = 60));
    lie(
        "descriptor table is another one than the task's",
        of_thread(|task| task.files = 60),
    );
    lie(
        "file system view is another one than the task's",
        of_thread(|task| task.fs = 60),
    );
    // What it shares does not follow again.
    let expected = "record is not the one expected here";
    lie(expected, of_thread(|task| task.fs = 4));
    lie(expected, of_thread(|task| task.files = 3));
}

#[test]
fn a_file_of_a_process_that_lies() {
    fn of_file(change: fn(&mut File)) -> impl FnOnce(&mut Image) {
        move |i| {
            let mut files = i.files.iter_mut();
            let open = files.find(|open| open.file.pid != 0).unwrap();
            change(&mut open.file);
        }
    }
    let path = "path of a file has no process where it should";
    let file = "file is not in the directory of a process";
    lie(file, of_file(|f| f.pid_at = 0));
    lie(file, of_file(|f| f.pid = 0));
    lie(file, of_file(|f| f.pid_at = f.path_len));
    lie(path, of_file(|f| f.pid_at = 5));
    lie(path, of_file(|f| f.pid_at = 7));
    lie(path, of_file(|f| f.pid = 102));
    lie(
        "file of a process that is not in the forest",
        of_file(|f| f.pid = 101),
    );
}
