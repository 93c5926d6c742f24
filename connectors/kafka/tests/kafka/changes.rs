//! Changes: what a sink has written, a source reads back as the same table.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use headwater_connectors::{ConnectorDef, State, registry};
use headwater_core::{ShardId, StreamName, World};
use headwater_ingest::Ingest;
use headwater_kafka::{CONNECTOR, UPSERT};
use headwater_log::{MemoryLog, ReadSpec, StreamSpec};
use rdkafka::producer::BaseRecord;

use crate::broker;
use crate::lab::{Lab, def};
use crate::sinks::deliver;
use crate::topic::Topic;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("k", DataType::Utf8, false),
        Field::new("n", DataType::Int64, true),
        Field::new("_weight", DataType::Int64, false),
    ]))
}

/// A row that is added, one that changes twice, one that goes and one that goes and comes again.
fn changes() -> RecordBatch {
    let rows = [
        ("a", 1, 1),
        ("b", 2, 1),
        ("c", 3, 1),
        ("b", 2, -1),
        ("b", 4, 1),
        ("d", 5, 1),
        ("c", 3, -1),
        ("d", 5, -1),
        ("b", 4, -1),
        ("b", 6, 1),
        ("d", 7, 1),
    ];
    let columns = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0))) as _,
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1))) as _,
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.2))) as _,
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

/// The table that the changes of a topic lead to, and how many of its messages are bad.
fn read(def: &ConnectorDef) -> (BTreeMap<String, Option<i64>>, usize) {
    let world = World::real();
    let log = MemoryLog::new(world.clone());
    let spec = StreamSpec::new(StreamName::new("events").unwrap(), schema());
    let info = headwater_log::Log::create_stream(log.as_ref(), spec).unwrap();
    let lab = Lab { ingest: Arc::new(Ingest::new(world, log).unwrap()) };
    let status = lab.source_life(def, None).unwrap();
    assert_eq!(status.state, State::Ended, "{:?}", status.last_error);
    let next = lab.ingest.log().bounds(info.id).unwrap()[0].next;
    let mut reader =
        lab.ingest.log().read(ReadSpec { until: Some(next), ..ReadSpec::all(info.id, ShardId(0)) }).unwrap();
    let mut table = BTreeMap::new();
    while let Some(read) = reader.next().unwrap() {
        let keys = read.rows.column(0).as_string::<i32>();
        let numbers = read.rows.column(1).as_primitive::<Int64Type>();
        for (row, weight) in read.rows.column(2).as_primitive::<Int64Type>().values().iter().enumerate() {
            let key = keys.value(row).to_owned();
            if *weight > 0 {
                table.insert(key, numbers.is_valid(row).then(|| numbers.value(row)));
            } else {
                table.remove(&key);
            }
        }
    }
    (table, lab.numbers("system.dead_letters", "record").len())
}

fn keyed(connector: &str, options: &[(&str, &str)]) -> ConnectorDef {
    ConnectorDef { key: vec!["k".to_owned()], ..def(connector, options) }
}

#[test]
fn what_a_sink_has_written_a_source_reads_back() {
    let Some(address) = broker::shared() else { return };
    registry::add(&CONNECTOR);
    registry::add(&UPSERT);
    let upsert = [("key.format", "json"), ("format", "json")];
    let without_key = [("key.format", "raw"), ("format", "json"), ("value.fields-include", "EXCEPT_KEY")];
    let debezium = [("format", "debezium-json")];
    let ways: [(&str, &[(&str, &str)]); 3] =
        [("upsert-kafka", &upsert), ("upsert-kafka", &without_key), ("kafka", &debezium)];
    for (connector, format) in ways {
        let topic = Topic::new(&address, 1);
        let prefix = ("sink.transactional-id-prefix", topic.name.as_str());
        let options = topic.options(&[format, &[prefix]].concat());
        deliver(&changes(), keyed(connector, &options));
        let options = topic.options(&[format, &[("scan.bounded.mode", "latest-offset")]].concat());
        let (table, bad) = read(&keyed(connector, &options));
        let expected = [("a", 1), ("b", 6), ("d", 7)].map(|(key, n)| (key.to_owned(), Some(n)));
        assert_eq!((table, bad), (expected.into(), 0), "{connector} {format:?}");
    }
}

#[test]
fn changes_as_debezium_sends_them_lead_to_the_database_s_table() {
    let Some(address) = broker::shared() else { return };
    registry::add(&CONNECTOR);
    let topic = Topic::new(&address, 1);
    let producer = topic.producer(&[]);
    // With the schema around them, an update without what was before, and the empty message behind a deletion.
    let messages = [
        Some(
            r#"{"schema":{"type":"struct"},"payload":{"before":null,"after":{"k":"a","n":1},"source":{"table":"t"},"op":"r"}}"#,
        ),
        Some(r#"{"payload":{"before":null,"after":{"k":"b","n":2},"op":"c"}}"#),
        Some(r#"{"payload":{"before":null,"after":{"k":"a","n":3},"op":"u"}}"#),
        Some(r#"{"payload":{"before":{"k":"b","n":0},"after":null,"op":"d"}}"#),
        None,
        Some(r#"{"payload":{"op":"m"}}"#),
    ];
    for message in messages {
        let message = message.map(str::to_owned);
        let mut record = BaseRecord::to(&topic.name).partition(0).key("x");
        if let Some(message) = &message {
            record = record.payload(message);
        }
        topic.send(&producer, record);
    }
    Topic::flush(&producer);
    let options = topic.options(&[("format", "debezium-json"), ("scan.bounded.mode", "latest-offset")]);
    let (table, bad) = read(&keyed("kafka", &options));
    assert_eq!((table, bad), ([("a".to_owned(), Some(3))].into(), 1));
}
