// SPDX-License-Identifier: GPL-2.0

//! What an open file is open on: its inode, and what that is.

use crate::kapi::file::FileRef;
use crate::kapi::socket::Sock;
use kernel::bindings;
use kernel::error::to_result;
use kernel::prelude::*;

/// What stat(2) tells of a file.
pub(crate) struct Stat {
    /// Type and permissions.
    pub(crate) mode: u16,
    /// Size in bytes.
    pub(crate) size: i64,
    /// Inode number.
    pub(crate) ino: u64,
    /// Number of names.
    pub(crate) nlink: u32,
    /// Last change of the contents: seconds and nanoseconds.
    pub(crate) mtime: (i64, u32),
    /// Device number of a device file: major and minor.
    pub(crate) rdev: (u32, u32),
}

/// Attributes of an open file. Without `ask`, what is known here will do: whoever
/// serves the file elsewhere is not waited for.
pub(crate) fn stat(file: &FileRef, ask: bool) -> Result<Stat> {
    let mut st = bindings::kstat::default();
    // SAFETY: The reference keeps the file and with it its path; `st` is ours.
    to_result(unsafe {
        bindings::vfs_getattr(
            bindings::ckpt_file_path(file.as_ptr()),
            &mut st,
            bindings::STATX_BASIC_STATS,
            if ask { 0 } else { bindings::AT_STATX_DONT_SYNC },
        )
    })?;
    Ok(Stat {
        mode: st.mode,
        size: st.size,
        ino: st.ino,
        nlink: st.nlink,
        mtime: (st.mtime.tv_sec, st.mtime.tv_nsec as u32),
        rdev: (st.rdev >> 20, st.rdev & 0xf_ffff),
    })
}

/// Type and device number of an open file, of which neither changes.
pub(crate) fn device(file: &FileRef) -> (u32, (u32, u32)) {
    // SAFETY: The reference keeps the file and its inode.
    let (mode, dev) = unsafe {
        let inode = bindings::ckpt_file_inode(file.as_ptr());
        ((*inode).i_mode, (*inode).i_rdev)
    };
    (mode.into(), (dev >> 20, dev & 0xf_ffff))
}

/// Is it a file of a control group, of either version?
pub(crate) fn is_cgroup(file: &FileRef) -> bool {
    // SAFETY: The reference keeps the file, its inode and the file system.
    let magic = unsafe { (*(*bindings::ckpt_file_inode(file.as_ptr())).i_sb).s_magic };
    magic == bindings::CGROUP_SUPER_MAGIC as c_ulong
        || magic == bindings::CGROUP2_SUPER_MAGIC as c_ulong
}

/// The address of the file's inode: its identity while a reference is held.
pub(crate) fn identity(file: &FileRef) -> usize {
    // SAFETY: The reference keeps the file and its inode.
    unsafe { bindings::ckpt_file_inode(file.as_ptr()) as usize }
}

/// What a file is open on: the same for all that are open on the same.
#[derive(Clone, Copy)]
pub(crate) struct On {
    inode: usize,
    /// A pipe or a FIFO.
    pub(crate) is_pipe: bool,
    /// A socket.
    pub(crate) is_socket: bool,
    /// The address of a local socket, else 0.
    socket: usize,
    /// A terminal, at either end.
    pub(crate) is_terminal: bool,
}

impl On {
    /// Of an open file, which is held as long as the answer is of use.
    pub(crate) fn of(file: &FileRef) -> Self {
        let (mode, (major, _)) = device(file);
        let kind = mode & bindings::S_IFMT;
        Self {
            inode: identity(file),
            is_pipe: kind == bindings::S_IFIFO,
            is_socket: kind == bindings::S_IFSOCK,
            socket: Sock::of(file).map_or(0, |sock| sock.identity()),
            is_terminal: kind == bindings::S_IFCHR && matches!(major, 4 | 5 | 136..=143),
        }
    }

    /// Is the file open on the same inode? Both ends of a pipe are.
    pub(crate) fn is_on(&self, file: &FileRef) -> bool {
        self.inode == identity(file)
    }

    /// A socket of which is not known what it is connected to.
    pub(crate) fn is_other_socket(&self) -> bool {
        self.is_socket && self.socket == 0
    }

    /// Is the file the local socket that receives what is sent to this one?
    pub(crate) fn is_received_by(&self, file: &FileRef) -> bool {
        let peer = Sock::of(file).and_then(|sock| sock.peer());
        self.socket != 0 && peer.is_some_and(|peer| peer.identity() == self.socket)
    }
}
