//! Writes to a topic.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{RecordBatch, UInt64Array};
use arrow::compute::take_record_batch;
use async_trait::async_trait;
use headwater_connectors::{Context, Cursor, Delivery, Result, SchemaRegistry, Sink};
use headwater_core::{Sequence, ShardId};
use headwater_ingest::{Format, IngestError};
use parking_lot::Mutex;

use crate::cluster::Cluster;
use crate::encode::{Encoded, MessageEncoder};
use crate::pieces::{Part, Piece, Refused};
use crate::producer::{BATCH_BYTES, Failure, HEADER, Spread, TopicProducer, ask_bytes_max};
use crate::readback::{place_in, prefix_of, read_back};
use crate::source::blocking;

/// How many rows and bytes are committed together at most.
const ROWS_MAX: usize = 100_000;
const BYTES_MAX: usize = 32 << 20;

/// What a sink is to do.
#[derive(Clone)]
pub(crate) struct SinkSettings {
    pub cluster: Cluster,
    pub topic: String,
    /// By which name the sink is known in headers, and as a transactional id.
    pub writer: String,
    /// Whether each row is to be there exactly once.
    pub exactly_once: bool,
    pub spread: Spread,
    pub linger: Duration,
    pub registry: Option<SchemaRegistry>,
    /// The formats of value and key, and under which subject their schemas are registered.
    pub subjects: [(Format, String); 2],
}

/// Writes to a topic.
pub(crate) struct KafkaSink {
    context: Context,
    settings: SinkSettings,
    encoder: Arc<Mutex<MessageEncoder>>,
    writing: Option<Arc<Mutex<Writing>>>,
    /// What was delivered and is not committed.
    rows: usize,
    bytes: usize,
}

/// What is touched where waiting is allowed.
struct Writing {
    producer: TopicProducer,
    /// By which name we are known in headers.
    writer: String,
    spread: Spread,
    partitions: i32,
    /// The end of each partition as far as we know it: beyond are messages that are to be read back.
    ends: BTreeMap<i32, i64>,
    /// How long a message may be, if that is known.
    bytes_max: Option<usize>,
    /// Whether messages become shorter on their way, so that one that is longer may be taken all the same.
    compresses: bool,
    /// What was given to us since the last commit.
    pending: Vec<Part>,
}

/// What became of a delivery.
#[derive(Default)]
struct Sent {
    /// How many bytes were sent.
    bytes: usize,
    /// The rows that the topic will never take.
    unfit: Vec<(usize, String)>,
    /// What the broker has refused of all that is pending, if it has.
    refused: Option<Refused>,
}

impl KafkaSink {
    pub fn new(context: Context, settings: SinkSettings, encoder: MessageEncoder) -> Self {
        let encoder = Arc::new(Mutex::new(encoder));
        Self { context, settings, encoder, writing: None, rows: 0, bytes: 0 }
    }

    /// Makes the registry know the schemas of what is to be written.
    async fn register(&self) -> Result<()> {
        let Some(registry) = &self.settings.registry else { return Ok(()) };
        for (part, (format, subject)) in self.settings.subjects.iter().enumerate() {
            let schema = self.encoder.lock().schema_text(part).filter(|_| format.is_registered());
            if let Some(schema) = schema {
                let id = registry.register(subject, *format, &schema).await?;
                self.encoder.lock().set_schema_id(part, id);
            }
        }
        Ok(())
    }

    async fn park(
        &self,
        shard: ShardId,
        first: Sequence,
        rows: &RecordBatch,
        mut unfit: Vec<(usize, String)>,
    ) -> Result<()> {
        if unfit.is_empty() {
            return Ok(());
        }
        unfit.sort_by_key(|(row, _)| *row);
        let places = UInt64Array::from_iter_values(unfit.iter().map(|(row, _)| *row as u64));
        let rows = take_record_batch(rows, &places).map_err(IngestError::from)?;
        let why = unfit.into_iter().map(|(row, reason)| (first.plus(row as u64), reason));
        self.context.parking.park(shard, rows, why.collect()).await
    }

