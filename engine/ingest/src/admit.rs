//! The clock guard: which rows may move a stream's event time.
//!
//! One device with a clock years ahead would move the watermark and close the windows of all the others. So a row whose
//! event time lies further after its arrival than a bound goes to the dead letters, as does one without event
//! time in a stream that has it. The decision is recorded: what is in the stream was admitted, for ever.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{cast, concat, filter_record_batch};
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use bytes::Bytes;
use headwater_core::EventTime;
use headwater_log::StreamSpec;

use crate::bad::{BadRecord, RecordFault};
use crate::error::Result;
use crate::format::{Decoded, Origin, row_as_json};
use crate::options::Options;
use crate::quantity::parse_duration;

/// The property of a stream that holds its clock guard: a duration such as `1 day`, or `none`.
pub const CLOCK_GUARD: &str = "clock.guard";

/// How far after its arrival the event time of a row may lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ClockGuard(Option<Duration>);

impl Default for ClockGuard {
    /// One day: more than any time zone that was forgotten, less than any clock that was never set.
    fn default() -> Self {
        Self(Some(Duration::from_secs(86_400)))
    }
}

impl ClockGuard {
    /// Reads a bound: a duration, or `none`.
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        if text.trim().eq_ignore_ascii_case("none") {
            return Ok(Self(None));
        }
        parse_duration(text).map(|bound| Self(Some(bound))).map_err(|reason| format!("{reason}; or 'none'"))
    }

    /// The guard of a stream: its property [`CLOCK_GUARD`], or else one day.
    pub fn of(spec: &StreamSpec) -> Result<Self> {
        let mut options = Options::new(format!("stream {}", spec.name), spec.properties.iter());
        Ok(options.parse_with(CLOCK_GUARD, Self::parse)?.unwrap_or_default())
    }

    /// Moves the rows that may not pass from the good ones to the bad ones. `computed`: what computes the event time of a stream in which
    /// it is no column.
    pub(crate) fn admit(
        self,
        spec: &StreamSpec,
        computed: Option<&dyn EventTimes>,
        decoded: Decoded,
        now: EventTime,
    ) -> Result<Decoded> {
        let stored = spec.event_time.as_ref().and_then(|name| decoded.rows.schema_ref().index_of(name).ok());
        match (stored, computed) {
            (Some(column), _) => {
                let name = decoded.rows.schema_ref().field(column).name().clone();
                let values = Arc::clone(decoded.rows.column(column));
                self.admit_by(&name, Times { values, failed: BTreeMap::new() }, decoded, now)
            }
            (None, Some(computed)) if decoded.rows.num_rows() > 0 => {
                let times = Times::compute(computed, &decoded.rows, now)?;
                self.admit_by(computed.column(), times, decoded, now)
            }
            (None, _) => Ok(decoded),
        }
    }

    fn admit_by(self, name: &str, mut times: Times, mut decoded: Decoded, now: EventTime) -> Result<Decoded> {
        let DataType::Timestamp(unit, _) = times.values.data_type() else { return Ok(decoded) };
        let unit = *unit;
        let latest = self.0.map_or(i64::MAX, |bound| now.plus(bound).to_unit(unit));
        let values = cast(&times.values, &DataType::Int64)?;
        let values = values.as_primitive::<Int64Type>();
        let passes = |row: usize| values.is_valid(row) && values.value(row) <= latest;
        if values.null_count() == 0 && values.values().iter().all(|value| *value <= latest) {
            return Ok(decoded);
        }
        for row in (0..values.len()).filter(|row| !passes(*row)) {
            let (fault, reason) = if values.is_null(row) {
                let why = || "the stream needs an event time, found null".to_owned();
                (RecordFault::NoEventTime, times.failed.remove(&row).unwrap_or_else(why))
            } else {
                let time = EventTime::from_unit(values.value(row), unit);
                let bound = self.0.unwrap_or_default();
                (RecordFault::ClockGuard, format!("{time} is more than {bound:?} after its arrival at {now}"))
            };
            let (record, payload) = origin_of(&decoded, row)?;
            decoded.bad.push(BadRecord {
                record,
                fault,
                field: Some(name.to_owned()),
                reason: reason.into(),
                payload,
            });
        }
        decoded.bad.sort_by_key(|bad| bad.record);
        let keep = BooleanBuffer::collect_bool(values.len(), passes);
        if !decoded.origins.is_empty() {
            let kept = decoded.origins.iter().zip(&keep).filter(|(_, keep)| *keep);
            decoded.origins = kept.map(|(origin, _)| *origin).collect::<Vec<Origin>>();
        }
        decoded.rows = filter_record_batch(&decoded.rows, &BooleanArray::new(keep, None))?;
        Ok(decoded)
    }
}

/// The event time of rows in which it is no column, but computed from their columns.
pub trait EventTimes: Send + Sync {
    /// What it is called.
    fn column(&self) -> &str;

    /// The event time of each row that arrives at `now`, as timestamps, or why there is none.
    fn times(&self, rows: &RecordBatch, now: EventTime) -> std::result::Result<ArrayRef, String>;
}

/// The event time of some rows, and why some have none.
struct Times {
    values: ArrayRef,
    failed: BTreeMap<usize, String>,
}

