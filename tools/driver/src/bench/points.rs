// SPDX-License-Identifier: GPL-2.0

//! What the guest printed: minima, and straight lines through them.

use anyhow::{Context, Result};
use serde_json::Value;

/// One value for each line.
pub type Lines = Vec<Value>;

/// `cost = slope * count + intercept`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// Instructions for each object.
    pub slope: f64,
    /// Instructions for none.
    pub intercept: f64,
}

/// Parses lines of JSON.
pub fn parse(text: &str) -> Result<Lines> {
    text.lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).context("a line of the guest is no JSON"))
        .collect()
}

/// What a line is about, for the progress.
pub fn title(line: &str) -> String {
    let value: Value = serde_json::from_str(line).unwrap_or_default();
    let word = |key: &str| match &value[key] {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    };
    format!("{} {}{}", word("kind"), word("count"), word("what"))
}

/// The smallest value of a series.
pub fn least(line: &Value, key: &str) -> Result<f64> {
    line[key]
        .as_array()
        .and_then(|values| values.iter().filter_map(Value::as_f64).reduce(f64::min))
        .with_context(|| format!("the guest measured no '{key}': {line}"))
}

/// Lines of one kind.
pub fn of_kind<'a>(lines: &'a Lines, kind: &'a str) -> impl Iterator<Item = &'a Value> {
    lines.iter().filter(move |line| line["kind"] == kind)
}

/// The line of a kind with the largest count.
pub fn largest<'a>(lines: &'a Lines, kind: &'a str) -> Result<&'a Value> {
    of_kind(lines, kind)
        .max_by_key(|line| line["count"].as_u64())
        .with_context(|| format!("the guest measured no '{kind}'"))
}

/// Counts and minima of a series, counts in units.
pub fn sweep(lines: &Lines, kind: &str, key: &str, unit: f64) -> Result<Vec<(f64, f64)>> {
    of_kind(lines, kind)
        .map(|line| {
            let count = line["count"].as_f64().context("a point without a count")?;
            Ok((count / unit, least(line, key)?))
        })
        .collect()
}

/// The line whose slope is the median of the slopes between all pairs of points: one
/// point that is off, because a tree of the kernel splits just there, does not move it.
pub fn fit(points: &[(f64, f64)]) -> Result<Fit> {
    let mut slopes = Vec::new();
    for (index, a) in points.iter().enumerate() {
        let others = points[index + 1..].iter().filter(|b| b.0 != a.0);
        slopes.extend(others.map(|b| (b.1 - a.1) / (b.0 - a.0)));
    }
    let slope = median(slopes).context("too few points for a line")?;
    let rest = points.iter().map(|p| p.1 - slope * p.0).collect();
    let intercept = median(rest).context("no points")?;
    Ok(Fit { slope, intercept })
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get(values.len().saturating_sub(1) / 2)?;
    Some((lower + upper) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found() {
        let fit = fit(&[(1.0, 5.0), (2.0, 7.0), (3.0, 9.0)]).unwrap();
        assert!((fit.slope - 2.0).abs() < 1e-9 && (fit.intercept - 3.0).abs() < 1e-9);
        assert!(super::fit(&[(1.0, 5.0)]).is_err());
    }

    #[test]
    fn one_point_that_is_off_does_not_matter() {
        let points = [(0.0, 0.0), (1.0, 2.0), (2.0, 40.0), (3.0, 6.0), (4.0, 8.0)];
        assert_eq!(fit(&points).unwrap().slope, 2.0);
    }

    #[test]
    fn the_smallest_value_counts() {
        let lines = parse("noise\n{\"kind\":\"a\",\"count\":4,\"x\":[3,2,5]}\n").unwrap();
        assert_eq!(sweep(&lines, "a", "x", 2.0).unwrap(), [(2.0, 2.0)]);
        assert!(least(&lines[0], "y").is_err());
    }
}
