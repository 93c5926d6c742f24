//! What becomes of files that are full.

use std::time::Duration;

use headwater_core::world::Clock;
use headwater_core::world::sim::SimWorld;
use headwater_core::{Epoch, EventTime, ProducerId, Sequence, ShardId, StreamId, StreamName};
use headwater_log::{
    Append, DiskLog, DiskLogOptions, Durability, From, Log, LogError, Producer, ReadSpec, Retention,
    SegmentInfo, StreamSpec,
};

use super::script::{read, rows, schema};

struct Fixture {
    machine: SimWorld,
    options: DiskLogOptions,
    log: std::sync::Arc<DiskLog>,
    stream: StreamId,
}

impl Fixture {
    fn new(segment_bytes: u64) -> Self {
        let machine = SimWorld::new(3);
        let options =
            DiskLogOptions { segment_bytes, scrub_bytes_per_second: 0, ..DiskLogOptions::default() };
        let log = DiskLog::open(machine.world(), "/data".as_ref(), options.clone()).unwrap();
        let spec = StreamSpec { shards: 2, ..StreamSpec::new(StreamName::new("s").unwrap(), schema(false)) };
        let stream = log.create_stream(spec).unwrap().id;
        Self { machine, options, log, stream }
    }

    fn append(&self, shard: u32, values: std::ops::Range<i64>) {
        self.machine.clock().advance(Duration::from_secs(1));
        self.log.append(vec![Append::new(self.stream, ShardId(shard), rows(values, false))]).unwrap();
    }

    /// Lets the sealer finish; answers with the segments of a shard.
    fn segments(&self, shard: u32) -> Vec<SegmentInfo> {
        self.machine.tasks().settle();
        let mut all = self.log.segments(self.stream).unwrap();
        all.retain(|one| one.shard == ShardId(shard));
        all
    }

    fn values(&self, shard: u32) -> Vec<i64> {
        read(&*self.log, ReadSpec::all(self.stream, ShardId(shard))).unwrap()
    }

    fn reopen(&mut self) {
        self.machine.process_crash();
        self.log = DiskLog::open(self.machine.world(), "/data".as_ref(), self.options.clone()).unwrap();
    }
}

#[test]
fn small_batches_are_merged_and_keep_their_arrivals() {
    let mut fixture = Fixture::new(1500);
    for n in 0..20 {
        fixture.append(0, 2 * n..2 * n + 2);
    }
    let spec = || ReadSpec { arrivals: true, ..ReadSpec::all(fixture.stream, ShardId(0)) };
    let before = arrivals(&*fixture.log, spec());
    let segments = fixture.segments(0);
    assert!(segments.iter().filter(|one| one.sealed).all(|one| one.batches == 1), "{segments:?}");
    assert!(segments.iter().filter(|one| one.sealed).count() > 2);
    assert!(fixture.values(0).into_iter().eq(0..40));
    assert_eq!(arrivals(&*fixture.log, spec()), before);
    assert!(
        before.windows(2).any(|pair| pair[0] < pair[1]),
        "rows of one sealed batch arrived at many times"
    );
    let sealed = segments.iter().filter(|one| one.sealed).count();
    fixture.reopen();
    assert_eq!(fixture.segments(0).iter().filter(|one| one.sealed).count(), sealed);
    assert!(fixture.values(0).into_iter().eq(0..40));
    assert_eq!(
        arrivals(&*fixture.log, ReadSpec { arrivals: true, ..ReadSpec::all(fixture.stream, ShardId(0)) }),
        before
    );
}

fn arrivals(log: &dyn Log, spec: ReadSpec) -> Vec<i64> {
    let mut reader = log.read(spec).unwrap();
    let mut all = Vec::new();
    while let Some(batch) = reader.next().unwrap() {
        all.extend_from_slice(batch.arrivals.unwrap().values());
    }
    all
}

