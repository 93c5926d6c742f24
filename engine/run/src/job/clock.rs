//! The event-time clock of one shard of one source: a function of that shard's rows alone, which never moves back.
//!
//! ```text
//!   row        0    1    2    3          a row's clock is the watermark just before it,
//!   candidate  5    9    7    12         so row 2 (clock 9) may be late by what row 1 said,
//!   clock     -inf  5    9    9          and never by what another shard said
//! ```

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, TimestampNanosecondArray};
use arrow::compute::{max, min};
use arrow::datatypes::{
    ArrowTimestampType, DataType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use arrow::error::ArrowError;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, Literal};
use datafusion::scalar::ScalarValue;
use headwater_core::EventTime;
use headwater_core::time::nanos_per;
use headwater_operators::{Clocks, column_or_null};
use headwater_plan::dataflow::Watermark;

type Result<T> = std::result::Result<T, headwater_operators::OperatorError>;

/// Whose expression fails, if one does.
const WATERMARK: &str = "watermark";

/// The watermark of one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ShardClock {
    /// The greatest candidate so far.
    pub watermark: EventTime,
    /// Declared idle: it does not hold the others back until it has rows again.
    pub idle: bool,
    /// No more rows will come.
    pub ended: bool,
}

/// The clock of a shard that has no rows yet.
pub(crate) const NEW_CLOCK: ShardClock = ShardClock { watermark: EventTime::MIN, idle: false, ended: false };

impl ShardClock {
    /// Moves the clock over some rows and answers by what each of them is late. `floor` is the job's own watermark:
    /// windows up to it are closed, also for a shard that was idle.
    pub fn pass(&mut self, batch: &RecordBatch, watermark: &Watermark, floor: EventTime) -> Result<Clocks> {
        let before = self.watermark.max(floor);
        if let Some((earliest, greatest)) = extent(batch, watermark, None)
            && earliest >= greatest.max(before)
        {
            // No row lies behind even the last clock.
            self.watermark = greatest.max(before);
            return Ok(Clocks::Uniform(before));
        }
        let candidates = nanos(&column_or_null(&watermark.candidate, batch, WATERMARK)?)?;
        let events = nanos(batch.column(watermark.column))?;
        let mut greatest = before.0;
        let mut behind = false;
        for row in 0..candidates.len() {
            behind |= events.is_valid(row) && events.value(row) < greatest;
            if candidates.is_valid(row) {
                greatest = greatest.max(candidates.value(row));
            }
        }
        self.watermark = EventTime(greatest);
        if !behind {
            // No row lies behind its clock, so no window that one of them belongs to has ended by it: any earlier
            // clock answers the same.
            return Ok(Clocks::Uniform(before));
        }
        Ok(Clocks::PerRow(clocks_from(before, &candidates).0))
    }

    /// Moves the clock over some rows and answers where it was before each of them, whether one is late by it or not.
    pub fn pass_each(
        &mut self,
        batch: &RecordBatch,
        watermark: &Watermark,
        floor: EventTime,
    ) -> Result<TimestampNanosecondArray> {
        let candidates = nanos(&column_or_null(&watermark.candidate, batch, WATERMARK)?)?;
        let (clocks, after) = clocks_from(self.watermark.max(floor), &candidates);
        self.watermark = after;
        Ok(clocks)
    }
}

/// The clock before each row, and after the last.
fn clocks_from(
    before: EventTime,
    candidates: &TimestampNanosecondArray,
) -> (TimestampNanosecondArray, EventTime) {
    let mut clock = before.0;
    let clocks = (0..candidates.len()).map(|row| {
        let own = clock;
        if candidates.is_valid(row) {
            clock = clock.max(candidates.value(row));
        }
        own
    });
    let clocks = TimestampNanosecondArray::from_iter_values(clocks);
    (clocks, EventTime(clock))
}

/// Where nobody asks by what a row is late.
impl ShardClock {
    /// Moves the clock over some rows at once, to where [`ShardClock::pass`] would, and answers where it was before. `known`: the earliest
    /// and the latest event time of the rows, if somebody knows.
    pub fn jump(
        &mut self,
        batch: &RecordBatch,
        watermark: &Watermark,
        floor: EventTime,
        known: Option<(EventTime, EventTime)>,
    ) -> Result<EventTime> {
        let before = self.watermark.max(floor);
        let greatest = match extent(batch, watermark, known) {
            Some((_, greatest)) => greatest,
            None => {
                let candidates = column_or_null(&watermark.candidate, batch, WATERMARK)?;
                max(&nanos(&candidates)?).map_or(EventTime::MIN, EventTime)
            }
        };
        self.watermark = greatest.max(before);
        Ok(before)
    }
}

