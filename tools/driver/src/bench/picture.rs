// SPDX-License-Identifier: GPL-2.0

//! The memory sweep as a picture: four lines, both axes logarithmic.

use std::fmt::Write;

use anyhow::{Context, Result};

use super::points::{sweep, Lines};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 460.0;
/// The axes' rectangle; names of the lines stand to its right.
const LEFT: f64 = 70.0;
const RIGHT: f64 = 590.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 400.0;

/// Key, name, colour and dashes of each line.
const SERIES: [(&str, &str, &str, &str); 4] = [
    ("restore", "restart(2)", "#b2182b", ""),
    ("save", "checkpoint(2)", "#2166ac", ""),
    ("base", "write(2)", "#2166ac", "6 4"),
    ("read", "read(2)", "#b2182b", "6 4"),
];

/// A range of values and where it is drawn.
struct Axis {
    from: f64,
    to: f64,
    at: f64,
    until: f64,
}

impl Axis {
    fn place(&self, value: f64) -> f64 {
        let part = (value / self.from).ln() / (self.to / self.from).ln();
        self.at + part * (self.until - self.at)
    }
}

/// Draws the sweep.
pub fn memory(lines: &Lines) -> Result<String> {
    let mut all = Vec::new();
    for (key, ..) in SERIES {
        all.push(sweep(lines, "memory", key, f64::from(1 << 20))?);
    }
    let sizes: Vec<f64> = all
        .first()
        .context("no series")?
        .iter()
        .map(|p| p.0)
        .collect();
    let costs = || all.iter().flatten().map(|p| p.1);
    let x = Axis {
        from: sizes.iter().copied().fold(f64::MAX, f64::min) / 1.3,
        to: sizes.iter().copied().fold(0.0, f64::max) * 1.3,
        at: LEFT,
        until: RIGHT,
    };
    let y = Axis {
        from: 10f64.powf(costs().fold(f64::MAX, f64::min).log10().floor()),
        to: 10f64.powf(costs().fold(0.0, f64::max).log10().ceil()),
        at: BOTTOM,
        until: TOP,
    };

    let mut svg = String::new();
    let _ = writeln!(
        svg,
        "<!-- SPDX-License-Identifier: GPL-2.0 -->\n\
         <svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"14\">\n\
         <title>Instructions by resident memory</title>\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>"
    );
    text(
        &mut svg,
        LEFT,
        28.0,
        "start",
        "#000000",
        "Instructions by resident memory of one task",
    );
    let mut tick = y.from;
    while tick <= y.to * 1.01 {
        let at = y.place(tick);
        grid(&mut svg, (LEFT, at), (RIGHT, at));
        let label = format!("{} M", tick / 1e6);
        text(&mut svg, LEFT - 8.0, at + 5.0, "end", "#444444", &label);
        tick *= 10.0;
    }
    for size in &sizes {
        let at = x.place(*size);
        grid(&mut svg, (at, TOP), (at, BOTTOM));
        text(
            &mut svg,
            at,
            BOTTOM + 22.0,
            "middle",
            "#444444",
            &format!("{size} MiB"),
        );
    }
    let middle = (LEFT + RIGHT) / 2.0;
    text(
        &mut svg,
        middle,
        BOTTOM + 46.0,
        "middle",
        "#444444",
        "resident private memory, no page all zeros",
    );

    let mut labels: Vec<(f64, usize)> = Vec::new();
    for (index, (points, (_, _, colour, dashes))) in all.iter().zip(SERIES).enumerate() {
        let path: Vec<String> = points
            .iter()
            .map(|p| format!("{:.1},{:.1}", x.place(p.0), y.place(p.1)))
            .collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" \
             stroke-dasharray=\"{}\"/>",
            path.join(" "),
            if dashes.is_empty() { "none" } else { dashes }
        );
        for point in points {
            let (cx, cy) = (x.place(point.0), y.place(point.1));
            let _ = writeln!(
                svg,
                "<circle cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"3\" fill=\"{colour}\"/>"
            );
        }
        labels.extend(points.last().map(|p| (y.place(p.1), index)));
    }
    // Names beside the last points, pushed apart where the lines are close.
    labels.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut free = TOP;
    for (at, index) in labels {
        let (_, name, colour, _) = SERIES[index];
        let value = all[index].last().map_or(0.0, |p| p.1 / 1e6);
        free = at.max(free);
        let label = format!("{name}, {value:.0} M");
        text(&mut svg, RIGHT + 8.0, free + 5.0, "start", colour, &label);
        free += 18.0;
    }
    svg.push_str("</svg>\n");
    Ok(svg)
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, colour: &str, text: &str) {
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{colour}\">{text}</text>"
    );
}

fn grid(svg: &mut String, from: (f64, f64), to: (f64, f64)) {
    let _ = writeln!(
        svg,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"#cccccc\"/>",
        from.0, from.1, to.0, to.1
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::points;

    #[test]
    fn every_line_is_drawn() {
        let point = |count: u64| {
            let cost = count * 2;
            format!(
                "{{\"kind\":\"memory\",\"count\":{count},\"save\":[{cost}],\"base\":[{cost}],\
                 \"read\":[{cost}],\"restore\":[{cost}]}}\n"
            )
        };
        let lines = points::parse(&(point(1 << 20) + &point(1 << 22))).unwrap();
        let svg = memory(&lines).unwrap();
        assert_eq!(svg.matches("<polyline").count(), SERIES.len());
        assert_eq!(svg.matches("<circle").count(), 2 * SERIES.len());
        assert!(!svg.contains("NaN"));
    }
}
