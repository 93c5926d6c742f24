//! Reads one shard of one source, a step at a time.
//!
//! The rows of a step are cut into morsels of [`MORSEL_ROWS`] rows, counted from the step's first row of the shard, so that
//! morsels depend on the journal's cuts alone: not on how the log happens to hold the rows in batches, which changes when
//! segments are sealed. Where no state hangs on them ([`Morsels::AsRead`]) they are the log's batches, which need not be copied.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch, RecordBatchOptions, TimestampNanosecondArray,
};
use arrow::compute::{CastOptions, cast_with_options, concat_batches, filter_record_batch};
use arrow::datatypes::SchemaRef;
use headwater_core::size::bytes_of_rows;
use headwater_core::{EventTime, Sequence, ShardId};
use headwater_log::{ColumnBound, Durability, From, Log, ReadBatch, ReadSpec, Reader, StreamInfo};
use headwater_operators::{Clocks, Failed, Rows, append_columns};
use headwater_plan::dataflow::{Metadata, Source, Watermark};

use super::clock::{NEW_CLOCK, ShardClock, nanos};
use crate::error::{Result, RunError};

/// The most rows of a morsel: as many as keep the columns of a few expressions within a core's cache.
pub(crate) const MORSEL_ROWS: usize = 65_536;

/// As they are read, batches with fewer rows are put together, as each costs the same whatever is in it.
const SMALL_ROWS: usize = MORSEL_ROWS / 8;

/// How the rows of a step are cut into morsels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Morsels {
    /// Counted from the step's first row, each row with its clock.
    Counted,
    /// As the log has its batches, for a dataflow without state: what comes out does not depend on morsels, and no row is late.
    AsRead,
}

/// How far to read in one step.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    /// As many rows as there are, but not many more than this.
    Budget {
        /// Rows, at most.
        rows: usize,
        /// Bytes in memory, at most; one batch of the log may pass it.
        bytes: usize,
        /// No row from here on.
        end: Sequence,
    },
    /// Exactly up to this sequence number: the journal says so.
    Cut(Sequence),
}

/// Rows as a source promises them.
struct Batch {
    rows: RecordBatch,
    /// Their earliest and latest event time, where the log knew.
    times: Option<(EventTime, EventTime)>,
}

/// One shard of one source.
pub(crate) struct ShardInput {
    /// Which.
    pub shard: ShardId,
    /// Its event time.
    pub clock: ShardClock,
    /// Rows before this one move the clock and nothing else.
    pub first: Sequence,
    /// Where it ends, once somebody has said so.
    pub end: Option<Sequence>,
    /// When it last had rows, on the monotonic clock.
    pub last_rows: std::time::Duration,
    /// Whether there may be more rows than the last live step could take.
    pub has_more: bool,
    /// Rows of an earlier event time are left out.
    pub since: Option<EventTime>,
    /// The rows of the last step for which a column could not be computed.
    pub failed: Vec<Failed>,
    /// The rows that are gone and were to be taken, of a stream that is kept in memory alone.
    pub lost: Option<Range<Sequence>>,
    reader: Box<dyn Reader>,
    /// Whether the event time that the log knows is that of the source's watermark.
    tells_time: bool,
    /// Whether a restart of the process takes the rows with it.
    is_in_memory: bool,
    /// Where it stands among rows that are gone, before the reader.
    gap: Option<Sequence>,
    /// Rows that were read but lie behind the last cut.
    rest: Option<ReadBatch>,
}

