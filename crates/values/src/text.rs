//! The scanner that the text forms share: white space, numbers, delimiters.

use crate::error::{self, ValueError};

/// A place in the text of one value.
pub(crate) struct Scanner<'a> {
    type_name: &'static str,
    input: &'a [u8],
    at: usize,
}

/// A number as it was written, and the value nearest to it.
pub(crate) struct Number<'a> {
    pub value: f32,
    pub token: &'a [u8],
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(type_name: &'static str, input: &'a [u8]) -> Self {
        Scanner {
            type_name,
            input,
            at: 0,
        }
    }

    /// The error that names the whole input.
    pub(crate) fn syntax_error(&self) -> ValueError {
        error::syntax(self.type_name, self.input)
    }

    pub(crate) fn skip_spaces(&mut self) {
        // The white space of PostgreSQL's own scanner: it does not depend on the locale.
        while let Some(b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c) = self.input.get(self.at) {
            self.at += 1;
        }
    }

    /// Takes `byte` where it comes next.
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        let found = self.input.get(self.at) == Some(&byte);
        self.at += usize::from(found);
        found
    }

    pub(crate) fn at_end(&self) -> bool {
        self.at == self.input.len()
    }

    /// How often `byte` comes from here to the end: what a list can hold at most.
    pub(crate) fn count_ahead(&self, byte: u8) -> usize {
        self.input[self.at..].iter().filter(|&&b| b == byte).count()
    }

    /// A decimal number, or any spelling of NaN and infinity (which the caller refuses, with
    /// another message than for junk). A number too large to represent is infinite.
    pub(crate) fn number(&mut self) -> Result<Number<'a>, ValueError> {
        let rest = &self.input[self.at..];
        let sign = usize::from(matches!(rest.first(), Some(b'+' | b'-')));
        // The library would take a second sign.
        if matches!(rest.get(sign), Some(b'+' | b'-')) {
            return Err(self.syntax_error());
        }
        match fast_float2::parse_partial::<f32, _>(&rest[sign..]) {
            Ok((value, len)) => {
                self.at += sign + len;
                Ok(Number {
                    value: if rest[0] == b'-' { -value } else { value },
                    token: &rest[..sign + len],
                })
            }
            Err(_) => Err(self.syntax_error()),
        }
    }

    /// A decimal integer; what does not fit becomes the nearest that does, since bounds are
    /// checked later and have messages of their own.
    pub(crate) fn integer(&mut self) -> Result<i32, ValueError> {
        let negative = match self.input.get(self.at) {
            Some(b'-') => {
                self.at += 1;
                true
            }
            Some(b'+') => {
                self.at += 1;
                false
            }
            _ => false,
        };
        let start = self.at;
        let mut value = 0i32;
        while let Some(digit @ b'0'..=b'9') = self.input.get(self.at) {
            let digit = i32::from(digit - b'0');
            value = value.saturating_mul(10);
            value = if negative {
                value.saturating_sub(digit)
            } else {
                value.saturating_add(digit)
            };
            self.at += 1;
        }
        if self.at == start {
            return Err(self.syntax_error());
        }
        Ok(value)
    }
}

impl Number<'_> {
    /// Whether digits were written whose value is too large for an f32.
    pub(crate) fn overflowed(&self) -> bool {
        // NaN and infinity are spelled with a letter after the sign.
        self.value.is_infinite()
            && !self
                .token
                .iter()
                .find(|b| !matches!(b, b'+' | b'-'))
                .is_some_and(u8::is_ascii_alphabetic)
    }

    /// Whether a value other than zero was written that is too small for an f32.
    pub(crate) fn underflowed(&self) -> bool {
        self.value == 0.0
            && self
                .token
                .iter()
                .take_while(|b| !matches!(b, b'e' | b'E'))
                .any(|b| matches!(b, b'1'..=b'9'))
    }
}
