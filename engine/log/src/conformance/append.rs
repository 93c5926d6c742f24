//! What is appended is there, whole and once.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use headwater_core::{Sequence, ShardId, StreamName};

use super::Make;
use super::fixture::{Fixture, create, rows};
use crate::api::{Append, Appended, ReadSpec, StreamSpec};
use crate::error::LogError;

pub(super) fn rows_come_back_in_order(make: Make<'_>) {
    let fixture = Fixture::new(make, 2);
    let first = fixture.append(1, 0..3);
    assert_eq!(first, Appended { first: Sequence(0), next: Sequence(3), duplicate: false });
    let second = fixture.append(1, 3..5);
    assert_eq!(second, Appended { first: Sequence(3), next: Sequence(5), duplicate: false });
    assert_eq!(fixture.append(0, 9..10).first, Sequence(0), "shards count for themselves");
    assert_eq!(fixture.read_all(1), [0, 1, 2, 3, 4]);
    assert_eq!(fixture.read_all(0), [9]);
    let bounds = fixture.log.bounds(fixture.stream).unwrap();
    assert_eq!((bounds[0].first, bounds[0].next), (Sequence(0), Sequence(1)));
    assert_eq!((bounds[1].first, bounds[1].next), (Sequence(0), Sequence(5)));
}

pub(super) fn an_empty_append_appends_nothing(make: Make<'_>) {
    let fixture = Fixture::new(make, 1);
    fixture.append(0, 0..2);
    let empty = fixture.append(0, 0..0);
    assert_eq!(empty, Appended { first: Sequence(2), next: Sequence(2), duplicate: false });
    assert_eq!(fixture.log.append(Vec::new()).unwrap(), []);
    assert_eq!(fixture.read_all(0), [0, 1]);
}

pub(super) fn a_group_is_one(make: Make<'_>) {
    let fixture = Fixture::new(make, 3);
    let other = create(&*fixture.log, "other", 1).id;
    let good = vec![
        fixture.append_of(0, 0..2),
        Append::new(other, ShardId(0), rows(7..8)),
        fixture.append_of(0, 2..3),
    ];
    let placed = fixture.log.append(good).unwrap();
    assert_eq!(placed.iter().map(|one| one.first.0).collect::<Vec<_>>(), [0, 0, 2]);
    let wrong = Append { expect_next: Some(Sequence(5)), ..fixture.append_of(2, 0..1) };
    let error = fixture.log.append(vec![fixture.append_of(1, 0..2), wrong]).unwrap_err();
    assert!(matches!(error, LogError::WrongSequence { .. }), "{error}");
    assert_eq!(fixture.next(1), Sequence(0), "nothing of a group that fails is appended");
    assert_eq!(fixture.read_all(0), [0, 1, 2]);
    assert_eq!(fixture.append(1, 5..6).first, Sequence(0));
}

pub(super) fn a_group_is_seen_as_one(make: Make<'_>) {
    let fixture = Fixture::new(make, 2);
    std::thread::scope(|scope| {
        let appending = scope.spawn(|| {
            for n in 0..200 {
                fixture
                    .log
                    .append(vec![fixture.append_of(0, n..n + 1), fixture.append_of(1, n..n + 1)])
                    .unwrap();
            }
        });
        while !appending.is_finished() {
            let bounds = fixture.log.bounds(fixture.stream).unwrap();
            assert_eq!(bounds[0].next, bounds[1].next);
            std::thread::yield_now();
        }
    });
    assert_eq!(fixture.next(0), Sequence(200));
}

pub(super) fn large_appends_stay_one(make: Make<'_>) {
    let log = make();
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
    let spec = StreamSpec::new(StreamName::new("large").unwrap(), Arc::clone(&schema));
    let stream = log.create_stream(spec).unwrap().id;
    let count = (1 << 20) + 10;
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..count));
    let rows = RecordBatch::try_new(schema, vec![column]).unwrap();
    let placed = log.append(vec![Append::new(stream, ShardId(0), rows)]).unwrap();
    assert_eq!((placed[0].first, placed[0].next), (Sequence(0), Sequence(count as u64)));
    let mut reader = log.read(ReadSpec::all(stream, ShardId(0))).unwrap();
    let mut next = 0;
    while let Some(batch) = reader.next().unwrap() {
        let values = super::fixture::values(&batch.rows, 0);
        assert!(values.iter().copied().eq(next..next + values.len() as i64));
        next += values.len() as i64;
    }
    assert_eq!(next, count);
}

pub(super) fn rows_that_do_not_fit_are_refused(make: Make<'_>) {
    let fixture = Fixture::new(make, 1);
    let column: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let one = RecordBatch::try_from_iter([("value", column)]).unwrap();
    let error = fixture.log.append(vec![Append::new(fixture.stream, ShardId(0), one)]).unwrap_err();
    assert!(matches!(error, LogError::SchemaMismatch { .. }), "{error}");
    let error = fixture.log.append(vec![fixture.append_of(1, 0..1)]).unwrap_err();
    assert!(matches!(error, LogError::NoShard { shards: 1, .. }), "{error}");
    let unknown = headwater_core::StreamId(99);
    let error = fixture.log.append(vec![Append::new(unknown, ShardId(0), rows(0..1))]).unwrap_err();
    assert!(matches!(error, LogError::NoStream { .. }), "{error}");
    assert_eq!(fixture.next(0), Sequence(0));
    fixture.append(0, 0..1);
}

pub(super) fn threads_append_side_by_side(make: Make<'_>) {
    let fixture = Fixture::new(make, 2);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let fixture = &fixture;
            scope.spawn(move || {
                for n in 0..50 {
                    let value = thread * 1000 + n;
                    fixture.append((n % 2) as u32, value..value + 1);
                }
            });
        }
    });
    for shard in 0..2 {
        let all = fixture.read_all(shard);
        assert_eq!(all.len(), 100);
        for thread in 0..4 {
            let of_thread: Vec<i64> = all.iter().copied().filter(|value| value / 1000 == thread).collect();
            assert_eq!(of_thread.len(), 25);
            assert!(of_thread.is_sorted(), "each thread's appends are in its order");
        }
    }
}

pub(super) fn a_closed_log_takes_nothing(make: Make<'_>) {
    let fixture = Fixture::new(make, 1);
    fixture.append(0, 0..1);
    let pending = fixture.log.submit(vec![fixture.append_of(0, 1..2)]);
    fixture.log.close().unwrap();
    assert_eq!(pending.wait().unwrap()[0].next, Sequence(2), "what was submitted before is committed");
    let error = fixture.log.append(vec![fixture.append_of(0, 2..3)]).unwrap_err();
    assert!(matches!(error, LogError::Closed), "{error}");
    let spec = StreamSpec::new(StreamName::new("late").unwrap(), super::fixture::schema());
    assert!(matches!(fixture.log.create_stream(spec), Err(LogError::Closed)));
    assert!(matches!(fixture.log.read(fixture.spec(0)), Err(LogError::Closed)));
    fixture.log.close().unwrap();
}
