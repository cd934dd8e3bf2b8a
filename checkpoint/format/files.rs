// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Descriptors and open files.

use super::ensure;
use super::wire;
use super::Record;
use super::Why;

/// Highest descriptor number, as the kernel's largest fs.nr_open.
pub const FD_MAX: u32 = 0x7fff_ffc0;
/// Descriptors of a table at most.
pub const NR_FDS_MAX: u32 = 1 << 20;

/// Locks on the file of a descriptor at most.
pub const NR_LOCKS_MAX: u32 = 1 << 16;
/// Last byte of a lock that has no end.
pub const LOCK_END: u64 = i64::MAX as u64;

/// Kinds of open file.
pub mod file_kind {
    /// A regular file, by path.
    pub const REGULAR: u32 = 1;
    /// A directory, by path.
    pub const DIRECTORY: u32 = 2;
    /// A location only (O_PATH), by path.
    pub const PATH: u32 = 3;
    /// A character device without state: null, zero, full, random, urandom.
    pub const CHARDEV: u32 = 4;
    /// A terminal, by path.
    pub const TTY: u32 = 5;
    /// The stream that the image was written to, when it is not a file: the
    /// restarting task's descriptor of the same number takes its place.
    pub const STREAM: u32 = 6;
    /// An end of a pipe or FIFO, whose record stands before.
    pub const PIPE: u32 = 7;
    /// An eventfd; its counter follows.
    pub const EVENTFD: u32 = 8;
    /// A signalfd; its signals follow.
    pub const SIGNALFD: u32 = 9;
    /// A timerfd; its timer follows.
    pub const TIMERFD: u32 = 10;
    /// An epoll; its entries follow. The files that it watches stand before.
    pub const EPOLL: u32 = 11;
    /// A pidfd; its process follows.
    pub const PIDFD: u32 = 12;
    /// A local socket, whose record stands before.
    pub const SOCKET: u32 = 13;
    /// A shared memory object: a memfd, or an unlinked file of tmpfs.
    pub const SHMEM: u32 = 20;
}

/// Bits of [`File::flags`].
pub mod file_flags {
    /// Access mode: 0 read, 1 write, 2 both.
    pub const ACCMODE: u32 = 3;
    /// Every write appends.
    pub const APPEND: u32 = 1 << 2;
    /// Calls do not block.
    pub const NONBLOCK: u32 = 1 << 3;
    /// Writes reach the disk with their data.
    pub const DSYNC: u32 = 1 << 4;
    /// Writes reach the disk with data and metadata.
    pub const SYNC: u32 = 1 << 5;
    /// Transfers go around the page cache.
    pub const DIRECT: u32 = 1 << 6;
    /// Reads do not change the access time.
    pub const NOATIME: u32 = 1 << 7;
    /// Opened for its location only.
    pub const PATH: u32 = 1 << 8;
    /// A symbolic link itself.
    pub const NOFOLLOW: u32 = 1 << 9;
    /// Must be a directory.
    pub const DIRECTORY: u32 = 1 << 10;
    /// Offsets are 64 bits wide.
    pub const LARGEFILE: u32 = 1 << 11;
    /// The image was written to this file: its position is behind the image.
    pub const IMAGE: u32 = 1 << 12;
    /// Contents are mapped by the first who has the file. For information: a restart
    /// looks at each mapping.
    pub const MAPPED: u32 = 1 << 13;
    /// The end of a FIFO that reads: nobody has written since it was opened, so that
    /// poll(2) does not tell of a hang-up.
    pub const UNSEEN: u32 = 1 << 14;
    /// As MAPPED, by a shared mapping.
    pub const SHARED: u32 = 1 << 15;
    /// All bits.
    pub const ALL: u32 = (1 << 16) - 1;
}

