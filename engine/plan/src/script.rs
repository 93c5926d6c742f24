//! The text that statements were parsed from, kept so that every error can show its place.

use std::fmt;
use std::sync::Arc;

/// A place in a script: line and column, both from 1, columns counted in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line, from 1.
    pub line: u64,
    /// The column, from 1.
    pub column: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// The whole text that was parsed. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Script(Arc<str>);

impl Script {
    /// Keeps a text.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// One line, from 1; empty past the end.
    pub fn line(&self, line: u64) -> &str {
        let nth = usize::try_from(line.saturating_sub(1)).unwrap_or(usize::MAX);
        self.0.lines().nth(nth).unwrap_or_default()
    }

    /// How many bytes lie before a position.
    pub fn offset(&self, position: Position) -> usize {
        let mut line_start = 0;
        for _ in 1..position.line {
            match self.0[line_start..].find('\n') {
                Some(length) => line_start += length + 1,
                None => return self.0.len(),
            }
        }
        let columns = usize::try_from(position.column.saturating_sub(1)).unwrap_or(usize::MAX);
        self.0[line_start..].char_indices().nth(columns).map_or(self.0.len(), |(bytes, _)| line_start + bytes)
    }

    /// The position behind so many bytes, which end with a whole character.
    pub(crate) fn position(&self, offset: usize) -> Position {
        let before = &self.0[..offset];
        let line = before.rsplit('\n').next().unwrap_or_default();
        let (line, column) = (before.matches('\n').count(), line.chars().count());
        Position { line: line as u64 + 1, column: column as u64 + 1 }
    }

    /// The text from one position up to another, without white space at its ends.
    pub fn slice(&self, from: Position, to: Position) -> &str {
        let (from, to) = (self.offset(from), self.offset(to));
        self.0[from..to.max(from)].trim()
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Script({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_not_bytes() {
        let script = Script::new("SELECT 'é', x\n  FROM t;\n");
        let at = |line, column| Position { line, column };
        assert_eq!(script.slice(at(1, 13), at(2, 3)), "x");
        assert_eq!(script.slice(at(2, 3), at(2, 9)), "FROM t");
        assert_eq!(script.slice(at(2, 3), at(9, 9)), "FROM t;");
        assert_eq!(script.line(2), "  FROM t;");
        assert_eq!(script.line(7), "");
        for place in [at(1, 1), at(1, 13), at(2, 3), at(3, 1)] {
            assert_eq!(script.position(script.offset(place)), place);
        }
    }
}
