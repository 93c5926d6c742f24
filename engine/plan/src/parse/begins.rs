//! Queries that do not begin with SELECT as the SELECT that they mean.
//!
//! | written | becomes |
//! |---|---|
//! | `FROM t SELECT x` | `SELECT x FROM t` |
//! | `FROM t` | `SELECT * FROM t` |
//! | `TABLE t` | `SELECT * FROM t` |
//! | `FROM t \|> WHERE x > 1 \|> SELECT y` | `SELECT * FROM (SELECT * FROM t \|> WHERE x > 1 \|> SELECT y)` |
//!
//! A query with pipes stands in a subquery of its own, so that whoever looks at what a SELECT gives does not take it for what comes out of
//! the pipes. The order of the last one is that of the query around it: a subquery's rows have none.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, ObjectName, OrderBy, OrderByKind, PipeOperator, Query, Select, SelectFlavor, SelectItem,
    SetExpr, TableFactor, VisitorMut, WildcardAdditionalOptions,
};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};

use super::dialect::select_all_from;
use crate::walk::{WalkMut, expressions_mut};

/// Reads `TABLE t`. The parser's own way takes two more tokens, whatever they are.
pub(super) fn parse_table(parser: &mut Parser<'static>) -> Result<Box<Query>, ParserError> {
    parser.expect_keyword_is(Keyword::TABLE)?;
    select_all_from(parser.parse_object_name(false)?)
}

/// Says SELECT first, and has pipes in subqueries.
pub(super) fn unify_begins(query: &mut Query) {
    let _ = query.walk_mut(&mut Unify);
}

struct Unify;

impl VisitorMut for Unify {
    type Break = ();

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if !query.pipe_operators.is_empty()
            && let Ok(mut outer) = select_all_from(ObjectName::from(vec![Ident::new("t")]))
            && let SetExpr::Select(select) = &mut *outer.body
            && let [from] = select.from.as_mut_slice()
        {
            let mut subquery = Box::new(query.clone());
            outer.order_by = last_order(&mut subquery.pipe_operators);
            from.relation = TableFactor::Derived { lateral: false, subquery, alias: None, sample: None };
            *query = *outer;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        if select.flavor == SelectFlavor::FromFirstNoSelect {
            let wildcard_token = select.select_token.clone();
            let all = WildcardAdditionalOptions { wildcard_token, ..WildcardAdditionalOptions::default() };
            select.projection = vec![SelectItem::Wildcard(all)];
        }
        select.flavor = SelectFlavor::Standard;
        ControlFlow::Continue(())
    }
}

/// Takes the order of the last pipe, by the names that its rows have outside.
fn last_order(pipes: &mut Vec<PipeOperator>) -> Option<OrderBy> {
    if !matches!(pipes.last(), Some(PipeOperator::OrderBy { .. })) {
        return None;
    }
    let Some(PipeOperator::OrderBy { mut exprs }) = pipes.pop() else { return None };
    let _: ControlFlow<()> = expressions_mut(&mut exprs, |expr| {
        if let Expr::CompoundIdentifier(parts) = expr
            && let Some(name) = parts.pop()
        {
            *expr = Expr::Identifier(name);
        }
        ControlFlow::Continue(())
    });
    Some(OrderBy { kind: OrderByKind::Expressions(exprs), interpolate: None })
}
