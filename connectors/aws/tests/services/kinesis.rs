//! Kinesis: kinesalite and kinesis-mock, which each serve what the other does not.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow::datatypes::DataType;
use headwater_connectors::{Behind, ConnectorDef, State};
use serde_json::{Value, json};

use crate::lab::{Lab, assert_dense, def, runtime};
use crate::peer::Peer;
use crate::throttle;
use crate::work::{LIVES, Running, lab, texts, time, with_metadata};

pub const KINESALITE: &str = "HEADWATER_TEST_KINESALITE";
const KINESIS_MOCK: &str = "HEADWATER_TEST_KINESIS_MOCK";

/// A stream that is ready, of a name that no other run has. It is left there: Kinesalite may fall over one that is deleted.
pub fn create(peer: &mut Peer, name: &str, shards: u32) -> String {
    let stream = format!("{name}-{}", std::process::id());
    peer.call("create_stream", json!({"StreamName": stream, "ShardCount": shards}));
    until_active(peer, &stream);
    stream
}

#[expect(clippy::disallowed_methods, reason = "an emulator's clock is the real one")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

fn until_active(peer: &mut Peer, stream: &str) {
    for _ in 0..1_200 {
        let found = peer.call("describe_stream_summary", json!({"StreamName": stream}));
        if found["StreamDescriptionSummary"]["StreamStatus"] == "ACTIVE" {
            return;
        }
        pause(Duration::from_millis(50));
    }
    panic!("{stream} does not become active");
}

/// Puts `{"n": …}` for these numbers, each under one of 10 keys.
fn put(peer: &mut Peer, stream: &str, numbers: std::ops::Range<i64>) {
    let records: Vec<Value> = numbers
        .map(|n| json!({"Data": format!("{{\"n\":{n},\"text\":\"k{}\"}}", n % 10), "PartitionKey": format!("k{}", n % 10)}))
        .collect();
    for records in records.chunks(500) {
        let answer = peer.call("put_records", json!({"StreamName": stream, "Records": records}));
        assert_eq!(answer["FailedRecordCount"], 0);
    }
}

pub fn source(peer: &Peer, stream: &str, more: &[(&str, &str)]) -> ConnectorDef {
    let mut options = peer.options(&[
        ("stream", stream),
        ("source.shard.get-records.interval", "20 ms"),
        ("source.shard.discovery.interval", "500 ms"),
    ]);
    options.extend(more);
    def("kinesis", &options)
}

fn count(lab: &Lab) -> usize {
    texts(lab, "events", "n").len()
}

/// Asserts that the numbers of each key come in order.
fn assert_in_order(lab: &Lab) {
    let mut last: BTreeMap<String, i64> = BTreeMap::new();
    for (key, n) in texts(lab, "events", "text").into_iter().zip(lab.numbers("events", "n")) {
        if let Some(before) = last.insert(key.clone(), n) {
            assert!(before < n, "{key}: {before} before {n}");
        }
    }
}

fn records_come_once(variable: &str) {
    let Some(mut peer) = Peer::of("kinesis", variable) else { return };
    let once = &create(&mut peer, "once", 2);
    put(&mut peer, once, 0..1_500);
    peer.call("put_record", json!({"StreamName": once, "Data": "nonsense", "PartitionKey": "x"}));
    let lab = lab(1, &[]);
    let def = source(
        &peer,
        once,
        &[("source.init.position", "TRIM_HORIZON"), ("source.shard.get-records.max-record-count", "100")],
    );
    for millis in LIVES {
        lab.source_life(&def, Some(millis));
    }
    // One shard is split while it is read, then its children are merged; what is put meanwhile comes behind what was before.
    let running = Running::source(&lab, &def);
    let shards = |peer: &mut Peer| {
        peer.call("list_shards", json!({"StreamName": once}))["Shards"].as_array().unwrap().clone()
    };
    let first = shards(&mut peer)[0].clone();
    let id = first["ShardId"].as_str().unwrap();
    peer.call("split_shard", json!({"StreamName": once, "ShardToSplit": id, "NewStartingHashKey": "42535295865117307932921825928971026431"}));
    until_active(&mut peer, once);
    put(&mut peer, once, 1_500..2_500);
    let mut children: Vec<Value> = Vec::new();
    running.until("it is split", || {
        children = shards(&mut peer).into_iter().filter(|shard| shard["ParentShardId"] == id).collect();
        children.len() == 2
    });
    peer.call("merge_shards", json!({"StreamName": once, "ShardToMerge": children[0]["ShardId"], "AdjacentShardToMerge": children[1]["ShardId"]}));
    until_active(&mut peer, once);
    put(&mut peer, once, 2_500..3_000);
    running.until("all records are there", || count(&lab) >= 3_000);
    running.stop();
    assert_dense(lab.numbers("events", "n"), 3_000);
    assert_in_order(&lab);
    let reasons = texts(&lab, "system.dead_letters", "reason");
    assert_eq!(reasons.len(), 1);
    assert!(reasons[0].contains("(shardId-") && reasons[0].contains("sequence number 49"), "{reasons:?}");
    // The next life has nothing to do.
    let running = Running::source(&lab, &def);
    running
        .until("it knows that it is at the end", || running.handle.as_ref().unwrap().status().lag == Some(0));
    running.stop();
    assert_eq!(count(&lab), 3_000);
}

