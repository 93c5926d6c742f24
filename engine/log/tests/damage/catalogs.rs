//! What `repair` makes of a damaged catalog: with the copy that the log keeps, and without.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, Field, Schema};
use headwater_core::world::sim::{DiskImage, SimWorld};
use headwater_core::{Sequence, ShardId, StreamName};
use headwater_log::{DiskLog, From, Log, LogError, ReadSpec, Repaired, StreamSpec, repair, verify};

use crate::sample::{DATA, Sample, options, small};

pub fn catalog() -> PathBuf {
    Path::new(DATA).join("log/catalog.hwc")
}

pub fn copy() -> PathBuf {
    Path::new(DATA).join("log/catalog-copy.hwc")
}

/// Where each event of a catalog begins, and where the last ends.
pub fn events(bytes: &[u8]) -> Vec<usize> {
    let mut at = 64;
    let mut starts = Vec::new();
    while at < bytes.len() {
        starts.push(at);
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        assert_eq!(&bytes[at..at + 4], b"HWE1");
        at += 16 + word(at + 8) + word(at + 12);
    }
    starts.push(at);
    starts
}

fn machine(image: &DiskImage) -> SimWorld {
    let machine = SimWorld::new(11);
    machine.disk().restore(image).unwrap();
    machine
}

fn repaired(machine: &SimWorld, dry: bool) -> Repaired {
    repair(&machine.world(), Path::new(DATA), dry).unwrap()
}

/// All rows of a stream that can be read; `None` if there is no such stream.
fn rows_of(machine: &SimWorld, stream: &str) -> Option<u64> {
    let log = DiskLog::open(machine.world(), Path::new(DATA), options()).unwrap();
    let info = log.stream_named(stream).ok()?;
    let mut rows = 0;
    for shard in 0..info.spec.shards {
        let spec = ReadSpec::all(info.id, ShardId(shard));
        let until = log.bounds(info.id).unwrap()[shard as usize].next;
        let mut reader = log.read(ReadSpec { until: Some(until), ..spec }).unwrap();
        while let Some(batch) = reader.next().unwrap() {
            rows += batch.rows.num_rows() as u64;
        }
    }
    Some(rows)
}

fn expected(sample: &Sample, stream: &str) -> u64 {
    let shards = sample.shards.iter().filter(|shard| shard.stream == stream);
    shards.map(|shard| shard.rows.num_rows() as u64).sum()
}

fn streams(sample: &Sample) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = sample.shards.iter().map(|shard| shard.stream).collect();
    names.dedup();
    names.sort_unstable();
    names.dedup();
    names
}

/// A log whose copy has all that the catalog has.
fn copied(sample: &Sample) -> DiskImage {
    let mut image = sample.image.clone();
    let bytes = image.files[&catalog()].clone();
    image.files.insert(copy(), bytes);
    image
}

#[test]
fn with_its_copy_a_catalog_is_made_whole_wherever_it_is_damaged() {
    let sample = small(true);
    let whole = copied(&sample);
    for at in (0..whole.files[&catalog()].len()).step_by(3) {
        let mut damaged = whole.clone();
        damaged.files.get_mut(&catalog()).unwrap()[at] ^= 1 << (at % 8);
        let machine = machine(&damaged);
        let told = repaired(&machine, true);
        assert_eq!(machine.disk().image(), damaged, "byte {at}: nothing was to be changed");
        let done = repaired(&machine, false);
        assert_eq!(done.lost, [], "byte {at}: {done:?}");
        assert_eq!(told.lost, done.lost, "byte {at}");
        assert_eq!(verify(&machine.world(), Path::new(DATA)).unwrap().damage, [], "byte {at}");
        for stream in streams(&sample) {
            assert_eq!(rows_of(&machine, stream), Some(expected(&sample, stream)), "byte {at}: {stream}");
        }
    }
}

