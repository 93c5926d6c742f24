//! Flink's windows of old over a join: the join goes into a subquery, and the window is over that.
//!
//! ```text
//!  SELECT o.uid, TUMBLE_END(o.ts, INTERVAL '1' HOUR), COUNT(*) FROM orders o JOIN shipments s ON o.id = s.id AND s.ts BETWEEN ...
//!  GROUP BY o.uid, TUMBLE(o.ts, INTERVAL '1' HOUR)
//! ```
//!
//! becomes, in the syntax tree,
//!
//! ```text
//!  SELECT uid, TUMBLE_END(ts, INTERVAL '1' HOUR), COUNT(*) FROM (SELECT o.uid AS uid, o.ts AS ts FROM orders o JOIN ...)
//!  GROUP BY uid, TUMBLE(ts, INTERVAL '1' HOUR)
//! ```
//!
//! A column keeps its name where no other column of the query has it; otherwise its table's stands before it. Whether the join hands event
//! time on is for the planner to say, as it is of a subquery that somebody has written.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, Ident, ObjectName, Query, Select, SelectItem, SetExpr, TableFactor, TableWithJoins,
    VisitorMut,
};
use datafusion::sql::sqlparser::parser::ParserError;

use super::dialect::select_all_from;
use super::reader::normal;
use crate::walk::WalkMut;

/// Whether rows of several tables come to a query.
pub(super) fn is_joined(select: &Select) -> bool {
    select.from.len() > 1 || select.from.iter().any(|from| !from.joins.is_empty())
}

/// Moves what is joined, and the condition on it, into a subquery that has the columns which are named outside of it.
pub(super) fn join_in_subquery(select: &mut Select) -> Result<(), ParserError> {
    let mut named =
        Named { tables: tables_of(&select.from), aliases: aliases_of(select), ..Named::default() };
    named.each(select);
    named.choose_names();
    let mut inner = select.clone();
    inner.projection = named.projection();
    inner.group_by = GroupByExpr::Expressions(Vec::new(), Vec::new());
    inner.having = None;
    inner.qualify = None;
    inner.distinct = None;
    inner.named_window = Vec::new();
    named.replaces = true;
    named.each(select);
    select.selection = None;
    let relation =
        TableFactor::Derived { lateral: false, subquery: query_of(inner)?, alias: None, sample: None };
    select.from = vec![TableWithJoins { relation, joins: Vec::new() }];
    Ok(())
}

fn query_of(select: Select) -> Result<Box<Query>, ParserError> {
    let mut query = select_all_from(ObjectName::from(vec![Ident::new("t")]))?;
    *query.body = SetExpr::Select(Box::new(select));
    Ok(query)
}

/// What the tables of FROM are called.
fn tables_of(from: &[TableWithJoins]) -> BTreeSet<String> {
    let relations = from
        .iter()
        .flat_map(|from| std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation)));
    relations.filter_map(name_of_table).collect()
}

fn name_of_table(table: &TableFactor) -> Option<String> {
    match table {
        TableFactor::Table { name, alias, .. } => match alias {
            Some(alias) => Some(normal(&alias.name)),
            None => name.0.last().and_then(|part| part.as_ident()).map(normal),
        },
        TableFactor::Derived { alias, .. }
        | TableFactor::TableFunction { alias, .. }
        | TableFactor::Function { alias, .. }
        | TableFactor::UNNEST { alias, .. }
        | TableFactor::NestedJoin { alias, .. } => alias.as_ref().map(|alias| normal(&alias.name)),
        _ => None,
    }
}

fn aliases_of(select: &Select) -> BTreeSet<String> {
    let aliases = select.projection.iter().filter_map(|item| match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(normal(alias)),
        _ => None,
    });
    aliases.collect()
}

/// A column that is named outside of the join.
struct Column {
    table: Option<Ident>,
    name: Ident,
    /// What it is called outside of the subquery.
    becomes: Ident,
}

impl Column {
    fn is(&self, table: Option<&Ident>, name: &Ident) -> bool {
        self.table.as_ref().map(normal) == table.map(normal) && normal(&self.name) == normal(name)
    }
}

