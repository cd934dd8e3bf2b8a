// SPDX-License-Identifier: GPL-2.0

//! The sweeps: one worker for each kind and count, and restarts of its image.

use anyhow::Result;
use ckpt_guest::life::c_path;
use serde_json::json;

use crate::clock;
use crate::place::Place;
use crate::restart;
use crate::work;

/// Bytes of memory, by powers of four.
const MEMORY: [usize; 4] = [1 << 20, 4 << 20, 16 << 20, 64 << 20];
/// Numbers of objects: around 10, around 1000, and between. Those around 1000 are far
/// apart: now and then one of them meets a page less or more than the others.
const OBJECTS: [usize; 12] = [0, 4, 8, 12, 16, 20, 256, 744, 872, 1000, 1128, 1256];
/// Times that each large thing is measured.
const TURNS: usize = 5;
/// Times that each small thing is measured: the timer's ticks weigh more there.
const MANY_TURNS: usize = 9;

/// Measures the sizes, and prints a line for each.
pub fn memory(place: &Place) -> Result<()> {
    MEMORY
        .into_iter()
        .try_for_each(|bytes| point(place, "memory", bytes, TURNS))
}

/// Measures the numbers of objects, and prints a line for each kind and number.
pub fn objects(place: &Place) -> Result<()> {
    ["mappings", "files"].into_iter().try_for_each(|kind| {
        OBJECTS
            .into_iter()
            .try_for_each(|count| point(place, kind, count, MANY_TURNS))
    })
}

fn point(place: &Place, kind: &str, count: usize, turns: usize) -> Result<()> {
    let mut report = place.work(&[kind, &count.to_string(), &turns.to_string()])?;
    let image = c_path(&place.dir.join(work::IMAGE));
    let mut buf = vec![1; clock::PIECE];
    let (mut read, mut restore) = (Vec::new(), Vec::new());
    for turn in 0..=turns {
        let plain = clock::read_file(&image, &mut buf)?;
        let took = restart::once(place)?;
        if turn != 0 {
            read.push(plain);
            restore.push(took);
        }
    }
    report["kind"] = json!(kind);
    report["count"] = json!(count);
    report["read"] = json!(read);
    report["restore"] = json!(restore);
    println!("{report}");
    Ok(())
}
