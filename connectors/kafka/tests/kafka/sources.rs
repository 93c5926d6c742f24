//! Sources: every message once, whenever the process dies, from where it was told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema, TimeUnit, TimestampMillisecondType};
use headwater_connectors::{Behind, ConnectorDef, ConnectorSupervisor, State, registry};
use headwater_core::{ShardId, StreamName, World};
use headwater_ingest::Ingest;
use headwater_kafka::CONNECTOR;
use headwater_log::{MemoryLog, ReadSpec, StreamSpec};
use rdkafka::TopicPartitionList;
use rdkafka::admin::{AdminOptions, NewPartitions};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer};
use rdkafka::topic_partition_list::Offset;

use crate::broker;
use crate::lab::{Lab, PATIENCE, assert_dense, def, runtime, until};
use crate::topic::Topic;

/// How long lives last, in milliseconds: a connection takes some hundred.
pub const LIVES: [u64; 10] = [0, 5, 50, 100, 200, 300, 400, 500, 700, 900];

#[test]
fn messages_come_once_and_bad_ones_go_to_the_dead_letters_once() {
    let Some(address) = broker::shared() else { return };
    registry::add(&CONNECTOR);
    let topic = Topic::new(&address, 3);
    let producer = topic.producer(&[("transactional.id", &topic.name)]);
    producer.init_transactions(PATIENCE).unwrap();
    for part in 0..6 {
        producer.begin_transaction().unwrap();
        topic.fill(&producer, part * 5_000, (part + 1) * 5_000);
        producer.commit_transaction(PATIENCE).unwrap();
        // What is aborted is never seen; at the end of the topic it is what the source has to get over.
        producer.begin_transaction().unwrap();
        topic.fill(&producer, 1_000_000, 1_001_000);
        // A broker refuses to abort what it has not heard of, and librdkafka may abort before it has sent anything.
        producer.flush(PATIENCE).unwrap();
        producer.abort_transaction(PATIENCE).unwrap();
    }
    let group = format!("{}-group", topic.name);
    for shards in [1, 3] {
        let lab = Lab::new(shards);
        let options = [("scan.bounded.mode", "latest-offset"), ("properties.group.id", group.as_str())];
        let def = def("kafka", &topic.options(&options));
        for millis in LIVES {
            lab.source_life(&def, Some(millis));
        }
        let status = lab.source_life(&def, None).unwrap();
        assert_eq!(status.state, State::Ended, "{:?}", status.last_error);
        assert_dense(lab.numbers("events", "n"), 30_000);
        assert_eq!(lab.numbers("system.dead_letters", "record").len(), 30);
        let status = lab.source_life(&def, None).unwrap();
        assert_eq!((status.state, status.rows), (State::Ended, 0));
        let positions = status.positions;
        for (partition, offset) in topic.offsets_of(&group) {
            assert_eq!(positions[&format!("{}/{partition}", topic.name)], offset.to_string());
        }
    }
}

#[test]
fn what_is_written_later_is_seen_in_order_and_lag_is_told() {
    let Some(address) = broker::shared() else { return };
    registry::add(&CONNECTOR);
    let topic = Topic::new(&address, 1);
    // Behind the last message is the mark that ends the transaction: it is not read, and nothing that waits.
    let producer = topic.producer(&[("transactional.id", &topic.name)]);
    producer.init_transactions(PATIENCE).unwrap();
    let lab = Lab::new(1);
    let runtime = runtime();
    let supervisor = ConnectorSupervisor::new(Arc::clone(&lab.ingest), runtime.handle().clone()).unwrap();
    let def = def("kafka", &topic.options(&[]));
    let handle = supervisor.start_source(def, |_| panic!("it has no end")).unwrap();
    for part in 0..3 {
        producer.begin_transaction().unwrap();
        topic.fill(&producer, part * 400, (part + 1) * 400);
        producer.commit_transaction(PATIENCE).unwrap();
        let all = (part + 1) as u64 * 400;
        runtime.block_on(until(&handle, "what was written is read", |status| status.rows >= all));
    }
    runtime.block_on(until(&handle, "it is at the end", |status| {
        (status.lag, status.behind) == (Some(0), Behind::Not)
    }));
    let status = runtime.block_on(handle.stop());
    assert_eq!(status.state, State::Stopped, "{:?}", status.last_error);
    assert_eq!(lab.numbers("events", "n"), (0..1_200).collect::<Vec<_>>());
}

