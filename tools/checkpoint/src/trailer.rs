// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Is an image complete? Its last record says so.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use ckptfmt::format::head::Tail;
use ckptfmt::format::HDR_SIZE;
use ckptfmt::io::IoSource;
use ckptfmt::stream::reader::Reader;

/// Does this file end with the trailer of an image that begins where the file does?
///
/// The kernel writes the trailer last. Nothing else is looked at: this is not to find
/// damage, and an image may be large.
///
/// # Errors
///
/// Those of reading the file.
pub fn is_there(file: &File) -> io::Result<bool> {
    let mut end = [0; HDR_SIZE + size_of::<Tail>()];
    let Some(before) = file.metadata()?.len().checked_sub(end.len() as u64) else {
        return Ok(false);
    };
    file.read_exact_at(&mut end, before)?;
    let tail = Reader::new(IoSource(&end[..])).record::<Tail>(0);
    Ok(tail.is_ok_and(|tail| tail.nr_bytes == before))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ckptfmt::build::Image;
    use std::io::Write;

    #[test]
    fn a_complete_image_is_told_by_its_end() {
        let image = Image::sample().bytes();
        for (bytes, complete) in [
            (&image[..], true),
            (&image[..image.len() - 1], false),
            (&image[8..], false),
            (&image[..20], false),
            (&[], false),
        ] {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(bytes).unwrap();
            assert_eq!(is_there(&file).unwrap(), complete, "{}", bytes.len());
        }
    }
}
