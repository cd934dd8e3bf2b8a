// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Strings that a terminal can be shown.

/// Would a terminal obey it, or does it reorder what is shown?
fn drives(c: char) -> bool {
    let reorders = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}' | '\u{feff}');
    c.is_control() || reorders
}

/// A message with escapes for all that a terminal would obey: whoever names a file must
/// not drive the terminal of others.
pub fn plain(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if drives(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// `bytes` without anything that a terminal would obey: control characters,
/// invalid UTF-8 and characters that reorder text are written as escapes.
pub fn escape(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                c if drives(c) => out.extend(c.escape_default()),
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_stay_what_they_are() {
        assert_eq!(plain("/a b\\c/ä\u{1f600}"), "/a b\\c/ä\u{1f600}");
        assert_eq!(plain("a\x1b[2J\nb"), "a\\u{1b}[2J\\nb");
        assert_eq!(plain("\u{202e}gpj.exe\u{9b}"), "\\u{202e}gpj.exe\\u{9b}");
    }

    #[test]
    fn nothing_that_a_terminal_obeys_gets_through() {
        assert_eq!(escape(b"/a b/\xc3\xa4"), "/a b/\u{e4}");
        assert_eq!(escape(b"\x1b[2J\n\\"), "\\u{1b}[2J\\n\\\\");
        assert_eq!(escape(b"\xff\xe2\x80\xae"), "\\xff\\u{202e}");
    }
}
