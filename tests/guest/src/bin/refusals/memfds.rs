// SPDX-License-Identifier: GPL-2.0

//! Files in memory that are not what memfd_create(2) alone makes.

use ckpt_guest::desk::Desk;
use ckpt_guest::sys::plain;

use crate::arrange::fd;
use crate::arrange::had;
use crate::arrange::thing;
use crate::arrange::Place;
use crate::arrange::Thing;

fn memfd() -> Result<usize, String> {
    let args = [c"refused".as_ptr() as usize, 0];
    had("memfd_create", plain(libc::SYS_memfd_create, &args))
}

fn memfd_attribute(_: &Desk) -> Result<Place, String> {
    let fd = memfd()?;
    let name = c"user.refused".as_ptr() as usize;
    let args = [fd, name, name, 4, 0];
    had("fsetxattr", plain(libc::SYS_fsetxattr, &args))?;
    Ok(Place::Fd(fd as i32))
}

/// Rights of one user more.
fn memfd_rights(_: &Desk) -> Result<Place, String> {
    let fd = memfd()?;
    // Version 2; the owner, user 1234, the group, the mask, others.
    let entry = |tag: u32, id: u32| [tag | 6 << 16, id];
    let mut list = vec![2];
    for (tag, id) in [
        (1, u32::MAX),
        (2, 1234),
        (4, u32::MAX),
        (0x10, u32::MAX),
        (0x20, u32::MAX),
    ] {
        list.extend(entry(tag, id));
    }
    let name = c"system.posix_acl_access".as_ptr() as usize;
    let args = [fd, name, list.as_ptr() as usize, 4 * list.len(), 0];
    had("fsetxattr", plain(libc::SYS_fsetxattr, &args))?;
    Ok(Place::Fd(fd as i32))
}

fn memfd_flags(_: &Desk) -> Result<Place, String> {
    /// `FS_IOC_SETFLAGS`, and `FS_NODUMP_FL`.
    const SET_FLAGS: usize = 0x4008_6602;
    const NODUMP: u64 = 0x40;
    let (fd, flags) = (memfd()?, NODUMP);
    let args = [fd, SET_FLAGS, (&raw const flags) as usize];
    had("ioctl", plain(libc::SYS_ioctl, &args))?;
    Ok(Place::Fd(fd as i32))
}

fn memfd_huge(_: &Desk) -> Result<Place, String> {
    let name = c"refused";
    let args = [name.as_ptr() as usize, libc::MFD_HUGETLB as usize];
    fd("memfd_create", plain(libc::SYS_memfd_create, &args))
}

/// What is refused of them.
pub const THINGS: &[Thing] = &[
    thing("fd-memfd-attribute", memfd_attribute, &["attributes"]),
    thing("fd-memfd-rights", memfd_rights, &["attributes"]),
    thing("fd-memfd-flags", memfd_flags, &["attributes"]),
    thing(
        "fd-memfd-hugetlb",
        memfd_huge,
        &["the file has been unlinked"],
    ),
];
