// SPDX-License-Identifier: GPL-2.0

//! The life cycle of a test program: arrange, checkpoint, verify.
//!
//! The runner hands over the image's path and a directory that outlives a
//! reboot. Standard input is /dev/null, standard output and error are one
//! regular file: descriptors that an image can hold.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::path::PathBuf;

use crate::check;
use crate::sys;
use crate::sys::Errno;

/// Environment variable: path of the image to write.
pub const IMAGE: &str = "CKPT_IMAGE";
/// Environment variable: directory for the test's files.
pub const DIR: &str = "CKPT_DIR";
/// Environment variable: `first`, or `reboot` after a reboot of the guest.
pub const PHASE: &str = "CKPT_PHASE";
/// Environment variable: skip the system call, to try a program on any kernel.
pub const DRY: &str = "CKPT_DRY";
/// Environment variable: the program is killed when its image is complete.
pub const KILL: &str = "CKPT_KILL";

/// From where a program came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Back {
    /// The checkpoint was taken and the program goes on; the image's identifier.
    Resumed(usize),
    /// The image was restarted.
    Restarted,
}

/// A test program that checkpoints itself.
pub struct Life {
    dir: PathBuf,
    image: i32,
    dry: bool,
    kill: bool,
}

impl Life {
    /// Opens the image.
    pub fn start() -> Self {
        let dir = PathBuf::from(variable(DIR));
        check::need("create the directory", std::fs::create_dir_all(&dir));
        let path = c_path(Path::new(&variable(IMAGE)));
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC;
        let image = check::need("create the image", sys::open(&path, flags, 0o644));
        Self {
            dir,
            image,
            dry: std::env::var_os(DRY).is_some(),
            kill: std::env::var_os(KILL).is_some(),
        }
    }

    /// The directory for the test's files.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A file of the test.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The image's descriptor.
    pub fn image(&self) -> i32 {
        self.image
    }

    /// Whether the system call is left out.
    pub fn dry(&self) -> bool {
        self.dry
    }

    /// Number of the system call to make, for programs that make it themselves:
    /// checkpoint(2), or getpid(2) in a dry run.
    pub fn call_number(&self) -> usize {
        if self.dry {
            libc::SYS_getpid as usize
        } else {
            sys::NR_CHECKPOINT
        }
    }

    /// Flags of the image that the runner restarts.
    pub fn flags(&self) -> usize {
        if self.kill {
            sys::LOG | sys::KILL
        } else {
            sys::LOG
        }
    }

    /// Checkpoints the program, for the runner: once. Allocates nothing.
    #[inline(never)]
    pub fn checkpoint(&self) -> Back {
        if self.dry {
            return Back::Resumed(1);
        }
        self.returned(sys::checkpoint(0, self.image, self.flags(), 2))
    }

    /// Judges what the call returned; ends the program on failure.
    pub fn returned(&self, ret: sys::Ret) -> Back {
        match ret {
            Ok(0) => Back::Restarted,
            Ok(id) => Back::Resumed(id),
            Err(errno) => {
                println!("FAILED: checkpoint: {errno}{}", hint(errno));
                std::process::exit(1)
            }
        }
    }
}

/// What an error number says about the kernel.
pub fn hint(errno: Errno) -> &'static str {
    match errno.0 {
        libc::ENOSYS => ": this kernel has no checkpoint(2) and restart(2)",
        _ => "",
    }
}

/// An environment variable that the runner sets.
pub fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        println!("FAILED: {name} is not set; guest-run starts this program");
        std::process::exit(1)
    })
}

/// A path for the kernel.
pub fn c_path(path: &Path) -> CString {
    check::need(
        "path with a zero byte",
        CString::new(path.as_os_str().as_bytes()),
    )
}