impl ShardInput {
    /// Opens a shard at a place.
    pub fn open(
        log: &dyn Log,
        info: &StreamInfo,
        source: &Source,
        shard: ShardId,
        from: From,
    ) -> Result<Self> {
        let bounds = source.bounds.iter().map(|bound| {
            let array = |value: &Option<datafusion::scalar::ScalarValue>| -> Result<Option<ArrayRef>> {
                Ok(value.as_ref().map(|value| value.to_array()).transpose()?)
            };
            Ok(ColumnBound { column: bound.column, min: array(&bound.min)?, max: array(&bound.max)? })
        });
        let is_in_memory = info.spec.durability == Durability::Memory;
        let kept = if is_in_memory { log.bounds(info.id)?.get(shard.0 as usize).copied() } else { None };
        let (from, gap) = match (from, kept) {
            (From::Sequence(at), Some(kept)) if at < kept.first => (From::Earliest, Some(at)),
            (from, _) => (from, None),
        };
        let reader = log.read(ReadSpec {
            stream: info.id,
            shard,
            from,
            until: None,
            projection: Some(source.projection.clone()),
            bounds: bounds.collect::<Result<_>>()?,
            arrivals: source.metadata.arrival,
        })?;
        let last_rows = std::time::Duration::ZERO;
        let of_watermark = |watermark: &Watermark| source.schema.field(watermark.column).name();
        let tells_time = source.watermark.as_ref().map(of_watermark) == info.spec.event_time.as_ref();
        Ok(Self {
            shard,
            clock: NEW_CLOCK,
            first: Sequence::ZERO,
            end: None,
            last_rows,
            has_more: false,
            since: None,
            failed: Vec::new(),
            lost: None,
            reader,
            tells_time,
            is_in_memory,
            gap,
            rest: None,
        })
    }

    /// The sequence number of the next row to take.
    pub fn position(&self) -> Sequence {
        let behind = || self.rest.as_ref().map_or_else(|| self.reader.position(), |rest| rest.first);
        self.gap.unwrap_or_else(behind)
    }

    /// Passes over rows that are gone, as far as a step goes.
    fn pass_over(&mut self, source: &Source, until: Until) {
        let kept = self.reader.position();
        match (self.gap, until) {
            (Some(at), Until::Budget { end, .. } | Until::Cut(end)) => {
                let to = end.clamp(at, kept);
                self.gap = (to < kept).then_some(to);
                self.note_lost(source, at..to);
            }
            // A step of the journal took rows from before the first that there is now.
            (None, Until::Cut(end)) if self.is_in_memory && end < self.position() => {
                self.note_lost(source, end..self.position());
            }
            _ => {}
        }
    }

    fn note_lost(&mut self, source: &Source, rows: Range<Sequence>) {
        if rows.is_empty() {
            return;
        }
        let start = match &self.lost {
            Some(lost) => lost.start.min(rows.start),
            None => {
                let (stream, shard, from) = (&source.stream, self.shard, rows.start);
                tracing::warn!(
                    %stream,
                    %shard,
                    %from,
                    "rows are gone, as the stream is kept in memory alone: the job goes on without them"
                );
                rows.start
            }
        };
        self.lost = Some(start..rows.end);
    }

    /// Whether it has been told where it ends, and has come there.
    pub fn is_at_end(&self) -> bool {
        self.end.is_some_and(|end| self.position() >= end)
    }

    /// Takes rows, as morsels, each with its clocks.
    pub fn take(
        &mut self,
        source: &Source,
        until: Until,
        floor: EventTime,
        how: Morsels,
    ) -> Result<Vec<Rows>> {
        let (batches, mut before_first) = self.read(source, until)?;
        let cut = match how {
            Morsels::Counted => morselize(&source.schema, batches)?,
            Morsels::AsRead => gather(&source.schema, batches)?,
        };
        let mut morsels = Vec::with_capacity(cut.len());
        for Batch { rows: mut batch, times } in cut {
            if let (Some(since), Some(watermark)) = (self.since, &source.watermark)
                && !watermark.processing
            {
                batch = rows_since(source, &batch, watermark.column, since)?;
                if batch.num_rows() == 0 {
                    continue;
                }
            }
            let clocks = match &source.watermark {
                Some(watermark) if watermark.processing => {
                    Clocks::Uniform(self.clock.process(&mut batch, watermark.column, floor)?)
                }
                Some(watermark) if source.metadata.watermark => {
                    let clocks = self.clock.pass_each(&batch, watermark, floor);
                    let clocks = clocks.map_err(|error| operator_error(source, error))?;
                    batch = tell_watermark(source, &batch, &clocks)?;
                    Clocks::PerRow(clocks)
                }
                Some(watermark) if !watermark.per_key => {
                    let clocks = match how {
                        Morsels::Counted => self.clock.pass(&batch, watermark, floor),
                        Morsels::AsRead => {
                            self.clock.jump(&batch, watermark, floor, times).map(Clocks::Uniform)
                        }
                    };
                    clocks.map_err(|error| operator_error(source, error))?
                }
                _ => Clocks::Uniform(floor),
            };
            self.clock.idle = false;
            let rows = Rows { batch, weights: None, clocks };
            let passed_over = before_first.min(rows.len());
            before_first -= passed_over;
            if passed_over < rows.len() {
                morsels.push(if passed_over == 0 { rows } else { rows.slice(passed_over..rows.len()) });
            }
        }
        // A cut says by itself whether the shard ended with it; live, the pipeline does.
        if matches!(until, Until::Cut(_)) && self.is_at_end() {
            self.clock.ended = true;
        }
        Ok(morsels)
    }

