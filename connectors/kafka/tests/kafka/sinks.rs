//! Sinks: each row once whenever the process dies; zombies are fenced; keys, deletions and headers as they should be.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{Field, Schema};
use headwater_connectors::{ConnectorDef, ConnectorSupervisor, State, Status, registry};
use headwater_core::{StreamName, World};
use headwater_ingest::Ingest;
use headwater_kafka::{CONNECTOR, UPSERT};
use headwater_log::{MemoryLog, StreamSpec};
use rdkafka::message::{Headers, Message, OwnedMessage};

use crate::broker;
use crate::lab::{Lab, PATIENCE, assert_dense, def, eventually, runtime};
use crate::sources::LIVES;
use crate::topic::Topic;

/// The header by which a message is known, without the writer: shard and sequence.
fn place_of(message: &OwnedMessage) -> (u32, u64) {
    let headers = message.headers().unwrap();
    let header = headers.iter().find(|header| header.key == "headwater-sequence").unwrap();
    let text = std::str::from_utf8(header.value.unwrap()).unwrap();
    let mut parts = text.rsplit('/');
    let (sequence, shard) = (parts.next().unwrap(), parts.next().unwrap());
    (shard.parse().unwrap(), sequence.parse().unwrap())
}

/// Runs a sink through many lives while rows come in, until all is delivered.
fn live(lab: &Lab, def: &ConnectorDef, rows: i64) {
    let each = rows / LIVES.len() as i64;
    for (life, millis) in (0..).zip(LIVES) {
        lab.fill(life * each, (life + 1) * each);
        lab.sink_life(def, Some(millis));
    }
    lab.fill(LIVES.len() as i64 * each, rows);
    let status = lab.sink_life(def, None).unwrap();
    assert_eq!(status.state, State::Stopped, "{:?}", status.last_error);
}

#[test]
fn each_row_is_there_once_and_the_rows_of_a_shard_in_order() {
    let Some(address) = broker::shared() else { return };
    registry::add(&CONNECTOR);
    for (shards, partitions) in [(1, 1), (2, 3)] {
        let topic = Topic::new(&address, partitions);
        let lab = Lab::new(shards);
        let prefix = ("sink.transactional-id-prefix", topic.name.as_str());
        let options =
            topic.options(&[prefix, ("sink.partitioner", "fixed"), ("sink.buffer-flush.interval", "20 ms")]);
        live(&lab, &def("kafka", &options), 40_000);
        let messages = topic.committed();
        assert_dense(topic.numbers(), 40_000);
        let mut last = BTreeMap::new();
        for message in &messages {
            let (shard, sequence) = place_of(message);
            let next = last.entry(shard).or_insert(0);
            assert_eq!(*next, sequence, "the rows of shard {shard} come in order");
            *next += 1;
        }
    }
}

#[test]
fn at_least_once_loses_nothing_and_repeats_have_the_same_key() {
    let Some(address) = broker::shared() else { return };
    registry::add(&CONNECTOR);
    let topic = Topic::new(&address, 2);
    let lab = Lab::new(2);
    let options = topic
        .options(&[("sink.delivery-guarantee", "at-least-once"), ("sink.buffer-flush.interval", "20 ms")]);
    live(&lab, &def("kafka", &options), 20_000);
    let mut by_place = BTreeMap::new();
    for message in topic.committed() {
        let payload = message.payload().unwrap().to_vec();
        let first = by_place.entry(place_of(&message)).or_insert_with(|| payload.clone());
        assert_eq!(*first, payload);
    }
    let number =
        |row: &Vec<u8>| serde_json::from_slice::<serde_json::Value>(row).unwrap()["n"].as_i64().unwrap();
    assert_dense(by_place.values().map(number).collect(), 20_000);
}

