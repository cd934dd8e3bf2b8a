// SPDX-License-Identifier: GPL-2.0

//! Values of constant expressions: numbers, names, `|`, `-`, `<<`, parentheses.

/// The value of `text`, with the values of names from `lookup`.
pub fn eval(text: &str, lookup: &dyn Fn(&str) -> Option<u64>) -> Option<u64> {
    let mut parser = Parser {
        rest: text.trim(),
        lookup,
    };
    let value = parser.or()?;
    parser.rest.is_empty().then_some(value)
}

struct Parser<'a> {
    rest: &'a str,
    lookup: &'a dyn Fn(&str) -> Option<u64>,
}

impl Parser<'_> {
    /// Takes `token` if it comes next.
    fn token(&mut self, token: &str) -> bool {
        let Some(rest) = self.rest.strip_prefix(token) else {
            return false;
        };
        self.rest = rest.trim_start();
        true
    }

    fn or(&mut self) -> Option<u64> {
        let mut value = self.shift()?;
        while self.token("|") {
            value |= self.shift()?;
        }
        Some(value)
    }

    fn shift(&mut self) -> Option<u64> {
        let mut value = self.minus()?;
        while self.token("<<") {
            value = value.checked_shl(u32::try_from(self.minus()?).ok()?)?;
        }
        Some(value)
    }

    fn minus(&mut self) -> Option<u64> {
        let mut value = self.atom()?;
        while self.token("-") {
            value = value.checked_sub(self.atom()?)?;
        }
        Some(value)
    }

    fn atom(&mut self) -> Option<u64> {
        if self.token("(") {
            let value = self.or()?;
            return self.token(")").then_some(value);
        }
        let end = self
            .rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':')
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest.trim_start();
        if !word.starts_with(|c: char| c.is_ascii_digit()) {
            return (self.lookup)(word.rsplit(':').next()?);
        }
        let digits = word.replace('_', "");
        match digits.split_at_checked(2) {
            Some(("0x", hex)) => u64::from_str_radix(hex, 16).ok(),
            Some(("0o", octal)) => u64::from_str_radix(octal, 8).ok(),
            _ => digits.parse().ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precedence_is_that_of_rust() {
        let none = |_: &str| None;
        assert_eq!(eval("1 << 8 | 1 << 18", &none), Some(1 << 8 | 1 << 18));
        assert_eq!(eval("(1 << 14) - 1", &none), Some((1 << 14) - 1));
        assert_eq!(eval("0x00a2_d200", &none), Some(0x00a2_d200));
        assert_eq!(eval("super::A | 2", &|n| (n == "A").then_some(1)), Some(3));
        assert_eq!(eval("A", &none), None);
        assert_eq!(eval("1 +", &none), None);
    }
}
