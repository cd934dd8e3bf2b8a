// SPDX-License-Identifier: GPL-2.0

//! Credentials of the current task, as seen in its user namespace, and others that it
//! may have instead.
//!
//! New credentials are prepared aside. Each change follows the rules of the system call
//! that makes it, for the credentials that the task has at that moment: which is what it
//! could become by a row of such calls.

use super::limits;
use super::task;
use crate::format::task::Creds;
use core::ptr::NonNull;
use kernel::bindings;
use kernel::cred::Credential;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::aref::ARef;

/// Ids and capabilities as the CREDS record has them, and the groups.
pub(crate) fn read() -> Result<(Creds, KVec<u32>)> {
    // SAFETY: The current task's credentials do not change under it.
    let cred = unsafe { Credential::from_ptr(bindings::ckpt_current_cred()) };
    read_from(cred)
}

/// Have all users and groups of the current task a name in its user namespace? Without, one
/// that looks like another one may be a third.
pub(crate) fn has_names() -> bool {
    // SAFETY: As in read().
    unsafe { named(&*bindings::ckpt_current_cred()) }
}

/// # Safety
///
/// Somebody keeps the credentials.
pub(super) unsafe fn named(cred: &bindings::cred) -> bool {
    // SAFETY: They hold the groups, and the current ones the namespace.
    unsafe {
        let ns = bindings::ckpt_user_ns();
        let uids = [cred.uid, cred.euid, cred.suid, cred.fsuid];
        let gids = [cred.gid, cred.egid, cred.sgid, cred.fsgid];
        let nr = (*cred.group_info).ngroups.max(0) as usize;
        let groups = core::slice::from_raw_parts((*cred.group_info).gid.as_ptr(), nr);
        let gid = |id: &bindings::kgid_t| bindings::from_kgid(ns, *id) != u32::MAX;
        uids.iter()
            .all(|id| bindings::from_kuid(ns, *id) != u32::MAX)
            && gids.iter().all(gid)
            && groups.iter().all(gid)
    }
}

/// The numbers of credentials in the current user namespace, and supplementary groups.
pub(super) fn read_from(cred: &Credential) -> Result<(Creds, KVec<u32>)> {
    let mut creds = Creds::zeroed();
    let mut groups = KVec::new();
    // SAFETY: Credentials that are in use do not change; they hold the groups, and the
    // current ones the namespace.
    unsafe {
        let cred = &*cred.as_ptr();
        let ns = bindings::ckpt_user_ns();
        let uid = |id| bindings::from_kuid_munged(ns, id);
        let gid = |id| bindings::from_kgid_munged(ns, id);
        creds.uid = uid(cred.uid);
        creds.euid = uid(cred.euid);
        creds.suid = uid(cred.suid);
        creds.fsuid = uid(cred.fsuid);
        creds.gid = gid(cred.gid);
        creds.egid = gid(cred.egid);
        creds.sgid = gid(cred.sgid);
        creds.fsgid = gid(cred.fsgid);
        creds.caps = [
            cred.cap_inheritable.val,
            cred.cap_permitted.val,
            cred.cap_effective.val,
            cred.cap_bset.val,
            cred.cap_ambient.val,
        ];
        creds.securebits = cred.securebits;
        creds.level = (*ns).level as u32;
        let info = cred.group_info;
        let nr = (*info).ngroups.max(0) as usize;
        groups.reserve(nr, GFP_KERNEL)?;
        for id in core::slice::from_raw_parts((*info).gid.as_ptr(), nr) {
            groups.push(gid(*id), GFP_KERNEL)?;
        }
        creds.ngroups = nr as u32;
    }
    Ok((creds, groups))
}

/// Real, effective and saved id, and that of the file system.
type Ids = [u32; 4];

/// May a task without privilege change its ids so? By setresuid(2), which sets that of
/// the file system, too, and then setfsuid(2).
fn own(from: Ids, to: Ids) -> bool {
    let ([real, effective, saved, fs], [r, e, s, f]) = (from, to);
    let own = |id| id == real || id == effective || id == saved;
    let same = (real, effective, saved) == (r, e, s);
    own(r) && own(e) && own(s) && (f == r || f == e || f == s || same && f == fs)
}

