// SPDX-License-Identifier: GPL-2.0

//! Victims that have files of each other in procfs open.

use std::fs::File;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::os::fd::AsRawFd;

use ckpt_guest::act::Act;
use ckpt_guest::sys;
use ckpt_guest::victim::Scene;

use crate::family::act;
use crate::family::child;
use crate::family::ends_well;
use crate::family::parent;

fn open(path: &str) -> Result<File, String> {
    File::open(path).map_err(|e| format!("{path}: {e}"))
}

fn again(file: &mut File) -> Result<String, String> {
    let mut text = Vec::new();
    file.seek(SeekFrom::Start(0))
        .and_then(|_| file.read_to_end(&mut text))
        .map_err(|e| e.to_string())?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Is there a mapping with this address?
fn is_mapped(maps: &str, address: usize) -> bool {
    let number = |text| usize::from_str_radix(text, 16).unwrap_or(0);
    maps.lines().any(|line| {
        let ends = line.split(' ').next().and_then(|ends| ends.split_once('-'));
        ends.is_some_and(|(a, b)| (number(a)..number(b)).contains(&address))
    })
}

static HERE: u64 = 1;

/// Status, memory and descriptors of itself, and what is known of a child and of a zombie;
/// the child has what is known of its parent.
fn all(scene: &Scene) -> Result<(), String> {
    let mut maps = open("/proc/self/maps")?;
    let mut status = open("/proc/self/status")?;
    let mut head = [0; 6];
    status.read_exact(&mut head).map_err(|e| e.to_string())?;
    let fds = open("/proc/self/fd")?;
    let mut machine = open("/proc/meminfo")?;
    let mut mine = open(&format!("/proc/{}/stat", sys::getpid()))?;
    // One that has ended has no command line any more.
    let [told, hold] = sys::pipe(0).map_err(|e| format!("pipe: {e}"))?;
    let living = child(|| {
        let _ = sys::close(hold);
        scene.wait();
        let _ = sys::read(told, &mut [0]);
        // The first process was restarted under another id.
        let text = again(&mut mine)?;
        match text.starts_with(&format!("{} (", parent())) {
            true => Ok(()),
            false => Err(format!("the parent: {text}")),
        }
    })?;
    let dead = child(|| Ok(()))?;
    let mut name = open(&format!("/proc/{living}/cmdline"))?;
    let mut zombie = open(&format!("/proc/{dead}/stat"))?;
    while !again(&mut zombie)?.contains(") Z ") {
        scene.pause(1);
    }
    scene.announce();
    scene.wait();
    if !is_mapped(&again(&mut maps)?, (&raw const HERE) as usize) {
        return Err("the maps are of another memory".to_string());
    }
    // It goes on behind "Name:" and the tabulator.
    let mut rest = String::new();
    status
        .read_to_string(&mut rest)
        .map_err(|e| e.to_string())?;
    if rest.contains("Name:") || !rest.contains(&format!("\nPid:\t{}\n", sys::getpid())) {
        return Err(format!("the status: {rest}"));
    }
    let mut entries = [0u8; 4096];
    let args = [
        fds.as_raw_fd() as usize,
        entries.as_mut_ptr() as usize,
        entries.len(),
    ];
    // The kernel writes to `entries`, which is looked at no more.
    let bytes = sys::plain(libc::SYS_getdents64, &args).map_err(|e| e.to_string())?;
    let machine = again(&mut machine)?.len();
    let name = again(&mut name)?.len();
    let _ = sys::close(hold);
    if bytes == 0 || machine == 0 || name == 0 {
        return Err(format!(
            "descriptors, memory, name: {bytes}, {machine} and {name} bytes"
        ));
    }
    let zombie = again(&mut zombie)?;
    if !zombie.starts_with(&format!("{dead} (")) || !zombie.contains(") Z ") {
        return Err(format!("the zombie: {zombie}"));
    }
    ends_well(living)?;
    ends_well(dead)
}

/// Victims with files in procfs.
pub const ACTS: &[Act] = &[act("procfs", all).there()];
