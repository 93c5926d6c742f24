//! Consumers that read what was committed. One that stands where the next read of its partition begins is used again, and has the messages
//! ready by then; so a reader that goes through a partition costs one consumer and no questions. One that has reached the end of what
//! was asked for lets the partition go, so that nobody polls for what is not there yet.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use headwater_core::World;
use headwater_log::{Stored, TopicError, TopicResult};
use parking_lot::Mutex;
use rdkafka::TopicPartitionList;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::Offset;

use super::topics::NOTE;
use crate::cluster::{Cluster, PATIENCE};
use crate::consumer::{Listener, named};

/// How many consumers wait to be used again.
const IDLE_MAX: usize = 8;

/// How many bytes one read takes, roughly.
const BYTES_MAX: usize = 4 << 20;

/// How many names are told in the place of one that is not there.
const OTHERS_MAX: usize = 10;

/// How long a poll waits for a message.
const WAIT: Duration = Duration::from_millis(100);

/// The consumers.
pub(super) struct Readers {
    cluster: Cluster,
    config: ClientConfig,
    idle: Mutex<Vec<Standing>>,
}

/// A consumer, and what it would say next.
struct Standing {
    consumer: BaseConsumer<Listener>,
    topic: String,
    partition: i32,
    /// The offset; nothing where the consumer has gone further than was asked.
    next: Option<i64>,
}

impl Readers {
    /// Nobody reads yet.
    pub fn new(cluster: &Cluster) -> Self {
        let own = [
            ("isolation.level", "read_committed"),
            ("enable.partition.eof", "true"),
            ("enable.auto.commit", "false"),
            ("auto.offset.reset", "earliest"),
            ("check.crcs", "true"),
            ("socket.nagle.disable", "true"),
            ("fetch.wait.max.ms", "20"),
            ("fetch.queue.backoff.ms", "10"),
            ("queued.max.messages.kbytes", "16384"),
        ];
        let mut config = cluster.config(&own);
        config.remove("partitioner");
        Self { cluster: cluster.clone(), config: named(&config), idle: Mutex::default() }
    }

    /// A consumer to ask about partitions.
    pub fn consumer(&self) -> TopicResult<BaseConsumer<Listener>> {
        let made = self.config.create_with_context(Listener::default());
        made.map_err(|error| self.cluster.topic_error("connect", &error, &Default::default()))
    }

    /// Committed messages with these offsets: the first of them. Waits for what is not yet decided.
    pub fn read(
        &self,
        world: &World,
        topic: &str,
        partition: i32,
        offsets: Range<i64>,
    ) -> TopicResult<Vec<Stored>> {
        let end = offsets.end;
        let mut standing = self.take(topic, partition, offsets.start)?;
        let found = standing.read(world, offsets).map_err(|error| {
            let notes = &standing.consumer.context().notes;
            self.cluster.topic_error(&format!("read {topic}/{partition}"), &error, notes)
        })?;
        if found.is_empty() || standing.next.is_none_or(|next| next >= end) {
            standing.let_go();
        }
        let mut idle = self.idle.lock();
        if idle.len() == IDLE_MAX {
            idle.remove(0);
        }
        idle.push(standing);
        Ok(found)
    }

    /// The consumer that stands there, or else another one.
    fn take(&self, topic: &str, partition: i32, from: i64) -> TopicResult<Standing> {
        let mut idle = self.idle.lock();
        let is_there =
            |one: &Standing| (one.topic.as_str(), one.partition, one.next) == (topic, partition, Some(from));
        if let Some(index) = idle.iter().position(is_there) {
            return Ok(idle.remove(index));
        }
        let unused = idle.iter().position(|one| one.next.is_none());
        let unused =
            unused.or((idle.len() == IDLE_MAX).then_some(0)).map(|index| idle.remove(index).consumer);
        drop(idle);
        let consumer = unused.map_or_else(|| self.consumer(), Ok)?;
        let standing = Standing { consumer, topic: topic.to_owned(), partition, next: Some(from) };
        standing.go(from).map_err(|error| {
            self.cluster.topic_error(&format!("read {topic}/{partition}"), &error, &Default::default())
        })?;
        Ok(standing)
    }
}

