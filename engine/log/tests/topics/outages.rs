//! A broker that goes away in the middle of anything, by seed: each row is there once, in its place, and groups stay whole.

use std::sync::Arc;
use std::time::Duration;

use headwater_core::{Epoch, ProducerId, ShardId, World};
use headwater_log::{Append, Log, LogError, Producer, ReadSpec, TopicError, TopicLog, TopicLogOptions};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::broker::Broker;
use crate::rows::{append, create, read_all};

const SHARDS: u32 = 3;

/// What should be there.
#[derive(Default)]
struct Model {
    shards: Vec<Vec<i64>>,
    appends: u64,
}

fn by(sequence: u64, append: Append) -> Append {
    let producer = Producer { id: ProducerId(7), epoch: Epoch(1), sequence };
    Append { producer: Some(producer), ..append }
}

fn step(log: &dyn Log, stream: headwater_core::StreamId, model: &mut Model, random: &mut StdRng) {
    model.appends += 1;
    let mut group = Vec::new();
    for shard in 0..SHARDS {
        if random.random_bool(0.6) {
            let from = model.shards[shard as usize].len() as i64;
            let numbers = from..from + random.random_range(1..20);
            let conditional = Append {
                expect_next: random.random_bool(0.5).then_some(headwater_core::Sequence(from as u64)),
                ..append(stream, shard, numbers.clone())
            };
            group.push(by(model.appends, conditional));
            model.shards[shard as usize].extend(numbers);
        }
    }
    let answers = log.append(group.clone()).unwrap();
    assert!(answers.iter().all(|one| !one.duplicate));
    if random.random_bool(0.3) {
        let again = log.append(group).unwrap();
        assert!(again.iter().all(|one| one.duplicate), "a repeat appends nothing");
    }
}

fn check(log: &dyn Log, stream: headwater_core::StreamId, model: &Model) {
    for (shard, rows) in (0..).zip(&model.shards) {
        let bounds = log.bounds(stream).unwrap()[shard as usize];
        assert_eq!((bounds.first.0, bounds.next.0), (0, rows.len() as u64));
        assert_eq!(&read_all(log, stream, shard), rows);
    }
}

fn live(seed: u64, broker: &Arc<Broker>) {
    let random = &mut StdRng::seed_from_u64(seed);
    let mut log = broker.open();
    let stream = create(&*log, "events", SHARDS);
    let mut model = Model { shards: vec![Vec::new(); SHARDS as usize], appends: 0 };
    broker.fail(seed, random.random_range(3..12));
    for _ in 0..40 {
        match random.random_range(0..20) {
            0 => check(&*log, stream, &model),
            1 => log.set_fence(stream, ShardId(0), Some(random.random())).unwrap(),
            2 => {
                // The process dies; what it was is forgotten, and the next one goes on.
                broker.heal();
                drop(log);
                log = broker.open();
                check(&*log, stream, &model);
                if let Some((last, _)) = log.last_of(stream, ShardId(0), ProducerId(7)).unwrap() {
                    assert!(last.sequence <= model.appends);
                }
                broker.fail(random.random(), random.random_range(3..12));
            }
            _ => step(&*log, stream, &mut model, random),
        }
    }
    broker.heal();
    check(&*log, stream, &model);
    log.close().unwrap();
    check(&*broker.open(), stream, &model);
}

#[test]
fn each_row_is_there_once_whatever_the_broker_does() {
    let mut struck = std::collections::BTreeMap::<_, u64>::new();
    for seed in 0..60 {
        let broker = Arc::new(Broker::default());
        live(seed, &broker);
        for (what, times) in broker.struck() {
            *struck.entry(what).or_default() += times;
        }
    }
    for what in
        ["nothing of a commit", "the answer to a commit", "a commit undecided", "take over", "bounds", "read"]
    {
        assert!(struck.contains_key(what), "{what} was met: {struck:?}");
    }
}

#[test]
fn a_log_that_is_closed_while_the_broker_is_away_says_so() {
    let broker = Arc::new(Broker::default());
    let log = broker.open();
    let stream = create(&*log, "events", 1);
    broker.gone_after(1);
    let pending = log.submit(vec![append(stream, 0, 0..3)]);
    while !broker.struck().contains_key("bounds") {
        std::thread::yield_now();
    }
    assert!(log.close().is_err(), "nobody knows whether the rows are there");
    assert!(pending.wait().is_err());
    broker.back();
    assert_eq!(read_all(&*broker.open(), stream, 0), [0, 1, 2]);
}

#[test]
fn a_log_whose_process_is_to_end_waits_no_longer_than_it_may() {
    let broker = Arc::new(Broker::default());
    let options = TopicLogOptions { recent_bytes: 0, ..TopicLogOptions::default() };
    let log = TopicLog::open(World::real(), broker.connect(), "lab", options).unwrap();
    let stream = create(&*log, "events", 1);
    log.append(vec![append(stream, 0, 0..3)]).unwrap();
    broker.gone_after(0);
    let mut waiting = vec![log.submit(vec![append(stream, 0, 3..5)])];
    let mut reader = log.read(ReadSpec::all(stream, ShardId(0))).unwrap();
    std::thread::scope(|scope| {
        let read = scope.spawn(|| reader.next());
        while !["bounds", "read"].iter().all(|call| broker.struck().contains_key(call)) {
            std::thread::yield_now();
        }
        // Both wait for the broker, and an append waits for the one before it.
        waiting.push(log.submit(vec![append(stream, 0, 5..9)]));
        assert!(!read.is_finished());
        log.limit_waits(Duration::from_millis(20));
        let error = read.join().unwrap().unwrap_err();
        assert!(matches!(error, LogError::Topics(TopicError::Outage { .. })), "{error}");
    });
    for pending in waiting {
        let error = pending.wait().unwrap_err();
        assert!(matches!(error, LogError::Poisoned { .. }), "{error}");
    }
    assert!(log.close().is_err(), "not all that was submitted was written");
    broker.back();
    // What was acknowledged is there, and nothing else is.
    assert_eq!(read_all(&*broker.open(), stream, 0), [0, 1, 2]);
}

#[test]
fn a_log_that_owes_nothing_ends_well_without_its_broker() {
    let broker = Arc::new(Broker::default());
    let log = broker.open();
    let stream = create(&*log, "events", 1);
    log.append(vec![append(stream, 0, 0..3)]).unwrap();
    broker.gone_after(0);
    log.limit_waits(Duration::ZERO);
    log.close().unwrap();
    broker.back();
    assert_eq!(read_all(&*broker.open(), stream, 0), [0, 1, 2]);
}
