//! A count by key over as many events for each number of keys: in a window, and updating, into a black hole and into a view.
//!
//! The events are in the log before the time starts, and the stream has ended. Each key has as many events as any other, and they come in
//! an order in which neighbours are far apart. The window is one that holds all events, so that each key is said once.
//!
//! Where keys are many and events few, most of what is measured is the beginning and the end: a new key for every other event, and a result
//! for it. So where a key has only a few events the count is done once more with as many as show what an event costs of a key that is
//! known.

use std::sync::Arc;

use anyhow::{Result, ensure};
use arrow::array::{ArrayRef, Int64Array, TimestampMillisecondArray};
use headwater_core::ShardId;
use headwater_log::Append;
use headwater_run::{Engine, JobState, fit_columns};

use super::super::process::cpu_seconds;
use super::super::report::{Report, median};
use super::command::{Growth, counted, until};
use crate::memory;

const ROWS_PER_BATCH: u64 = 50_000;

/// Primes, larger than any number of keys: the multiples of one visit all keys before one comes again. Each time round it is another one,
/// so that keys come in another order.
const STRIDES: [u64; 4] = [2_654_435_761, 3_266_489_917, 668_265_263, 374_761_393];

const STREAM: &str = "\
CREATE STREAM events (device BIGINT NOT NULL, ts TIMESTAMP(3) NOT NULL, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND)
  WITH ('clock.guard' = 'none', durability = process);
CREATE TABLE nowhere (device BIGINT, n BIGINT) WITH (connector = 'blackhole');";

/// How many of [`FORMS`] are done once more.
const STEADY_FORMS: usize = 2;

/// Its name, the statement that starts it and the one that ends it.
const FORMS: [[&str; 3]; 3] = [
    [
        "in a window",
        "CREATE JOB growth AS INSERT INTO nowhere SELECT device, COUNT(*) AS n
           FROM TABLE(TUMBLE(TABLE events, DESCRIPTOR(ts), INTERVAL '365' DAY)) GROUP BY device, window_start, window_end",
        "DROP JOB growth",
    ],
    [
        "updating",
        "CREATE JOB growth AS INSERT INTO nowhere SELECT device, COUNT(*) AS n FROM events GROUP BY device",
        "DROP JOB growth",
    ],
    [
        "updating a view",
        "CREATE MATERIALIZED VIEW growth AS SELECT device, COUNT(*) AS n FROM events GROUP BY device",
        "DROP MATERIALIZED VIEW growth",
    ],
];

/// What one run of a query took.
struct Taken {
    nanos_per_event: f64,
    rows_out: u64,
    state: u64,
    /// The most that the process held, in bytes.
    memory: u64,
}

pub(super) async fn run(args: &Growth, report: &mut Report) -> Result<()> {
    report.setup("events counted", format!("{}, two columns, in the log", counted(args.events)));
    // By number of keys, run and form.
    let mut taken: Vec<Vec<Vec<Taken>>> = Vec::new();
    for keys in &args.keys {
        let mut runs = Vec::new();
        for _ in 0..args.common.runs {
            runs.push(count(args, args.events, *keys, &FORMS).await?);
        }
        taken.push(runs);
    }
    for (nth, [form, ..]) in FORMS.iter().enumerate() {
        for (keys, runs) in args.keys.iter().zip(&taken) {
            let of = |what: fn(&Taken) -> f64| median(runs.iter().map(|forms| what(&forms[nth])).collect());
            let name = format!("{form}, {} keys", counted(*keys));
            report.figure(format!("{name}, CPU for an event"), of(|taken| taken.nanos_per_event), "ns");
            report.figure(format!("{name}, rows out"), of(|taken| taken.rows_out as f64), "");
            report.figure(format!("{name}, state at its end"), of(|taken| taken.state as f64 / 1e6), "MB");
            report.aimed(
                format!("{name}, memory at most"),
                of(|taken| taken.memory as f64 / 1e6),
                "MB",
                "under 16,000",
            );
        }
        for (keys, runs) in args.keys.iter().zip(&taken).skip(1) {
            let ratios = runs.iter().zip(&taken[0]).map(|(own, few)| {
                let (own, few): (&Taken, &Taken) = (&own[nth], &few[nth]);
                own.nanos_per_event / few.nanos_per_event
            });
            let name = format!("{form}, {} / {} keys, CPU", counted(*keys), counted(args.keys[0]));
            report.aimed(name, median(ratios.collect()), "", "at most 2");
        }
    }
    for keys in args.keys.iter().filter(|keys| args.events < *keys * args.steady) {
        steady(args, *keys, &taken[0], report).await?;
    }
    Ok(())
}

