//! When partitions are committed, and what crashes do to that.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use headwater_core::world::sim::{DiskImage, SimWorld};
use headwater_core::world::{Disk as _, Errno, Fault, Op};
use headwater_core::{EventTime, Sequence, ShardId, StreamId, StreamName};
use headwater_ingest::{Options, read_timestamp};
use headwater_log::ShardBounds;
use parking_lot::Mutex;

use crate::connector::{Context, Cursor, Delivery, Sink};
use crate::error::Result;
use crate::registry::make_sink;
use crate::watermark::{Passed, Watermarks};

const PARTITION_TIME: [(&str, &str); 4] = [
    ("sink.partition-commit.trigger", "partition-time"),
    ("sink.partition-commit.delay", "1 min"),
    ("sink.partition-commit.policy.kind", "success-file"),
    ("partition.time-extractor.timestamp-pattern", "$dt $hm:00"),
];

const PROCESS_TIME: [(&str, &str); 2] =
    [("sink.partition-commit.delay", "10 s"), ("sink.partition-commit.policy.kind", "Success-File")];

/// A row: its number, and the hour and minute of its folder.
type Row = (i64, &'static str);

/// A machine, a stream with rows `n`, `dt` and `hm`, and what is told of it.
struct Place {
    sim: SimWorld,
    told: Arc<Mutex<Passed>>,
}

fn schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false), text("dt"), text("hm")]))
}

fn at(time: &str) -> Option<EventTime> {
    Some(read_timestamp(&format!("2026-11-27T{time}Z")).unwrap())
}

impl Place {
    fn new(seed: u64) -> Self {
        let sim = SimWorld::new(seed);
        sim.disk().create_dir(Path::new("/out")).unwrap();
        sim.disk().sync_dir(Path::new("/")).unwrap();
        let told = Passed { watermark: Some(EventTime::MIN), bounds: vec![ShardBounds::default()] };
        Self { sim, told: Arc::new(Mutex::new(told)) }
    }

    /// A sink, open, and where it goes on.
    async fn open(&self, options: &[(&str, &str)]) -> Result<(Box<dyn Sink>, usize)> {
        let told = Arc::clone(&self.told);
        let context = Context {
            stream_id: StreamId(1),
            watermarks: Watermarks::made_up(move || told.lock().clone()),
            ..Context::of(self.sim.world(), StreamName::new("s").unwrap(), schema())
        };
        let all = [("path", "/out"), ("format", "json"), ("partition-by", "dt,hm")];
        let options = Options::new("test", all.into_iter().chain(options.iter().copied()));
        let mut sink = make_sink("filesystem", context, options)?;
        let next = sink.open(Cursor::default()).await?.next;
        Ok((sink, next.get(&ShardId(0)).copied().unwrap_or_default().0 as usize))
    }

    /// Says how far event time has come, with so many rows in the log.
    fn tell(&self, watermark: Option<EventTime>, rows: usize) {
        let bounds = vec![ShardBounds { first: Sequence(0), next: Sequence(rows as u64) }];
        *self.told.lock() = Passed { watermark, bounds };
    }

    /// The folders that are committed, such as `10:01`.
    fn committed(&self) -> Vec<String> {
        committed_in(&self.sim.disk().image(), "_SUCCESS")
    }
}

fn committed_in(image: &DiskImage, name: &str) -> Vec<String> {
    let named = image.files.keys().filter(|path| path.ends_with(name));
    named.map(|path| minute_of(path)).collect()
}

/// The minute of a file's folder.
fn minute_of(path: &Path) -> String {
    let folder = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
    folder.strip_prefix("hm=").unwrap().replace("%3A", ":")
}

