//! Triggers: 10,000 of them over one stream beside 10, on one core; and timers, one for each of a million keys.
//!
//! The first two figures are from rows in the log to firings in the log, the second of them with a thousand times as many
//! conditions: bounds of one column, and bounds for one device each, some of which must hold for a time. The third measures the
//! operator: the same keys with a timer each and without.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::logical_expr::Operator as Op;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, Literal};
use datafusion::scalar::ScalarValue;
use headwater_core::{EventTime, ShardId, World};
use headwater_log::Append;
use headwater_operators::{
    FiringColumn, Operator, OperatorSpec, Output, Rearm, Rows, Trigger, TriggerSpec, When,
};
use headwater_run::{Engine, EngineOptions, JobState, NoConnectors, fit_columns};

use super::command::Common;
use super::report::{Report, median};

const FEW: usize = 10;
const MANY: usize = 10_000;
const DEVICES: i64 = 1_000;
const ROWS_PER_BATCH: i64 = 10_000;
const BATCHES: i64 = 1_500;
/// With the first batches the job meets its triggers and gets its memory from the system.
const WARM_BATCHES: i64 = 200;
const ROWS: i64 = ROWS_PER_BATCH * BATCHES;
const TIMED_ROWS: i64 = ROWS_PER_BATCH * (BATCHES - WARM_BATCHES);

const FEW_KEYS: i64 = 10_000;
const MANY_KEYS: i64 = 1_000_000;
const SECOND: i64 = 1_000_000_000;

const STREAM: &str = "\
CREATE STREAM bench_in (device BIGINT NOT NULL, ts TIMESTAMP(3) NOT NULL, temp DOUBLE NOT NULL,
  WATERMARK FOR ts AS ts) PARTITIONED BY (device) WITH ('clock.guard' = 'none', durability = memory);";

pub(crate) fn run(common: &Common) -> Result<Report> {
    let world = World::real();
    let mut report = Report::new("triggers");
    report.setup(
        "rows",
        format!("{TIMED_ROWS} of {DEVICES} devices in batches of {ROWS_PER_BATCH}, in memory, after others"),
    );
    report.setup(
        "conditions",
        "gt(temp, c), lt(temp, c), device = d AND temp > c, also FOR a minute UNTIL temp < c; a row in 10,000 is beyond the first",
    );
    report.setup("threads", 1);
    report.setup("runs", common.runs);
    let (mut few, mut many, mut ratio) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..common.runs {
        let (of_few, of_many) = (through_the_engine(&world, FEW)?, through_the_engine(&world, MANY)?);
        few.push(of_few / TIMED_ROWS as f64 * 1e9);
        many.push(of_many / TIMED_ROWS as f64 * 1e9);
        ratio.push(of_many / of_few);
    }
    report.figure(format!("{FEW} triggers, for each row"), median(few), "ns");
    report.figure(format!("{MANY} triggers, for each row"), median(many), "ns");
    report.aimed(format!("{MANY} / {FEW} triggers"), median(ratio), "", "at most 2");
    timers(&world, common, &mut report)?;
    Ok(report)
}

fn condition(nth: usize) -> String {
    let (device, bound) = (nth as i64 * 7 % DEVICES, 60.0 + nth as f64 / 10.0);
    match nth % 4 {
        0 => format!("gt(temp, {bound})"),
        1 => format!("device = {device} AND temp > {bound}"),
        2 => format!("lt(temp, {})", -bound),
        _ => format!("device = {device} AND temp > {bound} FOR INTERVAL '1' MINUTE UNTIL temp < {bound}"),
    }
}

/// Within 50 of zero, and a row in 10,000 just beyond the first bounds.
fn temp(row: i64) -> f64 {
    if row % 10_007 == 10_006 { 61.0 } else { (row * 7_919 % 100_003) as f64 / 1_000.03 - 50.0 }
}

/// Seconds from the first row appended to the last one judged, after some that are not counted.
fn through_the_engine(world: &World, triggers: usize) -> Result<f64> {
    let options =
        EngineOptions { step_rows_max: 1_000_000, step_bytes_max: 1 << 30, ..EngineOptions::in_memory() };
    let runtime = tokio::runtime::Handle::current();
    let engine = Engine::open_on(runtime, world.clone(), options, Arc::new(NoConnectors))?;
    engine.define_here(STREAM)?;
    for nth in 0..triggers {
        engine.define_here(&format!("CREATE TRIGGER bench_{nth} ON bench_in WHEN {}", condition(nth)))?;
    }
    let info = engine.log().stream_named("bench_in")?;
    let batches = (0..BATCHES).map(|nth| {
        let rows = nth * ROWS_PER_BATCH..(nth + 1) * ROWS_PER_BATCH;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(rows.clone().map(|row| row % DEVICES))),
            Arc::new(TimestampMillisecondArray::from_iter_values(
                rows.clone().map(|row| row / DEVICES * 1_000),
            )),
            Arc::new(Float64Array::from_iter_values(rows.map(temp))),
        ];
        Ok(fit_columns(&info.spec.schema, columns)?)
    });
    let mut batches = batches.collect::<Result<Vec<RecordBatch>>>()?.into_iter();
    let append = |rows| engine.log().append(vec![Append::new(info.id, ShardId(0), rows)]);
    for rows in batches.by_ref().take(WARM_BATCHES as usize) {
        append(rows)?;
    }
    await_rows(&engine, ROWS_PER_BATCH * WARM_BATCHES)?;
    let started = world.clock.monotonic();
    for rows in batches {
        append(rows)?;
    }
    await_rows(&engine, ROWS)?;
    let seconds = (world.clock.monotonic() - started).as_secs_f64();
    engine.close_here()?;
    Ok(seconds)
}

