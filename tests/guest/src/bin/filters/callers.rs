// SPDX-License-Identifier: GPL-2.0

//! Images with filters, and callers that have some themselves or may not have those.

use ckpt_guest::bpf;
use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::desk::Desk;
use ckpt_guest::format;
use ckpt_guest::image::Image;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;
use ckpt_guest::varies;

use crate::add;
use crate::count;
use crate::no_new_privs;
use crate::seen;
use crate::sees;
use crate::GROUP;
use crate::PARENT;
use crate::USER;

/// An image with two filters, and what its program must see.
fn make(desk: &Desk, wanted: [i32; 3], filters: usize) -> Result<(), String> {
    let arrange = || {
        let _ = (add(PARENT, 42, 0), add(USER, 45, bpf::LOG));
    };
    desk.make_with(arrange, || {
        let good = sees("restarted", wanted).and_then(|()| match count() {
            count if count == filters => Ok(()),
            count => Err(format!("{count} filters, not {filters}")),
        });
        if let Err(why) = &good {
            println!("{why}");
        }
        good.is_ok()
    })
}

/// The caller's filter stays.
pub fn caller_with_another() -> Case {
    let desk = Desk::open("filters-caller");
    make(&desk, [42, 43, 45], 3)?;
    add(GROUP, 43, 0)?;
    desk.restarts()?;
    pass_with("3 filters")
}

/// A caller that has what the image began with.
pub fn caller_with_the_same() -> Case {
    let desk = Desk::open("filters-same");
    add(GROUP, 43, 0)?;
    make(&desk, [42, 43, 45], 3)?;
    desk.restarts()?;
    pass_with("3 filters")
}

/// A caller that has it and one more, and one that has all of it.
pub fn caller_with_more() -> Case {
    let (desk, second) = (Desk::open("filters-more"), Desk::open("filters-all"));
    add(GROUP, 43, 0)?;
    // The last one that has something to say.
    make(&desk, [42, 46, 45], 4)?;
    add(GROUP, 46, 0)?;
    desk.restarts()?;
    make(&second, [42, 46, 45], 4)?;
    let _ = (add(PARENT, 42, 0)?, add(USER, 45, bpf::LOG)?);
    second.restarts()?;
    pass_with("4 filters, each time")
}

/// What is in the image of a restarted program.
pub fn again() -> Case {
    let (desk, second) = (Desk::open("filters-again"), Desk::open("filters-second"));
    let arrange = || {
        let _ = (add(PARENT, 42, 0), add(USER, 45, bpf::LOG));
        let _ = bpf::install(&bpf::longest(), 0);
    };
    desk.make_with(arrange, || matches!(second.checkpoint(), Ok(id) if id > 0))?;
    desk.restarts()?;
    let filters = |desk: &Desk| -> Result<Vec<(i16, Vec<u8>)>, String> {
        let bytes = std::fs::read(&desk.path).map_err(|e| e.to_string())?;
        let records = Image::parse(&bytes)?.records;
        Ok(records
            .into_iter()
            .filter_map(|rec| {
                let skip = match rec.kind {
                    // Without the references.
                    format::SECCOMP_FILTER => 8,
                    format::SECCOMP_CODE => 0,
                    _ => return None,
                };
                Some((rec.kind, rec.payload[skip..].to_vec()))
            })
            .collect())
    };
    let (before, now) = (filters(&desk)?, filters(&second)?);
    if before.len() != 7 || before != now {
        return Err(format!("{} records became {}", before.len(), now.len()));
    }
    pass_with("7 records")
}

/// An image in which a field of a record has another value.
fn edit(desk: &Desk, kind: i16, at: std::ops::Range<usize>, value: u64) -> Result<(), String> {
    let bytes = std::fs::read(&desk.path).map_err(|e| e.to_string())?;
    let mut image = Image::parse(&bytes)?;
    // Credentials come last of the task: those before are of its files.
    let records = &mut image.records;
    let record = match kind {
        format::CREDS => records.iter_mut().rfind(|r| r.kind == kind),
        _ => records.iter_mut().find(|r| r.kind == kind),
    };
    record.ok_or("no such record")?.set(at, value);
    std::fs::write(&desk.path, image.to_bytes()).map_err(|e| e.to_string())
}

fn refused(desk: &Desk, errno: i32, word: &str) -> Case {
    let before = (seen(), count());
    let (got, said) = desk.refuses()?;
    if got.0 != errno || !said.contains(word) {
        return Err(format!("{got}: {said}"));
    }
    if before != (seen(), count()) {
        return Err("the caller has other filters than before".to_string());
    }
    pass_with(said)
}

/// An image in strict mode, for a caller with filters and one without.
pub fn strict_image() -> Case {
    let desk = Desk::open("filters-strict");
    desk.make(|| ())?;
    let mode = varies::field(format::CREDS, "seccomp").ok_or("no such field")?;
    edit(&desk, format::CREDS, mode.at, 1)?;
    let ended = sys::in_child(30, || {
        desk.restart();
        1
    });
    // It ends by exit_group().
    if ended != Ended::Signal(libc::SIGKILL) {
        return Err(format!("no strict mode: {ended:?}"));
    }
    add(GROUP, 43, 0)?;
    refused(&desk, libc::EPERM, "strict mode")
}

/// Without no_new_privs a filter needs a right.
pub fn no_right() -> Case {
    let desk = Desk::open("filters-right");
    make(&desk, [42, 0, 45], 2)?;
    let lose = || {
        let mut header = [0x2008_0522u32, 0];
        let mut data = [0u32; 6];
        let args = [
            header.as_mut_ptr() as usize,
            data.as_mut_ptr() as usize,
            0,
            0,
            0,
            0,
        ];
        // SAFETY: the kernel reads and writes two structures of three numbers.
        let done = unsafe {
            sys::raw(libc::SYS_capget as usize, args).and_then(|_| {
                // CAP_SYS_ADMIN
                data[0] &= !(1 << 21);
                sys::raw(libc::SYS_capset as usize, args)
            })
        };
        done.map_err(|e| e.to_string())
    };
    lose()?;
    refused(&desk, libc::EACCES, "no_new_privs")?;
    no_new_privs();
    desk.restarts()?;
    pass_with("with no_new_privs")
}

/// A program that no filter may be.
pub fn bad_program() -> Case {
    let desk = Desk::open("filters-bad");
    make(&desk, [42, 0, 45], 2)?;
    for code in [0xffff, 0x28, 0x30] {
        edit(&desk, format::SECCOMP_CODE, 0..2, code)?;
        refused(&desk, libc::EINVAL, "cannot be made")?;
    }
    edit(&desk, format::SECCOMP_CODE, 0..2, 0x20)?;
    // Behind the data.
    edit(&desk, format::SECCOMP_CODE, 4..8, 64)?;
    refused(&desk, libc::EINVAL, "cannot be made")
}

/// More filters than a task may have.
pub fn too_long() -> Case {
    let desk = Desk::open("filters-long");
    let arrange = || {
        let _ = (
            bpf::install(&bpf::longest(), 0),
            bpf::install(&bpf::longest(), 0),
        );
    };
    desk.make(arrange)?;
    desk.restarts()?;
    add(PARENT, 42, 0)?;
    let mut own = 0;
    while bpf::install(&bpf::longest(), 0).is_ok() {
        own += 1;
    }
    refused(&desk, libc::ENOMEM, "cannot be made")?;
    pass_with(format!("on top of {own} long ones"))
}
