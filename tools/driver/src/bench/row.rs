// SPDX-License-Identifier: GPL-2.0

//! One ratio, its goal and its verdict.

use std::fmt::Write;

use serde_json::{json, Value};

/// What a ratio should be.
#[derive(Clone, Copy)]
pub enum Goal {
    /// At most this; at most that is what we dream of.
    Most(f64, f64),
    /// At least this; at least that is what we dream of.
    Least(f64, f64),
    /// Within this of 1.
    One(f64),
    /// Nothing: told for information.
    None,
}

/// One line of the table.
pub struct Row {
    /// Name of the goal.
    pub id: &'static str,
    /// What is divided by what.
    pub what: String,
    /// What it should be.
    pub goal: Goal,
    /// What it is.
    pub measured: f64,
    /// The two numbers behind it.
    pub detail: String,
}

impl Row {
    /// `over` divided by `under`.
    pub fn new(id: &'static str, what: &str, goal: Goal, (over, under): (f64, f64)) -> Self {
        Row {
            id,
            what: what.to_string(),
            goal,
            measured: over / under,
            detail: format!("{} / {}", short(over), short(under)),
        }
    }

    /// In one word.
    pub fn verdict(&self) -> &'static str {
        match self.goal {
            Goal::Most(_, dream) if self.measured <= dream => "dream",
            Goal::Least(_, dream) if self.measured >= dream => "dream",
            Goal::Most(goal, _) if self.measured <= goal => "reached",
            Goal::Least(goal, _) if self.measured >= goal => "reached",
            Goal::One(off) if (self.measured - 1.0).abs() <= off => "reached",
            Goal::None => "-",
            _ => "missed",
        }
    }

    /// The goal, as a person writes it.
    pub fn goal_text(&self) -> String {
        match self.goal {
            Goal::Most(goal, _) => format!("<= {goal}"),
            Goal::Least(goal, _) => format!(">= {goal}"),
            Goal::One(off) => format!("1 +- {off}"),
            Goal::None => "-".to_string(),
        }
    }

    /// For the file of results.
    pub fn json(&self) -> Value {
        json!({"id": self.id, "what": self.what, "goal": self.goal_text(), "measured": self.measured,
               "verdict": self.verdict(), "detail": self.detail})
    }
}

/// A number of instructions with three digits or so.
fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 1e8 => format!("{:.1} M", value / 1e6),
        v if v >= 1e6 => format!("{:.2} M", value / 1e6),
        v if v >= 1e5 => format!("{:.0} k", value / 1e3),
        _ => format!("{value:.0}"),
    }
}

/// The table for a terminal.
pub fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.what.len()).max().unwrap_or(0);
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{:5} {:width$} {:>9} {:>9}  {:8} instructions",
        "goal", "ratio", "goal", "measured", "verdict"
    );
    for row in rows {
        let _ = writeln!(
            text,
            "{:5} {:width$} {:>9} {:>9.3}  {:8} {}",
            row.id,
            row.what,
            row.goal_text(),
            row.measured,
            row.verdict(),
            row.detail
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(goal: Goal, measured: f64) -> &'static str {
        Row::new("x", "", goal, (measured, 1.0)).verdict()
    }

    #[test]
    fn verdicts() {
        assert_eq!(verdict(Goal::Most(2.0, 1.0), 2.1), "missed");
        assert_eq!(verdict(Goal::Most(2.0, 1.0), 1.5), "reached");
        assert_eq!(verdict(Goal::Most(2.0, 1.0), 0.5), "dream");
        assert_eq!(verdict(Goal::Least(20.0, 100.0), 19.0), "missed");
        assert_eq!(verdict(Goal::One(0.01), 0.98), "missed");
        assert_eq!(verdict(Goal::One(0.01), 1.005), "reached");
        assert_eq!(verdict(Goal::Most(1.0, 0.5), f64::NAN), "missed");
    }
}
