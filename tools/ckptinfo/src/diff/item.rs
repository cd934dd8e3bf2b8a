// SPDX-License-Identifier: GPL-2.0

//! What facts consist of: items of sections, each with named values.

use std::collections::BTreeMap;

use ckptfmt::fields;
use ckptfmt::fields::Structure;

use super::section::Section;
use super::words;

/// What an item is found by in the other image: a number or a name.
pub type Key = (u64, String);

/// A named value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    pub name: String,
    pub text: String,
    /// May differ between images of the same state.
    pub varies: bool,
}

/// A mapping, a descriptor, the registers, ...
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Item {
    /// What a person calls it; nothing for the only item of a section.
    pub label: String,
    pub values: Vec<Value>,
    /// Addresses, of a mapping.
    pub range: std::ops::Range<u64>,
}

impl Item {
    pub(super) fn add(&mut self, name: &str, text: String) {
        self.values.push(Value {
            name: name.into(),
            text,
            varies: false,
        });
    }

    /// The value of a name.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.values.iter().find(|v| v.name == name)
    }

    pub(super) fn bytes(&self) -> usize {
        let values = self.values.iter().map(|v| {
            let text = v.name.len().saturating_add(v.text.len());
            text.saturating_add(size_of::<Value>())
        });
        let own = size_of::<(Section, Key, Self)>().saturating_add(self.label.len());
        values.fold(own, usize::saturating_add)
    }
}

/// The items of an image or of a task.
pub type Group = BTreeMap<Section, BTreeMap<Key, Item>>;

/// The values of a record.
pub(super) fn record<T: Structure>(record: &T) -> Item {
    let mut item = Item::default();
    for part in fields::parts(record, &words::element) {
        if !words::skipped(&part) {
            item.values.push(Value {
                name: words::title(&part),
                text: words::value(&part),
                varies: part.varies,
            });
        }
    }
    item
}