    /// Rows, and how many of them lie before the first one that counts.
    fn read(&mut self, source: &Source, until: Until) -> Result<(Vec<Batch>, usize)> {
        let mut batches = Vec::new();
        self.pass_over(source, until);
        let (mut rows, mut bytes, mut before_first) = (0, 0, 0);
        self.has_more = false;
        loop {
            let within = match until {
                Until::Budget { rows: rows_max, bytes: bytes_max, end } => {
                    rows < rows_max && bytes < bytes_max && self.position() < end
                }
                Until::Cut(cut) => self.position() < cut,
            };
            if !within {
                self.has_more = matches!(until, Until::Budget { end, .. } if self.position() < end);
                return Ok((batches, before_first));
            }
            let next = match self.rest.take() {
                Some(rest) => Some(rest),
                None => self.reader.next()?,
            };
            let Some(mut read) = next else {
                return match until {
                    Until::Cut(cut) if self.position() < cut => Err(RunError::Invalid(format!(
                        "stream {} shard {}: the journal cuts at sequence {cut}, the log ends at {}",
                        source.stream,
                        self.shard,
                        self.position()
                    ))),
                    _ => Ok((batches, before_first)),
                };
            };
            let within = match until {
                Until::Budget { rows: rows_max, end, .. } => {
                    (rows_max - rows).min(end.0.saturating_sub(read.first.0) as usize)
                }
                Until::Cut(cut) => cut.0.saturating_sub(read.first.0) as usize,
            };
            self.rest = split(&mut read, within);
            let before = read.rows.num_rows().min(self.first.0.saturating_sub(read.first.0) as usize);
            before_first += before;
            rows += read.rows.num_rows();
            bytes += bytes_of_rows(&read.rows);
            let times = read.event_time.filter(|_| self.tells_time);
            let (rows, failed) = dress(source, self.shard, read)?;
            if let Some((failed, places)) = failed {
                before_first -= places.iter().filter(|place| **place < before).count();
                self.failed.push(failed);
            }
            batches.push(Batch { rows, times });
        }
    }
}

/// Rows with the watermark before each of them in the column that is kept for it.
fn tell_watermark(
    source: &Source,
    batch: &RecordBatch,
    clocks: &TimestampNanosecondArray,
) -> Result<RecordBatch> {
    let Metadata { shard, sequence, arrival, .. } = source.metadata;
    let place = source.projection.len() + [shard, sequence, arrival].iter().filter(|read| **read).count();
    let told = clocks.iter().map(|clock| clock.filter(|clock| *clock != EventTime::MIN.0));
    let mut columns = batch.columns().to_vec();
    columns[place] = Arc::new(TimestampNanosecondArray::from_iter(told).with_timezone("UTC"));
    Ok(RecordBatch::try_new(batch.schema(), columns)?)
}

/// The rows with an event time of `since` or later.
fn rows_since(source: &Source, batch: &RecordBatch, column: usize, since: EventTime) -> Result<RecordBatch> {
    let times = nanos(batch.column(column)).map_err(|error| operator_error(source, error))?;
    let keeps = times.iter().map(|time| Some(time.is_some_and(|time| time >= since.0)));
    Ok(filter_record_batch(batch, &keeps.collect::<BooleanArray>())?)
}