/// Hands on rows of one day, the first of which has this number in the log.
async fn deliver(sink: &mut dyn Sink, first: usize, rows: &[Row]) -> Result<()> {
    let numbers = Int64Array::from_iter_values(rows.iter().map(|(n, _)| *n));
    let days = StringArray::from_iter_values(rows.iter().map(|_| "2026-11-27"));
    let minutes = StringArray::from_iter_values(rows.iter().map(|(_, minute)| *minute));
    let rows = RecordBatch::try_new(schema(), vec![Arc::new(numbers), Arc::new(days), Arc::new(minutes)]);
    let (stream, first) = (StreamName::new("s").unwrap(), Sequence(first as u64));
    sink.deliver(Delivery { stream, shard: ShardId(0), first, rows: rows.unwrap() }).await
}

#[tokio::test]
async fn a_partition_is_committed_when_the_watermark_has_passed_it_and_its_files_are_there() {
    let place = Place::new(1);
    let (mut sink, _) = place.open(&PARTITION_TIME).await.unwrap();
    deliver(&mut *sink, 0, &[(0, "10:00"), (1, "10:00"), (2, "10:01")]).await.unwrap();
    place.tell(at("10:01:30"), 3);
    let again = sink.on_tick().await.unwrap();
    assert!(again.is_some_and(|wait| wait <= Duration::from_secs(1)), "{again:?}");
    assert!(place.committed().is_empty(), "nothing has a name yet");
    place.tell(at("10:00:59.999"), 3);
    sink.on_tick().await.unwrap();
    sink.flush().await.unwrap();
    assert!(place.committed().is_empty());
    // No more rows come.
    place.tell(at("10:01:00"), 3);
    sink.on_tick().await.unwrap();
    assert_eq!(place.committed(), ["10:00"]);

    // Rows that the watermark has passed are still to be delivered, and then to be written.
    place.tell(at("10:02:00"), 5);
    sink.on_tick().await.unwrap();
    deliver(&mut *sink, 3, &[(3, "10:01")]).await.unwrap();
    sink.flush().await.unwrap();
    sink.on_tick().await.unwrap();
    assert_eq!(place.committed(), ["10:00"]);
    deliver(&mut *sink, 4, &[(4, "10:01")]).await.unwrap();
    sink.on_tick().await.unwrap();
    assert_eq!(place.committed(), ["10:00"]);
    sink.flush().await.unwrap();
    assert_eq!(place.committed(), ["10:00", "10:01"]);

    // Late rows change nothing; a value that is no time waits for the end.
    deliver(&mut *sink, 5, &[(5, "10:00"), (6, "soon")]).await.unwrap();
    place.tell(at("23:59:59"), 7);
    sink.flush().await.unwrap();
    sink.on_tick().await.unwrap();
    assert_eq!(place.committed(), ["10:00", "10:01"]);
    place.tell(Some(EventTime::MAX), 7);
    sink.on_tick().await.unwrap();
    sink.on_tick().await.unwrap();
    assert_eq!(place.committed(), ["10:00", "10:01", "soon"]);
    let durable = place.sim.disk().durable_image();
    assert_eq!(committed_in(&durable, "_SUCCESS").len(), 3, "{:?}", durable.files.keys());
}

#[tokio::test]
async fn what_no_job_writes_is_whole_when_it_is_there_but_not_what_comes_behind_the_answer() {
    let place = Place::new(2);
    let (mut sink, _) = place.open(&PARTITION_TIME).await.unwrap();
    place.tell(None, 1);
    deliver(&mut *sink, 0, &[(0, "10:00")]).await.unwrap();
    sink.on_tick().await.unwrap();
    // Another statement begins, and has not come to its end.
    place.tell(Some(EventTime::MIN), 3);
    deliver(&mut *sink, 1, &[(1, "10:01")]).await.unwrap();
    sink.flush().await.unwrap();
    assert_eq!(place.committed(), ["10:00"]);
    deliver(&mut *sink, 2, &[(2, "10:01")]).await.unwrap();
    sink.flush().await.unwrap();
    assert_eq!(place.committed(), ["10:00"]);
    place.tell(None, 3);
    sink.on_tick().await.unwrap();
    assert_eq!(place.committed(), ["10:00", "10:01"]);
}

