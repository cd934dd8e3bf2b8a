// SPDX-License-Identifier: GPL-2.0

//! What is in an eventfd, a signalfd, a timerfd, an epoll, a pidfd.

use ckptfmt::build::Anon;
use ckptfmt::format::anon::eventfd_flags;
use ckptfmt::format::anon::pidfd_flags;
use ckptfmt::format::anon::EpollItem;
use ckptfmt::format::anon::Timerfd;
use serde_json::json;
use serde_json::Value;

use crate::text;
use crate::time;

/// A clock.
fn clock(number: u32) -> &'static str {
    match number {
        0 => "realtime",
        1 => "monotonic",
        7 => "boottime",
        8 => "realtime-alarm",
        9 => "boottime-alarm",
        _ => "unknown clock",
    }
}

fn when(timer: &Timerfd) -> String {
    let mut line = if timer.value == 0 {
        "stopped".into()
    } else if timer.is_date() {
        format!("until {}", time::utc(timer.value))
    } else {
        format!("{} left", time::seconds(timer.value))
    };
    if timer.interval != 0 {
        line.push_str(&format!(", every {}", time::seconds(timer.interval)));
    }
    line
}

/// Entries of an epoll that a line has room for.
const SHOWN: usize = 8;

/// In a few words.
pub fn line(anon: &Anon) -> String {
    match anon {
        Anon::Eventfd(rec) => {
            let semaphore = rec.flags & eventfd_flags::SEMAPHORE != 0;
            let kind = if semaphore { ", semaphore" } else { "" };
            format!("eventfd, count {}{kind}", rec.count)
        }
        Anon::Signalfd(rec) => format!("signalfd, {}", text::signals(rec.mask).join(" ")),
        Anon::Timerfd(rec) => format!(
            "timerfd, {}, {}, {} not read",
            clock(rec.clock),
            when(rec),
            text::count(rec.ticks, "expiration")
        ),
        Anon::Pidfd(rec) => {
            let thread = rec.flags & pidfd_flags::THREAD != 0;
            let which = if thread { "first thread of " } else { "" };
            format!("pidfd, {which}process {}", rec.pid)
        }
        Anon::Epoll(items) => {
            let mut line = format!("epoll of {}", text::count(items.len() as u64, "file"));
            for item in items.iter().take(SHOWN) {
                let events = text::epoll_events(item.events).join("+");
                line.push_str(&format!(", {} for {events}", item.fd));
            }
            if items.len() > SHOWN {
                line.push_str(", ...");
            }
            line
        }
    }
}

/// As JSON, but for the entries of an epoll, of which there may be many: see [`entry`].
pub fn json(anon: &Anon) -> Value {
    match anon {
        Anon::Eventfd(rec) => json!({
            "count": rec.count.to_string(),
            "semaphore": rec.flags & eventfd_flags::SEMAPHORE != 0,
        }),
        Anon::Pidfd(rec) => json!({
            "pid": rec.pid,
            "thread": rec.flags & pidfd_flags::THREAD != 0,
        }),
        Anon::Signalfd(rec) => json!({ "signals": text::signals(rec.mask) }),
        Anon::Timerfd(rec) => json!({
            "clock": clock(rec.clock),
            "date": rec.is_date(),
            "flags": rec.flags,
            "ticks": rec.ticks.to_string(),
            "value_ns": rec.value.to_string(),
            "interval_ns": rec.interval.to_string(),
        }),
        Anon::Epoll(_) => Value::Null,
    }
}

/// An entry of an epoll.
pub fn entry(item: &EpollItem) -> Value {
    json!({
        "fd": item.fd,
        "object": item.file,
        "events": text::epoll_events(item.events),
        "data": item.data.to_string(),
    })
}
