//! Reading from a place, of some columns, within bounds.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use headwater_core::{EventTime, Sequence, ShardId};

use super::Make;
use super::fixture::{Fixture, values};
use crate::api::{ColumnBound, From, ReadSpec};
use crate::error::LogError;

/// Ten appends of ten rows, values 0 to 99.
fn hundred(make: Make<'_>) -> Fixture {
    let fixture = Fixture::new(make, 1);
    for n in 0..10 {
        fixture.append(0, 10 * n..10 * n + 10);
    }
    fixture
}

pub(super) fn starts_where_told(make: Make<'_>) {
    let fixture = hundred(make);
    let from = |from| ReadSpec { from, ..fixture.spec(0) };
    assert!(fixture.read(from(From::Earliest)).into_iter().eq(0..100));
    assert!(fixture.read(from(From::Sequence(Sequence(0)))).into_iter().eq(0..100));
    assert!(fixture.read(from(From::Sequence(Sequence(37)))).into_iter().eq(37..100));
    assert!(fixture.read(from(From::Sequence(Sequence(99)))).into_iter().eq(99..100));
    assert!(fixture.read(from(From::Latest)).is_empty());
    let mut ahead = fixture.log.read(from(From::Sequence(Sequence(105)))).unwrap();
    assert!(ahead.next().unwrap().is_none());
    fixture.append(0, 100..110);
    assert_eq!(values(&ahead.next().unwrap().unwrap().rows, 1), [105, 106, 107, 108, 109]);
}

pub(super) fn starts_at_a_time(make: Make<'_>) {
    let fixture = hundred(make);
    let at = |seconds: i64| EventTime(seconds * 1_000_000_000);
    for second in [0, 1, 9, 10, 55, 99] {
        let spec = ReadSpec { from: From::EventTime(at(second)), ..fixture.spec(0) };
        let read = fixture.read(spec);
        assert!(read.first().is_some_and(|first| *first <= second), "no row at or after the time is missed");
        assert_eq!(read.last(), Some(&99));
    }
    let late = ReadSpec { from: From::EventTime(at(100)), ..fixture.spec(0) };
    assert!(fixture.read(late).is_empty());
    let all = ReadSpec { arrivals: true, ..fixture.spec(0) };
    let mut reader = fixture.log.read(all).unwrap();
    let (mut seen, mut arrivals) = (0, Vec::new());
    while let Some(batch) = reader.next().unwrap() {
        arrivals.extend_from_slice(batch.arrivals.unwrap().values());
        seen += batch.rows.num_rows();
    }
    assert_eq!((seen, arrivals.len()), (100, 100));
    for probe in [arrivals[0], arrivals[50], arrivals[99]] {
        let spec = ReadSpec { from: From::Arrival(EventTime(probe)), ..fixture.spec(0) };
        let oldest = arrivals.iter().position(|arrival| *arrival >= probe).unwrap() as i64;
        assert!(fixture.read(spec)[0] <= oldest, "no row that arrived at or after the time is missed");
    }
    let spec = ReadSpec { from: From::Arrival(EventTime(arrivals[99] + 1)), ..fixture.spec(0) };
    assert!(fixture.read(spec).is_empty());
}

/// Readers side by side may share what one of them decoded: each gets what it asked for all the same.
pub(super) fn readers_side_by_side(make: Make<'_>) {
    let fixture = hundred(make);
    let bound = |from: i64| ColumnBound {
        column: 1,
        min: Some(Arc::new(Int64Array::from(vec![from])) as ArrayRef),
        max: None,
    };
    let narrow = |columns: &[usize]| ReadSpec { projection: Some(columns.to_vec()), ..fixture.spec(0) };
    // Each with the first row that it must get; of those before, bounds leave out what they can.
    let specs = [
        (fixture.spec(0), 0),
        (narrow(&[1]), 0),
        (narrow(&[2, 1]), 0),
        (ReadSpec { bounds: vec![bound(50)], ..narrow(&[1]) }, 50),
        (ReadSpec { bounds: vec![bound(200)], ..narrow(&[1]) }, 100),
        (ReadSpec { from: From::Sequence(Sequence(7)), ..narrow(&[1]) }, 7),
        (ReadSpec { arrivals: true, ..narrow(&[1]) }, 0),
    ];
    let open = |spec: &(ReadSpec, i64)| fixture.log.read(spec.0.clone()).unwrap();
    let mut readers: Vec<_> = specs.iter().chain(&specs).map(open).collect();
    let mut together: Vec<Vec<i64>> = vec![Vec::new(); readers.len()];
    for _ in 0..100 {
        for (nth, reader) in readers.iter_mut().enumerate() {
            let (spec, first) = &specs[nth % specs.len()];
            let Some(read) = reader.next().unwrap() else { continue };
            assert_eq!(read.arrivals.is_some(), spec.arrivals);
            assert_eq!(read.rows.num_columns(), spec.projection.as_ref().map_or(3, Vec::len));
            let column = read.rows.schema().index_of("value").unwrap();
            together[nth].extend(values(&read.rows, column).iter().filter(|value| *value >= first));
        }
    }
    for (nth, rows) in together.into_iter().enumerate() {
        let (_, first) = specs[nth % specs.len()];
        assert!(rows.into_iter().eq(first..100), "reader {nth}");
    }
}

