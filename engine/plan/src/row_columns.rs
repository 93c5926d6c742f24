//! `t.r.*` and `r.*`, where `r` is a column whose values are rows: its fields, each as a column.
//!
//! What is no table's name in front of `.*` is planned by itself over the same tables, to see which fields it has.

use std::ops::ControlFlow;

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, ObjectName, ObjectNamePart, Query, Select, SelectItem, SelectItemQualifiedWildcardKind,
    SetExpr, Visitor, VisitorMut, With,
};

use crate::column_names::is_table;
use crate::parse::{normal, select_all_from};
use crate::walk::{Walk, WalkMut};

/// Puts the fields of rows in the place of such items. `plan` plans a query.
pub(crate) fn expand(query: &mut Query, plan: &dyn Fn(Query) -> Result<LogicalPlan>) -> Result<()> {
    if query.walk(&mut Seek).is_continue() {
        return Ok(());
    }
    match query.walk_mut(&mut Expand { plan, withs: Vec::new() }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(*error),
    }
}

struct Expand<'a> {
    plan: &'a dyn Fn(Query) -> Result<LogicalPlan>,
    /// The WITH queries in scope.
    withs: Vec<Option<With>>,
}

impl VisitorMut for Expand<'_> {
    type Break = Box<DataFusionError>;

    /// Its WITH queries first, as each sees those before it.
    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Self::Break> {
        self.withs.push(None);
        let Some(with) = &mut query.with else { return ControlFlow::Continue(()) };
        let mut before = With { cte_tables: Vec::new(), ..with.clone() };
        for cte in &mut with.cte_tables {
            cte.query.walk_mut(self)?;
            before.cte_tables.push(cte.clone());
            if let Some(scope) = self.withs.last_mut() {
                *scope = Some(before.clone());
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<Self::Break> {
        self.withs.pop();
        ControlFlow::Continue(())
    }

    /// After what it reads is expanded.
    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<Self::Break> {
        if !has_any(select) {
            return ControlFlow::Continue(());
        }
        let mut items = Vec::with_capacity(select.projection.len());
        for item in &select.projection {
            match column_of(item, select).and_then(|column| self.fields_of(column, select)) {
                Some(fields) => items.extend(fields),
                None => items.push(item.clone()),
            }
        }
        select.projection = items;
        ControlFlow::Continue(())
    }
}

/// What stands in front of `.*`, if it is no table of the SELECT.
fn column_of<'a>(item: &'a SelectItem, select: &Select) -> Option<&'a ObjectName> {
    match item {
        SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
            let is_table =
                matches!(name.0.as_slice(), [ObjectNamePart::Identifier(name)] if is_table(name, select));
            (!is_table).then_some(name)
        }
        _ => None,
    }
}

fn has_any(select: &Select) -> bool {
    select.projection.iter().any(|item| column_of(item, select).is_some())
}

struct Seek;

impl Visitor for Seek {
    type Break = ();

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        if has_any(select) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

impl Expand<'_> {
    /// The fields of a column, each an item; `None` if it is a table, or there is no such column of rows, which is told later.
    fn fields_of(&self, column: &ObjectName, select: &Select) -> Option<Vec<SelectItem>> {
        let names = column.0.iter().map(|part| part.as_ident().cloned()).collect::<Option<Vec<Ident>>>()?;
        let expr = match names.as_slice() {
            [name] => Expr::Identifier(name.clone()),
            names => Expr::CompoundIdentifier(names.to_vec()),
        };
        let plan = (self.plan)(self.query_of(SelectItem::UnnamedExpr(expr), select)?).ok()?;
        let DataType::Struct(fields) = plan.schema().field(0).data_type() else { return None };
        let item = |field: &str| {
            let field = Ident::with_quote('"', field);
            let parts = names.iter().cloned().chain([field.clone()]).collect();
            SelectItem::ExprWithAlias { expr: Expr::CompoundIdentifier(parts), alias: field }
        };
        Some(fields.iter().map(|field| item(field.name())).collect())
    }

    /// `SELECT item` from what another reads.
    fn query_of(&self, item: SelectItem, select: &Select) -> Option<Query> {
        let mut query = *select_all_from(ObjectName::from(vec![Ident::new("t")])).ok()?;
        let SetExpr::Select(made) = &mut *query.body else { return None };
        made.projection = vec![item];
        made.from = select.from.clone();
        // Of several of one name the innermost is meant.
        let mut with: Option<With> = None;
        for inner in self.withs.iter().rev().flatten() {
            let Some(with) = &mut with else {
                with = Some(inner.clone());
                continue;
            };
            with.recursive |= inner.recursive;
            let known: Vec<String> = with.cte_tables.iter().map(|cte| normal(&cte.alias.name)).collect();
            let others = inner.cte_tables.iter().filter(|cte| !known.contains(&normal(&cte.alias.name)));
            with.cte_tables.splice(0..0, others.cloned());
        }
        query.with = with;
        Some(query)
    }
}