fn operator_error(source: &Source, error: headwater_operators::OperatorError) -> RunError {
    RunError::Operator { what: format!("reading stream {}", source.stream), source: error }
}

/// Keeps the first `within` rows and answers the others, if there are any.
fn split(read: &mut ReadBatch, within: usize) -> Option<ReadBatch> {
    let beyond = read.rows.num_rows().saturating_sub(within);
    if beyond == 0 {
        return None;
    }
    let rest = ReadBatch {
        first: read.first.plus(within as u64),
        rows: read.rows.slice(within, beyond),
        arrivals: read.arrivals.as_ref().map(|arrivals| arrivals.slice(within, beyond)),
        arrival: read.arrival.clone(),
        event_time: None,
    };
    read.event_time = None;
    read.rows = read.rows.slice(0, within);
    read.arrivals = read.arrivals.as_ref().map(|arrivals| arrivals.slice(0, within));
    Some(rest)
}

/// Gives rows of the log the columns that a source promises: metadata behind, types as they were when the job was planned. Rows for
/// which a column cannot be computed are left out, and said with their places.
fn dress(
    source: &Source,
    shard: ShardId,
    read: ReadBatch,
) -> Result<(RecordBatch, Option<(Failed, Vec<usize>)>)> {
    let mut rows = read.rows.num_rows();
    let mut failed = None;
    let mut columns = metadata_columns(source.metadata, shard, &read)?;
    let mut all: Vec<ArrayRef> = read.rows.columns().to_vec();
    all.append(&mut columns);
    for (column, field) in all.iter_mut().zip(source.schema.fields()) {
        if column.data_type() != field.data_type() {
            // Since this was planned the column has got a wider type: a value that is none of the former is not to become another.
            let exact = CastOptions { safe: false, ..CastOptions::default() };
            *column = cast_with_options(column, field.data_type(), &exact)?;
        }
    }
    let options = |rows: usize| RecordBatchOptions::new().with_row_count(Some(rows));
    if !source.computed.is_empty() {
        let read: Vec<usize> = (0..all.len()).collect();
        let schema = Arc::new(source.schema.project(&read)?);
        let batch = RecordBatch::try_new_with_options(schema, all, &options(rows))?;
        let computed = append_columns(batch, &source.computed, "computed column");
        let (batch, computed, left_out) = computed.map_err(|error| operator_error(source, error))?;
        rows = batch.num_rows();
        all = batch.columns().iter().cloned().chain(computed).collect();
        failed = left_out;
    }
    let batch = RecordBatch::try_new_with_options(Arc::clone(&source.schema), all, &options(rows))?;
    Ok((batch, failed))
}

/// The metadata columns of some rows of the log, in their order.
pub(crate) fn metadata_columns(wanted: Metadata, shard: ShardId, read: &ReadBatch) -> Result<Vec<ArrayRef>> {
    let rows = read.rows.num_rows();
    let mut columns: Vec<ArrayRef> = Vec::new();
    if wanted.shard {
        columns.push(Arc::new(Int32Array::from_value(shard.0 as i32, rows)));
    }
    if wanted.sequence {
        let first = read.first.0 as i64;
        columns.push(Arc::new(Int64Array::from_iter_values(first..first + rows as i64)));
    }
    if wanted.arrival {
        let arrivals =
            read.arrivals.clone().ok_or_else(|| RunError::Invalid("arrivals were not read".into()))?;
        columns.push(Arc::new(arrivals.with_timezone("UTC")));
    }
    if wanted.watermark {
        // It is known when the shard's clock has come to them.
        let none = TimestampNanosecondArray::new_null(rows);
        columns.push(Arc::new(none.with_timezone("UTC")));
    }
    Ok(columns)
}

