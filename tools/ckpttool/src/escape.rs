// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Strings that a terminal can be shown.

/// `bytes` without anything that a terminal would obey: control characters,
/// invalid UTF-8 and characters that reorder text are written as escapes.
pub fn escape(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            let hidden = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}' | '\u{feff}');
            match c {
                '\\' => out.push_str("\\\\"),
                c if c.is_control() || hidden => out.extend(c.escape_default()),
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
    fn nothing_that_a_terminal_obeys_gets_through() {
        assert_eq!(escape(b"/a b/\xc3\xa4"), "/a b/\u{e4}");
        assert_eq!(escape(b"\x1b[2J\n\\"), "\\u{1b}[2J\\n\\\\");
        assert_eq!(escape(b"\xff\xe2\x80\xae"), "\\xff\\u{202e}");
    }
}
