//! Writes to a topic.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{RecordBatch, UInt64Array};
use arrow::compute::take_record_batch;
use async_trait::async_trait;
use headwater_connectors::{Context, Cursor, Delivery, Result, Sink};
use headwater_core::{Sequence, ShardId};
use headwater_ingest::{Format, IngestError};
use parking_lot::Mutex;

use crate::cluster::Cluster;
use crate::encode::{Encoded, MessageEncoder};
use crate::producer::{BATCH_BYTES, HEADER, Spread, TopicProducer, ask_bytes_max};
use crate::readback::{prefix_of, read_back};
use crate::registry::Registry;
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
    pub registry: Option<Registry>,
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
    partitions: i32,
    /// The end of each partition as far as we know it: beyond are messages that are to be read back.
    ends: BTreeMap<i32, i64>,
    /// How long a message may be, if that is known.
    bytes_max: Option<usize>,
}

/// What became of a delivery: how many bytes were sent, and the rows that the topic will never take.
struct Sent {
    bytes: usize,
    unfit: Vec<(usize, String)>,
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
        let (writer, spread) = (self.settings.writer.clone(), self.settings.spread);
        let (shard, first, rows) = (delivery.shard, delivery.first, delivery.rows.clone());
        let sent = blocking(move || {
            let (encoded, unfit) = encoder.lock().encode_what_can_be(&delivery.rows)?;
            let mut sent = Sent { bytes: 0, unfit };
            let mut writing = writing.lock();
            writing.producer.begin()?;
            for (from, encoded) in &encoded {
                let place = Place { writer: &writer, shard, first: first.plus(*from as u64), spread };
                send(&writing, encoded, (&place, *from), &mut sent)?;
            }
            writing.producer.take_answers()?;
            Ok(sent)
        })
        .await?;
        self.rows += rows.num_rows();
        self.bytes += sent.bytes;
        self.park(shard, first, &rows, sent.unfit).await
    }

    async fn flush(&mut self) -> Result<String> {
        let writing = self.writing()?;
        (self.rows, self.bytes) = (0, 0);
        blocking(move || {
            let mut writing = writing.lock();
            let ends = writing.producer.commit()?;
            writing.ends.extend(ends);
            Ok(note_of(&writing.ends))
        })
        .await
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

/// Where rows come from, and where they go.
struct Place<'a> {
    writer: &'a str,
    shard: ShardId,
    first: Sequence,
    spread: Spread,
}

/// Hands the messages of consecutive rows to the producer, but for those that are too long; `from` is the place of the first row.
fn send(
    writing: &Writing,
    encoded: &Encoded,
    (place, from): (&Place<'_>, usize),
    sent: &mut Sent,
) -> Result<()> {
    let mut key = prefix_of(place.writer, place.shard);
    let prefix = key.len();
    for message in &encoded.messages {
        let sequence = place.first.plus(message.row as u64);
        key.truncate(prefix);
        // A text takes all that is written to it.
        let _ = write!(key, "{sequence}");
        let size = encoded.size(message, (HEADER.len(), key.len()));
        if let Some(most) = writing.bytes_max.filter(|most| size > *most) {
            let reason = format!("its message has {size} bytes; the topic takes {most} (max.message.bytes)");
            sent.unfit.push((from + message.row, reason));
            continue;
        }
        let turn = match place.spread {
            Spread::Default => None,
            Spread::Fixed => Some(u64::from(place.shard.0)),
            Spread::RoundRobin => Some(sequence.0),
        };
        let count = u64::try_from(writing.partitions).unwrap_or(1).max(1);
        let partition = turn.map(|turn| i32::try_from(turn % count).unwrap_or_default());
        writing.producer.send(encoded, message, &key, partition)?;
        sent.bytes += encoded.value(message).map_or(0, <[u8]>::len);
    }
    Ok(())
}

/// Connects, and finds out where the sink stands.
fn open(context: &Context, settings: &SinkSettings, stored: Cursor) -> Result<(Writing, Cursor)> {
    let SinkSettings { cluster, topic, writer, exactly_once, .. } = settings;
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
    Ok((Writing { producer, partitions, ends, bytes_max }, cursor))
}

/// The ends of partitions as they are kept beside the cursor: `{"0":17}`.
fn note_of(ends: &BTreeMap<i32, i64>) -> String {
    serde_json::to_string(ends).unwrap_or_default()
}

fn read_note(note: &str) -> BTreeMap<i32, i64> {
    serde_json::from_str(note).unwrap_or_default()
}