    /// Sends and commits what is pending once more, now that the broker has refused some of it, but for the messages that are to blame.
    async fn get_over(&mut self, refused: &Refused) -> Result<()> {
        let writing = self.writing()?;
        let pending = Piece::new(std::mem::take(&mut writing.lock().pending));
        (self.rows, self.bytes) = (0, 0);
        let mut left = pending.divide(refused);
        left.reverse();
        while let Some(piece) = left.pop() {
            if piece.is_refused {
                // Before what comes after it is committed: where the sink stands is read from that.
                self.park_message(&piece).await?;
                continue;
            }
            let writing = Arc::clone(&writing);
            let tried = move || {
                let refused = writing.lock().write(&piece)?;
                Ok((piece, refused))
            };
            if let (piece, Some(refused)) = blocking(tried).await? {
                left.extend(piece.divide(&refused).into_iter().rev());
            }
        }
        Ok(())
    }

    /// Puts the row aside of which a message is that the broker does not take.
    async fn park_message(&self, piece: &Piece) -> Result<()> {
        for part in &piece.parts {
            for message in &part.encoded.messages[part.messages.clone()] {
                let size = part.encoded.size(message, (HEADER.len(), self.settings.writer.len()));
                let reason = format!(
                    "its message, of about {size} bytes before it is compressed, is too long for the topic \
                     (max.message.bytes), says the broker"
                );
                self.park(part.shard, part.first, &part.rows, vec![(message.row, reason)]).await?;
            }
        }
        Ok(())
    }

    fn writing(&self) -> Result<Arc<Mutex<Writing>>> {
        let closed = || self.settings.cluster.outage("write", "the sink is not open");
        self.writing.clone().ok_or_else(closed)
    }
}

#[async_trait]
impl Sink for KafkaSink {
    async fn open(&mut self, stored: Cursor) -> Result<Cursor> {
        self.register().await?;
        let (context, settings) = (self.context.clone(), self.settings.clone());
        let (writing, cursor) = blocking(move || open(&context, &settings, stored)).await?;
        self.writing = Some(Arc::new(Mutex::new(writing)));
        Ok(cursor)
    }

    async fn deliver(&mut self, delivery: Delivery) -> Result<()> {
        let (writing, encoder) = (self.writing()?, Arc::clone(&self.encoder));
        let (shard, first, rows) = (delivery.shard, delivery.first, delivery.rows.clone());
        let sent = blocking(move || {
            let (encoded, unfit) = encoder.lock().encode_what_can_be(&delivery.rows)?;
            let mut sent = Sent { unfit, ..Sent::default() };
            let mut writing = writing.lock();
            for (from, mut encoded) in encoded {
                let first = first.plus(from as u64);
                writing.take_out_unfit(&mut encoded, shard, first, |row, why| {
                    sent.unfit.push((from + row, why))
                });
                let values = encoded.messages.iter().filter_map(|message| encoded.value(message));
                sent.bytes += values.map(<[u8]>::len).sum::<usize>();
                let messages = 0..encoded.messages.len();
                let rows = delivery.rows.slice(from, delivery.rows.num_rows() - from);
                let part = Part { encoded: Arc::new(encoded), messages, rows, shard, first };
                writing.pending.push(part.clone());
                if sent.refused.is_none() {
                    let done = writing.send(&part);
                    sent.refused = writing.refused(done)?;
                }
            }
            Ok(sent)
        })
        .await?;
        self.rows += rows.num_rows();
        self.bytes += sent.bytes;
        self.park(shard, first, &rows, sent.unfit).await?;
        match sent.refused {
            Some(refused) => self.get_over(&refused).await,
            None => Ok(()),
        }
    }

    async fn flush(&mut self) -> Result<String> {
        let writing = self.writing()?;
        (self.rows, self.bytes) = (0, 0);
        let refused = blocking({
            let writing = Arc::clone(&writing);
            move || {
                let mut writing = writing.lock();
                let done = writing.commit();
                writing.refused(done)
            }
        });
        if let Some(refused) = refused.await? {
            self.get_over(&refused).await?;
        }
        let note = note_of(&writing.lock().ends);
        Ok(note)
    }

    fn is_full(&self) -> bool {
        self.rows >= ROWS_MAX || self.bytes >= BYTES_MAX
    }

    fn linger(&self) -> Duration {
        self.settings.linger
    }

    async fn close(&mut self) -> Result<()> {
        if let Some(writing) = self.writing.take() {
            // A producer that is dropped waits for its threads.
            let stop = move || {
                drop(writing);
                Ok(())
            };
            blocking(stop).await?;
        }
        Ok(())
    }
}