/// The earliest event time of some rows and the greatest candidate, without computing each: where the candidate is the event time, or that
/// and a constant, it is the latest row's. `None`: it is something else.
fn extent(
    batch: &RecordBatch,
    watermark: &Watermark,
    known: Option<(EventTime, EventTime)>,
) -> Option<(EventTime, EventTime)> {
    let shift = shift_of(&watermark.candidate, watermark.column)?;
    let (earliest, latest) = known.or_else(|| extremes(batch.column(watermark.column)))?;
    // What nanoseconds do not reach is computed row by row, by the column's own unit.
    let is_exact = latest < EventTime::MAX && earliest > EventTime::MIN;
    let greatest = latest.0.checked_add(shift).filter(|_| is_exact)?;
    Some((earliest, EventTime(greatest)))
}

/// By how many nanoseconds a candidate is later than the event time, if it is so by a fixed time: a month is none.
fn shift_of(candidate: &Arc<dyn PhysicalExpr>, column: usize) -> Option<i64> {
    let is_column =
        |expr: &Arc<dyn PhysicalExpr>| expr.downcast_ref::<Column>().is_some_and(|own| own.index() == column);
    if is_column(candidate) {
        return Some(0);
    }
    let shifted = candidate.downcast_ref::<BinaryExpr>().filter(|expr| is_column(expr.left()))?;
    let (value, unit) = match shifted.right().downcast_ref::<Literal>()?.value() {
        ScalarValue::DurationSecond(value) => (*value, TimeUnit::Second),
        ScalarValue::DurationMillisecond(value) => (*value, TimeUnit::Millisecond),
        ScalarValue::DurationMicrosecond(value) => (*value, TimeUnit::Microsecond),
        ScalarValue::DurationNanosecond(value) => (*value, TimeUnit::Nanosecond),
        _ => return None,
    };
    let by = value?.checked_mul(nanos_per(unit))?;
    match shifted.op() {
        Operator::Minus => by.checked_neg(),
        Operator::Plus => Some(by),
        _ => None,
    }
}

/// The earliest and the latest of some times, if there is one.
fn extremes(times: &ArrayRef) -> Option<(EventTime, EventTime)> {
    fn of<T: ArrowTimestampType>(times: &ArrayRef) -> Option<(EventTime, EventTime)> {
        let times = times.as_primitive::<T>();
        let of = |value| EventTime::from_unit(value, T::UNIT);
        Some((of(min(times)?), of(max(times)?)))
    }
    match times.data_type() {
        DataType::Timestamp(TimeUnit::Nanosecond, _) => of::<TimestampNanosecondType>(times),
        DataType::Timestamp(TimeUnit::Microsecond, _) => of::<TimestampMicrosecondType>(times),
        DataType::Timestamp(TimeUnit::Millisecond, _) => of::<TimestampMillisecondType>(times),
        DataType::Timestamp(TimeUnit::Second, _) => of::<TimestampSecondType>(times),
        _ => None,
    }
}

/// The clock of processing time.
impl ShardClock {
    /// Moves the clock over some rows by when they arrived, and answers where it was before. A row that arrived before what time
    /// had come to is processed at that moment: its arrival is replaced by it. `floor` is the job's own watermark.
    pub fn process(
        &mut self,
        batch: &mut RecordBatch,
        column: usize,
        floor: EventTime,
    ) -> std::result::Result<EventTime, ArrowError> {
        let before = self.watermark.max(floor);
        let arrivals = batch.column(column).as_primitive::<TimestampNanosecondType>();
        let mut now = before.0;
        let moments = arrivals.values().iter().map(|arrival| {
            now = now.max(*arrival);
            now
        });
        let moments =
            TimestampNanosecondArray::from_iter_values(moments).with_timezone_opt(arrivals.timezone());
        self.watermark = EventTime(now);
        if moments.values() != arrivals.values() {
            let mut columns = batch.columns().to_vec();
            columns[column] = Arc::new(moments);
            *batch = RecordBatch::try_new(batch.schema(), columns)?;
        }
        Ok(before)
    }
}

