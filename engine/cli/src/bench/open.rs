//! Opening: how long it takes until a large log is usable, after a graceful stop.

use std::sync::Arc;

use anyhow::Result;
use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use headwater_core::{ShardId, StreamName, World};
use headwater_log::{Append, DiskLog, DiskLogOptions, Durability, Log, StreamSpec};

use super::command::Common;
use super::report::{Report, median};

const ROWS_PER_BATCH: i64 = 1 << 20;

pub(crate) fn run(common: &Common, gib: u32) -> Result<Report> {
    let world = World::real();
    let dir = common.workspace()?;
    let mut report = Report::new("open");
    report.setup("runs", common.runs);

    let log = DiskLog::open(world.clone(), dir.path(), DiskLogOptions::default())?;
    let values: ArrayRef =
        Arc::new(Int64Array::from_iter_values((0..ROWS_PER_BATCH).map(|n| n.wrapping_mul(7919))));
    let rows = RecordBatch::try_from_iter([("n", values)])?;
    let mut spec = StreamSpec::new(StreamName::new("bench")?, rows.schema());
    spec.durability = Durability::Process;
    let stream = log.create_stream(spec)?.id;
    while log.metrics().bytes < u64::from(gib) << 30 {
        log.append(vec![Append::new(stream, ShardId(0), rows.clone())])?;
    }
    let bounds = log.bounds(stream)?;
    report.setup("log", format!("{gib} GiB in {} segments", log.segments(stream)?.len()));
    log.close()?;
    drop(log);

    let mut opened = Vec::new();
    for _ in 0..common.runs {
        let started = world.clock.monotonic();
        let log = DiskLog::open(world.clone(), dir.path(), DiskLogOptions::default())?;
        opened.push((world.clock.monotonic() - started).as_secs_f64() * 1e3);
        anyhow::ensure!(log.bounds(stream)? == bounds, "the log came back with other rows");
        log.close()?;
    }
    report.aimed("open", median(opened), "ms", "under 1,000 at 10 GiB");
    Ok(report)
}