#[test]
fn a_catalog_that_is_gone_or_cut_off_is_that_of_its_copy() {
    let sample = small(true);
    let whole = copied(&sample);
    let len = whole.files[&catalog()].len();
    let starts = events(&whole.files[&catalog()]);
    for left in [0, 10, 64, starts[1], starts[1] + 7, len - 1] {
        let mut damaged = whole.clone();
        damaged.files.get_mut(&catalog()).unwrap().truncate(left);
        let machine = machine(&damaged);
        repaired(&machine, false);
        for stream in streams(&sample) {
            assert_eq!(rows_of(&machine, stream), Some(expected(&sample, stream)), "{left} bytes: {stream}");
        }
    }
    let mut gone = whole;
    gone.files.remove(&catalog());
    let machine = machine(&gone);
    repaired(&machine, false);
    for stream in streams(&sample) {
        assert_eq!(rows_of(&machine, stream), Some(expected(&sample, stream)), "{stream}");
    }
}

/// A catalog that ends with a whole event looks whole: its copy tells.
#[test]
fn a_catalog_that_is_shorter_than_its_copy_is_neither_opened_nor_verified() {
    let sample = small(true);
    let whole = copied(&sample);
    let starts = events(&whole.files[&catalog()]);
    for start in starts[..starts.len() - 1].iter().copied() {
        for left in [start, start + 9] {
            let mut damaged = whole.clone();
            damaged.files.get_mut(&catalog()).unwrap().truncate(left);
            let machine = machine(&damaged);
            let damage = verify(&machine.world(), Path::new(DATA)).unwrap().damage;
            assert_eq!(damage.len(), 1, "{left} bytes: {damage:?}");
            assert_eq!((&damage[0].file, damage[0].offset), (&catalog(), start as u64), "{left} bytes");
            assert!(damage[0].reason.contains("its copy catalog-copy.hwc has"), "{:?}", damage[0]);
            match DiskLog::open(machine.world(), Path::new(DATA), options()) {
                Err(LogError::Corrupt { file, offset, .. }) => {
                    assert_eq!((file, offset), (catalog(), start as u64), "{left} bytes");
                }
                other => panic!("{left} bytes: {:?}", other.map(|_| "it was opened")),
            }
            assert_eq!(machine.disk().image(), damaged, "{left} bytes: nothing was to be changed");
            assert_eq!(repaired(&machine, false).lost, [], "{left} bytes");
            assert_eq!(verify(&machine.world(), Path::new(DATA)).unwrap().damage, [], "{left} bytes");
            for stream in streams(&sample) {
                assert_eq!(
                    rows_of(&machine, stream),
                    Some(expected(&sample, stream)),
                    "{left} bytes: {stream}"
                );
            }
        }
    }
}

/// A copy that is behind, damaged, or of a catalog that was there before says nothing.
#[test]
fn a_copy_that_does_not_go_on_where_the_catalog_ends_says_nothing() {
    let sample = small(true);
    let whole = copied(&sample);
    let bytes = whole.files[&catalog()].clone();
    let last = events(&bytes)[events(&bytes).len() - 2];
    let of_another = {
        let other = SimWorld::new(13);
        other.clock().advance(Duration::from_secs(3));
        DiskLog::open(other.world(), Path::new(DATA), options()).unwrap().close().unwrap();
        let header = other.disk().image().files[&catalog()][..64].to_vec();
        [header, bytes[64..].to_vec(), bytes[last..].to_vec()].concat()
    };
    let torn = [&bytes[..], &bytes[last..bytes.len() - 1]].concat();
    for (what, copied) in [("behind", bytes[..last].to_vec()), ("torn", torn), ("another's", of_another)] {
        let mut image = whole.clone();
        image.files.insert(copy(), copied);
        let machine = machine(&image);
        assert_eq!(verify(&machine.world(), Path::new(DATA)).unwrap().damage, [], "{what}");
        assert!(DiskLog::open(machine.world(), Path::new(DATA), options()).is_ok(), "{what}");
    }
}

