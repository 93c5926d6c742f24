//! What an acknowledgement is worth, and what it costs.

use headwater_core::world::sim::SimWorld;
use headwater_core::{Epoch, ProducerId, Sequence, ShardId, StreamId, StreamName};
use headwater_log::{
    Append, DiskLog, DiskLogOptions, Durability, From, Log, LogError, Pending, Producer, ReadSpec, StreamSpec,
};

use super::script::{read, rows, schema};

fn open(machine: &SimWorld) -> std::sync::Arc<DiskLog> {
    DiskLog::open(machine.world(), "/data".as_ref(), DiskLogOptions::default()).unwrap()
}

/// A stream of each durability: disk, process, memory.
fn streams(log: &DiskLog) -> [StreamId; 3] {
    let levels = [("d", Durability::Disk), ("p", Durability::Process), ("m", Durability::Memory)];
    levels.map(|(name, durability)| {
        let spec = StreamSpec::new(StreamName::new(name).unwrap(), schema(false));
        log.create_stream(StreamSpec { durability, ..spec }).unwrap().id
    })
}

fn append(stream: StreamId, value: i64) -> Append {
    Append::new(stream, ShardId(0), rows(value..value + 1, false))
}

fn count(log: &DiskLog, stream: StreamId) -> usize {
    read(log, ReadSpec::all(stream, ShardId(0))).unwrap().len()
}

#[test]
fn only_what_must_survive_a_loss_of_power_waits_for_a_sync() {
    let machine = SimWorld::new(1);
    let log = open(&machine);
    let [disk, process, memory] = streams(&log);
    for n in 0..5 {
        log.append(vec![append(process, n), append(memory, n)]).unwrap();
    }
    assert_eq!(log.metrics().syncs, 0);
    let written = log.metrics().bytes;
    log.append(vec![append(memory, 5)]).unwrap();
    assert_eq!(log.metrics().bytes, written, "what is kept in memory is not written");
    log.append(vec![append(process, 5), append(disk, 0)]).unwrap();
    assert_eq!(log.metrics().syncs, 1);
    assert_eq!([disk, process, memory].map(|stream| count(&log, stream)), [1, 6, 6]);
}

#[test]
fn each_level_survives_what_it_says() {
    for seed in 0..20 {
        let machine = SimWorld::new(seed);
        let log = open(&machine);
        let [disk, process, memory] = streams(&log);
        log.append(vec![append(disk, 0)]).unwrap();
        log.append(vec![append(process, 0), append(memory, 0)]).unwrap();
        drop(log);
        machine.process_crash();
        let log = open(&machine);
        assert_eq!([disk, process, memory].map(|stream| count(&log, stream)), [1, 1, 0]);
        log.append(vec![append(disk, 1)]).unwrap();
        log.append(vec![append(process, 1)]).unwrap();
        drop(log);
        machine.power_loss();
        let log = open(&machine);
        assert_eq!(count(&log, disk), 2);
        // What was there when the log was opened was made durable then.
        assert!((1..=2).contains(&count(&log, process)));
    }
}

/// A shard whose older rows are kept elsewhere begins behind them, whatever becomes of the machine.
#[test]
fn a_shard_that_has_had_no_rows_can_begin_later() {
    let machine = SimWorld::new(5);
    let log = open(&machine);
    let [disk, process, memory] = streams(&log);
    let begin = |log: &DiskLog, stream, first| log.begin_at(stream, ShardId(0), Sequence(first));
    let bounds = |log: &DiskLog, stream| {
        let bounds = log.bounds(stream).unwrap()[0];
        (bounds.first.0, bounds.next.0)
    };
    for stream in [disk, process] {
        begin(&log, stream, 50).unwrap();
        assert_eq!(bounds(&log, stream), (50, 50));
    }
    assert!(matches!(begin(&log, memory, 50), Err(LogError::BadSpec { .. })));
    drop(log);
    machine.power_loss();
    let log = open(&machine);
    for stream in [disk, process] {
        assert_eq!(bounds(&log, stream), (50, 50));
        assert_eq!(log.append(vec![append(stream, 50)]).unwrap()[0].first, Sequence(50));
        begin(&log, stream, 50).unwrap();
        assert!(matches!(begin(&log, stream, 60), Err(LogError::BadSpec { .. })), "it has had rows");
        assert_eq!(bounds(&log, stream), (50, 51));
    }
    drop(log);
    machine.process_crash();
    let log = open(&machine);
    for stream in [disk, process] {
        assert_eq!((bounds(&log, stream), count(&log, stream)), ((50, 51), 1));
        let older = ReadSpec { from: From::Sequence(Sequence(49)), ..ReadSpec::all(stream, ShardId(0)) };
        assert!(matches!(log.read(older).map(drop), Err(LogError::Trimmed { .. })));
    }
}

