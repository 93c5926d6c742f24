//! Patterns as they are written.

use std::fmt;

/// A regular expression over variables, which are named by number.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd)]
pub enum Pattern {
    /// One row for which the variable's definition holds.
    Variable(u16),
    /// One after the other.
    Concat(Vec<Pattern>),
    /// One of these; the first is preferred.
    Alternation(Vec<Pattern>),
    /// Several times in a row.
    Repeat {
        /// What is repeated.
        inner: Box<Pattern>,
        /// At least so often.
        min: u32,
        /// At most so often; none: as often as may be.
        max: Option<u32>,
        /// Whether more is preferred to less.
        greedy: bool,
    },
}

impl Pattern {
    /// The pattern with its variables' names, as SQL writes it.
    pub fn display<'a>(&'a self, names: &'a [String]) -> impl fmt::Display + 'a {
        Shown { pattern: self, names }
    }
}

struct Shown<'a> {
    pattern: &'a Pattern,
    names: &'a [String],
}

impl Shown<'_> {
    fn of<'b>(&'b self, pattern: &'b Pattern) -> Shown<'b> {
        Shown { pattern, names: self.names }
    }

    /// With parentheses, unless it is a variable.
    fn grouped(&self, pattern: &Pattern, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match pattern {
            Pattern::Variable(_) => write!(f, "{}", self.of(pattern)),
            _ => write!(f, "({})", self.of(pattern)),
        }
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pattern {
            Pattern::Variable(variable) => f.write_str(&self.names[usize::from(*variable)]),
            Pattern::Concat(parts) => {
                for (nth, part) in parts.iter().enumerate() {
                    f.write_str(if nth == 0 { "" } else { " " })?;
                    match part {
                        Pattern::Alternation(_) => self.grouped(part, f)?,
                        _ => write!(f, "{}", self.of(part))?,
                    }
                }
                Ok(())
            }
            Pattern::Alternation(parts) => {
                for (nth, part) in parts.iter().enumerate() {
                    f.write_str(if nth == 0 { "" } else { " | " })?;
                    write!(f, "{}", self.of(part))?;
                }
                Ok(())
            }
            Pattern::Repeat { inner, min, max, greedy } => {
                self.grouped(inner, f)?;
                match (min, max) {
                    (0, None) => f.write_str("*")?,
                    (1, None) => f.write_str("+")?,
                    (0, Some(1)) => f.write_str("?")?,
                    (min, None) => write!(f, "{{{min},}}")?,
                    (min, Some(max)) if min == max => write!(f, "{{{min}}}")?,
                    (min, Some(max)) => write!(f, "{{{min},{max}}}")?,
                }
                f.write_str(if *greedy { "" } else { "?" })
            }
        }
    }
}