impl Writing {
    /// Takes those messages out that are longer than the topic takes, and says which and why.
    fn take_out_unfit(
        &self,
        encoded: &mut Encoded,
        shard: ShardId,
        first: Sequence,
        mut unfit: impl FnMut(usize, String),
    ) {
        let Some(most) = self.bytes_max.filter(|_| !self.compresses) else { return };
        let prefix = prefix_of(&self.writer, shard).len();
        for message in std::mem::take(&mut encoded.messages) {
            let digits = first.plus(message.row as u64).0.checked_ilog10().map_or(1, |power| power + 1);
            let size = encoded.size(&message, (HEADER.len(), prefix + digits as usize));
            if size <= most {
                encoded.messages.push(message);
                continue;
            }
            let reason = format!("its message has {size} bytes; the topic takes {most} (max.message.bytes)");
            unfit(message.row, reason);
        }
    }

    /// Hands messages to the producer.
    fn send(&mut self, part: &Part) -> Result<(), Failure> {
        self.producer.begin()?;
        let mut key = prefix_of(&self.writer, part.shard);
        let prefix = key.len();
        for message in &part.encoded.messages[part.messages.clone()] {
            let sequence = part.first.plus(message.row as u64);
            key.truncate(prefix);
            // A text takes all that is written to it.
            let _ = write!(key, "{sequence}");
            let turn = match self.spread {
                Spread::Default => None,
                Spread::Fixed => Some(u64::from(part.shard.0)),
                Spread::RoundRobin => Some(sequence.0),
            };
            let count = u64::try_from(self.partitions).unwrap_or(1).max(1);
            let partition = turn.map(|turn| i32::try_from(turn % count).unwrap_or_default());
            self.producer.send(&part.encoded, message, &key, partition)?;
        }
        self.producer.take_answers()
    }

    fn commit(&mut self) -> Result<(), Failure> {
        self.ends.extend(self.producer.commit()?);
        self.pending.clear();
        Ok(())
    }

    /// Sends and commits a piece; answers what the broker has refused of it, if it has.
    fn write(&mut self, piece: &Piece) -> Result<Option<Refused>> {
        let done = piece.parts.iter().try_for_each(|part| self.send(part)).and_then(|()| self.commit());
        self.refused(done)
    }

    /// What the broker has refused. Nothing of the transaction is there then, and another producer is.
    fn refused(&mut self, done: Result<(), Failure>) -> Result<Option<Refused>> {
        let headers: BTreeSet<String> = match done {
            Ok(()) => return Ok(None),
            Err(Failure::Other(error)) => return Err(error),
            Err(Failure::TooLong(headers)) => headers,
        };
        self.producer = self.producer.anew()?;
        Ok(Some(headers.iter().filter_map(|header| place_in(&self.writer, header)).collect()))
    }
}

/// Connects, and finds out where the sink stands.
fn open(context: &Context, settings: &SinkSettings, stored: Cursor) -> Result<(Writing, Cursor)> {
    let SinkSettings { cluster, topic, writer, exactly_once, spread, .. } = settings;
    let id = exactly_once.then_some(writer.as_str());
    let mut producer = TopicProducer::open(cluster, topic, id, None)?;
    let partitions = producer.partitions()?;
    let bytes_max = ask_bytes_max(cluster, topic);
    if bytes_max.is_some_and(|most| most < BATCH_BYTES) {
        producer = TopicProducer::open(cluster, topic, id, bytes_max)?;
    }
    let mut cursor = stored;
    let mut ends = read_note(&cursor.note);
    if *exactly_once {
        let found = read_back(&context.world, cluster, topic, writer, partitions, &ends)?;
        for (shard, next) in found.next {
            let known = cursor.next.entry(shard).or_insert(next);
            *known = (*known).max(next);
        }
        ends = found.ends;
        cursor.note = note_of(&ends);
    }
    let (writer, spread, compresses) = (writer.clone(), *spread, cluster.compresses());
    let pending = Vec::new();
    Ok((Writing { producer, writer, spread, partitions, ends, bytes_max, compresses, pending }, cursor))
}

/// The ends of partitions as they are kept beside the cursor: `{"0":17}`.
fn note_of(ends: &BTreeMap<i32, i64>) -> String {
    serde_json::to_string(ends).unwrap_or_default()
}

fn read_note(note: &str) -> BTreeMap<i32, i64> {
    serde_json::from_str(note).unwrap_or_default()
}