impl Times {
    fn compute(computed: &dyn EventTimes, rows: &RecordBatch, now: EventTime) -> Result<Self> {
        if let Ok(values) = computed.times(rows, now) {
            return Ok(Self { values, failed: BTreeMap::new() });
        }
        // One of them is to blame, or some are.
        let each: Vec<_> = (0..rows.num_rows()).map(|row| computed.times(&rows.slice(row, 1), now)).collect();
        let kind = each.iter().flatten().next().map(|time| time.data_type().clone());
        let none = new_null_array(&kind.unwrap_or(DataType::Timestamp(TimeUnit::Nanosecond, None)), 1);
        let values: Vec<&dyn Array> =
            each.iter().map(|time| time.as_ref().unwrap_or(&none).as_ref()).collect();
        let values = concat(&values)?;
        let failed = each.into_iter().enumerate().filter_map(|(row, time)| Some((row, time.err()?)));
        Ok(Self { values, failed: failed.collect() })
    }
}

/// The number and the bytes of the record that a good row came from.
fn origin_of(decoded: &Decoded, row: usize) -> Result<(u64, Bytes)> {
    match decoded.origins.get(row) {
        Some(origin) => Ok((origin.record, decoded.bytes.slice(origin.range()))),
        None => Ok((row as u64 + 1, row_as_json(&decoded.rows, row)?.into())),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, TimestampMillisecondArray};
    use headwater_core::StreamName;

    use super::*;

    #[test]
    fn the_future_and_the_timeless_stay_out() {
        let times = TimestampMillisecondArray::from(vec![
            Some(1_000),
            Some(3_601_001),
            None,
            Some(3_601_000),
            Some(-5),
        ]);
        let rows = RecordBatch::try_from_iter([("ts", Arc::new(times) as _)]).unwrap();
        let mut spec = StreamSpec::new(StreamName::new("s").unwrap(), rows.schema());
        spec.event_time = Some("ts".to_owned());
        spec.properties.insert(CLOCK_GUARD.to_owned(), "1 hour".to_owned());
        let decoded = Decoded { rows, bad: Vec::new(), origins: Vec::new(), bytes: Bytes::new() };
        let now = EventTime(1_000_000_000);
        let admitted = ClockGuard::of(&spec).unwrap().admit(&spec, None, decoded, now).unwrap();
        assert_eq!(admitted.rows.num_rows(), 3);
        let told: Vec<_> = admitted.bad.iter().map(|bad| (bad.record, bad.fault)).collect();
        assert_eq!(told, [(2, RecordFault::ClockGuard), (3, RecordFault::NoEventTime)]);
        assert_eq!(
            admitted.bad[0].reason,
            "1970-01-01T01:00:01.001Z is more than 3600s after its arrival at 1970-01-01T00:00:01Z"
        );
        assert_eq!(&admitted.bad[0].payload[..], br#"{"ts":"1970-01-01T01:00:01.001"}"#);
    }

    /// Milliseconds, none of which is 13.
    struct Millis;

    impl EventTimes for Millis {
        fn column(&self) -> &str {
            "ts"
        }

        fn times(&self, rows: &RecordBatch, _now: EventTime) -> std::result::Result<ArrayRef, String> {
            let millis = rows.column(0).as_primitive::<Int64Type>();
            if millis.iter().any(|value| value == Some(13)) {
                return Err("13 is no time".to_owned());
            }
            Ok(Arc::new(TimestampMillisecondArray::from_iter(millis.iter())))
        }
    }

    #[test]
    fn a_time_that_is_computed_is_judged_as_one_that_is_a_column() {
        let millis = Int64Array::from(vec![Some(1_000), Some(13), None, Some(9_000_000), Some(13), Some(5)]);
        let rows = RecordBatch::try_from_iter([("ms", Arc::new(millis) as _)]).unwrap();
        let spec = StreamSpec::new(StreamName::new("s").unwrap(), rows.schema());
        let decoded = Decoded { rows, bad: Vec::new(), origins: Vec::new(), bytes: Bytes::new() };
        let guard = ClockGuard(Some(Duration::from_secs(3600)));
        let admitted = guard.admit(&spec, Some(&Millis), decoded, EventTime(0)).unwrap();
        let kept = admitted.rows.column(0).as_primitive::<Int64Type>().values().to_vec();
        assert_eq!(kept, [1_000, 5]);
        let told: Vec<_> = admitted.bad.iter().map(|bad| (bad.record, bad.fault)).collect();
        let none = RecordFault::NoEventTime;
        assert_eq!(told, [(2, none), (3, none), (4, RecordFault::ClockGuard), (5, none)]);
        let reasons: Vec<_> = admitted.bad.iter().map(|bad| &*bad.reason).collect();
        assert_eq!(reasons[0], "13 is no time");
        assert_eq!(reasons[1], "the stream needs an event time, found null");
        assert_eq!(&admitted.bad[3].payload[..], br#"{"ms":13}"#);
        let rows = admitted.rows.slice(0, 0);
        let decoded = Decoded { rows, bad: Vec::new(), origins: Vec::new(), bytes: Bytes::new() };
        assert_eq!(guard.admit(&spec, Some(&Millis), decoded, EventTime(0)).unwrap().rows.num_rows(), 0);
    }

    #[test]
    fn bounds_are_durations_or_none() {
        assert_eq!(ClockGuard::parse("none"), Ok(ClockGuard(None)));
        assert_eq!(ClockGuard::parse("5 min"), Ok(ClockGuard(Some(Duration::from_secs(300)))));
        assert!(ClockGuard::parse("soon").is_err());
    }
}
