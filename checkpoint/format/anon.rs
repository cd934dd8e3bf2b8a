// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Open files that are no more than what is in them: eventfd, signalfd, timerfd, epoll,
//! pidfd.

use super::ensure;
use super::wire;
use super::Record;
use super::Why;

/// Longest time of a timer in nanoseconds, as the kernel's largest ktime_t.
pub const TIMERFD_MAX: u64 = i64::MAX as u64;

/// Bits of [`Eventfd::flags`].
pub mod eventfd_flags {
    /// Each read takes one from the counter, not all.
    pub const SEMAPHORE: u32 = 1;
}

wire! {
    /// `struct cr_hdr_eventfd`: the counter of an eventfd.
    pub struct Eventfd [16] {
        /// The counter.
        count: u64,
        /// See [`eventfd_flags`].
        flags: u32,
        /// Zero.
        reserved: u32,
    }
}

impl Record for Eventfd {
    const TYPE: i16 = super::EVENTFD;

    fn validate(&self) -> Result<(), Why> {
        ensure(
            self.flags & !eventfd_flags::SEMAPHORE == 0,
            "eventfd has unknown flags",
        )?;
        ensure(self.reserved == 0, "reserved field is not zero")
    }
}

wire! {
    /// `struct cr_hdr_signalfd`: the signals that a signalfd takes.
    pub struct Signalfd [16] {
        /// Signal n is bit n - 1; not SIGKILL and SIGSTOP.
        mask: u64,
        /// Zero.
        reserved: u64,
    }
}

impl Record for Signalfd {
    const TYPE: i16 = super::SIGNALFD;

    fn validate(&self) -> Result<(), Why> {
        ensure(
            self.mask & super::signal::UNBLOCKABLE == 0,
            "signalfd takes SIGKILL or SIGSTOP",
        )?;
        ensure(self.reserved == 0, "reserved field is not zero")
    }
}

/// Bits of [`Timerfd::flags`].
pub mod timerfd_flags {
    /// It was set to a point in time.
    pub const ABSOLUTE: u32 = 1;
    /// A change of the clock ends the wait.
    pub const CANCEL_ON_SET: u32 = 1 << 1;
    /// All bits.
    pub const ALL: u32 = 3;
}

wire! {
    /// `struct cr_hdr_timerfd`: the timer of a timerfd.
    pub struct Timerfd [32] {
        /// Clock, as of clock_gettime(2): 0, 1, 7, 8 or 9.
        clock: u32,
        /// See [`timerfd_flags`].
        flags: u32,
        /// Expirations that were not read.
        ticks: u64,
        /// Nanoseconds: until it expires, or its point in time when it was set to one
        /// of the wall clock (0 or 8); 0 when it does not run. Varies from image to image
        /// when the timer runs, unless it is such a point.
        value: u64,
        /// Nanoseconds between two expirations, or 0.
        interval: u64,
    }
}

impl Timerfd {
    /// Its value is a point in time.
    pub fn is_date(&self) -> bool {
        self.flags & timerfd_flags::ABSOLUTE != 0 && matches!(self.clock, 0 | 8)
    }
}

impl Record for Timerfd {
    const TYPE: i16 = super::TIMERFD;

    fn validate(&self) -> Result<(), Why> {
        ensure(
            matches!(self.clock, 0 | 1 | 7..=9),
            "clock of a timer is unknown",
        )?;
        ensure(
            self.flags & !timerfd_flags::ALL == 0,
            "timer has unknown flags",
        )?;
        ensure(
            self.value <= TIMERFD_MAX && self.interval <= TIMERFD_MAX,
            "time of a timer is out of range",
        )
    }
}

/// Bits of [`Pidfd::flags`].
pub mod pidfd_flags {
    /// Signals go to the first thread only (PIDFD_THREAD).
    pub const THREAD: u32 = 1;
}

wire! {
    /// `struct cr_hdr_pidfd`: the process of a pidfd.
    pub struct Pidfd [8] {
        /// Its process id, as in the forest.
        pid: u32,
        /// See [`pidfd_flags`].
        flags: u32,
    }
}

impl Record for Pidfd {
    const TYPE: i16 = super::PIDFD;

    fn validate(&self) -> Result<(), Why> {
        ensure(self.pid != 0, "pidfd of no process")?;
        ensure(
            self.flags & !pidfd_flags::THREAD == 0,
            "pidfd has unknown flags",
        )
    }
}

/// Entries of an epoll at most.
pub const EPOLL_ITEMS_MAX: u32 = 1 << 24;

wire! {
    /// `struct cr_hdr_epoll`: the number of entries of an epoll.
    pub struct Epoll [8] {
        /// Number of entries that follow.
        nr_items: u32,
        /// Zero.
        reserved: u32,
    }
}

impl Record for Epoll {
    const TYPE: i16 = super::EPOLL;

    fn validate(&self) -> Result<(), Why> {
        ensure(
            self.nr_items <= EPOLL_ITEMS_MAX,
            "epoll has too many entries",
        )?;
        ensure(self.reserved == 0, "reserved field is not zero")
    }
}

wire! {
    /// `struct cr_hdr_epoll_item`: a file that an epoll watches.
    pub struct EpollItem [32] {
        /// Descriptor that it was added by; it may be closed, or another file's.
        fd: u32,
        /// Object reference of the open file, which stands before.
        file: u32,
        /// Events and flags, as of epoll_ctl(2); no events when EPOLLONESHOT is spent.
        events: u32,
        /// Zero.
        reserved: u32,
        /// What epoll_wait(2) tells.
        data: u64,
        /// Zero.
        reserved2: u64,
    }
}

impl Record for EpollItem {
    const TYPE: i16 = super::EPOLL_ITEM;

    fn validate(&self) -> Result<(), Why> {
        ensure(
            self.fd <= super::files::FD_MAX,
            "descriptor is out of range",
        )?;
        ensure(self.file != 0, "entry of an epoll has no file")?;
        ensure(
            self.reserved == 0 && self.reserved2 == 0,
            "reserved field is not zero",
        )
    }
}
