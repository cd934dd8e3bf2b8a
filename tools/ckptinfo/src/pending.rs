// SPDX-License-Identifier: GPL-2.0

//! Signals that wait to be delivered.

use ckptfmt::format::pending::queue;
use ckptfmt::format::pending::Siginfo;
use serde_json::json;
use serde_json::Value;

use crate::json::hex;
use crate::text;

/// Sent by the kernel: SI_KERNEL.
const KERNEL: i32 = 0x80;
/// Largest code of a signal of an I/O event.
const POLL_MAX: i32 = 6;
/// Reads the reason of a signal.
type Read = fn(&Siginfo) -> Cause;
/// Signals that the kernel sends for a reason of their own, and the largest code
/// of those.
const CAUSES: &[(i32, i32, Read)] = &[
    (4, 11, fault),
    (5, 6, fault),
    (7, 5, fault),
    (8, 15, fault),
    (11, 10, fault),
    (17, 6, child),
    (29, POLL_MAX, event),
    (31, 2, call),
];

/// What a signal tells of its reason, as the kernel reads it.
enum Cause {
    /// Nothing but the sender.
    Sender,
    /// The sender and a value.
    Message(u64),
    /// A timer and its value.
    Timer(u64, u64),
    /// A child with a status.
    Child(u32),
    /// An address.
    Fault(u64),
    /// Events of a descriptor.
    Event(u64, u32),
    /// Address and number of a system call.
    Call(u64, u32),
}

fn low(word: u64) -> u32 {
    (word & u64::from(u32::MAX)) as u32
}

fn high(word: u64) -> u32 {
    low(word >> 32)
}

fn fault(info: &Siginfo) -> Cause {
    let [addr, ..] = info.fields;
    Cause::Fault(addr)
}

fn child(info: &Siginfo) -> Cause {
    let [_, status, ..] = info.fields;
    Cause::Child(low(status))
}

fn event(info: &Siginfo) -> Cause {
    let [band, fd, ..] = info.fields;
    Cause::Event(band, low(fd))
}

fn call(info: &Siginfo) -> Cause {
    let [addr, number, ..] = info.fields;
    Cause::Call(addr, low(number))
}

fn cause(info: &Siginfo) -> Cause {
    let [_, value, ..] = info.fields;
    if let Some(id) = info.timer() {
        return Cause::Timer(id, value);
    }
    match info.code {
        0 | KERNEL.. => Cause::Sender,
        1.. => match CAUSES.iter().find(|c| c.0 == info.signo) {
            Some((_, max, cause)) if info.code <= *max => cause(info),
            _ if info.code <= POLL_MAX => event(info),
            _ => Cause::Sender,
        },
        -5 => event(info),
        _ => Cause::Message(value),
    }
}

/// The sender: process and user.
fn sender(info: &Siginfo) -> (u32, u32) {
    let [ids, ..] = info.fields;
    (low(ids), high(ids))
}

/// Why a signal was sent, in a word.
fn code_name(info: &Siginfo) -> Option<&'static str> {
    let name = match info.code {
        0 => "kill",
        KERNEL => "kernel",
        -1 => "sigqueue",
        -2 => "timer",
        -3 => "message queue",
        -4 => "asynchronous I/O",
        -5 => "I/O",
        -6 => "tkill",
        -60 => "name lookup",
        1..=POLL_MAX if info.signo == 17 => *[
            "exited",
            "killed",
            "dumped",
            "trapped",
            "stopped",
            "continued",
        ]
        .get(usize::try_from(info.code).ok()?.checked_sub(1)?)?,
        _ => return None,
    };
    Some(name)
}

/// The name of a pending signal.
pub fn name(info: &Siginfo) -> String {
    text::signal(usize::try_from(info.signo).unwrap_or_default())
}

fn queue_name(number: u32) -> &'static str {
    match number {
        queue::TASK => "task",
        queue::PROCESS => "process",
        _ => "unknown",
    }
}

