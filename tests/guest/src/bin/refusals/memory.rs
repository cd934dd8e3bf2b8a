// SPDX-License-Identifier: GPL-2.0

//! Mappings that are not supported: refused with their address.

use ckpt_guest::desk::Desk;
use ckpt_guest::life::c_path;
use ckpt_guest::mem::Map;
use ckpt_guest::mem::Spec;
use ckpt_guest::mem::ANON;
use ckpt_guest::mem::PAGE;
use ckpt_guest::sys;
use ckpt_guest::sys::plain;

use crate::arrange::busy;
use crate::arrange::had;
use crate::arrange::thing;
use crate::arrange::with_data;
use crate::arrange::Place;
use crate::arrange::Thing;

const HUGE: usize = 2 << 20;
const SYS_MEMFD_SECRET: i64 = 447;

fn map(spec: Spec) -> Result<Place, String> {
    had("mmap", Map::new(spec)).map(|map| Place::Address(map.addr))
}

fn file(fd: i32, flags: i32, prot: i32) -> Result<Place, String> {
    let spec = Spec {
        flags,
        prot,
        fd,
        ..Spec::default()
    };
    let place = map(spec);
    let _ = sys::close(fd);
    place
}

fn unlinked_file(desk: &Desk) -> Result<Place, String> {
    let path = desk.dir.join("refusals-mapped-unlinked");
    std::fs::write(&path, [7; PAGE]).map_err(|e| e.to_string())?;
    let fd = had("open", sys::open(&c_path(&path), libc::O_RDONLY, 0))?;
    let place = file(fd, libc::MAP_PRIVATE, libc::PROT_READ);
    let _ = std::fs::remove_file(&path);
    place
}

fn secret(_: &Desk) -> Result<Place, String> {
    let fd = had("memfd_secret", plain(SYS_MEMFD_SECRET, &[0]))? as i32;
    had(
        "ftruncate",
        plain(libc::SYS_ftruncate, &[fd as usize, PAGE]),
    )?;
    file(fd, libc::MAP_SHARED, libc::PROT_READ)
}

fn huge(_: &Desk) -> Result<Place, String> {
    let _ = std::fs::write("/proc/sys/vm/nr_hugepages", "2");
    let place = map(Spec {
        len: HUGE,
        flags: ANON | libc::MAP_HUGETLB,
        ..Spec::default()
    });
    let _ = std::fs::write("/proc/sys/vm/nr_hugepages", "0");
    place
}

fn sysv(_: &Desk) -> Result<Place, String> {
    let id = had("shmget", plain(libc::SYS_shmget, &[0, PAGE, 0o1600]))?;
    // The address is the kernel's choice.
    let addr = had("shmat", plain(libc::SYS_shmat, &[id, 0, 0]))?;
    let _ = plain(libc::SYS_shmctl, &[id, libc::IPC_RMID as usize, 0]);
    Ok(Place::Address(addr))
}

fn aio(_: &Desk) -> Result<Place, String> {
    let mut context = 0usize;
    had(
        "io_setup",
        with_data(libc::SYS_io_setup, [8, 0, 0, 0, 0, 0], 1, &mut context),
    )?;
    Ok(Place::Nowhere)
}

/// A private mapping whose faults go to a descriptor that is closed again: as long as
/// the mapping is registered, the context lives.
fn userfault(_: &Desk) -> Result<Place, String> {
    const UFFDIO_API: usize = 0xc018_aa3f;
    const UFFDIO_REGISTER: usize = 0xc020_aa00;
    let map = had("mmap", Map::anon(PAGE))?;
    map.fill_page(0, 1);
    let fd = had("userfaultfd", plain(libc::SYS_userfaultfd, &[0]))?;
    let mut api = [0xaau64, 0, 0];
    let args = [fd, UFFDIO_API, 0, 0, 0, 0];
    had("UFFDIO_API", with_data(libc::SYS_ioctl, args, 2, &mut api))?;
    // Missing pages.
    let mut register = [map.addr as u64, PAGE as u64, 1, 0];
    let args = [fd, UFFDIO_REGISTER, 0, 0, 0, 0];
    had(
        "UFFDIO_REGISTER",
        with_data(libc::SYS_ioctl, args, 2, &mut register),
    )?;
    Ok(Place::Address(map.addr))
}

/// A mapping that prefers a node.
fn policy(_: &Desk) -> Result<Place, String> {
    const MPOL_PREFERRED: usize = 1;
    let map = had("mmap", Map::anon(PAGE))?;
    let mut nodes = [1u64];
    let args = [map.addr, PAGE, MPOL_PREFERRED, 0, 64, 0];
    had("mbind", with_data(libc::SYS_mbind, args, 3, &mut nodes))?;
    Ok(Place::Address(map.addr))
}

/// The memory of a device on the bus.
fn device(_: &Desk) -> Result<Place, String> {
    let path = std::fs::read_dir("/sys/bus/pci/devices")
        .map_err(|e| e.to_string())?
        .flatten()
        .map(|device| device.path().join("resource1"))
        .find(|path| path.exists())
        .ok_or("no device has memory")?;
    let fd = had("open", sys::open(&c_path(&path), libc::O_RDWR, 0))?;
    file(fd, libc::MAP_SHARED, libc::PROT_READ)
}

/// Where only processors with five levels of page tables have addresses.
fn high(_: &Desk) -> Result<Place, String> {
    const HIGH: usize = 1 << 48;
    let prot = libc::PROT_READ as usize;
    let args = [HIGH, PAGE, prot, ANON as usize, usize::MAX, 0];
    match had("mmap", plain(libc::SYS_mmap, &args))? {
        addr if addr < HIGH => Err("no addresses above 47 bits".to_string()),
        addr => Ok(Place::Address(addr)),
    }
}