#[test]
fn records_of_kinesalite_come_once_through_deaths_and_resharding() {
    records_come_once(KINESALITE);
}

#[test]
fn records_of_kinesis_mock_come_once_through_deaths_and_resharding() {
    records_come_once(KINESIS_MOCK);
}

#[test]
fn it_tells_how_far_behind_it_is() {
    let Some(mut peer) = Peer::of("kinesis", KINESIS_MOCK) else { return };
    let stream = &create(&mut peer, "behind", 1);
    put(&mut peer, stream, 0..100);
    pause(Duration::from_millis(700));
    put(&mut peer, stream, 100..200);
    let lab = lab(1, &[]);
    let options = [
        ("source.init.position", "TRIM_HORIZON"),
        ("source.shard.get-records.max-record-count", "100"),
        ("source.shard.get-records.interval", "6 s"),
    ];
    let running = Running::source(&lab, &source(&peer, stream, &options));
    // What it has read is older than what is newest by as much as lies between the two. It does not know how many records that are. So it
    // is until it reads again.
    running.until("it is behind", || {
        let status = running.status();
        let is_behind = status.behind.millis().is_some_and(|millis| millis >= 500);
        count(&lab) == 100 && is_behind && status.lag.is_none()
    });
    running.until("it has caught up", || {
        let status = running.status();
        (status.behind, status.lag, count(&lab)) == (Behind::Not, Some(0), 200)
    });
    running.stop();
}

#[test]
fn a_source_begins_where_it_is_told() {
    let Some(mut peer) = Peer::of("kinesis", KINESALITE) else { return };
    let stream = &create(&mut peer, "places", 1);
    let one = |peer: &mut Peer, n: i64| {
        let data = json!({"StreamName": stream, "Data": format!("{{\"n\":{n}}}"), "PartitionKey": "k"});
        peer.call("put_record", data)["SequenceNumber"].as_str().unwrap().to_owned()
    };
    one(&mut peer, 0);
    let second = one(&mut peer, 1);
    pause(Duration::from_millis(1_100));
    let seconds = std::process::Command::new("date").arg("+%s.%N").output().unwrap().stdout;
    let seconds = String::from_utf8(seconds).unwrap();
    let seconds = seconds.trim();
    one(&mut peer, 2);
    let at = format!("shardId-000000000000:{second}");
    for (position, more, expected) in [
        ("TRIM_HORIZON", None, &["0", "1", "2"][..]),
        ("AT_SEQUENCE_NUMBER", Some(("source.init.sequence-number", at.as_str())), &["1", "2"]),
        ("AFTER_SEQUENCE_NUMBER", Some(("source.init.sequence-number", at.as_str())), &["2"]),
        ("AT_TIMESTAMP", Some(("source.init.timestamp", seconds)), &["2"]),
    ] {
        let lab = lab(1, &[]);
        let mut options = vec![("source.init.position", position)];
        options.extend(more);
        let running = Running::source(&lab, &source(&peer, stream, &options));
        running.until("it has read", || count(&lab) >= expected.len());
        running.stop();
        assert_eq!(texts(&lab, "events", "n"), expected, "{position}");
    }
    // LATEST: what is put after it runs; and what is put while nobody reads, as the moment is stored at once.
    let lab = lab(1, &[]);
    let def = source(&peer, stream, &[("source.offset", "latest")]);
    let running = Running::source(&lab, &def);
    running.until_running();
    running.until("the moment is stored", || !texts(&lab, "system.positions", "position").is_empty());
    running.until("it is stored", || {
        texts(&lab, "system.positions", "position").iter().any(|position| position.starts_with('@'))
    });
    running.stop();
    assert_eq!(count(&lab), 0);
    one(&mut peer, 3);
    let running = Running::source(&lab, &def);
    running.until("it has read", || count(&lab) >= 1);
    running.stop();
    assert_eq!(texts(&lab, "events", "n"), ["3"]);
}

