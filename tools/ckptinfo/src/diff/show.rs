// SPDX-License-Identifier: GPL-2.0

//! Differences as text, and as JSON.

use serde_json::json;
use serde_json::Value;

use super::compare::Change;
use super::compare::What;
use super::pages::How;
use super::pages::Range;
use crate::json::hex;
use crate::text::count;

/// Most lines of a section, and most ranges of a mapping; JSON has all.
const LIST: usize = 64;
const RANGES: usize = 16;
/// Longest value that stands in a line with another, in characters.
const LONG: usize = 24;

/// The differences for a person; nothing when there are none.
pub fn text(a: &str, b: &str, changes: &[Change]) -> String {
    let mut out = String::new();
    if !changes.is_empty() {
        out.push_str(&format!("--- {a}\n+++ {b}\n"));
    }
    let mut rest = changes;
    let mut task = None;
    while let Some(first) = rest.first() {
        if first.task != task {
            task = first.task;
            if let Some(pid) = task {
                out.push_str(&format!("task {pid}\n"));
            }
        }
        let together = |c: &&Change| c.task == first.task && c.section == first.section;
        let nr = rest.iter().take_while(together).count();
        let (these, others) = rest.split_at_checked(nr).unwrap_or((rest, &[]));
        rest = others;
        section(&mut out, these);
    }
    out
}

/// Changes of one section.
fn section(out: &mut String, changes: &[Change]) {
    let Some(first) = changes.first() else {
        return;
    };
    let indent = if first.task.is_some() { "  " } else { "" };
    let Some(section) = first.section else {
        for change in changes {
            let side = if change.what == What::Removed {
                "first"
            } else {
                "second"
            };
            out.push_str(&format!("{indent}only in the {side} image\n"));
        }
        return;
    };
    out.push_str(&format!("{indent}{}\n", section.title()));
    let mut item = String::new();
    for change in changes.iter().take(LIST) {
        let inner = format!("{indent}  ");
        match &change.what {
            What::Added => out.push_str(&format!("{inner}+ {}\n", named(change))),
            What::Removed => out.push_str(&format!("{inner}- {}\n", named(change))),
            What::Value(..) | What::Pages(_) if change.item != item => {
                item.clone_from(&change.item);
                out.push_str(&format!("{inner}{item}\n"));
            }
            _ => {}
        }
        let inner = if change.item.is_empty() {
            inner
        } else {
            format!("{inner}  ")
        };
        match &change.what {
            What::Value(name, a, b) => value(out, &inner, name, a.as_deref(), b.as_deref()),
            What::Pages(ranges) => pages(out, &inner, ranges),
            _ => {}
        }
    }
    let more = changes.len().saturating_sub(LIST);
    if more != 0 {
        out.push_str(&format!("{indent}  ... {more} more, see --json\n"));
    }
}

/// What an item that only one image has is called.
fn named(change: &Change) -> &str {
    if change.item.is_empty() {
        "all of it"
    } else {
        &change.item
    }
}

fn value(out: &mut String, indent: &str, name: &str, a: Option<&str>, b: Option<&str>) {
    let (a, b) = (a.unwrap_or("(nothing)"), b.unwrap_or("(nothing)"));
    if a.chars().count() <= LONG && b.chars().count() <= LONG {
        out.push_str(&format!("{indent}{name:<20} {a} -> {b}\n"));
    } else {
        out.push_str(&format!(
            "{indent}{name}\n{indent}  - {a}\n{indent}  + {b}\n"
        ));
    }
}

fn sum(ranges: &[Range], how: How) -> u64 {
    let these = ranges.iter().filter(|r| r.how == how);
    these.fold(0, |sum, r| sum.saturating_add(r.pages()))
}

fn how(how: How) -> &'static str {
    match how {
        How::Changed => "changed",
        How::OnlyFirst => "saved in the first only",
        How::OnlySecond => "saved in the second only",
    }
}

fn pages(out: &mut String, indent: &str, ranges: &[Range]) {
    let sums: Vec<String> = [How::Changed, How::OnlyFirst, How::OnlySecond]
        .into_iter()
        .map(|h| (sum(ranges, h), how(h)))
        .filter(|(pages, _)| *pages != 0)
        .map(|(pages, how)| format!("{} {how}", count(pages, "page")))
        .collect();
    out.push_str(&format!("{indent}{}\n", sums.join(", ")));
    for range in ranges.iter().take(RANGES) {
        out.push_str(&format!(
            "{indent}  {:#x}-{:#x} {} {}\n",
            range.start,
            range.end,
            count(range.pages(), "page"),
            how(range.how)
        ));
    }
    let more = ranges.len().saturating_sub(RANGES);
    if more != 0 {
        let more = count(more.try_into().unwrap_or(u64::MAX), "more range");
        out.push_str(&format!("{indent}  ... {more}, see --json\n"));
    }
}

/// The differences for a program.
pub fn json(a: &str, b: &str, changes: &[Change]) -> Value {
    json!({
        "first": a,
        "second": b,
        "same": changes.is_empty(),
        "changes": changes.iter().map(change).collect::<Vec<_>>(),
    })
}

fn change(change: &Change) -> Value {
    let mut value = json!({
        "task": change.task,
        "section": change.section.map(|s| s.title()),
        "item": (!change.item.is_empty()).then_some(&change.item),
    });
    let own = match &change.what {
        What::Added => json!({ "change": "added" }),
        What::Removed => json!({ "change": "removed" }),
        What::Value(name, a, b) => json!({
            "change": "value",
            "name": name,
            "first": a,
            "second": b,
        }),
        What::Pages(ranges) => json!({
            "change": "pages",
            "changed": sum(ranges, How::Changed),
            "first_only": sum(ranges, How::OnlyFirst),
            "second_only": sum(ranges, How::OnlySecond),
            "ranges": ranges.iter().map(range).collect::<Vec<_>>(),
        }),
    };
    if let (Some(value), Value::Object(own)) = (value.as_object_mut(), own) {
        value.extend(own);
    }
    value
}

fn range(range: &Range) -> Value {
    json!({
        "start": hex(range.start),
        "end": hex(range.end),
        "pages": range.pages(),
        "change": match range.how {
            How::Changed => "changed",
            How::OnlyFirst => "first only",
            How::OnlySecond => "second only",
        },
    })
}
