// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Where the image is to go: looked at before anything is touched, and refused if it could
//! not stay there.

use std::fs::File;
use std::io;
use std::io::ErrorKind;
use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;
use std::time::Instant;

use nix::sys::stat::makedev;

use crate::output::name;
use crate::output::Output;
use crate::place::behind_links;
use crate::place::descriptor;
use crate::place::directory;
use crate::place::Found;
use crate::sys;

/// What was asked for, looked at but not yet touched.
#[derive(Debug)]
pub enum Goal {
    /// This file is to have the image.
    File(PathBuf),
    /// This is to be written to, and is called so.
    Stream(File, String),
}

/// The null device: a descriptor that was closed has it.
const NULL: (u64, u64) = (1, 3);

/// What somebody else has opened gets the image, if it keeps it.
fn stream(file: File, name: String) -> io::Result<Goal> {
    let meta = file.metadata()?;
    if meta.file_type().is_char_device() && meta.rdev() == makedev(NULL.0, NULL.1) {
        return Err(io::Error::other(format!(
            "{name} is closed or /dev/null, which keeps nothing: name a file with -o FILE, or \
             write to a pipe"
        )));
    }
    no_terminal(file, name)
}

fn no_terminal(file: File, name: String) -> io::Result<Goal> {
    if file.is_terminal() {
        return Err(io::Error::other(format!(
            "{name} is a terminal, and an image is not text: name a file with -o FILE, \
             or write to a pipe"
        )));
    }
    Ok(Goal::Stream(file, name))
}

impl Goal {
    /// Looks at the argument of `--output`; whether the process will be killed. For the
    /// reader of a FIFO it waits until `deadline`.
    ///
    /// # Errors
    ///
    /// When the image cannot go there; TimedOut. One of a process that will be killed does not go
    /// to the standard output unless that was asked for: a job of cron(8) or systemd(1)
    /// has one as well, and nobody there keeps an image.
    pub fn new(output: Option<&Path>, kill: bool, deadline: Option<Instant>) -> io::Result<Self> {
        if output.is_none() && kill {
            return Err(io::Error::other(
                "with --kill say where the image goes: -o FILE, or -o - for standard output",
            ));
        }
        let of_path = |e: io::Error, path| io::Error::new(e.kind(), format!("{}: {e}", name(path)));
        let Some(path) = output.filter(|path| *path != "-") else {
            let stdout = io::stdout().as_fd().try_clone_to_owned()?;
            return stream(stdout.into(), "standard output".into());
        };
        let found = Found::at(path);
        if let (Ok(_), Some(fd)) = (&found, descriptor(path)) {
            let file = sys::of_caller(fd).map_err(|errno| of_path(errno.into(), path))?;
            return stream(file.into(), name(path));
        }
        match found {
            Ok(found) if found.meta.is_dir() => {
                Err(of_path(io::Error::from(ErrorKind::IsADirectory), path))
            }
            // Behind symbolic links, which stay.
            Ok(found) if found.meta.is_file() => {
                let file = found.name().and_then(|file| {
                    found.is_replaceable(&file)?;
                    Ok(file)
                });
                file.map(Self::File).map_err(|e| of_path(e, path))
            }
            Ok(found) => {
                let file = found.open(deadline);
                no_terminal(file.map_err(|e| of_path(e, path))?, name(path))
            }
            // Also behind links that lead nowhere yet.
            Err(e) if e.kind() == ErrorKind::NotFound => {
                let file = behind_links(path).and_then(|file| match names_a_file(&file) {
                    true => Ok(file),
                    false => Err(e),
                });
                file.map(Self::File).map_err(|e| of_path(e, path))
            }
            Err(e) => Err(of_path(e, path)),
        }
    }

    /// How messages call it.
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => name(path),
            Self::Stream(_, name) => name.clone(),
        }
    }

    /// Makes it ready to be written to.
    ///
    /// # Errors
    ///
    /// Those of creating a file.
    pub fn begin(self) -> io::Result<Output> {
        match self {
            Self::Stream(file, _) => Ok(Output::Stream(file)),
            Self::File(path) => tempfile::Builder::new()
                .prefix(".checkpoint-")
                .suffix(".part")
                .tempfile_in(directory(&path))
                .map(|temp| Output::File(temp, path)),
        }
    }
}

/// Can a file be created under this path? Not if its end says that it is a directory.
fn names_a_file(path: &Path) -> bool {
    let bytes = path.as_os_str().as_bytes();
    path.file_name().is_some() && !bytes.ends_with(b"/") && !bytes.ends_with(b"/.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::tests::begin;
    use crate::output::tests::names;
    use crate::output::tests::put;
    use nix::fcntl::fcntl;
    use nix::fcntl::FcntlArg;
    use nix::fcntl::FdFlag;
    use std::fs;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_that_lead_to_no_file_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        for (to, why) in [
            ("link", "symbolic links"),
            ("none/file", "No such file"),
            ("none/", "No such file"),
        ] {
            symlink(to, &link).unwrap();
            let result = Goal::new(Some(&link), false, None).and_then(Goal::begin);
            let e = result.unwrap_err().to_string();
            assert!(e.contains(why), "{to}: {e}");
            fs::remove_file(&link).unwrap();
        }
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn a_descriptor_is_written_to_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("all");
        fs::write(&path, "before ").unwrap();
        let file = File::options().append(true).open(&path).unwrap();
        // As one that was inherited.
        fcntl(&file, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
        let link = dir.path().join("link");
        symlink(format!("/dev/fd/{}", file.as_raw_fd()), &link).unwrap();
        let output = begin(&link);
        put(&output, b"image");
        output.commit(true).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"before image");
        assert_eq!(names(dir.path()).len(), 2);
        // One that this program has opened itself.
        fcntl(&file, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
        let e = Goal::new(Some(&link), false, None).unwrap_err();
        assert!(e.to_string().contains("Bad file descriptor"), "{e}");
    }

    #[test]
    fn devices_are_written_to_and_stay_devices() {
        let goal = Goal::new(Some(Path::new("/dev/null")), true, None).unwrap();
        assert_eq!(goal.name(), "/dev/null");
        let output = goal.begin().unwrap();
        assert_eq!(output.len(), None);
        assert!(!output.is_complete());
        output.commit(true).unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }

    #[test]
    fn what_cannot_be_written_to() {
        let goal = Goal::new(Some(Path::new("/tmp/\x1b[2J")), false, None).unwrap();
        assert_eq!(goal.name(), "/tmp/\\u{1b}[2J");
        let text = |path: &str| match Goal::new(Some(Path::new(path)), false, None).map(Goal::begin)
        {
            Ok(Ok(output)) => panic!("{output:?}"),
            Ok(Err(e)) | Err(e) => e.to_string(),
        };
        assert!(text("/tmp").starts_with("/tmp: "));
        assert!(text("").contains("No such file"));
        for directory in ["/tmp/no-such-directory/", "/tmp/no-such-directory/."] {
            assert!(text(directory).contains("No such file"), "{directory}");
        }
        assert!(text("/no/such/directory/a.ckpt").contains("No such file"));
    }
}
