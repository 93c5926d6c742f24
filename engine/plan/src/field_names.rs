//! `r.f` and `t.r.f` in a SELECT list, where `r` is a column whose values are rows: the column of the result is called `f`, as in Flink.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, ObjectNamePart, Query, Select, SelectItem, TableFactor, VisitMut, VisitorMut,
};

use crate::moments::factors_of;
use crate::parse::normal;

/// Calls such columns by the names of their fields.
pub(crate) fn name_fields(query: &mut Query) {
    let _ = query.visit(&mut Fields);
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
