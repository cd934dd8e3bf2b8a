// SPDX-License-Identifier: GPL-2.0

//! The record that ends the image of a failed checkpoint: what it says.
//!
//! `struct cr_hdr_error` behind a `struct cr_hdr`, see the description of the
//! format. A test holds the offsets against the sources of the format.

use std::fs::File;
use std::io::Seek;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;

/// Bytes of both structures, and where the second one starts.
const SIZE: usize = 240;
const PAYLOAD: usize = 8;
/// The number of the record.
const KIND: u16 = 9999;
/// Kinds of places.
const PLACE_FD: u32 = 1;
const PLACE_RANGE: u32 = 2;
const PLACE_NUMBER: u32 = 5;
/// Offsets in the payload.
const PLACE: usize = 8;
const TEXT_LEN: usize = 14;
const A: usize = 16;
const B: usize = 24;
const TEXT: usize = 40;

fn file(image: BorrowedFd<'_>) -> Option<File> {
    image.try_clone_to_owned().ok().map(File::from)
}

/// The position of an image that can seek.
pub fn position(image: BorrowedFd<'_>) -> Option<u64> {
    file(image)?.stream_position().ok()
}

/// Why the image that was written from `start` on has failed, if it says so.
pub fn reason(image: BorrowedFd<'_>, start: u64) -> Option<String> {
    let end = position(image)?;
    let at = end.checked_sub(SIZE as u64).filter(|at| *at >= start)?;
    let mut record = [0; SIZE];
    file(image)?.read_exact_at(&mut record, at).ok()?;
    parse(&record)
}

fn parse(record: &[u8; SIZE]) -> Option<String> {
    let (header, payload) = record.split_at(PAYLOAD);
    let kind = u16::from_le_bytes(header.get(..2)?.try_into().ok()?);
    let len = u16::from_le_bytes(header.get(2..4)?.try_into().ok()?);
    if kind != KIND || usize::from(len) != SIZE.saturating_sub(PAYLOAD) {
        return None;
    }
    let number = |at| bytes(payload, at).map(u64::from_le_bytes);
    let errno = u32::from_le_bytes(bytes(payload, 0)?);
    let place = match u32::from_le_bytes(bytes(payload, PLACE)?) {
        PLACE_FD => format!("fd {}: ", number(A)?),
        PLACE_RANGE => format!("{:#x}-{:#x}: ", number(A)?, number(B)?),
        PLACE_NUMBER => format!("number {}: ", number(A)?),
        _ => String::new(),
    };
    let len = u16::from_le_bytes(bytes(payload, TEXT_LEN)?);
    let text = payload.get(TEXT..)?.get(..usize::from(len))?;
    let text: String = String::from_utf8_lossy(text)
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect();
    Some(format!("{place}{text} (errno {errno})"))
}

fn bytes<const N: usize>(from: &[u8], at: usize) -> Option<[u8; N]> {
    from.get(at..)?.get(..N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ckptfmt::build::Image;
    use ckptfmt::format;
    use ckptfmt::format::head::place;
    use ckptfmt::format::head::ErrorRec;
    use std::io::Write;
    use std::os::fd::AsFd;

    #[test]
    fn offsets_are_those_of_the_format() {
        let at = |name| ErrorRec::FIELDS.iter().find(|f| f.0 == name).unwrap().1;
        let all = ["errno", "place", "text_len", "a", "b", "text"].map(at);
        assert_eq!(all, [0, PLACE, TEXT_LEN, A, B, TEXT]);
        assert_eq!(SIZE, format::HDR_SIZE + size_of::<ErrorRec>());
        assert_eq!((PAYLOAD, KIND), (format::HDR_SIZE, format::ERROR as u16));
        assert_eq!(
            [PLACE_FD, PLACE_RANGE, PLACE_NUMBER],
            [place::FD, place::RANGE, place::NUMBER]
        );
    }

    fn failed() -> Vec<u8> {
        let mut error = ErrorRec::zeroed();
        (error.errno, error.place, error.a) = (95, place::FD, 6);
        error.text_len = 4;
        error.text[..4].copy_from_slice(b"no\x1b!");
        Image::minimal().failed(&error)
    }

    #[test]
    fn the_reason_is_at_the_end_of_the_image() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"something else").unwrap();
        let start = position(file.as_fd()).unwrap();
        file.write_all(&failed()).unwrap();
        let said = reason(file.as_fd(), start).unwrap();
        assert_eq!(said, "fd 6: no?! (errno 95)");
        // What another checkpoint has left there says nothing of this one.
        let end = position(file.as_fd()).unwrap();
        assert_eq!(reason(file.as_fd(), end), None);
    }

    #[test]
    fn other_images_and_other_files_give_none() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&Image::minimal().bytes()).unwrap();
        assert_eq!(reason(file.as_fd(), 0), None);
        let named = tempfile::NamedTempFile::new().unwrap();
        let mut blind = File::options().write(true).open(named.path()).unwrap();
        blind.write_all(&failed()).unwrap();
        assert_eq!(reason(blind.as_fd(), 0), None);
        let (_, pipe) = std::io::pipe().unwrap();
        assert_eq!(position(pipe.as_fd()), None);
    }
}
