// SPDX-License-Identifier: GPL-2.0

//! Who there is in an image: the forest of tasks.

use std::collections::HashMap;

use ckptfmt::format::tree::tree_flags as f;
use ckptfmt::format::tree::Tree;
use serde_json::json;
use serde_json::Value;

use crate::model::Model;
use crate::text;

/// A line for each task, children below their parents; threads of a process are
/// counted.
pub fn lines(model: &Model) -> Vec<String> {
    let mut threads: HashMap<u32, u32> = HashMap::new();
    // A parent may be any thread of its process.
    let mut processes: HashMap<u32, u32> = HashMap::new();
    for task in &model.tree {
        let count = threads.entry(task.tgid).or_default();
        *count = count.saturating_add(1);
        processes.insert(task.pid, task.tgid);
    }
    let mut children: HashMap<u32, Vec<&Tree>> = HashMap::new();
    for task in model.tree.iter().filter(|task| task.is_process()) {
        let parent = processes.get(&task.parent).copied().unwrap_or(0);
        children.entry(parent).or_default().push(task);
    }
    let names: HashMap<u32, String> = model
        .views()
        .filter_map(|view| view.task.map(|task| (task.pid, text::name(&task.comm))))
        .collect();
    let mut lines = Vec::new();
    // A path down the forest, without recursion: it may be deep.
    let mut next: Vec<(usize, &Tree)> = children
        .get(&0)
        .into_iter()
        .flatten()
        .rev()
        .map(|task| (0, *task))
        .collect();
    while let Some((depth, task)) = next.pop() {
        let name = names.get(&task.pid).map_or("?", String::as_str);
        let mut notes = Vec::new();
        match threads.get(&task.tgid).copied().unwrap_or(1) {
            1 => {}
            nr => notes.push(format!("{nr} threads")),
        }
        if task.is_zombie() {
            notes.push(format!("ended: {}", text::exit_code(task.exit_code)));
        }
        if task.flags & f::SESSION_LEADER != 0 {
            notes.push("leads a session".into());
        }
        if task.flags & f::SUBREAPER != 0 {
            notes.push("adopts orphans".into());
        }
        if task.flags & f::AUTOREAP != 0 {
            notes.push("leaves no zombie".into());
        }
        let notes = if notes.is_empty() {
            String::new()
        } else {
            format!("  ({})", notes.join(", "))
        };
        let indent = "  ".repeat(depth.min(40));
        lines.push(format!("{indent}{} {name}{notes}", task.pid));
        let below = children.get(&task.pid).into_iter().flatten();
        next.extend(below.rev().map(|child| (depth.saturating_add(1), *child)));
    }
    lines
}

/// One task of the forest.
pub fn json(task: &Tree) -> Value {
    json!({
        "pid": task.pid,
        "tgid": task.tgid,
        "parent": task.parent,
        "pgid": task.pgid,
        "sid": task.sid,
        "zombie": task.is_zombie(),
        "exit_signal": task.exit_signal,
        "exit_code": task.is_zombie().then_some(task.exit_code),
    })
}
