// SPDX-License-Identifier: GPL-2.0

//! An image as facts: items of sections, each with named values.
//!
//! All that an image says but the contents of its pages is in here, the image
//! itself in one group and each of its tasks in another. References to objects
//! are replaced by what they refer to: their numbers mean nothing in another
//! image.

mod parts;

use std::collections::BTreeMap;
use std::collections::HashMap;

use ckptfmt::format::files;
use ckptfmt::format::mm::Mm;
use ckptfmt::walk::Event;

use super::item::record;
use super::item::Group;
use super::item::Item;
use super::item::Key;
use super::item::Value;
use super::registers::registers;
use super::section::Section;
use crate::locks;
use crate::text;
use crate::text::escape;

/// Bytes that the facts of one image may take, about.
const BUDGET: usize = 512 << 20;

/// An image.
#[derive(Default)]
pub struct Facts {
    /// What is said of no task.
    pub image: Group,
    /// By process id.
    pub tasks: BTreeMap<u32, Group>,
    task: Option<u32>,
    files: HashMap<u32, (files::File, String)>,
    /// The task and the descriptor that first referred to an open file.
    first_fd: HashMap<u32, (Option<u32>, u32)>,
    /// Who has an address space, a table, a view or handlers first.
    first: HashMap<u32, u32>,
    mm: Option<Mm>,
    mapping: Key,
    pending: u64,
    objects: u64,
    /// What shared memory is called, by its reference.
    shmem: HashMap<u32, String>,
    /// The shared memory at hand, and a digest of its pages.
    sharing: Option<(Item, blake3::Hasher)>,
    bytes: usize,
    full: bool,
}

const ONLY: Key = (0, String::new());

impl Facts {
    /// Whether the image had more than can be kept.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// The items of a section, of the task at hand or of the image.
    fn section(&mut self, section: Section) -> &mut BTreeMap<Key, Item> {
        let group = match self.task {
            Some(pid) => self.tasks.entry(pid).or_default(),
            None => &mut self.image,
        };
        group.entry(section).or_default()
    }

    fn put(&mut self, section: Section, key: Key, item: Item) {
        self.bytes = self.bytes.saturating_add(item.bytes());
        self.full |= self.bytes > BUDGET;
        if !self.full {
            self.section(section).insert(key, item);
        }
    }

    /// Adds values to the only item of a section.
    fn more(&mut self, section: Section, values: Vec<Value>) {
        let mut item = self.section(section).remove(&ONLY).unwrap_or_default();
        item.values.extend(values);
        self.put(section, ONLY, item);
    }

    fn text(&mut self, section: Section, name: &str, text: String) {
        let mut item = Item::default();
        item.add(name, text);
        self.more(section, item.values);
    }

    fn path(&self, objref: u32) -> String {
        match self.files.get(&objref) {
            Some((_, path)) => path.clone(),
            None => "none".into(),
        }
    }

