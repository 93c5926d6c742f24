//! The journal of a job: how far each step went, and what the runtime decided in it.
//!
//! A stream like any other, `system.journal.JOB`, with one shard. Each step adds one row for every shard of a source
//! whose cut has changed, and is appended in the same group as the step's results: so a step is in the journal if and only
//! if its results are in the log. A step in which only time moved has one row with source -1. The step with which a definition
//! takes the place of another ([`super::eras`]) has a row for every shard of its sources, and so has one step in so many: these lines are
//! *whole*. What lies before a whole line may go ([`super::trim`]), and the journal begins with it.
//!
//! | column | |
//! |---|---|
//! | step | the number of the step, from 1 |
//! | source, shard | which shard of which source, by their places in the plan; -1 for none, -2 in the first row of a whole line |
//! | next | the first sequence number that the step did not take |
//! | idle, ended | what was declared of the shard |
//! | advance | where time was put because all shards were idle |
//! | watermark | the job's watermark after the step |
//! | answer | what a table outside said to the step, as an Arrow IPC stream; `shard` is the stage that asked, source -1 |
//! | member | in the journal of a set of triggers: the trigger that the row is about ([`super::membership`]); such a row is no step's |

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Int32Array, Int64Array, RecordBatch,
    TimestampNanosecondArray,
};
use arrow::datatypes::{
    DataType, Field, Int32Type, Int64Type, Schema, SchemaRef, TimeUnit, TimestampNanosecondType,
};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use headwater_core::{EventTime, Sequence, ShardId};
use headwater_log::{Append, ColumnBound, From, Log, ReadSpec, Reader, StreamInfo};

use super::eras::Eras;
use super::lookup::Answer;
use super::pipeline::{Cut, ShardCut};
use crate::error::{Result, RunError};

/// The columns of a journal.
pub(crate) fn schema() -> SchemaRef {
    let time = || DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("step", DataType::Int64, false),
        Field::new("source", DataType::Int32, false),
        Field::new("shard", DataType::Int32, false),
        Field::new("next", DataType::Int64, false),
        Field::new("idle", DataType::Boolean, false),
        Field::new("ended", DataType::Boolean, false),
        Field::new("advance", time(), true),
        Field::new("watermark", time(), false),
        Field::new("answer", DataType::Binary, true),
        Field::new("member", DataType::Int64, true),
    ]))
}

/// One step as the journal has it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    /// Its number.
    pub step: u64,
    /// How far it went.
    pub cut: Cut,
    /// The watermark after it.
    pub watermark: EventTime,
    /// What tables outside said to it.
    pub answers: Vec<Answer>,
}

/// The source in the first row of a whole line.
const WHOLE: i32 = -2;

/// One step in so many, or in as many as there are shards, has a whole line: so these add no more than a row to each step.
const WHOLE_EVERY: u64 = 128;

/// The cut that the line of a step is to be written against: that of the step before, or none if the line is to be whole.
pub(crate) fn base_of(step: u64, before: &[Vec<ShardCut>]) -> &[Vec<ShardCut>] {
    let shards = before.iter().map(Vec::len).sum::<usize>() as u64;
    if step.is_multiple_of(WHOLE_EVERY.max(shards)) { &[] } else { before }
}

/// The rows that a step adds: what differs from the cut before. Without one the line is whole, and says so if it is not the first.
pub(crate) fn encode(entry: &Entry, before: &[Vec<ShardCut>]) -> Result<RecordBatch> {
    encode_line(entry, before, before.is_empty() && entry.step > 1)
}