/// No number is given out twice: who remembers a place is told that the rows behind it are gone.
#[test]
fn what_is_kept_in_memory_is_numbered_behind_all_that_was() {
    let machine = SimWorld::new(4);
    let log = open(&machine);
    let memory = streams(&log)[2];
    let bounds = |log: &DiskLog| log.bounds(memory).unwrap()[0];
    for n in 0..3 {
        log.append(vec![append(memory, n)]).unwrap();
    }
    assert_eq!((bounds(&log).first.0, bounds(&log).next.0), (0, 3));
    let (mut log, mut last) = (log, Sequence(2));
    for life in 0..6 {
        if life % 2 == 0 {
            log.close().unwrap();
        }
        drop(log);
        if life % 3 == 0 {
            machine.power_loss()
        } else {
            machine.process_crash()
        }
        log = open(&machine);
        let begins = bounds(&log);
        assert!(begins.first == begins.next && begins.first > last, "{begins:?}");
        let place = ReadSpec { from: From::Sequence(last), ..ReadSpec::all(memory, ShardId(0)) };
        assert!(matches!(log.read(place), Err(LogError::Trimmed { oldest, .. }) if oldest == begins.first));
        let appended = log.append(vec![append(memory, life)]).unwrap();
        assert_eq!((appended[0].first, count(&log, memory)), (begins.first, 1));
        last = appended[0].first;
    }
}

#[test]
fn what_waits_is_committed_together() {
    let machine = SimWorld::new(2);
    let log = open(&machine);
    let [disk, ..] = streams(&log);
    let pending: Vec<Box<dyn Pending>> = (0..100).map(|n| log.submit(vec![append(disk, n)])).collect();
    for (n, pending) in (0..).zip(pending) {
        assert_eq!(pending.wait().unwrap()[0].first, Sequence(n));
    }
    let metrics = log.metrics();
    assert_eq!((metrics.rows, metrics.commits, metrics.syncs), (100, 1, 1));
    assert_eq!(metrics.sync_micros.last().map(|(_, count)| *count), Some(1));
}

#[test]
fn a_repeat_in_the_same_commit_is_answered_when_the_original_is_durable() {
    let machine = SimWorld::new(3);
    let log = open(&machine);
    let [disk, ..] = streams(&log);
    let producer = Producer { id: ProducerId(1), epoch: Epoch(0), sequence: 0 };
    let one = || Append { producer: Some(producer), ..append(disk, 7) };
    let (first, second) = (log.submit(vec![one()]), log.submit(vec![one()]));
    assert!(second.wait().unwrap()[0].duplicate);
    assert_eq!(log.metrics().syncs, 1);
    assert!(!first.wait().unwrap()[0].duplicate);
    assert_eq!(count(&log, disk), 1);
}

#[test]
fn a_group_that_fails_does_not_disturb_its_neighbours() {
    let machine = SimWorld::new(4);
    let log = open(&machine);
    let [disk, ..] = streams(&log);
    let wrong = Append { expect_next: Some(Sequence(9)), ..append(disk, 1) };
    let pending = [vec![append(disk, 0)], vec![wrong], vec![append(disk, 1)]].map(|group| log.submit(group));
    let [first, second, third] = pending.map(|pending| pending.wait());
    assert_eq!(first.unwrap()[0].first, Sequence(0));
    assert!(second.is_err());
    assert_eq!(third.unwrap()[0].first, Sequence(1));
}

/// Each idempotency key is a producer that appends once.
#[test]
fn as_many_producers_are_remembered_as_is_set() {
    let machine = SimWorld::new(1);
    let options = || DiskLogOptions { producers_remembered: 40, ..DiskLogOptions::default() };
    let open = || DiskLog::open(machine.world(), "/data".as_ref(), options()).unwrap();
    let mut log = open();
    let [disk, ..] = streams(&log);
    let send = |log: &DiskLog, key: u64| {
        let producer = Producer { id: ProducerId(key), epoch: Epoch(0), sequence: 0 };
        log.append(vec![Append { producer: Some(producer), ..append(disk, key as i64) }]).unwrap()[0]
            .duplicate
    };
    for key in 0..100 {
        assert!(!send(&log, key));
    }
    for _ in 0..2 {
        assert!((71..100).all(|key| send(&log, key)), "the newest are known");
        log.close().unwrap();
        drop(log);
        log = open();
    }
    assert!(!send(&log, 100));
    assert!(!send(&log, 0), "the oldest is not");
    assert_eq!(count(&log, disk), 102);
}