#[test]
fn partitions_that_come_later_are_read_from_their_first_message_and_go_on_behind_their_last() {
    let Some(address) = broker::shared() else { return };
    registry::add(&CONNECTOR);
    let mut topic = Topic::new(&address, 1);
    let fill = |topic: &Topic, from, to| {
        let producer = topic.producer(&[]);
        topic.fill(&producer, from, to);
        Topic::flush(&producer);
    };
    fill(&topic, 0, 10);
    let lab = Lab::new(1);
    let runtime = runtime();
    let supervisor = ConnectorSupervisor::new(Arc::clone(&lab.ingest), runtime.handle().clone()).unwrap();
    let def = def("kafka", &topic.options(&[("scan.topic-partition-discovery.interval", "1 s")]));
    let handle = supervisor.start_source(def, |_| panic!("it has no end")).unwrap();
    runtime.block_on(until(&handle, "what is there is read", |status| status.rows >= 10));
    topic.partitions = 3;
    let partitions = NewPartitions::new(&topic.name, 3);
    let made = runtime.block_on(topic.admin().create_partitions([&partitions], &AdminOptions::new()));
    made.unwrap().into_iter().for_each(|made| drop(made.unwrap()));
    fill(&topic, 10, 40);
    runtime.block_on(until(&handle, "the new ones are read", |status| status.rows >= 40));
    let status = runtime.block_on(handle.stop());
    assert_eq!(status.state, State::Stopped, "{:?}", status.last_error);
    let ends: Vec<_> = status.positions.values().collect();
    assert_eq!(ends, ["20", "10", "10"], "{:?}", status.positions);
    assert_dense(lab.numbers("events", "n"), 40);
}

#[test]
fn a_source_is_as_far_behind_as_what_it_has_read_is_old() {
    let Some(address) = broker::shared() else { return };
    registry::add(&CONNECTOR);
    let topic = Topic::new(&address, 1);
    // Each message is a batch, and an answer has few of them, so that reading takes a while.
    let producer = topic.producer(&[("batch.num.messages", "1")]);
    let hour_ago = World::real().clock.now().minus(Duration::from_secs(3_600)).millis();
    for n in 0..20_000 {
        let row = format!("{{\"n\":{n},\"text\":\"{}\"}}", "x".repeat(200));
        topic.send(&producer, BaseRecord::to(&topic.name).timestamp(hour_ago).payload(&row));
    }
    Topic::flush(&producer);
    let (lab, runtime) = (Lab::new(1), runtime());
    let supervisor = ConnectorSupervisor::new(Arc::clone(&lab.ingest), runtime.handle().clone()).unwrap();
    let def = def("kafka", &topic.options(&[("properties.max.partition.fetch.bytes", "1024")]));
    let handle = supervisor.start_source(def, |_| panic!("it has no end")).unwrap();
    let hour = 3_600_000..3_660_000;
    runtime.block_on(until(&handle, "an hour behind", |status| {
        status.lag.is_some_and(|lag| lag > 100) && status.behind.millis().is_some_and(|ms| hour.contains(&ms))
    }));
    runtime.block_on(until(&handle, "at the end", |status| {
        (status.lag, status.behind) == (Some(0), Behind::Not)
    }));
    assert_eq!(runtime.block_on(handle.stop()).rows, 20_000);
}

/// The rows that come of a bounded source with these options, as numbers.
fn read(topic: &Topic, options: &[(&str, &str)]) -> Vec<i64> {
    let lab = Lab::new(1);
    let status = lab.source_life(&def("kafka", &topic.options(options)), None).unwrap();
    assert_eq!(status.state, State::Ended, "{:?}", status.last_error);
    lab.numbers("events", "n")
}

#[test]
fn it_begins_and_ends_where_it_is_told() {
    let Some(address) = broker::shared() else { return };
    registry::add(&CONNECTOR);
    let topic = Topic::new(&address, 1);
    let producer = topic.producer(&[]);
    for n in 0..10 {
        let row = format!("{{\"n\":{n}}}");
        let record = BaseRecord::to(&topic.name).partition(0).payload(&row).timestamp(1_000 + n * 10);
        topic.send(&producer, record);
    }
    Topic::flush(&producer);
    let end = ("scan.bounded.mode", "latest-offset");
    assert_eq!(read(&topic, &[end]), (0..10).collect::<Vec<_>>());
    assert!(read(&topic, &[end, ("source.offset", "latest")]).is_empty());
    let from = [("scan.startup.mode", "timestamp"), ("scan.startup.timestamp-millis", "1041")];
    assert_eq!(read(&topic, &[end, from[0], from[1]]), [5, 6, 7, 8, 9]);
    let from = [
        ("scan.startup.mode", "specific-offsets"),
        ("scan.startup.specific-offsets", "partition:0,offset:3"),
    ];
    let to = [
        ("scan.bounded.mode", "specific-offsets"),
        ("scan.bounded.specific-offsets", "partition:0,offset:6"),
    ];
    assert_eq!(read(&topic, &[from[0], from[1], to[0], to[1]]), [3, 4, 5]);
    let to = [("scan.bounded.mode", "timestamp"), ("scan.bounded.timestamp-millis", "1020")];
    assert_eq!(read(&topic, &to), [0, 1]);
    let group = [("properties.group.id", "nobody"), ("scan.startup.mode", "group-offsets")];
    let lab = Lab::new(1);
    let failed = lab.source_life(&def("kafka", &topic.options(&[group[0], group[1], end])), None).unwrap();
    assert_eq!(failed.state, State::Failed);
    assert!(failed.last_error.unwrap().contains("properties.auto.offset.reset"));
}

