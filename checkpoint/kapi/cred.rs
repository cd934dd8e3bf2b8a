// SPDX-License-Identifier: GPL-2.0

//! Credentials of the current task, as seen in its user namespace.

use crate::format::task::Creds;
use kernel::bindings;
use kernel::prelude::*;

/// Ids and capabilities as the CREDS record has them, and the groups.
pub(crate) fn read() -> Result<(Creds, KVec<u32>)> {
    let mut creds = Creds::zeroed();
    let mut groups = KVec::new();
    // SAFETY: The current task's credentials do not change under it, and they
    // hold the namespace and the groups.
    unsafe {
        let cred = &*bindings::ckpt_current_cred();
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
