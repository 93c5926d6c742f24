//! Reading a pattern.

use super::parts::{Comparison, Part, Pattern};
use crate::error::{Result, SequenceError};

pub(super) fn parse(text: &str, conditions: usize, unit: i64) -> Result<Pattern> {
    let mut reader = Reader { text, at: 0, conditions, unit };
    let (mut parts, mut needs) = (vec![Part::AnyNumber], 0);
    while reader.at < text.len() {
        let part = reader.part()?;
        match part {
            Part::Condition(condition) => needs |= 1 << condition,
            Part::Apart(..) if matches!(parts.last(), Some(Part::Apart(..))) => {
                return Err(reader.wrong("a condition on time stands behind an event, '.' or '.*'"));
            }
            _ => {}
        }
        // Two of them in a row say what one does.
        if part != Part::AnyNumber || parts.last() != Some(&Part::AnyNumber) {
            parts.push(part);
        }
    }
    Ok(Pattern { parts, needs })
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    conditions: usize,
    unit: i64,
}

impl Reader<'_> {
    fn part(&mut self) -> Result<Part> {
        if self.take(".*") {
            return Ok(Part::AnyNumber);
        }
        if self.take(".") {
            return Ok(Part::Any);
        }
        if !self.take("(?") {
            return Err(self.wrong("expected (?1), (?t<=60), '.' or '.*'"));
        }
        let part = if self.take("t") { self.apart()? } else { self.condition()? };
        if self.take(")") { Ok(part) } else { Err(self.wrong("expected ')'")) }
    }

    fn condition(&mut self) -> Result<Part> {
        let start = self.at;
        let number = self.number()?;
        match usize::try_from(number) {
            Ok(number @ 1..) if number <= self.conditions => Ok(Part::Condition(number as u32 - 1)),
            _ => {
                self.at = start;
                let last = self.conditions;
                Err(self
                    .wrong(&format!("there is no condition {number}; they are numbered from 1 to {last}")))
            }
        }
    }

    fn apart(&mut self) -> Result<Part> {
        const COMPARISONS: [(&str, Comparison); 5] = [
            ("<=", Comparison::LessOrEqual),
            ("<", Comparison::Less),
            (">=", Comparison::GreaterOrEqual),
            (">", Comparison::Greater),
            ("==", Comparison::Equal),
        ];
        let found = COMPARISONS.into_iter().find(|(sign, _)| self.take(sign));
        let Some((_, comparison)) = found else {
            return Err(self.wrong("expected <=, <, >=, > or =="));
        };
        Ok(Part::Apart(comparison, self.number()?.saturating_mul(self.unit)))
    }

    fn number(&mut self) -> Result<i64> {
        let rest = &self.text[self.at..];
        let digits = rest.len() - rest.trim_start_matches(|letter: char| letter.is_ascii_digit()).len();
        let Ok(number) = rest[..digits].parse() else {
            return Err(self.wrong("expected a number"));
        };
        self.at += digits;
        Ok(number)
    }

    fn take(&mut self, token: &str) -> bool {
        let is_next = self.text[self.at..].starts_with(token);
        if is_next {
            self.at += token.len();
        }
        is_next
    }

    fn wrong(&self, reason: &str) -> SequenceError {
        SequenceError::Pattern { pattern: self.text.to_owned(), at: self.at, reason: reason.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (text, expect) in [
            ("(?3)", "at position 2: there is no condition 3; they are numbered from 1 to 2"),
            ("(?0)", "there is no condition 0"),
            ("(?1", "at position 3: expected ')'"),
            ("(?1)x", "at position 4: expected (?1), (?t<=60), '.' or '.*'"),
            ("(?1)(?t=5)(?2)", "at position 7: expected <=, <, >=, > or =="),
            ("(?1)(?t<=)(?2)", "at position 9: expected a number"),
            ("(?1)(?t<=1)(?t>1)", "a condition on time stands behind"),
            ("(?99999999999999999999)", "expected a number"),
        ] {
            let error = parse(text, 2, 1).unwrap_err().to_string();
            assert!(error.contains(expect), "{text}: {error}");
        }
    }
}
