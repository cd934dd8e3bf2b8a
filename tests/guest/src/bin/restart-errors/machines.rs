// SPDX-License-Identifier: GPL-2.0

//! Images of machines that this one is not: what they have and it lacks is named.

use ckpt_guest::cases::Case;
use ckpt_guest::desk::Desk;
use ckpt_guest::format;
use ckpt_guest::format::cpuid;
use ckpt_guest::image::Image;
use ckpt_guest::image::Rec;
use ckpt_guest::sys;
use ckpt_guest::varies;

use crate::refused;
use crate::text;

/// An image that is good, but for what `change` has done to its record of the machine; the
/// log must name what `change` returns.
fn of(name: &str, change: fn(&mut Rec) -> Result<&'static str, String>) -> Case {
    let desk = Desk::open(name);
    desk.make(|| ())?;
    // As it is put together here, it restarts.
    let mut image = Image::parse(&text(std::fs::read(&desk.path))?)?;
    write(&desk, &image)?;
    desk.restarts()?;
    let at = image.find(format::HEAD_ARCH).ok_or("no record of it")?;
    let what = change(&mut image.records[at])?;
    write(&desk, &image)?;
    refused(&desk, &[libc::EOPNOTSUPP], what)
}

fn write(desk: &Desk, image: &Image) -> Result<(), String> {
    let bytes = image.to_bytes();
    let cut = sys::plain(libc::SYS_ftruncate, &[desk.image as usize, bytes.len()]);
    if cut.is_err() || sys::pwrite(desk.image, &bytes, 0) != Ok(bytes.len()) {
        return Err("the image cannot be written".to_string());
    }
    Ok(())
}

/// Changes a number of the record.
fn change(rec: &mut Rec, name: &str, with: fn(u64) -> u64) -> Result<(), String> {
    let field = varies::field(format::HEAD_ARCH, name).ok_or(format!("no field {name}"))?;
    // Arrays by their first element.
    let at = field.at.start..field.at.end.min(field.at.start + 8);
    rec.set(at.clone(), with(rec.get(at)));
    Ok(())
}

pub fn features() -> Case {
    of("feature", |rec| {
        let words = varies::field(format::HEAD_ARCH, "cpuid").ok_or("no field cpuid")?;
        for (word, bit, name) in cpuid::FEATURES {
            let at = words.at.start + word * 4;
            let has = rec.get(at..at + 4);
            if has >> bit & 1 == 0 {
                rec.set(at..at + 4, has | 1 << bit);
                return Ok(name);
            }
        }
        Err("this processor has everything".to_string())
    })
}

pub fn state() -> Case {
    of("state", |rec| {
        // A component that the processor of the test lacks.
        change(rec, "xfeatures", |has| has | 1 << 18)?;
        Ok("all vector state: amx")
    })
}

pub fn layout() -> Case {
    of("size", |rec| {
        change(rec, "xsave_size", |size| size ^ 64)?;
        Ok("another layout: its size")
    })?;
    of("offsets", |rec| {
        change(rec, "xoffsets", |offsets| offsets ^ 1)?;
        Ok("another layout: avx")
    })
}

pub fn vdso() -> Case {
    of("vdso", |rec| {
        change(rec, "vdso_crc", |crc| crc ^ 1)?;
        Ok("vDSO")
    })
}