#[test]
fn aggregated_records_are_taken_apart_and_envelopes_fill_columns() {
    let Some(mut peer) = Peer::of("kinesis", KINESALITE) else { return };
    let stream = &create(&mut peer, "aggregated", 1);
    let users = json!([
        ["a", null, "{\"n\":0}"],
        ["b", "7", "{\"n\":1}"],
        ["a", null, "nonsense"],
        ["c", null, "{\"n\":2}"]
    ]);
    let put = json!({"StreamName": stream, "Data": {"$aggregate": users}, "PartitionKey": "a"});
    let sequence = peer.call("put_record", put)["SequenceNumber"].as_str().unwrap().to_owned();
    peer.call("put_record", json!({"StreamName": stream, "Data": "{\"n\":3}", "PartitionKey": "d"}));
    let about = [
        ("partition_key", DataType::Utf8),
        ("explicit_hash_key", DataType::Utf8),
        ("shard_id", DataType::Utf8),
        ("sequence_number", DataType::Utf8),
        ("sub_sequence_number", DataType::Int32),
        ("timestamp", time()),
    ];
    let lab = lab(1, &about);
    let def = with_metadata(source(&peer, stream, &[("source.offset", "earliest")]), &about);
    let running = Running::source(&lab, &def);
    running.until("it has read", || count(&lab) >= 4);
    running.stop();
    let column = |name: &str| texts(&lab, "events", name);
    assert_eq!(column("n"), ["0", "1", "2", "3"]);
    assert_eq!(column("partition_key"), ["a", "b", "c", "d"]);
    assert_eq!(column("explicit_hash_key"), ["null", "7", "null", "null"]);
    assert_eq!(column("sub_sequence_number"), ["0", "1", "3", "null"]);
    assert_eq!(column("sequence_number")[..3], [sequence.clone(), sequence.clone(), sequence]);
    assert!(column("shard_id").iter().all(|shard| shard == "shardId-000000000000"));
    assert!(column("timestamp").iter().all(|time| time.starts_with("20")));
    assert_eq!(texts(&lab, "system.dead_letters", "source").len(), 1);
}

#[test]
fn a_subscription_is_pushed_to_and_goes_on_where_it_was() {
    let Some(mut peer) = Peer::of("kinesis", KINESIS_MOCK) else { return };
    let stream = &create(&mut peer, "pushed", 2);
    put(&mut peer, stream, 0..500);
    let lab = lab(1, &[]);
    let def = source(
        &peer,
        stream,
        &[
            ("source.init.position", "TRIM_HORIZON"),
            ("source.reader.type", "EFO"),
            ("source.efo.consumer.name", "headwater"),
        ],
    );
    let running = Running::source(&lab, &def);
    running.until("it has read", || count(&lab) >= 500);
    put(&mut peer, stream, 500..700);
    running.until("it has read on", || count(&lab) >= 700);
    running.stop();
    put(&mut peer, stream, 700..800);
    let running = Running::source(&lab, &def);
    running.until("the next life has read", || count(&lab) >= 800);
    running.stop();
    assert_dense(lab.numbers("events", "n"), 800);
    assert_in_order(&lab);
}

