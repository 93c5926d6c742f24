//! Processing time: the moment at which a row arrived in the log, under the names that other engines have for it.
//!
//! A column declared `at AS PROCTIME()`, and `PROCTIME()` in a SELECT over one stream, or over a view of its rows, stand for the metadata
//! column `_arrival`. A window whose time is that column is one in processing time (`stream/source.rs`). In a query that goes on for ever
//! so do `NOW()` and its like, where each row of the result comes from one of the stream, and in columns that are computed: a clock would
//! give other rows in a replay.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, Expr, GroupByExpr, Ident, Query, Select, SelectItem, TableFactor, TimezoneInfo,
    VisitorMut,
};

use crate::METADATA_COLUMNS;
use crate::catalog::Entry;
use crate::definition::ViewDef;
use crate::metadata::window_input;
use crate::moments::factors_of;
use crate::parse::{name_of, normal};
use crate::planning::{Mode, Planning};
use crate::view_arrivals::with_arrival;
use crate::walk::{WalkMut, expressions_mut};

/// The metadata column that processing time is.
pub(crate) const ARRIVAL: &str = METADATA_COLUMNS[2];

/// Names processing time by its column.
pub(crate) fn name_arrival(query: &mut Query, planning: &Planning<'_>) {
    let _ = query.walk_mut(&mut Selects { planning, ctes: Vec::new() });
}

/// Takes the clock for processing time in what is computed of a row.
pub(crate) fn tell_by_arrival(expr: &mut Expr) {
    let _ = expressions_mut(expr, |part| {
        if let Expr::Function(function) = part
            && let Some(arrival) = arrival_as(clock_type(&name_of(&function.name)))
        {
            *part = arrival;
        }
        ControlFlow::<()>::Continue(())
    });
}

/// The column of arrivals as a type of the clock's.
fn arrival_as(kind: Option<DataType>) -> Option<Expr> {
    Some(Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(Expr::Identifier(Ident::new(ARRIVAL))),
        data_type: kind?,
        array: false,
        format: None,
    })
}

/// The type of a function that asks the clock, other than `PROCTIME()`.
fn clock_type(name: &str) -> Option<DataType> {
    match name {
        "now" | "current_timestamp" | "localtimestamp" | "current_row_timestamp" => {
            Some(DataType::Timestamp(Some(3), TimezoneInfo::None))
        }
        "current_date" => Some(DataType::Date),
        "localtime" | "current_time" => Some(DataType::Time(Some(0), TimezoneInfo::None)),
        _ => None,
    }
}

/// A stream that a SELECT reads, or a view.
struct Read<'a> {
    /// What it is called there.
    name: String,
    /// The names of its processing time.
    proctime: &'a [String],
    view: Option<&'a ViewDef>,
}

struct Selects<'a> {
    planning: &'a Planning<'a>,
    /// The names of the WITH queries in scope: they hide streams.
    ctes: Vec<Vec<String>>,
}

impl VisitorMut for Selects<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let with = query.with.iter().flat_map(|with| &with.cte_tables);
        self.ctes.push(with.map(|cte| normal(&cte.alias.name)).collect());
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.ctes.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let (mut streams, mut tables) = (Vec::new(), 0);
        for factor in factors_of(select) {
            tables += 1;
            streams.extend(self.stream_of(factor));
        }
        let (is_alone, is_row_by_row) = (tables == 1, is_row_by_row(select));
        let tells_time = self.planning.mode == Mode::Stream && is_row_by_row;
        let planning = self.planning;
        for from in &mut select.from {
            self.name_in_pattern(&mut from.relation);
        }
        let mut names = Names { planning, streams, is_alone, tells_time, by_view: false, depth: 0 };
        for item in &mut select.projection {
            let own = match item {
                SelectItem::UnnamedExpr(expr) => names.own_name(expr),
                _ => None,
            };
            let _ = item.walk_mut(&mut names);
            if let (Some(alias), SelectItem::UnnamedExpr(expr)) = (own, &*item) {
                *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
            }
        }
        let _ = select.from.walk_mut(&mut names);
        let _ = select.selection.walk_mut(&mut names);
        let _ = select.group_by.walk_mut(&mut names);
        let _ = select.having.walk_mut(&mut names);
        if let ([from], true) = (select.from.as_mut_slice(), names.by_view) {
            with_arrival(&mut from.relation);
        }
        ControlFlow::Continue(())
    }
}

