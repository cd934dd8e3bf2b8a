// SPDX-License-Identifier: GPL-2.0

//! The interval timers.

use ckptfmt::format::pending::Itimer;
use ckptfmt::format::pending::Itimers;
use serde_json::json;
use serde_json::Map;
use serde_json::Value;

use crate::model::View;
use crate::time;

/// Names of the interval timers, in the order of the image.
pub const TIMERS: [&str; 3] = ["real", "virtual", "profiling"];

/// The timers that are set, by name.
pub fn set(timers: &Itimers) -> impl Iterator<Item = (&'static str, &Itimer)> {
    TIMERS
        .into_iter()
        .zip(&timers.timers)
        .filter(|(_, timer)| timer.value != 0 || timer.interval != 0)
}

/// A timer in one line.
pub fn text(timer: &Itimer) -> String {
    let every = match timer.interval {
        0 => "once".into(),
        interval => format!("every {}", time::span(interval)),
    };
    match timer.value {
        0 => format!("stopped, {every}"),
        value => format!("{} left, {every}", time::span(value)),
    }
}

/// The timers that are set.
pub fn json(model: &View<'_>) -> Value {
    let Some(itimers) = &model.itimers else {
        return Value::Null;
    };
    let set = self::set(itimers).map(|(name, timer)| {
        let value = json!({
            "remaining_ns": timer.value.to_string(),
            "remaining": time::span(timer.value),
            "interval_ns": timer.interval.to_string(),
            "interval": time::span(timer.interval),
            "text": self::text(timer),
        });
        (name.to_string(), value)
    });
    Value::Object(set.collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_that_are_set() {
        for (value, interval, text) in [
            (1, 0, "1 ns left, once"),
            (
                1_500_000_000,
                60_000_000_000,
                "1.500 s left, every 1 min 0 s",
            ),
            (0, 1_000_000, "stopped, every 1.000 ms"),
        ] {
            assert_eq!(super::text(&Itimer { value, interval }), text);
        }
        assert_eq!(set(&Itimers::zeroed()).count(), 0);
    }
}
