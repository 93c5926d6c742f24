//! What a hint says of one table, and how a table of FROM is told.

use std::hash::{Hash, Hasher};

use datafusion::sql::sqlparser::ast::{Ident, ObjectNamePart, TableFactor};

use crate::error::SqlError;
use crate::script::Position;

/// How long the rows of a table are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hint {
    /// Where the table's name stands in FROM.
    pub(crate) table: Position,
    /// Nanoseconds of event time; 0: for ever.
    pub(crate) nanos: i64,
    /// The mistake if nothing is kept by it.
    pub(crate) unused: SqlError,
}

impl Hint {
    /// The length; `None`: for ever.
    pub(crate) fn ttl(&self) -> Option<i64> {
        (self.nanos > 0).then_some(self.nanos)
    }
}

impl Hash for Hint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.table.line, self.table.column, self.nanos).hash(state);
    }
}

/// The name that a table of FROM has for the other clauses: its alias, or the last part of its own name.
pub(crate) fn named(factor: &mut TableFactor) -> Option<&mut Ident> {
    match factor {
        TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. }
        | TableFactor::TableFunction { alias: Some(alias), .. } => Some(&mut alias.name),
        TableFactor::Table { name, .. } => match name.0.last_mut() {
            Some(ObjectNamePart::Identifier(name)) => Some(name),
            _ => None,
        },
        _ => None,
    }
}
