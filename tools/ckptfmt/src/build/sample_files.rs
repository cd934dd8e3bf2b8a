// SPDX-License-Identifier: GPL-2.0

//! The open files of a sample image.

use super::sample::fd;
use super::sample::open;
use super::Anon;
use super::Image;
use super::Pipe;
use super::Shared;
use super::Sockets;
use crate::format::anon;
use crate::format::files;
use crate::format::files::file_flags;
use crate::format::files::file_kind;
use crate::format::files::lock_kind;
use crate::format::pipe;
use crate::format::pipe::pipe_buf_flags;
use crate::format::shmem;
use crate::format::shmem::seals;
use crate::format::shmem::shmem_flags;
use crate::format::shmem::shmem_kind;
use crate::format::socket;
use crate::format::socket::socket_flags;
use crate::format::socket::socket_kind;
use crate::format::socket::socket_shutdown;
use crate::format::task;

impl Image {
    pub(super) fn fill_files(&mut self) {
        self.files = vec![
            open(
                10,
                file_kind::REGULAR,
                0o100_755,
                file_flags::MAPPED,
                b"/bin/ckpt",
            ),
            open(
                19,
                file_kind::REGULAR,
                0o100_644,
                2 | file_flags::SHARED,
                b"/var/lib/db",
            ),
            open(11, file_kind::TTY, 0o020_620, 2, b"/dev/ttyS0"),
            open(12, file_kind::REGULAR, 0o100_644, 2, b"/tmp/cr-rest.out"),
            open(13, file_kind::STREAM, 0o010_600, 1, b""),
        ];
        if let Some(stream) = self.files.last_mut() {
            stream.file.stream_fd = 7;
        }
        // Root has opened the terminal and the database, somebody else the program.
        let mut root = task::Creds::zeroed();
        root.caps = [0, 1, 1, 3, 0];
        let mut somebody = root;
        (somebody.uid, somebody.fsuid, somebody.caps) = (1000, 1000, [0; 5]);
        self.openers = vec![(80, somebody, Vec::new()), (81, root, vec![4, 27])];
        for (open, creds) in self.files.iter_mut().zip([80, 81, 81]) {
            open.file.creds = creds;
        }
        self.fds = vec![fd(0, 11, 0), fd(1, 12, 0), fd(2, 11, 0), fd(7, 13, 1)];
        let lock = |kind, flags, start, end| files::FileLock {
            kind,
            flags,
            start,
            end,
        };
        // One on the terminal, the first byte of a database that is written, and two that show
        // the kinds.
        self.locks = vec![
            (0, lock(lock_kind::FLOCK, 0, 0, files::LOCK_END)),
            (1, lock(lock_kind::RECORD, 1, 1 << 30, 1 << 30)),
            (1, lock(lock_kind::DESCRIPTION, 0, 100, files::LOCK_END)),
            (1, lock(lock_kind::FLOCK, 1, 0, files::LOCK_END)),
        ];
        self.fill_pipes();
        self.fill_anons();
        self.fill_memfd();
        self.fill_epoll();
        self.fill_pidfd();
        self.fill_procfs();
        self.fill_sockets();
    }

    /// An epoll that watches a counter, a pipe by a descriptor that is closed, and a
    /// counter that no descriptor leads to.
    fn fill_epoll(&mut self) {
        let item = |fd, file, events, data| {
            let mut item = anon::EpollItem::zeroed();
            (item.fd, item.file, item.events, item.data) = (fd, file, events, data);
            item
        };
        let items = vec![
            item(10, 16, 1, 10),
            item(60, 14, 0x8000_0019, 1 << 63),
            item(61, 23, 0x4000_0000, 7),
        ];
        self.anons
            .push((23, Anon::Eventfd(anon::Eventfd::zeroed())));
        self.anons.push((24, Anon::Epoll(items)));
        self.files.push(open(23, file_kind::EVENTFD, 0o600, 2, b""));
        self.files.push(open(24, file_kind::EPOLL, 0o600, 2, b""));
        self.fds.push(fd(14, 24, 1));
    }

    /// A pidfd of the process itself.
    fn fill_pidfd(&mut self) {
        let pidfd = anon::Pidfd {
            pid: self.task.pid,
            flags: anon::pidfd_flags::THREAD,
        };
        self.anons.push((25, Anon::Pidfd(pidfd)));
        self.files.push(open(25, file_kind::PIDFD, 0o700, 2, b""));
        self.fds.push(fd(15, 25, 1));
    }

    /// What procfs says of the process.
    fn fill_procfs(&mut self) {
        let mut status = open(29, file_kind::REGULAR, 0o100_444, 0, b"/proc/100/status");
        (status.file.pid, status.file.pid_at) = (100, 6);
        self.files.push(status);
        self.fds.push(fd(16, 29, 0));
    }