/// Whether each row of the result comes from one row of what is read.
pub(crate) fn is_row_by_row(select: &Select) -> bool {
    let is_grouped = !matches!(&select.group_by, GroupByExpr::Expressions(exprs, _) if exprs.is_empty());
    !is_grouped && select.having.is_none() && select.distinct.is_none()
}

impl<'a> Selects<'a> {
    /// The clauses of MATCH_RECOGNIZE are over what stands in front of it.
    fn name_in_pattern(&self, factor: &mut TableFactor) {
        let TableFactor::MatchRecognize { table, .. } = &*factor else { return };
        let Some(read) = self.stream_of(table).filter(|read| read.view.is_none()) else { return };
        let (planning, streams) = (self.planning, vec![read]);
        let _ = factor.walk_mut(&mut Names {
            planning,
            streams,
            is_alone: true,
            tells_time: false,
            by_view: false,
            depth: 0,
        });
    }

    fn stream_of(&self, factor: &TableFactor) -> Option<Read<'a>> {
        let (name, alias) = match factor {
            TableFactor::Table { name, alias, args: None, .. } => (name, alias),
            TableFactor::TableFunction { expr: Expr::Function(function), alias } => {
                (window_input(function)?, alias)
            }
            _ => return None,
        };
        let name = name_of(name);
        if self.ctes.iter().flatten().any(|cte| *cte == name) {
            return None;
        }
        let catalog = self.planning.catalog;
        let view = match catalog.get(&name) {
            Some(Entry::View(view)) if matches!(factor, TableFactor::Table { .. }) => Some(&**view),
            _ => None,
        };
        let proctime = match view {
            Some(_) => &[],
            None => catalog.stream(&name)?.proctime.as_slice(),
        };
        let name = alias.as_ref().map_or(name, |alias| normal(&alias.name));
        Some(Read { name, proctime, view })
    }
}

/// Replaces the names of processing time in one SELECT, but not in its subqueries.
struct Names<'a> {
    planning: &'a Planning<'a>,
    streams: Vec<Read<'a>>,
    /// Whether nothing else is read.
    is_alone: bool,
    /// Whether the clock stands for processing time, too.
    tells_time: bool,
    /// Whether it was told by a view.
    by_view: bool,
    depth: usize,
}

impl Names<'_> {
    /// The column that an expression stands for, if it is processing time.
    fn arrival(&self, expr: &Expr) -> Option<Expr> {
        let column = || Ident::new(ARRIVAL);
        let declares = |read: &&Read<'_>, ident: &Ident| read.proctime.contains(&normal(ident));
        match expr {
            Expr::Identifier(ident) => {
                let read = self.streams.iter().find(|read| declares(read, ident))?;
                Some(match self.is_alone {
                    true => Expr::Identifier(column()),
                    false => Expr::CompoundIdentifier(vec![Ident::new(&read.name), column()]),
                })
            }
            Expr::CompoundIdentifier(parts) => {
                let [of, ident] = parts.as_slice() else { return None };
                let read = self.streams.iter().find(|read| read.name == normal(of))?;
                let named = declares(&read, ident);
                named.then(|| Expr::CompoundIdentifier(vec![of.clone(), column()]))
            }
            Expr::Function(function) => {
                let name = name_of(&function.name);
                let is_own = || (name == "proctime").then(|| Expr::Identifier(column()));
                let arrival = arrival_as(clock_type(&name).filter(|_| self.tells_time)).or_else(is_own)?;
                self.has_arrival().then_some(arrival)
            }
            _ => None,
        }
    }

    /// Whether all that is read tells when a row was recorded.
    fn has_arrival(&self) -> bool {
        let [read] = self.streams.as_slice() else { return false };
        self.is_alone && read.view.is_none_or(|view| self.planning.plan_with_arrival(view).is_some())
    }

    /// What a column of the result is called that is nothing but processing time.
    fn own_name(&self, expr: &Expr) -> Option<Ident> {
        self.arrival(expr)?;
        match expr {
            Expr::Identifier(ident) => Some(ident.clone()),
            Expr::CompoundIdentifier(parts) => parts.last().cloned(),
            Expr::Function(function) => Some(Ident::new(name_of(&function.name))),
            _ => None,
        }
    }
}

impl VisitorMut for Names<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.depth == 0
            && let Some(column) = self.arrival(expr)
        {
            self.by_view |= self.streams.iter().any(|read| read.view.is_some());
            *expr = column;
        }
        ControlFlow::Continue(())
    }
}