#[test]
fn a_file_of_one_stream_with_large_batches_is_adopted() {
    let mut fixture = Fixture::new(200 << 10);
    let other = StreamSpec::new(StreamName::new("other").unwrap(), schema(false));
    let other = fixture.log.create_stream(other).unwrap().id;
    let mut following = fixture.log.read(ReadSpec::all(fixture.stream, ShardId(0))).unwrap();
    assert!(following.next().unwrap().is_none());
    for n in 0..9 {
        fixture.append(0, 5000 * n..5000 * n + 5000);
        fixture.log.append(vec![Append::new(other, ShardId(0), rows(n..n + 1, false))]).unwrap();
    }
    following.next().unwrap().unwrap();
    let segments = fixture.segments(0);
    let sealed: Vec<_> = segments.iter().filter(|one| one.sealed).collect();
    assert!(!sealed.is_empty());
    assert!(sealed.iter().all(|one| one.batches > 1), "what is adopted is not merged: {segments:?}");
    let mut count = 5000;
    while let Some(batch) = following.next().unwrap() {
        count += batch.rows.num_rows();
    }
    assert_eq!(count, 45_000, "a reader goes on while files change their names");
    for _ in 0..2 {
        assert!(fixture.values(0).into_iter().eq(0..45_000));
        let small = read(&*fixture.log, ReadSpec::all(other, ShardId(0))).unwrap();
        assert!(small.into_iter().eq(0..9));
        fixture.reopen();
    }
}

#[test]
fn producers_are_remembered_through_sealing_and_trimming() {
    let mut fixture = Fixture::new(1024);
    let append = |log: &DiskLog, stream, n: u64| {
        let producer = Producer { id: ProducerId(9), epoch: Epoch(2), sequence: n };
        let value = n as i64;
        let one = Append::new(stream, ShardId(0), rows(value..value + 1, false));
        log.append(vec![Append { producer: Some(producer), ..one }]).unwrap()[0]
    };
    for n in 0..20 {
        assert!(!append(&fixture.log, fixture.stream, n).duplicate);
    }
    for _ in 0..2 {
        fixture.machine.tasks().settle();
        for n in 12..20 {
            let again = append(&fixture.log, fixture.stream, n);
            assert!(again.duplicate);
            assert_eq!(again.first, Sequence(n));
        }
        fixture.reopen();
    }
    // Another shard fills files, so that everything of this one is sealed and can be trimmed.
    for n in 0..20 {
        fixture.append(1, n..n + 1);
    }
    fixture.machine.tasks().settle();
    fixture.log.trim(fixture.stream, ShardId(0), Sequence(20)).unwrap();
    assert_eq!(fixture.log.bounds(fixture.stream).unwrap()[0].first, Sequence(20));
    fixture.reopen();
    assert_eq!(fixture.log.bounds(fixture.stream).unwrap()[0].next, Sequence(20));
    assert!(append(&fixture.log, fixture.stream, 19).duplicate, "remembered without a row that tells");
    assert_eq!(append(&fixture.log, fixture.stream, 20).first, Sequence(20));
}

#[test]
fn retention_removes_whole_files_by_age_and_by_size() {
    let mut fixture = Fixture::new(1024);
    for n in 0..30 {
        fixture.append((n % 2) as u32, n..n + 1);
    }
    let files = |fixture: &Fixture| {
        let dir = format!("/data/log/{}", fixture.stream);
        fixture.machine.world().disk.list(dir.as_ref()).unwrap().len()
    };
    let count = fixture.segments(0).len();
    assert!(count > 4 && files(&fixture) == count - 1);
    let size: u64 = fixture.log.segments(fixture.stream).unwrap().iter().map(|one| one.bytes).sum();
    fixture.log.set_retention(fixture.stream, Retention { age: None, bytes: Some(size / 2) }).unwrap();
    pass(&fixture, Duration::from_secs(70));
    let left = fixture.segments(0).len();
    assert!(left < count, "{left} of {count} are left");
    assert_eq!(files(&fixture), left - 1);
    let age = Some(Duration::from_secs(10));
    fixture.log.set_retention(fixture.stream, Retention { age, bytes: None }).unwrap();
    pass(&fixture, Duration::from_secs(200));
    assert!(fixture.segments(0).iter().all(|one| !one.sealed));
    assert_eq!(files(&fixture), 0);
    let bounds = fixture.log.bounds(fixture.stream).unwrap();
    assert!(bounds[0].first > Sequence(0) && bounds[0].next == Sequence(15));
    let gone = ReadSpec { from: From::Sequence(Sequence(0)), ..ReadSpec::all(fixture.stream, ShardId(0)) };
    assert!(matches!(fixture.log.read(gone), Err(LogError::Trimmed { .. })));
    fixture.reopen();
    assert_eq!(fixture.log.bounds(fixture.stream).unwrap(), bounds);
}

