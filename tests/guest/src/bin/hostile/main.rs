// SPDX-License-Identifier: GPL-2.0

//! Images that somebody has tampered with: each is answered with an errno, and the
//! caller is unharmed.
//!
//! The image is the smallest there is, of a program without a C library. Where a
//! change is to be judged for itself, counts and checksums are made right again.

mod bytes;
mod engine;
mod fields;
mod records;

use std::path::Path;
use std::process::Command;
use std::process::ExitCode;
use std::process::Stdio;

use ckpt_guest::cases::Cases;
use ckpt_guest::image;
use ckpt_guest::image::Image;
use ckpt_guest::life;
use ckpt_guest::pace;
use engine::Engine;

/// The image that all others are made from.
struct Base {
    bytes: Vec<u8>,
    image: Image,
    spans: Vec<image::Span>,
}

fn base() -> Result<Base, String> {
    let program = Path::new(&life::variable("CKPT_BIN")).join("nolibc");
    let path = Path::new(&life::variable(life::DIR)).join("tiny.img");
    let out = Command::new(program)
        .arg(&path)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let status = out.map_err(|e| e.to_string())?;
    if !status.success() {
        return Err(format!("cannot make an image: {status}"));
    }
    let bytes = std::fs::read(&path).map_err(|e| e.to_string())?;
    let image = Image::parse(&bytes)?;
    if image.to_bytes() != bytes {
        return Err("the image differs when it is put together again".to_string());
    }
    Ok(Base {
        spans: image::spans(&bytes)?,
        image,
        bytes,
    })
}

fn main() -> ExitCode {
    let mut cases = Cases::new();
    let (base, mut engine) = match base().and_then(|base| Ok((base, Engine::new()?))) {
        Ok(both) => both,
        Err(error) => {
            cases.report("image", Err(error));
            return cases.verdict();
        }
    };
    cases.run("control", || engine.control(&base.bytes));
    let lists: [(&str, engine::List<'_>); 10] = [
        ("cut", bytes::cuts(&base)),
        ("flipped-bit", bytes::flips(&base)),
        ("flipped-page-bit", bytes::page_flips(&base)),
        ("flipped-bit-sealed", bytes::sealed_flips(&base)),
        ("kernel-addresses", fields::kernel_addresses(&base)),
        ("privileges", fields::privileges(&base)),
        ("extreme-numbers", fields::extremes(&base)),
        ("record-order", records::order(&base)),
        ("record-headers", records::headers(&base)),
        ("page-runs", records::page_runs(&base)),
    ];
    // Odd, so that each bit of a byte gets its turn somewhere.
    let stride = match pace::factor() {
        1 => 1,
        factor => 4 * factor as usize + 1,
    };
    for (name, list) in lists {
        let list = list.thinned(stride);
        cases.run(name, || engine.sweep(&list));
    }
    // The image itself is still good, and so is this program.
    cases.run("control-again", || engine.control(&base.bytes));
    cases.verdict()
}
