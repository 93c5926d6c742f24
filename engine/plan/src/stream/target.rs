//! The last stage: the query's columns fitted to what they go into.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast, lit};
use datafusion::physical_expr::expressions::{CastExpr, Literal, TryCastExpr};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use headwater_functions::sql_type;
use headwater_operators::{Changes, NotNullSpec, OperatorSpec, TopN, TopNSpec};

use super::flow::{Flow, Time, external};
use super::lower::{Lower, column_at};
use super::narrower;
use crate::dataflow::{Dataflow, ResultSpec};
use crate::definition::{StreamDef, WEIGHT};
use crate::error::refused;
use crate::error::{Mistake, SqlError, did_you_mean};
use crate::parse::named_columns;
use crate::planner::Target;
use crate::statement::Emit;
use headwater_functions::{cast_as, fits, narrows};

/// Closes the last stage.
pub(super) fn finish(
    mut lower: Lower<'_>,
    mut flow: Flow,
    plan: &LogicalPlan,
    target: Target<'_>,
) -> Result<Dataflow> {
    let found: SchemaRef = Arc::clone(plan.schema().inner());
    let columns: Vec<(Arc<dyn PhysicalExpr>, String, Option<usize>)> = match target {
        Target::Anywhere => as_is(&flow, found.fields().iter().map(|field| field.name().clone())),
        Target::View([]) => as_is(&flow, found.fields().iter().map(|field| field.name().clone())),
        Target::View(names) => {
            if names.len() != found.fields().len() {
                let message = format!(
                    "the view names {} columns, but its query has {}",
                    names.len(),
                    found.fields().len()
                );
                return Err(refused(SqlError::new(Mistake::Definition, message)));
            }
            as_is(&flow, names.iter().cloned())
        }
        Target::Stream(stream, names) => {
            check_changes(&flow, stream)?;
            into_stream(&flow, plan, stream, names)?
        }
    };
    let identity = columns.len() == flow.schema.fields().len()
        && columns
            .iter()
            .zip(flow.schema.fields())
            .enumerate()
            .all(|(nth, ((_, name, from), field))| *from == Some(nth) && name == field.name());
    if !identity || flow.operators.is_empty() {
        let from: Vec<_> = columns.iter().map(|(_, _, from)| *from).collect();
        flow.project(columns.into_iter().map(|(expr, name, _)| (expr, name)).collect(), &from)?;
    }
    if let Target::Stream(stream, _) = target {
        require(&mut flow, stream);
    }
    if let Emit::Every(interval) = lower.options.emit {
        flow = lower.emit_every(flow, interval)?;
    }
    if let Target::Stream(stream, _) = target
        && (stream.is_database() || stream.is_updating_table())
    {
        flow = one_row_for_each_key(&mut lower, flow, stream)?;
    }
    let result = ResultSpec {
        schema: Arc::clone(&flow.schema),
        changes: flow.changes.clone(),
        event_time: flow.time.of_result().filter(|_| flow.is_append_only()),
    };
    lower.push(flow.into_stage());
    let notes = match target {
        Target::Stream(stream, names) => misplaced(&found, stream, names).into_iter().collect(),
        Target::Anywhere | Target::View(_) => Vec::new(),
    };
    Ok(Dataflow { sources: lower.sources, stages: lower.stages, result, late: None, notes })
}

fn as_is(
    flow: &Flow,
    names: impl Iterator<Item = String>,
) -> Vec<(Arc<dyn PhysicalExpr>, String, Option<usize>)> {
    names.enumerate().map(|(nth, name)| (column_at(flow, nth), name, Some(nth))).collect()
}

/// Leaves out rows without a value where the target wants one.
fn require(flow: &mut Flow, stream: &StreamDef) {
    let both = flow.schema.fields().iter().zip(stream.schema.fields()).enumerate();
    let may_lack = both.filter(|(_, (found, wanted))| found.is_nullable() && !wanted.is_nullable());
    let columns: Vec<usize> = may_lack.map(|(nth, _)| nth).collect();
    if !columns.is_empty() {
        flow.push(NotNullSpec::new(columns, Arc::clone(&flow.schema), flow.changes.clone()));
    }
}