#[test]
fn rows_that_are_kept_in_memory_go_by_age_though_none_follow() {
    let fixture = Fixture::new(1 << 20);
    let age = Some(Duration::from_secs(10));
    let spec = StreamSpec {
        durability: Durability::Memory,
        retention: Retention { age, bytes: None },
        ..StreamSpec::new(StreamName::new("m").unwrap(), schema(false))
    };
    let stream = fixture.log.create_stream(spec).unwrap().id;
    for n in 0..5 {
        fixture.machine.clock().advance(Duration::from_secs(1));
        fixture.log.append(vec![Append::new(stream, ShardId(0), rows(n..n + 1, false))]).unwrap();
    }
    let first = |fixture: &Fixture| fixture.log.bounds(stream).unwrap()[0].first;
    assert_eq!(first(&fixture), Sequence(0));
    pass(&fixture, Duration::from_secs(200));
    // As on the disk, what is newest stays.
    assert_eq!(first(&fixture), Sequence(4));
    assert_eq!(read(&*fixture.log, ReadSpec::all(stream, ShardId(0))).unwrap(), [4]);
}

#[test]
fn whoever_only_looks_at_a_log_removes_nothing() {
    let mut fixture = Fixture::new(1024);
    for n in 0..30 {
        fixture.append(0, n..n + 1);
    }
    let age = Some(Duration::from_secs(10));
    fixture.log.set_retention(fixture.stream, Retention { age, bytes: None }).unwrap();
    let sealed = |fixture: &Fixture| fixture.segments(0).iter().filter(|one| one.sealed).count();
    let before = sealed(&fixture);
    assert!(before > 4, "{before}");
    fixture.options.maintains = false;
    fixture.machine.process_crash();
    // A copy that is looked at long after.
    fixture.machine.clock().advance(Duration::from_secs(1_000_000));
    fixture.log = DiskLog::open(fixture.machine.world(), "/data".as_ref(), fixture.options.clone()).unwrap();
    pass(&fixture, Duration::from_secs(8_000));
    assert_eq!(sealed(&fixture), before);
    assert!(fixture.values(0).into_iter().eq(0..30));
    fixture.log.close().unwrap();
    // Who maintains it does remove them.
    fixture.options.maintains = true;
    fixture.reopen();
    pass(&fixture, Duration::from_secs(200));
    assert_eq!(sealed(&fixture), 0);
}

#[test]
fn a_held_stream_loses_only_what_was_released() {
    let mut fixture = Fixture::new(1024);
    fixture.log.set_hold(fixture.stream, true).unwrap();
    let age = Some(Duration::from_secs(10));
    fixture.log.set_retention(fixture.stream, Retention { age, bytes: None }).unwrap();
    for n in 0..30 {
        fixture.append((n % 2) as u32, n..n + 1);
    }
    let firsts = |fixture: &Fixture| {
        let bounds = fixture.log.bounds(fixture.stream).unwrap();
        [bounds[0].first.0, bounds[1].first.0]
    };
    pass(&fixture, Duration::from_secs(200));
    assert_eq!(firsts(&fixture), [0, 0], "nothing was released");
    fixture.log.release(fixture.stream, ShardId(0), Sequence(15)).unwrap();
    fixture.log.trim(fixture.stream, ShardId(1), Sequence(9)).unwrap();
    pass(&fixture, Duration::from_secs(200));
    assert_eq!(
        firsts(&fixture),
        [0, 0],
        "each file holds rows of both shards, and of one nothing was released"
    );
    fixture.log.release(fixture.stream, ShardId(1), Sequence(6)).unwrap();
    pass(&fixture, Duration::from_secs(200));
    let [_, first] = firsts(&fixture);
    assert!(0 < first && first <= 6, "{first}");
    // What was released is forgotten with the process, that rows are held is not.
    fixture.reopen();
    pass(&fixture, Duration::from_secs(200));
    assert_eq!(firsts(&fixture)[1], first);
    fixture.log.set_hold(fixture.stream, false).unwrap();
    pass(&fixture, Duration::from_secs(200));
    assert!(firsts(&fixture)[1] > 6);
}