wire! {
    /// `struct cr_hdr_file`: an open file; its path follows as a string.
    pub struct File [88] {
        /// Object reference.
        objref: u32,
        /// See [`file_kind`].
        kind: u32,
        /// See [`file_flags`].
        flags: u32,
        /// File type and permissions, as st_mode.
        mode: u32,
        /// Position in bytes.
        pos: u64,
        /// Size in bytes.
        size: u64,
        /// Inode number, for information.
        ino: u64,
        /// Last change of the contents: seconds.
        mtime_sec: i64,
        /// Last change of the contents: nanoseconds.
        mtime_nsec: u32,
        /// Device number: major.
        rdev_major: u32,
        /// Device number: minor.
        rdev_minor: u32,
        /// Bytes of the path that follows; 0 where there is none.
        path_len: u32,
        /// First descriptor that refers to a stream, else 0.
        stream_fd: u32,
        /// Object reference: the pipe of an end, the socket, the shared memory of a file in
        /// memory, else 0.
        object: u32,
        /// Of a file in the directory of a process in procfs: that process, as in the
        /// forest; else 0.
        pid: u32,
        /// Where its id begins in the path, or 0.
        pid_at: u32,
        /// Object reference of the credentials that it was opened with, and which the
        /// kernel asks for at some calls on it: their CREDS record stands before. 0: those
        /// of another user namespace, or no such kind.
        creds: u32,
        /// Zero.
        reserved: u32,
    }
}

impl Record for File {
    const TYPE: i16 = super::FILE;

    fn validate(&self) -> Result<(), Why> {
        use file_flags as f;

        ensure(self.objref != 0, "file has no object reference")?;
        ensure(self.flags & !f::ALL == 0, "file has unknown flags")?;
        ensure(
            self.flags & f::ACCMODE != 3,
            "file has an unknown access mode",
        )?;
        ensure(self.pos <= i64::MAX as u64, "file position is out of range")?;
        ensure(self.size <= i64::MAX as u64, "file size is out of range")?;
        ensure(
            self.mtime_nsec < 1_000_000_000,
            "nanoseconds of the time stamp are out of range",
        )?;
        let fmt = self.mode & 0o170000;
        match self.kind {
            file_kind::REGULAR | file_kind::SHMEM => {
                ensure(fmt == 0o100000, "kind and mode of a file differ")?
            }
            file_kind::DIRECTORY => ensure(fmt == 0o040000, "kind and mode of a file differ")?,
            file_kind::CHARDEV | file_kind::TTY => {
                ensure(fmt == 0o020000, "kind and mode of a file differ")?;
            }
            file_kind::PATH => ensure(self.flags & f::PATH != 0, "location without O_PATH")?,
            file_kind::STREAM => {
                ensure(self.stream_fd <= FD_MAX, "descriptor is out of range")?;
            }
            file_kind::PIPE => {
                ensure(fmt == 0o010000, "kind and mode of a file differ")?;
                ensure(
                    self.pos == 0
                        && self.flags & (f::NOFOLLOW | f::DIRECTORY | f::MAPPED) == 0
                        && (self.flags & f::UNSEEN == 0 || self.flags & f::ACCMODE == 0),
                    "end of a pipe has flags or a position of a file",
                )?;
            }
            file_kind::SOCKET => {
                ensure(fmt == 0o140000, "kind and mode of a file differ")?;
                ensure(
                    self.pos == 0
                        && self.flags & (f::NOFOLLOW | f::DIRECTORY | f::MAPPED) == 0
                        && self.flags & f::ACCMODE == 2,
                    "socket has flags or a position of a file",
                )?;
            }
            file_kind::EVENTFD
            | file_kind::SIGNALFD
            | file_kind::TIMERFD
            | file_kind::EPOLL
            | file_kind::PIDFD => {
                ensure(fmt == 0, "kind and mode of a file differ")?;
                ensure(
                    self.pos == 0
                        && self.flags & (f::NOFOLLOW | f::DIRECTORY | f::MAPPED) == 0
                        && self.flags & f::ACCMODE == 2,
                    "file without a name has flags or a position of one",
                )?;
            }
            _ => return Err(Why("file is of an unknown kind")),
        }
        ensure(
            (self.kind == file_kind::PATH) == (self.flags & f::PATH != 0),
            "O_PATH on an open file",
        )?;
        ensure(
            self.kind == file_kind::REGULAR || self.flags & f::IMAGE == 0,
            "image is not in a regular file",
        )?;
        ensure(
            matches!(self.kind, file_kind::REGULAR | file_kind::SHMEM)
                && self.flags & f::MAPPED == 0
                || self.flags & f::SHARED == 0,
            "file is mapped in two ways",
        )?;
        ensure(
            self.kind == file_kind::STREAM || self.stream_fd == 0,
            "file has a stream's descriptor",
        )?;
        ensure(
            self.kind == file_kind::PIPE || self.flags & f::UNSEEN == 0,
            "file has flags of a pipe",
        )?;
        ensure(
            matches!(
                self.kind,
                file_kind::PIPE | file_kind::SHMEM | file_kind::SOCKET
            ) == (self.object != 0),
            "an end of a pipe, a socket or a file in memory, and nothing else, has an object",
        )?;
        ensure(
            (self.kind >= file_kind::STREAM) == (self.path_len == 0),
            "file has no path",
        )?;
        ensure(self.path_len as usize <= super::STR_MAX, "path is too long")?;
        ensure(
            self.creds == 0
                || matches!(
                    self.kind,
                    file_kind::REGULAR | file_kind::DIRECTORY | file_kind::CHARDEV | file_kind::TTY
                ),
            "credentials of a file that needs none",
        )?;
        ensure(self.reserved == 0, "reserved field is not zero")?;
        let has_path = matches!(
            self.kind,
            file_kind::REGULAR | file_kind::DIRECTORY | file_kind::PATH
        );
        ensure(
            if self.pid == 0 {
                self.pid_at == 0
            } else {
                has_path && self.pid_at != 0 && self.pid_at < self.path_len
            },
            "file is not in the directory of a process",
        )
    }
}

