// SPDX-License-Identifier: GPL-2.0

//! The same state gives the same bytes, but for the fields documented as varying.
//!
//! A program without a C library writes images of one state to a pipe: of itself, and
//! of itself with a family, which has nearly all that an image can have. The two last
//! images of each are compared, record by record.

use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::process::ExitCode;
use std::process::Stdio;

use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::cases::Cases;
use ckpt_guest::format;
use ckpt_guest::image;
use ckpt_guest::image::Image;
use ckpt_guest::image::Rec;
use ckpt_guest::life;
use ckpt_guest::varies;
use ckpt_guest::varies::Field;

const IMAGES: usize = 4;

/// Reads until there are enough images.
fn take(family: bool) -> Result<Vec<Vec<u8>>, String> {
    let program = Path::new(&life::variable("CKPT_BIN")).join("nolibc");
    let mut child = Command::new(program)
        .arg("loop")
        .args(family.then_some("family"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .env_clear()
        .spawn()
        .map_err(|e| e.to_string())?;
    let mut pipe = child.stdout.take().ok_or("no pipe")?;
    let mut images = Vec::new();
    let mut stream = Vec::new();
    let mut buf = vec![0; 1 << 16];
    while images.len() < IMAGES {
        let n = pipe.read(&mut buf).map_err(|e| e.to_string())?;
        stream.extend_from_slice(&buf[..n]);
        while let Ok(spans) = image::spans(&stream) {
            let end = spans.last().map_or(0, |s| s.all.end);
            images.push(stream.drain(..end).collect());
        }
        if n == 0 && images.len() < IMAGES {
            let status = child.wait().map_err(|e| e.to_string())?;
            let why = image::spans(&stream).err().unwrap_or_default();
            return Err(format!("{} images, then {status}: {why}", images.len()));
        }
    }
    drop(pipe);
    let _ = child.kill();
    let _ = child.wait();
    images.truncate(IMAGES);
    Ok(images)
}

fn compare(one: &Rec, two: &Rec, varying: &[Field]) -> Vec<String> {
    let name = format::type_name(one.kind);
    if (one.kind, one.len, one.parent) != (two.kind, two.len, two.parent) {
        return vec![format!("{name}: the pre-headers differ")];
    }
    let mut differ = Vec::new();
    let free = |at: usize| {
        varying
            .iter()
            .any(|f| f.kind == one.kind && f.at.contains(&at))
    };
    for (at, (a, b)) in one.payload.iter().zip(&two.payload).enumerate() {
        if a != b && !free(at) {
            let field = varies::fields(one.kind)
                .into_iter()
                .find(|f| f.at.contains(&at));
            differ.push(field.map_or(format!("{name} byte {at}"), |f| {
                format!("{name}.{}", f.name)
            }));
        }
    }
    if one.addrs != two.addrs {
        differ.push(format!("{name}: other pages are stored"));
    } else if one.pages != two.pages {
        let page = one
            .pages
            .iter()
            .zip(&two.pages)
            .position(|(a, b)| a != b)
            .unwrap_or(0);
        differ.push(format!(
            "{name}: page {:#x} differs",
            one.addrs[page / 4096]
        ));
    }
    differ.dedup();
    differ
}

fn same(images: &[Vec<u8>]) -> Case {
    let [.., one, two] = images else {
        return Err("too few images".to_string());
    };
    let (first, second) = (Image::parse(one)?, Image::parse(two)?);
    let kinds = |image: &Image| image.records.iter().map(|r| r.kind).collect::<Vec<_>>();
    if kinds(&first) != kinds(&second) || one.len() != two.len() {
        return Err(format!(
            "records differ: {} and {} bytes",
            one.len(),
            two.len()
        ));
    }
    let varying = varies::varying();
    let pairs = first.records.iter().zip(&second.records);
    let differ: Vec<String> = pairs.flat_map(|(a, b)| compare(a, b, &varying)).collect();
    if differ.is_empty() {
        return pass_with(format!(
            "{} records, {} bytes",
            first.records.len(),
            one.len()
        ));
    }
    Err(differ.join(", "))
}

fn identifiers(images: &[Vec<u8>]) -> Case {
    let field = varies::field(format::HEAD, "crid").ok_or("no field")?;
    let mut ids = Vec::new();
    for bytes in images {
        let image = Image::parse(bytes)?;
        let head = image.records.first().ok_or("no records")?;
        ids.push(head.get(field.at.clone()));
    }
    if ids.windows(2).all(|w| w[1] == w[0] + 1) {
        return pass_with(format!("{ids:?}"));
    }
    Err(format!("{ids:?}"))
}

fn rebuilt(images: &[Vec<u8>]) -> Case {
    for bytes in images {
        if Image::parse(bytes)?.to_bytes() != *bytes {
            return Err("an image that is put together again differs".to_string());
        }
    }
    pass_with(format!("{} images", images.len()))
}

fn main() -> ExitCode {
    let mut cases = Cases::new();
    for (family, prefix) in [(false, ""), (true, "family-")] {
        let name = |case| format!("{prefix}{case}");
        let images = match take(family) {
            Ok(images) => images,
            Err(error) => {
                cases.report(&name("images"), Err(error));
                continue;
            }
        };
        cases.run(&name("same-state"), || same(&images));
        cases.run(&name("identifiers-in-images"), || identifiers(&images));
        cases.run(&name("counts-and-checksums"), || rebuilt(&images));
    }
    cases.verdict()
}
