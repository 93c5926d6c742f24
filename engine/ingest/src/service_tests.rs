//! Requests against a log in memory.

use std::collections::BTreeMap;

use arrow::array::{AsArray, Int64Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimeUnit};
use headwater_core::StreamName;
use headwater_log::{MemoryLog, ReadSpec, StreamSpec};

use super::*;
use crate::position::Mark;

fn spec(shards: u32) -> StreamSpec {
    let schema = Schema::new(vec![
        Field::new("device", DataType::Utf8, false),
        Field::new("n", DataType::Int64, true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), true),
    ]);
    let mut spec = StreamSpec::new(StreamName::new("readings").unwrap(), Arc::new(schema));
    spec.shards = shards;
    spec.partition_by = vec!["device".to_owned()];
    spec
}

fn ingest(spec: StreamSpec) -> Ingest {
    let world = World::real();
    let log = MemoryLog::new(world.clone());
    log.create_stream(spec).unwrap();
    Ingest::new(world, log).unwrap()
}

fn json(body: &str) -> AppendRequest {
    let body = Bytes::copy_from_slice(body.as_bytes());
    AppendRequest::new("readings", "http", Payload::Bytes { body, format: Format::JsonLines, options: None })
}

/// All rows of a stream, shard by shard.
fn rows(ingest: &Ingest, stream: &str) -> Vec<RecordBatch> {
    let log = ingest.log();
    let info = log.stream_named(stream).unwrap();
    let mut rows = Vec::new();
    for (shard, bounds) in (0_u32..).zip(log.bounds(info.id).unwrap()) {
        let spec = ReadSpec { until: Some(bounds.next), ..ReadSpec::all(info.id, ShardId(shard)) };
        let mut reader = log.read(spec).unwrap();
        while let Some(batch) = reader.next().unwrap() {
            rows.push(batch.rows);
        }
    }
    rows
}

fn count(ingest: &Ingest, stream: &str) -> usize {
    rows(ingest, stream).iter().map(RecordBatch::num_rows).sum()
}

#[test]
fn good_rows_go_to_their_shards_and_bad_ones_to_the_dead_letters() {
    let ingest = ingest(spec(4));
    let mut body: String = (0..100).map(|n| format!("{{\"device\":\"d{n}\",\"n\":{n}}}\n")).collect();
    body += "{\"n\":1}\n{\"device\":\"x\",\"n\":\"many\"}\nnonsense\n";
    let report = ingest.append(json(&body)).unwrap().wait().unwrap();
    assert_eq!((report.accepted, report.dead_lettered, report.duplicate), (100, 3, false));
    assert_eq!(report.shards.len(), 4);
    assert_eq!(report.shards.iter().map(|end| end.last_sequence + 1).sum::<u64>(), 100);
    let errors: Vec<_> = report.errors.iter().map(|bad| (bad.record, bad.code().as_str())).collect();
    assert_eq!(errors, [(101, "HW2103"), (102, "HW2102"), (103, "HW2101")]);

    assert_eq!(count(&ingest, "readings"), 100);
    let letters = rows(&ingest, DEAD_LETTERS).remove(0);
    assert_eq!(letters.num_rows(), 3);
    assert_eq!(letters.column_by_name("payload").unwrap().as_binary::<i32>().value(2), b"nonsense");
    assert_eq!(letters.column_by_name("source").unwrap().as_string::<i32>().value(0), "http");
    assert_eq!(letters.column_by_name("field").unwrap().as_string::<i32>().value(1), "n");
    assert_eq!(
        serde_json::to_string(&report.errors[1]).unwrap(),
        r#"{"record":102,"code":"HW2102","field":"n","reason":"expected BIGINT, found text \"many\""}"#
    );
    assert_eq!(ingest.counts()[0].rows, 100);
    assert_eq!(ingest.counts()[0].dead_letters, 3);
}

