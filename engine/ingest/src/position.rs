//! Where sources and sinks stand: a stream that is folded to its newest rows.
//!
//! Each row says that from step (epoch, step) on an owner's partition is to be resumed at a position. The newest step wins, so
//! that rows may be repeated: now and then the newest rows are appended once more, and all before them trimmed.
//!
//! Appends carry a producer made of owner, epoch and step. So an owner that was started anew fences off what is left of its
//! former self: the log refuses the older epoch, together with the whole group. It does so by a row of its own ([`Marks::claim`]),
//! before it reads where it stands: what the former self still had under way is then either seen or refused.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use headwater_core::hash::hash_rows;
use headwater_core::{Epoch, ProducerId, Sequence, ShardId, StreamId};
use headwater_log::{Append, From as ReadFrom, Log, Producer, ReadSpec};

use crate::dead_letter::system_stream;
use crate::error::Result;

/// The stream of the places of sources, in the outside world.
pub const POSITIONS: &str = "system.positions";

/// The stream of the places of sinks, in the streams that they deliver.
pub const CURSORS: &str = "system.cursors";

/// How many rows may lie in the stream before they are folded.
const ROWS_BEFORE_COMPACTION: u64 = 50_000;

const SHARD: ShardId = ShardId(0);

/// The partition of the row by which an incarnation begins. It has no position.
const CLAIM: &str = "";

/// Where one partition is to be resumed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mark {
    /// The partition, as its owner names it.
    pub partition: String,
    /// The position, as its owner writes it.
    pub position: String,
}

/// Where an owner stands.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Place {
    /// The incarnation that wrote last.
    pub epoch: Epoch,
    /// The step that was written last.
    pub step: u64,
    /// The position of each partition.
    pub positions: BTreeMap<String, String>,
}

/// One step of an owner, which is a source or a sink and no job: from here on its partitions are to be resumed at these marks.
#[derive(Clone, Debug)]
pub struct SourceStep {
    /// The owner, such as the name of a source; unique in the stream of marks.
    pub source: String,
    /// Which incarnation of the owner; a newer one fences off the older.
    pub epoch: Epoch,
    /// The number of the step in that incarnation; it grows.
    pub step: u64,
    /// Where each partition that has moved is to be resumed.
    pub marks: Vec<Mark>,
}

/// The places of all sources, or of all sinks.
pub struct Marks {
    log: Arc<dyn Log>,
    stream: StreamId,
    fold: Mutex<Fold>,
}

/// The newest row of each partition, up to a sequence number.
#[derive(Default)]
struct Fold {
    next: Sequence,
    newest: BTreeMap<(String, String), Newest>,
}

/// `position` is `None` for a partition that was forgotten.
struct Newest {
    at: (Epoch, u64),
    position: Option<String>,
}

impl Marks {
    /// Opens the stream of this name, [`POSITIONS`] or [`CURSORS`]; creates it if it is not there.
    pub fn open(log: Arc<dyn Log>, name: &str) -> Result<Self> {
        let stream = system_stream(log.as_ref(), name, schema())?.id;
        Ok(Self { log, stream, fold: Mutex::default() })
    }

    /// Where an owner stands: what was committed until now.
    pub fn place(&self, owner: &str) -> Result<Place> {
        let mut fold = self.fold.lock().unwrap_or_else(PoisonError::into_inner);
        self.catch_up(&mut fold)?;
        let mut place = Place::default();
        for ((name, partition), newest) in &fold.newest {
            if name == owner {
                (place.epoch, place.step) = newest.at.max((place.epoch, place.step));
                if let Some(position) = &newest.position {
                    place.positions.insert(partition.clone(), position.clone());
                }
            }
        }
        Ok(place)
    }

    /// Begins a new incarnation of an owner: fences off the one before, and answers where that got to. What the former one has under
    /// way is either in the answer already or will be refused by the log.
    pub fn claim(&self, owner: &str) -> Result<Place> {
        let before = self.place(owner)?;
        let (epoch, step) = (Epoch(before.epoch.0 + 1), before.step + 1);
        let rows = batch(&[(owner, CLAIM, None, (epoch, step))])?;
        let producer = Producer { id: producer_of("marks", owner)?, epoch, sequence: step };
        self.log
            .append(vec![Append { producer: Some(producer), ..Append::new(self.stream, SHARD, rows) }])?;
        self.place(owner)
    }

    /// The append that stores a step; to be submitted in the same group as the rows.
    pub fn append_of(&self, step: &SourceStep) -> Result<Append> {
        let rows: Vec<_> = step
            .marks
            .iter()
            .map(|mark| {
                (
                    step.source.as_str(),
                    mark.partition.as_str(),
                    Some(mark.position.as_str()),
                    (step.epoch, step.step),
                )
            })
            .collect();
        let producer =
            Producer { id: producer_of("marks", &step.source)?, epoch: step.epoch, sequence: step.step };
        Ok(Append { producer: Some(producer), ..Append::new(self.stream, SHARD, batch(&rows)?) })
    }