pub(super) fn stops_and_follows(make: Make<'_>) {
    let fixture = hundred(make);
    let until = |from, until| ReadSpec {
        from: From::Sequence(Sequence(from)),
        until: Some(Sequence(until)),
        ..fixture.spec(0)
    };
    assert!(fixture.read(until(0, 100)).into_iter().eq(0..100));
    assert!(fixture.read(until(13, 57)).into_iter().eq(13..57));
    assert!(fixture.read(until(13, 13)).is_empty());
    let mut bounded = fixture.log.read(until(95, 105)).unwrap();
    assert_eq!(values(&bounded.next().unwrap().unwrap().rows, 1), [95, 96, 97, 98, 99]);
    assert!(bounded.next().unwrap().is_none());
    let mut following = fixture.log.read(ReadSpec { from: From::Latest, ..fixture.spec(0) }).unwrap();
    assert!(following.next().unwrap().is_none());
    fixture.append(0, 100..110);
    assert_eq!(values(&bounded.next().unwrap().unwrap().rows, 1), [100, 101, 102, 103, 104]);
    assert!(bounded.next().unwrap().is_none());
    assert!(values(&following.next().unwrap().unwrap().rows, 1).into_iter().eq(100..110));
    assert!(following.next().unwrap().is_none());
}

pub(super) fn columns_are_projected(make: Make<'_>) {
    let fixture = hundred(make);
    let project = |columns: Vec<usize>| {
        let spec = ReadSpec { projection: Some(columns), ..fixture.spec(0) };
        fixture.log.read(spec)
    };
    let batch = project(vec![2, 1]).unwrap().next().unwrap().unwrap();
    assert_eq!(batch.rows.schema().field(0).name(), "note");
    assert_eq!(batch.rows.column(0).as_string::<i32>().value(1), "note 1");
    assert_eq!(values(&batch.rows, 1)[1], 1);
    let mut counting = project(Vec::new()).unwrap();
    let mut count = 0;
    while let Some(batch) = counting.next().unwrap() {
        assert_eq!(batch.rows.num_columns(), 0);
        count += batch.rows.num_rows();
    }
    assert_eq!(count, 100);
    assert!(project(vec![3]).is_err());
}

pub(super) fn bounds_leave_out_no_match(make: Make<'_>) {
    let fixture = hundred(make);
    let one = |value: i64| -> Option<ArrayRef> { Some(Arc::new(Int64Array::from(vec![value]))) };
    let bound = ColumnBound { column: 1, min: one(42), max: one(57) };
    let spec = ReadSpec { bounds: vec![bound], ..fixture.spec(0) };
    let mut reader = fixture.log.read(spec).unwrap();
    let mut read = Vec::new();
    while let Some(batch) = reader.next().unwrap() {
        assert_eq!(batch.first.0 as i64, values(&batch.rows, 1)[0]);
        read.extend(values(&batch.rows, 1));
    }
    assert!((42..=57).all(|value| read.contains(&value)), "every row within the bounds is read");
    assert!(read.is_sorted());
    assert_eq!(reader.position(), Sequence(100), "what was left out counts as looked at");
    let bound = ColumnBound { column: 9, min: one(0), max: None };
    assert!(fixture.log.read(ReadSpec { bounds: vec![bound], ..fixture.spec(0) }).is_err());
}

pub(super) fn arrivals_never_go_back(make: Make<'_>) {
    let fixture = hundred(make);
    let mut reader = fixture.log.read(ReadSpec { arrivals: true, ..fixture.spec(0) }).unwrap();
    let mut last = EventTime::MIN;
    while let Some(batch) = reader.next().unwrap() {
        let arrivals = batch.arrivals.unwrap();
        assert_eq!(arrivals.len(), batch.rows.num_rows());
        for arrival in arrivals.values() {
            let arrival = EventTime(*arrival);
            assert!(arrival >= last);
            assert!(batch.arrival.start <= arrival && arrival <= batch.arrival.end);
            last = arrival;
        }
    }
    assert!(last > EventTime::MIN);
}

pub(super) fn what_is_trimmed_is_gone(make: Make<'_>) {
    let fixture = hundred(make);
    fixture.log.trim(fixture.stream, ShardId(0), Sequence(35)).unwrap();
    let bounds = fixture.log.bounds(fixture.stream).unwrap()[0];
    assert!(bounds.first <= Sequence(35), "no more is trimmed than was asked for");
    assert_eq!(bounds.next, Sequence(100));
    assert_eq!(fixture.read_all(0), (bounds.first.0 as i64..100).collect::<Vec<_>>());
    if bounds.first > Sequence(0) {
        let spec = ReadSpec { from: From::Sequence(Sequence(bounds.first.0 - 1)), ..fixture.spec(0) };
        let error = fixture.log.read(spec).err().unwrap();
        assert!(matches!(error, LogError::Trimmed { oldest, .. } if oldest == bounds.first), "{error}");
    }
    fixture.log.trim(fixture.stream, ShardId(0), Sequence(10)).unwrap();
    assert_eq!(fixture.log.bounds(fixture.stream).unwrap()[0], bounds, "trimming never gives back");
    assert!(fixture.log.trim(fixture.stream, ShardId(9), Sequence(1)).is_err());
}

pub(super) fn segments_cover_the_rows(make: Make<'_>) {
    let fixture = hundred(make);
    let mut segments = fixture.log.segments(fixture.stream).unwrap();
    segments.sort_by_key(|segment| segment.rows.start);
    let mut next = Sequence(0);
    for segment in &segments {
        assert_eq!(segment.rows.start, next);
        assert!(segment.batches > 0 && segment.bytes > 0);
        assert!(segment.arrival.0 <= segment.arrival.1);
        next = segment.rows.end;
    }
    assert_eq!(next, Sequence(100));
    let times = segments.iter().filter_map(|segment| segment.event_time);
    let (min, max) = times.reduce(|all, one| (all.0.min(one.0), all.1.max(one.1))).unwrap();
    assert_eq!((min, max), (EventTime(0), EventTime(99_000_000_000)));
}
