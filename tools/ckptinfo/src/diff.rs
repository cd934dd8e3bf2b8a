// SPDX-License-Identifier: GPL-2.0

//! What differs between two images.
//!
//! The first image is read to its end and kept as facts, and its pages as
//! digests of 16 bytes; then the second is read, whose pages are compared as
//! they come by. So either may be a pipe, and no page is kept.

mod compare;
mod facts;
mod item;
mod pages;
mod registers;
mod section;
mod show;
mod words;

use std::io;
use std::io::Read;

use ckptfmt::walk::walk;
use ckptfmt::walk::Event;

use crate::verdict;

use facts::Facts;

/// What is asked for.
#[derive(Clone, Copy)]
pub struct Ask {
    /// Times and identifiers count as well.
    pub all: bool,
    /// The answer as JSON.
    pub json: bool,
}

/// Two images that could be compared.
pub struct Answer {
    /// What to print.
    pub text: String,
    /// Whether nothing differs.
    pub same: bool,
}

/// An image that could not be compared: its name, and why.
pub type Trouble = (String, String);

/// Compares two images, each with its name.
///
/// # Errors
///
/// When one of them is broken, cannot be read or has lists without end.
pub fn diff(
    ask: Ask,
    (a_name, first): (&str, impl Read),
    (b_name, second): (&str, impl Read),
) -> Result<Answer, Trouble> {
    let mut a = Facts::default();
    let mut digests = pages::Digests::default();
    read(a_name, first, &mut a, &mut |event| digests.take(event))?;
    followed(a_name, digests.is_full())?;
    let mut b = Facts::default();
    let mut compared = pages::Compared::new(digests);
    read(b_name, second, &mut b, &mut |event| compared.take(event))?;
    followed(b_name, compared.is_full())?;
    let changes = compare::compare(&a, &b, compared.finish(), ask.all);
    let text = if ask.json {
        format!("{:#}\n", show::json(a_name, b_name, &changes))
    } else {
        show::text(a_name, b_name, &changes)
    };
    Ok(Answer {
        text,
        same: changes.is_empty(),
    })
}

/// Pages that were left out must not look as if they were the same.
fn followed(name: &str, full: bool) -> Result<(), Trouble> {
    match full {
        true => Err((
            name.into(),
            "it refers to too many pages to be compared".into(),
        )),
        false => Ok(()),
    }
}

/// Reads an image into `facts` and shows its parts to `pages`.
fn read(
    name: &str,
    input: impl Read,
    facts: &mut Facts,
    pages: &mut dyn FnMut(&Event<'_>),
) -> Result<(), Trouble> {
    let trouble = |why: String| Err((name.to_string(), why));
    let end: Result<_, Box<ckptfmt::walk::Stop<io::Error>>> = walk(input, &mut |event| {
        facts.take(event);
        pages(event);
    });
    match end {
        Err(stop) => trouble(verdict::line(&stop)),
        Ok(_) if facts.is_full() => trouble("its lists are too long to be compared".into()),
        Ok(_) => Ok(()),
    }
}
