//! Queries, and what is inserted of them.

use datafusion::sql::sqlparser::ast;

use super::{Name, Parsed};
use crate::error::{Mistake, Result, SqlError};
use crate::lookup::TableRetry;
use crate::script::{Position, Script};
use crate::startup::{STARTUP_MODE, Startup, TableStart};
use crate::state_ttl::Hint;
use crate::user_functions::Functions;

/// Statements that are done together: all of them, or none.
#[derive(Debug, Clone)]
pub struct Together {
    /// `CREATE TABLE ... AS`: the table.
    pub table: Option<Box<Parsed>>,
    /// What is inserted, each as a job of its own.
    pub inserts: Vec<Parsed>,
}

/// `INSERT INTO target [(columns)] query`.
#[derive(Debug, Clone)]
pub struct Insert {
    /// Where to.
    pub target: Name,
    /// The columns that the query fills, in its order; empty: all.
    pub columns: Vec<Name>,
    /// What is inserted; `VALUES` is a query, too.
    pub query: Query,
    /// Its own text, without what a script has set for it.
    pub text: String,
    /// What a script has set for it.
    pub settings: InsertSettings,
}

/// What a script has set for an INSERT INTO.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InsertSettings {
    /// Whether it goes on for ever, as a job; `None`: if what it reads does.
    pub goes_on: Option<bool>,
    /// `SET 'pipeline.name'`: what the job is called.
    pub name: Option<String>,
    /// `SET 'ttl'`, as it was written.
    pub ttl: Option<String>,
}

/// A query.
#[derive(Debug, Clone)]
pub struct Query {
    /// The syntax tree; its spans are places in `script`.
    pub ast: Box<ast::Query>,
    /// Its own text.
    pub text: String,
    /// Where it begins.
    pub position: Position,
    /// The text it is part of.
    pub script: Script,
    /// When its rows come out, as a stream.
    pub options: QueryOptions,
    /// The functions of the user's that it calls, if it is part of a definition: as they were when that was made. `None`: those
    /// that there are.
    pub functions: Option<Functions>,
}

/// What a query says, as a stream, of when its rows come out and how long its state is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueryOptions {
    /// When a window's rows come out.
    pub emit: Emit,
    /// `ALLOW LATENESS`: how long after their end windows are kept for late rows, in nanoseconds.
    pub lateness: Option<i64>,
    /// `LATE DATA TO`: the stream that takes the rows which come too late.
    pub late: Option<Box<Name>>,
    /// `SET 'ttl'`: after how long without a row a group is forgotten, in nanoseconds of event time.
    pub ttl: Option<i64>,
    /// `STATE_TTL`: the same for single tables of FROM.
    pub(crate) hints: Box<[Hint]>,
    /// `LOOKUP`: the tables of FROM that are asked again for what they lack.
    pub(crate) retries: Box<[TableRetry]>,
    /// `OPTIONS`: the places from which tables of FROM are read.
    pub(crate) starts: Box<[TableStart]>,
}

/// When the rows of a window come out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Emit {
    /// `EMIT ON WINDOW CLOSE`: when it has ended.
    #[default]
    OnWindowClose,
    /// `EMIT CHANGES`: with every step that changes it.
    Changes,
    /// `EMIT EVERY interval`: when the watermark comes to a multiple of so many nanoseconds, if it has changed.
    Every(i64),
}

impl Query {
    /// Whether it reads a table from another place than the first row.
    pub fn begins_late(&self) -> bool {
        self.options.starts.iter().any(|start| start.startup != Startup::Earliest)
    }

    /// Fails if it does, as part of what is computed from all rows that there are.
    pub(crate) fn check_begins_early(&self, what: &str) -> Result<()> {
        match self.options.starts.iter().find(|start| start.startup != Startup::Earliest) {
            Some(start) => {
                let message = format!(
                    "'{STARTUP_MODE}' is where a job begins, and {what} is of all rows that there are"
                );
                let hint = "write it in the query of INSERT INTO, or put a condition on the time into WHERE";
                Err(SqlError::new(Mistake::Option, message).at(start.at, &self.script).hint(hint))
            }
            None => Ok(()),
        }
    }

    /// Whether this is `VALUES` alone.
    pub fn is_values(&self) -> bool {
        self.ast.with.is_none() && matches!(*self.ast.body, ast::SetExpr::Values(_))
    }
}
