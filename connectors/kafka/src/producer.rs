//! A producer that is used where waiting is allowed, with its transactions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::executor::block_on;
use headwater_connectors::{ConnectorError, Result};
use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use crate::answers;
use crate::cluster::{Cluster, Notes};
use crate::encode::{Encoded, Out};

/// How long the cluster may take to end a transaction, or to answer for all messages.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long batches are that librdkafka sends unless told otherwise.
pub(crate) const BATCH_BYTES: usize = 1_000_000;

/// The header by which a message is known: `WRITER/SHARD/SEQUENCE`.
pub(crate) const HEADER: &str = "headwater-sequence";

/// How the rows of a shard are spread over partitions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Spread {
    /// As librdkafka does, with the hash of Java's producer.
    Default,
    /// By the shard.
    Fixed,
    /// By the row.
    RoundRobin,
}

/// What was heard of messages.
#[derive(Default)]
struct Heard {
    /// The offset after the last message, for each partition.
    ends: BTreeMap<i32, i64>,
    /// The first message that was not written.
    failed: Option<KafkaError>,
}

/// Hears what becomes of messages.
#[derive(Default)]
struct Ledger {
    notes: Notes,
    heard: Arc<Mutex<Heard>>,
}

impl ClientContext for Ledger {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka");
        self.notes.keep(&error, reason);
    }
}

impl ProducerContext for Ledger {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let mut heard = self.heard.lock();
        match result {
            Ok(message) => {
                let end = heard.ends.entry(message.partition()).or_default();
                *end = (*end).max(message.offset() + 1);
            }
            Err((error, _)) => drop(heard.failed.get_or_insert_with(|| error.clone())),
        }
    }
}

/// A producer to one topic.
pub(crate) struct TopicProducer {
    producer: BaseProducer<Ledger>,
    cluster: Cluster,
    topic: String,
    notes: Notes,
    heard: Arc<Mutex<Heard>>,
    /// Whether messages are committed by transactions.
    is_transactional: bool,
    is_open: bool,
}

impl TopicProducer {
    /// Makes a producer. With a transactional id it fences off whoever used it before and ends what was left open.
    /// A message takes up to `bytes_max` at the topic, if that is known.
    pub fn open(
        cluster: &Cluster,
        topic: &str,
        transactional_id: Option<&str>,
        bytes_max: Option<usize>,
    ) -> Result<Self> {
        let mut own = vec![("enable.idempotence", "true")];
        if cluster.get("message.max.bytes").is_none() {
            // What is too long is the topic's to say.
            own.push(("message.max.bytes", "1000000000"));
        }
        let batch_bytes = bytes_max.map(|most| most.min(BATCH_BYTES).to_string());
        if let Some(bytes) = batch_bytes.as_deref().filter(|_| cluster.get("batch.size").is_none()) {
            own.push(("batch.size", bytes));
        }
        if cluster.get("partitioner").is_none() {
            // As Kafka's own producer spreads keys, so that both find a key in one place.
            own.push(("partitioner", "murmur2_random"));
        }
        if let Some(id) = transactional_id {
            own.push(("transactional.id", id));
        }
        let ledger = Ledger::default();
        let (notes, heard) = (ledger.notes.clone(), Arc::clone(&ledger.heard));
        let producer = cluster.producer_config(&own).create_with_context(ledger);
        let producer: BaseProducer<Ledger> =
            producer.map_err(|error| cluster.failed("connect", &error, &notes))?;
        let opened = Self {
            producer,
            cluster: cluster.clone(),
            topic: topic.to_owned(),
            notes,
            heard,
            is_transactional: transactional_id.is_some(),
            is_open: false,
        };
        if opened.is_transactional {
            let started = opened.producer.init_transactions(PATIENCE);
            started.map_err(|error| opened.failed("begin transactions", &error))?;
        }
        Ok(opened)
    }

    fn failed(&self, what: &str, error: &KafkaError) -> ConnectorError {
        answers::listen(&self.producer);
        let what = format!("{what} to topic {}", self.topic);
        let fatal = self.producer.client().fatal_error();
        // A message that was purged because of the fence says only that it was purged.
        if is_fence(error.rdkafka_error_code()) || is_fence(fatal.map(|(code, _)| code)) {
            let reason = "another process writes with the same transactional id; stop it, or set \
                          sink.transactional-id-prefix";
            return self.cluster.refused(&what, reason);
        }
        self.cluster.failed(&what, error, &self.notes)
    }