/// Guards can only be set before the mapping is locked, a restart would be too late.
fn locked_guards(_: &Desk) -> Result<Place, String> {
    const MADV_GUARD_INSTALL: i32 = 102;
    const MLOCK_ONFAULT: usize = 1;
    let map = had("mmap", Map::anon(4 * PAGE))?;
    had("guards", map.part(1, 2).advise(MADV_GUARD_INSTALL))?;
    had("mlock2", map.lock(MLOCK_ONFAULT))?;
    // Nobody is to read it meanwhile.
    had("mprotect", map.protect(libc::PROT_NONE))?;
    Ok(Place::Address(map.addr))
}

/// A name without letters, which /proc/PID/maps shows as `[anon:]`.
fn empty_name(_: &Desk) -> Result<Place, String> {
    let map = had("mmap", Map::anon(PAGE))?;
    let name = [0, map.addr, map.len, c"".as_ptr() as usize];
    had("prctl", sys::prctl(libc::PR_SET_VMA, &name))?;
    Ok(Place::Address(map.addr))
}

/// A mapping from before the seal may be written to, one from behind it never.
fn sealed_between(_: &Desk) -> Result<Place, String> {
    const F_SEAL_FUTURE_WRITE: usize = 0x10;
    let args = [
        c"sealed".as_ptr() as usize,
        libc::MFD_ALLOW_SEALING as usize,
    ];
    let fd = had("memfd_create", plain(libc::SYS_memfd_create, &args))? as i32;
    let size = [fd as usize, PAGE];
    had("ftruncate", plain(libc::SYS_ftruncate, &size))?;
    let shared = Spec {
        flags: libc::MAP_SHARED,
        fd,
        ..Spec::default()
    };
    map(shared)?;
    let seal = sys::fcntl(fd, libc::F_ADD_SEALS, F_SEAL_FUTURE_WRITE);
    had("F_SEAL_FUTURE_WRITE", seal)?;
    file(fd, libc::MAP_SHARED, libc::PROT_READ)
}

/// What the kernel has mapped under a name: address and size.
fn of_kernel(name: &str) -> Result<(usize, usize), String> {
    let maps = std::fs::read_to_string("/proc/self/maps").map_err(|e| e.to_string())?;
    let line = maps.lines().find(|line| line.ends_with(name));
    let range = line.and_then(|line| line.split_once(' ')?.0.split_once('-'));
    let (start, end) = range.ok_or(format!("there is no {name}"))?;
    let [start, end] = [start, end].map(|addr| usize::from_str_radix(addr, 16));
    match (start, end) {
        (Ok(start), Ok(end)) => Ok((start, end - start)),
        _ => Err(format!("{name}: no addresses")),
    }
}

/// Of all that belongs to the vDSO, what only guests of other machines read is gone.
fn vdso_in_part(_: &Desk) -> Result<Place, String> {
    let (addr, len) = of_kernel("[vvar_vclock]")?;
    had("munmap", plain(libc::SYS_munmap, &[addr, len]))?;
    Ok(Place::Nowhere)
}

fn vdso_changed(_: &Desk) -> Result<Place, String> {
    let (addr, len) = of_kernel("[vdso]")?;
    let protect = |prot: i32| plain(libc::SYS_mprotect, &[addr, len, prot as usize]);
    let code = libc::PROT_READ | libc::PROT_EXEC;
    had("mprotect", protect(code | libc::PROT_WRITE))?;
    let last = (addr + len - 1) as *mut u8;
    // SAFETY: the last byte of the mapping, which may be written to, and belongs to no code.
    unsafe { last.write_volatile(!last.read_volatile()) };
    had("mprotect", protect(code))?;
    Ok(Place::Nowhere)
}

fn vdso_writable(_: &Desk) -> Result<Place, String> {
    let (addr, len) = of_kernel("[vdso]")?;
    let all = (libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC) as usize;
    had("mprotect", plain(libc::SYS_mprotect, &[addr, len, all]))?;
    Ok(Place::Nowhere)
}

/// Mappings.
pub const THINGS: &[Thing] = &[
    busy(
        "vdso-in-part",
        vdso_in_part,
        &["the vDSO is mapped in part"],
    ),
    busy("vdso-changed", vdso_changed, &["the vDSO has been changed"]),
    busy(
        "vdso-writable",
        vdso_writable,
        &["the vDSO has been changed"],
    ),
    busy("map-secret", secret, &["secret", "shared"]),
    busy("map-hugetlb", huge, &["hugetlb", "huge"]),
    busy("map-sysv", sysv, &["System V"]),
    busy(
        "map-unlinked-file",
        unlinked_file,
        &["the file has been unlinked"],
    ),
    thing("map-aio", aio, &["asynchronous I/O contexts"]),
    busy("map-userfault", userfault, &["userfault"]),
    busy("map-policy", policy, &["memory policy"]),
    busy("map-device", device, &["device mapping"]),
    busy("map-above-47-bits", high, &["above 47 bits"]),
    busy(
        "map-locked-guards",
        locked_guards,
        &["guard ranges in a locked mapping"],
    ),
    busy("map-empty-name", empty_name, &["an empty name"]),
    busy(
        "map-sealed-between",
        sealed_between,
        &["from before and from behind F_SEAL_FUTURE_WRITE"],
    ),
];
