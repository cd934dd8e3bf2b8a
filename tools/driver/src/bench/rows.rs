// SPDX-License-Identifier: GPL-2.0

//! The rows of the table: what is divided by what, and what it should be.

use anyhow::{Context, Result};
use serde_json::{json, Value};

use super::points::{fit, largest, least, of_kind, sweep, Fit, Lines};
use super::row::{Goal, Row};

/// Bytes of a page.
const PAGE: f64 = 4096.0;
/// Counts up to here are "around 10", above the other one "around 1000".
const AROUND_10: f64 = 20.0;
const AROUND_1000: f64 = 700.0;

/// What was measured, by boot.
pub struct Results {
    /// The sweeps and the ruler's own checks.
    pub main: Lines,
    /// The memory sweep on a processor that copies in loops.
    pub loops: Lines,
    /// Everyday calls, without the feature, with it, and with it once more.
    pub idle: Option<[Lines; 3]>,
    /// The peer.
    pub peer: Option<Lines>,
}

impl Results {
    /// All raw values.
    pub fn json(&self) -> Value {
        json!({
            "main": self.main,
            "loops": self.loops,
            "idle": self.idle,
            "peer": self.peer,
        })
    }
}

/// All rows.
pub fn all(results: &Results) -> Result<Vec<Row>> {
    let main = &results.main;
    let mut rows = Vec::new();
    let ruler = of_kind(main, "ruler")
        .next()
        .context("the ruler is missing")?;
    let ruler_pair = |key| anyhow::Ok((least(ruler, key)?, least(ruler, "base")?));
    rows.push(Row::new(
        "ruler",
        "write(2) / itself",
        Goal::One(0.01),
        ruler_pair("same")?,
    ));
    rows.push(Row::new(
        "ruler",
        "write(2) with one copy more / without",
        Goal::Least(1.2, f64::INFINITY),
        ruler_pair("copied")?,
    ));

    let big = largest(main, "memory")?;
    let pair = |line: &Value, over, under| anyhow::Ok((least(line, over)?, least(line, under)?));
    let s1 = "checkpoint of 64 MiB / write(2)";
    let s5 = "restart of 64 MiB / read(2) of the image";
    rows.push(Row::new(
        "S1",
        s1,
        Goal::Most(0.8, 0.4),
        pair(big, "save", "base")?,
    ));
    rows.push(Row::new(
        "S5",
        s5,
        Goal::Most(2.0, 1.2),
        pair(big, "restore", "read")?,
    ));
    let loops = largest(&results.loops, "memory")?;
    for (id, what, over, under) in [("S1", s1, "save", "base"), ("S5", s5, "restore", "read")] {
        let what = format!("{what}, -cpu {}", super::LOOPS);
        rows.push(Row::new(id, &what, Goal::None, pair(loops, over, under)?));
    }

    for (name, over, under) in [("save", "save", "base"), ("restore", "restore", "read")] {
        let constant = |key| anyhow::Ok(fit(&sweep(main, "memory", key, PAGE)?)?.intercept);
        let what = format!("{name}: the constant part, in pages of the sweep");
        let page = fit(&sweep(main, "memory", under, PAGE)?)?.slope;
        rows.push(Row::new("S9", &what, Goal::None, (constant(over)?, page)));
    }
    slopes(main, &mut rows)?;
    let bytes = big["image_bytes"].as_f64().context("image_bytes")?;
    let pages = big["resident_pages"].as_f64().context("resident_pages")?;
    rows.push(Row::new(
        "S12",
        "bytes of the image / of unique pages, 64 MiB",
        Goal::Most(1.02, 1.002),
        (bytes, pages * PAGE),
    ));
    if let Some([without, with, again]) = &results.idle {
        idle(without, with, again, &mut rows)?;
    }
    if let Some(line) = results.peer.iter().flat_map(|p| of_kind(p, "peer")).next() {
        let goal = Goal::Least(20.0, 100.0);
        for (what, peer, own) in [
            (
                "CPU of the peer's dump / ours, one small process",
                "dump",
                "own_dump",
            ),
            (
                "CPU of the peer's restore / ours, one small process",
                "restore",
                "own_restore",
            ),
        ] {
            rows.push(Row::new("S14", what, goal, pair(line, peer, own)?));
        }
    }
    Ok(rows)
}