fn encode_line(entry: &Entry, before: &[Vec<ShardCut>], says_whole: bool) -> Result<RecordBatch> {
    let nothing = ShardCut { next: Sequence::ZERO, idle: false, ended: false };
    let mut rows: Vec<(i32, i32, ShardCut)> = Vec::new();
    if says_whole {
        rows.push((WHOLE, -1, nothing));
    }
    for (source, shards) in entry.cut.shards.iter().enumerate() {
        for (shard, cut) in shards.iter().enumerate() {
            if before.get(source).and_then(|shards| shards.get(shard)) != Some(cut) {
                rows.push((source as i32, shard as i32, *cut));
            }
        }
    }
    let cuts = rows.len();
    rows.extend(entry.answers.iter().map(|(stage, _)| (-1, *stage as i32, nothing)));
    if rows.is_empty() {
        rows.push((-1, -1, nothing));
    }
    let answers = entry.answers.iter().map(|(_, answer)| write_answer(answer)).collect::<Result<Vec<_>>>()?;
    let answers = (0..rows.len()).map(|row| row.checked_sub(cuts).and_then(|nth| answers.get(nth)));
    let advance = entry.cut.advance.map(|time| time.0);
    let count = rows.len();
    Ok(RecordBatch::try_new(
        schema(),
        vec![
            Arc::new(Int64Array::from_value(entry.step as i64, count)),
            Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.0))),
            Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.1))),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.2.next.0 as i64))),
            Arc::new(rows.iter().map(|row| Some(row.2.idle)).collect::<BooleanArray>()),
            Arc::new(rows.iter().map(|row| Some(row.2.ended)).collect::<BooleanArray>()),
            Arc::new(TimestampNanosecondArray::from(vec![advance; count]).with_timezone("UTC")),
            Arc::new(TimestampNanosecondArray::from_value(entry.watermark.0, count).with_timezone("UTC")),
            Arc::new(answers.collect::<BinaryArray>()),
            Arc::new(Int64Array::new_null(count)),
        ],
    )?)
}

fn write_answer(answer: &RecordBatch) -> Result<Vec<u8>> {
    let mut writer = StreamWriter::try_new(Vec::new(), &answer.schema())?;
    writer.write(answer)?;
    Ok(writer.into_inner()?)
}

fn read_answer(bytes: &[u8]) -> Result<Option<RecordBatch>> {
    Ok(StreamReader::try_new(bytes, None)?.next().transpose()?)
}

/// Where the steps of a job are written down.
///
/// Those of a trigger that left its set are in two journals: in the set's as long as it was there, then in its own. They are counted
/// through.
#[derive(Clone)]
pub(crate) struct Journal {
    former: Option<Part>,
    own: Part,
}

/// The steps of one journal from behind `after` up to `until`.
#[derive(Clone)]
struct Part {
    info: Arc<StreamInfo>,
    after: u64,
    until: u64,
}

impl Journal {
    /// All of a stream.
    pub fn of(info: Arc<StreamInfo>) -> Self {
        Self { former: None, own: Part { info, after: 0, until: u64::MAX } }
    }

    /// That of a trigger which came to a set after a step.
    pub fn within(set: Arc<StreamInfo>, came: u64) -> Self {
        Self { former: None, own: Part { info: set, after: came, until: u64::MAX } }
    }

    /// And left it after another one, to go on with a journal of its own.
    pub fn left(self, left: u64, own: Arc<StreamInfo>) -> Self {
        let former = Some(Part { until: left, ..self.own });
        Self { former, own: Part { info: own, after: left, until: u64::MAX } }
    }

    /// The step that its first one follows on.
    pub fn begins(&self) -> u64 {
        self.former.as_ref().unwrap_or(&self.own).after
    }

    /// The stream that goes on.
    pub fn own(&self) -> &Arc<StreamInfo> {
        &self.own.info
    }

    /// Whether a step is the first one in the stream that goes on. Its line is whole, as those before it may go.
    pub fn begins_stream_with(&self, step: u64) -> bool {
        step == self.own.after + 1
    }

    /// The first step that it still has, if earlier ones are gone.
    pub fn beginning(&self, log: &dyn Log, job: &str, eras: &Eras) -> Result<Option<Entry>> {
        let mut reader = JournalReader::open(log, self, job, 0, Vec::new(), eras)?;
        if reader.is_cut() { reader.next() } else { Ok(None) }
    }

