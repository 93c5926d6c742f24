//! Opening: take over, read the catalog, say who we are, and find where each shard ends.
//!
//! ```text
//!  a partition   begin                          producers         end
//!                | batch | ..  ..  ..  ..  | batch + P | batch | batch |
//!                  first row                           '-- read ------- last: next sequence, totals, where P is
//! ```

use std::ops::Range;
use std::sync::Arc;

use headwater_core::{EventTime, Sequence, ShardId, StreamId, World};

use super::batch::{Batch, Place};
use super::broker::{TopicError, Topics};
use super::catalog::{Event, replay};
use super::inner::{End, Writer, catalog_topic, is_in_topic, read_batches, topic_of};
use super::rows::TopicRows;
use super::search;
use crate::error::{LogError, Result};
use crate::memory::first_of_life;
use crate::producers::Producers;
use crate::sequencer::Sequencer;
use crate::view::{Shard, View};

/// The longest name of a log: that of a topic has the stream's behind it, and 249 characters in all.
const NAME_LENGTH_MAX: usize = 32;

/// What a shard's partition says.
struct Recovered {
    shard: Shard,
    end: End,
    producers: Producers,
}

/// Makes this process the writer of a log, and reads where everything stands.
pub(crate) fn open(world: &World, topics: &Arc<dyn Topics>, name: &str) -> Result<(View, Writer)> {
    check_name(name)?;
    let catalog = catalog_topic(name);
    topics.create(&catalog, 1)?;
    topics.take_over()?;
    let mut view = View::default();
    let opened = 1 + read_catalog(&**topics, &catalog, &mut view)?;
    let now = world.clock.now();
    let taken_over = Event::Opened { by: world.random.next(), at: now.0 };
    let offsets = topics.commit(&[taken_over.to_message(&catalog, None, now)])?;
    let catalog_end = offsets.first().map_or(0, |offset| offset + 1);
    let writer = stand(&**topics, name, &mut view, opened, catalog_end)?;
    Ok((view, writer))
}

/// Reads where everything stands in a log that another process may be writing: nothing at the broker is changed.
pub(crate) fn look(topics: &Arc<dyn Topics>, name: &str) -> Result<(View, Writer)> {
    check_name(name)?;
    let catalog = catalog_topic(name);
    topics.find(&catalog)?;
    let mut view = View::default();
    let opened = read_catalog(&**topics, &catalog, &mut view)?;
    if opened == 0 {
        return Err(TopicError::Refused {
            what: format!("look at log {name}"),
            reason: format!("nobody has ever opened it: topic {catalog} is empty; is that the log's name?"),
        }
        .into());
    }
    let writer = stand(&**topics, name, &mut view, opened, 0)?;
    Ok((view, writer))
}

/// Finds where the shards of all streams end.
fn stand(topics: &dyn Topics, name: &str, view: &mut View, opened: u64, catalog_end: i64) -> Result<Writer> {
    let mut writer = Writer {
        sequencer: Sequencer::default(),
        ends: hashbrown::HashMap::new(),
        catalog_end,
        last_arrival: EventTime::MIN,
    };
    for stream in view.streams.iter().cloned().collect::<Vec<_>>() {
        let (info, shards) = (&stream.info, stream.info.spec.shards);
        view.add(info.id, shards);
        writer.sequencer.add(info.id, info.spec.name.clone(), shards);
        for shard in (0..shards).map(ShardId) {
            if let Some(head) = writer.sequencer.head_mut(info.id, shard) {
                head.fence = stream.fences.get(&shard).copied();
            }
            if is_in_topic(info) {
                let place = Place { topic: topic_of(name, info), stream: info.id, shard };
                let found = recover(topics, &place)?;
                found.into_iter().for_each(|found| stand_at(found, &place, view, &mut writer));
            } else {
                begin_life(first_of_life(opened), (info.id, shard), view, &mut writer);
            }
        }
    }
    Ok(writer)
}

/// Reads the events of the catalog, and answers how often the log was opened before.
fn read_catalog(topics: &dyn Topics, catalog: &str, view: &mut View) -> Result<u64> {
    let mut at = topics.bounds(catalog, 0)?;
    if at.start > 0 {
        return Err(removed(catalog));
    }
    let mut opened = 0;
    while !at.is_empty() {
        let events = topics.read(catalog, 0, at.clone())?;
        let Some(last) = events.last() else { break };
        at.start = last.offset + 1;
        for event in &events {
            opened += u64::from(replay(catalog, event, &mut view.streams)?);
        }
    }
    Ok(opened)
}

