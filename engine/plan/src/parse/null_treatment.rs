//! FIRST_VALUE and LAST_VALUE as aggregates leave NULLs out, as in Flink, unless the query says RESPECT NULLS.
//!
//! With OVER they count NULLs, as standard SQL says, unless the query says IGNORE NULLS.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArgumentClause, FunctionArguments, NullTreatment, VisitMut, VisitorMut,
};

use super::reader::name_of;
use crate::walk::WalkMut;

/// Says IGNORE NULLS where such an aggregate says nothing.
pub(super) fn unify_null_treatment(tree: &mut impl VisitMut) {
    let _ = tree.walk_mut(&mut Unify);
}

struct Unify;

impl VisitorMut for Unify {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expr
            && function.over.is_none()
            && matches!(name_of(&function.name).as_str(), "first_value" | "last_value")
            && !says_which(function)
        {
            function.null_treatment = Some(NullTreatment::IgnoreNulls);
        }
        ControlFlow::Continue(())
    }
}

/// Whether a call says what becomes of NULLs, behind its arguments or among them.
fn says_which(function: &Function) -> bool {
    let among = match &function.args {
        FunctionArguments::List(list) => list.clauses.as_slice(),
        FunctionArguments::None | FunctionArguments::Subquery(_) => &[],
    };
    let says =
        |clause: &FunctionArgumentClause| matches!(clause, FunctionArgumentClause::IgnoreOrRespectNulls(_));
    function.null_treatment.is_some() || among.iter().any(says)
}
