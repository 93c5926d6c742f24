//! Archive and log read as one log.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, TimestampMillisecondArray};
use headwater_archive::{Archive, History, Partition, Place, Roll, Settings};
use headwater_core::{EventTime, Sequence, ShardId};
use headwater_log::{ColumnBound, From, Log, LogError, ReadSpec};

use super::bench_log::{Bench, every, read_all, read_shard, value_of};

/// A machine on which a log is archived to a directory.
struct Desk {
    bench: Bench,
    history: Arc<History>,
    _runtime: tokio::runtime::Runtime,
}

impl Desk {
    fn new(settings: Settings) -> Self {
        let bench = Bench::new(11);
        bench.log.set_hold(bench.info.id, true).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let history = History::new(Arc::clone(&bench.log));
        let world = bench.sim.world();
        let place = Place::open(&world, "/archive/readings").unwrap();
        let (log, info) = (Arc::clone(&bench.log), Arc::clone(&bench.info));
        history.attach(Archive::start(&world, log, info, place, settings, runtime.handle().clone()));
        Self { bench, history, _runtime: runtime }
    }

    /// Lets everybody work for so many seconds.
    fn pass(&self, seconds: u64) {
        for _ in 0..seconds {
            self.bench.sim.clock().advance(Duration::from_secs(1));
            self.bench.sim.tasks().settle();
        }
    }

    /// Appends rows one by one, which are archived, and drops as many from the log as may be dropped.
    fn filled(settings: Settings) -> Self {
        let desk = Self::new(settings);
        for n in 0..300 {
            desk.bench.append(0, n..n + 1);
        }
        desk.bench.append(1, 1000..1010);
        desk.pass(10);
        let first = desk.bench.trim(0, u64::MAX >> 1);
        assert!(first > 50, "the log begins at {first}");
        desk.bench.append(0, 300..310);
        desk
    }

    fn archive(&self) -> Arc<Archive> {
        self.history.archive(self.bench.info.id).unwrap()
    }

    fn first(&self) -> u64 {
        self.bench.log.bounds(self.bench.info.id).unwrap()[0].first.0
    }

    fn spec(&self) -> ReadSpec {
        ReadSpec { until: Some(Sequence(310)), ..ReadSpec::all(self.bench.info.id, ShardId(0)) }
    }

    fn read(&self, spec: ReadSpec) -> Vec<(u64, i64)> {
        read_all(self.history.read(spec).unwrap()).unwrap()
    }
}

fn expected(rows: std::ops::Range<u64>) -> Vec<(u64, i64)> {
    rows.map(|n| (n, value_of(0, n as i64))).collect()
}

#[test]
fn each_row_comes_once_whatever_the_files_are_like() {
    for settings in [
        every(7),
        every(1000),
        Settings { partition: Partition::Day, ..every(100) },
        Settings { sort: vec!["device".into()], row_group_rows: 10, ..every(100) },
    ] {
        let desk = Desk::filled(settings.clone());
        assert_eq!(read_shard(&*desk.history, &desk.bench.info, 0), expected(0..310), "{settings:?}");
        assert_eq!(read_shard(&*desk.history, &desk.bench.info, 1).len(), 10);
        let bounds = desk.history.bounds(desk.bench.info.id).unwrap();
        assert_eq!((bounds[0].first, bounds[0].next), (Sequence(0), Sequence(310)));
        for from in [0, 1, 6, 7, desk.first() - 1, desk.first(), desk.first() + 1, 309] {
            let spec = ReadSpec { from: From::Sequence(Sequence(from)), ..desk.spec() };
            assert_eq!(desk.read(spec), expected(from..310), "from {from}, {settings:?}");
            let until = Sequence(from + 1);
            let spec = ReadSpec { from: From::Sequence(Sequence(from)), until: Some(until), ..desk.spec() };
            assert_eq!(desk.read(spec), expected(from..from + 1));
        }
    }
}

#[test]
fn nothing_leaves_the_log_before_it_is_committed() {
    let desk = Desk::new(Settings {
        roll: Roll { bytes: u64::MAX, rows: 1 << 40, age: Duration::from_secs(500) },
        ..every(1)
    });
    for n in 0..300 {
        desk.bench.append(0, n..n + 1);
    }
    desk.pass(100);
    assert_eq!(desk.bench.trim(0, 300), 0);
    desk.pass(500);
    assert!(desk.bench.trim(0, 300) > 0);
    assert_eq!(desk.archive().status().rows, 300);
}