/// A log only takes additions.
fn check_changes(flow: &Flow, stream: &StreamDef) -> Result<()> {
    match flow.changes {
        Changes::AppendOnly => Ok(()),
        _ if stream.is_changelog() || stream.is_black_hole() => Ok(()),
        _ => Err(refused(
            SqlError::new(
                Mistake::UpdatesIntoStream,
                format!("the query's rows change as events come in, but '{}' only takes additions", stream.name),
            )
            .hint("aggregate over a window (TUMBLE, HOP, ...), whose rows are final, or keep the result as CREATE MATERIALIZED VIEW; \
             a table with format = 'debezium_json' takes changes, and one of a database that has a PRIMARY KEY"),
        )),
    }
}

/// A table of a database, or one of changes with a key, has one row for each of its keys. If rows change and may be several for a key,
/// all are remembered, so that there is another when one is retracted: the first by all columns is shown.
fn one_row_for_each_key(lower: &mut Lower<'_>, flow: Flow, stream: &StreamDef) -> Result<Flow> {
    let place = |name: &String| stream.schema.index_of(name).map_err(Into::into);
    let keys = stream.primary_key.iter().map(place).collect::<Result<Vec<_>>>()?;
    let is_unique = match &flow.changes {
        Changes::AppendOnly => true,
        Changes::Updating { key } => key.iter().all(|column| keys.contains(column)),
        Changes::Retracting => false,
    };
    if is_unique || keys.is_empty() {
        return Ok(flow);
    }
    let columns = flow.schema.fields().len();
    let what = TopN {
        input: Arc::clone(&flow.schema),
        partition: keys.clone(),
        order: Vec::new(),
        skip: 0,
        take: 1,
        number: "$number".to_owned(),
        numbered: false,
        changes: flow.changes.clone(),
        closes: None,
        revises: false,
        ttl: None,
    };
    let operator: Arc<dyn OperatorSpec> = Arc::new(TopNSpec::try_new(what).map_err(external)?);
    let (schema, changes) = (operator.schema(), operator.changes());
    let input = lower.exchange(flow, keys, operator);
    let mut flow = Flow::new(vec![input], schema, changes, Time::default());
    flow.keep_first(columns)?;
    Ok(flow)
}

/// For each column of a target the query's column that fills it.
enum Fill {
    As(usize),
    Cast(usize, DataType),
    Null(DataType),
}

fn into_stream(
    flow: &Flow,
    plan: &LogicalPlan,
    stream: &StreamDef,
    names: &[String],
) -> Result<Vec<(Arc<dyn PhysicalExpr>, String, Option<usize>)>> {
    let found = plan.schema().as_arrow();
    if stream.schema.fields().is_empty() {
        return Ok(as_is(flow, found.fields().iter().map(|field| field.name().clone())));
    }
    let allowed = |column, to: &DataType| narrower::goes_into(plan, column, to);
    let fills = fill(found, stream, names, allowed).map_err(refused)?;
    fills
        .into_iter()
        .zip(stream.schema.fields())
        .map(|(fill, field)| {
            let name = field.name().clone();
            Ok(match fill {
                Fill::As(column) => (column_at(flow, column), name, Some(column)),
                Fill::Cast(column, kind) => {
                    let from = column_at(flow, column);
                    (cast_expr(from, found.field(column).data_type(), kind), name, None)
                }
                Fill::Null(kind) => {
                    let expr = Arc::new(Literal::new(ScalarValue::try_from(&kind)?));
                    (expr as Arc<dyn PhysicalExpr>, name, None)
                }
            })
        })
        .collect()
}

/// A column as one of another type, into which it may go.
fn cast_expr(column: Arc<dyn PhysicalExpr>, from: &DataType, to: DataType) -> Arc<dyn PhysicalExpr> {
    if to.is_nested() {
        let function = Arc::new(cast_as(&to, narrows(from, &to)));
        let (name, field) = (function.name().to_owned(), Arc::new(Field::new("", to, true)));
        let config = Arc::new(ConfigOptions::default());
        return Arc::new(ScalarFunctionExpr::new(&name, function, vec![column], field, config));
    }
    match narrows(from, &to) {
        true => Arc::new(TryCastExpr::new(column, to)),
        false => Arc::new(CastExpr::new(column, to, None)),
    }
}

/// The rows of an INSERT that runs once.
#[derive(Debug, Clone)]
pub struct Insertion {
    /// The query, with exactly the target's columns.
    pub plan: LogicalPlan,
    /// What the writer should know of it, such as that columns go where others of their names are.
    pub note: Option<String>,
}

