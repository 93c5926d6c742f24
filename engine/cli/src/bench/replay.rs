//! Replay: a filter and a sum over two of ten columns, beside the same with all ten read; and a count from headers alone.
//!
//! The log is warm: what is measured is reading, checking and computing on one core, not the disk.

use std::sync::Arc;

use anyhow::{Result, ensure};
use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use headwater_core::{ShardId, StreamId, StreamName, World};
use headwater_log::{Append, DiskLog, DiskLogOptions, Durability, Log, ReadSpec, StreamSpec};

use super::command::Replay;
use super::report::{Report, median};

const COLUMNS: usize = 10;
const ROWS_PER_BATCH: i64 = 65_536;
/// The first column is below this in a quarter of the rows.
const BELOW: i64 = 25;

pub(crate) fn run(asked: &Replay) -> Result<Report> {
    let (common, batches) = (&asked.common, i64::from(asked.batches));
    let count = ROWS_PER_BATCH * batches;
    let world = World::real();
    let dir = common.workspace()?;
    let mut report = Report::new("replay");
    report.setup("rows", format!("{count} of {COLUMNS} BIGINT columns, batches of {ROWS_PER_BATCH}, warm"));
    report.setup("query", format!("SELECT SUM(c1) WHERE c0 < {BELOW}, one core"));
    report.setup("runs", common.runs);

    let log = DiskLog::open(world.clone(), dir.path(), DiskLogOptions::default())?;
    let stream = fill(&*log, batches)?;
    let expected = run_once(&*log, stream, None)?;
    let (mut two, mut ten, mut counting) = (Vec::new(), Vec::new(), Vec::new());
    let (mut ratio, mut ratio_read) = (Vec::new(), Vec::new());
    for _ in 0..common.runs {
        let timed = |work: &dyn Fn() -> Result<i64>, result: i64| -> Result<f64> {
            let started = world.clock.monotonic();
            ensure!(work()? == result, "a wrong result");
            Ok((world.clock.monotonic() - started).as_secs_f64())
        };
        let pruned = timed(&|| run_once(&*log, stream, Some(vec![0, 1])), expected)?;
        let whole = timed(&|| run_once(&*log, stream, None), expected)?;
        let read_pruned = timed(&|| count_rows(&*log, stream, Some(vec![0, 1])), count)?;
        let read_whole = timed(&|| count_rows(&*log, stream, None), count)?;
        let headers = timed(&|| count_rows(&*log, stream, Some(Vec::new())), count)?;
        two.push(count as f64 / pruned);
        ten.push(count as f64 / whole);
        counting.push(headers * 1e3);
        ratio.push(whole / pruned);
        ratio_read.push(read_whole / read_pruned);
    }
    log.close()?;
    report.aimed("two of ten columns, filter and sum", median(two), "rows/s", "at least 50,000,000");
    report.figure("all ten columns, filter and sum", median(ten), "rows/s");
    report.aimed("two columns / all ten", median(ratio), "", "at least 4");
    report.figure("two columns / all ten, read and verified alone", median(ratio_read), "");
    report.figure("COUNT(*) from headers", median(counting), "ms");
    Ok(report)
}

fn fill(log: &dyn Log, batches: i64) -> Result<StreamId> {
    let fields: Vec<_> =
        (0..COLUMNS).map(|at| Field::new(format!("c{at}"), DataType::Int64, false)).collect();
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let mut spec = StreamSpec::new(StreamName::new("bench")?, Arc::clone(&schema));
    spec.durability = Durability::Process;
    let stream = log.create_stream(spec)?.id;
    for batch in 0..batches {
        let base = batch * ROWS_PER_BATCH;
        let column = |at: usize| -> ArrayRef {
            let value = |row: i64| {
                if at == 0 { (base + row).wrapping_mul(7919) % 100 } else { base + row + at as i64 }
            };
            Arc::new(Int64Array::from_iter_values((0..ROWS_PER_BATCH).map(value)))
        };
        let rows = RecordBatch::try_new(Arc::clone(&schema), (0..COLUMNS).map(column).collect())?;
        log.append(vec![Append::new(stream, ShardId(0), rows)])?;
    }
    Ok(stream)
}

/// The query over the columns that are read; the two that it needs come first.
fn run_once(log: &dyn Log, stream: StreamId, projection: Option<Vec<usize>>) -> Result<i64> {
    let mut spec = ReadSpec::all(stream, ShardId(0));
    spec.until = Some(log.bounds(stream)?[0].next);
    spec.projection = projection;
    let mut reader = log.read(spec)?;
    let mut total = 0_i64;
    while let Some(batch) = reader.next()? {
        let values = |column: usize| batch.rows.column(column).as_primitive::<Int64Type>().values();
        let kept = values(0).iter().zip(values(1)).map(|(key, value)| if *key < BELOW { *value } else { 0 });
        total = kept.fold(total, i64::wrapping_add);
    }
    Ok(total)
}

/// Reads columns and counts the rows; without columns, from the headers.
fn count_rows(log: &dyn Log, stream: StreamId, projection: Option<Vec<usize>>) -> Result<i64> {
    let mut spec = ReadSpec::all(stream, ShardId(0));
    spec.until = Some(log.bounds(stream)?[0].next);
    spec.projection = projection;
    let mut reader = log.read(spec)?;
    let mut rows = 0;
    while let Some(batch) = reader.next()? {
        rows += batch.rows.num_rows() as i64;
    }
    Ok(rows)
}