/// The same with more events for each key, beside a few keys.
async fn steady(args: &Growth, keys: u64, few: &[Vec<Taken>], report: &mut Report) -> Result<()> {
    let forms = &FORMS[..STEADY_FORMS];
    let mut runs = Vec::new();
    for _ in 0..args.common.runs {
        runs.push(count(args, keys * args.steady, keys, forms).await?);
    }
    for (nth, [form, ..]) in forms.iter().enumerate() {
        let name = format!("{form}, {} keys of {} events each", counted(keys), args.steady);
        let nanos = runs.iter().map(|forms| forms[nth].nanos_per_event).collect();
        report.figure(format!("{name}, CPU for an event"), median(nanos), "ns");
        let rows = runs.iter().map(|forms| forms[nth].rows_out as f64).collect();
        report.figure(format!("{name}, rows out"), median(rows), "");
        let pairs = runs.iter().zip(few);
        let ratios = pairs.map(|(own, few)| own[nth].nanos_per_event / few[nth].nanos_per_event);
        let name = format!("{name} / {} keys, CPU", counted(args.keys[0]));
        report.aimed(name, median(ratios.collect()), "", "at most 2");
    }
    Ok(())
}

/// Runs each form over the same events.
async fn count(args: &Growth, events: u64, keys: u64, forms: &[[&str; 3]]) -> Result<Vec<Taken>> {
    ensure!((1..STRIDES[3]).contains(&keys), "1 to {} keys, not {keys}", STRIDES[3] - 1);
    let dir = args.common.workspace()?;
    let engine = args.open(dir.path())?;
    engine.execute(STREAM).await?;
    append(&engine, events, keys)?;
    engine.end_stream_here("events")?;
    let mut taken = Vec::new();
    for [_, start, end] in forms {
        memory::forget_peak();
        let cpu = cpu_seconds()?;
        engine.execute(start).await?;
        let job = until(&engine, "growth", |job| job.state == JobState::Finished).await?;
        let seconds = cpu_seconds()? - cpu;
        ensure!(job.rows_in == events, "{} of {events} events were counted", job.rows_in);
        ensure!(job.rows_out >= keys.min(events), "{} rows say {keys} keys", job.rows_out);
        taken.push(Taken {
            nanos_per_event: seconds * 1e9 / events as f64,
            rows_out: job.rows_out,
            state: job.state_bytes,
            memory: memory::peak().unwrap_or_default(),
        });
        engine.execute(end).await?;
    }
    engine.close().await?;
    Ok(taken)
}

/// The key of an event.
fn key(row: u64, keys: u64) -> i64 {
    let (round, nth) = (row / keys, row % keys);
    (nth * STRIDES[round as usize % STRIDES.len()] % keys) as i64
}

fn append(engine: &Engine, events: u64, keys: u64) -> Result<()> {
    let info = engine.log().stream_named("events")?;
    for from in (0..events).step_by(ROWS_PER_BATCH as usize) {
        let rows = from..(from + ROWS_PER_BATCH).min(events);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(rows.clone().map(|row| key(row, keys)))),
            // Ten thousand a second.
            Arc::new(TimestampMillisecondArray::from_iter_values(rows.map(|row| row as i64 / 10))),
        ];
        let rows = fit_columns(&info.spec.schema, columns)?;
        engine.log().append(vec![Append::new(info.id, ShardId(0), rows)])?;
    }
    Ok(())
}
