//! `t CROSS JOIN UNNEST(t.list) AS u (element)` in the shape in which it runs: the elements are a column beside the table's own.
//!
//! ```text
//!  SELECT t.device, u.element FROM t CROSS JOIN UNNEST(t.list) AS u (element)
//! ```
//!
//! becomes, in the syntax tree,
//!
//! ```text
//!  SELECT t.device, t.element FROM (SELECT *, UNNEST(t.list) AS element FROM t) AS t
//! ```
//!
//! A LEFT JOIN unnests a list that has one NULL if there is nothing in it; `WITH ORDINALITY` unnests the places beside the elements; and
//! where the elements have several columns, the fields of each are put beside it by another SELECT.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, Join, JoinConstraint, JoinOperator, ObjectNamePart, Query, Select, SelectItem, SetExpr,
    Spanned, TableAlias, TableFactor, TableWithJoins, Value, VisitorMut,
};
use datafusion::sql::sqlparser::parser::Parser;
use headwater_functions::{FIELD, PLACES, ROWS, ROWS_OR_NULL};

use super::calls::call;
use super::dialect::HeadwaterDialect;
use super::reader::{normal, position};
use crate::error::{Mistake, Result, SqlError};
use crate::script::Script;
use crate::walk::WalkMut;
/// Puts the lists that tables are joined with into SELECT.
pub(super) fn unify_unnest(query: &mut Query, script: &Script) -> Result<()> {
    match query.walk_mut(&mut Unify { script }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Unify<'a> {
    script: &'a Script,
}

impl VisitorMut for Unify<'_> {
    type Break = SqlError;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<SqlError> {
        join_comma_lists(&mut select.from);
        let mut renamed = Vec::new();
        for from in &mut select.from {
            let is_list = |join: &Join| matches!(join.relation, TableFactor::UNNEST { .. });
            // Each list is of the rows before it, among which are those of the lists before.
            while from.joins.first().is_some_and(is_list) {
                let join = from.joins.remove(0);
                let at = position(join.relation.span().start);
                match elements_beside(&mut from.relation, join) {
                    Ok(names) => renamed.push(names),
                    Err(error) => return ControlFlow::Break(error.at(at, self.script)),
                }
            }
        }
        if !renamed.is_empty() {
            let _ = select.walk_mut(&mut Rename(renamed));
        }
        ControlFlow::Continue(())
    }
}

/// `FROM t, UNNEST(t.list)` says what `CROSS JOIN` does.
fn join_comma_lists(from: &mut Vec<TableWithJoins>) {
    let mut nth = 1;
    while nth < from.len() {
        if matches!(from[nth].relation, TableFactor::UNNEST { .. }) {
            let TableWithJoins { relation, joins } = from.remove(nth);
            let join_operator = JoinOperator::CrossJoin(JoinConstraint::None);
            let join = Join { relation, global: false, join_operator };
            from[nth - 1].joins.extend(std::iter::once(join).chain(joins));
        } else {
            nth += 1;
        }
    }
}

/// A name of a list's elements, and of the table that has them as a column instead.
struct Renamed {
    list: Ident,
    table: Option<Ident>,
}

/// What UNNEST says of its elements.
struct Elements {
    list: Expr,
    /// Their columns: one, or those of rows.
    columns: Vec<Ident>,
    /// The column of their places, from 1.
    place: Option<Ident>,
    /// Whether a row whose list is empty stays.
    outer: bool,
}

