// SPDX-License-Identifier: GPL-2.0

//! Signals and timers in the tree.

use ckptfmt::format::signal::Signal;

use super::Tree;
use super::LIST;
use crate::model::View;
use crate::pending;
use crate::posix;
use crate::text;
use crate::text::size;
use crate::timers;

/// What is done about signals, those that wait, and the timers that send some.
pub(super) fn signals(tree: &mut Tree<'_>, model: &View<'_>) {
    if let Some(signal) = &model.signal {
        actions(tree, signal);
    }
    if let Some(signal) = &model.thread_signal {
        tree.join(1, "signals blocked", &text::signals(signal.blocked));
        if signal.ss_size != 0 {
            let stack = format!("{:#x}, {}", signal.ss_sp, size(signal.ss_size));
            tree.line(1, "signal stack", stack);
        }
    }
    waiting(tree, model);
}

fn actions(tree: &mut Tree<'_>, signal: &Signal) {
    let handled = |wanted: fn(u64) -> bool| -> Vec<String> {
        signal
            .actions
            .iter()
            .zip(1..)
            .filter(|(action, _)| wanted(action.handler))
            .map(|(_, number)| text::signal(number))
            .collect()
    };
    tree.join(1, "signals blocked", &text::signals(signal.blocked));
    tree.join(1, "signals ignored", &handled(|h| h == 1));
    tree.join(1, "signals handled", &handled(|h| h > 1));
    if signal.ss_size != 0 {
        let stack = format!("{:#x}, {}", signal.ss_sp, size(signal.ss_size));
        tree.line(1, "signal stack", stack);
    }
}

fn waiting(tree: &mut Tree<'_>, model: &View<'_>) {
    let of_process = model.signal.as_ref().map(|s| s.nr_pending);
    let of_thread = model.thread_signal.as_ref().map(|s| s.nr_pending);
    if let Some(nr) = of_process.or(of_thread).filter(|nr| *nr != 0) {
        tree.line(1, "signals pending", nr.to_string());
    }
    for info in model.pending.iter().take(LIST) {
        tree.line(2, &pending::name(info), pending::signal(info));
    }
    if model.pending.len() > LIST {
        tree.line(2, "...", "see --json");
    }
    for (name, timer) in model.itimers.iter().flat_map(timers::set) {
        tree.line(1, &format!("timer {name}"), timers::text(timer));
    }
    if let Some(timers) = model.timers.as_ref().filter(|t| t.nr_timers != 0) {
        tree.line(1, "POSIX timers", timers.nr_timers.to_string());
    }
    for timer in model.posix.iter().take(LIST) {
        tree.line(2, &format!("timer {}", timer.id), posix::text(timer));
    }
    if model.posix.len() > LIST {
        tree.line(2, "...", "see --json");
    }
}