#[tokio::test]
async fn a_partition_is_committed_by_the_clock_from_its_first_row_on() {
    let place = Place::new(3);
    let named = [PROCESS_TIME[0], PROCESS_TIME[1], ("sink.partition-commit.success-file.name", "DONE")];
    let (mut sink, _) = place.open(&named).await.unwrap();
    let committed = || committed_in(&place.sim.disk().image(), "DONE");
    deliver(&mut *sink, 0, &[(0, "10:00")]).await.unwrap();
    sink.flush().await.unwrap();
    place.sim.clock().advance(Duration::from_secs(6));
    // A later row does not let it wait longer, and another life knows when the first one came.
    deliver(&mut *sink, 1, &[(1, "10:00"), (2, "10:01")]).await.unwrap();
    sink.flush().await.unwrap();
    assert!(committed().is_empty());
    place.sim.process_crash();
    let (mut sink, next) = place.open(&named).await.unwrap();
    assert_eq!(next, 3);
    place.sim.clock().advance(Duration::from_millis(3_999));
    sink.on_tick().await.unwrap();
    assert!(committed().is_empty());
    place.sim.clock().advance(Duration::from_millis(1));
    sink.on_tick().await.unwrap();
    assert_eq!(committed(), ["10:00"]);

    // One with rows that have no file yet waits for them.
    deliver(&mut *sink, 3, &[(3, "10:01")]).await.unwrap();
    place.sim.clock().advance(Duration::from_secs(10));
    sink.on_tick().await.unwrap();
    assert_eq!(committed(), ["10:00"]);
    sink.flush().await.unwrap();
    assert_eq!(committed(), ["10:00", "10:01"]);

    // What jobs that have come to their ends wrote need not wait.
    deliver(&mut *sink, 4, &[(4, "10:02")]).await.unwrap();
    place.tell(Some(EventTime::MAX), 5);
    sink.flush().await.unwrap();
    assert_eq!(committed(), ["10:00", "10:01", "10:02"]);
    // Who takes a partition away is not disturbed by it.
    let (mut sink, _) = place.open(&named).await.unwrap();
    sink.on_tick().await.unwrap();
    assert_eq!(committed(), ["10:00", "10:01", "10:02"]);
}

/// What is appended one after the other, and what time it is then.
const GROUPS: [(&[Row], &str); 4] = [
    (&[(0, "10:00"), (1, "10:00"), (2, "10:01")], "10:00:30"),
    (&[(3, "10:00"), (4, "10:01")], "10:01:10"),
    (&[(5, "10:01"), (6, "10:02")], "10:02:20"),
    (&[(7, "10:03"), (8, "10:02")], "10:04:30"),
];

/// Takes up where the sink is, and goes on to the end; `appended` says how many groups there are.
async fn live(place: &Place, appended: &mut usize) -> Result<()> {
    let (mut sink, mut next) = place.open(&PARTITION_TIME).await?;
    let all: Vec<Row> = GROUPS.iter().flat_map(|(rows, _)| rows.iter().copied()).collect();
    loop {
        let there: usize = GROUPS[..*appended].iter().map(|(rows, _)| rows.len()).sum();
        let time = appended.checked_sub(1).map_or(Some(EventTime::MIN), |last| at(GROUPS[last].1));
        place.tell(time, there);
        sink.on_tick().await?;
        if next < there {
            deliver(&mut *sink, next, &all[next..there]).await?;
            next = there;
        }
        sink.flush().await?;
        sink.on_tick().await?;
        if *appended == GROUPS.len() {
            return Ok(());
        }
        *appended += 1;
    }
}

/// The numbers of the rows in the files of each minute.
fn rows_in(image: &DiskImage) -> BTreeMap<String, Vec<i64>> {
    let is_shown = |path: &PathBuf| path.extension().is_some_and(|end| end == "jsonl");
    let mut rows: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for (path, bytes) in image.files.iter().filter(|(path, _)| is_shown(path)) {
        let text = String::from_utf8_lossy(bytes);
        let numbers = text.lines().map(|line| {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            row["n"].as_i64().unwrap()
        });
        rows.entry(minute_of(path)).or_default().extend(numbers);
    }
    rows.values_mut().for_each(|rows| rows.sort_unstable());
    rows
}

