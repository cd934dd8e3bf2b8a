// SPDX-License-Identifier: GPL-2.0

//! `bench`: measured in guests whose clock counts instructions, shown as a table.
//!
//! ```text
//! ckpt-bench in the guest -> lines of JSON -> rows (goal, measured, verdict)
//!     -> the terminal, logs/bench.json, logs/bench-memory.svg; if it is asked for,
//!        the table and the picture of the documentation
//! ```
//!
//! A goal that is missed is shown and is no failure. A checkpoint or a restart that
//! fails is one, and so is a restarted program that does not find what it had.

use std::path::Path;

use anyhow::{bail, ensure, Context, Result};
use serde_json::{json, Value};

use crate::boot::{Boot, End};
use crate::cmd::From;
use crate::kernel::{self, Flavour};
use crate::layout::Layout;
use crate::tree::Tree;
use crate::ui::{say, Progress};
use crate::{guest, test};

mod page;
mod picture;
mod points;
mod row;
mod rows;

use points::Lines;

/// The processor that all rows are about.
const CPU: &str = "max";
/// The same one whose copies are loops everywhere.
const LOOPS: &str = "max,-erms";

/// What to measure.
pub struct Plan<'a> {
    /// A program to compare with, seen by the guest at the same path.
    pub peer: Option<&'a Path>,
    /// Leave out what needs another kernel.
    pub quick: bool,
    /// Put the table and the picture into the documentation.
    pub document: bool,
}

/// Measures, and shows the results.
pub fn run(layout: &Layout, plan: &Plan) -> Result<bool> {
    guest::build(layout)?;
    let tree = kernel::prepare(layout)?;
    let bench = Bench { layout, tree };
    let main = bench.kernel(Flavour::Plain)?;
    let mut all = rows::Results {
        main: bench.boot(&main, "run", CPU)?,
        loops: bench.boot(&main, "memory", LOOPS)?,
        idle: None,
        peer: None,
    };
    if plan.quick {
        say("S13: left out; it needs a kernel without the feature");
    } else {
        let without = bench.kernel(Flavour::Without)?;
        all.idle = Some([
            bench.boot(&without, "idle", CPU)?,
            bench.boot(&main, "idle", CPU)?,
            bench.boot(&main, "idle", CPU)?,
        ]);
    }
    // Without the peer everything else still counts.
    let mut failure = None;
    match plan.peer.map(|program| bench.peer(program)) {
        Some(Ok(lines)) => all.peer = Some(lines),
        Some(Err(error)) => failure = Some(error.context("S14: the peer")),
        None => say("S14: left out; it needs PEER=/path/to/criu"),
    }

    let rows = rows::all(&all)?;
    say(format!("\n{}", rows::settings(&all.main)?));
    say(row::table(&rows));
    let file = layout.cache.join("logs/bench.json");
    let text = json!({
        "rows": rows.iter().map(row::Row::json).collect::<Vec<Value>>(),
        "raw": all.json(),
    });
    std::fs::write(&file, format!("{text:#}\n"))?;
    let picture = picture::memory(&all.main)?;
    let drawn = layout.cache.join("logs/bench-memory.svg");
    std::fs::write(&drawn, &picture)?;
    if plan.document {
        let docs = layout.top.join("Documentation/checkpoint");
        std::fs::write(docs.join("bench-memory.svg"), picture)?;
        page::update(&docs.join("bench.rst"), &rows, &rows::settings(&all.main)?)?;
    }
    say(format!("raw values: {}", file.display()));
    say(format!("picture: {}", drawn.display()));
    failure.map_or(Ok(true), Err)
}

struct Bench<'a> {
    layout: &'a Layout,
    tree: Tree,
}

impl Bench<'_> {
    fn kernel(&self, flavour: Flavour) -> Result<std::path::PathBuf> {
        Ok(kernel::build(self.layout, &self.tree, flavour)?.1)
    }

    /// What the peer takes, on a kernel that it can work on.
    fn peer(&self, program: &Path) -> Result<Lines> {
        let program = program
            .canonicalize()
            .with_context(|| format!("cannot find {}", program.display()))?;
        let kernel = self.kernel(Flavour::Peer)?;
        self.boot(&kernel, &format!("peer {}", program.display()), CPU)
    }

    /// Boots, runs the guest's part and returns what it measured.
    fn boot(&self, kernel: &Path, words: &str, cpu: &str) -> Result<Lines> {
        let what = words.split(' ').next().unwrap_or_default();
        let share = self.layout.guest_share("bench");
        std::fs::create_dir_all(&share)?;
        let file = share.join(format!("{what}.jsonl"));
        let (verb, rest) = words.split_once(' ').unwrap_or((words, ""));
        let script = format!(
            "ckpt-bench {verb} /tmp/ckpt-bench {rest} | tee {}\n",
            file.display()
        );
        let boot = Boot {
            kernel,
            name: &format!("bench-{what}"),
            script: &script,
            share: &share,
            append: &["kunit.enable=0".to_string(), "nokaslr".to_string()],
            limit: test::limit(false),
            memory: "2G",
            exact: Some(cpu),
        };
        let mut progress = Progress::start(&format!("measuring ({what}, -cpu {cpu})"), 0);
        let mut last = String::new();
        let outcome = boot.run(self.layout, |from, line| {
            if from == From::Out {
                progress.note(&points::title(line));
            } else if line.contains("ckpt-bench: ") {
                last = line.trim().to_string();
            }
        })?;
        let log = outcome.log.display();
        if let Some(line) = outcome.trouble.first() {
            bail!("the kernel printed: {line}; see {log}");
        }
        if let End::Died | End::Hung = outcome.end {
            bail!("{}; see {log}", outcome.end.failure().unwrap_or_default());
        }
        // What went through the file is whole even if the port lost a line.
        let lines = points::parse(&std::fs::read_to_string(&file)?)?;
        ensure!(
            lines.last().is_some_and(|line| line["kind"] == "end"),
            "the benchmark did not come to its end: {last}; see {log}"
        );
        progress.finish(&format!("{} points", lines.len()));
        Ok(lines)
    }
}
