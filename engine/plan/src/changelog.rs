//! A stream of changes as the table that they lead to.
//!
//! ```text
//!  changes of a key   +a1  +a2  -a2  +a3       each is the key's newest row, or says that it has none any more
//!  the table           a1   a2        a3
//! ```
//!
//! It is a view over the changes, the same for a query over the rows so far and for one that goes on for ever: of each key the last
//! change, if that is no deletion. Changes of one key are all in one shard, so that its sequence numbers say which is last. A deletion is
//! known by its key alone: what else it says of the row is not read.

use std::sync::Arc;

use datafusion::common::{Column, Result, TableReference};
use datafusion::execution::FunctionRegistry;
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::expr::{Sort, WindowFunction};
use datafusion::logical_expr::{Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, TableSource, lit};

use crate::METADATA_COLUMNS;
use crate::definition::{StreamDef, WEIGHT};

/// What the column is called that numbers the changes of a key, the last one first.
const NTH: &str = "$nth";

/// The rows that a table's changes have led to.
pub(crate) fn newest(
    table: &StreamDef,
    changes: Arc<dyn TableSource>,
    state: &SessionState,
) -> Result<LogicalPlan> {
    let own = table.own_schema().fields().len();
    let column =
        |name: &str| Expr::Column(Column::new(Some(TableReference::from(table.name.as_str())), name));
    let sequence = METADATA_COLUMNS[1];
    let read = changes.schema().index_of(sequence)?;
    let nth = Expr::from(WindowFunction::new(state.udwf("row_number")?, Vec::new()))
        .partition_by(table.primary_key.iter().map(|key| column(key)).collect())
        .order_by(vec![Sort::new(column(sequence), false, false)])
        .build()?
        .alias(NTH);
    let columns: Vec<Expr> = table.own_schema().fields().iter().map(|field| column(field.name())).collect();
    scan(table, changes, (0..=own).chain([read]).collect())?
        .window(vec![nth])?
        .filter(Expr::Column(Column::from_name(NTH)).eq(lit(1_u64)).and(column(WEIGHT).gt(lit(0_i64))))?
        .project(columns)?
        .build()
}

/// A table's changes, as versions of its rows: how often first, so that of a deletion and an addition at one time the latter counts.
pub(crate) fn all(table: &StreamDef, changes: Arc<dyn TableSource>) -> Result<LogicalPlan> {
    let own = table.own_schema().fields().len();
    scan(table, changes, std::iter::once(own).chain(0..own).collect())?.build()
}

fn scan(table: &StreamDef, changes: Arc<dyn TableSource>, columns: Vec<usize>) -> Result<LogicalPlanBuilder> {
    LogicalPlanBuilder::scan(TableReference::from(table.name.as_str()), changes, Some(columns))
}
