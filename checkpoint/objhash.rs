// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Shared objects: each is in an image once, and named by its reference.
//!
//! At checkpoint an object of the kernel is known by its address and gets the
//! next free number; at restart a number leads to the object that was built
//! for it. Both maps are balanced trees, so that the price of one object does
//! not grow with their number.

use crate::charge::charged;
use kernel::prelude::*;
use kernel::rbtree::Entry;
use kernel::rbtree::RBTree;
use kernel::rbtree::RBTreeNodeReservation;

/// Checkpoint: address of an object to its reference.
pub(crate) struct Saved {
    map: RBTree<usize, u32>,
    next: u32,
}

impl Saved {
    /// No objects.
    pub(crate) fn new() -> Self {
        Self {
            map: RBTree::new(),
            next: 1,
        }
    }

    /// A reference for something that is met only once.
    pub(crate) fn fresh(&mut self) -> Result<u32> {
        let objref = self.next;
        self.next = objref.checked_add(1).ok_or(EOVERFLOW)?;
        Ok(objref)
    }

    /// Was the object at `addr` met?
    pub(crate) fn knows(&self, addr: usize) -> bool {
        self.map.get(&addr).is_some()
    }

    /// The reference of the object at `addr`, and whether it is a new one.
    ///
    /// The caller keeps the object alive, or the address would lose its meaning.
    pub(crate) fn refer(&mut self, addr: usize) -> Result<(u32, bool)> {
        match self.map.entry(addr) {
            Entry::Occupied(known) => Ok((*known.get(), false)),
            Entry::Vacant(place) => {
                let objref = self.next;
                let next = objref.checked_add(1).ok_or(EOVERFLOW)?;
                place.insert(objref, RBTreeNodeReservation::new(charged())?);
                self.next = next;
                Ok((objref, true))
            }
        }
    }
}

/// Restart: reference to the object that was built for it.
pub(crate) struct Restored<T> {
    map: RBTree<u32, T>,
}

impl<T> Restored<T> {
    /// No objects.
    pub(crate) fn new() -> Self {
        Self { map: RBTree::new() }
    }

    /// Enters an object; a reference that is taken is an error of the image.
    pub(crate) fn insert(&mut self, objref: u32, object: T) -> Result {
        match self.map.entry(objref) {
            Entry::Vacant(place) if objref != 0 => {
                place.insert(object, RBTreeNodeReservation::new(charged())?);
                Ok(())
            }
            _ => Err(EINVAL),
        }
    }

    /// The object behind a reference, if it was built before.
    pub(crate) fn get(&self, objref: u32) -> Option<&T> {
        self.map.get(&objref)
    }

    /// As [`Self::get`], to change it.
    pub(crate) fn get_mut(&mut self, objref: u32) -> Option<&mut T> {
        self.map.get_mut(&objref)
    }

    /// All objects.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.map.values_mut()
    }
}

#[cfg(CONFIG_CHECKPOINT_KUNIT_TEST)]
#[kunit_tests(checkpoint_objhash)]
#[allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn an_object_has_one_reference() -> Result {
        let mut saved = Saved::new();
        assert_eq!(saved.refer(0x1000)?, (1, true));
        assert_eq!(saved.refer(0x2000)?, (2, true));
        assert_eq!(saved.refer(0x1000)?, (1, false));
        assert_eq!(saved.fresh()?, 3);
        Ok(())
    }

    #[test]
    fn a_reference_is_taken_once() -> Result {
        let mut restored = Restored::new();
        restored.insert(7, 70)?;
        assert!(restored.insert(7, 71).is_err());
        assert!(restored.insert(0, 1).is_err());
        assert_eq!(restored.get(7), Some(&70));
        assert_eq!(restored.get(8), None);
        Ok(())
    }

    #[test]
    fn many_objects_keep_their_references() -> Result {
        let mut saved = Saved::new();
        for i in 0..1000 {
            assert_eq!(saved.refer(i * 64)?.0, i as u32 + 1);
        }
        for i in 0..1000 {
            assert_eq!(saved.refer(i * 64)?, (i as u32 + 1, false));
        }
        Ok(())
    }
}