    /// Takes in the next part of an image.
    pub fn take(&mut self, event: &Event<'_>) {
        match *event {
            Event::Head(r) => self.more(Section::Header, record(r).values),
            Event::Release(s) => self.text(Section::Header, "kernel release", escape(s)),
            Event::Version(s) => self.text(Section::Header, "kernel version", escape(s)),
            Event::Machine(s) => self.text(Section::Header, "machine", escape(s)),
            Event::HeadArch(r) => self.more(Section::Machine, record(r).values),
            Event::Tree(r) => {
                self.task = Some(r.pid);
                self.more(Section::Forest, record(r).values);
                self.task = None;
            }
            Event::Task(r) => {
                self.task = Some(r.pid);
                self.mm = None;
                self.pending = 0;
                self.more(Section::Task, record(r).values);
                self.shares(r);
            }
            Event::Affinity(bits) => self.text(Section::Task, "CPUs", text::cpus(bits)),
            Event::File(r, path) => {
                let path = match self.shmem.get(&r.object) {
                    Some(name) => name.clone(),
                    None => escape(path),
                };
                let bytes = size_of_val(r).saturating_add(path.len());
                self.bytes = self.bytes.saturating_add(bytes);
                self.full |= self.bytes > BUDGET;
                if !self.full {
                    self.files.insert(r.objref, (*r, path));
                }
            }
            Event::Opener(_, r, groups) => {
                let mut item = record(r);
                item.add("groups", format!("{groups:?}"));
                self.object("opener of files", item);
            }
            Event::Eventfd(r) => self.object("eventfd", record(r)),
            Event::Signalfd(r) => self.object("signalfd", record(r)),
            Event::Timerfd(r) => self.object("timerfd", record(r)),
            Event::Pidfd(r) => self.object("pidfd", record(r)),
            Event::Epoll(r) => self.object("epoll", record(r)),
            Event::EpollItem(r) => {
                let mut item = record(r);
                item.add("watched", self.path(r.file));
                self.object("entry of an epoll", item);
            }
            Event::Pipe(r, path) => {
                let mut item = record(r);
                item.add("path", escape(path));
                self.object("pipe", item);
            }
            Event::PipeBuf(r, bytes) => {
                let mut item = record(r);
                item.add("contents", blake3::hash(bytes).to_hex().to_string());
                self.object("pipe buffer", item);
            }
            Event::Socket(r) => self.object("socket", record(r)),
            Event::SocketMsg(_, r) => self.object("message in a socket", record(r)),
            Event::SocketData(_, bytes) => {
                let mut item = Item::default();
                item.add("contents", blake3::hash(bytes).to_hex().to_string());
                self.object("part of a message", item);
            }
            Event::Shmem(r, name) => {
                let mut item = record(r);
                item.add("name", escape(name));
                let nr = self.objects.saturating_add(1);
                let title = format!("[shared memory, object {nr} of the image]");
                self.bytes = self.bytes.saturating_add(size_of_val(r));
                self.full |= self.bytes > BUDGET;
                if !self.full {
                    self.shmem.insert(r.objref, title);
                }
                self.sharing = Some((item, blake3::Hasher::new()));
            }
            Event::ShmemEnd(pages) => {
                if let Some((mut item, digest)) = self.sharing.take() {
                    item.add("pages saved", pages.to_string());
                    item.add("contents", digest.finalize().to_hex().to_string());
                    self.object("shared memory", item);
                }
            }
            Event::Mm(r) => {
                self.mm = Some(*r);
                let mut item = record(r);
                item.add("program", self.path(r.exe_file));
                self.mapped_file(r.exe_file);
                self.more(Section::Memory, item.values);
            }
            Event::Auxv(vector) => self.auxv(vector),
            Event::Vma(r, name) => self.mapping(r, name),
            Event::Guards(ranges) => {
                for range in ranges {
                    let label = format!("{:#x}-{:#x}", range.start, range.end);
                    let item = Item {
                        label,
                        ..record(range)
                    };
                    self.put(Section::Guards, (range.start, String::new()), item);
                }
            }
            Event::VmaEnd(pages) => {
                let key = self.mapping.clone();
                if let Some(item) = self.section(Section::Mappings).get_mut(&key) {
                    // Not a value: pages are compared one by one.
                    item.label = format!("{}, {pages} saved", item.label);
                }
            }
            Event::MmContext(r) => self.more(Section::Memory, record(r).values),
            Event::Ldt(entries) => {
                for entry in entries {
                    let label = format!("entry {}", entry.entry_number);
                    let item = Item {
                        label,
                        ..record(entry)
                    };
                    let key = (entry.entry_number.into(), String::new());
                    self.put(Section::Ldt, key, item);
                }
            }
            Event::Thread(r) => self.more(Section::Thread, record(r).values),
            Event::Cpu(r) => self.more(Section::Registers, record(r).values),
            Event::Fpu(state) => {
                let mut item = Item::default();
                for (name, text) in registers(state) {
                    item.add(&name, text);
                }
                self.more(Section::Fpu, item.values);
            }
            Event::RestartBlock(r) => self.more(Section::Call, record(r).values),
            Event::Fs(r) => self.more(Section::Directories, record(r).values),
            Event::Root(s) => self.text(Section::Directories, "root", escape(s)),
            Event::Cwd(s) => self.text(Section::Directories, "current", escape(s)),
            // Its descriptors say it all.
            Event::Files(_) => {}
            Event::Fd(r) => self.descriptor(r),
            Event::FileLock(fd, r) => {
                let item = Item {
                    label: format!("{fd}, {}", locks::line(r)),
                    ..record(r)
                };
                let key = (fd.into(), format!("lock {} {:020}", r.kind, r.start));
                self.put(Section::Descriptors, key, item);
            }
            Event::Signal(r) => self.more(Section::Signals, record(r).values),
            Event::ThreadSignal(r) => self.more(Section::Signals, record(r).values),
            Event::Siginfo(r) => self.signal(r),
            Event::Itimers(r) => self.more(Section::Timers, record(r).values),
            Event::Timers(r) => self.more(Section::Timers, record(r).values),
            Event::Timer(r) => {
                let item = Item {
                    label: format!("timer {}", r.id),
                    ..record(r)
                };
                let key = (u64::from(r.id).saturating_add(1), String::new());
                self.put(Section::Timers, key, item);
            }
            Event::Creds(r) => self.more(Section::Credentials, record(r).values),
            Event::Groups(groups) => {
                for group in groups {
                    let item = Item {
                        label: format!("group {group}"),
                        ..Item::default()
                    };
                    let key = (u64::from(*group).saturating_add(1), String::new());
                    self.put(Section::Credentials, key, item);
                }
            }
            // Numbers of objects: the filters tell what they are.
            Event::Seccomp(_) => {}
            Event::Filter(r, code) => self.filter(r, code),
            Event::Rlimits(r) => self.more(Section::Limits, record(r).values),
            // They are compared by what is in them, wherever that is.
            Event::Again(_) => {}
            Event::Pages(addrs) => {
                if let Some((_, digest)) = &mut self.sharing {
                    for addr in addrs {
                        digest.update(&addr.to_le_bytes());
                    }
                }
            }
            Event::Data(data) => {
                if let Some((_, digest)) = &mut self.sharing {
                    digest.update(data);
                }
            }
            Event::End(_) => {}
        }
    }
}