#[test]
fn a_zombie_is_fenced_and_stops() {
    let Some(address) = broker::shared() else { return };
    registry::add(&CONNECTOR);
    let topic = Topic::new(&address, 1);
    let prefix = ("sink.transactional-id-prefix", topic.name.as_str());
    let def = def("kafka", &topic.options(&[prefix]));
    // Two installations with the same prefix: each has a log of its own, so that nothing but Kafka keeps them apart.
    let (runtime, old, new) = (runtime(), Lab::new(1), Lab::new(1));
    let start = |lab: &Lab| {
        let supervisor = ConnectorSupervisor::new(Arc::clone(&lab.ingest), runtime.handle().clone()).unwrap();
        supervisor.start_sink(def.clone()).unwrap()
    };
    let wait_for = |rows: usize| {
        runtime.block_on(eventually("all rows are committed", || {
            let committed = topic.committed().len();
            if committed >= rows { Ok(()) } else { Err(committed) }
        }));
    };
    old.fill(0, 100);
    let zombie = start(&old);
    wait_for(100);
    // It was thought dead, and another one has taken over. Then it wakes up.
    new.fill(100, 200);
    let heir = start(&new);
    wait_for(200);
    old.fill(1_000, 1_100);
    let status = runtime.block_on(async { tokio::time::timeout(PATIENCE, zombie.ended()).await.unwrap() });
    assert_eq!(status.state, State::Failed);
    let told = status.last_error.unwrap();
    assert!(told.starts_with("HW5005") && told.contains("sink.transactional-id-prefix"), "{told}");
    new.fill(200, 300);
    wait_for(300);
    assert_eq!(runtime.block_on(heir.stop()).state, State::Stopped);
    assert_dense(topic.numbers(), 300);
}

/// Delivers these rows of a stream.
pub fn deliver(rows: &RecordBatch, def: ConnectorDef) {
    let world = World::real();
    let log = MemoryLog::new(world.clone());
    let fields: Vec<Field> = rows.schema().fields().iter().map(|field| field.as_ref().clone()).collect();
    let spec = StreamSpec::new(StreamName::new("events").unwrap(), Arc::new(Schema::new(fields)));
    headwater_log::Log::create_stream(log.as_ref(), spec).unwrap();
    let lab = Lab { ingest: Arc::new(Ingest::new(world, log).unwrap()) };
    lab.ingest.append_batch("events", "test", rows.clone()).unwrap();
    let status = lab.sink_life(&def, None).unwrap();
    assert_eq!(status.state, State::Stopped, "{:?}", status.last_error);
}

