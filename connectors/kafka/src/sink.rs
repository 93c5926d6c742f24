//! Writes to a topic.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use headwater_connectors::{Context, Cursor, Delivery, Result, Sink};
use headwater_ingest::Format;
use parking_lot::Mutex;

use crate::cluster::Cluster;
use crate::encode::MessageEncoder;
use crate::producer::{Spread, TopicProducer};
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
        self.rows += delivery.rows.num_rows();
        self.bytes += blocking(move || {
            let encoded = encoder.lock().encode(&delivery.rows)?;
            let mut writing = writing.lock();
            writing.producer.begin()?;
            let mut key = prefix_of(&writer, delivery.shard);
            let (prefix, mut bytes) = (key.len(), 0);
            for message in &encoded.messages {
                let sequence = delivery.first.plus(message.row as u64);
                key.truncate(prefix);
                // A text takes all that is written to it.
                let _ = write!(key, "{sequence}");
                let turn = match spread {
                    Spread::Default => None,
                    Spread::Fixed => Some(u64::from(delivery.shard.0)),
                    Spread::RoundRobin => Some(sequence.0),
                };
                let count = u64::try_from(writing.partitions).unwrap_or(1).max(1);
                let partition = turn.map(|turn| i32::try_from(turn % count).unwrap_or_default());
                writing.producer.send(&encoded, message, &key, partition)?;
                bytes += encoded.value(message).map_or(0, <[u8]>::len);
            }
            writing.producer.take_answers()?;
            Ok(bytes)
        })
        .await?;
        Ok(())
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

/// Connects, and finds out where the sink stands.
fn open(context: &Context, settings: &SinkSettings, stored: Cursor) -> Result<(Writing, Cursor)> {
    let SinkSettings { cluster, topic, writer, exactly_once, .. } = settings;
    let producer = TopicProducer::open(cluster, topic, exactly_once.then_some(writer.as_str()))?;
    let partitions = producer.partitions()?;
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
    Ok((Writing { producer, partitions, ends }, cursor))
}

/// The ends of partitions as they are kept beside the cursor: `{"0":17}`.
fn note_of(ends: &BTreeMap<i32, i64>) -> String {
    serde_json::to_string(ends).unwrap_or_default()
}

fn read_note(note: &str) -> BTreeMap<i32, i64> {
    serde_json::from_str(note).unwrap_or_default()
}