/// Puts a list's elements beside the table that it is joined with.
fn elements_beside(table: &mut TableFactor, join: Join) -> Result<Renamed> {
    let refuse = |message: &str| {
        Err(SqlError::new(Mistake::Syntax, message.to_owned())
            .hint("FROM t CROSS JOIN UNNEST(t.list) AS u (element)"))
    };
    let on_true = |constraint: &JoinConstraint| match constraint {
        JoinConstraint::None => true,
        JoinConstraint::On(Expr::Value(value)) => value.value == Value::Boolean(true),
        _ => false,
    };
    let outer = match &join.join_operator {
        JoinOperator::CrossJoin(on) | JoinOperator::Inner(on) | JoinOperator::Join(on) if on_true(on) => {
            false
        }
        JoinOperator::Left(on) | JoinOperator::LeftOuter(on) if on_true(on) => true,
        _ => {
            return refuse(
                "a list is joined by CROSS JOIN, or by LEFT JOIN ... ON TRUE, without a condition",
            );
        }
    };
    let TableFactor::UNNEST { alias: Some(alias), array_exprs, with_offset: false, with_ordinality, .. } =
        join.relation
    else {
        return refuse(
            "a list that is joined has a name for its elements, and WITH ORDINALITY for their places",
        );
    };
    let Ok([list]) = <[Expr; 1]>::try_from(array_exprs) else {
        return refuse("one list is joined at a time");
    };
    let mut columns: Vec<Ident> = alias.columns.iter().map(|column| column.name.clone()).collect();
    let place = with_ordinality.then(|| match columns.len() {
        0 | 1 => Ident::new("ordinality"),
        _ => columns.pop().expect("there are two"),
    });
    if columns.is_empty() {
        columns.push(alias.name.clone());
    }
    let name = name_of_factor(table);
    let Some(subquery) = with_elements(table.clone(), Elements { list, columns, place, outer }) else {
        return refuse("a list is joined with a table or subquery");
    };
    let named = |name: Ident| TableAlias { explicit: true, name, columns: Vec::new(), at: None };
    *table = TableFactor::Derived { lateral: false, subquery, alias: name.clone().map(named), sample: None };
    Ok(Renamed { list: alias.name, table: name })
}

fn name_of_factor(factor: &TableFactor) -> Option<Ident> {
    match factor {
        TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. }
        | TableFactor::TableFunction { alias: Some(alias), .. } => Some(alias.name.clone()),
        TableFactor::Table { name, .. } => name.0.last().and_then(ObjectNamePart::as_ident).cloned(),
        _ => None,
    }
}

/// The elements as a column, before their fields are.
const ROW: &str = "$row";

/// `SELECT *, UNNEST(list) AS element FROM table`. Of rows with several columns there is another SELECT above it.
fn with_elements(table: TableFactor, elements: Elements) -> Option<Box<Query>> {
    let of_list = |function: &str, list: Expr| call(Ident::new(function), vec![list]);
    let Elements { list, columns, place, outer } = elements;
    let several = columns.len() > 1;
    let places = place.map(|name| (of_list(PLACES, list.clone()), name));
    let rows = match outer {
        true => of_list(ROWS_OR_NULL, list),
        // A list by itself needs nothing.
        false if several || places.is_some() => of_list(ROWS, list),
        false => list,
    };
    let element = if several { Ident::with_quote('"', ROW) } else { columns.first()?.clone() };
    let lists = std::iter::once((rows, element)).chain(places);
    let items = lists.map(|(list, alias)| (of_list("unnest", list), alias)).collect();
    let query = beside("SELECT * FROM t", table, items)?;
    if !several {
        return Some(query);
    }
    let inner = TableFactor::Derived { lateral: false, subquery: query, alias: None, sample: None };
    let fields = columns.into_iter().zip(1..).map(|(alias, nth)| {
        let row = Expr::Identifier(Ident::with_quote('"', ROW));
        let nth = Expr::value(Value::Number(i32::to_string(&nth), false));
        (call(Ident::new(FIELD), vec![row, nth]), alias)
    });
    beside(&format!("SELECT * EXCLUDE (\"{ROW}\") FROM t"), inner, fields.collect())
}

/// A query of all columns of a table, with these beside them.
fn beside(shape: &str, table: TableFactor, items: Vec<(Expr, Ident)>) -> Option<Box<Query>> {
    let mut query = Parser::new(&HeadwaterDialect).try_with_sql(shape).ok()?.parse_query().ok()?;
    let SetExpr::Select(select) = &mut *query.body else { return None };
    let items = items.into_iter().map(|(expr, alias)| SelectItem::ExprWithAlias { expr, alias });
    select.projection.extend(items);
    select.from.first_mut()?.relation = table;
    Some(query)
}

/// Finds elements under the name of the table that has them.
struct Rename(Vec<Renamed>);

impl VisitorMut for Rename {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::CompoundIdentifier(parts) = expr
            && let [of, column] = parts.as_slice()
            && let Some(renamed) = self.0.iter().find(|renamed| normal(&renamed.list) == normal(of))
        {
            *expr = match &renamed.table {
                Some(table) => Expr::CompoundIdentifier(vec![table.clone(), column.clone()]),
                None => Expr::Identifier(column.clone()),
            };
        }
        ControlFlow::Continue(())
    }
}