/// An INSERT's rows with exactly the target's columns. Literals of VALUES may be cast to anything that they can be.
pub(crate) fn fit_insert(
    plan: LogicalPlan,
    stream: &StreamDef,
    names: &[String],
    values: bool,
) -> Result<Insertion> {
    if stream.schema.fields().is_empty() {
        return Ok(Insertion { plan, note: None });
    }
    let found = plan.schema().as_arrow();
    let note = misplaced(found, stream, names);
    let allowed = |column, to: &DataType| {
        let from = found.field(column).data_type();
        (values && (arrow::compute::can_cast_types(from, to) || fits(from, to)))
            || narrower::goes_into(&plan, column, to)
    };
    let fills = fill(found, stream, names, allowed).map_err(refused)?;
    let columns = plan.schema().columns();
    let exprs: Vec<Expr> = fills
        .into_iter()
        .zip(stream.schema.fields())
        .map(|(fill, field)| {
            let expr = match fill {
                Fill::As(column) => Expr::Column(columns[column].clone()),
                Fill::Cast(column, kind) if kind.is_nested() => {
                    cast_as(&kind, false).call(vec![Expr::Column(columns[column].clone())])
                }
                Fill::Cast(column, kind) => cast(Expr::Column(columns[column].clone()), kind),
                Fill::Null(kind) => lit(ScalarValue::try_from(&kind)?),
            };
            Ok(expr.alias(field.name()))
        })
        .chain(stream.is_changelog().then(|| Ok(lit(1_i64).alias(WEIGHT))))
        .collect::<Result<_>>()?;
    Ok(Insertion { plan: LogicalPlanBuilder::from(plan).project(exprs)?.build()?, note })
}

/// Matches columns by position, or by the names that the statement gives. `allowed`: whether a column of the query goes into another type.
fn fill(
    found: &Schema,
    stream: &StreamDef,
    names: &[String],
    allowed: impl Fn(usize, &DataType) -> bool,
) -> std::result::Result<Vec<Fill>, SqlError> {
    let wrong = |message: String| SqlError::new(Mistake::TargetColumns, message);
    // How often a row is added is not for the query to say.
    let fields = &stream.schema.fields()[..stream.schema.fields().len() - usize::from(stream.is_changelog())];
    let own: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
    let places = places(&own, stream, names)?;
    if places.len() != found.fields().len() {
        let given: Vec<_> = found.fields().iter().map(|field| field.name().as_str()).collect();
        let wanted: Vec<_> = places.iter().map(|place| own[*place]).collect();
        return Err(wrong(format!(
            "'{}' takes {} columns ({}), but the query has {} ({})",
            stream.name,
            wanted.len(),
            wanted.join(", "),
            given.len(),
            given.join(", ")
        ))
        .hint("columns go by position; to leave some out, name the others: INSERT INTO t (a, b) ..."));
    }
    let mut fills: Vec<Option<Fill>> = fields.iter().map(|_| None).collect();
    let mut misfits = Vec::new();
    for (nth, (place, field)) in places.iter().zip(found.fields()).enumerate() {
        let (from, to) = (field.data_type(), fields[*place].data_type());
        if fills[*place].is_some() {
            return Err(wrong(format!("the column '{}' is given twice", own[*place])));
        }
        fills[*place] = Some(if from == to { Fill::As(nth) } else { Fill::Cast(nth, to.clone()) });
        if !assignable(from, to) && !allowed(nth, to) {
            let (name, wanted) = (field.name(), own[*place]);
            misfits.push(format!(
                "column {} '{name}': {} into {wanted} {}",
                nth + 1,
                sql_type(from),
                sql_type(to)
            ));
        }
    }
    if !misfits.is_empty() {
        let hint = misplaced(found, stream, names).unwrap_or_else(|| {
            "CAST(... AS ...) what does not fit; columns go by position, not by name".to_owned()
        });
        return Err(
            wrong(format!("the query does not fit '{}': {}", stream.name, misfits.join("; "))).hint(hint)
        );
    }
    let nullable = |(fill, field): (Option<Fill>, &arrow::datatypes::FieldRef)| match fill {
        Some(fill) => Ok(fill),
        None if field.is_nullable() => Ok(Fill::Null(field.data_type().clone())),
        None => Err(wrong(format!("'{}' is NOT NULL in '{}', but is not filled", field.name(), stream.name))),
    };
    fills.into_iter().zip(fields).map(nullable).collect()
}

