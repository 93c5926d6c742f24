//! All functions over sequences, for whoever plans queries.

use datafusion::logical_expr::{AggregateUDF, ScalarUDF};

use super::call::Kind;
use super::function::SequenceFunction;
use super::scalar::Occurrences;

/// The aggregate functions.
pub fn aggregate_functions() -> Vec<AggregateUDF> {
    Kind::ALL.map(|kind| AggregateUDF::new_from_impl(SequenceFunction::new(kind))).into()
}

/// The functions of one row.
pub fn scalar_functions() -> Vec<ScalarUDF> {
    vec![ScalarUDF::new_from_impl(Occurrences::new())]
}