#[test]
fn a_repeat_under_the_same_key_appends_nothing() {
    let ingest = ingest(spec(2));
    let body: String = (0..10).map(|n| format!("{{\"device\":\"d{n}\"}}\n")).collect::<String>() + "oops\n";
    let request = |key: &str| AppendRequest { idempotency_key: Some(key.to_owned()), ..json(&body) };
    let first = ingest.append(request("a")).unwrap().wait().unwrap();
    assert!(!first.duplicate);
    // Something else comes in between.
    ingest.append(json("{\"device\":\"other\"}")).unwrap().wait().unwrap();
    let second = ingest.append(request("a")).unwrap().wait().unwrap();
    assert!(second.duplicate);
    assert_eq!(Report { duplicate: false, ..second }, first);
    assert_eq!((count(&ingest, "readings"), count(&ingest, DEAD_LETTERS)), (11, 1));
    assert!(!ingest.append(request("b")).unwrap().wait().unwrap().duplicate);
    assert_eq!(count(&ingest, "readings"), 21);
}

#[test]
fn concurrent_repeats_append_once() {
    // Both are submitted before either is remembered: the log itself tells them apart.
    let ingest = ingest(StreamSpec { partition_by: Vec::new(), ..spec(8) });
    let request = || AppendRequest { idempotency_key: Some("k".to_owned()), ..json("{\"device\":\"d\"}") };
    let (one, two) = (ingest.append(request()).unwrap(), ingest.append(request()).unwrap());
    let (one, two) = (one.wait().unwrap(), two.wait().unwrap());
    assert_eq!(u8::from(one.duplicate) + u8::from(two.duplicate), 1);
    assert_eq!(one.shards, two.shards);
    assert_eq!(count(&ingest, "readings"), 1);
}

#[test]
fn the_clock_guard_keeps_the_future_out() {
    let mut spec = spec(1);
    spec.event_time = Some("ts".to_owned());
    let ingest = ingest(spec);
    let body = concat!(
        "{\"device\":\"a\",\"ts\":\"2013-01-01T00:00:00Z\"}\n",
        "{\"device\":\"b\",\"ts\":\"2199-01-01T00:00:00Z\"}\n",
        "{\"device\":\"c\"}\n",
    );
    let report = ingest.append(json(body)).unwrap().wait().unwrap();
    assert_eq!((report.accepted, report.dead_lettered), (1, 2));
    assert_eq!(report.errors.iter().map(|bad| bad.code().as_str()).collect::<Vec<_>>(), ["HW2109", "HW2110"]);
    let letters = rows(&ingest, DEAD_LETTERS).remove(0);
    let payloads = letters.column_by_name("payload").unwrap().as_binary::<i32>();
    assert_eq!(payloads.value(0), b"{\"device\":\"b\",\"ts\":\"2199-01-01T00:00:00Z\"}");
}

#[test]
fn rows_are_matched_by_name() {
    let ingest = ingest(spec(1));
    let given = RecordBatch::try_from_iter([
        ("n", Arc::new(Int64Array::from(vec![7])) as _),
        ("device", Arc::new(arrow::array::StringArray::from(vec!["d"])) as _),
    ]);
    let report = ingest.append_batch("readings", "sql", given.unwrap()).unwrap();
    assert_eq!(report.accepted, 1);
    assert_eq!(rows(&ingest, "readings")[0].column(1).as_primitive::<Int64Type>().value(0), 7);
}

#[test]
fn the_streams_of_the_engine_take_nothing_from_outside() {
    let ingest = ingest(spec(1));
    let request = AppendRequest { stream: DEAD_LETTERS.to_owned(), ..json("{}") };
    assert_eq!(ingest.append(request).err().unwrap().code().as_str(), "HW2005");
    let request = AppendRequest { stream: "nothing".to_owned(), ..json("{}") };
    assert_eq!(ingest.append(request).err().unwrap().code().as_str(), "HW1002");
}