/// Without a copy an event is lost: it is told, and what is left can be read. Nothing is deleted.
#[test]
fn without_a_copy_what_is_lost_is_told_and_the_rest_is_kept() {
    let sample = small(true);
    let mut alone = sample.image.clone();
    alone.files.remove(&copy());
    let starts = events(&alone.files[&catalog()]);
    let mut gave_up = 0;
    for event in starts[..starts.len() - 2].iter().copied() {
        let mut damaged = alone.clone();
        damaged.files.get_mut(&catalog()).unwrap()[event + 20] ^= 1;
        let machine = machine(&damaged);
        let refused = DiskLog::open(machine.world(), Path::new(DATA), options());
        assert!(matches!(refused, Err(LogError::Corrupt { .. })), "event at {event}");
        let told = repaired(&machine, true);
        assert_eq!(machine.disk().image(), damaged, "event at {event}: nothing was to be changed");
        let done = repaired(&machine, false);
        assert_eq!(told.lost, done.lost, "event at {event}: what it says is what it does");
        let kept = machine.disk().image().files[&Path::new(DATA).join("log/damaged/catalog.hwc")].clone();
        assert_eq!(kept, damaged.files[&catalog()], "event at {event}: the catalog as it was is kept");
        let said = format!("{:?}", done.actions);
        assert!(said.contains(&format!("bytes {event} up to")), "event at {event}: {said}");
        assert_eq!(verify(&machine.world(), Path::new(DATA)).unwrap().damage, [], "event at {event}");
        let mut left = 0;
        for stream in streams(&sample) {
            match rows_of_what_is_left(&machine, stream) {
                Some(rows) => left += rows,
                None => assert!(said.contains("is called"), "event at {event}: {stream} is gone: {said}"),
            }
        }
        let lost: u64 = done.lost.iter().map(|lost| lost.rows.end.0 - lost.rows.start.0).sum();
        let all: u64 = streams(&sample).iter().map(|stream| expected(&sample, stream)).sum();
        assert!(
            left + lost >= all,
            "event at {event}: {left} are left, {lost} are told, {all} there were: {said}"
        );
        gave_up += usize::from(lost > 0);
    }
    assert!(gave_up > 0, "some event is that of a stream");
}

/// How many rows can be read of a stream, whatever is missing between them.
fn rows_of_what_is_left(machine: &SimWorld, stream: &str) -> Option<u64> {
    let log = DiskLog::open(machine.world(), Path::new(DATA), options()).unwrap();
    let info = log.stream_named(stream).ok()?;
    let mut rows = 0;
    for (shard, bounds) in log.bounds(info.id).unwrap().into_iter().enumerate() {
        for at in bounds.first.0..bounds.next.0 {
            let mut spec = ReadSpec::all(info.id, ShardId(shard as u32));
            spec.from = From::Sequence(Sequence(at));
            spec.until = Some(Sequence(at + 1));
            rows += match log.read(spec).and_then(|mut reader| reader.next()) {
                Ok(Some(batch)) => batch.rows.num_rows() as u64,
                _ => 0,
            };
        }
    }
    Some(rows)
}

/// The copy is made by the log itself, and follows the catalog.
#[test]
fn the_log_keeps_a_copy_of_its_catalog() {
    let machine = SimWorld::new(12);
    let log = DiskLog::open(machine.world(), Path::new(DATA), options()).unwrap();
    let schema = Schema::new(vec![Field::new("n", DataType::Int64, false)]);
    let name = StreamName::new("numbers").unwrap();
    log.create_stream(StreamSpec::new(name, Arc::new(schema))).unwrap();
    machine.clock().advance(Duration::from_secs(120));
    machine.tasks().settle();
    let image = machine.disk().image();
    assert_eq!(image.files[&copy()], image.files[&catalog()]);
    log.close().unwrap();
}
