//! Appends: rows of 1 KiB in batches of 1,000, durability `disk`.
//!
//! Beside it, in turns, a plain sequential write of the same number of bytes with the same number of fdatasync calls, through the
//! same [`headwater_core::world::Disk`]: the ratio says what the log costs. Then the same batches, each to the next of 1,000 shards: the
//! ratio to one shard says what many shards cost. Last the worst case: every batch scattered row by row over the 1,000 shards.

use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, ensure};
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use headwater_core::world::Open;
use headwater_core::{ShardId, StreamName, World};
use headwater_log::{Append, DiskLog, DiskLogOptions, Log, StreamSpec};

use super::command::Append as Asked;
use super::report::{Report, median};

const ROWS_PER_BATCH: usize = 1_000;
/// How many batches are under way at a time; the log commits what waits together.
const IN_FLIGHT: usize = 8;
const PAYLOAD: usize = 1_000;
const SHARDS_MANY: u32 = 1_000;

/// What one run took.
struct Taken {
    seconds: f64,
    bytes: u64,
    syncs: u64,
}

pub(crate) fn run(asked: &Asked) -> Result<Report> {
    let (common, batches) = (&asked.common, asked.batches as usize);
    let world = World::real();
    let dir = common.workspace()?;
    let mut report = Report::new("append");
    report.setup(
        "rows",
        format!("{batches} batches of {ROWS_PER_BATCH} rows of 1 KiB, decoded, durability disk"),
    );
    report.setup("in flight", format!("{IN_FLIGHT} batches"));
    report.setup("runs", common.runs);

    let batch = batch()?;
    let (mut one, mut plain, mut many) = (Vec::new(), Vec::new(), Vec::new());
    let (mut ratio_plain, mut ratio_many, mut ratio_scattered) = (Vec::new(), Vec::new(), Vec::new());
    let mut syncs = Vec::new();
    for run in 0..common.runs {
        let place = |name: &str| dir.path().join(format!("{name}-{run}"));
        let append = |name: &str, spread: Spread| append(&world, &place(name), &batch, batches, spread);
        let shard_one = append("one", Spread::Batches(1))?;
        let file = write_plainly(&world, &place("plain"), &shard_one)?;
        let shards = append("many", Spread::Batches(SHARDS_MANY))?;
        let scattered = append("scattered", Spread::Rows(SHARDS_MANY))?;
        let rows = (batches * ROWS_PER_BATCH) as f64;
        ratio_plain.push(file / shard_one.seconds);
        ratio_many.push(shard_one.seconds / shards.seconds);
        ratio_scattered.push(shard_one.seconds / scattered.seconds);
        one.push(rows / shard_one.seconds);
        plain.push(shard_one.bytes as f64 / file / 1e6);
        many.push(rows / shards.seconds);
        syncs.push(shard_one.syncs as f64);
    }
    report.figure("one shard", median(one), "rows/s");
    report.figure("syncs, one shard", median(syncs), "");
    report.figure("plain write, as many bytes and syncs", median(plain), "MB/s");
    report.aimed("one shard / plain write", median(ratio_plain), "", "at least 0.7");
    report.figure(format!("{SHARDS_MANY} shards"), median(many), "rows/s");
    report.aimed(format!("{SHARDS_MANY} shards / one shard"), median(ratio_many), "", "at least 0.5");
    let name = format!("one row to each of {SHARDS_MANY} shards / one shard");
    report.figure(name, median(ratio_scattered), "");
    Ok(report)
}

/// How batches are spread over shards.
#[derive(Clone, Copy)]
enum Spread {
    /// Each batch goes to the next of so many shards.
    Batches(u32),
    /// The rows of each batch go to so many shards in turn.
    Rows(u32),
}

/// Rows of 1 KiB: a time, a number, and a text that makes up the rest.
fn batch() -> Result<RecordBatch> {
    let rows = ROWS_PER_BATCH as i64;
    let schema: SchemaRef = Arc::new(Schema::new(vec![
        Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, None), false),
        Field::new("device", DataType::Int64, false),
        Field::new("payload", DataType::Utf8, false),
    ]));
    let payloads = (0..rows).map(|row| format!("{row:0PAYLOAD$}"));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampMillisecondArray::from_iter_values(0..rows)),
        Arc::new(Int64Array::from_iter_values(0..rows)),
        Arc::new(StringArray::from_iter_values(payloads)),
    ];
    Ok(RecordBatch::try_new(schema, columns)?)
}

/// Appends a batch so many times to a new log.
fn append(world: &World, dir: &Path, batch: &RecordBatch, batches: usize, spread: Spread) -> Result<Taken> {
    let (Spread::Batches(shards) | Spread::Rows(shards)) = spread;
    world.disk.create_dir(dir)?;
    let log = DiskLog::open(world.clone(), dir, DiskLogOptions::default())?;
    let mut spec = StreamSpec::new(StreamName::new("bench")?, batch.schema());
    spec.shards = shards;
    spec.event_time = Some("at".to_owned());
    let stream = log.create_stream(spec)?.id;
    let per_shard = ROWS_PER_BATCH / shards as usize;
    ensure!(per_shard * shards as usize == ROWS_PER_BATCH, "the rows of a batch are spread evenly");

    let before = log.metrics();
    let started = world.clock.monotonic();
    let mut under_way = std::collections::VecDeque::new();
    for nth in 0..batches {
        if under_way.len() == IN_FLIGHT
            && let Some(oldest) = under_way.pop_front()
        {
            let oldest: Box<dyn headwater_log::Pending> = oldest;
            oldest.wait()?;
        }
        let part = |shard: u32| batch.slice(shard as usize * per_shard, per_shard);
        let group = match spread {
            Spread::Batches(shards) => {
                vec![Append::new(stream, ShardId((nth % shards as usize) as u32), batch.clone())]
            }
            Spread::Rows(shards) => {
                (0..shards).map(|shard| Append::new(stream, ShardId(shard), part(shard))).collect()
            }
        };
        under_way.push_back(log.submit(group));
    }
    for pending in under_way {
        pending.wait()?;
    }
    let seconds = (world.clock.monotonic() - started).as_secs_f64();
    let after = log.metrics();
    log.close()?;
    ensure!(after.rows - before.rows == (batches * ROWS_PER_BATCH) as u64, "not all rows are there");
    Ok(Taken { seconds, bytes: after.bytes - before.bytes, syncs: after.syncs - before.syncs })
}

/// Writes as many bytes with as many syncs, and says how long it took.
fn write_plainly(world: &World, path: &Path, like: &Taken) -> Result<f64> {
    ensure!(like.syncs > 0, "durability disk without a sync");
    let file = world.disk.open(path, Open::Create)?;
    let part = usize::try_from(like.bytes / like.syncs)?;
    // Bytes that are not all the same, lest a clever disk leaves them out.
    let bytes: Vec<u8> =
        (0..part as u64).map(|at| (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect();
    let started = world.clock.monotonic();
    for nth in 0..like.syncs {
        file.write_all_at(&mut [IoSlice::new(&bytes)], nth * part as u64)?;
        file.sync()?;
    }
    Ok((world.clock.monotonic() - started).as_secs_f64())
}
