//! The log `fixtures/log-v1-events/`, whose catalog has events of all kinds: opened by every build, and what they say still holds.
//! A test of the events themselves (`engine/log/src/disk/event/tests.rs`) fails if a kind is missing there.
//!
//! ```text
//!  first life    streams of all kinds come, change and go; rows are appended and sealed; the log is closed
//!  damage        a batch of `weather` is garbled, the event that created `unnamed` too, and there is no copy of the catalog
//!  repair        `unnamed` is put aside, the rows of the batch are lost
//!  second life   `notes` is trimmed; rows are appended; the process is killed
//! ```
//!
//! `HEADWATER_WRITE_GOLDEN=log-v1-events cargo test -p headwater-log golden` writes it anew, the same bytes each time.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use headwater_core::world::sim::{DiskImage, SimWorld};
use headwater_core::{Epoch, EventTime, ProducerId, SchemaId, Sequence, ShardId, StreamId};
use headwater_log::{
    Append, Compression, DiskLog, Durability, From, Log, LogError, LostRows, Producer, ReadSpec, Repaired,
    Retention, ShardBounds, StreamSpec, repair, verify,
};

use crate::catalogs::{catalog, copy, events};
use crate::golden::fixture;
use crate::sample::{DATA, calm, notes, options, spec, weather};

/// When the first life begins: 2014-01-01T00:00:00Z.
const BEGIN: EventTime = EventTime(1_388_534_400_000_000_000);

/// How many groups the first life appends.
const GROUPS: i64 = 8;

/// How many both append.
const ALL_GROUPS: i64 = 12;

/// From which hour on `weather` has its column `wind`.
const WIND_SINCE: i64 = 9;

/// Streams by number.
const WEATHER: StreamId = StreamId(0);
const NOTES: StreamId = StreamId(1);
const GAUGES: StreamId = StreamId(2);
const LATER: StreamId = StreamId(3);
const DROPPED: StreamId = StreamId(4);
const UNNAMED: StreamId = StreamId(5);

/// Where the shard of `later` begins.
const LATER_BEGINS: u64 = 1000;

/// The rows of the first shard of `weather` that are lost.
const LOST: Range<u64> = 3..6;

/// The first row of `notes` that is kept: what was sealed in the first life is trimmed.
const NOTES_BEGIN: u64 = 14;

fn golden() -> &'static DiskImage {
    static GOLDEN: OnceLock<DiskImage> = OnceLock::new();
    GOLDEN.get_or_init(|| fixture("log-v1-events", write))
}

fn write() -> DiskImage {
    let machine = SimWorld::new(3);
    machine.clock().set_wall(BEGIN);
    first_life(&machine);
    damage(&machine);
    let done = repair(&machine.world(), Path::new(DATA), false).unwrap();
    assert_eq!(of_weather(&done), [lost()], "{done:?}");
    second_life(&machine);
    // What repair puts aside is not part of the log.
    let mut image = machine.disk().image();
    image.files.retain(|path, _| !path.starts_with(Path::new(DATA).join("log/damaged")));
    image
}

fn of_weather(done: &Repaired) -> Vec<LostRows> {
    done.lost.iter().filter(|lost| lost.stream == WEATHER).cloned().collect()
}

fn lost() -> LostRows {
    LostRows { stream: WEATHER, shard: ShardId(0), rows: Sequence(LOST.start)..Sequence(LOST.end) }
}

fn open(machine: &SimWorld) -> Arc<DiskLog> {
    DiskLog::open(machine.world(), Path::new(DATA), options()).unwrap()
}

fn first_life(machine: &SimWorld) {
    let log = open(machine);
    create(&*log);
    log.begin_at(LATER, ShardId(0), Sequence(LATER_BEGINS)).unwrap();
    log.set_fence(WEATHER, ShardId(0), Some(u64::MAX)).unwrap();
    log.set_fence(WEATHER, ShardId(1), Some(7)).unwrap();
    log.set_fence(WEATHER, ShardId(1), None).unwrap();
    log.set_hold(WEATHER, true).unwrap();
    log.set_hold(NOTES, true).unwrap();
    log.set_hold(NOTES, false).unwrap();
    for group in 0..GROUPS {
        if group == WIND_SINCE / 3 {
            log.evolve(WEATHER, weather(0..1, 0).schema()).unwrap();
            log.set_retention(WEATHER, retention()).unwrap();
            log.set_properties(WEATHER, properties("second")).unwrap();
            log.drop_stream(DROPPED).unwrap();
        }
        let mut rows = group_of(group);
        rows.push(Append::new(GAUGES, ShardId(0), notes(group..group + 1)));
        if group < 2 {
            rows.push(Append::new(DROPPED, ShardId(0), notes(group..group + 1)));
            rows.push(Append::new(UNNAMED, ShardId(0), notes(group..group + 1)));
        }
        log.append(rows).unwrap();
        machine.clock().advance(Duration::from_secs(1));
        machine.tasks().settle();
    }
    log.close().unwrap();
}

