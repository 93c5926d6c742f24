//! Opening finds where everything stands from the ends of partitions; reading finds its place in the middle of them.

use std::sync::Arc;

use headwater_core::{Epoch, EventTime, ProducerId, Sequence, ShardId, StreamId};
use headwater_log::{Append, From, Log, LogError, Producer, ReadSpec, Retention};

use crate::broker::Broker;
use crate::rows::{append, create, read, read_all, rows};

/// Appends of ten rows each, so many, with a producer of their own.
fn fill(log: &dyn Log, stream: StreamId, appends: std::ops::Range<i64>, text: usize) {
    for n in appends {
        let producer = Producer { id: ProducerId(3), epoch: Epoch(2), sequence: n as u64 };
        let rows = rows(10 * n..10 * n + 10, text);
        let append = Append { producer: Some(producer), ..Append::new(stream, ShardId(0), rows) };
        assert!(!log.append(vec![append]).unwrap()[0].duplicate);
    }
}

#[test]
fn a_reader_finds_its_place_in_a_few_reads() {
    let broker = Arc::new(Broker::default());
    let log = broker.open();
    let stream = create(&*log, "events", 1);
    fill(&*log, stream, 0..2_000, 0);
    for log in [Arc::clone(&log), broker.open()] {
        for from in [0, 1, 9, 10, 9_995, 12_345, 19_999] {
            let spec = ReadSpec {
                from: From::Sequence(Sequence(from)),
                until: Some(Sequence(from + 3)),
                ..ReadSpec::all(stream, ShardId(0))
            };
            broker.reads();
            let until = (from as i64 + 3).min(20_000);
            assert!(read(&*log, spec).into_iter().eq(from as i64..until));
            assert!(broker.reads() < 60, "the partition is not read from its beginning");
            let spec = ReadSpec {
                from: From::EventTime(EventTime(from as i64 * 1_000_000)),
                ..ReadSpec::all(stream, ShardId(0))
            };
            let first = log.read(spec).unwrap().position();
            assert_eq!(first, Sequence(from / 10 * 10), "the batch with the time is the first");
        }
        let late =
            ReadSpec { from: From::EventTime(EventTime(1 << 60)), ..ReadSpec::all(stream, ShardId(0)) };
        assert_eq!(log.read(late).unwrap().position(), Sequence(20_000));
    }
}

#[test]
fn opening_reads_the_end_of_a_partition_and_forgets_nobody() {
    let broker = Arc::new(Broker::default());
    let log = broker.open();
    let stream = create(&*log, "events", 1);
    let old = Producer { id: ProducerId(1), epoch: Epoch(0), sequence: 5 };
    log.append(vec![Append { producer: Some(old), ..append(stream, 0, [-1]) }]).unwrap();
    let (bytes, appends) = (4_000, 150);
    fill(&*log, stream, 0..appends, bytes);
    log.set_fence(stream, ShardId(0), Some(77)).unwrap();
    log.close().unwrap();

    broker.reads();
    let log = broker.open();
    assert!(broker.reads() < 30, "the beginning is not read");
    let again = log.append(vec![Append { producer: Some(old), ..append(stream, 0, [-1]) }]).unwrap()[0];
    assert!(again.duplicate && again.first == Sequence(0), "a producer of long ago is remembered");
    let (last, _) = log.last_of(stream, ShardId(0), ProducerId(3)).unwrap().unwrap();
    assert_eq!(last.sequence, appends as u64 - 1);
    let fenced = Append { fence: Some(76), ..append(stream, 0, [0]) };
    assert!(matches!(log.append(vec![fenced]), Err(LogError::Fenced { actual: Some(77), .. })));
    let expected =
        Append { expect_next: Some(Sequence(10 * appends as u64 + 1)), ..append(stream, 0, [10 * appends]) };
    log.append(vec![expected]).unwrap();
    assert!(read_all(&*log, stream, 0).into_iter().eq(-1..=10 * appends));
}