wire! {
    /// `struct cr_hdr_files`: files and descriptors follow.
    pub struct Files [16] {
        /// Object reference of the table.
        objref: u32,
        /// Number of descriptors.
        nr_fds: u32,
        /// Zero.
        reserved: u64,
    }
}

impl Record for Files {
    const TYPE: i16 = super::FILES;

    fn validate(&self) -> Result<(), Why> {
        ensure(self.objref != 0, "descriptor table has no object reference")?;
        ensure(self.nr_fds <= NR_FDS_MAX, "too many descriptors")?;
        ensure(self.reserved == 0, "reserved field is not zero")
    }
}

wire! {
    /// `struct cr_hdr_fd_ent`: one descriptor.
    pub struct FdEnt [16] {
        /// Descriptor number.
        fd: u32,
        /// Object reference of the open file.
        file: u32,
        /// Bit 0: close on exec.
        flags: u32,
        /// Locks that follow: the table's own on the open file, at its first descriptor of
        /// that, and the open file's, at the first one of all tables.
        nr_locks: u32,
    }
}

impl Record for FdEnt {
    const TYPE: i16 = super::FD_ENT;

    fn validate(&self) -> Result<(), Why> {
        ensure(self.fd <= FD_MAX, "descriptor is out of range")?;
        ensure(self.file != 0, "descriptor without a file")?;
        ensure(self.flags <= 1, "descriptor has unknown flags")?;
        ensure(self.nr_locks <= NR_LOCKS_MAX, "too many locks on a file")
    }
}

/// Whose a lock is.
pub mod lock_kind {
    /// The descriptor table's: a record lock (F_SETLK).
    pub const RECORD: u32 = 1;
    /// The open file's, on a range (F_OFD_SETLK).
    pub const DESCRIPTION: u32 = 2;
    /// The open file's, on all of it (flock(2)).
    pub const FLOCK: u32 = 3;
}

wire! {
    /// `struct cr_hdr_file_lock`: a lock on the file of the descriptor before it.
    pub struct FileLock [24] {
        /// See [`lock_kind`].
        kind: u32,
        /// Bit 0: it excludes all others, and not only those that write.
        flags: u32,
        /// First byte.
        start: u64,
        /// Last byte; 2^63 - 1 when it has no end.
        end: u64,
    }
}

impl Record for FileLock {
    const TYPE: i16 = super::FILE_LOCK;

    fn validate(&self) -> Result<(), Why> {
        ensure(
            matches!(self.kind, lock_kind::RECORD..=lock_kind::FLOCK),
            "lock is of an unknown kind",
        )?;
        ensure(self.flags <= 1, "lock has unknown flags")?;
        ensure(
            self.start <= self.end && self.end <= LOCK_END,
            "range of a lock is out of range",
        )?;
        ensure(
            self.kind != lock_kind::FLOCK || self.start == 0 && self.end == LOCK_END,
            "lock of flock(2) has a range",
        )
    }
}