    /// A stream of which one end is done with sending, messages that the other end has
    /// left, and a socket that nothing was done with.
    fn fill_sockets(&mut self) {
        let message = |bytes: &[u8]| (socket::SocketMsg::zeroed(), bytes.to_vec());
        let mut end = socket::Socket::zeroed();
        (end.mode, end.uid, end.gid) = (0o140_777, 1000, 100);
        (end.sndbuf, end.rcvbuf, end.rcvlowat) = (212_992, 212_992, 1);
        end.peek_off = -1;
        end.flags = socket_flags::PASSRIGHTS;
        (end.rcvtimeo, end.sndtimeo) = (socket::SOCKET_FOREVER, socket::SOCKET_FOREVER);
        let (mut one, mut other, mut left, mut fresh) = (end, end, end, end);
        (one.objref, one.peer, one.kind) = (70, 71, socket_kind::STREAM);
        (one.shutdown, one.creator) = (socket_shutdown::SEND, self.task.pid);
        (one.sndtimeo, one.peek_off) = (1_500_000_000, 2);
        one.flags |= socket_flags::PASSCRED | socket_flags::SNDBUF_SET;
        (other.objref, other.peer, other.kind) = (71, 70, socket_kind::STREAM);
        (other.shutdown, other.creator) = (socket_shutdown::RECV, self.task.pid);
        (left.objref, left.kind) = (72, socket_kind::SEQPACKET);
        left.shutdown = socket_shutdown::RECV | socket_shutdown::SEND;
        left.flags |= socket_flags::RESET;
        (fresh.objref, fresh.kind) = (73, socket_kind::DGRAM);
        fresh.flags |= socket_flags::UNCONNECTED;
        self.sockets = vec![
            Sockets {
                ends: vec![
                    (one, vec![message(b"bye")]),
                    (other, vec![message(b"hello"), message(&[7; 20_000])]),
                ],
            },
            Sockets {
                ends: vec![(left, vec![message(b"a message"), message(b"")])],
            },
            Sockets {
                ends: vec![(fresh, vec![])],
            },
        ];
        for (objref, object, number) in [(26, 70, 17), (27, 71, 18), (28, 72, 19), (75, 73, 20)] {
            let mut file = open(objref, file_kind::SOCKET, 0o140_777, 2, b"");
            file.file.object = object;
            self.files.push(file);
            self.fds.push(fd(number, objref, 0));
        }
    }

    /// A memfd that is open.
    fn fill_memfd(&mut self) {
        let mut memfd = shmem::Shmem::zeroed();
        memfd.objref = 41;
        memfd.how = shmem_kind::MEMFD;
        memfd.size = 5000;
        memfd.mode = 0o644;
        memfd.seals = seals::GROW | seals::FUTURE_WRITE | seals::EXEC;
        memfd.flags = shmem_flags::SEAL_LATE;
        (memfd.uid, memfd.gid) = (1000, 100);
        self.shmem.push(Shared {
            object: memfd,
            name: b"memfd:frame".to_vec(),
            runs: vec![vec![0x1000]],
        });
        let mut frame = open(22, file_kind::SHMEM, 0o100_644, 2, b"");
        (frame.file.object, frame.file.pos) = (41, 100);
        self.files.push(frame);
        self.fds.push(fd(13, 22, 1));
    }

    /// An eventfd, a signalfd, and a timerfd that has expired twice.
    fn fill_anons(&mut self) {
        let counter = anon::Eventfd {
            count: 1 << 40,
            flags: anon::eventfd_flags::SEMAPHORE,
            reserved: 0,
        };
        let signals = anon::Signalfd {
            mask: 1 << 9,
            reserved: 0,
        };
        let timer = anon::Timerfd {
            clock: 1,
            flags: 0,
            ticks: 2,
            value: 500_000_000,
            interval: 3_000_000_000,
        };
        self.anons = vec![
            (16, Anon::Eventfd(counter)),
            (17, Anon::Signalfd(signals)),
            (18, Anon::Timerfd(timer)),
        ];
        let kinds = [file_kind::EVENTFD, file_kind::SIGNALFD, file_kind::TIMERFD];
        for ((objref, _), (kind, number)) in
            self.anons.clone().iter().zip(kinds.into_iter().zip(10..))
        {
            self.files.push(open(*objref, kind, 0o600, 2, b""));
            self.fds.push(fd(number, *objref, 0));
        }
    }

    /// A pipe whose end that writes is closed, and a FIFO that is open for both.
    fn fill_pipes(&mut self) {
        let packet = |offset, flags, bytes: &[u8]| {
            let mut buf = pipe::PipeBuf::zeroed();
            (buf.offset, buf.flags) = (offset, flags);
            (buf, bytes.to_vec())
        };
        let mut half = pipe::Pipe::zeroed();
        (half.objref, half.slots, half.mode) = (30, 16, 0o010_600);
        let mut fifo = pipe::Pipe::zeroed();
        (fifo.objref, fifo.slots, fifo.mode) = (31, 1, 0o010_644);
        self.pipes = vec![
            Pipe {
                pipe: half,
                path: Vec::new(),
                bufs: vec![
                    packet(0, pipe_buf_flags::PACKET, b"a packet"),
                    packet(3, pipe_buf_flags::MERGE, b"bytes"),
                ],
            },
            Pipe {
                pipe: fifo,
                path: b"/run/fifo".to_vec(),
                bufs: Vec::new(),
            },
        ];
        for (objref, pipe, number, flags) in [(14, 30, 8, 0), (15, 31, 9, 2 | file_flags::NONBLOCK)]
        {
            let mut end = open(objref, file_kind::PIPE, 0o010_600, flags, b"");
            end.file.object = pipe;
            self.files.push(end);
            self.fds.push(fd(number, objref, 0));
        }
    }
}
