//! Events as they are written.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use headwater_core::{EventTime, StreamName};

use super::*;
use crate::api::{Compression, Durability, Retention, StreamSpec};
use crate::disk::catalog;
use crate::documented::{OF_CATALOG, assert_documented};
use crate::producers::Remembered;

const MOST: u64 = u64::MAX;

/// How many kinds of events there are: those that [`place`] knows.
const KINDS: usize = 17;

fn spec() -> StreamSpec {
    let time = DataType::Timestamp(TimeUnit::Nanosecond, None);
    StreamSpec::new(StreamName::new("s").unwrap(), Arc::new(Schema::new(vec![Field::new("t", time, true)])))
}

/// A stream with all that one can have.
fn full_spec() -> StreamSpec {
    StreamSpec {
        partition_by: vec!["t".to_owned()],
        event_time: Some("t".to_owned()),
        durability: Durability::Process,
        retention: retention(),
        compression: Compression::Zstd,
        properties: properties(),
        ..spec()
    }
}

fn retention() -> Retention {
    Retention { age: Some(Duration::MAX), bytes: Some(MOST) }
}

fn properties() -> BTreeMap<String, String> {
    BTreeMap::from([("one".to_owned(), "1".to_owned())])
}

fn file() -> SealedFile {
    SealedFile { stream: 1, bytes: MOST, rows: MOST }
}

fn trimmed() -> Trimmed {
    let recent = vec![Remembered { sequence: MOST, first: MOST, next: MOST }];
    let producers = vec![Snapshot { producer: MOST, epoch: 1, recent }];
    Trimmed { stream: 1, shard: 2, first: MOST, producers }
}

/// An event of every kind, in the order of [`place`], and those that differ in what is `null`.
fn samples() -> Vec<Event> {
    let create = |spec| Streams::default().propose_create(&spec, EventTime(-1)).unwrap();
    let changes = vec![
        create(full_spec()),
        Change::Drop { stream: 1 },
        Change::Evolve { stream: 1, schema: 1 },
        Change::Retention { stream: 1, retention: retention() },
        Change::Properties { stream: 1, properties: properties() },
        Change::Fence { stream: 1, shard: 2, token: Some(MOST) },
        Change::Hold { stream: 1, held: true },
        Change::NextStream { id: 2 },
    ];
    let lost = Lost { stream: 1, shard: 2, from: MOST, to: MOST, reason: "why".to_owned() };
    let mut events: Vec<Event> = changes.into_iter().map(Event::Stream).collect();
    events.extend([
        Event::Sealed(Sealed { active: MOST, adopted: Some(1), files: vec![file()] }),
        Event::Resealed { file: MOST, now: file() },
        Event::Removed { stream: 1, files: vec![MOST] },
        Event::Trimmed(trimmed()),
        Event::Lost(lost),
        Event::Durable { active: MOST, bytes: MOST },
        Event::Together(vec![Event::Trimmed(trimmed())]),
        Event::Opened { times: MOST },
        Event::Closed,
        Event::Sealed(Sealed { active: MOST, adopted: None, files: vec![file()] }),
    ]);
    let nothing = StreamSpec { partition_by: vec!["t".to_owned()], ..spec() };
    let changes = vec![
        create(nothing),
        Change::Retention { stream: 1, retention: Retention::default() },
        Change::Fence { stream: 1, shard: 2, token: None },
    ];
    events.extend(changes.into_iter().map(Event::Stream));
    events
}

/// Where an event of this kind is among the samples. A new kind needs a sample, and rows in the table of `FORMAT.md`.
fn place(event: &Event) -> usize {
    match event {
        Event::Stream(Change::Create(_)) => 0,
        Event::Stream(Change::Drop { .. }) => 1,
        Event::Stream(Change::Evolve { .. }) => 2,
        Event::Stream(Change::Retention { .. }) => 3,
        Event::Stream(Change::Properties { .. }) => 4,
        Event::Stream(Change::Fence { .. }) => 5,
        Event::Stream(Change::Hold { .. }) => 6,
        Event::Stream(Change::NextStream { .. }) => 7,
        Event::Sealed(_) => 8,
        Event::Resealed { .. } => 9,
        Event::Removed { .. } => 10,
        Event::Trimmed(_) => 11,
        Event::Lost(_) => 12,
        Event::Durable { .. } => 13,
        Event::Together(_) => 14,
        Event::Opened { .. } => 15,
        Event::Closed => 16,
    }
}

#[test]
fn the_document_has_all_fields_of_all_events() {
    let samples = samples();
    assert!(samples.iter().take(KINDS).map(place).eq(0..KINDS));
    assert_documented(OF_CATALOG, &samples);
}

#[test]
fn events_come_back() {
    for event in samples() {
        let json = serde_json::to_vec(&event).unwrap();
        assert_eq!(serde_json::from_slice::<Event>(&json).unwrap(), event);
    }
}

/// The events of the golden logs, those within others included.
fn golden_events() -> Vec<Event> {
    let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
    let mut events = Vec::new();
    for folder in std::fs::read_dir(fixtures).unwrap() {
        let Ok(bytes) = std::fs::read(folder.unwrap().path().join("log/catalog.hwc")) else { continue };
        let found = catalog::find(&bytes, &[]);
        assert!(found.gaps.is_empty(), "{:?}", found.gaps);
        let mut waiting: Vec<Event> = found.events.into_iter().map(|(event, _)| event).collect();
        while let Some(event) = waiting.pop() {
            events.push(event.clone());
            if let Event::Together(within) = event {
                waiting.extend(within);
            }
        }
    }
    events
}

/// A new kind of event needs a fixture that has one: in a folder of its own, as what was released is not written again.
#[test]
fn golden_catalogs_have_events_of_all_kinds() {
    let kinds: BTreeSet<usize> = golden_events().iter().map(place).collect();
    assert!(kinds.iter().copied().eq(0..KINDS), "of the kinds by number there are {kinds:?}");
}