/// Prices of one object more, and whether they grow with their number.
fn slopes(main: &Lines, rows: &mut Vec<Row>) -> Result<()> {
    let save_goal = Goal::Most(1.0, 0.2);
    let restore_goal = Goal::Most(2.0, 1.1);
    let kinds = [
        ("page", "memory", PAGE, "write(2)", "read(2)", "read"),
        (
            "mapping",
            "mappings",
            1.0,
            "mmap+munmap",
            "mmap+munmap",
            "base",
        ),
        (
            "descriptor",
            "files",
            1.0,
            "fstat+open",
            "fstat+open",
            "base",
        ),
    ];
    for (name, kind, unit, saved, restored, restore_base) in kinds {
        let slope = |key| anyhow::Ok(fit(&sweep(main, kind, key, unit)?)?.slope);
        rows.push(Row::new(
            "S9",
            &format!("save: a {name} more / {saved}"),
            save_goal,
            (slope("save")?, slope("base")?),
        ));
        rows.push(Row::new(
            "S9",
            &format!("restore: a {name} more / {restored}"),
            restore_goal,
            (slope("restore")?, slope(restore_base)?),
        ));
    }
    for (name, kind) in [("mapping", "mappings"), ("descriptor", "files")] {
        for (verb, key) in [("save", "save"), ("restore", "restore")] {
            let part = |keep: fn(f64) -> bool| -> Result<Fit> {
                let mut points = sweep(main, kind, key, 1.0)?;
                points.retain(|p| keep(p.0));
                fit(&points)
            };
            let few = part(|count| count <= AROUND_10)?;
            let many = part(|count| count >= AROUND_1000)?;
            rows.push(Row::new(
                "S10",
                &format!("{verb}: a {name} more at 1000 / at 10"),
                Goal::Most(1.05, 1.0),
                (many.slope, few.slope),
            ));
        }
    }
    Ok(())
}

/// Everyday calls with the feature built in, against a kernel without it; and how far
/// two boots of one kernel are apart.
fn idle(without: &Lines, with: &Lines, again: &Lines, rows: &mut Vec<Row>) -> Result<()> {
    let all = of_kind(without, "idle").zip(of_kind(with, "idle"));
    for ((old, new), other) in all.zip(of_kind(again, "idle")) {
        let calls = new["calls"].as_f64().context("calls")?;
        let price = |line| anyhow::Ok(least(line, "values")? / calls);
        let name = new["what"].as_str().unwrap_or_default();
        let mut row = |id, what: &str, goal, pair| {
            rows.push(Row::new(id, &format!("{name}: {what}"), goal, pair));
        };
        row(
            "S13",
            "built in and idle / not built",
            Goal::Most(1.001, 1.0),
            (price(new)?, price(old)?),
        );
        row(
            "ruler",
            "one kernel, booted twice",
            Goal::One(0.01),
            (price(new)?, price(other)?),
        );
    }
    Ok(())
}

/// What the numbers depend on, in one line.
pub fn settings(lines: &Lines) -> Result<String> {
    let line = of_kind(lines, "settings")
        .next()
        .context("the guest's settings are missing")?;
    let word = |key: &str| line[key].as_str().unwrap_or("?").to_string();
    let chosen = |key: &str| {
        let text = word(key);
        match text
            .split_once('[')
            .and_then(|(_, rest)| rest.split_once(']'))
        {
            Some((chosen, _)) => chosen.to_string(),
            None => text,
        }
    };
    let features: Vec<&str> = line["features"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    Ok(format!(
        "Linux {}, one CPU, -cpu {} ({}), -icount shift=0,sleep=off; THP {}, tmpfs huge pages {}, KSM {}",
        word("kernel"),
        super::CPU,
        features.join(" "),
        chosen("thp"),
        chosen("shmem_thp"),
        word("ksm"),
    ))
}
