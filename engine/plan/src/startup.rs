//! Where a job begins to read a table: `t /*+ OPTIONS('scan.startup.mode' = 'latest-offset') */` in FROM.
//!
//! To the parser that is a comment. It is read before (`parse/table_options.rs`), and belongs to the table whose name ends in front of it.
//! When the query is planned, the table is called `"$startup latest-offset".t`, so that where it begins reaches the scan with its name.

use std::fmt;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Ident, ObjectName, ObjectNamePart, Query as Ast, TableAlias, TableFactor, VisitorMut,
};
use headwater_core::EventTime;

use crate::error::{Mistake, Result, SqlError};
use crate::parse::{name_of, position};
use crate::planning::Mode;
use crate::script::{Position, Script};
use crate::walk::WalkMut;

/// The option.
pub(crate) const STARTUP_MODE: &str = "scan.startup.mode";

/// What stands before the place, in the name of a table that is not read from its first row on.
const MARK: &str = "$startup ";

/// The first row of a stream that a job reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Startup {
    /// The first that is there.
    #[default]
    Earliest,
    /// The first that is appended after the job was created.
    Latest,
    /// The first that arrived at this time or later; without one, as [`Startup::Latest`].
    Arrival(EventTime),
}

impl fmt::Display for Startup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Earliest => f.write_str("earliest-offset"),
            Self::Latest => f.write_str("latest-offset"),
            Self::Arrival(time) => write!(f, "timestamp {time}"),
        }
    }
}

/// Where a table of FROM is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TableStart {
    /// Where the table's name ends.
    pub(crate) behind: Position,
    /// Where that is said.
    pub(crate) at: Position,
    /// The first row.
    pub(crate) startup: Startup,
}

/// Gives the tables of a query that begin elsewhere names that say so.
pub(crate) fn name_starts(query: &mut Ast, starts: &[TableStart], mode: Mode, script: &Script) -> Result<()> {
    for start in starts.iter().filter(|start| start.startup != Startup::Earliest) {
        let refused = |message: &str| SqlError::new(Mistake::Option, message).at(start.at, script);
        if mode == Mode::Batch {
            return Err(refused(&format!("'{STARTUP_MODE}' is where a job begins, and this query is not a job"))
                .hint("SET 'execution.runtime-mode' = 'streaming' before INSERT INTO makes a job of it, as CREATE JOB name AS INSERT INTO does"));
        }
        let mut naming = Naming { start, is_found: false };
        let _: ControlFlow<()> = query.walk_mut(&mut naming);
        if !naming.is_found {
            return Err(refused(&format!("'{STARTUP_MODE}' is for a table whose rows are read one after the other"))
                .hint("OPTIONS stands right behind the name of a table in FROM, and not of one that is looked up or whose changes are versions"));
        }
    }
    Ok(())
}

struct Naming<'a> {
    start: &'a TableStart,
    is_found: bool,
}

impl VisitorMut for Naming<'_> {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        let TableFactor::Table { name, alias, args: None, .. } = factor else {
            return ControlFlow::Continue(());
        };
        let Some(last) = name.0.last().and_then(ObjectNamePart::as_ident).cloned() else {
            return ControlFlow::Continue(());
        };
        if position(last.span.end) != self.start.behind {
            return ControlFlow::Continue(());
        }
        self.is_found = true;
        let place = match self.start.startup {
            Startup::Arrival(time) => time.0.to_string(),
            other => other.to_string(),
        };
        let mark = Ident::with_quote('"', format!("{MARK}{place}"));
        let table = Ident::with_quote('"', name_of(name));
        alias.get_or_insert_with(|| TableAlias { explicit: true, name: last, columns: Vec::new(), at: None });
        *name = ObjectName::from(vec![mark, table]);
        ControlFlow::Continue(())
    }
}

/// The table that a name means, and where it begins, if it is one that was given by [`name_starts`].
pub(crate) fn started_name(name: &str) -> Option<(Startup, &str)> {
    let (place, table) = name.strip_prefix(MARK)?.split_once('.')?;
    let startup = match place.parse() {
        Ok(nanos) => Startup::Arrival(EventTime(nanos)),
        Err(_) => Startup::Latest,
    };
    Some((startup, table))
}
