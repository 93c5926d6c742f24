//! The producer of a log, and its transactions.

use std::sync::Arc;
use std::time::Duration;

use headwater_log::{Message, TopicError, TopicResult};
use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use super::topics::NOTE;
use crate::answers;
use crate::cluster::{Cluster, Notes};
use crate::producer::is_fence;

/// How long the cluster may take to begin or end a transaction.
const PATIENCE: Duration = Duration::from_secs(15);

/// Hears what becomes of the messages of a transaction: the offset of each.
#[derive(Default)]
struct Deliveries {
    notes: Notes,
    offsets: Arc<Mutex<Vec<Option<i64>>>>,
}

impl ClientContext for Deliveries {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka");
        self.notes.keep(&error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, index: usize) {
        if let Ok(message) = result
            && let Some(offset) = self.offsets.lock().get_mut(index)
        {
            *offset = Some(message.offset());
        }
    }
}

/// A producer with the log's transactional id. After an error nobody knows what is there, and it is of no use any more.
pub(super) struct Writer {
    /// Polled by whoever commits.
    producer: BaseProducer<Deliveries>,
    cluster: Cluster,
    log: String,
    notes: Notes,
    offsets: Arc<Mutex<Vec<Option<i64>>>>,
}

impl Writer {
    /// Fences off whoever had the id before, ends what was left open, and waits until that is done.
    pub fn open(cluster: &Cluster, log: &str, bytes_max: usize) -> TopicResult<Self> {
        let bytes_max = bytes_max.to_string();
        let own = [
            ("enable.idempotence", "true"),
            ("transactional.id", log),
            ("message.max.bytes", bytes_max.as_str()),
            // A transaction is ended as soon as all of it was handed over: nothing more comes that could be waited for.
            ("linger.ms", "0"),
            // The broker ends a transaction behind the answer, and turns the next one away until then: for some milliseconds.
            ("retry.backoff.ms", "5"),
            ("socket.nagle.disable", "true"),
        ];
        let deliveries = Deliveries::default();
        let (notes, offsets) = (deliveries.notes.clone(), Arc::clone(&deliveries.offsets));
        let producer = cluster.producer_config(&own).create_with_context(deliveries);
        let producer: BaseProducer<Deliveries> =
            producer.map_err(|error| cluster.topic_error(&format!("open log {log}"), &error, &notes))?;
        let opened = Self { producer, cluster: cluster.clone(), log: log.to_owned(), notes, offsets };
        opened.producer.init_transactions(PATIENCE).map_err(|error| opened.failed("open", &error))?;
        Ok(opened)
    }

    fn failed(&self, what: &str, error: &KafkaError) -> TopicError {
        answers::listen(&self.producer);
        let fatal = self.producer.client().fatal_error();
        if is_fence(error.rdkafka_error_code()) || is_fence(fatal.map(|(code, _)| code)) {
            return TopicError::Fenced { log: self.log.clone() };
        }
        self.cluster.topic_error(&format!("{what} log {}", self.log), error, &self.notes)
    }

    /// Commits messages; the answer is the offset of each.
    pub fn commit(&self, messages: &[Message]) -> TopicResult<Vec<i64>> {
        *self.offsets.lock() = vec![None; messages.len()];
        self.producer.begin_transaction().map_err(|error| self.failed("write", &error))?;
        for (index, message) in messages.iter().enumerate() {
            self.send(index, message)?;
        }
        answers::wait_for_all(&self.producer, PATIENCE).map_err(|error| self.failed("write", &error))?;
        self.producer.commit_transaction(PATIENCE).map_err(|error| self.failed("commit to", &error))?;
        let offsets: Option<Vec<i64>> = self.offsets.lock().iter().copied().collect();
        offsets.ok_or_else(|| TopicError::Outage {
            what: format!("commit to log {}", self.log),
            reason: "the transaction was committed and its offsets were not told".to_owned(),
        })
    }

    fn send(&self, index: usize, message: &Message) -> TopicResult<()> {
        let note = Header { key: NOTE, value: Some(&*message.note) };
        let mut record = BaseRecord::<(), [u8], usize>::with_opaque_to(&message.topic, index)
            .payload(&*message.value)
            .partition(i32::try_from(message.partition).unwrap_or(i32::MAX))
            .timestamp(message.timestamp_millis)
            .headers(OwnedHeaders::new_with_capacity(1).insert(note));
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) => {
                    record = again;
                    answers::rest();
                    answers::take(&self.producer);
                }
                Err((error, _)) => return Err(self.failed("write", &error)),
            }
        }
    }
}