/// Makes the streams, by their numbers.
fn create(log: &dyn Log) {
    let of_weather = StreamSpec {
        event_time: Some("time".to_owned()),
        partition_by: vec!["station".to_owned()],
        properties: properties("first"),
        ..spec("weather", calm(0..1).schema(), 2, Compression::Lz4)
    };
    let of_notes = |name, durability, compression| StreamSpec {
        durability,
        ..spec(name, notes(0..1).schema(), 1, compression)
    };
    let specs = [
        (WEATHER, of_weather),
        (NOTES, of_notes("notes", Durability::Process, Compression::Zstd)),
        (GAUGES, of_notes("gauges", Durability::Memory, Compression::None)),
        (LATER, of_notes("later", Durability::Disk, Compression::None)),
        (DROPPED, of_notes("dropped", Durability::Disk, Compression::None)),
        (UNNAMED, of_notes("unnamed", Durability::Disk, Compression::None)),
    ];
    for (id, spec) in specs {
        assert_eq!(log.create_stream(spec).unwrap().id, id);
    }
}

fn retention() -> Retention {
    Retention { age: Some(Duration::new(u64::MAX, 999_999_999)), bytes: Some(u64::MAX) }
}

fn properties(which: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("made.by".to_owned(), which.to_owned()), ("quoted \"name\"".to_owned(), "é".to_owned())])
}

/// The rows of one group for the streams that are there in both lives.
fn group_of(group: i64) -> Vec<Append> {
    let hours = group * 3..group * 3 + 3;
    let rows = if hours.start < WIND_SINCE { calm(hours) } else { weather(hours, WIND_SINCE) };
    let own = |id| Some(Producer { id: ProducerId(id), epoch: Epoch(1), sequence: group as u64 });
    let numbers = || notes(group * 2..group * 2 + 2);
    vec![
        Append { producer: own(5), ..Append::new(WEATHER, ShardId(0), rows.clone()) },
        Append::new(WEATHER, ShardId(1), rows),
        Append { producer: own(u64::MAX), ..Append::new(NOTES, ShardId(0), numbers()) },
        Append::new(LATER, ShardId(0), numbers()),
    ]
}

/// Garbles the first batch of a sealed file of `weather`, and the event that created `unnamed`; no copy has it.
fn damage(machine: &SimWorld) {
    let mut image = machine.disk().image();
    image.files.remove(&copy());
    let sealed = image.files.get_mut(&Path::new(DATA).join("log/0/1.hws")).unwrap();
    assert_eq!(&sealed[64..68], b"HWB1");
    let header = u32::from_le_bytes(sealed[64 + 16..64 + 20].try_into().unwrap()) as usize;
    sealed[64 + header] ^= 1;
    let bytes = image.files.get_mut(&catalog()).unwrap();
    let starts = events(bytes);
    let creation = starts.windows(2).find(|event| {
        let text = String::from_utf8_lossy(&bytes[event[0]..event[1]]);
        text.contains("create") && text.contains("unnamed")
    });
    let start = creation.unwrap()[0];
    bytes[start + 20] ^= 1;
    machine.disk().restore(&image).unwrap();
}

fn second_life(machine: &SimWorld) {
    let log = open(machine);
    log.trim(NOTES, ShardId(0), Sequence(GROUPS as u64 * 2)).unwrap();
    for group in GROUPS..ALL_GROUPS {
        log.append(group_of(group)).unwrap();
        machine.clock().advance(Duration::from_secs(1));
        machine.tasks().settle();
    }
    machine.process_crash();
}

/// The golden log on a machine of its own.
fn opened() -> (SimWorld, Arc<DiskLog>) {
    let machine = SimWorld::new(4);
    machine.disk().restore(golden()).unwrap();
    let log = open(&machine);
    (machine, log)
}

/// Some rows of a shard.
fn rows(log: &dyn Log, stream: StreamId, shard: u32, rows: Range<u64>) -> Result<RecordBatch, LogError> {
    let mut reader = log.read(ReadSpec {
        from: From::Sequence(Sequence(rows.start)),
        until: Some(Sequence(rows.end)),
        ..ReadSpec::all(stream, ShardId(shard))
    })?;
    let mut batches = Vec::new();
    while let Some(batch) = reader.next()? {
        batches.push(batch.rows);
    }
    Ok(concat_batches(&log.stream(stream)?.spec.schema, &batches)?)
}

fn bounds(first: u64, next: u64) -> ShardBounds {
    ShardBounds { first: Sequence(first), next: Sequence(next) }
}