#[test]
fn an_updated_result_is_the_newest_message_of_its_key() {
    let Some(address) = broker::shared() else { return };
    registry::add(&UPSERT);
    let topic = Topic::new(&address, 1);
    let rows = RecordBatch::try_from_iter([
        ("k", Arc::new(StringArray::from(vec!["a", "b", "a", "a", "b"])) as _),
        ("n", Arc::new(Int64Array::from(vec![1, 2, 1, 3, 2])) as _),
        ("_weight", Arc::new(Int64Array::from(vec![1, 1, -1, 1, -1])) as _),
    ])
    .unwrap();
    let prefix = ("sink.transactional-id-prefix", topic.name.as_str());
    let options = topic.options(&[prefix, ("key.format", "json"), ("format", "json")]);
    deliver(&rows, ConnectorDef { key: vec!["k".to_owned()], ..def("upsert-kafka", &options) });
    let mut newest = BTreeMap::new();
    for message in topic.committed() {
        let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
        newest.insert(text(message.key()).unwrap(), text(message.payload()));
    }
    let expected = [(r#"{"k":"a"}"#, Some(r#"{"k":"a","n":3}"#)), (r#"{"k":"b"}"#, None)];
    let expected: BTreeMap<_, _> =
        expected.map(|(key, value)| (key.to_owned(), value.map(str::to_owned))).into();
    assert_eq!(newest, expected);
}

#[test]
fn key_and_timestamp_come_from_columns_and_keys_lie_where_java_would_put_them() {
    let Some(address) = broker::shared() else { return };
    registry::add(&CONNECTOR);
    let topic = Topic::new(&address, 3);
    let keys = ["foobar", "21", "abc"];
    let rows = RecordBatch::try_from_iter([
        ("k", Arc::new(StringArray::from(keys.to_vec())) as _),
        ("n", Arc::new(Int64Array::from(vec![1, 2, 3])) as _),
        (
            "at",
            Arc::new(arrow::array::TimestampMillisecondArray::from(vec![Some(5_000), Some(6_000), None]))
                as _,
        ),
    ])
    .unwrap();
    let prefix = ("sink.transactional-id-prefix", topic.name.as_str());
    let key = [("key.format", "raw"), ("key.fields", "k"), ("value.fields-include", "EXCEPT_KEY")];
    let options = topic.options(&[prefix, key[0], key[1], key[2]]);
    let metadata = BTreeMap::from([("at".to_owned(), "timestamp".to_owned())]);
    deliver(&rows, ConnectorDef { metadata, ..def("kafka", &options) });
    let messages = topic.committed();
    assert_eq!(messages.len(), 3);
    for message in &messages {
        let key = std::str::from_utf8(message.key().unwrap()).unwrap();
        let n = 1 + keys.iter().position(|known| *known == key).unwrap();
        assert_eq!(message.payload().unwrap(), format!("{{\"n\":{n}}}").as_bytes());
        // Of Kafka's own test of its hash (UtilsTest.testMurmur2).
        let hash = [-790_332_482_i32, -973_932_308, 479_470_107][n - 1];
        assert_eq!(message.partition(), (hash & 0x7fff_ffff) % 3, "{key}");
        if n < 3 {
            assert_eq!(message.timestamp().to_millis(), Some(4_000 + 1_000 * n as i64));
        }
    }
}

#[test]
fn a_commit_waits_for_the_broker_and_for_nothing_else() {
    let Some(address) = broker::shared() else { return };
    registry::add(&CONNECTOR);
    let (runtime, lab, topic) = (runtime(), Lab::new(1), Topic::new(&address, 1));
    let prefix = ("sink.transactional-id-prefix", topic.name.as_str());
    let options = topic.options(&[prefix, ("sink.buffer-flush.interval", "1 ms")]);
    let supervisor = ConnectorSupervisor::new(Arc::clone(&lab.ingest), runtime.handle().clone()).unwrap();
    let sink = supervisor.start_sink(def("kafka", &options)).unwrap();
    let clock = World::real().clock;
    // What librdkafka's own flush takes at least is a tenth of a second. On a machine that is busy with other things most commits take
    // as long by themselves.
    let soon = Duration::from_millis(80);
    let (mut shortest, mut n) = (Duration::MAX, 0_i64);
    while n < 20 || (shortest >= soon && n < 500) {
        let began = clock.monotonic();
        let taken = || clock.monotonic() - began;
        lab.fill(n, n + 1);
        let next = (n + 1).to_string();
        while sink.status().positions.get("0") != Some(&next) {
            assert!(taken() < PATIENCE, "row {n} is not committed: {:?}", sink.status());
            broker::pause(Duration::from_millis(1));
        }
        shortest = shortest.min(taken());
        n += 1;
    }
    assert_eq!(runtime.block_on(sink.stop()).state, State::Stopped);
    assert_dense(topic.numbers(), n);
    assert!(shortest < soon, "{shortest:?} of {n}");
}

/// Asserts that a sink is stopped, and that the broker has refused it nothing that it shows. What a busy broker did not answer in time is
/// no refusal.
fn assert_not_refused(status: &Status) {
    assert_eq!(status.state, State::Stopped, "{status:?}");
    let is_outage = |told: &String| told.starts_with("HW5004: ") && !told.to_lowercase().contains("large");
    assert!(status.last_error.as_ref().is_none_or(is_outage), "{status:?}");
}

/// Appends rows with these texts to `events`.
fn append(lab: &Lab, texts: &[String]) {
    let rows = RecordBatch::try_from_iter([
        ("n", Arc::new(Int64Array::from_iter_values(0..texts.len() as i64)) as _),
        ("text", Arc::new(StringArray::from(texts.to_vec())) as _),
    ]);
    lab.ingest.append_batch("events", "test", rows.unwrap()).unwrap();
}

#[test]
fn rows_that_the_topic_is_too_small_for_are_parked_and_the_others_go_on() {
    let Some(address) = broker::shared() else { return };
    registry::add(&CONNECTOR);
    let (lab, topic) = (Lab::new(1), Topic::with(&address, 1, &[("max.message.bytes", "2000")]));
    // Around the limit of what one message may be, and far beyond it; together more than one batch may be.
    let mut texts: Vec<_> = (1_700..2_000).map(|length| "x".repeat(length)).collect();
    texts.insert(100, "long ".repeat(1_000));
    append(&lab, &texts);
    let prefix = ("sink.transactional-id-prefix", topic.name.as_str());
    let def = def("kafka", &topic.options(&[prefix]));
    let status = lab.sink_life(&def, None).unwrap();
    assert_not_refused(&status);
    let mut taken = topic.numbers();
    let parked = lab.numbers("system.dead_letters", "record");
    assert!(taken.contains(&0) && !taken.contains(&100) && !taken.contains(&300), "{taken:?}");
    assert_eq!(status.dead_letters, parked.len() as u64);
    taken.extend(&parked);
    assert_dense(taken, 301);
    // What is parked is longer than everything that was taken.
    assert_eq!(parked[0], 100);
    assert!(parked[1..].windows(2).all(|two| two[0] + 1 == two[1]), "{parked:?}");
}

/// So many short texts, and six more, of which two do not fit into 2,000 bytes though compressed, and two are short enough only then.
fn long_and_short(short: i64) -> (Vec<String>, [i64; 2]) {
    let noise: String =
        (0..6_000_u64).map(|n| char::from(b'!' + ((n * n * 2_654_435_761) >> 20) as u8 % 90)).collect();
    let mut texts: Vec<_> = (0..short).map(|n| format!("short {n}")).collect();
    texts.extend(["x".repeat(6_000), noise.clone(), "short".to_owned(), noise, "y".repeat(6_000)]);
    texts.push("the last".to_owned());
    (texts, [short + 1, short + 3])
}

#[test]
fn of_messages_that_are_compressed_the_broker_says_which_are_too_long() {
    let Some(address) = broker::shared() else { return };
    registry::add(&CONNECTOR);
    // Batches no longer than a message may be: each that is refused is of one message. Longer ones: it is looked for in halves.
    for (guarantee, batch, short) in
        [("exactly-once", None, 200), ("at-least-once", None, 200), ("exactly-once", Some("50000"), 20)]
    {
        let (texts, too_long) = long_and_short(short);
        let expected: Vec<i64> = (0..short + 6).filter(|n| !too_long.contains(n)).collect();
        let (lab, topic) = (Lab::new(1), Topic::with(&address, 1, &[("max.message.bytes", "2000")]));
        append(&lab, &texts);
        let mut options = vec![
            ("sink.transactional-id-prefix", topic.name.as_str()),
            ("properties.compression.type", "gzip"),
            ("sink.delivery-guarantee", guarantee),
        ];
        options.extend(batch.map(|bytes| ("properties.batch.size", bytes)));
        let status = lab.sink_life(&def("kafka", &topic.options(&options)), None).unwrap();
        assert_not_refused(&status);
        assert_eq!(lab.numbers("system.dead_letters", "record"), too_long, "{guarantee} {batch:?}");
        assert_eq!(status.dead_letters, 2);
        let mut taken = topic.numbers();
        if guarantee == "at-least-once" {
            // What was in other batches than the one that was refused may be there twice.
            assert_eq!(taken.last(), Some(&(short + 5)));
            taken.sort_unstable();
            taken.dedup();
        }
        assert_eq!(taken, expected, "{guarantee} {batch:?}: all others, once, in order");
    }
}

#[test]
fn each_row_is_there_once_also_if_the_search_for_one_that_is_too_long_is_cut_short() {
    let Some(address) = broker::shared() else { return };
    registry::add(&CONNECTOR);
    let (texts, too_long) = long_and_short(20);
    let (lab, topic) = (Lab::new(1), Topic::with(&address, 1, &[("max.message.bytes", "2000")]));
    let options = [
        ("sink.transactional-id-prefix", topic.name.as_str()),
        ("properties.compression.type", "gzip"),
        ("properties.batch.size", "50000"),
    ];
    let def = def("kafka", &topic.options(&options));
    append(&lab, &texts);
    for life in 1..=8 {
        lab.sink_life(&def, Some(life * 150));
    }
    let status = lab.sink_life(&def, None).unwrap();
    assert_not_refused(&status);
    assert_eq!(lab.numbers("system.dead_letters", "record"), too_long);
    let expected: Vec<i64> = (0..26).filter(|n| !too_long.contains(n)).collect();
    assert_eq!(topic.numbers(), expected, "all others, once, in order");
}
