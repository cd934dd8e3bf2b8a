// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Names of files that a terminal can be shown.

/// `text` with escapes for all that a terminal would obey, or that reorders what is
/// shown: whoever names a file must not drive the terminal of others.
pub fn plain(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        let hidden = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' | '\u{feff}');
        if c.is_control() || hidden {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_drives_a_terminal_is_escaped_and_nothing_else() {
        assert_eq!(plain("/a b\\c/ä\u{1f600}"), "/a b\\c/ä\u{1f600}");
        assert_eq!(plain("a\x1b[2J\nb"), "a\\u{1b}[2J\\nb");
        assert_eq!(plain("\u{202e}gpj.exe\u{9b}"), "\\u{202e}gpj.exe\\u{9b}");
    }
}