#[test]
fn an_end_does_not_move_on_when_the_source_is_opened_again() {
    let Some(address) = broker::shared() else { return };
    registry::add(&CONNECTOR);
    let topic = Topic::new(&address, 2);
    let producer = topic.producer(&[]);
    topic.fill(&producer, 0, 10);
    Topic::flush(&producer);
    let lab = Lab::new(1);
    let options = [("scan.bounded.mode", "latest-offset"), ("properties.group.id", topic.name.as_str())];
    let def = def("kafka", &topic.options(&options));
    for _ in 0..2 {
        let status = lab.source_life(&def, None).unwrap();
        assert_eq!(status.state, State::Ended, "{:?}", status.last_error);
        assert_dense(lab.numbers("events", "n"), 10);
        topic.fill(&producer, 10, 20);
        Topic::flush(&producer);
    }
}

#[test]
fn what_retention_has_taken_is_told_and_passed_over_only_if_asked() {
    let Some(address) = broker::shared() else { return };
    registry::add(&CONNECTOR);
    let topic = Topic::new(&address, 1);
    let producer = topic.producer(&[]);
    topic.fill(&producer, 0, 10);
    Topic::flush(&producer);
    let end = [
        ("scan.bounded.mode", "specific-offsets"),
        ("scan.bounded.specific-offsets", "partition:0,offset:30"),
    ];
    let lab = Lab::new(1);
    let first = runtime();
    let supervisor = ConnectorSupervisor::new(Arc::clone(&lab.ingest), first.handle().clone()).unwrap();
    let source = supervisor.start_source(def("kafka", &topic.options(&end)), |_| ()).unwrap();
    first.block_on(until(&source, "what is there is read", |_| lab.numbers("events", "n").len() >= 10));
    first.block_on(source.stop());
    assert_eq!(lab.numbers("events", "n"), (0..10).collect::<Vec<_>>());
    topic.fill(&producer, 10, 30);
    Topic::flush(&producer);
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&topic.name, 0, Offset::Offset(20)).unwrap();
    runtime().block_on(topic.admin().delete_records(&list, &AdminOptions::new())).unwrap();
    let failed = lab.source_life(&def("kafka", &topic.options(&end)), None).unwrap();
    assert_eq!(failed.state, State::Failed);
    let told = failed.last_error.unwrap();
    assert!(told.contains("the next message to read is 10, Kafka has 20 to 30"), "{told}");
    let on = def("kafka", &topic.options(&[end[0], end[1], ("properties.auto.offset.reset", "earliest")]));
    assert_eq!(lab.source_life(&on, None).unwrap().state, State::Ended);
    assert_eq!(lab.numbers("events", "n"), (0..10).chain(20..30).collect::<Vec<_>>());
}

/// Reads a whole topic into a stream of these columns.
pub fn read_columns(
    topic: &Topic,
    fields: Vec<Field>,
    metadata: &[(&str, &str)],
    options: &[(&str, &str)],
) -> RecordBatch {
    let schema = Arc::new(Schema::new(fields));
    let spec = StreamSpec::new(StreamName::new("messages").unwrap(), Arc::clone(&schema));
    let world = World::real();
    let log = MemoryLog::new(world.clone());
    let info = headwater_log::Log::create_stream(log.as_ref(), spec).unwrap();
    let ingest = Arc::new(Ingest::new(world, log).unwrap());
    let runtime = runtime();
    let supervisor = ConnectorSupervisor::new(Arc::clone(&ingest), runtime.handle().clone()).unwrap();
    let end = ("scan.bounded.mode", "latest-offset");
    let all: Vec<_> = topic.options(options).into_iter().chain([end]).collect();
    let metadata = metadata.iter().map(|(column, of)| ((*column).to_owned(), (*of).to_owned()));
    let def = ConnectorDef {
        stream: StreamName::new("messages").unwrap(),
        metadata: metadata.collect::<BTreeMap<_, _>>(),
        ..def("kafka", &all)
    };
    let handle = supervisor.start_source(def, |_| ()).unwrap();
    let status = runtime.block_on(handle.ended());
    assert_eq!(status.state, State::Ended, "{:?}", status.last_error);
    let bounds = ingest.log().bounds(info.id).unwrap();
    let spec = ReadSpec { until: Some(bounds[0].next), ..ReadSpec::all(info.id, ShardId(0)) };
    let mut reader = ingest.log().read(spec).unwrap();
    let mut batches = Vec::new();
    while let Some(batch) = reader.next().unwrap() {
        batches.push(batch.rows);
    }
    arrow::compute::concat_batches(&schema, &batches).unwrap()
}

