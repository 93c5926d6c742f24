//! Which triggers a set has had, by its journal.
//!
//! A trigger comes between two steps. It has a row for each shard, with the number of the step before: `next` is the first row that
//! it judges, `watermark` the shard's own clock. It goes with a row of source -1.
//!
//! ```text
//!   journal   | t1 comes, t2 comes … t1 goes │ … steps …    | t1 was, t2 is │
//!             '- before these lines may go ──'  they are written down again -'
//! ```
//!
//! What is carried over of a trigger, whenever the journal's first lines are to go ([`super::trim`]):
//!
//! | source | shard | next | watermark |
//! |---|---|---|---|
//! | -3 | its rank | the step after which it came | the set's then |
//! | 0 | each | the first row that it judges | the shard's clock then |
//! | 1 | each | where the set was then | |
//! | -4, if it has left | -1 | the step after which it did | |
//!
//! `step` in them is that of the line before. A trigger's rank is its place among all that came to the set, from 1: one that comes has the
//! next. Those that were dropped are not carried over, but for the one of the greatest rank.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BinaryArray, BooleanArray, Int32Array, Int64Array, RecordBatch,
    TimestampNanosecondArray,
};
use arrow::datatypes::{Int32Type, Int64Type};
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
    /// Its place among all that came to the set, from 1.
    pub rank: u32,
    /// The step after which it came.
    pub step: u64,
    /// For each shard: the first row that it judges, and the shard's clock after that step.
    pub shards: Vec<(Sequence, ShardClock)>,
    /// The step after which it left, if it has.
    pub left: Option<u64>,
}

/// The source in the first row of a trigger that is carried over.
const CARRIED: i32 = -3;

/// The source in the row of one that has left.
const LEFT: i32 = -4;

/// The source in rows that say where the set was.
const REACHED: i32 = 1;

/// So many triggers are carried over at once.
const CARRIED_AT_ONCE: usize = 1_024;

const NOTHING: ShardCut = ShardCut { next: Sequence::ZERO, idle: false, ended: false };

/// A row of a journal that is about a trigger.
struct Row {
    member: i64,
    source: i32,
    shard: i32,
    cut: ShardCut,
    time: EventTime,
}

/// The rows that say that a trigger has come.
pub(crate) fn encode_coming(membership: &Membership) -> Result<RecordBatch> {
    encode(membership.step, &first_rows(membership).collect::<Vec<_>>())
}

/// The row that says that a trigger has gone.
pub(crate) fn encode_going(id: i64, step: u64) -> Result<RecordBatch> {
    encode(step, &[Row { member: id, source: -1, shard: -1, cut: NOTHING, time: EventTime::MIN }])
}

fn first_rows(membership: &Membership) -> impl Iterator<Item = Row> + '_ {
    membership.shards.iter().enumerate().map(|(shard, (next, clock))| Row {
        member: membership.id,
        source: 0,
        shard: shard as i32,
        cut: ShardCut { next: *next, idle: clock.idle, ended: clock.ended },
        time: clock.watermark,
    })
}

/// All that is to be known of a trigger; `reached`: where the set was when it came.
fn carried_rows(membership: &Membership, reached: &(Vec<Sequence>, EventTime)) -> Vec<Row> {
    let row = |source: i32, shard: i32, next: Sequence| {
        let cut = ShardCut { next, ..NOTHING };
        Row { member: membership.id, source, shard, cut, time: EventTime::MIN }
    };
    let (places, watermark) = reached;
    let mut rows =
        vec![Row { time: *watermark, ..row(CARRIED, membership.rank as i32, Sequence(membership.step)) }];
    rows.extend(first_rows(membership));
    rows.extend(places.iter().enumerate().map(|(shard, next)| row(REACHED, shard as i32, *next)));
    rows.extend(membership.left.map(|left| row(LEFT, -1, Sequence(left))));
    rows
}

fn encode(step: u64, rows: &[Row]) -> Result<RecordBatch> {
    let count = rows.len();
    let times = TimestampNanosecondArray::from_iter_values(rows.iter().map(|row| row.time.0));
    Ok(RecordBatch::try_new(
        schema(),
        vec![
            Arc::new(Int64Array::from_value(step as i64, count)),
            Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.source))),
            Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.shard))),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.cut.next.0 as i64))),
            Arc::new(rows.iter().map(|row| Some(row.cut.idle)).collect::<BooleanArray>()),
            Arc::new(rows.iter().map(|row| Some(row.cut.ended)).collect::<BooleanArray>()),
            Arc::new(TimestampNanosecondArray::new_null(count).with_timezone("UTC")),
            Arc::new(times.with_timezone("UTC")),
            Arc::new(BinaryArray::new_null(count)),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.member))),
        ],
    )?)
}

/// What the journal of a set says of its triggers. It is read once, and then what has been added.
pub(crate) struct Roll {
    set: String,
    journal: Arc<StreamInfo>,
    /// All triggers that the set has had, but for those that went long ago.
    all: Vec<Membership>,
    /// For each of them: where the newest row begins that says who it is.
    stated: Vec<Sequence>,
    newest_rank: u32,
    /// The place of each in it, by number.
    places: HashMap<i64, usize>,
    /// The first row of the journal that has not been read.
    next: Sequence,
    /// Reads the steps, for where the set was when its triggers came.
    steps: JournalReader,
    /// Where the journal began when it was opened.
    first: Sequence,
    /// By step: where each shard was after it, and the watermark; as far as somebody came then.
    reached: BTreeMap<u64, (Vec<Sequence>, EventTime)>,
}

