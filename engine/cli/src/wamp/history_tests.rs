//! Event history of a stream with several shards, most of whose rows are only in an archive: every answer is a stretch of the list that the
//! log itself gives.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit, TimestampNanosecondType};
use futures::TryStreamExt as _;
use headwater_core::{EventTime, Sequence, ShardId, World};
use headwater_log::{DiskLogOptions, ReadSpec};
use headwater_run::{Answer, Engine, EngineOptions};
use headwater_wamp::message::Match;
use headwater_wamp::realm::{Edge, Moment, Question};

use super::Recorded;
use crate::host::Connectors;

/// An engine in a directory whose log's files are small, so that rows can be dropped from it.
fn open(data: &std::path::Path) -> Engine {
    headwater_connectors::registry::add(&headwater_wamp::connector::CONNECTOR);
    let options = EngineOptions {
        data: Some(data.to_owned()),
        workers: 2,
        checkpoint_interval: Duration::from_secs(10),
        log: DiskLogOptions { segment_bytes: 16 << 10, ..DiskLogOptions::default() },
        ..EngineOptions::in_memory()
    };
    let world = World::real();
    Engine::open(world.clone(), options, Arc::new(Connectors::new(world, Default::default()))).unwrap()
}

async fn rows(engine: &Engine, sql: &str) -> Vec<RecordBatch> {
    let mut batches = Vec::new();
    for answer in engine.execute(sql).await.unwrap_or_else(|error| panic!("{error}\n{sql}")) {
        if let Answer::Rows(rows) = answer {
            batches.extend(rows.try_collect::<Vec<_>>().await.unwrap());
        }
    }
    batches
}

/// Which events say at what time they were recorded, if any do.
type Timed = Option<fn(i64) -> bool>;