/// The target's columns that are filled, in the order in which the query has them: those that the statement names, or all.
fn places(own: &[&str], stream: &StreamDef, names: &[String]) -> std::result::Result<Vec<usize>, SqlError> {
    let is_filled = |name: &str| !stream.read_only.contains(name);
    let filled: Vec<&str> = own.iter().copied().filter(|name| is_filled(name)).collect();
    let names = named_columns(&filled, names);
    let place = |name: &String| {
        let only_read = if stream.is_computed(name) { Some("computed from others") } else { None };
        let only_read = only_read.or((!is_filled(name)).then_some("filled by the connector alone"));
        if let Some(why) = only_read {
            let message = format!("the column '{name}' of '{}' is {why}", stream.name);
            return Err(SqlError::new(Mistake::TargetColumns, message).hint("leave it out"));
        }
        own.iter().position(|known| known == name).ok_or_else(|| {
            let error =
                SqlError::new(Mistake::UnknownColumn, format!("'{}' has no column '{name}'", stream.name));
            error.hint_if(did_you_mean(name, own.iter().copied()))
        })
    };
    names.iter().map(place).collect()
}

/// What is said of columns that have the target's names in another order. They go by position, as everywhere in SQL, though that is
/// hardly ever what is meant.
fn misplaced(found: &Schema, stream: &StreamDef, names: &[String]) -> Option<String> {
    let given: Vec<&str> = found.fields().iter().map(|field| field.name().as_str()).collect();
    let own: Vec<&str> = stream.schema.fields().iter().map(|field| field.name().as_str()).collect();
    let places = places(&own, stream, names).ok().filter(|_| names.is_empty())?;
    let (place, name) = places.iter().zip(&given).find(|(place, name)| {
        let column = own[**place];
        column != **name && own.contains(name) && given.contains(&column)
    })?;
    Some(format!(
        "the query's column '{name}' goes into '{}' of '{}', since columns go by position; by name it would be INSERT INTO {} ({}) ...",
        own[*place],
        stream.name,
        stream.name,
        given.join(", ")
    ))
}

/// Whether values of one type go into a column of the other without a CAST, as Flink's `LogicalTypeCasts` has it: every one has its place
/// there, as far as SQL sees it, though not always with all of its digits. Numbers also go into a DECIMAL that has fewer of them, as a SUM
/// has 38 in Flink whatever is added up: they are rounded to its scale, and one that is too large is NULL. A time goes into its DATE.
pub(crate) fn assignable(from: &DataType, to: &DataType) -> bool {
    use DataType::*;
    let text = |kind: &DataType| matches!(kind, Utf8 | LargeUtf8 | Utf8View);
    let bytes = |kind: &DataType| matches!(kind, Binary | LargeBinary | BinaryView);
    match (from, to) {
        (Null, _) => true,
        (from, to) if from == to => true,
        (from, to) if text(from) => text(to),
        (from, to) if bytes(from) => bytes(to),
        (Timestamp(..) | Date32, Timestamp(..)) | (Timestamp(..), Date32) => true,
        (from, Decimal128(..)) => from.is_numeric(),
        (Float32, Float64) => true,
        (from, Float64 | Float32) => from.is_integer() || from.is_decimal(),
        (from, to) if from.is_integer() && to.is_integer() => widens(from, to),
        (List(from), List(to)) | (Map(from, _), Map(to, _)) => assignable(from.data_type(), to.data_type()),
        (Struct(from), Struct(to)) => {
            let pairs = || from.iter().zip(to);
            from.len() == to.len()
                && pairs().all(|(from, to)| assignable(from.data_type(), to.data_type()))
                // Names in another order are a slip, not a wish.
                && pairs().all(|(one, field)| {
                    one.name() == field.name() || !to.iter().any(|other| other.name() == one.name())
                })
        }
        _ => false,
    }
}

fn widens(from: &DataType, to: &DataType) -> bool {
    let (Some(from_width), Some(to_width)) = (from.primitive_width(), to.primitive_width()) else {
        return false;
    };
    match (from.is_signed_integer(), to.is_signed_integer()) {
        (true, true) | (false, false) => from_width <= to_width,
        // A count (UInt64 in some functions) fits a BIGINT for all that will ever be counted.
        (false, true) => from_width < to_width || (from_width == 8 && to_width == 8),
        (true, false) => false,
    }
}
