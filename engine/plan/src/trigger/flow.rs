//! A trigger's dataflow: the stream's rows, then the operator.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::sql::sqlparser::ast;
use headwater_operators::{
    Changes, Memory, OperatorSpec, Rearm, Remembered, Trigger, TriggerRoster, TriggerSpec, When,
};

use super::columns::{column, firing_columns, quoted};
use super::condition::{Looks, Meaning, Reading, Remembering};
use super::definition::{Action, Condition, Partition, RearmDef, TriggerDef};
use super::insert;
use crate::dataflow::{Dataflow, Exchange, ResultSpec, Stage, StageInput, Upstream, Watermark};
use crate::error::{Mistake, Result, SqlError, did_you_mean};
use crate::parse::parse_one;
use crate::physical::{check_constants, physical_expr};
use crate::planner::Target;
use crate::planning::Planning;
use crate::statement::{Name, Statement};
use crate::user_functions::Functions;
use crate::{METADATA_COLUMNS, stream, translate};

/// What runs for a trigger.
#[derive(Debug, Clone)]
pub struct TriggerPlan {
    /// Rows in, firings out.
    pub dataflow: Dataflow,
    /// For `EXECUTE INSERT INTO`: the target's columns, over a firing's.
    pub insert: Option<Vec<Arc<dyn PhysicalExpr>>>,
    /// Whether time alone can make it fire.
    pub timed: bool,
    /// The columns that tell one key from another.
    pub keys: Vec<String>,
    /// What it looks at and waits for.
    pub trigger: Arc<Trigger>,
    /// The columns of its rows that hold their shard and their sequence number; `None` for those of a view.
    pub place: Option<(usize, usize)>,
}

impl TriggerPlan {
    /// A plan for a set of triggers over the same rows: whoever is on the roster at the time.
    pub fn of_set(&self, roster: &Arc<TriggerRoster>) -> Result<Dataflow> {
        let operator = TriggerSpec::of_set(Arc::clone(roster)).map_err(|error| wrong(error.to_string()))?;
        Ok(self.with_operator(operator, 1))
    }

    /// The plan of this trigger as one that judges nothing before a row of each shard: `from` as in [`TriggerRoster::add`].
    pub fn as_member(&self, from: Vec<i64>) -> Result<Dataflow> {
        let what = self.trigger.as_ref().clone();
        let operator = match self.place {
            Some(place) => TriggerSpec::try_new_from(what, place, from),
            None => TriggerSpec::try_new(what),
        };
        Ok(self.with_operator(operator.map_err(|error| wrong(error.to_string()))?, 0))
    }

    fn with_operator(&self, operator: TriggerSpec, event_time: usize) -> Dataflow {
        let mut dataflow = self.dataflow.clone();
        let schema = operator.schema();
        if let Some(stage) = dataflow.stages.last_mut() {
            stage.operators = vec![Arc::new(operator)];
            stage.schema = Arc::clone(&schema);
        }
        dataflow.result = ResultSpec { schema, event_time: Some(event_time), ..dataflow.result };
        dataflow
    }
}

/// Plans a trigger.
pub(crate) fn plan(planning: Planning<'_>, def: &TriggerDef) -> Result<TriggerPlan> {
    let (mut dataflow, time) = rows_of(planning, def)?;
    let input = Arc::clone(&dataflow.result.schema);
    let keys = keys_of(planning, def, &input)?;
    let trigger = trigger(planning, def, &input, keys.clone(), time)?;
    let timed = trigger.hold.is_some();
    let names = keys.iter().map(|key| input.field(*key).name().clone()).collect();
    let column = |name: &str| input.index_of(name).ok();
    let place = column(METADATA_COLUMNS[0]).zip(column(METADATA_COLUMNS[1]));
    let what = Arc::new(trigger.clone());
    let operator = TriggerSpec::try_new(trigger).map_err(|error| wrong(error.to_string()))?;
    let schema = operator.schema();
    let exchange = if keys.is_empty() { Exchange::Gather } else { Exchange::Hash(keys) };
    let delay = dataflow.stages.last().map_or(0, |stage| stage.delay);
    dataflow.stages.push(Stage {
        delay,
        inputs: vec![StageInput { from: Upstream::Stage(dataflow.stages.len() - 1), exchange }],
        operators: vec![Arc::new(operator)],
        schema: Arc::clone(&schema),
    });
    dataflow.result =
        ResultSpec { schema: Arc::clone(&schema), changes: Changes::AppendOnly, event_time: Some(0) };
    let insert = match &def.action {
        Action::Insert { target, columns, values, .. } => {
            let target = planning.catalog.stream(target).ok_or_else(|| {
                SqlError::new(Mistake::UnknownName, format!("there is no stream '{target}'"))
            })?;
            let expressions = Expressions::new(planning, &schema, def)?;
            Some(insert::fill(&schema, target, columns, values, &expressions)?)
        }
        _ => None,
    };
    let place = place.filter(|_| planning.catalog.stream(&def.on).is_some());
    Ok(TriggerPlan { dataflow, insert, timed, keys: names, trigger: what, place })
}