fn await_rows(engine: &Engine, rows: i64) -> Result<()> {
    let runtime = tokio::runtime::Handle::current();
    loop {
        let job = engine.job("bench_0");
        match job {
            Some(job) if job.rows_in >= rows as u64 => return Ok(()),
            Some(job) if job.state == JobState::Failed => bail!("the triggers failed: {:?}", job.error),
            _ => runtime.block_on(tokio::time::sleep(Duration::from_millis(1))),
        }
    }
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("device", DataType::Int64, false),
        Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), false),
    ]))
}

/// A trigger with a timer for each key, or one that has none and is like it in all else.
fn spec(timed: bool) -> Result<TriggerSpec> {
    let when = if timed {
        When::Silent(Arc::new(Literal::new(ScalarValue::Boolean(Some(true)))))
    } else {
        let device: Arc<dyn PhysicalExpr> = Arc::new(Column::new("device", 0));
        let none: Arc<dyn PhysicalExpr> = Arc::new(Literal::new(ScalarValue::Int64(Some(-1))));
        When::True(Arc::new(BinaryExpr::new(device, Op::Lt, none)))
    };
    let output = vec![
        (FiringColumn::At, "at".to_owned()),
        (FiringColumn::Since, "since".to_owned()),
        (FiringColumn::Input(0), "device".to_owned()),
    ];
    let (hold, rearm) = (Some(60 * SECOND), Rearm::Freely);
    let (remembered, until) = (Vec::new(), None);
    Ok(TriggerSpec::try_new(Trigger {
        input: schema(),
        keys: vec![0],
        time: 1,
        remembered,
        when,
        hold,
        rearm,
        until,
        output,
    })?)
}

/// An operator that has seen so many keys, the seconds that it took, and the memory that it holds.
fn fill(world: &World, timed: bool, keys: i64) -> Result<(Box<dyn Operator>, f64, u64)> {
    let mut operator = spec(timed)?.instantiate()?;
    let mut seconds = 0.0;
    for from in (0..keys).step_by(10_000) {
        let devices = from..(from + 10_000).min(keys);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(devices.clone())),
            Arc::new(TimestampMillisecondArray::from_iter_values(devices.map(|device| device % 50_000))),
        ];
        let rows = Rows::new(RecordBatch::try_new(schema(), columns)?);
        let mut out = Output::default();
        let started = world.clock.monotonic();
        operator.on_batch(0, rows, &mut out)?;
        seconds += (world.clock.monotonic() - started).as_secs_f64();
    }
    let bytes = operator.state_size().bytes;
    Ok((operator, seconds, bytes))
}

fn timers(world: &World, common: &Common, report: &mut Report) -> Result<()> {
    let (mut bytes, mut set, mut fired, mut growth) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..common.runs {
        let nanos = |seconds: f64, keys: i64| seconds * 1e9 / keys as f64;
        let mut figures = Vec::new();
        for keys in [FEW_KEYS, MANY_KEYS] {
            let (without, bare, bare_bytes) = fill(world, false, keys)?;
            let (mut with, timed, timed_bytes) = fill(world, true, keys)?;
            let mut out = Output::default();
            let started = world.clock.monotonic();
            with.on_watermark(EventTime(200 * SECOND), &mut out)?;
            let passed = (world.clock.monotonic() - started).as_secs_f64();
            let said: usize = out.rows.iter().map(Rows::len).sum();
            if said as i64 != keys {
                bail!("{said} of {keys} timers fired");
            }
            drop(without);
            let own_bytes = timed_bytes.saturating_sub(bare_bytes) as f64 / keys as f64;
            figures.push((own_bytes, nanos((timed - bare).max(0.0), keys), nanos(passed, keys)));
        }
        let (few, many) = (figures[0], figures[1]);
        bytes.push(many.0);
        set.push(many.1);
        fired.push(many.2);
        growth.push((many.1 + many.2) / (few.1 + few.2));
    }
    report.aimed("a timer, of a million, memory", median(bytes), "bytes", "under 100");
    report.figure("a timer, of a million, to set", median(set), "ns");
    report.figure("a timer, of a million, to fire, its row and all", median(fired), "ns");
    report.figure("a timer of a million / one of 10,000, time", median(growth), "");
    Ok(())
}