#[test]
fn what_retention_removes_is_gone_and_what_opening_needs_stays() {
    let broker = Arc::new(Broker::default());
    let log = broker.open();
    let stream = create(&*log, "events", 1);
    let topic = broker.topics().into_iter().find(|topic| topic.starts_with("lab.events.")).unwrap();
    fill(&*log, stream, 0..150, 4_000);
    log.trim(stream, ShardId(0), Sequence(305)).unwrap();
    let first = log.bounds(stream).unwrap()[0].first;
    assert_eq!(first, Sequence(300), "whole batches go");
    assert!(broker.begin(&topic, 0) > 0);
    let gone = ReadSpec { from: From::Sequence(Sequence(299)), ..ReadSpec::all(stream, ShardId(0)) };
    assert!(matches!(log.read(gone), Err(LogError::Trimmed { oldest: Sequence(300), .. })));
    let segment = log.segments(stream).unwrap().remove(0);
    assert_eq!((segment.rows.start, segment.batches), (first, 120));

    // All of it may go, but the newest MiB or so is what opening reads.
    log.trim(stream, ShardId(0), Sequence(1_500)).unwrap();
    let first = log.bounds(stream).unwrap()[0].first;
    assert!(first > Sequence(1_000) && first < Sequence(1_500), "{first}");
    let shown = log.segments(stream).unwrap().remove(0);
    drop(log);
    let log = broker.open();
    assert_eq!(log.bounds(stream).unwrap()[0].first, first);
    assert_eq!(log.segments(stream).unwrap().remove(0), shown);
    assert!(read_all(&*log, stream, 0).into_iter().eq(first.0 as i64..1_500));
    fill(&*log, stream, 150..151, 0);
}

#[test]
fn a_held_stream_is_trimmed_as_far_as_it_was_released() {
    let broker = Arc::new(Broker::default());
    let log = broker.open();
    let stream = create(&*log, "events", 1);
    fill(&*log, stream, 0..150, 4_000);
    log.set_hold(stream, true).unwrap();
    log.trim(stream, ShardId(0), Sequence(500)).unwrap();
    assert_eq!(log.bounds(stream).unwrap()[0].first, Sequence(0));
    log.release(stream, ShardId(0), Sequence(200)).unwrap();
    log.trim(stream, ShardId(0), Sequence(500)).unwrap();
    assert_eq!(log.bounds(stream).unwrap()[0].first, Sequence(200));
}

#[test]
fn retention_by_bytes_keeps_about_so_many() {
    let broker = Arc::new(Broker::default());
    let options = headwater_log::TopicLogOptions {
        retention_interval: std::time::Duration::from_millis(5),
        ..Default::default()
    };
    let log = headwater_log::TopicLog::open(headwater_core::World::real(), broker.connect(), "lab", options)
        .unwrap();
    let stream = create(&*log, "events", 1);
    fill(&*log, stream, 0..150, 4_000);
    let most = 3 << 20;
    log.set_retention(stream, Retention { age: None, bytes: Some(most) }).unwrap();
    // The keeper looks every few milliseconds.
    while log.bounds(stream).unwrap()[0].first == Sequence(0) {
        std::thread::yield_now();
    }
    let kept: u64 = log.segments(stream).unwrap().iter().map(|segment| segment.bytes).sum();
    assert!(kept <= most && kept > most - (64 << 10), "{kept}");
}

#[test]
fn damage_is_found_and_says_where_it_is() {
    let broker = Arc::new(Broker::default());
    let log = broker.open();
    let stream = create(&*log, "events", 1);
    log.append(vec![append(stream, 0, 0..10)]).unwrap();
    log.close().unwrap();
    let topic = broker.topics().into_iter().find(|topic| topic.starts_with("lab.events.")).unwrap();
    broker.damage(&topic, 0, 700);
    let log = broker.open();
    let error = log.read(ReadSpec::all(stream, ShardId(0))).unwrap().next().unwrap_err();
    assert!(error.to_string().starts_with(&format!("{topic}/0 is damaged")), "{error}");
    broker.damage(&topic, 0, 20);
    let opened = headwater_log::TopicLog::open(
        headwater_core::World::real(),
        broker.connect(),
        "lab",
        Default::default(),
    );
    assert!(matches!(opened.err(), Some(LogError::Corrupt { .. })));
}