impl Standing {
    /// Goes to an offset.
    fn go(&self, to: i64) -> Result<(), KafkaError> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic, self.partition, Offset::Offset(to))?;
        self.consumer.assign(&list)
    }

    /// Reads nothing until it is taken again.
    fn let_go(&mut self) {
        self.next = None;
        if let Err(error) = self.consumer.unassign() {
            tracing::debug!(%error, "a consumer reads on, for nobody");
        }
    }

    /// What of a partition it is decided whether it was committed.
    fn decided(&self) -> Result<i64, KafkaError> {
        let bounds = self.consumer.fetch_watermarks(&self.topic, self.partition, PATIENCE);
        bounds.map(|(_, end)| end)
    }

    fn read(&mut self, world: &World, offsets: Range<i64>) -> Result<Vec<Stored>, KafkaError> {
        let (mut found, mut bytes) = (Vec::new(), 0);
        let began = world.clock.monotonic();
        let (mut looked, mut decided) = (began, None);
        // That there is no message is known when the end is met after all of the range was decided.
        while bytes < BYTES_MAX && self.next.is_none_or(|next| next < offsets.end) {
            let wait = if found.is_empty() { WAIT } else { Duration::ZERO };
            match self.consumer.poll(wait) {
                Some(Ok(message)) if message.offset() >= offsets.end => {
                    // The next read begins before it.
                    self.next = None;
                    return Ok(found);
                }
                Some(Ok(message)) => {
                    let stored = stored(&message);
                    self.next = Some(stored.offset + 1);
                    bytes += stored.value.len();
                    found.push(stored);
                }
                None | Some(Err(KafkaError::PartitionEOF(_))) if !found.is_empty() => break,
                Some(Err(KafkaError::PartitionEOF(_))) if decided >= Some(offsets.end) => break,
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    // Perhaps it was met before all was decided: it is met again from here.
                    decided = Some(self.decided()?);
                    self.go(offsets.start)?;
                }
                Some(Err(error)) if !passes(&error) => return Err(error),
                None | Some(Err(_)) => {
                    let now = world.clock.monotonic();
                    if now.saturating_sub(began) >= PATIENCE {
                        return Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut));
                    }
                    // A consumer that is used again has told of the end already.
                    if now.saturating_sub(looked) >= WAIT * 3 {
                        looked = now;
                        decided = Some(self.decided()?);
                        self.go(offsets.start)?;
                    }
                }
            }
        }
        Ok(found)
    }
}

/// Whether a consumer gets over an error by itself.
fn passes(error: &KafkaError) -> bool {
    is_moving(error)
        || matches!(
            error.rdkafka_error_code(),
            Some(
                RDKafkaErrorCode::BrokerTransportFailure
                    | RDKafkaErrorCode::AllBrokersDown
                    | RDKafkaErrorCode::OperationTimedOut
                    | RDKafkaErrorCode::Resolve
            )
        )
}

/// Whether an error says that brokers do not yet agree on who leads a partition.
pub(super) fn is_moving(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::LeaderNotAvailable
                | RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::UnknownTopic
        )
    )
}

fn stored(message: &BorrowedMessage<'_>) -> Stored {
    let note = message.headers().and_then(|all| all.iter().find(|header| header.key == NOTE)?.value);
    Stored {
        offset: message.offset(),
        // Copied, so that columns lie where their values are aligned.
        value: message.payload().map(Bytes::copy_from_slice).unwrap_or_default(),
        note: note.map(Bytes::copy_from_slice).unwrap_or_default(),
    }
}

/// Where a partition begins, and up to where it is decided what was committed.
pub(super) fn bounds(
    consumer: &BaseConsumer<Listener>,
    topic: &str,
    partition: i32,
) -> Result<Range<i64>, KafkaError> {
    let (begin, end) = consumer.fetch_watermarks(topic, partition, PATIENCE)?;
    Ok(begin..end)
}

/// Whether the cluster has a topic, as one broker knows it now.
pub(super) fn is_known(consumer: &BaseConsumer<Listener>, topic: &str) -> Result<bool, KafkaError> {
    let found = consumer.fetch_metadata(Some(topic), PATIENCE)?;
    let Some(found) = found.topics().iter().find(|one| one.name() == topic) else { return Ok(false) };
    match found.error().map(RDKafkaErrorCode::from) {
        None | Some(RDKafkaErrorCode::LeaderNotAvailable) => Ok(true),
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => Ok(false),
        Some(code) => Err(KafkaError::MetadataFetch(code)),
    }
}

/// What stands before an ending in the names of topics, of some of them.
pub(super) fn others(consumer: &BaseConsumer<Listener>, ending: &str) -> Result<Vec<String>, KafkaError> {
    let all = consumer.fetch_metadata(None, PATIENCE)?;
    let names = all.topics().iter().filter_map(|topic| topic.name().strip_suffix(ending));
    Ok(names.take(OTHERS_MAX).map(str::to_owned).collect())
}

/// Whether a topic has so many partitions, each with a leader; an error where it has another number.
pub(super) fn is_ready(
    consumer: &BaseConsumer<Listener>,
    topic: &str,
    partitions: u32,
) -> Result<bool, TopicError> {
    let Ok(found) = consumer.fetch_metadata(Some(topic), PATIENCE) else { return Ok(false) };
    let Some(found) = found.topics().iter().find(|one| one.name() == topic && one.error().is_none()) else {
        return Ok(false);
    };
    let count = found.partitions().len();
    if count > 0 && count != partitions as usize {
        return Err(TopicError::Refused {
            what: format!("create topic {topic}"),
            reason: format!(
                "there is one with {count} partitions, not {partitions}; remove it, or give the log another name"
            ),
        });
    }
    Ok(count > 0 && found.partitions().iter().all(|one| one.error().is_none() && one.leader() >= 0))
}
