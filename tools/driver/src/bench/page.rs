// SPDX-License-Identifier: GPL-2.0

//! The table in the documentation, between two markers; the rest is written by hand.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};

use super::row::Row;
use crate::ui::say;

const BEGIN: &str = ".. table of make bench: begin\n";
const END: &str = ".. table of make bench: end\n";

/// Puts the table into the page, and tells which missed goals it does not explain. Rows of
/// goals that this run has left out stay as they are.
pub fn update(path: &Path, rows: &[Row], settings: &str) -> Result<()> {
    let old =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut table = list_table(rows, settings);
    table.push_str(&left_out(&old, rows));
    let new = splice(&old, &table)
        .with_context(|| format!("{} has lost the markers of its table", path.display()))?;
    for id in unexplained(&new, rows) {
        say(format!(
            "{id} is missed, and {} gives no reason",
            path.display()
        ));
    }
    if new != old {
        std::fs::write(path, new)?;
    }
    Ok(())
}

fn splice(page: &str, table: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{table}\n{END}{after}"))
}

/// The rows of the page's table that are of other goals than these rows.
fn left_out(page: &str, rows: &[Row]) -> String {
    const ROW: &str = "   * - ";
    let table = page
        .split_once(BEGIN)
        .and_then(|(_, rest)| rest.split_once(END))
        .map_or("", |(table, _)| table);
    let mut text = String::new();
    // The first one has the names of the columns.
    for row in table.split(ROW).skip(2) {
        let id = row.lines().next().unwrap_or_default();
        if !rows.iter().any(|new| new.id == id) {
            let _ = writeln!(text, "{ROW}{}", row.trim_end());
        }
    }
    text
}

/// Missed goals that have no heading of their own (`S5: ...`) in the page.
fn unexplained<'a>(page: &str, rows: &'a [Row]) -> Vec<&'a str> {
    let mut ids: Vec<&str> = rows
        .iter()
        .filter(|row| row.verdict() == "missed")
        .map(|row| row.id)
        .filter(|id| {
            !page
                .lines()
                .any(|line| line.starts_with(&format!("{id}: ")))
        })
        .collect();
    ids.dedup();
    ids
}

fn list_table(rows: &[Row], settings: &str) -> String {
    let mut text = format!(".. list-table:: {settings}\n   :header-rows: 1\n\n");
    let mut line = |cells: [&str; 6]| {
        for (index, cell) in cells.iter().enumerate() {
            let _ = writeln!(text, "   {} - {cell}", if index == 0 { "*" } else { " " });
        }
    };
    line([
        "Goal",
        "Ratio",
        "Goal",
        "Measured",
        "Verdict",
        "Instructions",
    ]);
    for row in rows {
        line([
            row.id,
            &row.what,
            &row.goal_text(),
            &format!("{:.3}", row.measured),
            &match row.verdict() {
                "missed" => "**missed**".to_string(),
                other => other.to_string(),
            },
            &row.detail,
        ]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::row::Goal;

    fn row(id: &'static str) -> Row {
        Row::new(id, "a", Goal::None, (1.0, 1.0))
    }

    #[test]
    fn rows_of_other_goals_stay() {
        let table = "   * - Goal\n     - Ratio\n   * - S1\n     - a\n   * - S14\n     - b\n\n";
        let page = format!("a\n{BEGIN}{table}{END}z\n");
        assert_eq!(left_out(&page, &[row("S1")]), "   * - S14\n     - b\n");
        assert_eq!(left_out(&page, &[row("S1"), row("S14")]), "");
        assert_eq!(left_out("no markers", &[]), "");
    }

    #[test]
    fn only_the_table_changes() {
        let page = format!("a\n{BEGIN}old\n{END}z\n");
        let new = splice(&page, "new\n").unwrap();
        assert_eq!(new, format!("a\n{BEGIN}\nnew\n\n{END}z\n"));
        assert_eq!(splice(&new, "new\n").unwrap(), new);
        assert!(splice("no markers", "new").is_none());
    }
}
