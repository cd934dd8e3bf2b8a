// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Where the image goes.
//!
//! A regular file is written under another name in the same directory, and gets its
//! own name when the image is complete and on the disk: whoever finds a file under
//! that name has a whole image, and an older one is there until then. Anything else,
//! a pipe or a device, is written to as it is.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::path::PathBuf;

use ckpttool::escape;
use tempfile::NamedTempFile;

use crate::place::directory;
use crate::trailer;

/// Open for the image.
#[derive(Debug)]
pub enum Output {
    /// A file that does not have its name yet.
    File(NamedTempFile, PathBuf),
    /// Something that is written to as it is.
    Stream(File),
}

impl Output {
    /// The descriptor for the kernel.
    pub fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::File(temp, _) => temp.as_file().as_fd(),
            Self::Stream(file) => file.as_fd(),
        }
    }

    /// How many bytes there are by now, where one can tell.
    pub fn len(&self) -> Option<u64> {
        match self {
            Self::File(temp, _) => temp.as_file().metadata().ok().map(|found| found.len()),
            Self::Stream(_) => None,
        }
    }

    /// Does the image end as a complete one does? A stream does not say.
    pub fn is_complete(&self) -> bool {
        match self {
            Self::File(temp, _) => trailer::is_there(temp.as_file()).unwrap_or(false),
            Self::Stream(_) => false,
        }
    }

    /// The image is complete: gives the file its name. Dropped without this it is
    /// removed. Returns why the name may not be on the disk yet, if that is so.
    ///
    /// # Errors
    ///
    /// When the data does not get to the disk, or the name not to the file. With
    /// `keep` the file stays under the name that it has, which the error names.
    pub fn commit(self, keep: bool) -> io::Result<Option<io::Error>> {
        let (temp, path) = match self {
            Self::File(temp, path) => (temp, path),
            Self::Stream(file) if has_disk(&file)? => return file.sync_all().map(|()| None),
            Self::Stream(_) => return Ok(None),
        };
        let (e, temp, left) = match temp.as_file().sync_all() {
            // What is read from it now need not be on the disk.
            Err(e) => (e, temp, "an image that is not all on the disk"),
            Ok(()) => match temp.persist(&path) {
                // The name as well is to be on the disk. Without that the image is
                // still there, and found: no failure.
                Ok(_) => {
                    let named = File::open(directory(&path)).and_then(|dir| dir.sync_all());
                    return Ok(named.err());
                }
                Err(e) => (e.error, e.file, "the image"),
            },
        };
        let kept = keep.then(|| temp.keep().ok()).flatten();
        Err(match kept {
            Some((_, at)) => io::Error::other(format!("{e}; {left} stays in {}", name(&at))),
            None => e,
        })
    }
}

/// Is what is written to it on a disk sooner or later? Pipes and the like cannot be synced.
fn has_disk(file: &File) -> io::Result<bool> {
    let kind = file.metadata()?.file_type();
    Ok(kind.is_file() || kind.is_block_device())
}

/// A path for messages: what is in it must not drive the terminal.
pub fn name(path: &Path) -> String {
    escape(path.as_os_str().as_bytes())
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::goal::Goal;
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::symlink;
    use std::os::unix::fs::PermissionsExt;

    pub fn begin(path: &Path) -> Output {
        Goal::new(Some(path), false, None).unwrap().begin().unwrap()
    }

    pub fn names(dir: &Path) -> Vec<String> {
        fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    pub fn put(output: &Output, bytes: &[u8]) {
        let mut file = File::from(output.fd().try_clone_to_owned().unwrap());
        file.write_all(bytes).unwrap();
    }

    #[test]
    fn a_file_gets_its_name_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.ckpt");
        fs::write(&path, "old").unwrap();
        let output = begin(&path);
        put(&output, b"new");
        assert_eq!(output.len(), Some(3));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(dir.path()).len(), 2);
        output.commit(false).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(dir.path()), ["a.ckpt"]);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
    }

    #[test]
    fn a_failure_leaves_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.ckpt");
        drop(begin(&path));
        assert!(names(dir.path()).is_empty());
        fs::write(&path, "old").unwrap();
        drop(begin(&path));
        assert_eq!(fs::read(&path).unwrap(), b"old");
    }

    #[test]
    fn an_image_of_a_killed_process_is_never_lost() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.ckpt");
        for (keep, left) in [(false, 1), (true, 2)] {
            let output = begin(&path);
            put(&output, b"image");
            // In the way of the name.
            let _ = fs::create_dir(&path);
            let message = output.commit(keep).unwrap_err().to_string();
            assert_eq!(message.contains("the image stays in "), keep, "{message}");
            assert_eq!(names(dir.path()).len(), left);
            if keep {
                let at = message.rsplit(' ').next().unwrap();
                assert_eq!(fs::read(at).unwrap(), b"image");
            }
            fs::remove_dir(&path).unwrap();
        }
    }

    #[test]
    fn symbolic_links_stay() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        fs::write(&file, "old").unwrap();
        symlink("file", &link).unwrap();
        let output = begin(&link);
        put(&output, b"new");
        output.commit(false).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"new");
    }

    #[test]
    fn links_that_lead_nowhere_yet_stay() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name| dir.path().join(name);
        fs::create_dir(at("sub")).unwrap();
        for (link, to) in [
            ("first", "sub/second".into()),
            ("sub/second", "../third".into()),
            ("third", at("sub/file")),
        ] {
            symlink(to, at(link)).unwrap();
        }
        let output = begin(&at("first"));
        put(&output, b"image");
        assert_eq!(names(&at("sub")).len(), 2);
        output.commit(false).unwrap();
        for link in ["first", "sub/second", "third"] {
            assert!(fs::symlink_metadata(at(link)).unwrap().is_symlink());
        }
        assert_eq!(fs::read(at("sub/file")).unwrap(), b"image");
        assert_eq!(fs::read(at("first")).unwrap(), b"image");
    }

    #[test]
    fn what_gets_to_a_disk_is_waited_for() {
        assert!(has_disk(&tempfile::tempfile().unwrap()).unwrap());
        assert!(!has_disk(&File::create("/dev/null").unwrap()).unwrap());
        let (_reader, writer) = io::pipe().unwrap();
        let pipe = File::from(std::os::fd::OwnedFd::from(writer));
        assert!(!has_disk(&pipe).unwrap());
        // Cannot be synced.
        assert!(Output::Stream(pipe).commit(true).unwrap().is_none());
    }
}