#[test]
fn golden_events_keep_what_streams_are() {
    let (_machine, log) = opened();
    let names: Vec<String> = log.streams().iter().map(|info| info.spec.name.to_string()).collect();
    assert_eq!(names, ["gauges", "later", "notes", "weather"]);
    let info = log.stream(WEATHER).unwrap();
    let expected = StreamSpec {
        event_time: Some("time".to_owned()),
        partition_by: vec!["station".to_owned()],
        retention: retention(),
        properties: properties("second"),
        ..spec("weather", weather(0..1, 0).schema(), 2, Compression::Lz4)
    };
    assert_eq!((&info.spec, info.schema_id, info.created), (&expected, SchemaId(1), BEGIN));
    for (id, durability, compression) in [
        (NOTES, Durability::Process, Compression::Zstd),
        (GAUGES, Durability::Memory, Compression::None),
        (LATER, Durability::Disk, Compression::None),
    ] {
        let info = log.stream(id).unwrap();
        let own =
            StreamSpec { durability, ..spec(info.spec.name.as_str(), notes(0..1).schema(), 1, compression) };
        assert_eq!((&info.spec, info.schema_id, info.created), (&own, SchemaId(0), BEGIN));
    }
    // The numbers of streams that are gone are not used again, that of the lost one included.
    let next = log.create_stream(spec("next", notes(0..1).schema(), 1, Compression::None)).unwrap();
    assert_eq!(next.id, StreamId(UNNAMED.0 + 1));
}

#[test]
fn golden_events_keep_the_rows() {
    let (machine, log) = opened();
    let (hours, numbers) = (ALL_GROUPS as u64 * 3, ALL_GROUPS as u64 * 2);
    assert_eq!(log.bounds(WEATHER).unwrap(), [bounds(0, hours), bounds(0, hours)]);
    let all = weather(0..ALL_GROUPS * 3, WIND_SINCE);
    assert_eq!(rows(&*log, WEATHER, 1, 0..hours).unwrap(), all);
    for stretch in [0..LOST.start, LOST.end..hours] {
        let expected = all.slice(stretch.start as usize, (stretch.end - stretch.start) as usize);
        assert_eq!(rows(&*log, WEATHER, 0, stretch).unwrap(), expected);
    }
    for row in LOST {
        let error = rows(&*log, WEATHER, 0, row..row + 1).unwrap_err();
        assert!(matches!(error, LogError::Corrupt { .. }), "row {row}: {error}");
    }
    assert_eq!(log.lost(WEATHER), [lost()]);

    assert_eq!(log.bounds(NOTES).unwrap(), [bounds(NOTES_BEGIN, numbers)]);
    let kept = notes(NOTES_BEGIN as i64..numbers as i64);
    assert_eq!(rows(&*log, NOTES, 0, NOTES_BEGIN..numbers).unwrap(), kept);
    let error = rows(&*log, NOTES, 0, 0..1).unwrap_err();
    assert!(matches!(error, LogError::Trimmed { .. }), "{error}");

    let (first, next) = (LATER_BEGINS, LATER_BEGINS + numbers);
    assert_eq!(log.bounds(LATER).unwrap(), [bounds(first, next)]);
    assert_eq!(rows(&*log, LATER, 0, first..next).unwrap(), notes(0..numbers as i64));

    // Rows in memory are gone, and their numbers with them.
    let gauges = log.bounds(GAUGES).unwrap()[0];
    assert!(gauges.first == gauges.next && gauges.next >= Sequence(2 << 40), "{gauges:?}");
    drop(log);
    assert_eq!(verify(&machine.world(), Path::new(DATA)).unwrap().damage, []);
}

#[test]
fn golden_events_keep_what_was_decided() {
    let (_machine, log) = opened();
    let with_token = |shard, token| Append {
        fence: Some(token),
        ..Append::new(WEATHER, ShardId(shard), weather(0..1, 0))
    };
    for (shard, given, token) in [(0, 7, Some(u64::MAX)), (1, 7, None)] {
        match log.append(vec![with_token(shard, given)]) {
            Err(LogError::Fenced { actual, .. }) => assert_eq!(actual, token, "shard {shard}"),
            other => panic!("shard {shard}: {other:?}"),
        }
    }
    let appended = log.append(vec![with_token(0, u64::MAX)]).unwrap()[0];
    assert_eq!(appended.first, Sequence(ALL_GROUPS as u64 * 3));

    // Rows that are held stay, others go.
    for (stream, goes) in [(WEATHER, false), (NOTES, true)] {
        let before = log.bounds(stream).unwrap()[0];
        log.trim(stream, ShardId(0), before.next).unwrap();
        assert_eq!(log.bounds(stream).unwrap()[0].first > before.first, goes, "{stream}");
    }

    // What was appended is known, also where all rows that could tell were trimmed.
    for (place, producer) in [(0, ProducerId(5)), (2, ProducerId(u64::MAX))] {
        let stream = group_of(0).swap_remove(place).stream;
        let (last, _) = log.last_of(stream, ShardId(0), producer).unwrap().unwrap();
        assert_eq!((last.epoch, last.sequence), (Epoch(1), ALL_GROUPS as u64 - 1));
        for group in [GROUPS - 4, GROUPS - 1, ALL_GROUPS - 1] {
            let again = log.append(vec![group_of(group).swap_remove(place)]).unwrap()[0];
            assert!(again.duplicate, "{stream}: group {group}");
        }
    }
}

#[test]
fn golden_events_are_written_the_same_twice() {
    assert_eq!(write(), write());
}
