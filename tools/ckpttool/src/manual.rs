// SPDX-License-Identifier: GPL-2.0

//! Man pages, which the tests of the tools hold against their options.

/// The long options that have an entry of their own in a page, in alphabetical order.
pub fn options(page: &str) -> Vec<String> {
    let mut lines = page.lines();
    let mut found = Vec::new();
    while lines.any(|line| line == ".TP") {
        let entry = lines.next().unwrap_or_default().replace("\\-", "-");
        let words = entry.split([' ', '"', ',']);
        found.extend(
            words
                .filter_map(|w| w.strip_prefix("--"))
                .map(str::to_string),
        );
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_and_mentions_are_not() {
        let page =
            ".TP\n.BR \\-w \", \" \\-\\-wait\nAs\n.B \\-\\-no\n.TP\n.B \\-\\-log \\fIF\\fP\n";
        assert_eq!(options(page), ["log", "wait"]);
    }
}
