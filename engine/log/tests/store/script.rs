//! A life of a log, step by step, and what must be true of it at any moment.
//!
//! The script can be interrupted at any operation on the disk and goes on, after the log was opened again, with the
//! step that was not acknowledged. Every value is appended once to both shards of `pairs`, in one group.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, new_null_array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use headwater_core::world::World;
use headwater_core::{Epoch, ProducerId, Sequence, ShardId, StreamName};
use headwater_log::{Append, DiskLog, DiskLogOptions, Log, LogError, Producer, ReadSpec, Result, StreamSpec};

/// How large things are.
#[derive(Clone, Copy)]
pub struct Size {
    /// Rows of each append.
    pub rows: i64,
    /// When active files are full.
    pub segment_bytes: u64,
}

/// Batches so small that they are merged.
pub const SMALL: Size = Size { rows: 2, segment_bytes: 4096 };

/// Batches so large that the file is adopted.
pub const LARGE: Size = Size { rows: 4500, segment_bytes: 200 << 10 };

/// How often the script appends.
const APPENDS: i64 = 11;

/// How far the script is.
pub struct Script {
    size: Size,
    step: i64,
    evolved: bool,
    /// The value up to which everything was acknowledged.
    acked: i64,
    trimmed: Sequence,
}

impl Script {
    /// At the start.
    pub fn new(size: Size) -> Self {
        Self { size, step: 0, evolved: false, acked: 0, trimmed: Sequence(0) }
    }

    /// The settings that go with it.
    pub fn options(&self) -> DiskLogOptions {
        DiskLogOptions {
            segment_bytes: self.size.segment_bytes,
            scrub_bytes_per_second: 0,
            ..DiskLogOptions::default()
        }
    }

    /// Opens the log.
    pub fn open(&self, world: &World) -> Result<Arc<DiskLog>> {
        DiskLog::open(world.clone(), Path::new("/data"), self.options())
    }

    /// Whether only closing the log is left.
    pub fn is_closing(&self) -> bool {
        self.step > APPENDS + 1
    }

    /// Goes on until the end or the first error.
    pub fn run(&mut self, log: &dyn Log) -> Result<()> {
        while !self.is_closing() {
            self.one(log)?;
            self.step += 1;
        }
        log.close()
    }

    fn one(&mut self, log: &dyn Log) -> Result<()> {
        match self.step {
            0 => create(log, "pairs", 2)?,
            1 => create(log, "doomed", 1)?,
            step => self.append(log, step - 2)?,
        }
        match self.step {
            5 => log.set_fence(id(log, "pairs")?, ShardId(0), Some(7))?,
            7 => {
                log.evolve(id(log, "pairs")?, schema(true))?;
            }
            9 => {
                let pairs = id(log, "pairs")?;
                log.trim(pairs, ShardId(1), Sequence(3 * self.size.rows as u64))?;
                self.trimmed = log.bounds(pairs)?[1].first;
            }
            // It is gone already if the call that dropped it was not acknowledged.
            10 => {
                if let Ok(doomed) = log.stream_named("doomed") {
                    log.drop_stream(doomed.id)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn append(&mut self, log: &dyn Log, number: i64) -> Result<()> {
        let pairs = log.stream_named("pairs")?;
        self.evolved = pairs.schema_id.0 > 0;
        let values = number * self.size.rows..(number + 1) * self.size.rows;
        let rows = rows(values, self.evolved);
        let producer = Some(Producer { id: ProducerId(1), epoch: Epoch(1), sequence: number as u64 });
        let one = |shard| Append {
            producer,
            fence: (number > 3 && shard == 0).then_some(7),
            ..Append::new(pairs.id, ShardId(shard), rows.clone())
        };
        let mut group = vec![one(0), one(1)];
        if let Ok(doomed) = log.stream_named("doomed") {
            group.push(Append::new(doomed.id, ShardId(0), self::rows(0..1, false)));
        }
        let placed = log.append(group)?;
        assert_eq!(
            placed[0].first,
            Sequence((number * self.size.rows) as u64),
            "each value is appended once"
        );
        assert_eq!(placed[0].next, placed[1].next);
        assert_eq!(placed[0].duplicate, placed[1].duplicate, "a group is there as a whole or not at all");
        self.acked = (number + 1) * self.size.rows;
        Ok(())
    }

    /// What is acknowledged is there, once and in its place; what is there in one shard is there in the other.
    pub fn check(&self, log: &dyn Log) {
        let Ok(pairs) = log.stream_named("pairs") else {
            assert!(self.step == 0, "an acknowledged stream is lost");
            return;
        };
        let bounds = log.bounds(pairs.id).unwrap();
        assert_eq!(bounds[0].next, bounds[1].next, "a group is there as a whole or not at all");
        assert!(bounds[0].next.0 as i64 >= self.acked, "acknowledged rows are lost");
        assert!(bounds[1].first >= self.trimmed, "trimmed rows are back");
        for (shard, bounds) in (0..).map(ShardId).zip(bounds) {
            let values = read(log, ReadSpec::all(pairs.id, shard)).unwrap();
            let expected = bounds.first.0 as i64..bounds.next.0 as i64;
            assert!(values.into_iter().eq(expected), "each row is at its place, once");
        }
        assert!(pairs.schema_id.0 > 0 || self.step <= 7, "an acknowledged evolution is lost");
        assert!(log.stream_named("doomed").is_err() || self.step <= 10, "a dropped stream is back");
    }
}

/// All values of a shard.
pub fn read(log: &dyn Log, spec: ReadSpec) -> Result<Vec<i64>> {
    let mut reader = log.read(spec)?;
    let mut values = Vec::new();
    while let Some(batch) = reader.next()? {
        values.extend_from_slice(batch.rows.column(0).as_primitive::<Int64Type>().values());
    }
    Ok(values)
}

fn id(log: &dyn Log, name: &str) -> Result<headwater_core::StreamId> {
    log.stream_named(name).map(|info| info.id)
}

fn create(log: &dyn Log, name: &str, shards: u32) -> Result<()> {
    let spec = StreamSpec { shards, ..StreamSpec::new(StreamName::new(name).unwrap(), schema(false)) };
    match log.create_stream(spec) {
        // Created by a call that was not acknowledged.
        Ok(_) | Err(LogError::StreamExists { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// One column of numbers, and another one when evolved.
pub fn schema(evolved: bool) -> SchemaRef {
    let mut fields = vec![Field::new("value", DataType::Int64, false)];
    if evolved {
        fields.push(Field::new("more", DataType::Utf8, true));
    }
    Arc::new(Schema::new(fields))
}

/// Rows with these values.
pub fn rows(values: std::ops::Range<i64>, evolved: bool) -> RecordBatch {
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(values));
    let mut columns = vec![Arc::clone(&column)];
    if evolved {
        columns.push(new_null_array(&DataType::Utf8, column.len()));
    }
    RecordBatch::try_new(schema(evolved), columns).unwrap()
}