/// A pending signal but for its name, in one line.
pub fn signal(info: &Siginfo) -> String {
    let queue = queue_name(info.queue);
    let code = code_name(info).map_or_else(|| format!("code {}", info.code), Into::into);
    let (pid, uid) = sender(info);
    let from = format!("by process {pid}, user {uid}");
    let what = match cause(info) {
        Cause::Sender if info.code == KERNEL && (pid, uid) == (0, 0) => String::new(),
        Cause::Sender => format!(" {from}"),
        // tkill(2) fills the value with zeros.
        Cause::Message(0) if info.code == -6 => format!(" {from}"),
        Cause::Message(value) => format!(" {from}, value {value:#x}"),
        Cause::Timer(id, value) => format!(" {id}, value {value:#x}"),
        Cause::Child(status) => format!(", child {pid}, user {uid}, status {status}"),
        Cause::Fault(addr) => format!(" at {addr:#x}"),
        Cause::Event(band, fd) => format!(", events {band:#x} of descriptor {fd}"),
        Cause::Call(addr, number) => format!(", call {number} at {addr:#x}"),
    };
    let error = match u32::try_from(info.errno) {
        Ok(0) => String::new(),
        Ok(error) => format!(", {}", text::errno(error)),
        Err(_) => format!(", errno {}", info.errno),
    };
    format!("for the {queue}: {code}{what}{error}")
}

/// A pending signal.
pub fn signal_json(info: &Siginfo) -> Value {
    let mut value = json!({
        "signal": name(info),
        "number": info.signo,
        "queue": queue_name(info.queue),
        "code": info.code,
        "cause": code_name(info),
        "errno": info.errno,
        "fields": info.fields.map(hex),
        "text": signal(info),
    });
    let (pid, uid) = sender(info);
    let own = match cause(info) {
        Cause::Sender => json!({ "pid": pid, "uid": uid }),
        Cause::Message(value) => json!({ "pid": pid, "uid": uid, "value": hex(value) }),
        Cause::Timer(id, value) => json!({ "timer": id, "value": hex(value) }),
        Cause::Child(status) => json!({ "pid": pid, "uid": uid, "status": status }),
        Cause::Fault(addr) => json!({ "address": hex(addr) }),
        Cause::Event(band, fd) => json!({ "band": hex(band), "fd": fd }),
        Cause::Call(addr, number) => json!({ "address": hex(addr), "call": number }),
    };
    if let (Some(value), Value::Object(own)) = (value.as_object_mut(), own) {
        value.extend(own);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told of a signal whose first two words are process 7 of user 1000,
    /// and 42.
    fn told(signo: i32, code: i32) -> String {
        let mut info = Siginfo::zeroed();
        (info.queue, info.signo, info.code) = (queue::PROCESS, signo, code);
        info.fields = [7 | 1000 << 32, 42, 3, 4];
        signal(&info).replacen("for the process: ", "", 1)
    }

    #[test]
    fn each_cause_of_a_signal() {
        for (signo, code, text) in [
            (15, 0, "kill by process 7, user 1000"),
            (14, KERNEL, "kernel by process 7, user 1000"),
            (15, KERNEL + 1, "code 129 by process 7, user 1000"),
            (34, -1, "sigqueue by process 7, user 1000, value 0x2a"),
            (34, -6, "tkill by process 7, user 1000, value 0x2a"),
            (1, -60, "name lookup by process 7, user 1000, value 0x2a"),
            (1, -99, "code -99 by process 7, user 1000, value 0x2a"),
            (17, 1, "exited, child 7, user 1000, status 42"),
            (17, 6, "continued, child 7, user 1000, status 42"),
            (17, 7, "code 7 by process 7, user 1000"),
            (11, 1, "code 1 at 0x3e800000007"),
            (29, 1, "code 1, events 0x3e800000007 of descriptor 42"),
            (36, 6, "code 6, events 0x3e800000007 of descriptor 42"),
            (36, -5, "I/O, events 0x3e800000007 of descriptor 42"),
            (31, 1, "code 1, call 42 at 0x3e800000007"),
            (36, 7, "code 7 by process 7, user 1000"),
        ] {
            assert_eq!(told(signo, code), text);
        }
    }

    #[test]
    fn signals_of_the_kernel_and_errors() {
        let mut info = Siginfo::zeroed();
        (info.signo, info.code) = (14, KERNEL);
        assert_eq!(signal(&info), "for the task: kernel");
        info.errno = 22;
        assert_eq!(signal(&info), "for the task: kernel, EINVAL");
        info.errno = -1;
        assert_eq!(signal(&info), "for the task: kernel, errno -1");
        assert_eq!(name(&info), "SIGALRM");
    }

    #[test]
    fn any_code_of_any_signal_is_told() {
        for signo in 1..=64 {
            for code in (-100..200).chain([i32::MIN, i32::MAX]) {
                assert!(!told(signo, code).is_empty());
            }
        }
    }
}
