//! A function as queries call it, whatever its body is.

use std::sync::Arc;

use datafusion::logical_expr::{ScalarUDF, Signature, Volatility};

use crate::error::{Mistake, Result, SqlError};
use crate::planning::Planning;

use super::definition::{Body, FunctionDef};
use super::{expression, module, procedure};

/// A function as queries call it; `None` for one whose module nobody has read.
pub(crate) fn scalar(planning: Planning<'_>, def: &Arc<FunctionDef>) -> Option<Arc<ScalarUDF>> {
    match &def.body {
        Body::Sql { .. } => Some(expression::scalar(planning, def)),
        Body::Wasm { export, program } => {
            Some(module::scalar(def, signature(def, module::VOLATILITY), export, program))
        }
        Body::WasmFile { .. } => None,
        Body::Procedure { .. } => {
            Some(procedure::scalar(def, signature(def, procedure::VOLATILITY), planning.tables))
        }
    }
}

/// Whether a function can be planned; if not, why, and where in its definition.
pub(crate) fn check(planning: Planning<'_>, def: &FunctionDef) -> Result<()> {
    match &def.body {
        Body::Sql { .. } => expression::check(planning, def),
        Body::Wasm { export, program } => module::check(def, export, program),
        Body::WasmFile { .. } => {
            Err(SqlError::new(Mistake::Definition, "the module's file has not been read"))
        }
        Body::Procedure { .. } => procedure::check(def),
    }
}

/// What a function is called with.
pub(super) fn signature(def: &FunctionDef, volatility: Volatility) -> Signature {
    match def.parameters.as_slice() {
        [] => Signature::nullary(volatility),
        all => Signature::exact(all.iter().map(|one| one.kind.clone()).collect(), volatility),
    }
}