    /// Stores a step by itself.
    pub fn store(&self, step: &SourceStep) -> Result<()> {
        self.log.append(vec![self.append_of(step)?])?;
        self.compact_if_long()
    }

    /// Forgets an owner: the next of this name starts at the beginning.
    pub fn forget(&self, owner: &str) -> Result<()> {
        let place = self.place(owner)?;
        if place.positions.is_empty() {
            return Ok(());
        }
        let at = (place.epoch, place.step + 1);
        let rows: Vec<_> =
            place.positions.keys().map(|partition| (owner, partition.as_str(), None, at)).collect();
        self.log.append(vec![Append::new(self.stream, SHARD, batch(&rows)?)])?;
        Ok(())
    }

    /// Appends the newest rows once more and trims all before them, if there are many.
    pub fn compact_if_long(&self) -> Result<()> {
        let bounds = self.log.bounds(self.stream)?[SHARD.0 as usize];
        if bounds.next.0 - bounds.first.0 < ROWS_BEFORE_COMPACTION {
            return Ok(());
        }
        let mut fold = self.fold.lock().unwrap_or_else(PoisonError::into_inner);
        self.catch_up(&mut fold)?;
        fold.newest.retain(|(_, partition), newest| newest.position.is_some() || partition == CLAIM);
        let rows: Vec<_> = fold
            .newest
            .iter()
            .map(|((owner, partition), newest)| {
                (owner.as_str(), partition.as_str(), newest.position.as_deref(), newest.at)
            })
            .collect();
        self.log.append(vec![Append::new(self.stream, SHARD, batch(&rows)?)])?;
        // Everything before this was folded into the rows just appended; what came in between is kept.
        self.log.trim(self.stream, SHARD, fold.next)?;
        Ok(())
    }

    fn catch_up(&self, fold: &mut Fold) -> Result<()> {
        let bounds = self.log.bounds(self.stream)?[SHARD.0 as usize];
        let from = fold.next.max(bounds.first);
        let spec = ReadSpec {
            from: ReadFrom::Sequence(from),
            until: Some(bounds.next),
            ..ReadSpec::all(self.stream, SHARD)
        };
        let mut reader = self.log.read(spec)?;
        while let Some(batch) = reader.next()? {
            fold.take(&batch.rows);
        }
        fold.next = bounds.next;
        Ok(())
    }
}

impl Fold {
    fn take(&mut self, rows: &RecordBatch) {
        let text = |column: usize| rows.column(column).as_string::<i32>();
        let number = |column: usize| rows.column(column).as_primitive::<Int64Type>();
        let (owners, partitions, positions) = (text(0), text(1), text(2));
        let (epochs, steps) = (number(3), number(4));
        for row in 0..rows.num_rows() {
            let at = (
                Epoch(u32::try_from(epochs.value(row)).unwrap_or(u32::MAX)),
                steps.value(row).cast_unsigned(),
            );
            let key = (owners.value(row).to_owned(), partitions.value(row).to_owned());
            if self.newest.get(&key).is_none_or(|newest| newest.at <= at) {
                let position = positions.is_valid(row).then(|| positions.value(row).to_owned());
                self.newest.insert(key, Newest { at, position });
            }
        }
    }
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        // Whose place this is: the name of a source or a sink.
        Field::new("owner", DataType::Utf8, false),
        // The partition, as its owner names it.
        Field::new("partition", DataType::Utf8, false),
        // Where it is to be resumed; NULL: it was forgotten.
        Field::new("position", DataType::Utf8, true),
        // Which incarnation of the owner wrote this.
        Field::new("epoch", DataType::Int64, false),
        // Which step of that incarnation.
        Field::new("step", DataType::Int64, false),
    ]))
}

fn batch(rows: &[(&str, &str, Option<&str>, (Epoch, u64))]) -> Result<RecordBatch> {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0))),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.1))),
        Arc::new(StringArray::from_iter(rows.iter().map(|row| row.2))),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| i64::from(row.3.0.0)))),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.3.1.cast_signed()))),
    ];
    Ok(RecordBatch::try_new(schema(), columns)?)
}

/// The producer of a name; kinds keep their producers apart.
pub(crate) fn producer_of(kind: &str, name: &str) -> Result<ProducerId> {
    let text: ArrayRef = Arc::new(StringArray::from_iter_values([format!("{kind}\0{name}")]));
    Ok(ProducerId(hash_rows(&[text])?[0]))
}