#[test]
fn key_headers_and_what_else_is_known_are_columns() {
    let Some(address) = broker::shared() else { return };
    registry::add(&CONNECTOR);
    let topic = Topic::new(&address, 2);
    let producer = topic.producer(&[]);
    let headers = OwnedHeaders::new()
        .insert(Header { key: "a", value: Some("first") })
        .insert(Header { key: "b", value: Some("2") })
        .insert(Header { key: "a", value: Some("last") });
    let row = r#"{"n":7}"#.to_owned();
    let record = BaseRecord::to(&topic.name).partition(1).payload(&row).key(r#"{"device":"d1"}"#);
    topic.send(&producer, record.timestamp(1_234).headers(headers));
    Topic::flush(&producer);
    let entries = Field::new(
        "entries",
        DataType::Struct(
            vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Utf8, true)].into(),
        ),
        false,
    );
    let fields = vec![
        Field::new("device", DataType::Utf8, false),
        Field::new("n", DataType::Int64, false),
        Field::new("of", DataType::Utf8, false),
        Field::new("partition", DataType::Int32, false),
        Field::new("offset", DataType::Int64, false),
        Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, None), true),
        Field::new("headers", DataType::Map(Arc::new(entries), false), true),
        Field::new("raw_key", DataType::Utf8, true),
    ];
    let metadata = [
        ("of", "topic"),
        ("partition", "partition"),
        ("offset", "offset"),
        ("at", "timestamp"),
        ("headers", "headers"),
        ("raw_key", "key"),
    ];
    let options = [("key.format", "json"), ("key.fields", "device"), ("value.fields-include", "EXCEPT_KEY")];
    let rows = read_columns(&topic, fields, &metadata, &options);
    assert_eq!(rows.num_rows(), 1);
    let text = |name: &str| rows.column_by_name(name).unwrap().as_string::<i32>().value(0).to_owned();
    assert_eq!(text("device"), "d1");
    assert_eq!(text("of"), topic.name);
    assert_eq!(text("raw_key"), r#"{"device":"d1"}"#);
    assert_eq!(rows.column(1).as_primitive::<Int64Type>().value(0), 7);
    assert_eq!(rows.column(3).as_primitive::<Int32Type>().value(0), 1);
    assert_eq!(rows.column(4).as_primitive::<Int64Type>().value(0), 0);
    assert_eq!(rows.column(5).as_primitive::<TimestampMillisecondType>().value(0), 1_234);
    let map = rows.column(6).as_map();
    let (keys, values) = (map.keys().as_string::<i32>(), map.values().as_string::<i32>());
    let pairs: Vec<_> = (0..keys.len()).map(|at| (keys.value(at), values.value(at))).collect();
    assert_eq!(pairs, [("b", "2"), ("a", "last")]);
}

#[test]
fn mistakes_are_told_before_anything_is_touched() {
    registry::add(&CONNECTOR);
    let lab = Lab::new(1);
    let runtime = runtime();
    let supervisor = ConnectorSupervisor::new(Arc::clone(&lab.ingest), runtime.handle().clone()).unwrap();
    let schema = Arc::clone(&lab.ingest.log().stream_named("events").unwrap().spec.schema);
    let told = |options: &[(&str, &str)]| {
        supervisor.validate_source(&def("kafka", options), &schema, None).unwrap_err().to_string()
    };
    let servers = ("properties.bootstrap.servers", "127.0.0.1:1");
    assert!(told(&[servers]).contains("needs option 'topic'"));
    assert!(
        told(&[servers, ("topic", "t"), ("scan.startup.mod", "earliest")]).contains("'scan.startup.mode'")
    );
    assert!(told(&[servers, ("topic", "a;b"), ("scan.bounded.mode", "latest-offset")]).contains("one topic"));
    assert!(told(&[servers, ("topic", "t"), ("scan.assignment", "group")]).contains("properties.group.id"));
    assert!(told(&[servers, ("topic", "t"), ("properties.no.such", "x")]).contains("properties.no.such"));
    assert!(told(&[servers, ("topic", "t"), ("format", "parquet")]).contains("a message holds one record"));
}