    /// Behind which rows it begins, if its first step says so by taking nothing; of no source: with the first row.
    pub fn begins_behind(&self, log: &dyn Log, job: &str, eras: &Eras) -> Result<Vec<Vec<Sequence>>> {
        let Some(read) = JournalReader::read(log, &self.own.info, 0)?.next()? else { return Ok(Vec::new()) };
        let step = read.rows.column(0).as_primitive::<Int64Type>().value(0);
        if step != 1 || !is_whole(&read.rows, 0) {
            return Ok(Vec::new());
        }
        let shards = first_cut(log, self, job, eras)?.unwrap_or_default();
        Ok(Cut { shards, advance: None }.ends())
    }

    /// The number of the last step; 0: there is none.
    pub fn last_step(&self, log: &dyn Log) -> Result<u64> {
        Ok(last_step(log, &self.own.info)?.max(self.own.after))
    }
}

/// The cut of the first step of a journal.
pub(crate) fn first_cut(
    log: &dyn Log,
    journal: &Journal,
    job: &str,
    eras: &Eras,
) -> Result<Option<Vec<Vec<ShardCut>>>> {
    let entry = JournalReader::open(log, journal, job, 0, Vec::new(), eras)?.next()?;
    Ok(entry.map(|entry| entry.cut.shards))
}

fn last_step(log: &dyn Log, info: &StreamInfo) -> Result<u64> {
    let bounds = log.bounds(info.id)?[0];
    if bounds.first == bounds.next {
        return Ok(0);
    }
    let mut reader = log.read(ReadSpec {
        from: From::Sequence(Sequence(bounds.next.0 - 1)),
        until: Some(bounds.next),
        projection: Some(vec![0]),
        ..ReadSpec::all(info.id, ShardId(0))
    })?;
    let read = reader.next()?;
    Ok(read.map_or(0, |read| read.rows.column(0).as_primitive::<Int64Type>().value(0) as u64))
}

/// Begins an empty journal with a step that takes nothing: the job starts behind what its sources hold now, or what they held.
pub(crate) fn begin_at(log: &dyn Log, info: &StreamInfo, shards: Vec<Vec<ShardCut>>) -> Result<()> {
    let entry =
        Entry { step: 1, cut: Cut { shards, advance: None }, watermark: EventTime::MIN, answers: Vec::new() };
    log.append(vec![Append::new(info.id, ShardId(0), encode_line(&entry, &[], true)?)])?;
    Ok(())
}

/// Reads a journal from its beginning, or from behind a step.
pub(crate) struct JournalReader {
    job: String,
    reader: Box<dyn Reader>,
    /// What is read ends with this step, and this is read then.
    then: Option<(u64, Box<dyn Reader>)>,
    /// The journal begins behind this step; earlier ones only tell where the shards were.
    begins: u64,
    /// The lines before are gone: what is read begins with the first whole one.
    seeks: bool,
    /// The step that was found so.
    found: Option<Entry>,
    eras: Eras,
    /// The cut as of the last entry, which each entry's rows change, as its era counts sources.
    shards: Vec<Vec<ShardCut>>,
    rows: Option<(RecordBatch, usize)>,
    last_step: u64,
}

