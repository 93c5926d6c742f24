//! `FETCH FIRST n ROWS ONLY` says what `LIMIT n` does, and `LIMIT m, n` what `LIMIT n OFFSET m` does.

use std::ops::ControlFlow;

use crate::walk::WalkMut;
use datafusion::sql::sqlparser::ast::{
    Expr, Fetch, LimitClause, Offset, OffsetRows, Query, Value, VisitorMut,
};

/// Says LIMIT for FETCH, and OFFSET for a comma. A FETCH that asks for ties or a percentage is left.
pub(super) fn unify_fetch(query: &mut Query) {
    let _ = query.walk_mut(&mut Unify);
}

struct Unify;

impl VisitorMut for Unify {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if let Some(LimitClause::OffsetCommaLimit { offset, limit }) = &query.limit_clause {
            query.limit_clause = Some(LimitClause::LimitOffset {
                limit: Some(limit.clone()),
                offset: Some(Offset { value: offset.clone(), rows: OffsetRows::None }),
                limit_by: Vec::new(),
            });
        }
        let Some(Fetch { with_ties: false, percent: false, quantity }) = &query.fetch else {
            return ControlFlow::Continue(());
        };
        let one = || Expr::value(Value::Number("1".to_owned(), false));
        let rows = Some(quantity.clone().unwrap_or_else(one));
        match &mut query.limit_clause {
            none @ None => {
                *none = Some(LimitClause::LimitOffset { limit: rows, offset: None, limit_by: Vec::new() });
            }
            Some(LimitClause::LimitOffset { limit: limit @ None, .. }) => *limit = rows,
            _ => return ControlFlow::Continue(()),
        }
        query.fetch = None;
        ControlFlow::Continue(())
    }
}
