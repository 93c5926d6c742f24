//! The columns of a firing.
//!
//! | column | |
//! |---|---|
//! | `fired_at` | when, in the trigger's time |
//! | `cause` | `row`: a row made the condition true; `held`: it was true for so long; `silence`: no value came; `test`: by hand |
//! | `since` | since when the condition has held, or when the last value came |
//! | the stream's own | of the row that made it fire; where time did, of the key's newest row |
//! | `source_shard`, `source_sequence` | where that row is in its stream; not for views |

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use headwater_operators::FiringColumn;

use crate::METADATA_COLUMNS;
use crate::error::{Mistake, Result, SqlError};

/// The columns of a firing that are not of the row.
pub const FIRING_COLUMNS: [&str; 5] = ["fired_at", "cause", "since", "source_shard", "source_sequence"];

/// The columns that come out for rows of these columns.
pub(super) fn firing_columns(input: &SchemaRef) -> Result<Vec<(FiringColumn, String)>> {
    let [at, cause, since, shard, sequence] = FIRING_COLUMNS;
    let mut columns = vec![
        (FiringColumn::At, at.to_owned()),
        (FiringColumn::Cause, cause.to_owned()),
        (FiringColumn::Since, since.to_owned()),
    ];
    for (nth, field) in input.fields().iter().enumerate() {
        let name = field.name();
        if FIRING_COLUMNS.contains(&name.as_str()) {
            return Err(SqlError::new(
                Mistake::Definition,
                format!("the column '{name}' has a name that firings use themselves"),
            )
            .hint("rename it in a view, and put the trigger ON the view"));
        }
        if !METADATA_COLUMNS.contains(&name.as_str()) {
            columns.push((FiringColumn::Input(nth), name.clone()));
        }
    }
    for (metadata, name) in METADATA_COLUMNS.iter().zip([shard, sequence]) {
        if let Ok(nth) = input.index_of(metadata) {
            columns.push((FiringColumn::Input(nth), name.to_owned()));
        }
    }
    Ok(columns)
}

/// A name as an SQL text has it, whatever is in it.
pub(super) fn quoted(name: &str) -> String {
    let parts: Vec<_> = name.split('.').map(|part| format!("\"{}\"", part.replace('"', "\"\""))).collect();
    parts.join(".")
}

/// A column of a schema as an expression.
pub(super) fn column(schema: &SchemaRef, nth: usize) -> Arc<dyn datafusion::physical_expr::PhysicalExpr> {
    let name = schema.field(nth).name();
    Arc::new(datafusion::physical_expr::expressions::Column::new(name, nth))
}
