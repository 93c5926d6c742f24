//! Calls with parameters, as ClickHouse writes them: `f(p)(x)` means `f(p, x)`.

use std::mem;
use std::ops::ControlFlow;

use crate::walk::expressions_mut;
use datafusion::sql::sqlparser::ast::{Expr, FunctionArguments, Query};

/// Puts the parameters of all calls in front of their arguments.
pub(crate) fn take_parameters(query: &mut Query) {
    let _ = expressions_mut(query, |expr| {
        if let Expr::Function(function) = expr
            && let FunctionArguments::List(parameters) =
                mem::replace(&mut function.parameters, FunctionArguments::None)
            && let FunctionArguments::List(list) = &mut function.args
        {
            list.args.splice(0..0, parameters.args);
        }
        ControlFlow::<()>::Continue(())
    });
}
