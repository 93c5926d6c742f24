//! A producer that is used where waiting is allowed, with its transactions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::executor::block_on;
use headwater_connectors::{ConnectorError, Result};
use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, DeliveryResult, Header, Headers, Message, OwnedHeaders};
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
    /// The messages of batches that were too long, by their header.
    too_long: BTreeSet<String>,
}

/// What keeps messages from being written.
pub(crate) enum Failure {
    /// The broker has refused a batch because of its length. These were in it, by their header, as far as that is known. If there is a
    /// transaction, it can only be aborted, and this producer is of no use any more.
    TooLong(BTreeSet<String>),
    /// Something else.
    Other(ConnectorError),
}

impl From<ConnectorError> for Failure {
    fn from(error: ConnectorError) -> Self {
        Self::Other(error)
    }
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
            Err((error, message)) => {
                if error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge) {
                    heard.too_long.extend(header_of(message));
                }
                heard.failed.get_or_insert_with(|| error.clone());
            }
        }
    }
}

/// By which header a message is known.
fn header_of(message: &BorrowedMessage<'_>) -> Option<String> {
    let headers = message.headers()?;
    let header = headers.iter().find(|header| header.key == HEADER)?;
    Some(String::from_utf8_lossy(header.value?).into_owned())
}

/// A producer to one topic.
pub(crate) struct TopicProducer {
    producer: BaseProducer<Ledger>,
    cluster: Cluster,
    topic: String,
    notes: Notes,
    heard: Arc<Mutex<Heard>>,
    /// With one, messages are committed by transactions.
    transactional_id: Option<String>,
    bytes_max: Option<usize>,
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
            transactional_id: transactional_id.map(str::to_owned),
            bytes_max,
            is_open: false,
        };
        if opened.is_transactional() {
            let started = opened.producer.init_transactions(PATIENCE);
            started.map_err(|error| opened.failed("begin transactions", &error))?;
        }
        Ok(opened)
    }

    /// Makes another one in its place. What this one leaves open is ended before, so that the other need not wait for that.
    pub fn anew(&self) -> Result<Self> {
        if self.is_transactional()
            && let Err(error) = self.producer.abort_transaction(crate::cluster::PATIENCE)
        {
            // Then the other one ends it.
            tracing::debug!(%error, "a transaction was not aborted");
        }
        Self::open(&self.cluster, &self.topic, self.transactional_id.as_deref(), self.bytes_max)
    }

    fn is_transactional(&self) -> bool {
        self.transactional_id.is_some()
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
        if self.is_transactional() && !self.is_open {
            self.producer.begin_transaction().map_err(|error| self.failed("begin a transaction", &error))?;
        }
        self.is_open = true;
        Ok(())
    }

    /// Hands a message to the producer, and waits while its queue is full.
    pub fn send(
        &self,
        encoded: &Encoded,
        message: &Out,
        key: &str,
        partition: Option<i32>,
    ) -> Result<(), Failure> {
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
                Err((error, _)) => {
                    if error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge) {
                        // By itself it is longer than message.max.bytes, if that was set.
                        self.heard.lock().too_long.insert(key.to_owned());
                    }
                    return Err(self.failure("write", &error));
                }
            }
        }
    }

    /// Takes the answers that are there, without waiting: their messages take memory until then, and one that was not written is told
    /// before more are sent.
    pub fn take_answers(&self) -> Result<(), Failure> {
        answers::take(&self.producer);
        self.check()
    }

    /// Whether all that was heard is good.
    fn check(&self) -> Result<(), Failure> {
        // What else is to be heard of a failure is noted where this is.
        let failed = self.heard.lock().failed.clone();
        failed.map_or(Ok(()), |error| Err(self.failure("write", &error)))
    }

    /// What it means that a message was not written. With a batch that the broker refuses the transaction is lost: librdkafka purges what
    /// has not gone out yet, may say that before it tells of the refusal, and takes no more messages. So all answers are waited for.
    fn failure(&self, what: &str, error: &KafkaError) -> Failure {
        use RDKafkaErrorCode::{MessageSizeTooLarge, PurgeInflight, PurgeQueue, State};
        let code = error.rdkafka_error_code();
        if [MessageSizeTooLarge, PurgeInflight, PurgeQueue, State].map(Some).contains(&code)
            && let Err(error) = answers::wait_for_all(&self.producer, PATIENCE)
        {
            tracing::debug!(%error, "not all messages were answered");
        }
        let too_long = std::mem::take(&mut self.heard.lock().too_long);
        if too_long.is_empty() && code != Some(MessageSizeTooLarge) {
            return Failure::Other(self.failed(what, error));
        }
        Failure::TooLong(too_long)
    }

    /// Makes everything that was sent safe: commits the transaction, or waits for all answers. After an error nobody knows what is
    /// there, unless something was too long, for then nothing was committed; this producer is of no use any more.
    pub fn commit(&mut self) -> Result<BTreeMap<i32, i64>, Failure> {
        if std::mem::take(&mut self.is_open) {
            let done = answers::wait_for_all(&self.producer, PATIENCE).and_then(|()| {
                let is_refused = !self.heard.lock().too_long.is_empty();
                if !self.is_transactional() || is_refused {
                    return Ok(());
                }
                self.producer.commit_transaction(PATIENCE)
            });
            // What became of the messages says more than that the transaction must be aborted, unless that is because of a fence.
            match done {
                Err(error) if is_fence(error.rdkafka_error_code()) => {
                    return Err(self.failed("commit", &error).into());
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

/// How long a message may be at a topic. `None` if it may not be asked.
pub(crate) fn ask_bytes_max(cluster: &Cluster, topic: &str) -> Option<usize> {
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
