//! Joins with tables of databases, of files and of procedures, which are asked for the rows of each key:
//! `JOIN dim FOR SYSTEM_TIME AS OF PROCTIME() AS d ON s.k = d.k`.
//!
//! In the syntax tree such a table gets a name of its own, [`LOOKUP`] before the table's, and its time goes: there is only now. All
//! else is planned as for any join; `stream/lookup.rs` knows the name again. That it is asked again for what it lacks (the hint `LOOKUP`,
//! `parse/hints/lookup.rs`) is part of the name.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::time::Duration;

use datafusion::common::TableReference;
use datafusion::sql::sqlparser::ast::{
    Ident, ObjectName, ObjectNamePart, Query as Ast, Select, Spanned, TableAlias, TableFactor, TableVersion,
    Visitor, VisitorMut,
};
use headwater_operators::LookupRetry;

use crate::catalog::Catalog;
use crate::definition::StreamDef;
use crate::error::{Mistake, Result, SqlError};
use crate::moments::{Moments, factors_of, is_now};
use crate::parse::{name_of, position};
use crate::planning::Mode;
use crate::script::{Position, Script};
use crate::state_ttl::named;
use crate::statement::Query;
use crate::walk::{Walk, WalkMut};

/// What stands before the name of a table that is looked up. If it is asked again, how often and after how many nanoseconds follows.
const LOOKUP: &str = "$lookup";

/// A table of FROM that is asked again for what it lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TableRetry {
    /// Where the table's name stands in FROM.
    pub(crate) table: Position,
    /// Where that is said.
    pub(crate) at: Position,
    /// How often, and when.
    pub(crate) retry: LookupRetry,
}

/// What to write where a stream is meant: as a job is done again after a crash, "now" is no place in its rows.
const OF_A_STREAM: &str = "s JOIN t FOR SYSTEM_TIME AS OF s.ts AS t ON s.key = t.key takes the version of the event's time (t with PRIMARY KEY and WATERMARK); \
     s JOIN t ON s.key = t.key follows every change of t";

const HINT: &str = "s JOIN d FOR SYSTEM_TIME AS OF PROCTIME() AS d ON s.key = d.key";

/// The table that a name in a plan means, if it is one that is looked up, and whether it is asked again.
pub(crate) fn looked_up_name(name: &str) -> Option<(Option<LookupRetry>, &str)> {
    let (retry, table) = name.strip_prefix(LOOKUP)?.split_once('.')?;
    let numbers = retry.strip_prefix(' ').and_then(|retry| retry.split_once(' '));
    let retry = numbers.and_then(|(attempts, nanos)| {
        Some(LookupRetry {
            attempts: attempts.parse().ok()?,
            delay: Duration::from_nanos(nanos.parse().ok()?),
        })
    });
    Some((retry, table))
}

/// The name in a plan of a table that is looked up.
pub(crate) fn reference(table: &StreamDef, retry: Option<LookupRetry>) -> TableReference {
    TableReference::partial(mark(retry), table.name.as_str())
}

fn mark(retry: Option<LookupRetry>) -> String {
    retry.map_or_else(
        || LOOKUP.to_owned(),
        |LookupRetry { attempts, delay }| format!("{LOOKUP} {attempts} {}", delay.as_nanos()),
    )
}

/// The tables that a query looks rows up in, and does not read otherwise.
pub fn looked_up(query: &Query, catalog: &Catalog) -> BTreeSet<String> {
    let mut names =
        Mentioned { moments: Moments::new(catalog), looked_up: BTreeSet::new(), plain: BTreeSet::new() };
    let _ = query.ast.walk(&mut names);
    let is_looked_up = |name: &String| !names.plain.contains(name) && table_of(catalog, name).is_some();
    names.looked_up.iter().filter(|name| is_looked_up(name)).cloned().collect()
}

/// The tables that a query names, by how it reads them.
struct Mentioned<'a> {
    moments: Moments<'a>,
    looked_up: BTreeSet<String>,
    plain: BTreeSet<String>,
}

impl Visitor for Mentioned<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Ast) -> ControlFlow<()> {
        self.moments.enter(query);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &Ast) -> ControlFlow<()> {
        self.moments.leave();
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        let moments = self.moments.in_select(select);
        for factor in factors_of(select) {
            if let TableFactor::Table { name, version: Some(TableVersion::ForSystemTimeAsOf(time)), .. } =
                factor
            {
                let now = is_now(time, &moments);
                if now { &mut self.looked_up } else { &mut self.plain }.insert(name_of(name));
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, version: None, .. } = factor {
            self.plain.insert(name_of(name));
        }
        ControlFlow::Continue(())
    }
}

