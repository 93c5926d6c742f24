//! Alarms: 100,000 of them with periods of a minute over one stream, on one core.
//!
//! The first figure is their evaluation alone: the points of a minute in, their evaluations as rows out. The second is all of it: rows
//! of a stream in the log, windows, alarms, the step appended to the log and acknowledged.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray};
use headwater_core::{EventTime, ShardId, World};
use headwater_decide::alarm::{AlarmRule, Comparison, LowSamples, MissingData, Statistic, Timing};
use headwater_log::Append;
use headwater_operators::decide::{AlarmSpec, Report as Says, alarm_points_schema};
use headwater_operators::{OperatorSpec, Output, Rows};
use headwater_run::{Engine, EngineOptions, NoConnectors, fit_columns};

use super::command::Common;
use super::report::{Report, median};

const ALARMS: usize = 100_000;
const MINUTES: i64 = 10;
const MINUTE: i64 = 60_000_000_000;

const JOB: &str = "\
CREATE STREAM bench_in (device BIGINT NOT NULL, ts TIMESTAMP NOT NULL, value DOUBLE NOT NULL, WATERMARK FOR ts AS ts)
  WITH ('clock.guard' = 'none', durability = memory);
CREATE ALARM bench ON bench_in STATISTIC average(value) PERIOD '1 minute' DIMENSIONS (device)
  WITH (comparison = '>', threshold = 70, evaluation_periods = 3, datapoints_to_alarm = 2);";

pub(crate) fn run(common: &Common) -> Result<Report> {
    let world = World::real();
    let mut report = Report::new("alarms");
    report.setup("alarms", format!("{ALARMS}, each with a point a minute, 2 of 3 over the threshold"));
    report.setup("threads", 1);
    report.setup("runs", common.runs);
    let (mut evaluated, mut whole) = (Vec::new(), Vec::new());
    for _ in 0..common.runs {
        evaluated.push(evaluate(&world)?);
        whole.push(through_the_engine(&world)?);
    }
    report.aimed("all evaluated for one minute", median(evaluated), "s", "at most 1");
    report.figure("rows in the log to evaluations in the log, one minute", median(whole), "s");
    Ok(report)
}

/// A metric that goes up and down, each device at its own time.
fn value(device: usize, minute: i64) -> f64 {
    ((device as i64 * 7 + minute * 13) % 100) as f64
}

/// Seconds for each minute of points.
fn evaluate(world: &World) -> Result<f64> {
    let rule = AlarmRule {
        comparison: Comparison::Greater,
        threshold: 70.0,
        periods: 3,
        to_alarm: 2,
        missing: MissingData::Missing,
        low_samples: LowSamples::Evaluate,
    };
    let spec = AlarmSpec {
        name: "bench".into(),
        subject: "Average(value)".into(),
        rule,
        timing: Timing::of_metric(Duration::from_secs(60))?,
        statistic: Some(Statistic::Average),
        report: Says::Evaluations,
        insists: false,
    };
    let mut operator = spec.instantiate()?;
    let names: ArrayRef =
        Arc::new(StringArray::from_iter_values((0..ALARMS).map(|device| format!("device={device}"))));
    let mut seconds = Vec::new();
    for minute in 1..=MINUTES {
        let values = (0..ALARMS).map(|device| value(device, minute));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(TimestampNanosecondArray::from_value(minute * MINUTE, ALARMS)),
            Arc::clone(&names),
            Arc::new(Float64Array::from_iter_values(values)),
            Arc::new(Int64Array::from_value(1, ALARMS)),
        ];
        let points = RecordBatch::try_new(alarm_points_schema(), columns)?;
        let mut out = Output::default();
        let started = world.clock.monotonic();
        operator.on_batch(0, Rows::new(points), &mut out)?;
        operator.on_watermark(EventTime(minute * MINUTE), &mut out)?;
        seconds.push((world.clock.monotonic() - started).as_secs_f64());
        let said: usize = out.rows.iter().map(Rows::len).sum();
        ensure!(said == ALARMS, "{said} evaluations in minute {minute}");
    }
    Ok(median(seconds))
}

/// Seconds for each minute of rows, in memory.
fn through_the_engine(world: &World) -> Result<f64> {
    let options =
        EngineOptions { step_rows_max: 1_000_000, step_bytes_max: 1 << 30, ..EngineOptions::in_memory() };
    let runtime = tokio::runtime::Handle::current();
    let engine = Engine::open_on(runtime, world.clone(), options, Arc::new(NoConnectors))?;
    engine.define_here(JOB)?;
    let info = engine.log().stream_named("bench_in")?;
    let started = world.clock.monotonic();
    for minute in 0..=MINUTES {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(0..ALARMS as i64)),
            Arc::new(TimestampNanosecondArray::from_value(minute * MINUTE, ALARMS)),
            Arc::new(Float64Array::from_iter_values((0..ALARMS).map(|device| value(device, minute)))),
        ];
        let rows = fit_columns(&info.spec.schema, columns)?;
        engine.log().append(vec![Append::new(info.id, ShardId(0), rows)])?;
    }
    let history = engine.log().stream_named(headwater_plan::ALARM_HISTORY)?.id;
    let expect = ALARMS as u64 * MINUTES as u64;
    while engine.log().bounds(history)?[0].next.0 < expect {
        let failed = engine.jobs().into_iter().find_map(|job| job.error);
        ensure!(failed.is_none(), "the alarm failed: {failed:?}");
        std::thread::yield_now();
    }
    let seconds = (world.clock.monotonic() - started).as_secs_f64() / MINUTES as f64;
    engine.close_here()?;
    Ok(seconds)
}
