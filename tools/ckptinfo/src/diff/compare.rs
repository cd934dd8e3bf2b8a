// SPDX-License-Identifier: GPL-2.0

//! Facts of two images side by side.

use std::collections::BTreeMap;

use super::facts::Facts;
use super::item::Group;
use super::item::Item;
use super::item::Key;
use super::pages::Range;
use super::pages::Ranges;
use super::section::Section;

/// What is different of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Only the second image has it.
    Added,
    /// Only the first image has it.
    Removed,
    /// A value: its name, then what each image says; none says nothing of it.
    Value(String, Option<String>, Option<String>),
    /// Pages of a mapping.
    Pages(Vec<Range>),
}

/// A difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The task, by its process id in the second image, or else in the first.
    pub task: Option<u32>,
    /// Where in an image; none for a task as a whole.
    pub section: Option<Section>,
    /// Which item, if a section has several.
    pub item: String,
    pub what: What,
}

/// All that differs, in the order of an image; with `all`, also what may
/// differ between images of the same state.
pub fn compare(a: &Facts, b: &Facts, pages: Ranges, all: bool) -> Vec<Change> {
    let mut changes = Changes {
        all,
        task: None,
        list: Vec::new(),
    };
    changes.group(&a.image, &b.image);
    for (one, two, pid) in pairs(a, b) {
        changes.task = Some(pid);
        match (one, two) {
            (Some(a), Some(b)) => {
                changes.group(a, b);
                changes.pages(a, b, pages.get(&pid).map_or(&[], Vec::as_slice));
            }
            (one, _) => changes.add(None, String::new(), whole(one.is_some())),
        }
    }
    changes.list
}

type Pair<'a> = (Option<&'a Group>, Option<&'a Group>, u32);

/// The tasks that are compared: those with the same process id, and the only
/// ones of two images, whatever their ids.
fn pairs<'a>(a: &'a Facts, b: &'a Facts) -> Vec<Pair<'a>> {
    if let ([one], [two]) = (
        a.tasks.iter().collect::<Vec<_>>().as_slice(),
        b.tasks.iter().collect::<Vec<_>>().as_slice(),
    ) {
        return vec![(Some(one.1), Some(two.1), *two.0)];
    }
    let mut pids: Vec<u32> = a.tasks.keys().chain(b.tasks.keys()).copied().collect();
    pids.sort_unstable();
    pids.dedup();
    pids.into_iter()
        .map(|pid| (a.tasks.get(&pid), b.tasks.get(&pid), pid))
        .collect()
}

fn whole(removed: bool) -> What {
    if removed {
        What::Removed
    } else {
        What::Added
    }
}

struct Changes {
    all: bool,
    task: Option<u32>,
    list: Vec<Change>,
}

type Items = BTreeMap<Key, Item>;

impl Changes {
    fn add(&mut self, section: Option<Section>, item: String, what: What) {
        self.list.push(Change {
            task: self.task,
            section,
            item,
            what,
        });
    }

    fn group(&mut self, a: &Group, b: &Group) {
        let mut sections: Vec<Section> = a.keys().chain(b.keys()).copied().collect();
        sections.sort_unstable();
        sections.dedup();
        let none = Items::new();
        for section in sections {
            let (a, b) = (
                a.get(&section).unwrap_or(&none),
                b.get(&section).unwrap_or(&none),
            );
            for (one, two) in couples(section, a, b) {
                match (one, two) {
                    (Some(one), Some(two)) => self.values(section, one, two),
                    (one, two) => {
                        let label = one.or(two).map(|i| i.label.clone());
                        let what = whole(one.is_some());
                        self.add(Some(section), label.unwrap_or_default(), what);
                    }
                }
            }
        }
    }

    fn values(&mut self, section: Section, a: &Item, b: &Item) {
        let gone = b.values.iter().filter(|v| a.value(&v.name).is_none());
        for value in a.values.iter().chain(gone) {
            let (old, new) = (a.value(&value.name), b.value(&value.name));
            if value.varies && !self.all || old.map(|v| &v.text) == new.map(|v| &v.text) {
                continue;
            }
            let text = |v: Option<&super::item::Value>| v.map(|v| v.text.clone());
            let what = What::Value(value.name.clone(), text(old), text(new));
            self.add(Some(section), a.label.clone(), what);
        }
    }

    /// Tells of pages by the mappings that both images have.
    fn pages(&mut self, a: &Group, b: &Group, mut ranges: &[Range]) {
        let none = Items::new();
        let (a, b) = (
            a.get(&Section::Mappings).unwrap_or(&none),
            b.get(&Section::Mappings).unwrap_or(&none),
        );
        for (one, two) in couples(Section::Mappings, a, b) {
            let (Some(one), Some(two)) = (one, two) else {
                continue;
            };
            let start = one.range.start.min(two.range.start);
            let end = one.range.end.max(two.range.end);
            let skip = ranges.partition_point(|r| r.end <= start);
            ranges = ranges.get(skip..).unwrap_or_default();
            let nr = ranges.partition_point(|r| r.start < end);
            let inside: Vec<Range> = ranges
                .iter()
                .take(nr)
                .map(|r| Range {
                    start: r.start.max(start),
                    end: r.end.min(end),
                    how: r.how,
                })
                .collect();
            if !inside.is_empty() {
                let what = What::Pages(inside);
                self.add(Some(Section::Pages), two.label.clone(), what);
            }
        }
    }
}

/// The items of a section, those of the same key together.
///
/// A mapping whose start has moved is still the same one if its end has not:
/// so do stacks grow.
fn couples<'a>(
    section: Section,
    a: &'a Items,
    b: &'a Items,
) -> Vec<(Option<&'a Item>, Option<&'a Item>)> {
    let mut moved: BTreeMap<u64, &Key> = BTreeMap::new();
    if section == Section::Mappings {
        let new = b.iter().filter(|(key, _)| !a.contains_key(*key));
        moved = new.map(|(key, item)| (item.range.end, key)).collect();
    }
    let mut rest: BTreeMap<&Key, &Item> = b.iter().collect();
    let mut out = Vec::new();
    for (key, one) in a {
        let two = rest.remove(key).or_else(|| {
            let key = moved.remove(&one.range.end)?;
            rest.remove(key)
        });
        out.push((key, (Some(one), two)));
    }
    out.extend(rest.into_iter().map(|(key, two)| (key, (None, Some(two)))));
    out.sort_by_key(|(key, _)| *key);
    out.into_iter().map(|(_, couple)| couple).collect()
}