/// All records of a stream, shard by shard: partition key and document.
fn records(peer: &mut Peer, stream: &str) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    let shards = peer.call("list_shards", json!({"StreamName": stream}))["Shards"].clone();
    for shard in shards.as_array().unwrap() {
        let ask =
            json!({"StreamName": stream, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"});
        let mut iterator = peer.call("get_shard_iterator", ask)["ShardIterator"].clone();
        loop {
            let answer = peer.call("get_records", json!({"ShardIterator": iterator}));
            let records = answer["Records"].as_array().unwrap();
            for record in records {
                let key = record["PartitionKey"].as_str().unwrap().to_owned();
                all.push((key, serde_json::from_str(record["Data"].as_str().unwrap()).unwrap()));
            }
            if records.is_empty() && answer["MillisBehindLatest"] == 0 {
                break;
            }
            iterator = answer["NextShardIterator"].clone();
        }
    }
    all
}

/// Asserts that each row is there, that repeats have the same key, and that the numbers of each partition key are in order aside from
/// repeats.
fn assert_delivered(records: &[(String, Value)], rows: i64) {
    let mut by_key: BTreeMap<&str, i64> = BTreeMap::new();
    let mut newest: BTreeMap<&str, i64> = BTreeMap::new();
    for (partition, document) in records {
        let (n, key) = (document["n"].as_i64().unwrap(), document["_key"].as_str().unwrap());
        let is_new = by_key.insert(key, n).is_none_or(|before| {
            assert_eq!(before, n, "{key} always means the same row");
            false
        });
        if is_new && let Some(before) = newest.insert(partition, n) {
            assert!(before < n, "{partition}: {before} before {n}");
        }
    }
    assert_dense(by_key.into_values().collect(), rows);
}

#[test]
fn rows_are_put_in_order_through_deaths_and_throttling() {
    let Some(mut peer) = Peer::of("kinesis", KINESALITE) else { return };
    let stream = &create(&mut peer, "put", 2);
    let lab = lab(1, &[]);
    let server = runtime();
    let behind = throttle::start(&server, &peer.url);
    let mut options = peer.options(&[("stream", stream), ("sink.partition-key", "text")]);
    options[0].1 = &behind;
    let def = def("kinesis", &options);
    let fill = |range: std::ops::Range<i64>| {
        // Ten keys.
        let rows = range.clone().count();
        let numbers = arrow::array::Int64Array::from_iter_values(range.clone());
        let keys = arrow::array::StringArray::from_iter_values(range.map(|n| format!("k{}", n % 10)));
        let rows_of = arrow::array::RecordBatch::try_from_iter([
            ("n", std::sync::Arc::new(numbers) as arrow::array::ArrayRef),
            ("text", std::sync::Arc::new(keys)),
        ]);
        assert_eq!(
            lab.ingest.append_batch("events", "test", rows_of.unwrap()).unwrap().accepted,
            rows as u64
        );
    };
    for (life, millis) in (0..).zip(LIVES) {
        fill(life * 40..(life + 1) * 40);
        lab.sink_life(&def, Some(millis));
    }
    fill(280..400);
    let status = lab.sink_life(&def, None).unwrap();
    assert_eq!(status.state, State::Stopped, "{:?}", status.last_error);
    assert_delivered(&records(&mut peer, stream), 400);

    // Reading waits for capacity, too.
    let read = crate::work::lab(1, &[]);
    let mut def = source(&peer, stream, &[("source.offset", "earliest")]);
    def.options.insert("aws.endpoint".to_owned(), behind.clone());
    let running = Running::source(&read, &def);
    running.until("all is read", || count(&read) >= 400);
    assert_eq!(running.handle.as_ref().unwrap().status().failures, 0);
    running.stop();
}

#[test]
fn keys_are_random_unless_set_and_an_explicit_one_chooses_the_shard() {
    let Some(mut peer) = Peer::of("kinesis", KINESALITE) else { return };
    let stream = &create(&mut peer, "keys", 2);
    let lab = lab(1, &[]);
    lab.fill(0, 1_200);
    let random = def("kinesis", &peer.options(&[("stream", stream)]));
    let status = lab.sink_life(&random, None).unwrap();
    assert_eq!(status.state, State::Stopped, "{:?}", status.last_error);
    let found = records(&mut peer, stream);
    assert_delivered(&found, 1_200);
    assert!(found.iter().all(|(partition, document)| document["_key"] == partition.as_str()));

    let stream = &create(&mut peer, "chosen", 2);
    let mut explicit = def(
        "kinesis",
        &peer.options(&[("stream", stream), ("sink.explicit-hash-key", "n"), ("sink.key-field", "")]),
    );
    explicit.name = "chosen".to_owned();
    lab.sink_life(&explicit, None).unwrap();
    let ask =
        json!({"StreamName": stream, "ShardId": "shardId-000000000001", "ShardIteratorType": "TRIM_HORIZON"});
    let iterator = peer.call("get_shard_iterator", ask)["ShardIterator"].clone();
    assert_eq!(peer.call("get_records", json!({"ShardIterator": iterator}))["Records"], json!([]));
    let found = records(&mut peer, stream);
    assert_eq!(found.len(), 1_200);
    assert!(found.iter().all(|(_, document)| document.as_object().unwrap().len() == 2));
}

#[test]
fn a_row_that_is_no_record_is_parked_and_the_others_go_on() {
    let Some(mut peer) = Peer::of("kinesis", KINESALITE) else { return };
    let stream = &create(&mut peer, "parked", 1);
    let lab = lab(1, &[]);
    let texts_of = ["7".to_owned(), "seven".to_owned(), "8".to_owned()];
    for (n, text) in (0..).zip(texts_of) {
        let rows = arrow::array::RecordBatch::try_from_iter([
            ("n", std::sync::Arc::new(arrow::array::Int64Array::from(vec![n])) as arrow::array::ArrayRef),
            ("text", std::sync::Arc::new(arrow::array::StringArray::from(vec![text]))),
        ]);
        lab.ingest.append_batch("events", "test", rows.unwrap()).unwrap();
    }
    // One that is larger than a record may be, among others in one request.
    let large = arrow::array::RecordBatch::try_from_iter([
        ("n", std::sync::Arc::new(arrow::array::Int64Array::from(vec![3, 4])) as arrow::array::ArrayRef),
        (
            "text",
            std::sync::Arc::new(arrow::array::StringArray::from(vec!["9".to_owned(), "0".repeat(1_200_000)])),
        ),
    ]);
    lab.ingest.append_batch("events", "test", large.unwrap()).unwrap();
    let options = peer.options(&[("stream", stream), ("sink.explicit-hash-key", "text")]);
    let status = lab.sink_life(&def("kinesis", &options), None).unwrap();
    assert_eq!((status.state, status.dead_letters), (State::Stopped, 2), "{:?}", status.last_error);
    let reasons = texts(&lab, "system.dead_letters", "reason");
    assert!(reasons[0].contains("\"seven\", no number from 0 to 2^128-1"), "{reasons:?}");
    let mut found: Vec<_> = records(&mut peer, stream).iter().map(|(_, row)| row["n"].as_i64()).collect();
    found.sort();
    assert_eq!(found, [Some(0), Some(2), Some(3)]);
}

#[test]
fn what_is_not_there_is_told_and_what_is_away_is_waited_for() {
    let Some(peer) = Peer::of("kinesis", KINESALITE) else { return };
    let lab = lab(1, &[]);
    let running = Running::source(&lab, &source(&peer, "nowhere", &[]));
    let handle = running.handle.as_ref().unwrap();
    running.until_failed();
    let error = handle.status().last_error.unwrap();
    assert!(
        error.starts_with("HW5005: list the shards of Kinesis stream nowhere: ResourceNotFound"),
        "{error}"
    );
    running.stop();
    let mut away = source(&peer, "nowhere", &[]);
    away.options.insert("aws.endpoint".to_owned(), "http://127.0.0.1:9".to_owned());
    let running = Running::source(&lab, &away);
    running.until("it tries again", || running.handle.as_ref().unwrap().status().failures >= 2);
    let status = running.handle.as_ref().unwrap().status();
    assert!(status.last_error.unwrap().starts_with("HW5004: "));
    running.stop();
}

/// The records of a stream as they lie there, shard by shard: the user records of each, taken apart by the deaggregator that the library's
/// authors have written.
fn aggregated(peer: &mut Peer, stream: &str) -> Vec<Vec<(String, Value)>> {
    let mut all = Vec::new();
    let shards = peer.call("list_shards", json!({"StreamName": stream}))["Shards"].clone();
    for shard in shards.as_array().unwrap() {
        let range = &shard["HashKeyRange"];
        let ask =
            json!({"StreamName": stream, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"});
        let mut iterator = peer.call("get_shard_iterator", ask)["ShardIterator"].clone();
        loop {
            let answer = peer.call("get_records", json!({"ShardIterator": iterator, "$deaggregate": range}));
            let records = answer["Records"].as_array().unwrap();
            for users in records {
                let user = |user: &Value| {
                    let row = serde_json::from_str(user["Data"].as_str().unwrap()).unwrap();
                    (user["PartitionKey"].as_str().unwrap().to_owned(), row)
                };
                all.push(users.as_array().unwrap().iter().map(user).collect());
            }
            if (records.is_empty() && answer["MillisBehindLatest"] == 0)
                || answer["NextShardIterator"].is_null()
            {
                break;
            }
            iterator = answer["NextShardIterator"].clone();
        }
    }
    all
}

fn rows_go_aggregated(variable: &str) {
    let Some(mut peer) = Peer::of("kinesis", variable) else { return };
    let stream = &create(&mut peer, "packed", 2);
    let lab = lab(1, &[]);
    let options = peer.options(&[
        ("stream", stream),
        ("sink.partition-key", "text"),
        ("sink.producer.aggregation-enabled", "true"),
        ("sink.producer.aggregation-max-count", "50"),
    ]);
    let def = def("kinesis", &options);
    let fill = |range: std::ops::Range<i64>| {
        let numbers = arrow::array::Int64Array::from_iter_values(range.clone());
        let keys = arrow::array::StringArray::from_iter_values(range.map(|n| format!("k{}", n % 10)));
        let rows = arrow::array::RecordBatch::try_from_iter([
            ("n", std::sync::Arc::new(numbers) as arrow::array::ArrayRef),
            ("text", std::sync::Arc::new(keys)),
        ]);
        lab.ingest.append_batch("events", "test", rows.unwrap()).unwrap();
    };
    // One life delivers, and a shard is split in the middle of it: what was meant for it finds its children.
    fill(0..1_000);
    let running = Running::sink(&lab, &def);
    let taken = || running.handle.as_ref().unwrap().status().rows;
    running.until("the first rows are taken", || taken() == 1_000);
    let shards = peer.call("list_shards", json!({"StreamName": stream}))["Shards"].clone();
    let split = json!({"StreamName": stream, "ShardToSplit": shards[0]["ShardId"],
                       "NewStartingHashKey": "85070591730234615865843651857942052864"});
    peer.call("split_shard", split);
    until_active(&mut peer, stream);
    fill(1_000..2_000);
    running.until("the others are taken", || taken() == 2_000);
    running.stop();

    let records = aggregated(&mut peer, stream);
    assert!(records.iter().all(|users| users.len() <= 50));
    assert!(records.len() < 200, "{} records for 2,000 rows", records.len());
    let users: Vec<(String, Value)> = records.into_iter().flatten().collect();
    assert!(users.iter().all(|(key, row)| row["text"] == key.as_str()));
    assert_delivered(&users, 2_000);

    // And this is how a source takes them apart.
    let read = crate::work::lab(1, &[]);
    let running = Running::source(&read, &source(&peer, stream, &[("source.offset", "earliest")]));
    running.until("all is read", || {
        let mut numbers = read.numbers("events", "n");
        numbers.sort_unstable();
        numbers.dedup();
        numbers.len() == 2_000
    });
    running.stop();
}

#[test]
fn rows_go_aggregated_into_kinesalite_through_a_split() {
    rows_go_aggregated(KINESALITE);
}

#[test]
fn rows_go_aggregated_into_kinesis_mock_through_a_split() {
    rows_go_aggregated(KINESIS_MOCK);
}

#[test]
fn a_row_too_large_for_a_record_is_parked_and_its_neighbours_go_on() {
    let Some(mut peer) = Peer::of("kinesis", KINESALITE) else { return };
    let stream = &create(&mut peer, "packed-parked", 1);
    let lab = lab(1, &[]);
    let large = arrow::array::RecordBatch::try_from_iter([
        ("n", std::sync::Arc::new(arrow::array::Int64Array::from(vec![0, 1, 2])) as arrow::array::ArrayRef),
        (
            "text",
            std::sync::Arc::new(arrow::array::StringArray::from(vec![
                "9".to_owned(),
                "0".repeat(1_200_000),
                "8".to_owned(),
            ])),
        ),
    ]);
    lab.ingest.append_batch("events", "test", large.unwrap()).unwrap();
    let options = peer.options(&[("stream", stream), ("sink.aggregation-enabled", "true")]);
    let status = lab.sink_life(&def("kinesis", &options), None).unwrap();
    assert_eq!((status.state, status.dead_letters), (State::Stopped, 1), "{:?}", status.last_error);
    let users = aggregated(&mut peer, stream).into_iter().flatten();
    let mut found: Vec<_> = users.map(|(_, row)| row["n"].as_i64().unwrap()).collect();
    found.sort_unstable();
    assert_eq!(found, [0, 2]);
}
