// SPDX-License-Identifier: GPL-2.0

//! What waits in a local socket.
//!
//! Locking: references to all messages are taken in one hold of the queue's lock, as a
//! reader that peeks takes one. Bytes of a message do not change any more, and are copied
//! without a lock. Nothing is taken out.

use super::socket::Sock;
use core::ptr;
use kernel::bindings;
use kernel::error::to_result;
use kernel::prelude::*;

impl Sock {
    fn lock_queue(&self) -> Locked<'_> {
        // SAFETY: The type owns a reference, and the guard borrows it.
        unsafe { bindings::ckpt_sock_lock_queue(self.as_ptr()) };
        Locked(self)
    }

    /// What waits in it now.
    ///
    /// # Errors
    ///
    /// EBUSY when others fill it faster than it is looked at; ENOMEM.
    pub(crate) fn queue(&self) -> Result<Queue> {
        for _ in 0..8 {
            // SAFETY: The type owns a reference; the length is a word.
            let len = unsafe { bindings::ckpt_sock_queue_len(self.as_ptr()) };
            let mut queue = Queue(KVVec::with_capacity(len as usize, GFP_KERNEL)?);
            if self.lock_queue().take(&mut queue) {
                return Ok(queue);
            }
        }
        Err(EBUSY)
    }
}

/// The lock of a socket's queue, held.
struct Locked<'a>(&'a Sock);

impl Locked<'_> {
    /// Takes a reference to each message, if there is room for all of them.
    fn take(&self, queue: &mut Queue) -> bool {
        let mut last = ptr::null_mut();
        loop {
            // SAFETY: The lock is held, so that all messages stay; the last one is of this
            // queue.
            last = unsafe { bindings::ckpt_sock_queued(self.0.as_ptr(), last) };
            if last.is_null() {
                return true;
            }
            if queue.0.len() == queue.0.capacity() {
                return false;
            }
            // SAFETY: As above; the message gets a reference for us. Whoever reads a stream
            // changes the one word.
            let held = unsafe {
                (
                    bindings::ckpt_skb_hold(last),
                    bindings::ckpt_unix_consumed(last),
                )
            };
            // There is room for it.
            let _ = queue.0.push_within_capacity(held);
        }
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // SAFETY: The lock is held by this guard.
        unsafe { bindings::ckpt_sock_unlock_queue(self.0.as_ptr()) };
    }
}

/// Messages that waited in a socket, and how many bytes of each were read before.
///
/// # Invariants
///
/// Each pointer has a reference that belongs to the value.
pub(crate) struct Queue(KVVec<(*mut bindings::sk_buff, u32)>);

// SAFETY: The references are counted atomically; whoever has one may let it go.
unsafe impl Send for Queue {}

impl Drop for Queue {
    fn drop(&mut self) {
        for (skb, _) in &self.0 {
            // SAFETY: By the invariants the reference is ours.
            unsafe { bindings::ckpt_skb_put(*skb) };
        }
    }
}

impl Queue {
    /// Its messages, in order.
    pub(crate) fn messages(&self) -> impl Iterator<Item = Message<'_>> {
        self.0.iter().map(|(skb, read)| Message {
            skb: *skb,
            read: *read,
            _queue: self,
        })
    }

    /// Number of messages.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The same waits as at `old`: no message can have been freed and its place used for
    /// another one, as both values have references.
    pub(crate) fn is_still(&self, old: &Self) -> bool {
        *self.0 == *old.0
    }
}

/// A message that waited.
pub(crate) struct Message<'a> {
    skb: *mut bindings::sk_buff,
    /// Bytes of it that were read before.
    read: u32,
    _queue: &'a Queue,
}

impl Message<'_> {
    /// Bytes that are to be read.
    pub(crate) fn len(&self) -> u32 {
        // SAFETY: The queue has a reference, and the length does not change any more.
        let len = unsafe { bindings::ckpt_skb_len(self.skb) };
        len.saturating_sub(self.read)
    }

    /// It carries open files.
    pub(crate) fn has_files(&self) -> bool {
        // SAFETY: The queue has a reference; the pointer is only compared.
        unsafe { bindings::ckpt_unix_has_files(self.skb) }
    }

    /// It tells who has sent it.
    pub(crate) fn has_creds(&self) -> bool {
        // SAFETY: As above.
        unsafe { bindings::ckpt_unix_has_creds(self.skb) }
    }

    /// Copies bytes from `start` on.
    ///
    /// # Errors
    ///
    /// EFAULT when there are not so many.
    pub(crate) fn copy(&self, start: u32, to: &mut [u8]) -> Result {
        let from = self.read.checked_add(start).ok_or(EFAULT)?;
        let from = i32::try_from(from).map_err(|_| EFAULT)?;
        let len = i32::try_from(to.len()).map_err(|_| EFAULT)?;
        // SAFETY: The queue has a reference. The call stays within the message, and `to`
        // has room.
        to_result(unsafe { bindings::skb_copy_bits(self.skb, from, to.as_mut_ptr().cast(), len) })
    }
}
