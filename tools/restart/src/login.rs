// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Another user for the process.
//!
//! The kernel opens the files of an image with the rights of the caller. Root can take the
//! process id and then become the user that the process ran as, so that an image which
//! that user has changed gets at nothing else. Capabilities do not all go away with
//! that: the ambient and the inheritable ones of a service stay, and all of a caller that
//! is not root. So they are given up by name. Root itself keeps what the caller has.

use std::ffi::CString;

use nix::errno::Errno;
use nix::unistd::getgrouplist;
use nix::unistd::setgroups;
use nix::unistd::setresgid;
use nix::unistd::setresuid;
use nix::unistd::Gid;
use nix::unistd::Uid;
use nix::unistd::User;

use crate::sys;

/// A user and all groups of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
}

impl Login {
    /// Looks a user up, by name or by number.
    ///
    /// # Errors
    ///
    /// In words, when there is none.
    pub fn find(user: &str) -> Result<Self, String> {
        let found = User::from_name(user).and_then(|found| match (found, user.parse()) {
            (None, Ok(number)) => User::from_uid(Uid::from_raw(number)),
            (found, _) => Ok(found),
        });
        let why = |errno: Errno| format!("user {user}: {}", errno.desc());
        let found = found.map_err(why)?;
        // An id alone says nothing of groups.
        let found = found.ok_or_else(|| match user.parse::<u32>() {
            Ok(id) => format!("no user has the id {id}: --user needs an entry in passwd(5)"),
            Err(_) => format!("there is no user {user}"),
        })?;
        let name = CString::new(found.name).map_err(|_| why(Errno::EINVAL))?;
        Ok(Self {
            uid: found.uid,
            gid: found.gid,
            groups: getgrouplist(&name, found.gid).map_err(why)?,
        })
    }

    /// Becomes this user, for good; without capabilities unless it is root.
    ///
    /// # Errors
    ///
    /// EPERM without the right to.
    pub fn enter(&self) -> Result<(), Errno> {
        setgroups(&self.groups)?;
        setresgid(self.gid, self.gid, self.gid)?;
        setresuid(self.uid, self.uid, self.uid)?;
        if self.uid.is_root() {
            return Ok(());
        }
        sys::give_up_capabilities()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_name_and_by_number() {
        let root = Login::find("root").unwrap();
        assert!(root.uid.is_root());
        assert!(root.groups.contains(&root.gid));
        assert_eq!(Login::find("0").unwrap(), root);
        let none = "no-such-user-anywhere";
        assert_eq!(
            Login::find(none).unwrap_err(),
            format!("there is no user {none}")
        );
        assert!(Login::find("").is_err());
        // None that a system would have.
        let why = Login::find("4000000123").unwrap_err();
        assert!(why.contains("id 4000000123") && why.contains("passwd"));
    }
}
