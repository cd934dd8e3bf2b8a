// SPDX-License-Identifier: GPL-2.0

//! The forest: each task of it, and how they fit together; signals of threads.

use ckptfmt::build::Image;
use ckptfmt::build::Other;
use ckptfmt::format::pending::PENDING_MAX;
use ckptfmt::format::tree;
use ckptfmt::stream::reader::Fault;
use ckptfmt::walk::walk;

use super::check;
use super::KERNEL;
use super::RESERVED;

#[test]
fn forest() {
    let image = Image::sample();
    check(
        image.tree[0],
        &[
            (|r| r.pid = 0, "task has no valid process id"),
            (|r| r.tgid = tree::PID_LIMIT, "task has no valid process id"),
            (
                |r| r.parent = tree::PID_LIMIT,
                "parent, group or session is out of range",
            ),
            (
                |r| r.sid = u32::MAX,
                "parent, group or session is out of range",
            ),
            (|r| r.flags = 16, "task of the forest has unknown flags"),
            (|r| r.exit_signal = 65, "exit signal is out of range"),
            (|r| r.exit_code = 1, "exit code is out of range"),
            (
                |r| r.flags = tree::tree_flags::SESSION_LEADER,
                "session leader is not in its own session and group",
            ),
            (|r| r.tgid = 99, "thread has what only processes have"),
            (|r| r.reserved[3] = 1, RESERVED),
        ],
    );
    check(
        image.tree[2],
        &[
            (|r| r.exit_code = 0x10000, "exit code is out of range"),
            (
                |r| r.flags |= tree::tree_flags::AUTOREAP,
                "a zombie is of a process that leaves none",
            ),
        ],
    );
}

#[test]
fn a_forest_as_a_whole() {
    let sample = Image::sample();
    let whole = |trees: &[tree::Tree]| {
        let mut image = sample.clone();
        image.tree = trees.to_vec();
        image.settle();
        let stop = walk(image.bytes().as_slice(), &mut |_| {}).unwrap_err();
        assert_eq!(stop.kind, Some(ckptfmt::format::TREE));
        match stop.fault {
            Fault::Bad(why) => why.0,
            other => panic!("{other:?}"),
        }
    };
    let [first, thread, child] = sample.tree[..] else {
        panic!("another sample")
    };
    let with = |of: tree::Tree, change: fn(&mut tree::Tree)| {
        let mut of = of;
        change(&mut of);
        of
    };
    // The processes 102 and 103, by their sessions and groups.
    let two = |(sid, pgid), (other_sid, other_pgid)| {
        let (mut one, mut other) = (child, child);
        (one.parent, one.sid, one.pgid, one.flags, one.exit_code) = (100, sid, pgid, 0, 0);
        (other.parent, other.sid, other.pgid) = (100, other_sid, other_pgid);
        (other.pid, other.tgid, other.flags, other.exit_code) = (103, 103, 0, 0);
        vec![first, one, other]
    };
    let founder = "session has the id of a process in another one";
    let no_parent = "parent does not stand before its child";
    let no_first = "first task is not a living process without parent";
    let no_leader = "thread does not follow its process";
    for (trees, why) in [
        (vec![thread], no_first),
        (vec![with(first, |r| r.parent = 1)], no_first),
        (vec![with(first, |r| r.flags = 1)], no_first),
        (vec![first, first], "process id is used twice"),
        (
            vec![first, thread, with(child, |r| r.parent = 0)],
            no_parent,
        ),
        (vec![first, with(child, |r| r.parent = 101)], no_parent),
        (
            vec![
                first,
                with(child, |r| (r.parent, r.sid, r.flags) = (100, 90, 1)),
                with(child, |r| {
                    (r.pid, r.tgid, r.sid, r.parent) = (103, 103, 9, 100);
                    r.flags = 1;
                }),
            ],
            "process group is in two sessions",
        ),
        // The founder of a group is in its session, before and behind the members.
        (two((9, 9), (8, 102)), "process group is in two sessions"),
        (two((8, 103), (9, 9)), "process group is in two sessions"),
        // So is the one of a session.
        (two((9, 9), (102, 7)), founder),
        (two((103, 7), (9, 9)), founder),
        // A session is no group of another one.
        (two((9, 7), (7, 8)), founder),
        (
            vec![
                with(first, |r| (r.sid, r.pgid) = (102, 50)),
                with(child, |r| (r.parent, r.sid, r.pgid) = (100, 102, 102)),
            ],
            "a child leads the session of the first process",
        ),
        (
            vec![
                with(first, |r| (r.sid, r.pgid) = (20, 50)),
                with(child, |r| {
                    (r.parent, r.sid, r.pgid, r.flags, r.exit_code) = (100, 9, 0, 0, 0)
                }),
            ],
            "group of another namespace is in a session of this one",
        ),
        (
            vec![first, thread, child, with(thread, |r| r.pid = 103)],
            no_leader,
        ),
        (vec![first, with(thread, |r| r.tgid = 77)], no_leader),
    ] {
        assert_eq!(whole(&trees), why);
    }
    let orphan = with(child, |r| {
        (r.pid, r.tgid, r.parent) = (103, 103, 102);
        (r.flags, r.exit_code) = (0, 0);
    });
    assert_eq!(whole(&[first, thread, child, orphan]), no_parent);
}

#[test]
fn signals_of_a_thread() {
    let image = Image::sample();
    let Some(Other::Thread { signal, .. }) = image.others.first() else {
        panic!("another sample")
    };
    check(
        *signal,
        &[
            (
                |r| r.nr_pending = PENDING_MAX + 1,
                "too many signals are pending",
            ),
            (|r| r.reserved = 1, RESERVED),
            (|r| r.reserved2[1] = 1, RESERVED),
            (|r| r.blocked = 1 << 8, "SIGKILL or SIGSTOP is blocked"),
            (|r| r.ss_flags = 4, "alternate stack has unknown flags"),
            (|r| r.ss_sp = KERNEL, "alternate stack is a kernel address"),
            (
                |r| r.ss_size = KERNEL,
                "alternate stack is a kernel address",
            ),
        ],
    );
}

#[test]
fn tasks_that_are_not_those_of_the_forest() {
    let why = |image: &Image| {
        let stop = walk(image.bytes().as_slice(), &mut |_| {}).unwrap_err();
        match stop.fault {
            Fault::Bad(why) => why.0,
            other => panic!("{other:?}"),
        }
    };
    let another = "task is another one than in the forest";
    let mut image = Image::sample();
    image.task.pid = 103;
    assert_eq!(why(&image), another);
    let mut image = Image::sample();
    for other in &mut image.others {
        match other {
            Other::Thread { task, .. } | Other::Zombie(task) => {
                (task.state, task.stop_signal) = (0, 0);
                task.exit_state ^= 1;
                let objref = u32::from(task.exit_state == 0);
                (task.mm, task.files) = (objref, objref);
                (task.fs, task.handlers) = (objref, objref);
            }
        }
    }
    assert_eq!(why(&image), another);
    let mut image = Image::sample();
    if let Some(Other::Thread { pending, .. }) = image.others.first_mut() {
        pending[0].queue = 1;
    }
    assert_eq!(why(&image), "signal of the process is pending for a thread");
}