fn table_of<'a>(catalog: &'a Catalog, name: &str) -> Option<&'a StreamDef> {
    catalog.stream(name).map(|table| &**table).filter(|table| table.can_be_asked())
}

/// Gives the tables that a query looks rows up in their names.
pub(crate) fn rewrite(ast: &mut Ast, catalog: &Catalog, mode: Mode, query: &Query) -> Result<()> {
    let retries = query.options.retries.to_vec();
    let mut rewrite =
        Rewrite { catalog, mode, script: &query.script, moments: Moments::new(catalog), retries };
    if let ControlFlow::Break(error) = ast.walk_mut(&mut rewrite) {
        return Err(error);
    }
    match rewrite.retries.first() {
        Some(unused) => Err(SqlError::new(Mistake::Option, "only a table that is looked up is asked again")
            .at(unused.at, &query.script)
            .hint(HINT)),
        None => Ok(()),
    }
}

struct Rewrite<'a> {
    catalog: &'a Catalog,
    mode: Mode,
    script: &'a Script,
    moments: Moments<'a>,
    /// What is said of tables that have not been met yet.
    retries: Vec<TableRetry>,
}

impl VisitorMut for Rewrite<'_> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &mut Ast) -> ControlFlow<SqlError> {
        self.moments.enter(query);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Ast) -> ControlFlow<SqlError> {
        self.moments.leave();
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<SqlError> {
        let times = self.moments.in_select(select);
        for from in &mut select.from {
            let joined = from.joins.iter_mut().map(|join| (&mut join.relation, true));
            for (factor, is_joined) in std::iter::once((&mut from.relation, false)).chain(joined) {
                let start = factor.span().start;
                if let Err(error) = self.rename(factor, is_joined, &times) {
                    return ControlFlow::Break(error.at(position(start), self.script));
                }
            }
        }
        ControlFlow::Continue(())
    }
}

impl Rewrite<'_> {
    fn rename(&mut self, factor: &mut TableFactor, is_joined: bool, times: &BTreeSet<String>) -> Result<()> {
        let at = named(factor).map(|name| position(name.span.start));
        let TableFactor::Table { name, alias, version, .. } = factor else { return Ok(()) };
        let Some(TableVersion::ForSystemTimeAsOf(time)) = version else { return Ok(()) };
        let table = name_of(name);
        let Some(def) = table_of(self.catalog, &table) else {
            return match version {
                // What has versions of its own is somebody else's.
                Some(TableVersion::ForSystemTimeAsOf(time)) if is_now(time, times) => Err(SqlError::new(
                    Mistake::NotStreaming,
                    format!(
                        "'{table}' is no table of a database, of files or a procedure, in which rows can be looked up as they are now"
                    ),
                )
                .hint(match self.catalog.stream(&table) {
                    Some(_) => OF_A_STREAM,
                    None => "CREATE TABLE ... WITH (connector = 'jdbc', url = ...), or connector = 'filesystem'",
                })),
                _ => Ok(()),
            };
        };
        let refused = |message: String| Err(SqlError::new(Mistake::NotStreaming, message).hint(HINT));
        if !is_joined {
            return refused(format!(
                "'{table}' is looked up by the rows of a stream, so it is not the first in FROM"
            ));
        }
        if !is_now(time, times) {
            // Files may have versions of their own, as any stream.
            if def.is_files() {
                return Ok(());
            }
            return refused(format!("'{table}' has no versions: it is looked up as it is now"));
        }
        if self.mode == Mode::Batch {
            let message =
                format!("'{table}' is looked up by jobs and materialized views, not by a bounded query");
            let hint = "CREATE MATERIALIZED VIEW v AS SELECT ..., and read v";
            return Err(SqlError::new(Mistake::NotStreaming, message).hint(hint));
        }
        if alias.is_none() {
            let name = name.0.last().and_then(ObjectNamePart::as_ident).cloned();
            *alias = name.map(|name| TableAlias { explicit: false, name, columns: Vec::new(), at: None });
        }
        let mut said = self.retries.extract_if(.., |retry| Some(retry.table) == at);
        let retry = said.next().map(|said| said.retry);
        *version = None;
        *name = ObjectName::from(vec![Ident::with_quote('"', mark(retry)), Ident::with_quote('"', table)]);
        Ok(())
    }
}
