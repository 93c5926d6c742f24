//! The rows of sessions, each with the bounds of its own.
//!
//! Where a session lies is known when it ends. Until then its rows are gathered in a list, as an aggregate; then the list is taken apart:
//!
//! ```text
//!  key  window_start  window_end  window_time  $rows             ts  k  x  window_start  window_end  window_time
//!  a    10:00         10:07       ..           [(..), (..)]  ─>  ..  a  1  10:00         10:07       ..
//!                                                                ..  a  2  10:00         10:07       ..
//! ```

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{Column, DFSchema, Result, internal_err};
use datafusion::functions::core::expr_fn::named_struct;
use datafusion::functions_aggregate::expr_fn::array_agg;
use datafusion::logical_expr::{Expr, lit};
use headwater_operators::{OperatorSpec, OutputColumn, UnnestSpec, Unnested, WindowColumn};

use super::over_window::{COLUMNS, bound_name};
use super::{Parts, per_key_of};
use crate::stream::flow::{Flow, external, names_of};
use crate::stream::lower::Lower;
use crate::window::WindowTvf;

/// What the column of a session's rows is called, and that of one of them.
const ROWS: &str = "$rows";
const ROW: &str = "$row";

impl Lower<'_> {
    /// The rows of sessions, when those end, with the columns of their windows.
    pub(in crate::stream) fn session_rows(&mut self, window: &WindowTvf) -> Result<Flow> {
        let early = self.session_is_early(window)?;
        let flow = self.window_input(window, true)?;
        let time = self.check_time(window, &flow)?;
        let node = window.input.schema();
        let keys = window.partition_indices()?;
        let per_key = per_key_of(&flow, &keys)?;
        let own: Vec<_> = flow.schema.fields().iter().take(node.fields().len()).cloned().collect();
        let rows = list_of_rows(node);
        let aggregates =
            vec![self.call(&rows, &Expr::Column(Column::from_name(ROWS)), &names_of(node, &flow.schema)?)?];
        let output = output(keys.len());
        let input = Arc::clone(&flow.schema);
        let parts = Parts { input, time, keys, aggregates, output, per_key };
        let mut flow = self.aggregated(flow, window.windowing, parts, early)?;
        let (rows, first) = (flow.schema.fields().len() - 1, flow.schema.fields().len() - 1 - COLUMNS.len());
        let bounds: Vec<_> = flow.schema.fields()[first..rows].to_vec();
        let DataType::List(row) = flow.schema.field(rows).data_type() else {
            return internal_err!("a session's rows are gathered as a list");
        };
        let row = Arc::new(Field::new(ROW, row.data_type().clone(), true));
        let each = (first..rows).map(Unnested::Column).chain([Unnested::Elements(rows)]);
        let schema = Schema::new(bounds.iter().cloned().chain([row]).collect::<Vec<_>>());
        unnest(&mut flow, each.collect(), Arc::new(schema))?;
        let schema = Schema::new(own.iter().chain(&bounds).cloned().collect::<Vec<_>>());
        let fields = (0..own.len()).map(|nth| Unnested::Field(COLUMNS.len(), nth));
        unnest(
            &mut flow,
            fields.chain((0..COLUMNS.len()).map(Unnested::Column)).collect(),
            Arc::new(schema),
        )?;
        Ok(flow)
    }
}

/// All columns of all rows.
fn list_of_rows(node: &DFSchema) -> Expr {
    let columns = node.columns().into_iter().enumerate();
    let fields = columns.flat_map(|(nth, column)| [lit(format!("c{nth}")), Expr::Column(column)]);
    array_agg(named_struct(fields.collect()))
}

/// The columns of sessions: their keys, by which they are put in order, their bounds, and their rows.
fn output(keys: usize) -> Vec<OutputColumn> {
    let keys = (0..keys).map(|key| (WindowColumn::Key(key), format!("${key}")));
    let bounds = COLUMNS.map(|bound| (bound, bound_name(bound).to_owned()));
    let columns = keys.chain(bounds).chain([(WindowColumn::Aggregate(0), ROWS.to_owned())]);
    columns.map(|(from, name)| OutputColumn { from, name }).collect()
}

fn unnest(flow: &mut Flow, columns: Vec<Unnested>, schema: SchemaRef) -> Result<()> {
    let place = |column: &Unnested| match column {
        Unnested::Column(at) => Some(*at),
        Unnested::Elements(_) | Unnested::Field(..) => None,
    };
    let from: Vec<_> = columns.iter().map(place).collect();
    let spec = UnnestSpec::try_new(Arc::clone(&flow.schema), columns, schema, false, flow.changes.clone());
    let spec = spec.map_err(external)?;
    flow.changes = spec.changes();
    flow.push(spec);
    flow.time.follow(&from);
    Ok(())
}