#[test]
fn reading_starts_at_a_time_in_the_archive() {
    let desk = Desk::filled(every(10));
    let hour = 3_600_000_000_000;
    let spec = ReadSpec { from: From::EventTime(EventTime(25 * hour)), ..desk.spec() };
    assert_eq!(desk.read(spec), expected(20..310), "from the start of the range that holds it");
    let spec = ReadSpec { from: From::EventTime(EventTime(305 * hour)), ..desk.spec() };
    let late = desk.read(spec);
    assert!(late[0].0 > 250 && late.last().unwrap().0 == 309);
    let spec = ReadSpec { from: From::Arrival(EventTime::MIN), ..desk.spec() };
    assert_eq!(desk.read(spec), expected(0..310));
}

#[test]
fn columns_and_arrivals_come_as_wanted() {
    let desk = Desk::filled(every(50));
    let spec = ReadSpec { projection: Some(vec![2, 0]), arrivals: true, ..desk.spec() };
    let mut reader = desk.history.read(spec).unwrap();
    let mut rows = 0;
    while let Some(read) = reader.next().unwrap() {
        let names: Vec<_> = read.rows.schema().fields().iter().map(|field| field.name().clone()).collect();
        assert_eq!(names, ["value", "device"]);
        let arrivals = read.arrivals.unwrap();
        assert_eq!((arrivals.len(), arrivals.timezone()), (read.rows.num_rows(), None));
        assert!(read.arrival.start.0 <= arrivals.value(0) && arrivals.value(0) <= read.arrival.end.0);
        rows += read.rows.num_rows();
    }
    assert_eq!(rows, 310);
    let spec = ReadSpec { projection: Some(Vec::new()), ..desk.spec() };
    let mut reader = desk.history.read(spec).unwrap();
    let mut rows = 0;
    while let Some(read) = reader.next().unwrap() {
        assert_eq!(read.rows.num_columns(), 0);
        rows += read.rows.num_rows();
    }
    assert_eq!(rows, 310);
}

#[test]
fn bounds_leave_out_files_groups_and_pages() {
    let bound = |column: usize, array: ArrayRef| {
        vec![ColumnBound { column, min: Some(Arc::clone(&array)), max: Some(array) }]
    };
    for (settings, most) in [
        (Settings { row_group_rows: 10, ..every(100) }, 10),
        (Settings { partition: Partition::Day, ..every(100) }, 24),
        (Settings { sort: vec!["device".into()], row_group_rows: 10, ..every(100) }, 100),
    ] {
        let desk = Desk::filled(settings.clone());
        let archived = |all: Vec<(u64, i64)>| {
            let first = desk.first();
            all.into_iter().filter(|(sequence, _)| *sequence < first).collect::<Vec<_>>()
        };
        let time: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![42 * 3_600_000]));
        let found = archived(desk.read(ReadSpec { bounds: bound(1, time), ..desk.spec() }));
        assert!(found.contains(&(42, 42)) && found.len() <= most, "{} rows, {settings:?}", found.len());
        let value: ArrayRef = Arc::new(Int64Array::from(vec![42]));
        let spec = ReadSpec { bounds: bound(2, value), projection: Some(vec![2]), ..desk.spec() };
        let found = archived(desk.read(spec));
        assert!(found.contains(&(42, 42)) && found.len() <= most, "{} rows, {settings:?}", found.len());
    }
}

#[test]
fn a_reader_goes_on_in_the_archive_when_retention_overtakes_it() {
    let desk = Desk::new(every(10));
    for n in 0..300 {
        desk.bench.append(0, n..n + 1);
    }
    desk.pass(10);
    let spec = ReadSpec { until: Some(Sequence(300)), ..ReadSpec::all(desk.bench.info.id, ShardId(0)) };
    let mut reader = desk.history.read(spec).unwrap();
    let mut all = Vec::new();
    let mut add =
        |read: headwater_log::ReadBatch| all.extend(read.first.0..read.first.0 + read.rows.num_rows() as u64);
    add(reader.next().unwrap().unwrap());
    assert!(desk.bench.trim(0, 300) > 100);
    while let Some(read) = reader.next().unwrap() {
        add(read);
    }
    assert_eq!(all, (0..300).collect::<Vec<_>>());
}

#[test]
fn a_reader_goes_on_when_its_files_were_merged() {
    let desk = Desk::filled(every(10));
    let mut reader = desk.history.read(desk.spec()).unwrap();
    let first = reader.next().unwrap().unwrap().rows.num_rows() as u64;
    let place = desk.archive().place().clone();
    let done = futures::executor::block_on(headwater_archive::compact(
        &desk.bench.sim.world(),
        &place,
        1 << 20,
        Duration::ZERO,
    ))
    .unwrap();
    assert!(done.merges >= 1 && done.removed >= 30, "{done:?}");
    assert_eq!(read_all(reader).unwrap(), expected(first..310));
    assert_eq!(read_shard(&*desk.history, &desk.bench.info, 0), expected(0..310));
}

