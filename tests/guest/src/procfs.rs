// SPDX-License-Identifier: GPL-2.0

//! What /proc says about the program: its mappings and its descriptors.

use std::collections::BTreeMap;
use std::ffi::CStr;

use crate::check;
use crate::mem::Map;
use crate::mem::Spec;
use crate::mem::ANON;
use crate::mem::RW;
use crate::sys;

/// A file's text, read into memory of its own so that the heap stays as it is.
pub struct Text {
    map: Map,
    len: usize,
}

impl Text {
    /// Room for `len` bytes, already touched.
    pub fn with_room(len: usize) -> Self {
        let spec = Spec {
            len,
            prot: RW,
            flags: ANON | libc::MAP_POPULATE,
            ..Spec::default()
        };
        Self {
            map: check::need("map a buffer", Map::new(spec)),
            len: 0,
        }
    }

    /// Reads the file anew. Allocates nothing.
    pub fn read(&mut self, path: &CStr) {
        self.len = 0;
        let Ok(fd) = sys::open(path, libc::O_RDONLY | libc::O_CLOEXEC, 0) else {
            return;
        };
        while let Ok(n) = sys::read(fd, &mut self.map.bytes_mut()[self.len..]) {
            if n == 0 {
                break;
            }
            self.len += n;
        }
        let _ = sys::close(fd);
    }

    /// What was read.
    pub fn bytes(&self) -> &[u8] {
        &self.map.bytes()[..self.len]
    }

    /// What was read, as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(self.bytes()).unwrap_or("")
    }

    /// The memory that the text is in.
    pub fn map(&self) -> Map {
        self.map
    }
}

/// One mapping, as /proc/self/smaps shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// First address.
    pub start: usize,
    /// First address behind it.
    pub end: usize,
    /// Permissions, as `rw-p`.
    pub perms: String,
    /// Offset in the file.
    pub offset: usize,
    /// Device, inode and path, or the kernel's name for it.
    pub name: String,
    /// The two-letter flags.
    pub flags: Vec<String>,
    /// Sizes in kB by their name, and the protection key.
    pub numbers: BTreeMap<String, usize>,
}

/// Flags that say nothing about how a mapping was made.
const VOLATILE: [&str; 1] = ["sd"];

/// Parses the text of /proc/PID/smaps, or of /proc/PID/maps.
pub fn mappings(text: &str) -> Vec<Mapping> {
    let mut all: Vec<Mapping> = Vec::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let Some(first) = words.next() else { continue };
        if let Some(key) = first.strip_suffix(':') {
            let Some(last) = all.last_mut() else { continue };
            if key == "VmFlags" {
                last.flags = words
                    .filter(|f| !VOLATILE.contains(f))
                    .map(str::to_string)
                    .collect();
                last.flags.sort();
            } else if let Some(number) = words.next().and_then(|n| n.parse().ok()) {
                last.numbers.insert(key.to_string(), number);
            }
        } else if let Some(mapping) = header(first, words) {
            all.push(mapping);
        }
    }
    all
}

fn header<'a>(range: &str, mut words: impl Iterator<Item = &'a str>) -> Option<Mapping> {
    let hex = |s: &str| usize::from_str_radix(s, 16).ok();
    let (start, end) = range.split_once('-')?;
    let perms = words.next()?.to_string();
    let offset = hex(words.next()?)?;
    let mut name: Vec<&str> = words.collect();
    // What lives in memory alone has another inode after a restart.
    if name.last() == Some(&"(deleted)") || name.iter().any(|w| w.starts_with("[anon_shmem:")) {
        name.drain(..2);
    }
    Some(Mapping {
        start: hex(start)?,
        end: hex(end)?,
        perms,
        offset,
        name: name.join(" "),
        flags: Vec::new(),
        numbers: BTreeMap::new(),
    })
}

/// The mappings of this program.
pub fn own_mappings() -> Vec<Mapping> {
    let text = std::fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    mappings(&text)
}

/// The mapping that contains an address.
pub fn mapping_at(all: &[Mapping], addr: usize) -> Option<&Mapping> {
    all.iter().find(|m| (m.start..m.end).contains(&addr))
}