/// Credentials for the current task that are prepared and not in force. Dropping
/// leaves the task as it is.
pub(crate) struct New(NonNull<bindings::cred>);

impl New {
    /// A copy of the current ones.
    pub(crate) fn copy() -> Result<Self> {
        // SAFETY: Copies the credentials of the current task.
        let new = unsafe { bindings::prepare_creds() };
        NonNull::new(new).map(Self).ok_or(ENOMEM)
    }

    /// Sets the user ids, by the rules of setresuid(2) and setfsuid(2). The capabilities
    /// follow as they do there.
    pub(crate) fn set_uids(&mut self, ids: Ids) -> Result {
        // SAFETY: The current task's credentials do not change under it, and hold the
        // namespace. The new ones are in nobody's hands but ours, with references of
        // their own to the user.
        unsafe {
            let old = bindings::ckpt_current_cred();
            let (new, ns) = (self.0.as_ptr(), (*old).user_ns);
            let mut to = [(*old).uid, (*old).euid, (*old).suid, (*old).fsuid].map(|id| id.val);
            let from = to;
            for (id, wanted) in to.iter_mut().zip(ids) {
                // One that has no name in the namespace stays what it is.
                if bindings::from_kuid_munged(ns, bindings::kuid_t { val: *id }) != wanted {
                    *id = valid(bindings::make_kuid(ns, wanted).val)?;
                }
            }
            if to == from {
                return Ok(());
            }
            if !own(from, to) && !bindings::ns_capable_setid(ns, bindings::CAP_SETUID as c_int) {
                return Err(EPERM);
            }
            let [uid, euid, suid, fsuid] = to;
            (*new).uid.val = uid;
            (*new).euid.val = euid;
            (*new).suid.val = suid;
            (*new).fsuid.val = euid;
            if uid != (*old).uid.val {
                let user = bindings::alloc_uid((*new).uid);
                if user.is_null() {
                    return Err(EAGAIN);
                }
                bindings::free_uid((*new).user);
                (*new).user = user;
            }
            to_result(bindings::ckpt_fix_setuid(new, old, false))?;
            to_result(bindings::set_cred_ucounts(new))?;
            if fsuid != euid {
                (*new).fsuid.val = fsuid;
                to_result(bindings::ckpt_fix_setuid(new, old, true))?;
            }
        }
        Ok(())
    }

    /// Sets the group ids, by the rules of setresgid(2) and setfsgid(2).
    pub(crate) fn set_gids(&mut self, ids: Ids) -> Result {
        // SAFETY: As in set_uids().
        unsafe {
            let old = bindings::ckpt_current_cred();
            let (new, ns) = (self.0.as_ptr(), (*old).user_ns);
            let mut to = [(*old).gid, (*old).egid, (*old).sgid, (*old).fsgid].map(|id| id.val);
            let from = to;
            for (id, wanted) in to.iter_mut().zip(ids) {
                if bindings::from_kgid_munged(ns, bindings::kgid_t { val: *id }) != wanted {
                    *id = valid(bindings::make_kgid(ns, wanted).val)?;
                }
            }
            if to == from {
                return Ok(());
            }
            if !own(from, to) && !bindings::ns_capable_setid(ns, bindings::CAP_SETGID as c_int) {
                return Err(EPERM);
            }
            let [gid, egid, sgid, fsgid] = to;
            (*new).gid.val = gid;
            (*new).egid.val = egid;
            (*new).sgid.val = sgid;
            (*new).fsgid.val = egid;
            to_result(bindings::ckpt_fix_setgid(new, old, false))?;
            if fsgid != egid {
                (*new).fsgid.val = fsgid;
                to_result(bindings::ckpt_fix_setgid(new, old, true))?;
            }
        }
        Ok(())
    }

