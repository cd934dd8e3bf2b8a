// SPDX-License-Identifier: GPL-2.0

//! Images whose pipes lie: each is refused, or is a valid image of another pipe, and
//! the caller is unharmed either way.

use std::process::ExitCode;

use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::cases::Cases;
use ckpt_guest::desk::Desk;
use ckpt_guest::desk::RESTARTED;
use ckpt_guest::format;
use ckpt_guest::image::Image;
use ckpt_guest::pace;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;
use ckpt_guest::varies;

const EXTREMES: [u64; 10] = [
    0,
    1,
    3,
    0x7fff,
    0x8_0000,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_f000,
    0x8000_0000_0000_0000,
    u64::MAX,
];

/// Fields of a file that mean something for an end of a pipe.
const OF_AN_END: [&str; 4] = ["kind", "flags", "path_len", "object"];

/// Exit status of a child that was refused and is unharmed.
const REFUSED: i32 = 30;

/// A program with a pipe that holds two packets and some bytes, and its image.
fn base(desk: &Desk) -> Result<Image, String> {
    desk.make(|| {
        let ends = sys::pipe(libc::O_DIRECT).unwrap_or([-1; 2]);
        let _ = sys::write(ends[1], b"packet");
        let _ = sys::write(ends[1], &[7; 5000]);
        let other = sys::pipe(0).unwrap_or([-1; 2]);
        let _ = sys::write(other[1], b"bytes");
    })?;
    Image::parse(&std::fs::read(&desk.path).map_err(|e| e.to_string())?)
}

/// Restarts `image` in a child: whether it was refused.
fn attempt(desk: &Desk, label: &str, image: &Image) -> Result<bool, String> {
    let bytes = image.to_bytes();
    let written = sys::pwrite(desk.image, &bytes, 0);
    if written != Ok(bytes.len()) {
        return Err(format!("cannot write the image: {written:?}"));
    }
    let length = [desk.image as usize, bytes.len()];
    sys::plain(libc::SYS_ftruncate, &length).map_err(|e| format!("ftruncate: {e}"))?;
    let ended = sys::in_child(30, || match desk.refuses() {
        Ok((sys::Errno(1..), _)) => REFUSED,
        other => {
            println!("{label}: {other:?}");
            1
        }
    });
    match ended {
        Ended::Exit(REFUSED) => Ok(true),
        Ended::Exit(RESTARTED) => Ok(false),
        other => Err(format!("{label}: {other:?}: {}", desk.said())),
    }
}

/// Every field of pipes and their buffers, and what an end refers to.
fn fields() -> Case {
    let desk = Desk::open("fields");
    let base = base(&desk)?;
    let (mut refused, mut valid) = (0, 0);
    // Odd, as there are ten values: each has its turn somewhere.
    let stride = pace::thinning() | 1;
    let mut turn = 0;
    for (nr, rec) in base.records.iter().enumerate() {
        let is_end = rec.kind == format::FILE
            && varies::field(format::FILE, "object").is_some_and(|f| rec.get(f.at) != 0);
        if !is_end && ![format::PIPE, format::PIPE_BUF].contains(&rec.kind) {
            continue;
        }
        for field in varies::fields(rec.kind) {
            if is_end && !OF_AN_END.contains(&field.name) {
                continue;
            }
            for value in EXTREMES {
                let mut image = base.clone();
                image.records[nr].set(field.at.clone(), value);
                turn += 1;
                if image == base || turn % stride != 0 {
                    continue;
                }
                let label = format!("record {nr}: {} = {value:#x}", field.name);
                if attempt(&desk, &label, &image)? {
                    refused += 1;
                } else {
                    valid += 1;
                }
            }
        }
    }
    if refused < 150 / stride {
        return Err(format!(
            "only {refused} of {} were refused",
            refused + valid
        ));
    }
    pass_with(format!("{refused} refused, {valid} valid"))
}

/// Records of pipes dropped, doubled, cut, or of another owner.
fn records() -> Case {
    let desk = Desk::open("records");
    let base = base(&desk)?;
    let mut tried = 0;
    for (nr, rec) in base.records.iter().enumerate() {
        let kinds = [format::PIPE, format::PIPE_BUF, format::PIPE_DATA];
        if !kinds.contains(&rec.kind) {
            continue;
        }
        let change = |what: &str, change: &dyn Fn(&mut Image)| {
            let mut image = base.clone();
            change(&mut image);
            let label = format!("record {nr} {what}");
            match attempt(&desk, &label, &image) {
                Ok(true) => Ok(()),
                Ok(false) => Err(format!("{label}: restarted")),
                Err(error) => Err(error),
            }
        };
        change("dropped", &|i| {
            i.records.remove(nr);
        })?;
        change("doubled", &|i| {
            i.records.insert(nr, rec.clone());
        })?;
        change("of another owner", &|i| i.records[nr].parent ^= 1)?;
        change("a byte shorter", &|i| {
            i.records[nr].payload.pop();
            i.records[nr].len -= 1;
        })?;
        tried += 4;
    }
    pass_with(format!("{tried} refused"))
}

/// Gives up CAP_SYS_ADMIN (21) and CAP_SYS_RESOURCE (24).
fn drop_rights() -> sys::Ret {
    let rights = ((1u64 << 41) - 1) & !(1 << 21 | 1 << 24);
    let (low, high) = (rights as u32, (rights >> 32) as u32);
    // _LINUX_CAPABILITY_VERSION_3; effective, permitted, inheritable, twice.
    let header = [0x2008_0522u32, 0];
    let data = [low, low, 0, high, high, 0];
    let args = [header.as_ptr() as usize, data.as_ptr() as usize];
    sys::plain(libc::SYS_capset, &args)
}

/// A pipe that is larger than the caller may have.
fn limits() -> Case {
    let desk = Desk::open("limits");
    let ended = sys::in_child(30, || {
        if drop_rights().is_err() {
            return 1;
        }
        let Ok(mut image) = base(&desk) else { return 2 };
        let slots = varies::field(format::PIPE, "slots").map_or(0..0, |f| f.at);
        let Some(pipe) = image.find(format::PIPE) else {
            return 3;
        };
        image.records[pipe].set(slots, 1 << 12);
        let bytes = image.to_bytes();
        if sys::pwrite(desk.image, &bytes, 0) != Ok(bytes.len()) {
            return 4;
        }
        match desk.refuses() {
            Ok((errno, said)) if errno.0 == libc::EPERM && said.contains("capacity") => REFUSED,
            other => {
                println!("{other:?}");
                5
            }
        }
    });
    match ended {
        Ended::Exit(REFUSED) => pass_with(desk.said()),
        other => Err(format!("{other:?}: {}", desk.said())),
    }
}

fn main() -> ExitCode {
    let mut cases = Cases::new();
    cases.run("fields", fields);
    cases.run("records", records);
    cases.run("limits", limits);
    cases.verdict()
}
