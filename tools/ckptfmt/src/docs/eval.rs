// SPDX-License-Identifier: GPL-2.0

//! Values of constant expressions: numbers, names, `|`, `-`, `<<`, `/`, `as`,
//! parentheses. A negative value is its two's complement.

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
        let mut value = self.divide()?;
        while self.token("-") {
            value = value.checked_sub(self.divide()?)?;
        }
        Some(value)
    }

    fn divide(&mut self) -> Option<u64> {
        let mut value = self.cast()?;
        while self.token("/") {
            value = value.checked_div(self.cast()?)?;
        }
        Some(value)
    }

    /// Casts between 64-bit types, which change no bit.
    fn cast(&mut self) -> Option<u64> {
        let value = self.atom()?;
        while self.token("as ") {
            if !self.token("u64") && !self.token("i64") {
                return None;
            }
        }
        Some(value)
    }

    fn atom(&mut self) -> Option<u64> {
        if self.token("(") {
            let value = self.or()?;
            return self.token(")").then_some(value);
        }
        if self.token("-") {
            return Some(self.atom()?.wrapping_neg());
        }
        let end = self
            .rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':')
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest.trim_start();
        if word == "i64::MAX" {
            return Some(i64::MAX.cast_unsigned());
        }
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
        assert_eq!(eval("-512", &none), Some(-512i64 as u64));
        assert_eq!(
            eval("i64::MAX as u64 / 2", &none),
            Some(i64::MAX as u64 / 2)
        );
        assert_eq!(eval("9 - 8 / 2 / 2", &none), Some(7));
        assert_eq!(eval("1 as u32", &none), None);
        assert_eq!(eval("1 / 0", &none), None);
        assert_eq!(eval("A", &none), None);
        assert_eq!(eval("1 +", &none), None);
    }
}