impl Roll {
    /// Opens the journal of a set.
    pub fn open(log: &dyn Log, set: &str, journal: Arc<StreamInfo>) -> Result<Self> {
        let all = Journal::of(Arc::clone(&journal));
        let steps = JournalReader::open(log, &all, set, 0, Vec::new(), &Eras::default())?;
        let first = log.bounds(journal.id)?[0].first;
        Ok(Self {
            set: set.to_owned(),
            journal,
            all: Vec::new(),
            stated: Vec::new(),
            newest_rank: 0,
            places: HashMap::new(),
            next: Sequence::ZERO,
            steps,
            first,
            reached: BTreeMap::new(),
        })
    }

    /// The journal.
    pub fn journal(&self) -> &StreamInfo {
        &self.journal
    }

    /// The rank of the trigger that came last; 0: none has.
    pub fn newest_rank(&self) -> u32 {
        self.newest_rank
    }

    /// All triggers that the set has had, but for some that were dropped.
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
        let bounds = log.bounds(self.journal.id)?[0];
        let until = bounds.next;
        if until == self.next {
            return Ok(());
        }
        let any: ArrayRef = Arc::new(Int64Array::from(vec![i64::MIN]));
        let mut reader = log.read(ReadSpec {
            from: From::Sequence(self.next.max(bounds.first)),
            until: Some(until),
            bounds: vec![ColumnBound { column, min: Some(any), max: None }],
            ..ReadSpec::all(self.journal.id, ShardId(0))
        })?;
        while let Some(read) = reader.next()? {
            for row in 0..read.rows.num_rows() {
                self.note(&read.rows, row, Sequence(read.first.0 + row as u64));
            }
        }
        self.next = until;
        self.follow_steps(log)
    }

    fn note(&mut self, rows: &RecordBatch, row: usize, at: Sequence) {
        let Some(id) = member_of(rows, row) else { return };
        let step = rows.column(0).as_primitive::<Int64Type>().value(row) as u64;
        let source = rows.column(1).as_primitive::<Int32Type>().value(row);
        let number = rows.column(2).as_primitive::<Int32Type>().value(row);
        let next = Sequence(rows.column(3).as_primitive::<Int64Type>().value(row) as u64);
        let time = times(rows, row).1;
        let known = self.places.get(&id).copied();
        match source {
            CARRIED => {
                let (rank, step) = (number as u32, next.0);
                self.set_membership(Membership { id, rank, step, shards: Vec::new(), left: None }, at);
                self.reached.insert(step, (Vec::new(), time));
            }
            REACHED => {
                let step = known.map(|place| self.all[place].step);
                let reached = step.and_then(|step| self.reached.get_mut(&step));
                reached.into_iter().for_each(|(places, _)| places.push(next));
            }
            LEFT => known.into_iter().for_each(|place| self.all[place].left = Some(next.0)),
            _ => match cut_of_row(rows, row) {
                Some((shard, cut)) => {
                    if known.is_none_or(|place| self.all[place].shards.len() != shard) {
                        let rank = self.newest_rank + 1;
                        self.set_membership(
                            Membership { id, rank, step, shards: Vec::new(), left: None },
                            at,
                        );
                    }
                    let clock = ShardClock { watermark: time, idle: cut.idle, ended: cut.ended };
                    if let Some(place) = self.places.get(&id) {
                        self.all[*place].shards.push((cut.next, clock));
                    }
                }
                None => known.into_iter().for_each(|place| self.all[place].left = Some(step)),
            },
        }
    }

    fn set_membership(&mut self, membership: Membership, at: Sequence) {
        self.newest_rank = self.newest_rank.max(membership.rank);
        match self.places.get(&membership.id) {
            Some(place) => (self.all[*place], self.stated[*place]) = (membership, at),
            None => {
                self.places.insert(membership.id, self.all.len());
                self.all.push(membership);
                self.stated.push(at);
            }
        }
    }

    /// What has to be written down again before all lines before `begins` may go, for a journal whose last step is `step`; `None`: they
    /// must stay. Those of which there is nothing any more are forgotten.
    pub fn carried_over(
        &mut self,
        begins: Sequence,
        step: u64,
        is_there: impl Fn(i64) -> bool,
    ) -> Result<Option<Vec<RecordBatch>>> {
        if self.stated.iter().all(|stated| *stated >= begins) {
            return Ok(Some(Vec::new()));
        }
        let newest = self.newest_rank;
        let all = std::mem::take(&mut self.all).into_iter().zip(std::mem::take(&mut self.stated));
        let stay = all.filter(|(membership, _)| membership.rank == newest || is_there(membership.id));
        let mut stay: Vec<_> = stay.collect();
        // As they came, so that after a crash in between those that are not carried over came after those that are.
        stay.sort_by_key(|(membership, _)| membership.rank);
        (self.all, self.stated) = stay.into_iter().unzip();
        self.places = self.all.iter().enumerate().map(|(place, membership)| (membership.id, place)).collect();
        let mut batches = Vec::new();
        for some in self.all.chunks(CARRIED_AT_ONCE) {
            let mut rows = Vec::new();
            for membership in some {
                let Some(reached) = self.reached_at(membership) else { return Ok(None) };
                rows.extend(carried_rows(membership, &reached));
            }
            batches.push(encode(step, &rows)?);
        }
        Ok(Some(batches))
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
        let (all, first) = (Journal::of(Arc::clone(&self.journal)), log.bounds(self.journal.id)?[0].first);
        if first == self.first {
            self.steps.follow(log, &all)?;
        } else {
            // The line where the reader stands may be gone.
            self.steps = JournalReader::open(log, &all, &self.set, 0, Vec::new(), &Eras::default())?;
            self.first = first;
        }
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