/// The rows that the trigger looks at, and the column that is its time.
fn rows_of(planning: Planning<'_>, def: &TriggerDef) -> Result<(Dataflow, usize)> {
    let stream = planning.catalog.stream(&def.on);
    let has_time = |stream: &crate::StreamDef| {
        stream.watermark.as_ref().is_some_and(|watermark| watermark.per.is_empty())
    };
    let by_arrival = stream.is_some_and(|stream| !has_time(stream));
    let [shard, sequence, arrival] = METADATA_COLUMNS;
    let metadata = match (stream, by_arrival) {
        (None, _) => String::new(),
        (Some(_), false) => format!(", {shard}, {sequence}"),
        (Some(_), true) => format!(", {shard}, {sequence}, {arrival}"),
    };
    let own = match &def.columns {
        None => "*".to_owned(),
        Some(columns) => columns.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", "),
    };
    let text = format!("SELECT {own}{metadata} FROM {}", quoted(&def.on));
    let parsed = parse_one(&text)?;
    let Statement::Query(query) = &parsed.statement else { return Err(wrong("the rows are no query")) };
    // Places in that text mean nothing to whoever wrote the trigger.
    let unplaced = |error: SqlError| {
        let advice = error.advice().map(str::to_owned);
        SqlError::new(error.mistake(), error.message()).hint_if(advice)
    };
    let mut dataflow = planning.stream(query, Target::Anywhere).map_err(unplaced)?;
    if dataflow.result.changes != Changes::AppendOnly {
        return Err(SqlError::new(
            Mistake::NotStreaming,
            format!("the rows of '{}' change as events come in; a trigger looks at rows that stay", def.on),
        )
        .hint("aggregate over a window (TUMBLE, HOP, ...), whose rows are final"));
    }
    if by_arrival {
        let source = &mut dataflow.sources[0];
        let nth = source.schema.index_of(arrival).map_err(|error| wrong(error.to_string()))?;
        let candidate = column(&source.schema, nth);
        source.watermark = Some(Watermark {
            column: nth,
            candidate,
            text: arrival.to_owned(),
            per_key: false,
            processing: false,
        });
        dataflow.result.event_time = dataflow.result.schema.index_of(arrival).ok();
    }
    let time = dataflow.result.event_time.ok_or_else(|| {
        SqlError::new(Mistake::NoWatermark, format!("the rows of '{}' have no event time", def.on))
            .hint("let the view keep the column of WATERMARK FOR, or window_time")
    })?;
    Ok((dataflow, time))
}

fn keys_of(planning: Planning<'_>, def: &TriggerDef, input: &SchemaRef) -> Result<Vec<usize>> {
    let place = |name: &str| {
        input.index_of(name).map_err(|_| {
            let known: Vec<_> = input.fields().iter().map(|field| field.name().as_str()).collect();
            SqlError::new(Mistake::UnknownColumn, format!("'{}' has no column '{name}'", def.on))
                .hint_if(did_you_mean(name, known))
        })
    };
    match &def.partition {
        Partition::By(names) => {
            let placed =
                |name: &Name| place(&name.value).map_err(|error| error.at(name.position, &def.when.script));
            names.iter().map(placed).collect()
        }
        Partition::OfStream => {
            let keys = planning.catalog.stream(&def.on).map(|stream| stream.partition_by.as_slice());
            keys.unwrap_or_default().iter().map(|name| place(name)).collect()
        }
    }
}