    /// Sets the supplementary groups, by the rules of setgroups(2).
    pub(crate) fn set_groups(&mut self, groups: &[u32]) -> Result {
        // SAFETY: As in set_uids(). The list is as long as it says, and ours until it is
        // given to the credentials, which take a reference of their own.
        unsafe {
            let old = bindings::ckpt_current_cred();
            if !bindings::may_setgroups() {
                return Err(EPERM);
            }
            let info = bindings::groups_alloc(groups.len() as c_int);
            if info.is_null() {
                return Err(ENOMEM);
            }
            let list = (&raw mut (*info).gid).cast::<bindings::kgid_t>();
            for (at, group) in groups.iter().enumerate() {
                let gid = bindings::make_kgid((*old).user_ns, *group);
                if valid(gid.val).is_err() {
                    bindings::ckpt_put_group_info(info);
                    return Err(EINVAL);
                }
                list.add(at).write(gid);
            }
            bindings::groups_sort(info);
            bindings::set_groups(self.0.as_ptr(), info);
            bindings::ckpt_put_group_info(info);
            to_result(bindings::ckpt_fix_setgroups(self.0.as_ptr(), old))
        }
    }

    /// Sets effective, inheritable and permitted capabilities, by the rules of capset(2).
    /// Behind the user ids.
    pub(crate) fn set_caps(&mut self, effective: u64, inheritable: u64, permitted: u64) -> Result {
        let cap = |val| bindings::kernel_cap_t { val };
        // SAFETY: As in set_uids(); the sets are copied.
        unsafe {
            let old = bindings::ckpt_current_cred();
            let new = self.0.as_ptr();
            // What a change of the ids leaves can be kept by PR_SET_KEEPCAPS.
            let locked = (*old).securebits & SECURE_KEEP_CAPS_LOCKED != 0;
            if locked && permitted & !(*new).cap_permitted.val != 0 {
                return Err(EPERM);
            }
            let have = [
                (*new).cap_effective.val,
                (*new).cap_inheritable.val,
                (*new).cap_permitted.val,
            ];
            if have == [effective, inheritable, permitted] {
                return Ok(());
            }
            to_result(bindings::ckpt_capset(
                new,
                old,
                &cap(effective),
                &cap(inheritable),
                &cap(permitted),
            ))
        }
    }

    /// Sets the ambient capabilities, by the rules of PR_CAP_AMBIENT. Behind the others.
    pub(crate) fn set_ambient(&mut self, ambient: u64) -> Result {
        // SAFETY: As in set_uids().
        unsafe {
            let new = self.0.as_ptr();
            let locked = (*bindings::ckpt_current_cred()).securebits & SECURE_NO_CAP_AMBIENT_RAISE;
            let raised = ambient & !(*new).cap_ambient.val;
            if ambient & !((*new).cap_permitted.val & (*new).cap_inheritable.val) != 0
                || raised != 0 && locked != 0
            {
                return Err(EPERM);
            }
            (*new).cap_ambient.val = ambient;
        }
        Ok(())
    }

    /// Sets the bounding set, by the rules of PR_CAPBSET_DROP.
    pub(crate) fn set_bounding(&mut self, bounding: u64) -> Result {
        // SAFETY: As in set_uids().
        unsafe {
            let have = &raw mut (*self.0.as_ptr()).cap_bset.val;
            if bounding == *have {
                return Ok(());
            }
            if bounding & !*have != 0 || !task::ns_capable(bindings::CAP_SETPCAP) {
                return Err(EPERM);
            }
            *have = bounding;
        }
        Ok(())
    }

    /// Sets the secure bits, by the rules of PR_SET_SECUREBITS and PR_SET_KEEPCAPS.
    pub(crate) fn set_securebits(&mut self, bits: u32) -> Result {
        // SAFETY: As in set_uids().
        unsafe {
            let have = &raw mut (*self.0.as_ptr()).securebits;
            let changed = *have ^ bits;
            let locks = *have & SECURE_ALL_LOCKS;
            if changed == 0 {
                return Ok(());
            }
            if locks >> 1 & changed != 0
                || locks & !bits != 0
                || bits & !(SECURE_ALL_LOCKS | SECURE_ALL_BITS) != 0
                || changed & !SECURE_UNPRIVILEGED != 0 && !task::ns_capable(bindings::CAP_SETPCAP)
            {
                return Err(EPERM);
            }
            *have = bits;
        }
        Ok(())
    }

