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
//! the pipes.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Ident, ObjectName, Query, Select, SelectFlavor, SelectItem, SetExpr, TableFactor, VisitMut, VisitorMut,
    WildcardAdditionalOptions,
};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};

use super::dialect::select_all_from;

/// Reads `TABLE t`. The parser's own way takes two more tokens, whatever they are.
pub(super) fn parse_table(parser: &mut Parser<'static>) -> Result<Box<Query>, ParserError> {
    parser.expect_keyword_is(Keyword::TABLE)?;
    select_all_from(parser.parse_object_name(false)?)
}

/// Says SELECT first, and has pipes in subqueries.
pub(super) fn unify_begins(query: &mut Query) {
    let _ = query.visit(&mut Unify);
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
            let subquery = Box::new(query.clone());
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