fn trigger(
    planning: Planning<'_>,
    def: &TriggerDef,
    input: &SchemaRef,
    keys: Vec<usize>,
    time: usize,
) -> Result<Trigger> {
    let mut remembering = Remembering { time: input.field(time).name().clone(), ..Remembering::default() };
    let reading = if def.hold.is_some() { Reading::Level } else { Reading::Crossing };
    let meaning = remembering.when(&def.when, reading)?;
    let until = match &def.rearm {
        RearmDef::Until(condition) => Some((remembering.expression(condition, Reading::Level)?, condition)),
        _ => None,
    };
    let own = Expressions::new(planning, input, def)?;
    let remembered = remembering.columns.iter().map(|(expr, looks)| {
        let memory = match looks {
            Looks::Row => Memory::Row,
            Looks::Value => Memory::Value,
            Looks::Ago(back) => Memory::Ago(nanos(*back)),
        };
        Ok(Remembered { expr: own.physical(expr.clone(), &def.when)?, memory })
    });
    let remembered = remembered.collect::<Result<Vec<_>>>()?;
    let wide = wide_schema(input, &remembered)?;
    let over_all = Expressions::new(planning, &wide, def)?;
    let mut hold = def.hold.map(nanos);
    let when = match meaning {
        Meaning::True(expr) => When::True(over_all.condition(expr, &def.when)?),
        Meaning::Silent(counts, length) => {
            check_silence(def)?;
            hold = Some(nanos(length));
            When::Silent(over_all.condition(counts, &def.when)?)
        }
    };
    let until = until.map(|(expr, condition)| over_all.condition(expr, condition)).transpose()?;
    let rearm = match &def.rearm {
        RearmDef::Freely => Rearm::Freely,
        RearmDef::Until(_) => Rearm::Until,
        RearmDef::After(wait) => Rearm::After(nanos(*wait)),
    };
    let output = firing_columns(input)?;
    Ok(Trigger { input: Arc::clone(input), keys, time, remembered, when, hold, rearm, until, output })
}

fn check_silence(def: &TriggerDef) -> Result<()> {
    let what = match (&def.hold, &def.rearm) {
        (Some(_), _) => "FOR",
        (_, RearmDef::Until(_)) => "UNTIL",
        (_, RearmDef::After(_)) => "REARM AFTER",
        _ => return Ok(()),
    };
    Err(wrong(format!("frozen() does not go with {what}"))
        .hint("it fires after the time it is called with, and is armed again by the next value")
        .at(def.when.position, &def.when.script))
}

fn wide_schema(input: &SchemaRef, remembered: &[Remembered]) -> Result<SchemaRef> {
    let mut fields: Vec<_> = input.fields().to_vec();
    for (nth, column) in remembered.iter().enumerate() {
        let kind = column.expr.data_type(input).map_err(|error| wrong(error.to_string()))?;
        fields.push(Arc::new(Field::new(format!("${nth}"), kind, true)));
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// Expressions over the columns of one schema.
pub(super) struct Expressions<'a> {
    planning: Planning<'a>,
    names: DFSchema,
    functions: &'a Functions,
}

impl<'a> Expressions<'a> {
    pub(super) fn new(planning: Planning<'a>, schema: &SchemaRef, def: &'a TriggerDef) -> Result<Self> {
        let names = DFSchema::try_from(schema.as_ref().clone()).map_err(|error| wrong(error.to_string()))?;
        let functions = def.functions.as_ref().unwrap_or(planning.catalog.functions());
        Ok(Self { planning, names, functions })
    }

    /// An expression that is boolean.
    fn condition(&self, expr: ast::Expr, of: &Condition) -> Result<Arc<dyn PhysicalExpr>> {
        let physical = self.physical(expr, of)?;
        let kind = physical.data_type(self.names.as_arrow()).map_err(|error| wrong(error.to_string()))?;
        if kind != arrow::datatypes::DataType::Boolean {
            let kind = headwater_functions::sql_type(&kind);
            return Err(SqlError::new(
                Mistake::Type,
                format!("the condition '{}' is {kind}, not BOOLEAN", of.text),
            )
            .at(of.position, &of.script));
        }
        Ok(physical)
    }

    /// An expression; `of` is what it was written as, for errors.
    pub(super) fn physical(&self, expr: ast::Expr, of: &Condition) -> Result<Arc<dyn PhysicalExpr>> {
        let planned = self.planning.expression(expr, &self.names, self.functions).and_then(|expr| {
            stream::check_expression(&expr)?;
            check_constants(self.planning.state, &expr, &self.names)?;
            physical_expr(self.planning.state, expr, &self.names)
        });
        planned.map_err(|error| translate::translate_expression(error, &of.ast, of.position, &of.script))
    }
}

fn wrong(message: impl Into<String>) -> SqlError {
    SqlError::new(Mistake::Definition, message)
}

fn nanos(length: std::time::Duration) -> i64 {
    i64::try_from(length.as_nanos()).unwrap_or(i64::MAX)
}