    /// Has these capabilities as far as the current task has them, for files: nobody else
    /// looks at the other sets. Behind the user ids.
    pub(crate) fn limit_caps(&mut self, effective: u64, permitted: u64) {
        // SAFETY: As in set_uids().
        unsafe {
            let have = (*bindings::ckpt_current_cred()).cap_permitted.val & permitted;
            let new = self.0.as_ptr();
            (*new).cap_inheritable.val = 0;
            (*new).cap_permitted.val = have;
            (*new).cap_effective.val = have & effective;
            (*new).cap_ambient.val = 0;
        }
    }

    /// Makes them those of files, and of no task. Keys stay behind.
    pub(crate) fn into_opener(self) -> ARef<Credential> {
        let new = self.0;
        core::mem::forget(self);
        // SAFETY: The reference is ours, and goes over; nothing changes them from now on.
        unsafe {
            bindings::ckpt_drop_keys(new.as_ptr());
            ARef::from_raw(new.cast())
        }
    }

    /// Puts them in force. Cannot fail. As setuid(2) does, it may leave the task
    /// without its parent-death signal, and not dumpable.
    pub(crate) fn commit(self) {
        const NPROC: usize = bindings::RLIMIT_NPROC as usize;
        let allowed = limits::rlimits().get(NPROC).map_or(u64::MAX, |l| l.0);
        let new = self.0.as_ptr();
        core::mem::forget(self);
        // SAFETY: The new credentials are complete; the reference is given away. The
        // current ones hold what they name until then.
        unsafe {
            if (*new).ucounts != (*bindings::ckpt_current_cred()).ucounts {
                // As set*uid(2): exec fails then.
                let over = (*new).user != &raw mut bindings::root_user
                    && bindings::is_rlimit_overlimit(
                        (*new).ucounts,
                        bindings::rlimit_type_UCOUNT_RLIMIT_NPROC,
                        allowed as c_ulong,
                    );
                let set = if over { bindings::PF_NPROC_EXCEEDED } else { 0 };
                task::set_flags(bindings::PF_NPROC_EXCEEDED, set);
            }
            bindings::commit_creds(new);
        }
    }
}

impl Drop for New {
    fn drop(&mut self) {
        // SAFETY: They are not in force; the reference is ours.
        unsafe { bindings::abort_creds(self.0.as_ptr()) };
    }
}

fn valid(id: u32) -> Result<u32> {
    if id == u32::MAX {
        Err(EINVAL)
    } else {
        Ok(id)
    }
}

const SECURE_KEEP_CAPS_LOCKED: u32 = bindings::ckpt_secure_CKPT_SECURE_KEEP_CAPS_LOCKED;
const SECURE_NO_CAP_AMBIENT_RAISE: u32 = bindings::ckpt_secure_CKPT_SECURE_NO_CAP_AMBIENT_RAISE;
const SECURE_ALL_BITS: u32 = bindings::ckpt_secure_CKPT_SECURE_ALL_BITS;
const SECURE_ALL_LOCKS: u32 = bindings::ckpt_secure_CKPT_SECURE_ALL_LOCKS;
/// What a task may change that has no CAP_SETPCAP, when it is not locked.
const SECURE_UNPRIVILEGED: u32 = bindings::ckpt_secure_CKPT_SECURE_UNPRIVILEGED;

#[cfg(CONFIG_CHECKPOINT_KUNIT_TEST)]
#[kunit_tests(checkpoint_kapi_cred)]
mod tests {
    use super::*;

    #[test]
    fn ids_move_among_those_that_a_task_has() {
        let from = [1, 2, 3, 4];
        assert!(own(from, from));
        assert!(own(from, [3, 1, 2, 1]));
        // setresuid(2) has lost that of the file system.
        assert!(!own(from, [3, 1, 2, 4]));
        assert!(own(from, [1, 2, 3, 3]));
        assert!(!own(from, [1, 2, 3, 5]));
        assert!(!own(from, [4, 2, 3, 2]));
        assert!(!own(from, [1, 0, 3, 1]));
    }
}