/// Lets a shard go on where its partition ends.
fn stand_at(found: Recovered, place: &Place, view: &mut View, writer: &mut Writer) {
    let Recovered { shard, end, producers } = found;
    if let Some(head) = writer.sequencer.head_mut(place.stream, place.shard) {
        (head.next, head.producers) = (shard.next, producers);
    }
    writer.ends.insert((place.stream, place.shard), end);
    let newest = shard.topic.arrival.map_or(EventTime::MIN, |(_, newest)| newest);
    writer.last_arrival = writer.last_arrival.max(newest);
    if let Some(rows) = view.shard_mut(place.stream, place.shard) {
        *rows = shard;
    }
}

/// Lets a shard whose rows are kept nowhere begin anew, behind all numbers that it has given before.
fn begin_life(first: Sequence, (stream, shard): (StreamId, ShardId), view: &mut View, writer: &mut Writer) {
    if let Some(rows) = view.shard_mut(stream, shard) {
        rows.begin_at(first);
    }
    if let Some(head) = writer.sequencer.head_mut(stream, shard) {
        head.next = first;
    }
}

fn check_name(name: &str) -> Result<()> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if (1..=NAME_LENGTH_MAX).contains(&name.len()) && name.bytes().all(fits) {
        return Ok(());
    }
    Err(TopicError::Refused {
        what: format!("open log {name:?}"),
        reason: format!(
            "its name is of 1 to {NAME_LENGTH_MAX} letters, digits, dots, underscores and hyphens"
        ),
    }
    .into())
}

fn removed(topic: &str) -> LogError {
    TopicError::Refused {
        what: format!("open topic {topic}"),
        reason: "messages were removed that the log has not removed, so that its rows cannot be numbered; a log's topics need \
                 retention.ms and retention.bytes of -1 and cleanup.policy delete"
            .to_owned(),
    }
    .into()
}

/// Where a shard stands; nothing if nothing was ever committed to it.
fn recover(topics: &dyn Topics, place: &Place) -> Result<Option<Recovered>> {
    let offsets = topics.bounds(&place.topic, place.shard.0)?;
    let read = |range: Range<i64>| read_batches(topics, place, range);
    let Some(last) = search::last(&read, offsets.clone())? else {
        return if offsets.start == 0 { Ok(None) } else { Err(removed(&place.topic)) };
    };
    let Some(first) = read(offsets.clone())?.into_iter().next() else { return Ok(None) };
    let (note, note_of_first) = (last.note(place)?, first.note(place)?);
    let producers_at = if note.producers.is_some() { Some(last.offset) } else { note.producers_at };
    let from = producers_at.filter(|at| *at >= first.offset).unwrap_or(first.offset);
    let (producers, since) = read_producers(&read, place, from..last.offset + 1)?;
    let mut removed = note_of_first.totals;
    removed.batches -= 1;
    removed.bytes -= first.header.lengths.total;
    let rows = TopicRows::opened(
        (first.first(), first.offset),
        last.offset + 1,
        (removed, note.totals),
        (first.header.arrival.0, last.header.arrival.1),
    );
    let shard = Shard { first: first.first(), next: last.next(), topic: rows, ..Shard::default() };
    let end = End { offset: last.offset + 1, totals: note.totals, producers_at, since, due: 0 };
    Ok(Some(Recovered { shard, end, producers }))
}

/// What is remembered of producers, from the newest message that says it on; and how many bytes came since.
fn read_producers(
    read: search::Read<'_>,
    place: &Place,
    mut offsets: Range<i64>,
) -> Result<(Producers, u64)> {
    let (mut producers, mut since) = (Producers::default(), 0);
    let mut before: Option<Batch> = None;
    while !offsets.is_empty() {
        let batches = read(offsets.clone())?;
        let Some(last) = batches.last() else { break };
        offsets.start = last.offset + 1;
        for batch in batches {
            if let Some(before) = &before
                && before.next() != batch.first()
            {
                let reason =
                    format!("the batch begins with row {}, after row {}", batch.first(), before.next());
                return Err(place.damaged(batch.offset, reason));
            }
            since += batch.header.lengths.total;
            if let Some(all) = batch.note(place)?.producers {
                (producers, since) = (Producers::from_snapshot(&all), 0);
            }
            if let Some(producer) = batch.header.producer {
                producers.note(producer, batch.first(), batch.next());
            }
            before = Some(batch);
        }
    }
    Ok((producers, since))
}