impl JournalReader {
    /// Opens a journal. `shards` is the cut to start from, that of step `after` (0: the beginning). What it reads is counted by the
    /// sources of the last of `eras`.
    pub fn open(
        log: &dyn Log,
        journal: &Journal,
        job: &str,
        after: u64,
        shards: Vec<Vec<ShardCut>>,
        eras: &Eras,
    ) -> Result<Self> {
        let is_cut =
            |part: &Part| -> Result<bool> { Ok(log.bounds(part.info.id)?[0].first > Sequence::ZERO) };
        // No step leads from the former part to one that has lost its first lines.
        let former = match &journal.former {
            Some(former) if after < former.until && !is_cut(&journal.own)? => Some(former),
            _ => None,
        };
        let part = former.unwrap_or(&journal.own);
        // What one of a set had not come to is read, too: for the cut that it begins with.
        let last_step = if after < part.after && shards.is_empty() { 0 } else { after };
        let seeks = is_cut(part)? && last_step == 0 && shards.is_empty();
        let reader = Self::read(log, &part.info, last_step)?;
        let then = match former {
            Some(former) => Some((former.until, Self::read(log, &journal.own.info, former.until)?)),
            None => None,
        };
        let (job, eras, begins) = (job.to_owned(), eras.clone(), journal.begins());
        let mut opened =
            Self { job, reader, then, begins, seeks, found: None, eras, shards, rows: None, last_step };
        if seeks {
            opened.found = opened.next()?;
        }
        Ok(opened)
    }

    /// Whether the steps before the next one are gone, which is the first that the journal still has.
    pub fn is_cut(&self) -> bool {
        self.found.as_ref().is_some_and(|first| first.step > self.begins + 1)
    }

    /// Goes on, at the end, with what has been written since.
    pub fn follow(&mut self, log: &dyn Log, journal: &Journal) -> Result<()> {
        let (job, shards) = (std::mem::take(&mut self.job), std::mem::take(&mut self.shards));
        // Nobody has had the first step yet.
        let (after, shards) = if self.found.is_some() { (0, Vec::new()) } else { (self.last_step, shards) };
        *self = Self::open(log, journal, &job, after, shards, &self.eras)?;
        Ok(())
    }

    fn read(log: &dyn Log, info: &StreamInfo, after: u64) -> Result<Box<dyn Reader>> {
        let bounds = log.bounds(info.id)?[0];
        let behind: ArrayRef = Arc::new(Int64Array::from(vec![after as i64 + 1]));
        Ok(log.read(ReadSpec {
            from: From::Earliest,
            until: Some(bounds.next),
            bounds: vec![ColumnBound { column: 0, min: Some(behind), max: None }],
            ..ReadSpec::all(info.id, ShardId(0))
        })?)
    }

    /// The next step behind the one it started after, or `None` at the end.
    pub fn next(&mut self) -> Result<Option<Entry>> {
        if let Some(found) = self.found.take() {
            return Ok(Some(found));
        }
        loop {
            match self.next_here()? {
                Some(entry) if entry.step <= self.begins => {}
                Some(entry) => return Ok(Some(entry)),
                None => match self.then.take() {
                    Some((_, reader)) => (self.reader, self.rows) = (reader, None),
                    None => return Ok(None),
                },
            }
        }
    }

    /// The next step of the stream that is read.
    fn next_here(&mut self) -> Result<Option<Entry>> {
        let until = self.then.as_ref().map_or(u64::MAX, |(until, _)| *until);
        let mut entry: Option<Entry> = None;
        loop {
            let Some((batch, row)) = self.row()? else { break };
            if member_of(&batch, row).is_some() {
                self.advance();
                continue;
            }
            let step = batch.column(0).as_primitive::<Int64Type>().value(row) as u64;
            if step <= self.last_step {
                self.advance();
                continue;
            }
            if step > until {
                break;
            }
            if self.seeks {
                if !is_whole(&batch, row) && !self.eras.begins_at(step) {
                    self.advance();
                    continue;
                }
                (self.seeks, self.last_step) = (false, step - 1);
            }
            match &entry {
                Some(open) if open.step != step => break,
                Some(_) => {}
                None if step != self.last_step + 1 => {
                    let reason = format!("follows on step {}: steps are missing", self.last_step);
                    return Err(RunError::Journal { job: self.job.clone(), step, reason });
                }
                None => {}
            }
            let (advance, watermark) = times(&batch, row);
            if entry.is_none() && self.eras.begins_at(step) {
                self.shards.clear();
            }
            self.apply(&batch, row);
            let new = || Entry { step, cut: Cut::default(), watermark, answers: Vec::new() };
            let entry = entry.get_or_insert_with(new);
            entry.answers.extend(answer_of(&batch, row)?);
            entry.cut.advance = advance;
            self.advance();
        }
        if let Some(entry) = &mut entry {
            let shards = self.eras.translate(entry.step, &self.shards);
            entry.cut.shards = shards.ok_or_else(|| RunError::Journal {
                job: self.job.clone(),
                step: entry.step,
                reason: "a stream that is read now was not read then".to_owned(),
            })?;
            self.last_step = entry.step;
        }
        Ok(entry)
    }

