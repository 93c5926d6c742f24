//! What columns of a SELECT list are called, as in Flink: `r.f` and `t.r.f`, where `r` is a column whose values are rows, is called `f`; of
//! two that would have one name the second is called `a0`, or by its place, `EXPR$1`, if it is computed.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, ObjectNamePart, Query, Select, SelectItem, TableFactor, VisitorMut,
};

use crate::moments::factors_of;
use crate::parse::normal;
use crate::walk::WalkMut;

/// Gives such columns their names.
pub(crate) fn name_columns(query: &mut Query) {
    let _ = query.walk_mut(&mut Fields);
    let _ = query.walk_mut(&mut Repeated);
}

struct Fields;

impl VisitorMut for Fields {
    type Break = ();

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let mut named: BTreeMap<String, usize> = BTreeMap::new();
        for item in &select.projection {
            match name_of(item) {
                Some(name) => *named.entry(normal(name)).or_default() += 1,
                // What `*` stands for is not known yet: a field may be called like one of its columns.
                None if !matches!(item, SelectItem::UnnamedExpr(_)) => return ControlFlow::Continue(()),
                None => {}
            }
        }
        let fields: Vec<Option<Ident>> = select
            .projection
            .iter()
            .map(|item| match item {
                SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) if is_field(parts, select) => {
                    parts.last().filter(|name| named[&normal(name)] == 1).cloned()
                }
                _ => None,
            })
            .collect();
        for (item, field) in select.projection.iter_mut().zip(fields) {
            if let (Some(alias), SelectItem::UnnamedExpr(expr)) = (field, &*item) {
                *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
            }
        }
        ControlFlow::Continue(())
    }
}

struct Repeated;

impl VisitorMut for Repeated {
    type Break = ();

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let mut taken: BTreeSet<String> = select.projection.iter().filter_map(name_of).map(normal).collect();
        let mut seen = BTreeSet::new();
        for (nth, item) in select.projection.iter_mut().enumerate() {
            let (expr, name) = match &*item {
                SelectItem::UnnamedExpr(expr) => (expr, called(expr)),
                SelectItem::ExprWithAlias { expr, alias } => (expr, normal(alias)),
                _ => continue,
            };
            if seen.insert(name.clone()) {
                continue;
            }
            let is_named = name_of(item).is_some();
            let mut names = (0..)
                .map(|more| if is_named { format!("{name}{more}") } else { format!("EXPR${}", nth + more) });
            let name = names.find(|name| taken.insert(name.clone())).unwrap_or_default();
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::with_quote('"', name) };
        }
        ControlFlow::Continue(())
    }
}

/// What the column of an expression would be called: a cast is called like what it casts.
fn called(expr: &Expr) -> String {
    match expr {
        Expr::Cast { expr, .. } | Expr::Nested(expr) => called(expr),
        Expr::Identifier(name) => normal(name),
        Expr::CompoundIdentifier(parts) => parts.last().map(normal).unwrap_or_default(),
        other => other.to_string(),
    }
}

/// What a column of the result is called, or would be.
fn name_of(item: &SelectItem) -> Option<&Ident> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(alias),
        SelectItem::UnnamedExpr(Expr::Identifier(name)) => Some(name),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => parts.last(),
        _ => None,
    }
}

/// Whether a name is that of a field, and not of a table's column.
fn is_field(parts: &[Ident], select: &Select) -> bool {
    match parts {
        [first, _] => !is_table(first, select),
        [first, .., before, _] => is_table(first, select) || !is_table(before, select),
        _ => false,
    }
}

/// Whether this is the name of a table that a SELECT reads.
pub(crate) fn is_table(name: &Ident, select: &Select) -> bool {
    factors_of(select).any(|factor| match factor {
        TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. }
        | TableFactor::TableFunction { alias: Some(alias), .. }
        | TableFactor::Function { alias: Some(alias), .. }
        | TableFactor::UNNEST { alias: Some(alias), .. }
        | TableFactor::MatchRecognize { alias: Some(alias), .. } => normal(&alias.name) == normal(name),
        TableFactor::Table { name: table, .. } => {
            let table = table.0.last().and_then(ObjectNamePart::as_ident);
            table.is_some_and(|table| normal(table) == normal(name))
        }
        TableFactor::Derived { .. }
        | TableFactor::TableFunction { .. }
        | TableFactor::Function { .. }
        | TableFactor::UNNEST { .. }
        | TableFactor::MatchRecognize { .. } => false,
        // Whatever else is read may have a name of its own.
        _ => true,
    })
}