/// A timestamp column of any unit as nanoseconds, clamped where they do not reach.
pub(crate) fn nanos(column: &ArrayRef) -> Result<TimestampNanosecondArray> {
    let DataType::Timestamp(unit, _) = column.data_type() else {
        return Err(headwater_operators::OperatorError::Expression {
            operator: WATERMARK.into(),
            source: datafusion::error::DataFusionError::Plan(format!(
                "a watermark must be a timestamp, this is {}",
                column.data_type()
            )),
        });
    };
    let clamp = |value: i64| EventTime::from_unit(value, *unit).0;
    Ok(match unit {
        TimeUnit::Nanosecond => {
            column.as_primitive::<TimestampNanosecondType>().clone().with_timezone_opt::<&str>(None)
        }
        TimeUnit::Microsecond => column.as_primitive::<TimestampMicrosecondType>().unary(clamp),
        TimeUnit::Millisecond => column.as_primitive::<TimestampMillisecondType>().unary(clamp),
        TimeUnit::Second => column.as_primitive::<TimestampSecondType>().unary(clamp),
    })
}

/// The watermark of a job: the least over its shards that have not ended. An idle shard is left out; if all are, time stands where it
/// was, or where `advance` puts it. Time ends when all shards have.
pub(crate) fn job_watermark<'a>(
    clocks: impl Iterator<Item = (&'a ShardClock, bool)>,
    before: EventTime,
    advance: Option<EventTime>,
) -> EventTime {
    let (mut least, mut ended, mut open) = (None, false, false);
    for (clock, per_key) in clocks {
        ended |= clock.ended;
        open |= !clock.ended;
        if clock.ended || clock.idle {
            continue;
        }
        // Each key has its own time; the shard's says nothing until it ends.
        let own = if per_key { EventTime::MIN } else { clock.watermark };
        least = Some(least.map_or(own, |least: EventTime| least.min(own)));
    }
    let at_end = (ended && !open).then_some(EventTime::MAX);
    let reached = least.or(at_end).or(advance).unwrap_or(before);
    reached.max(before)
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{Field, IntervalMonthDayNano, Schema};
    use datafusion::physical_expr::expressions::col;

    use super::*;

    fn batch(times: &[Option<i64>]) -> RecordBatch {
        let column = TimestampNanosecondArray::from(times.to_vec());
        let schema = Schema::new(vec![Field::new("ts", column.data_type().clone(), true)]);
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(column)]).unwrap()
    }

    fn pass(clock: &mut ShardClock, times: &[Option<i64>], floor: i64) -> Vec<i64> {
        let batch = batch(times);
        let candidate = col("ts", &batch.schema()).unwrap();
        let watermark =
            Watermark { column: 0, candidate, text: "ts".into(), per_key: false, processing: false };
        match clock.pass(&batch, &watermark, EventTime(floor)).unwrap() {
            Clocks::Uniform(time) => vec![time.0],
            Clocks::PerRow(times) => times.values().to_vec(),
        }
    }

    #[test]
    fn a_row_is_processed_no_earlier_than_the_one_before() {
        let mut clock = NEW_CLOCK;
        let mut moments = |times: &[i64], floor: i64| {
            let mut rows = batch(&times.iter().copied().map(Some).collect::<Vec<_>>());
            let before = clock.process(&mut rows, 0, EventTime(floor)).unwrap();
            let moments = rows.column(0).as_primitive::<TimestampNanosecondType>().values().to_vec();
            (before.0, moments)
        };
        assert_eq!(moments(&[5, 9, 7, 12], i64::MIN), (i64::MIN, vec![5, 9, 9, 12]));
        assert_eq!(moments(&[11, 14], 13), (13, vec![13, 14]));
        assert_eq!(moments(&[], 20), (20, vec![]));
        assert_eq!(moments(&[21], 3), (20, vec![21]));
    }

    #[test]
    fn at_once_it_comes_to_where_row_by_row_it_would() {
        let nothing = [None, None];
        let times: [&[Option<i64>]; 5] =
            [&[Some(30), Some(45), Some(32)], &[Some(41), None], &nothing, &[Some(60), Some(61)], &[]];
        let schema = batch(&[]).schema();
        let ts = || col("ts", &schema).unwrap();
        let literal = |value: ScalarValue| Arc::new(Literal::new(value)) as Arc<dyn PhysicalExpr>;
        let less = |by| Arc::new(BinaryExpr::new(ts(), Operator::Minus, by)) as Arc<dyn PhysicalExpr>;
        let by_ten = less(literal(ScalarValue::DurationNanosecond(Some(10))));
        let interval = IntervalMonthDayNano { months: 0, days: 0, nanoseconds: 10 };
        let by_calendar = less(literal(ScalarValue::IntervalMonthDayNano(Some(interval))));
        let shifts = [&ts(), &by_ten, &by_calendar].map(|candidate| shift_of(candidate, 0));
        assert_eq!((shifts, shift_of(&by_ten, 1)), ([Some(0), Some(-10), None], None));
        for candidate in [ts(), by_ten, by_calendar] {
            let watermark =
                Watermark { column: 0, candidate, text: "ts".into(), per_key: false, processing: false };
            let (mut at_once, mut by_row) = (NEW_CLOCK, NEW_CLOCK);
            for times in times {
                let batch = batch(times);
                let known = extremes(batch.column(0));
                let mut knowing = at_once;
                let before = at_once.jump(&batch, &watermark, EventTime(25), None).unwrap();
                knowing.jump(&batch, &watermark, EventTime(25), known).unwrap();
                assert_eq!(knowing, at_once);
                let clocks = by_row.pass(&batch, &watermark, EventTime(25)).unwrap();
                let first = match &clocks {
                    Clocks::Uniform(time) => time.0,
                    Clocks::PerRow(clocks) => clocks.value(0),
                };
                assert_eq!((at_once, before.0), (by_row, first), "{times:?}");
            }
        }
    }

    #[test]
    fn the_clock_never_moves_back() {
        let mut clock = NEW_CLOCK;
        assert_eq!(pass(&mut clock, &[Some(5), Some(9), Some(7), Some(12)], i64::MIN), [i64::MIN, 5, 9, 9]);
        assert_eq!(clock.watermark, EventTime(12));
        assert_eq!(pass(&mut clock, &[Some(3), None], i64::MIN), [12, 12]);
        assert_eq!(clock.watermark, EventTime(12));
    }

    #[test]
    fn rows_in_order_share_one_clock() {
        let mut clock = NEW_CLOCK;
        assert_eq!(pass(&mut clock, &[Some(5), None, Some(9)], i64::MIN), [i64::MIN]);
        assert_eq!(pass(&mut clock, &[Some(9), Some(10)], i64::MIN), [9]);
        assert_eq!(pass(&mut clock, &[Some(11), Some(12)], 11), [11], "the job's watermark is the floor");
    }

    #[test]
    fn the_job_follows_its_slowest_shard() {
        let clock = |watermark| ShardClock { watermark: EventTime(watermark), ..NEW_CLOCK };
        let idle = |watermark| ShardClock { idle: true, ..clock(watermark) };
        let ended = ShardClock { ended: true, ..NEW_CLOCK };
        let of = |clocks: &[ShardClock], advance| {
            job_watermark(clocks.iter().map(|clock| (clock, false)), EventTime(2), advance).0
        };
        assert_eq!(of(&[clock(5), clock(7)], None), 5);
        assert_eq!(of(&[clock(5), clock(1)], None), 2, "it never moves back");
        assert_eq!(of(&[clock(5), idle(1)], None), 5);
        assert_eq!(of(&[idle(5), idle(1)], None), 2);
        assert_eq!(of(&[idle(5), idle(1)], Some(EventTime(8))), 8);
        assert_eq!(of(&[ended, clock(5)], None), 5);
        assert_eq!(of(&[ended, ended], None), i64::MAX);
        assert_eq!(of(&[ended, idle(5)], None), 2, "it may wake up");
        assert_eq!(of(&[ended, idle(5)], Some(EventTime(8))), 8);
        let per_key = job_watermark([(&clock(9), true)].into_iter(), EventTime::MIN, None);
        assert_eq!(per_key, EventTime::MIN);
    }
}