#[test]
fn a_reader_that_knows_a_files_footer_finds_its_rows_when_it_was_merged() {
    let desk = Desk::filled(every(10));
    assert_eq!(desk.read(desk.spec()), expected(0..310));
    let (world, place) = (desk.bench.sim.world(), desk.archive().place().clone());
    let done =
        futures::executor::block_on(headwater_archive::compact(&world, &place, 1 << 20, Duration::ZERO));
    assert!(done.unwrap().removed >= 30);
    assert_eq!(desk.read(desk.spec()), expected(0..310));
}

#[test]
fn an_archive_that_cannot_be_reached_is_an_error_not_a_gap() {
    let desk = Desk::filled(every(10));
    desk.archive().stop();
    // Another engine starts while the archive is away.
    let world = desk.bench.sim.world();
    let history = History::new(Arc::clone(&desk.bench.log));
    world.disk.remove("/archive/readings/_archive.json".as_ref()).unwrap();
    let place = Place::open(&world, "/archive/readings").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (log, info) = (Arc::clone(&desk.bench.log), Arc::clone(&desk.bench.info));
    let settings = Settings { sort: vec!["nope".into()], ..every(10) };
    history.attach(Archive::start(&world, log, info, place, settings, runtime.handle().clone()));
    let error = history.bounds(desk.bench.info.id).unwrap_err();
    assert!(matches!(error, LogError::Archive { .. }), "{error}");
    // How far a job is behind is known all the same.
    let ends = desk.bench.log.bounds(desk.bench.info.id).unwrap().into_iter().map(|bounds| bounds.next);
    assert_eq!(history.ends(desk.bench.info.id).unwrap(), ends.collect::<Vec<_>>());
    assert!(history.read(desk.spec()).is_err());
    // Shard 1 is in the log as a whole.
    let latest = ReadSpec { from: From::Latest, ..ReadSpec::all(desk.bench.info.id, ShardId(1)) };
    assert!(history.read(latest).is_ok());
    desk.pass(1);
    let status = history.archive(desk.bench.info.id).unwrap().status();
    assert_eq!((status.state, status.rows), ("failed", 0));
    assert!(status.last_error.unwrap().contains("no column nope"));
}

#[test]
fn a_loss_of_power_at_any_moment_leaves_each_row_once() {
    for seed in 0..10 {
        let sim = headwater_core::world::sim::SimWorld::new(seed);
        let options = headwater_log::DiskLogOptions { segment_bytes: 2048, ..Default::default() };
        let mut appended = 0;
        for life in 0..4 {
            let log: Arc<dyn Log> =
                headwater_log::DiskLog::open(sim.world(), "/data".as_ref(), options.clone()).unwrap();
            let info = match log.stream_named("readings") {
                Ok(info) => info,
                Err(_) => {
                    let spec = headwater_log::StreamSpec {
                        event_time: Some("ts".into()),
                        retention: headwater_log::Retention {
                            age: Some(Duration::from_secs(5)),
                            bytes: None,
                        },
                        ..headwater_log::StreamSpec::new(
                            headwater_core::StreamName::new("readings").unwrap(),
                            super::bench_log::schema(),
                        )
                    };
                    Arc::new(log.create_stream(spec).unwrap())
                }
            };
            log.set_hold(info.id, true).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let history = History::new(Arc::clone(&log));
            let place = Place::open(&sim.world(), "/archive/readings").unwrap();
            let roll = Roll { bytes: u64::MAX, rows: 17, age: Duration::from_secs(8) };
            let settings = Settings { partition: Partition::Day, roll, ..Settings::default() };
            history.attach(Archive::start(
                &sim.world(),
                Arc::clone(&log),
                Arc::clone(&info),
                place.clone(),
                settings,
                runtime.handle().clone(),
            ));
            for _ in 0..30 {
                let rows = super::bench_log::rows(appended..appended + 3);
                log.append(vec![headwater_log::Append::new(info.id, ShardId(0), rows)]).unwrap();
                appended += 3;
                sim.clock().advance(Duration::from_secs(1));
                for _ in 0..sim.world().random.next() % 12 {
                    sim.tasks().turn();
                }
            }
            let all: Vec<_> = read_shard(&*history, &info, 0).iter().map(|(sequence, _)| *sequence).collect();
            assert_eq!(all, (0..appended as u64).collect::<Vec<_>>(), "seed {seed}, life {life}");
            super::bench_log::assert_none_twice(&place);
            if life < 3 {
                // In the middle of whatever is being done.
                sim.power_loss();
            }
        }
    }
}
