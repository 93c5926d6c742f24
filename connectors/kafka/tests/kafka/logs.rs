//! A log whose streams are topics of a real broker: the suite that every log must pass, a broker that is killed under load, a zombie.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use headwater_core::{Epoch, ProducerId, Sequence, ShardId, StreamId, StreamName, World};
use headwater_ingest::Options;
use headwater_kafka::KafkaTopics;
use headwater_log::{
    Append, From, Log, LogError, Producer, ReadSpec, StreamSpec, TopicError, TopicLog, TopicLogOptions,
    conformance,
};
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::broker::{Broker, pause, shared};

/// A name for a log that no other run has.
fn name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("log{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

fn try_open(address: &str, name: &str, options: TopicLogOptions) -> Result<Arc<TopicLog>, LogError> {
    let world = World::real();
    let mut given = Options::new("the log", [("properties.bootstrap.servers", address)]);
    let topics = KafkaTopics::new(world.clone(), name, &mut given).unwrap();
    TopicLog::open(world, Arc::new(topics), name, options)
}

/// Opens a log at a broker that is there, but may be busy for longer than opening waits.
fn open_surely(address: &str, name: &str, options: &TopicLogOptions) -> Arc<TopicLog> {
    let mut attempts = 0;
    loop {
        match try_open(address, name, options.clone()) {
            Err(LogError::Topics(TopicError::Outage { .. })) if attempts < 10 => attempts += 1,
            opened => return opened.unwrap(),
        }
    }
}

fn open(address: &str, name: &str) -> Arc<TopicLog> {
    open_surely(address, name, &TopicLogOptions::default())
}

/// Opens a log whose reads all ask the broker.
fn open_forgetful(address: &str, name: &str) -> Arc<TopicLog> {
    let options = TopicLogOptions { recent_bytes: 0, ..TopicLogOptions::default() };
    open_surely(address, name, &options)
}

fn create(log: &dyn Log, shards: u32) -> StreamId {
    let schema =
        Schema::new(vec![Field::new("n", DataType::Int64, false), Field::new("text", DataType::Utf8, true)]);
    let mut spec = StreamSpec::new(StreamName::new("events").unwrap(), Arc::new(schema));
    spec.shards = shards;
    log.create_stream(spec).unwrap().id
}

fn append(stream: StreamId, shard: u32, numbers: std::ops::Range<i64>) -> Append {
    let n: ArrayRef = Arc::new(Int64Array::from_iter_values(numbers.clone()));
    let text: ArrayRef = Arc::new(StringArray::from_iter_values(numbers.map(|n| format!("row {n}"))));
    let rows = RecordBatch::try_from_iter([("n", n), ("text", text)]).unwrap();
    Append::new(stream, ShardId(shard), rows)
}

fn read(log: &dyn Log, spec: ReadSpec) -> Vec<i64> {
    let mut reader = log.read(spec).unwrap();
    let mut all = Vec::new();
    while let Some(batch) = reader.next().unwrap() {
        all.extend_from_slice(batch.rows.column(0).as_primitive::<Int64Type>().values());
    }
    all
}

fn read_all(log: &dyn Log, stream: StreamId, shard: u32) -> Vec<i64> {
    read(log, ReadSpec::all(stream, ShardId(shard)))
}

#[test]
fn a_log_on_topics_passes_the_suite() {
    let Some(address) = shared() else { return };
    for (case, check) in conformance::CASES {
        println!("{case}");
        check(&|| open(&address, &name()));
    }
}

#[test]
fn a_log_on_topics_passes_the_suite_when_every_read_asks_the_broker() {
    let Some(address) = shared() else { return };
    for (case, check) in conformance::CASES.iter().filter(|(case, _)| case.contains("read")) {
        println!("{case}");
        check(&|| open_forgetful(&address, &name()));
    }
}

#[test]
fn a_log_that_is_opened_again_goes_on_where_it_was() {
    let Some(address) = shared() else { return };
    let name = name();
    let log = open(&address, &name);
    let stream = create(&*log, 2);
    let by = |sequence, append| {
        let producer = Producer { id: ProducerId(5), epoch: Epoch(1), sequence };
        Append { producer: Some(producer), ..append }
    };
    for n in 0..30 {
        let group = vec![append(stream, 0, 10 * n..10 * n + 10), append(stream, 1, n..n + 1)];
        log.append(group.into_iter().map(|one| by(n as u64, one)).collect()).unwrap();
    }
    log.set_fence(stream, ShardId(1), Some(9)).unwrap();
    let shown = log.segments(stream).unwrap();
    // As if the process had been killed.
    drop(log);

    let log = open(&address, &name);
    let bounds = log.bounds(stream).unwrap();
    assert_eq!((bounds[0].next, bounds[1].next), (Sequence(300), Sequence(30)));
    assert_eq!(log.segments(stream).unwrap(), shown);
    assert!(log.append(vec![by(29, append(stream, 0, 290..300))]).unwrap()[0].duplicate);
    let unfenced = Append { fence: Some(8), ..append(stream, 1, 0..1) };
    assert!(matches!(log.append(vec![unfenced]), Err(LogError::Fenced { .. })));
    assert!(read_all(&*log, stream, 0).into_iter().eq(0..300));
    let middle = ReadSpec { from: From::Sequence(Sequence(137)), ..ReadSpec::all(stream, ShardId(0)) };
    assert!(read(&*log, middle).into_iter().eq(137..300));
    assert!(read_all(&*log, stream, 1).into_iter().eq(0..30));
}

#[test]
fn a_zombie_is_fenced_off_and_told() {
    let Some(address) = shared() else { return };
    let name = name();
    let zombie = open(&address, &name);
    let stream = create(&*zombie, 1);
    zombie.append(vec![append(stream, 0, 0..3)]).unwrap();
    let owner = open(&address, &name);
    owner.append(vec![append(stream, 0, 3..5)]).unwrap();
    let error = zombie.append(vec![append(stream, 0, 90..95)]).unwrap_err();
    let LogError::Poisoned { cause } = &error else { panic!("{error}") };
    assert!(matches!(**cause, LogError::Topics(TopicError::Fenced { .. })), "{error}");
    owner.append(vec![append(stream, 0, 5..6)]).unwrap();
    assert_eq!(read_all(&*owner, stream, 0), [0, 1, 2, 3, 4, 5]);
    drop(zombie);
    let again = open(&address, &name);
    assert_eq!(read_all(&*again, stream, 0), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn what_is_trimmed_is_removed_at_the_broker() {
    let Some(address) = shared() else { return };
    let name = name();
    let log = open(&address, &name);
    let stream = create(&*log, 1);
    // Some MiB, so that there is more than opening needs.
    for n in 0..60 {
        log.append(vec![append(stream, 0, 5_000 * n..5_000 * n + 5_000)]).unwrap();
    }
    log.trim(stream, ShardId(0), Sequence(100_000)).unwrap();
    assert_eq!(log.bounds(stream).unwrap()[0].first, Sequence(100_000));
    let mut config = rdkafka::ClientConfig::new();
    let consumer: BaseConsumer = config.set("bootstrap.servers", &address).create().unwrap();
    let (begin, end) =
        consumer.fetch_watermarks(&format!("{name}.events.{stream}"), 0, Duration::from_secs(60)).unwrap();
    assert!(begin >= 20 && end >= 60, "{begin} {end}");
    drop(log);
    let log = open(&address, &name);
    assert_eq!(log.bounds(stream).unwrap()[0].first, Sequence(100_000));
    assert!(read_all(&*log, stream, 0).into_iter().eq(100_000..300_000));
}

#[test]
fn a_broker_that_is_killed_under_load_costs_no_row_and_repeats_none() {
    let Some(mut broker) = Broker::start() else { return };
    let name = name();
    let log = open(&broker.address, &name);
    let stream = create(&*log, 2);
    let (groups, each) = (300, 20);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut placed = BTreeMap::new();
            for n in 0..groups {
                let numbers = each * n..each * n + each;
                let producer = Producer { id: ProducerId(1), epoch: Epoch(0), sequence: n as u64 };
                let group = (0..2).map(|shard| Append {
                    producer: Some(producer),
                    ..append(stream, shard, numbers.clone())
                });
                let answers = log.append(group.collect()).unwrap();
                assert!(answers.iter().all(|one| !one.duplicate && one.first.0 == (each * n) as u64));
                placed.insert(n, answers);
                // So that the load lasts while the broker comes and goes.
                pause(Duration::from_millis(5));
            }
            placed.len()
        });
        let follower = scope.spawn(|| {
            let mut reader = log.read(ReadSpec::all(stream, ShardId(1))).unwrap();
            let mut next = 0;
            while next < each * groups {
                let Some(batch) = reader.next().unwrap() else {
                    pause(Duration::from_millis(2));
                    continue;
                };
                let numbers = batch.rows.column(0).as_primitive::<Int64Type>().values();
                assert!(numbers.iter().copied().eq(next..next + numbers.len() as i64));
                next += numbers.len() as i64;
            }
        });
        for _ in 0..3 {
            pause(Duration::from_millis(900));
            broker.kill();
            pause(Duration::from_millis(400));
            broker.restart();
        }
        assert_eq!(writer.join().unwrap(), groups as usize);
        follower.join().unwrap();
    });
    for shard in 0..2 {
        assert!(read_all(&*log, stream, shard).into_iter().eq(0..each * groups));
    }
    log.close().unwrap();
    // What the broker says is what the log said.
    let again = open_forgetful(&broker.address, &name);
    for shard in 0..2 {
        assert!(read_all(&*again, stream, shard).into_iter().eq(0..each * groups));
    }
}

#[test]
fn what_cannot_be_is_refused_with_a_reason() {
    let Some(address) = shared() else { return };
    let error = try_open(&address, "no good", TopicLogOptions::default()).err().unwrap();
    assert!(error.to_string().contains("its name is of 1 to 32 letters"), "{error}");
    let error = try_open("127.0.0.1:9", &name(), TopicLogOptions::default()).err().unwrap();
    assert!(matches!(error, LogError::Topics(TopicError::Outage { .. })), "{error}");
    assert_eq!(error.code().as_str(), "HW1017");
    let given = [("properties.bootstrap.servers", "127.0.0.1:9"), ("replication-factor", "none")];
    let made = KafkaTopics::new(World::real(), "log", &mut Options::new("the log", given));
    assert!(made.err().unwrap().to_string().contains("number of copies"));
}