#[test]
fn many_rows_are_several_appends_in_one_group() {
    let ingest = ingest(spec(1));
    let body: String = (0..150_000).map(|n| format!("{{\"device\":\"d\",\"n\":{n}}}\n")).collect();
    let request = || AppendRequest { idempotency_key: Some("big".to_owned()), ..json(&body) };
    let report = ingest.append(request()).unwrap().wait().unwrap();
    assert_eq!(report.shards, [ShardEnd { shard: 0, last_sequence: 149_999 }]);
    let again = ingest.append(request()).unwrap().wait().unwrap();
    assert_eq!(again, Report { duplicate: true, ..report });
    assert_eq!(count(&ingest, "readings"), 150_000);
}

fn step(epoch: u32, step: u64, position: &str) -> SourceStep {
    let marks = vec![Mark { partition: "p".to_owned(), position: position.to_owned() }];
    SourceStep { source: "src".to_owned(), epoch: Epoch(epoch), step, marks }
}

#[test]
fn marks_are_stored_with_the_rows_and_fence_off_the_past() {
    let ingest = ingest(spec(1));
    let append = |at: SourceStep| {
        let request = AppendRequest { step: Some(at), ..json("{\"device\":\"d\"}") };
        ingest.append(request).unwrap().wait()
    };
    append(step(1, 1, "10")).unwrap();
    append(step(1, 2, "20")).unwrap();
    let place = ingest.positions().place("src").unwrap();
    assert_eq!((place.epoch, place.step), (Epoch(1), 2));
    assert_eq!(place.positions, BTreeMap::from([("p".to_owned(), "20".to_owned())]));
    append(step(2, 3, "30")).unwrap();
    // What is left of the former self appends neither marks nor rows.
    assert!(append(step(1, 3, "25")).is_err());
    assert_eq!(count(&ingest, "readings"), 3);
    assert_eq!(ingest.positions().place("src").unwrap().positions["p"], "30");

    ingest.positions().forget("src").unwrap();
    assert_eq!(ingest.positions().place("src").unwrap().positions, BTreeMap::new());
    assert_eq!(
        ingest.positions().place("src").unwrap().epoch,
        Epoch(2),
        "the next incarnation is still told apart"
    );
}

#[test]
fn a_claim_fences_off_before_it_reads() {
    let ingest = ingest(spec(1));
    let append = |at: SourceStep| {
        let request = AppendRequest { step: Some(at), ..json("{\"device\":\"d\"}") };
        ingest.append(request).unwrap().wait()
    };
    let first = ingest.positions().claim("src").unwrap();
    append(step(first.epoch.0, first.step + 1, "10")).unwrap();
    let second = ingest.positions().claim("src").unwrap();
    assert!(second.epoch > first.epoch);
    assert_eq!(second.positions["p"], "10");
    assert!(append(step(first.epoch.0, first.step + 2, "20")).is_err(), "the former self is fenced off");
    append(step(second.epoch.0, second.step + 1, "20")).unwrap();
    assert_eq!(count(&ingest, "readings"), 2);
}

#[test]
fn marks_survive_compaction() {
    let world = World::real();
    let log: Arc<dyn Log> = MemoryLog::new(world);
    let marks = Marks::open(Arc::clone(&log), POSITIONS).unwrap();
    let many: Vec<Mark> =
        (0..30_000).map(|n| Mark { partition: format!("p{}", n % 100), position: n.to_string() }).collect();
    for at in 1..=2 {
        marks.store(&SourceStep { marks: many.clone(), ..step(1, at, "") }).unwrap();
    }
    let stream = log.stream_named(POSITIONS).unwrap().id;
    assert!(log.bounds(stream).unwrap()[0].next.0 > 60_000, "a snapshot was appended");
    let fresh = Marks::open(Arc::clone(&log), POSITIONS).unwrap();
    for marks in [&marks, &fresh] {
        let place = marks.place("src").unwrap();
        assert_eq!((place.step, place.positions.len()), (2, 100));
        assert_eq!(place.positions["p7"], "29907");
    }
}