/// Appends events with these numbers as their publications, in batches of forty; every fifth is for a role of its own.
fn record(engine: &Engine, numbers: std::ops::Range<i64>, timed: Timed) {
    for from in numbers.clone().step_by(40) {
        let batch = from..(from + 40).min(numbers.end);
        let texts = |text: &dyn Fn(i64) -> Option<String>| -> ArrayRef {
            Arc::new(batch.clone().map(text).collect::<StringArray>())
        };
        let temp = Float64Array::from_iter_values(batch.clone().map(|n| n as f64 / 2.0));
        let room = |n: i64| if n % 3 == 0 { "attic" } else { "cellar" };
        let mut columns: Vec<(&str, ArrayRef)> = vec![
            ("device", texts(&|n| Some(format!("d{}", n % 7)))),
            ("temp", Arc::new(temp)),
            ("wamp_topic", texts(&|n| Some(format!("com.home.{}", room(n))))),
            ("wamp_publication", Arc::new(Int64Array::from_iter_values(batch.clone()))),
            (
                "wamp_receivers",
                texts(&|n| (n % 5 == 0).then(|| r#"{"eligible_authrole":["device"]}"#.to_owned())),
            ),
        ];
        if let Some(is_timed) = timed {
            // Twenty events in each millisecond.
            let times = batch.clone().map(|n| is_timed(n).then_some(1_700_000_000_000 + n / 20));
            columns.push(("wamp_timestamp", Arc::new(times.collect::<TimestampMillisecondArray>())));
        }
        let rows = RecordBatch::try_from_iter_with_nullable(
            columns.into_iter().map(|(name, column)| (name, column, true)),
        );
        engine.ingest().append_batch("readings", "test", rows.unwrap()).unwrap();
    }
}

/// An event as the log has it, by what it is put in order: time (those without one come last), shard, sequence.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Seen {
    is_timeless: bool,
    time: i64,
    shard: u32,
    sequence: u64,
    publication: u64,
}

/// All events that the log still has, in the order of history.
fn seen(engine: &Engine, from: &BTreeMap<u32, Sequence>, timed: Timed) -> Vec<Seen> {
    let log = engine.log();
    let info = log.stream_named("readings").unwrap();
    let mut all = Vec::new();
    for shard in 0..info.spec.shards {
        let start = from.get(&shard).copied().unwrap_or_default();
        let spec = ReadSpec {
            from: headwater_log::From::Sequence(start),
            arrivals: true,
            ..ReadSpec::all(info.id, ShardId(shard))
        };
        let mut reader = log.read(spec).unwrap();
        while let Some(batch) = reader.next().unwrap() {
            let publications = batch.rows.column_by_name("wamp_publication").unwrap();
            let times = if timed.is_some() {
                let times = batch.rows.column_by_name("wamp_timestamp").unwrap();
                let times = cast(times, &DataType::Timestamp(TimeUnit::Nanosecond, None)).unwrap();
                times.as_primitive::<TimestampNanosecondType>().clone()
            } else {
                batch.arrivals.unwrap()
            };
            for (row, publication) in publications.as_primitive::<Int64Type>().values().iter().enumerate() {
                all.push(Seen {
                    is_timeless: times.is_null(row),
                    time: times.value(row),
                    shard,
                    sequence: batch.first.0 + row as u64,
                    publication: *publication as u64,
                });
            }
        }
    }
    all.sort_unstable();
    all
}

fn question(role: &str) -> Question {
    Question {
        session: 1,
        request: 1,
        subscription: 1,
        uri: "com.home.".into(),
        matching: Match::Prefix,
        authid: "someone".to_owned(),
        authrole: role.to_owned(),
        is_reverse: false,
        limit: None,
        topic: None,
        edges: Vec::new(),
    }
}

/// Asks, and compares the answer with the stretch of what was seen.
async fn check(engine: &Engine, all: &[Seen], question: Question) {
    let place = |id: u64| all.iter().find(|one| one.publication == id).copied();
    let is_within = |one: &Seen| {
        question.edges.iter().all(|edge| {
            let (order, is_there) = match edge.at {
                Moment::Time(time) => (one.time.cmp(&time.0), !one.is_timeless),
                Moment::Publication(id) => match place(id) {
                    Some(place) => (one.cmp(&place), true),
                    None => (std::cmp::Ordering::Equal, false),
                },
            };
            let is_beyond = if edge.is_begin { order.is_gt() } else { order.is_lt() };
            is_there && (is_beyond || (edge.is_included && order.is_eq()))
        })
    };
    let is_for = |one: &Seen| {
        let topic = if one.publication.is_multiple_of(3) { "com.home.attic" } else { "com.home.cellar" };
        (!one.publication.is_multiple_of(5) || question.authrole == "device")
            && question.topic.as_deref().is_none_or(|only| only == topic)
    };
    let mut expected: Vec<u64> =
        all.iter().filter(|one| is_within(one) && is_for(one)).map(|one| one.publication).collect();
    if question.is_reverse {
        expected.reverse();
    }
    let limit = question.limit.unwrap_or(usize::MAX);
    let is_more = expected.len() > limit;
    expected.truncate(limit);
    let recorded = Recorded::find(&engine.catalog(), "realm1", &question).unwrap();
    let (events, more) = recorded.events(engine, &question).await.unwrap();
    let found: Vec<u64> = events.iter().map(|event| event.publication).collect();
    assert!(found == expected, "{question:?}\n{found:?}\n{expected:?}");
    assert_eq!(more, is_more, "{question:?}");
}

async fn history_is_whole(timed: Timed) {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(&dir.path().join("data"));
    let time = if timed.is_some() { ", wamp_timestamp TIMESTAMP(3)" } else { "" };
    let create = format!(
        "CREATE STREAM readings (device VARCHAR, temp DOUBLE, wamp_topic VARCHAR, wamp_publication BIGINT,
             wamp_receivers VARCHAR{time}) PARTITIONED BY (device)
         WITH (connector = 'wamp', realm = 'realm1', topic = 'com.home.', match = 'prefix', shards = 3);
         CREATE ARCHIVE old FOR readings TO '{}' WITH ('rollover-seconds' = 1)",
        dir.path().join("archive").display()
    );
    rows(&engine, &create).await;
    record(&engine, 0..2_000, timed);
    let mut all = seen(&engine, &BTreeMap::new(), timed);
    assert_eq!(all.len(), 2_000);
    // Most of it is then in the archive alone.
    for attempt in 0.. {
        let lag = rows(&engine, "SELECT lag FROM system.archives WHERE lag = 0").await;
        if lag.iter().map(RecordBatch::num_rows).sum::<usize>() == 1 {
            break;
        }
        assert!(attempt < 9_000, "the archive does not come to rest");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let log = engine.log();
    let info = log.stream_named("readings").unwrap();
    let next: BTreeMap<u32, Sequence> =
        (0..).zip(log.bounds(info.id).unwrap()).map(|(shard, bounds)| (shard, bounds.next)).collect();
    // Files are dropped once they are sealed, which takes a while; then each shard has rows that only the archive has.
    for attempt in 0.. {
        next.iter().for_each(|(shard, next)| log.trim(info.id, ShardId(*shard), *next).unwrap());
        let kept = log.segments(info.id).unwrap().iter().map(|segment| segment.rows.start.0).min().unwrap();
        if kept > 100 {
            break;
        }
        assert!(attempt < 9_000, "rows up to {kept} alone are dropped");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    record(&engine, 2_000..2_300, timed);
    all.extend(seen(&engine, &next, timed));
    all.sort_unstable();
    assert_eq!(all.len(), 2_300);

    let guest = || question("guest");
    check(&engine, &all, guest()).await;
    check(&engine, &all, question("device")).await;
    for is_reverse in [false, true] {
        for limit in [1, 7, 1_500] {
            check(&engine, &all, Question { is_reverse, limit: Some(limit), ..guest() }).await;
        }
        let topic = Some("com.home.attic".to_owned());
        check(&engine, &all, Question { is_reverse, topic, limit: Some(600), ..guest() }).await;
        // In the archive, where it meets the log, in the log, and nowhere; an event itself, or its time.
        for publication in [3, 999, 1_998, 2_001, 2_299, 4_711] {
            let time = all.iter().find(|one| one.publication == publication).map_or(0, |one| one.time);
            for at in [Moment::Publication(publication), Moment::Time(EventTime(time))] {
                for (is_begin, is_included) in [(true, true), (true, false), (false, true), (false, false)] {
                    let edges = vec![Edge { is_begin, is_included, at }];
                    check(&engine, &all, Question { is_reverse, edges, limit: Some(40), ..guest() }).await;
                }
            }
        }
        let edges = vec![
            Edge { is_begin: true, is_included: false, at: Moment::Publication(101) },
            Edge { is_begin: false, is_included: true, at: Moment::Publication(2_051) },
        ];
        check(&engine, &all, Question { is_reverse, edges, ..guest() }).await;
    }
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn history_reads_archive_and_log_of_several_shards_as_one() {
    history_is_whole(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_one_moment_have_one_order() {
    history_is_whole(Some(|_| true)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_without_a_time_are_among_the_answers() {
    history_is_whole(Some(|n| n % 4 != 0)).await;
}
