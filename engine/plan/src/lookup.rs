//! Joins with tables of databases and of procedures, which are asked for the rows of each key:
//! `JOIN dim FOR SYSTEM_TIME AS OF PROCTIME() AS d ON s.k = d.k`.
//!
//! In the syntax tree such a table gets a name of its own, [`LOOKUP`] before the table's, and its time goes: there is only now. All
//! else is planned as for any join; `stream/lookup.rs` knows the name again.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, ObjectName, ObjectNamePart, Query as Ast, Select, Spanned, TableAlias, TableFactor,
    TableVersion, Visit, VisitMut, Visitor, VisitorMut,
};

use crate::catalog::Catalog;
use crate::definition::StreamDef;
use crate::error::{Mistake, Result, SqlError};
use crate::names::Mode;
use crate::parse::{name_of, normal, position};
use crate::script::Script;
use crate::statement::Query;

/// What stands before the name of a table that is looked up.
const LOOKUP: &str = "$lookup";

const HINT: &str = "s JOIN d FOR SYSTEM_TIME AS OF PROCTIME() AS d ON s.key = d.key";

/// The table that a name in a plan means, if it is one that is looked up.
pub(crate) fn looked_up_name(name: &str) -> Option<&str> {
    name.strip_prefix(LOOKUP)?.strip_prefix('.')
}

/// The tables that a query looks rows up in, and does not read otherwise.
pub fn looked_up(query: &Query, catalog: &Catalog) -> BTreeSet<String> {
    let mut names = Mentioned::default();
    let _ = query.ast.visit(&mut names);
    let is_looked_up = |name: &String| !names.plain.contains(name) && table_of(catalog, name).is_some();
    names.versioned.iter().filter(|name| is_looked_up(name)).cloned().collect()
}

#[derive(Default)]
struct Mentioned {
    versioned: BTreeSet<String>,
    plain: BTreeSet<String>,
}

impl Visitor for Mentioned {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, version, .. } = factor {
            let versioned = matches!(version, Some(TableVersion::ForSystemTimeAsOf(_)));
            if versioned { &mut self.versioned } else { &mut self.plain }.insert(name_of(name));
        }
        ControlFlow::Continue(())
    }
}

fn table_of<'a>(catalog: &'a Catalog, name: &str) -> Option<&'a StreamDef> {
    catalog.stream(name).map(|table| &**table).filter(|table| table.can_be_asked())
}

/// Gives the tables that a query looks rows up in their names.
pub(crate) fn rewrite(query: &mut Ast, catalog: &Catalog, mode: Mode, script: &Script) -> Result<()> {
    match query.visit(&mut Rewrite { catalog, mode, script }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Rewrite<'a> {
    catalog: &'a Catalog,
    mode: Mode,
    script: &'a Script,
}

impl VisitorMut for Rewrite<'_> {
    type Break = SqlError;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<SqlError> {
        let times = self.times_of(select);
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
    /// The columns `AS PROCTIME()` of the tables that a SELECT reads.
    fn times_of(&self, select: &Select) -> BTreeSet<String> {
        let joined = select.from.iter().flat_map(|from| from.joins.iter().map(|join| &join.relation));
        let factors = select.from.iter().map(|from| &from.relation).chain(joined);
        let names = factors.filter_map(|factor| match factor {
            TableFactor::Table { name, .. } => Some(name_of(name)),
            _ => None,
        });
        names
            .filter_map(|name| self.catalog.stream(&name))
            .flat_map(|stream| stream.proctime.clone())
            .collect()
    }

    fn rename(&self, factor: &mut TableFactor, is_joined: bool, times: &BTreeSet<String>) -> Result<()> {
        let TableFactor::Table { name, alias, version, .. } = factor else { return Ok(()) };
        let Some(TableVersion::ForSystemTimeAsOf(time)) = version else { return Ok(()) };
        let table = name_of(name);
        if table_of(self.catalog, &table).is_none() {
            return match version {
                // What has versions of its own is somebody else's.
                Some(TableVersion::ForSystemTimeAsOf(time)) if is_now(time, times) => Err(SqlError::new(
                    Mistake::NotStreaming,
                    format!(
                        "'{table}' is no table of a database or procedure, in which rows can be looked up as they are now"
                    ),
                )
                .hint("CREATE TABLE ... WITH (connector = 'jdbc', url = ...)")),
                _ => Ok(()),
            };
        }
        let refused = |message: String| Err(SqlError::new(Mistake::NotStreaming, message).hint(HINT));
        if !is_joined {
            return refused(format!(
                "'{table}' is looked up by the rows of a stream, so it is not the first in FROM"
            ));
        }
        if !is_now(time, times) {
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
        *version = None;
        *name = ObjectName::from(vec![Ident::with_quote('"', LOOKUP), Ident::with_quote('"', table)]);
        Ok(())
    }
}

/// Whether a time is the one at which the row is processed.
fn is_now(time: &Expr, times: &BTreeSet<String>) -> bool {
    match time {
        Expr::Function(function) => {
            let name = name_of(&function.name).to_lowercase();
            matches!(name.as_str(), "proctime" | "now" | "current_timestamp" | "localtimestamp")
        }
        Expr::Identifier(name) => times.contains(&normal(name)),
        Expr::CompoundIdentifier(parts) => parts.last().is_some_and(|name| times.contains(&normal(name))),
        Expr::Nested(inner) => is_now(inner, times),
        _ => false,
    }
}
