//! `LATE DATA TO`: the stream that takes the rows which come too late.
//!
//! A row finds its columns there by their names, as the operator has them that finds it late. So that it has all of them, a query
//! with a stream for late rows reads all columns of its streams.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use headwater_core::StreamName;
use headwater_functions::sql_type;
use headwater_operators::{Changes, OperatorSpec};

use super::target::assignable;
use crate::catalog::{Catalog, Entry};
use crate::dataflow::{Dataflow, Source};
use crate::definition::StreamDef;
use crate::error::{Mistake, Result, SqlError, did_you_mean};
use crate::planner::Target;
use crate::statement::Name;
/// The column of a stream for late rows that says by how many milliseconds the watermark was past the row's time when it came:
/// BIGINT.
pub const LATENESS: &str = "lateness";

/// The dataflow with a stream for its late rows, if they fit into that.
pub(crate) fn late_into(
    dataflow: Dataflow,
    name: &Name,
    catalog: &Catalog,
    target: Target<'_>,
) -> Result<Dataflow> {
    let refused = |mistake, message: String| Err(SqlError::new(mistake, message));
    let stream = match catalog.get(&name.value) {
        Some(Entry::Stream(stream)) => stream,
        Some(other) => {
            let message = format!(
                "late rows go into a stream, and '{}' is {}",
                name.value,
                other.kind().with_article()
            );
            return refused(Mistake::Definition, message);
        }
        None => return Err(catalog.unknown(name, "stream")),
    };
    match target {
        Target::Anywhere => {
            let message = "late rows go into a stream from jobs and materialized views only".to_owned();
            return Err(SqlError::new(Mistake::NotStreaming, message).hint("leave LATE DATA TO out"));
        }
        Target::Stream(target, _) if target.name == name.value => {
            let message = format!("'{}' takes the results, and cannot take the late rows, too", name.value);
            return refused(Mistake::Definition, message);
        }
        Target::Stream(..) | Target::View(_) => {}
    }
    if dataflow.stages.iter().flat_map(|stage| &stage.operators).any(has_windows_of_changes) {
        let message =
            "late rows that are retracted cannot go into a stream, which only takes additions".to_owned();
        return Err(SqlError::new(Mistake::NotStreaming, message).hint(
            "leave LATE DATA TO out: the windows are over rows that change, and system.late_rows says of each late row how often it counts",
        ));
    }
    let sources = dataflow.sources.iter();
    let read: Vec<Read<'_>> = sources
        .filter_map(|source| Some(Read::of(catalog.stream(source.stream.as_str())?, source)))
        .collect();
    if read.iter().any(|source| source.stream.name == name.value) {
        let message = format!("'{}' is read by the query, and cannot take its late rows", name.value);
        return refused(Mistake::Definition, message);
    }
    if read.iter().all(|source| source.stream.watermark.is_none()) {
        let message = "no row is ever late for a query without event time".to_owned();
        return Err(SqlError::new(Mistake::NoWatermark, message).hint("leave LATE DATA TO out"));
    }
    stream.schema.fields().iter().try_for_each(|field| check_column(field, &read, stream))?;
    let wrong = |error| SqlError::new(Mistake::Definition, format!("'{}' is no stream: {error}", name.value));
    Ok(Dataflow { late: Some(StreamName::new(&name.value).map_err(wrong)?), ..dataflow })
}

/// Whether an operator gives windows to rows that may be retracted, and so be late as additions may.
fn has_windows_of_changes(operator: &Arc<dyn OperatorSpec>) -> bool {
    operator.name() == "AssignWindows" && operator.changes() != Changes::AppendOnly
}

/// A stream that is read, and its columns as late rows have them.
struct Read<'a> {
    stream: &'a StreamDef,
    fields: Vec<FieldRef>,
}

impl<'a> Read<'a> {
    fn of(stream: &'a StreamDef, source: &Source) -> Self {
        let computed = source.schema.fields().len() - source.computed.len();
        let fields = stream.schema.fields().iter().chain(&source.schema.fields()[computed..]);
        Self { stream, fields: fields.cloned().collect() }
    }

    fn column(&self, name: &str) -> Option<&FieldRef> {
        self.fields.iter().find(|field| field.name() == name)
    }
}

fn check_column(field: &FieldRef, read: &[Read<'_>], stream: &StreamDef) -> Result<()> {
    let (own, name) = (&stream.name, field.name());
    if name == LATENESS {
        return match field.data_type() {
            DataType::Int64 => Ok(()),
            other => {
                let message =
                    format!("'{name}' of '{own}' is a BIGINT of milliseconds, not {}", sql_type(other));
                Err(SqlError::new(Mistake::TargetColumns, message))
            }
        };
    }
    if !field.is_nullable() {
        let message = format!("the column '{name}' of '{own}' must take NULL: not every late row has it");
        return Err(SqlError::new(Mistake::TargetColumns, message).hint("leave NOT NULL out"));
    }
    let mut found = read.iter().filter_map(|source| Some((source, source.column(name)?))).peekable();
    if found.peek().is_none() {
        let known = read.iter().flat_map(|source| &source.fields).map(|field| field.name().as_str());
        let message = format!("late rows have no column '{name}' for '{own}'");
        let hint = did_you_mean(name, known.chain([LATENESS]));
        return Err(SqlError::new(Mistake::TargetColumns, message).hint_if(hint));
    }
    match found.find(|(_, from)| !assignable(from.data_type(), field.data_type())) {
        Some((source, from)) => {
            let (from, to) = (sql_type(from.data_type()), sql_type(field.data_type()));
            let message = format!("'{name}' is {from} in '{}' and {to} in '{own}'", source.stream.name);
            Err(SqlError::new(Mistake::TargetColumns, message))
        }
        None => Ok(()),
    }
}