    /// How many partitions the topic has.
    pub fn partitions(&self) -> Result<i32> {
        let found = self.producer.client().fetch_metadata(Some(&self.topic), crate::cluster::PATIENCE);
        let found = found.map_err(|error| self.failed("write", &error))?;
        let topic = found.topics().first();
        if let Some(error) = topic.and_then(|topic| topic.error()) {
            return Err(self.failed("write", &KafkaError::MetadataFetch(error.into())));
        }
        Ok(topic.map_or(0, |topic| i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX)))
    }

    /// Begins a transaction, unless one is open.
    pub fn begin(&mut self) -> Result<()> {
        if self.is_transactional && !self.is_open {
            self.producer.begin_transaction().map_err(|error| self.failed("begin a transaction", &error))?;
        }
        self.is_open = true;
        Ok(())
    }

    /// Hands a message to the producer, and waits while its queue is full.
    pub fn send(&self, encoded: &Encoded, message: &Out, key: &str, partition: Option<i32>) -> Result<()> {
        let mut headers = OwnedHeaders::new_with_capacity(message.headers.len() + 1);
        for (name, value) in &message.headers {
            headers = headers.insert(Header { key: name, value: value.as_deref() });
        }
        headers = headers.insert(Header { key: HEADER, value: Some(key) });
        let mut record = BaseRecord::<[u8], [u8]>::to(&self.topic).headers(headers);
        record.payload = encoded.value(message);
        record.key = encoded.key(message);
        record.timestamp = message.timestamp;
        record.partition = partition;
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) => {
                    record = again;
                    answers::rest();
                    self.take_answers()?;
                }
                Err((error, _)) => return Err(self.failed("write", &error)),
            }
        }
    }

    /// Takes the answers that are there, without waiting: their messages take memory until then, and one that was not written is told
    /// before more are sent.
    pub fn take_answers(&self) -> Result<()> {
        answers::take(&self.producer);
        self.check()
    }

    /// Whether all that was heard is good.
    fn check(&self) -> Result<()> {
        // What else is to be heard of a failure is noted where this is.
        let failed = self.heard.lock().failed.clone();
        failed.map_or(Ok(()), |error| Err(self.failed("write", &error)))
    }

    /// Makes everything that was sent safe: commits the transaction, or waits for all answers. After an error nobody knows what is
    /// there: this producer is of no use any more.
    pub fn commit(&mut self) -> Result<BTreeMap<i32, i64>> {
        if std::mem::take(&mut self.is_open) {
            let done = answers::wait_for_all(&self.producer, PATIENCE).and_then(|()| {
                if self.is_transactional { self.producer.commit_transaction(PATIENCE) } else { Ok(()) }
            });
            // What became of the messages says more than that the transaction must be aborted, unless that is because of a fence.
            match done {
                Err(error) if is_fence(error.rdkafka_error_code()) => {
                    return Err(self.failed("commit", &error));
                }
                done => {
                    self.check()?;
                    done.map_err(|error| self.failed("commit", &error))?;
                }
            }
        }
        Ok(self.heard.lock().ends.clone())
    }
}

/// How long a message may be at a topic. `None` if it may not be asked, or if messages become shorter on their way: then the broker tells.
pub(crate) fn ask_bytes_max(cluster: &Cluster, topic: &str) -> Option<usize> {
    if cluster.compresses() {
        return None;
    }
    let admin: AdminClient<DefaultClientContext> = cluster.producer_config(&[]).create().ok()?;
    let options = AdminOptions::new().request_timeout(Some(crate::cluster::PATIENCE));
    let asked = block_on(admin.describe_configs(&[ResourceSpecifier::Topic(topic)], &options)).ok()?;
    let settings = asked.into_iter().next()?.ok()?;
    settings.get("max.message.bytes")?.value.as_ref()?.parse().ok()
}

/// Whether an error says that another producer has taken over.
pub(crate) fn is_fence(code: Option<RDKafkaErrorCode>) -> bool {
    let fences =
        [RDKafkaErrorCode::Fenced, RDKafkaErrorCode::ProducerFenced, RDKafkaErrorCode::InvalidProducerEpoch];
    code.is_some_and(|code| fences.contains(&code))
}