/// Lets time pass, and everybody take the turns that are due.
fn pass(fixture: &Fixture, time: Duration) {
    let end = fixture.machine.clock().monotonic() + time;
    while fixture.machine.clock().monotonic() < end {
        fixture.machine.clock().advance(Duration::from_secs(5));
        fixture.machine.tasks().settle();
    }
}

#[test]
fn a_quiet_file_is_sealed_when_it_is_old() {
    let fixture = Fixture::new(128 << 20);
    fixture.append(0, 0..1);
    assert!(fixture.segments(0).iter().all(|one| !one.sealed));
    pass(&fixture, Duration::from_secs(3700));
    assert!(fixture.segments(0).iter().all(|one| one.sealed));
    assert_eq!(fixture.values(0), [0]);
}

#[test]
fn a_clock_that_is_set_back_does_not_turn_arrivals_around() {
    let mut fixture = Fixture::new(1024);
    let mut wall = fixture.machine.clock().now();
    for n in 0..12 {
        fixture.append(0, n..n + 1);
        wall = wall.minus(Duration::from_secs(3600));
        fixture.machine.clock().set_wall(wall);
        if n % 4 == 3 {
            fixture.reopen();
        }
    }
    let spec = ReadSpec { arrivals: true, ..ReadSpec::all(fixture.stream, ShardId(0)) };
    let arrivals = arrivals(&*fixture.log, spec);
    assert!(arrivals.is_sorted() && arrivals.len() == 12);
    assert!(EventTime(arrivals[0]) > wall);
}

#[test]
fn a_garbled_or_missing_footer_is_made_anew() {
    for garble in [true, false] {
        let mut fixture = Fixture::new(1024);
        for n in 0..12 {
            fixture.append(0, n..n + 1);
        }
        fixture.machine.tasks().settle();
        fixture.log.close().unwrap();
        let path = format!("/data/log/{}/1.hws", fixture.stream);
        let image = fixture.machine.disk().image();
        let len = image.files[std::path::Path::new(&path)].len() as u64;
        if garble {
            fixture.machine.disk().corrupt(path.as_ref(), len - 40, 0x55).unwrap();
        } else {
            fixture.machine.disk().truncate(path.as_ref(), len - 128).unwrap();
        }
        fixture.reopen();
        assert!(fixture.values(0).into_iter().eq(0..12));
        assert_eq!(fixture.log.damage().len(), 1);
        fixture.reopen();
        assert_eq!(fixture.log.damage(), []);
    }
}

#[test]
fn damage_in_a_sealed_file_is_an_error_with_its_place_and_the_scrubber_finds_it() {
    let mut fixture = Fixture::new(1024);
    fixture.options.scrub_bytes_per_second = 1024;
    for n in 0..12 {
        fixture.append(0, n..n + 1);
    }
    fixture.machine.tasks().settle();
    let path = format!("/data/log/{}/1.hws", fixture.stream);
    // The body of the first batch comes after its header.
    let image = fixture.machine.disk().image();
    let bytes = &image.files[std::path::Path::new(&path)];
    let body = 64 + u64::from(bytes[64 + 16]) + 256 * u64::from(bytes[64 + 17]);
    fixture.machine.disk().corrupt(path.as_ref(), body, 1).unwrap();
    fixture.reopen();
    let error = read(&*fixture.log, ReadSpec::all(fixture.stream, ShardId(0))).unwrap_err();
    assert!(matches!(&error, LogError::Corrupt { file, .. } if file.ends_with("1.hws")), "{error}");
    pass(&fixture, Duration::from_secs(120));
    assert_eq!(fixture.log.damage().len(), 1);
    let metrics = fixture.log.metrics();
    assert_eq!(metrics.damaged, 1);
    assert!(metrics.scrubbed_bytes > 0);
}