/// Joins neighbours that differ in nothing: whether two equal neighbours are one
/// mapping or two depends on the order in which they were made.
fn joined(all: &[Mapping]) -> Vec<Mapping> {
    let mut out: Vec<Mapping> = Vec::new();
    for mapping in all {
        let mut mapping = mapping.clone();
        let key = mapping.numbers.remove("ProtectionKey").unwrap_or(0);
        mapping.numbers = BTreeMap::from([("ProtectionKey".to_string(), key)]);
        if let Some(last) = out.last_mut() {
            let anonymous = mapping.name.starts_with("00:00 0");
            let follows = anonymous || last.offset + (last.end - last.start) == mapping.offset;
            if last.end == mapping.start
                && follows
                && last.perms == mapping.perms
                && last.name == mapping.name
                && last.flags == mapping.flags
                && last.numbers == mapping.numbers
            {
                last.end = mapping.end;
                continue;
            }
        }
        out.push(mapping);
    }
    out
}

/// Reports every mapping that is not the same in both.
pub fn same_mappings(before: &str, after: &str) {
    let (before, after) = (joined(&mappings(before)), joined(&mappings(after)));
    check::that(!before.is_empty(), "no mappings are known");
    for mapping in &before {
        match after.iter().find(|m| m.start == mapping.start) {
            None => check::fail(format!("mapping is gone: {}", shown(mapping))),
            Some(other) if other != mapping => check::fail(format!(
                "mapping: was {}, is {}",
                shown(mapping),
                shown(other)
            )),
            Some(_) => {}
        }
    }
    for mapping in &after {
        if !before.iter().any(|m| m.start == mapping.start) {
            check::fail(format!("mapping is new: {}", shown(mapping)));
        }
    }
}

fn shown(m: &Mapping) -> String {
    format!(
        "{:x}-{:x} {} {:x} {} [{}] key {}",
        m.start,
        m.end,
        m.perms,
        m.offset,
        m.name,
        m.flags.join(" "),
        m.numbers.get("ProtectionKey").unwrap_or(&0)
    )
}

/// One descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fd {
    /// What /proc/self/fd says it is.
    pub link: String,
    /// F_GETFL.
    pub flags: usize,
    /// F_GETFD.
    pub cloexec: usize,
    /// Position, where there is one.
    pub pos: Option<usize>,
}

/// All descriptors of this program.
pub fn descriptors() -> BTreeMap<i32, Fd> {
    let mut all = BTreeMap::new();
    let names: Vec<i32> = match std::fs::read_dir("/proc/self/fd") {
        Ok(dir) => dir
            .filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok())
            .collect(),
        Err(_) => return all,
    };
    for fd in names {
        // The directory's own descriptor is closed by now.
        let Ok(cloexec) = sys::fcntl(fd, libc::F_GETFD, 0) else {
            continue;
        };
        let link = std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap_or_default();
        all.insert(
            fd,
            Fd {
                link: link.to_string_lossy().into_owned(),
                flags: sys::fcntl(fd, libc::F_GETFL, 0).unwrap_or(0),
                cloexec,
                pos: sys::lseek(fd, 0, libc::SEEK_CUR).ok(),
            },
        );
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
7f00-9f00 rw-p 00000000 00:00 0 
Size:                  8 kB
VmFlags: rd wr mr mw me ac sd 
ProtectionKey:         0
9f00-af00 rw-p 00000000 00:00 0 
VmFlags: rd wr mr mw me ac 
bf00-cf00 r--p 00001000 08:01 12 /a b
VmFlags: rd mr 
";

    #[test]
    fn smaps_is_parsed() {
        let all = mappings(SMAPS);
        assert_eq!(all.len(), 3);
        assert_eq!((all[0].start, all[0].end), (0x7f00, 0x9f00));
        assert_eq!(all[0].numbers["Size"], 8);
        assert_eq!(all[2].name, "08:01 12 /a b");
        assert_eq!(all[2].flags, ["mr", "rd"]);
    }

    #[test]
    fn equal_neighbours_are_joined() {
        let all = joined(&mappings(SMAPS));
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].end, 0xaf00);
    }
}