    fn row(&mut self) -> Result<Option<(RecordBatch, usize)>> {
        while self.rows.as_ref().is_none_or(|(batch, row)| *row >= batch.num_rows()) {
            match self.reader.next()? {
                Some(read) => self.rows = Some((read.rows, 0)),
                None => return Ok(None),
            }
        }
        Ok(self.rows.clone())
    }

    fn advance(&mut self) {
        if let Some((_, row)) = &mut self.rows {
            *row += 1;
        }
    }

    fn apply(&mut self, batch: &RecordBatch, row: usize) {
        let source = batch.column(1).as_primitive::<Int32Type>().value(row);
        let Some((shard, cut)) = cut_of_row(batch, row) else { return };
        let source = source as usize;
        let unread = ShardCut { next: Sequence::ZERO, idle: false, ended: false };
        if self.shards.len() <= source {
            self.shards.resize(source + 1, Vec::new());
        }
        if self.shards[source].len() <= shard {
            self.shards[source].resize(shard + 1, unread);
        }
        self.shards[source][shard] = cut;
    }
}

/// The shard that a row is about and its cut; `None`: it is about none.
pub(super) fn cut_of_row(batch: &RecordBatch, row: usize) -> Option<(usize, ShardCut)> {
    let source = batch.column(1).as_primitive::<Int32Type>().value(row);
    let shard = batch.column(2).as_primitive::<Int32Type>().value(row);
    let cut = ShardCut {
        next: Sequence(batch.column(3).as_primitive::<Int64Type>().value(row) as u64),
        idle: batch.column(4).as_boolean().value(row),
        ended: batch.column(5).as_boolean().value(row),
    };
    (source >= 0 && shard >= 0).then_some((shard as usize, cut))
}

/// Whether a row begins a whole line.
pub(super) fn is_whole(batch: &RecordBatch, row: usize) -> bool {
    batch.column(1).as_primitive::<Int32Type>().value(row) == WHOLE
}

/// The trigger that a row is about, if it is about one.
pub(super) fn member_of(batch: &RecordBatch, row: usize) -> Option<i64> {
    let members = batch.column_by_name("member")?.as_primitive_opt::<Int64Type>()?;
    members.is_valid(row).then(|| members.value(row))
}

/// What a table said, if the row has that. Journals of old have no column for it.
fn answer_of(batch: &RecordBatch, row: usize) -> Result<Option<Answer>> {
    let answers = batch.column_by_name("answer").and_then(|column| column.as_binary_opt::<i32>());
    let Some(answers) = answers.filter(|answers| answers.is_valid(row)) else { return Ok(None) };
    let stage = batch.column(2).as_primitive::<Int32Type>().value(row);
    Ok(read_answer(answers.value(row))?.map(|answer| (stage as usize, answer)))
}

pub(super) fn times(batch: &RecordBatch, row: usize) -> (Option<EventTime>, EventTime) {
    let advance = batch.column(6).as_primitive::<TimestampNanosecondType>();
    let watermark = batch.column(7).as_primitive::<TimestampNanosecondType>();
    (advance.is_valid(row).then(|| EventTime(advance.value(row))), EventTime(watermark.value(row)))
}
