//! Which triggers a set has had, by its journal.
//!
//! A trigger comes between two steps. It has a row for each shard, with the number of the step before: `next` is the first row that
//! it judges, `watermark` the shard's own clock. It goes with a row of source -1.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BinaryArray, BooleanArray, Int32Array, Int64Array, RecordBatch,
    TimestampNanosecondArray,
};
use arrow::datatypes::Int64Type;
use headwater_core::{EventTime, Sequence, ShardId};
use headwater_log::{ColumnBound, From, Log, ReadSpec, StreamInfo};

use super::clock::ShardClock;
use super::eras::Eras;
use super::journal::{Journal, JournalReader, cut_of_row, member_of, schema, times};
use super::pipeline::ShardCut;
use crate::error::Result;

/// What a journal of a set says of one of its triggers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Membership {
    /// The number of the trigger's stream.
    pub id: i64,
    /// The step after which it came.
    pub step: u64,
    /// For each shard: the first row that it judges, and the shard's clock after that step.
    pub shards: Vec<(Sequence, ShardClock)>,
    /// The step after which it left, if it has.
    pub left: Option<u64>,
}

/// The rows that say that a trigger has come.
pub(crate) fn encode_coming(membership: &Membership) -> Result<RecordBatch> {
    let shards = &membership.shards;
    let row = |(nth, (next, clock)): (usize, &(Sequence, ShardClock))| {
        (0, nth as i32, ShardCut { next: *next, idle: clock.idle, ended: clock.ended }, clock.watermark)
    };
    member_rows(membership.id, membership.step, &shards.iter().enumerate().map(row).collect::<Vec<_>>())
}

/// The row that says that a trigger has gone.
pub(crate) fn encode_going(id: i64, step: u64) -> Result<RecordBatch> {
    let nothing = ShardCut { next: Sequence::ZERO, idle: false, ended: false };
    member_rows(id, step, &[(-1, -1, nothing, EventTime::MIN)])
}

fn member_rows(id: i64, step: u64, rows: &[(i32, i32, ShardCut, EventTime)]) -> Result<RecordBatch> {
    let count = rows.len();
    let clocks = TimestampNanosecondArray::from_iter_values(rows.iter().map(|row| row.3.0));
    Ok(RecordBatch::try_new(
        schema(),
        vec![
            Arc::new(Int64Array::from_value(step as i64, count)),
            Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.0))),
            Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.1))),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.2.next.0 as i64))),
            Arc::new(rows.iter().map(|row| Some(row.2.idle)).collect::<BooleanArray>()),
            Arc::new(rows.iter().map(|row| Some(row.2.ended)).collect::<BooleanArray>()),
            Arc::new(TimestampNanosecondArray::new_null(count).with_timezone("UTC")),
            Arc::new(clocks.with_timezone("UTC")),
            Arc::new(BinaryArray::new_null(count)),
            Arc::new(Int64Array::from_value(id, count)),
        ],
    )?)
}

/// What the journal of a set says of its triggers. It is read once, and then what has been added.
pub(crate) struct Roll {
    journal: Arc<StreamInfo>,
    /// All triggers that the set has had, in the order in which they came.
    all: Vec<Membership>,
    /// The place of each in it, by number.
    places: HashMap<i64, usize>,
    /// The first row of the journal that has not been read.
    next: Sequence,
    /// Reads the steps, for where the set was when its triggers came.
    steps: JournalReader,
    /// By step: where each shard was after it, and the watermark; as far as somebody came then.
    reached: BTreeMap<u64, (Vec<Sequence>, EventTime)>,
}

impl Roll {
    /// Opens the journal of a set.
    pub fn open(log: &dyn Log, set: &str, journal: Arc<StreamInfo>) -> Result<Self> {
        let all = Journal::of(Arc::clone(&journal));
        let steps = JournalReader::open(log, &all, set, 0, Vec::new(), &Eras::default())?;
        let (all, places, reached) = (Vec::new(), HashMap::new(), BTreeMap::new());
        Ok(Self { journal, all, places, next: Sequence::ZERO, steps, reached })
    }

    /// All triggers that the set has had, in the order in which they came.
    pub fn memberships(&self) -> &[Membership] {
        &self.all
    }

    /// The place of a trigger among them.
    pub fn place(&self, id: i64) -> Option<usize> {
        self.places.get(&id).copied()
    }

    /// Where the shards of the set's stream were when a trigger came, and what its watermark was.
    pub fn reached_at(&self, membership: &Membership) -> Option<(Vec<Sequence>, EventTime)> {
        self.reached.range(membership.step..).next().map(|(_, reached)| reached.clone())
    }

    /// Reads what has been added.
    pub fn follow(&mut self, log: &dyn Log) -> Result<()> {
        let Ok(column) = self.journal.spec.schema.index_of("member") else { return Ok(()) };
        let until = log.bounds(self.journal.id)?[0].next;
        if until == self.next {
            return Ok(());
        }
        let any: ArrayRef = Arc::new(Int64Array::from(vec![i64::MIN]));
        let mut reader = log.read(ReadSpec {
            from: From::Sequence(self.next),
            until: Some(until),
            bounds: vec![ColumnBound { column, min: Some(any), max: None }],
            ..ReadSpec::all(self.journal.id, ShardId(0))
        })?;
        while let Some(read) = reader.next()? {
            (0..read.rows.num_rows()).for_each(|row| self.note(&read.rows, row));
        }
        self.next = until;
        self.follow_steps(log)
    }

    fn note(&mut self, rows: &RecordBatch, row: usize) {
        let Some(id) = member_of(rows, row) else { return };
        let step = rows.column(0).as_primitive::<Int64Type>().value(row) as u64;
        let known = self.places.get(&id).and_then(|place| self.all.get_mut(*place));
        let Some((shard, cut)) = cut_of_row(rows, row) else {
            known.into_iter().for_each(|membership| membership.left = Some(step));
            return;
        };
        let clock = ShardClock { watermark: times(rows, row).1, idle: cut.idle, ended: cut.ended };
        match known {
            Some(membership) if membership.shards.len() == shard => membership.shards.push((cut.next, clock)),
            _ => {
                self.places.insert(id, self.all.len());
                self.all.push(Membership { id, step, shards: vec![(cut.next, clock)], left: None });
            }
        }
    }

    /// Reads the steps up to the last one after which somebody came.
    fn follow_steps(&mut self, log: &dyn Log) -> Result<()> {
        let read_to = self.reached.keys().next_back().copied();
        let mut wanted: Vec<u64> = self.all.iter().map(|membership| membership.step).collect();
        // Nobody comes after a step that lies before that of the one who came last.
        wanted.retain(|step| read_to.is_none_or(|read_to| *step > read_to));
        wanted.sort_unstable();
        let mut wanted = wanted.into_iter().peekable();
        if wanted.peek().is_none() {
            return Ok(());
        }
        self.steps.follow(log, &Journal::of(Arc::clone(&self.journal)))?;
        while let Some(next) = wanted.peek().copied() {
            let Some(entry) = self.steps.next()? else { return Ok(()) };
            if entry.step < next {
                continue;
            }
            while wanted.next_if(|step| *step <= entry.step).is_some() {}
            let shards = entry.cut.shards.first().into_iter().flatten().map(|cut| cut.next).collect();
            self.reached.insert(entry.step, (shards, entry.watermark));
        }
        Ok(())
    }
}