/// The columns that a query names, but for those within its subqueries.
#[derive(Default)]
struct Named {
    tables: BTreeSet<String>,
    /// The names of what is selected, which GROUP BY and HAVING may mean.
    aliases: BTreeSet<String>,
    columns: Vec<Column>,
    /// Whether columns are given their new names, and not only noted.
    replaces: bool,
    may_be_alias: bool,
    /// In how many subqueries.
    depth: usize,
}

impl Named {
    /// Goes through what stands outside of the join.
    fn each(&mut self, select: &mut Select) {
        self.may_be_alias = false;
        for item in &mut select.projection {
            let before = match item {
                SelectItem::UnnamedExpr(expr @ (Expr::CompoundIdentifier(_) | Expr::Identifier(_))) => {
                    last_of(expr).cloned()
                }
                _ => None,
            };
            let _ = item.walk_mut(self);
            // What is selected keeps the name of its column.
            if let (Some(before), SelectItem::UnnamedExpr(expr)) = (before, &*item)
                && last_of(expr).is_some_and(|after| normal(after) != normal(&before))
            {
                *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: before };
            }
        }
        self.may_be_alias = true;
        let _ = select.group_by.walk_mut(self);
        let _ = select.having.walk_mut(self);
        let _ = select.qualify.walk_mut(self);
    }

    /// A column's own name, unless something else has it: then its table's before it.
    fn choose_names(&mut self) {
        let own: Vec<String> = self.columns.iter().map(|column| normal(&column.name)).collect();
        let mut taken = self.aliases.clone();
        taken
            .extend(self.columns.iter().filter(|column| column.table.is_none()).map(|one| normal(&one.name)));
        for column in &mut self.columns {
            let Some(table) = &column.table else { continue };
            let name = normal(&column.name);
            let is_alone = own.iter().filter(|other| **other == name).count() == 1;
            if is_alone && taken.insert(name.clone()) {
                continue;
            }
            let mut longer = format!("{}_{name}", normal(table));
            while own.contains(&longer) || !taken.insert(longer.clone()) {
                longer.push('_');
            }
            column.becomes = Ident { span: column.name.span, ..Ident::with_quote('"', longer) };
        }
    }

    fn projection(&self) -> Vec<SelectItem> {
        let item = |column: &Column| match &column.table {
            Some(table) => SelectItem::ExprWithAlias {
                expr: Expr::CompoundIdentifier(vec![table.clone(), column.name.clone()]),
                alias: column.becomes.clone(),
            },
            None => SelectItem::UnnamedExpr(Expr::Identifier(column.name.clone())),
        };
        self.columns.iter().map(item).collect()
    }

    fn note(&mut self, table: Option<&Ident>, name: &Ident) {
        if !self.columns.iter().any(|column| column.is(table, name)) {
            self.columns.push(Column { table: table.cloned(), name: name.clone(), becomes: name.clone() });
        }
    }

    fn take(&mut self, expr: &mut Expr) {
        match expr {
            Expr::Identifier(name) if self.may_be_alias && self.aliases.contains(&normal(name)) => {}
            Expr::Identifier(name) => self.note(None, name),
            Expr::CompoundIdentifier(parts) => {
                let [table, name, rest @ ..] = parts.as_slice() else { return };
                if !self.tables.contains(&normal(table)) {
                    // A field of a column.
                    return self.note(None, table);
                }
                if !self.replaces {
                    return self.note(Some(table), name);
                }
                let found = self.columns.iter().find(|column| column.is(Some(table), name));
                let Some(Column { becomes, .. }) = found else { return };
                let becomes = Ident { span: table.span, ..becomes.clone() };
                *expr = match rest {
                    [] => Expr::Identifier(becomes),
                    _ => Expr::CompoundIdentifier([&[becomes], rest].concat()),
                };
            }
            _ => {}
        }
    }
}

/// The last name of a column, with its table or without.
fn last_of(expr: &Expr) -> Option<&Ident> {
    match expr {
        Expr::Identifier(name) => Some(name),
        Expr::CompoundIdentifier(parts) => parts.last(),
        _ => None,
    }
}

impl VisitorMut for Named {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    // Afterwards: what takes a column's place is not looked at again.
    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.depth == 0 {
            self.take(expr);
        }
        ControlFlow::Continue(())
    }
}