#[tokio::test]
async fn a_crash_at_any_moment_forgets_no_partition_and_commits_none_too_early() {
    let mut whole: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for (n, minute) in GROUPS.iter().flat_map(|(rows, _)| *rows) {
        whole.entry((*minute).to_owned()).or_default().push(*n);
    }
    whole.values_mut().for_each(|rows| rows.sort_unstable());
    let mut after_commit = BTreeSet::new();
    for nth in 0.. {
        let place = Place::new(nth);
        let mut appended = 0;
        let faults = place.sim.disk().faults();
        faults.add(Fault::new(Op::CHANGES, Errno::Io).nth(nth).for_good());
        let first = live(&place, &mut appended).await;
        let struck = faults.struck() > 0;
        assert_eq!(first.is_err(), struck, "{nth}: {first:?}");
        faults.clear();
        if nth % 3 == 0 {
            place.sim.process_crash()
        } else {
            place.sim.power_loss()
        }
        let left = place.sim.disk().image();
        for minute in committed_in(&left, "_SUCCESS") {
            assert_eq!(rows_in(&left).get(&minute), whole.get(&minute), "{nth}: {minute} is committed");
            after_commit.insert(minute);
        }
        live(&place, &mut appended).await.unwrap();
        assert_eq!(rows_in(&place.sim.disk().image()), whole, "{nth}");
        assert_eq!(place.committed(), ["10:00", "10:01", "10:02", "10:03"], "{nth}");
        if !struck {
            assert!(nth > 50, "{nth} moments");
            break;
        }
    }
    assert_eq!(after_commit.len(), 4, "crashes fell behind the commit of each: {after_commit:?}");
}

#[tokio::test]
async fn mistakes_in_what_is_said_of_commits_name_what_there_is() {
    let place = Place::new(4);
    for (option, value, told) in [
        ("sink.partition-commit.policy.kind", "metastore,success-file", "there is no metastore here"),
        ("sink.partition-commit.policy.kind", "custom", "no classes are run here; there is success-file"),
        ("sink.partition-commit.policy.kind", "email", "there is success-file"),
        ("sink.partition-commit.trigger", "now", "there are process-time and partition-time"),
        ("sink.partition-commit.delay", "soon", "sink.partition-commit.delay"),
        ("sink.partition-commit.success-file.name", "a/b", "the name of a file"),
        ("sink.partition-commit.watermark-time-zone", "Mars", "'Europe/Berlin'"),
        ("sink.partition-commit.policy.clas", "X", "did you mean 'sink.partition-commit.policy.kind'?"),
        ("partition.time-extractor.kind", "custom", "there is 'default' alone"),
        (
            "partition.time-extractor.timestamp-pattern",
            "$day",
            "'$day' is no column of PARTITIONED BY (dt, hm)",
        ),
        ("partition.time-extractor.timestamp-formatter", "yyyy-MM-dd hh", "there are y, M, d, H, m, s and S"),
    ] {
        let error = place.open(&[(option, value)]).await.err().unwrap().to_string();
        assert!(error.contains(told), "{option} = {value}: {error}");
    }
    // Without a policy nothing is committed, whatever else is said.
    let (mut sink, _) = place.open(&PARTITION_TIME[..2]).await.unwrap();
    deliver(&mut *sink, 0, &[(0, "10:00")]).await.unwrap();
    place.tell(Some(EventTime::MAX), 1);
    sink.flush().await.unwrap();
    assert_eq!(sink.on_tick().await.unwrap(), None);
    assert!(place.committed().is_empty());

    let context = Context::of(place.sim.world(), StreamName::new("s").unwrap(), schema());
    let options = [("path", "/out"), ("sink.partition-commit.policy.kind", "success-file")];
    let error = make_sink("filesystem", context, Options::new("test", options)).err().unwrap().to_string();
    assert!(error.contains("PARTITIONED BY (column, ...)"), "{error}");
}