/// Makes morsels of batches as they are; copies only the small ones among them, to put them together.
fn gather(schema: &SchemaRef, batches: Vec<Batch>) -> Result<Vec<Batch>> {
    let mut morsels = Vec::with_capacity(batches.len());
    let mut small = Run::default();
    for batch in batches {
        match batch.rows.num_rows() {
            0 => {}
            rows if rows < SMALL_ROWS => {
                small.push(batch);
                if small.rows >= SMALL_ROWS {
                    small.close(schema, &mut morsels)?;
                }
            }
            rows => {
                small.close(schema, &mut morsels)?;
                if rows <= MORSEL_ROWS {
                    morsels.push(batch);
                } else {
                    let starts = (0..rows).step_by(MORSEL_ROWS);
                    let part = |from| batch.rows.slice(from, (rows - from).min(MORSEL_ROWS));
                    morsels.extend(starts.map(|from| Batch { rows: part(from), times: None }));
                }
            }
        }
    }
    small.close(schema, &mut morsels)?;
    Ok(morsels)
}

/// Cuts rows into morsels; copies only where a morsel spans batches.
fn morselize(schema: &SchemaRef, batches: Vec<Batch>) -> Result<Vec<Batch>> {
    let mut morsels = Vec::new();
    let mut open = Run::default();
    for Batch { rows: batch, .. } in batches {
        let mut from = 0;
        while from < batch.num_rows() {
            let rows = (batch.num_rows() - from).min(MORSEL_ROWS - open.rows);
            open.push(Batch { rows: batch.slice(from, rows), times: None });
            from += rows;
            if open.rows == MORSEL_ROWS {
                open.close(schema, &mut morsels)?;
            }
        }
    }
    open.close(schema, &mut morsels)?;
    Ok(morsels)
}

/// Batches that are to be one morsel.
#[derive(Default)]
struct Run {
    batches: Vec<Batch>,
    rows: usize,
}

impl Run {
    fn push(&mut self, batch: Batch) {
        self.rows += batch.rows.num_rows();
        self.batches.push(batch);
    }

    /// Makes a morsel of what is there, if anything is.
    fn close(&mut self, schema: &SchemaRef, morsels: &mut Vec<Batch>) -> Result<()> {
        self.rows = 0;
        if self.batches.len() > 1 {
            let rows = concat_batches(schema, self.batches.iter().map(|batch| &batch.rows))?;
            morsels.push(Batch { rows, times: None });
            self.batches.clear();
        }
        morsels.extend(self.batches.pop());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;

    use super::*;

    fn batches(rows: &[usize]) -> Vec<Batch> {
        let mut first = 0;
        let each = rows.iter().map(|rows| {
            let values: ArrayRef = Arc::new(Int64Array::from_iter_values(first..first + *rows as i64));
            first += *rows as i64;
            Batch { rows: RecordBatch::try_from_iter([("n", values)]).unwrap(), times: None }
        });
        each.collect()
    }

    /// The rows of each morsel; the values must follow one another.
    fn cut(how: Morsels, rows: &[usize]) -> Vec<usize> {
        let batches = batches(rows);
        let schema = batches[0].rows.schema();
        let morsels = match how {
            Morsels::Counted => morselize(&schema, batches).unwrap(),
            Morsels::AsRead => gather(&schema, batches).unwrap(),
        };
        let values =
            morsels.iter().flat_map(|morsel| morsel.rows.column(0).as_primitive::<Int64Type>().values());
        assert!(values.copied().eq(0..rows.iter().sum::<usize>() as i64));
        morsels.iter().map(|morsel| morsel.rows.num_rows()).collect()
    }

    #[test]
    fn counted_morsels_do_not_depend_on_batches() {
        let all = MORSEL_ROWS * 2 + 5;
        assert_eq!(cut(Morsels::Counted, &[all]), [MORSEL_ROWS, MORSEL_ROWS, 5]);
        assert_eq!(cut(Morsels::Counted, &[3, all - 10, 7]), [MORSEL_ROWS, MORSEL_ROWS, 5]);
    }

    #[test]
    fn batches_are_taken_as_they_are_unless_they_are_small() {
        let half = SMALL_ROWS / 2;
        assert_eq!(cut(Morsels::AsRead, &[SMALL_ROWS, MORSEL_ROWS + 1]), [SMALL_ROWS, MORSEL_ROWS, 1]);
        assert_eq!(cut(Morsels::AsRead, &[half, half, 1, 2]), [SMALL_ROWS, 3]);
        assert_eq!(cut(Morsels::AsRead, &[1, 2, SMALL_ROWS, 0, 4]), [3, SMALL_ROWS, 4]);
    }
}
