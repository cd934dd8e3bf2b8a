// SPDX-License-Identifier: GPL-2.0

//! Our own rules for the sources, checked on text: where `unsafe` may be written and
//! what must stand above it, and the licence tag.

use std::path::Path;

/// Whether a module must forbid unsafe code: all of checkpoint/, but for the wrappers
/// of kernel calls and the crate root.
pub fn must_forbid(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "rs")
        && path.starts_with("checkpoint")
        && !path.starts_with("checkpoint/kapi")
        && path != Path::new("checkpoint/checkpoint.rs")
}

/// Whether a file's text forbids unsafe code.
pub fn forbids(text: &str) -> bool {
    text.lines()
        .any(|line| line.trim() == "#![forbid(unsafe_code)]")
}

/// Whether the licence tag is where it must be: in the first three lines.
pub fn has_spdx(text: &str) -> bool {
    text.lines()
        .take(3)
        .any(|line| line.contains("SPDX-License-Identifier:"))
}

/// Line numbers of `unsafe` blocks, impls and functions: (line, is it justified).
pub fn unsafe_uses(text: &str) -> Vec<(usize, bool)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut uses = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let code = code_of(line);
        let Some(rest) = code
            .find("unsafe")
            .filter(|i| is_word(&code, *i))
            .map(|i| code[i + 6..].trim_start())
        else {
            continue;
        };
        let above = lines.get(..at).unwrap_or_default();
        if rest.starts_with("fn") || rest.starts_with("extern \"C\" fn") {
            uses.push((
                at + 1,
                comment_above(above).contains("# Safety") || code.contains(": unsafe"),
            ));
        } else if rest.starts_with('{') || rest.starts_with("impl") || rest.is_empty() {
            let named = line.contains("SAFETY:") || comment_above(above).contains("SAFETY:");
            uses.push((at + 1, named));
        }
    }
    uses
}

/// The line without its comment and without the contents of strings.
fn code_of(line: &str) -> String {
    let mut code = String::new();
    let mut in_string = false;
    let mut previous = ' ';
    for (i, c) in line.char_indices() {
        if c == '"' && previous != '\\' {
            in_string = !in_string;
        } else if !in_string && line[i..].starts_with("//") {
            break;
        }
        if !in_string || c == '"' {
            code.push(c);
        }
        previous = c;
    }
    code
}

fn is_word(code: &str, at: usize) -> bool {
    let ident = |c: char| c.is_alphanumeric() || c == '_';
    !code[..at].ends_with(ident) && !code[at + 6..].starts_with(ident)
}

/// The comment that stands above a line: attributes and the beginning of the same
/// statement may stand between.
fn comment_above(above: &[&str]) -> String {
    let mut comment = Vec::new();
    for line in above.iter().rev() {
        let text = line.trim();
        if text.starts_with("//") {
            comment.push(text);
        } else {
            let other = !text.starts_with("#[") && text.ends_with([';', '}', '{']);
            if !comment.is_empty() || text.is_empty() || other {
                break;
            }
        }
    }
    comment.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_needs_its_reason() {
        let text = "fn f() {\n    // SAFETY: held by the guard.\n    let x =\n        unsafe { g() };\n    unsafe { h() };\n}\n";
        assert_eq!(unsafe_uses(text), [(4, true), (5, false)]);
    }

    #[test]
    fn words_in_comments_and_strings_do_not_count() {
        let text = "// unsafe { }\nlet s = \"unsafe { }\";\n#![forbid(unsafe_code)]\nlet not_unsafe = 1;\n";
        assert!(unsafe_uses(text).is_empty());
    }

    #[test]
    fn functions_document_their_contract() {
        let text = "/// X.\n///\n/// # Safety\n///\n/// `p` lives.\n#[inline]\npub unsafe fn f() {}\n\nunsafe fn g() {}\n";
        assert_eq!(unsafe_uses(text), [(7, true), (9, false)]);
    }

    #[test]
    fn which_modules_forbid() {
        assert!(must_forbid(Path::new("checkpoint/res/mm.rs")));
        assert!(!must_forbid(Path::new("checkpoint/kapi/mm.rs")));
        assert!(!must_forbid(Path::new("checkpoint/checkpoint.rs")));
        assert!(!must_forbid(Path::new("arch/x86/checkpoint/fpu.rs")));
        assert!(!must_forbid(Path::new("checkpoint/sys.c")));
    }
}
