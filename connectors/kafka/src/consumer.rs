//! A consumer that is polled where waiting is allowed: which partitions it has, where it stands in each, and how they change hands.
//!
//! ```text
//!  a partition   durable              pulled             end (LSO)
//!  --------------|--------------------|------------------|
//!                | pulled, on its way | not yet pulled   |
//! ```
//!
//! In a group the coordinator says which partitions are ours. What it says is put aside by [`Listener`] and done between two polls: a
//! partition is given back only when `durable` has reached `pulled` and is committed to the group, so that whoever gets it goes on
//! exactly there.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use headwater_connectors::Behind;
use headwater_core::EventTime;
use parking_lot::Mutex;
use rdkafka::ClientContext;
use rdkafka::TopicPartitionList;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::Offset;
use rdkafka::types::RDKafkaRespErr;

use crate::cluster::Notes;
use crate::offsets::{Partition, list, list_of};

/// How often, and after which pause, a commit is tried again that must not be left out.
const COMMIT_TRIES: u32 = 50;
const COMMIT_PAUSE: Duration = Duration::from_millis(100);

/// How often it is looked whether the group has taken all offsets.
const COMMIT_AGAIN: Duration = Duration::from_secs(1);

/// Whether a group, or its coordinator, is busy with itself.
fn is_busy(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::RebalanceInProgress
            | RDKafkaErrorCode::NotCoordinator
            | RDKafkaErrorCode::CoordinatorNotAvailable
            | RDKafkaErrorCode::CoordinatorLoadInProgress
            | RDKafkaErrorCode::RequestTimedOut
            | RDKafkaErrorCode::OperationTimedOut
            | RDKafkaErrorCode::BrokerTransportFailure
    )
}

/// The settings with a group: librdkafka assigns nothing without one. Nothing is committed to it.
pub(crate) fn named(config: &ClientConfig) -> ClientConfig {
    let mut config = config.clone();
    if config.get("group.id").is_none() {
        config.set("group.id", "headwater");
    }
    config
}

/// What the coordinator of a group wants.
pub(crate) enum Change {
    /// These partitions are ours from now on.
    Assign(Vec<Partition>),
    /// These partitions are to be given back.
    Revoke(Vec<Partition>),
}

/// Hears what librdkafka has to say.
#[derive(Default)]
pub(crate) struct Listener {
    pub notes: Notes,
    changes: Mutex<VecDeque<Change>>,
    /// Set when the consumer ends: then partitions are given back at once.
    closing: AtomicBool,
    /// The offsets that the group has taken, by what it answered.
    told: Mutex<BTreeMap<Partition, i64>>,
    /// The ends of partitions, as statistics tell them now and then.
    ends: Mutex<BTreeMap<Partition, End>>,
}

/// Where a partition ends, as far as it may be read.
#[derive(Clone, Copy, Debug)]
enum End {
    /// The offset after its last record.
    At(i64),
    /// All of it was fetched and polled: what lies behind the last message are no messages, but marks at which transactions end.
    Reached,
}

/// How far a source is behind, as it was measured last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lag {
    /// How many messages lie outside and were not handed on, once that is known of all partitions.
    pub messages: Option<u64>,
    /// How old the message is that was read last, of the partition in which that is longest ago.
    pub behind: Behind,
}

impl Lag {
    fn of(standing: &BTreeMap<Partition, Standing>, ends: &BTreeMap<Partition, End>, now: EventTime) -> Self {
        let (mut messages, mut oldest, mut is_dated) = (Some(0), None, true);
        for (partition, standing) in standing {
            let end = match ends.get(partition) {
                None => {
                    (messages, is_dated) = (None, false);
                    continue;
                }
                Some(End::At(end)) => *end,
                Some(End::Reached) => standing.polled,
            };
            let left = u64::try_from(end - standing.pulled).unwrap_or(0);
            if left > 0 {
                messages = messages.map(|messages| messages + left);
                is_dated &= standing.time.is_some();
                oldest = [oldest, standing.time].into_iter().flatten().min();
            }
        }
        let behind = match oldest {
            _ if !is_dated => Behind::Unknown,
            Some(time) => Behind::since(time, now),
            None => Behind::Not,
        };
        Self { messages, behind }
    }
}

impl ClientContext for Listener {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka");
        self.notes.keep(&error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        let mut ends = self.ends.lock();
        for (topic, of_topic) in statistics.topics {
            for (number, partition) in of_topic.partitions {
                let end = if partition.ls_offset >= 0 { partition.ls_offset } else { partition.hi_offset };
                if number >= 0 && end >= 0 {
                    let is_reached = partition.fetchq_cnt == 0 && partition.next_offset >= end;
                    let end = if is_reached { End::Reached } else { End::At(end) };
                    ends.insert(Partition { topic: topic.clone(), number }, end);
                }
            }
        }
    }
}

impl ConsumerContext for Listener {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        error: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let list = partitions.elements();
        let list = list.iter().map(|one| Partition::new(one.topic(), one.partition())).collect();
        let is_assigned = error == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if !self.closing.load(Ordering::SeqCst) {
            let change = if is_assigned { Change::Assign(list) } else { Change::Revoke(list) };
            self.changes.lock().push_back(change);
        } else if let Err(error) = give_back(consumer, partitions) {
            tracing::warn!(%error, "cannot give partitions back while leaving a group");
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::debug!(%error, "offsets were not committed; they are committed again");
            return;
        }
        let mut told = self.told.lock();
        for one in offsets.elements() {
            if let (Ok(()), Offset::Offset(offset)) = (one.error(), one.offset()) {
                told.insert(Partition::new(one.topic(), one.partition()), offset);
            }
        }
    }
}

fn take_up(consumer: &BaseConsumer<Listener>, partitions: &TopicPartitionList) -> KafkaResult<()> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_assign(partitions),
        _ => consumer.assign(partitions),
    }
}

fn give_back(consumer: &BaseConsumer<Listener>, partitions: &TopicPartitionList) -> KafkaResult<()> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_unassign(partitions),
        _ => consumer.unassign(),
    }
}

/// How far a partition was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    /// The offset after the last message that was polled.
    pub polled: i64,
    /// The offset after the last message that was handed on.
    pub pulled: i64,
    /// The offset up to which all is in the log.
    pub durable: i64,
    /// When the last message that was handed on was written, as it says, in milliseconds since the epoch.
    pub time: Option<i64>,
}

impl Standing {
    /// At an offset from which on nothing was read.
    fn at(offset: i64) -> Self {
        Self { polled: offset, pulled: offset, durable: offset, time: None }
    }
}

/// A consumer, and where it stands.
pub(crate) struct Reader {
    consumer: Option<BaseConsumer<Listener>>,
    pub standing: BTreeMap<Partition, Standing>,
    /// Whether there is a group to which offsets are committed.
    has_group: bool,
    /// When it was looked whether the group has taken all offsets, by the monotonic clock.
    told_at: Duration,
    lag: Arc<Mutex<Lag>>,
}

impl Reader {
    /// Makes a consumer; it connects by itself.
    pub fn new(config: &ClientConfig, lag: Arc<Mutex<Lag>>) -> KafkaResult<Self> {
        let has_group = config.get("group.id").is_some();
        let consumer = named(config).create_with_context(Listener::default())?;
        Ok(Self {
            consumer: Some(consumer),
            standing: BTreeMap::new(),
            has_group,
            told_at: Duration::ZERO,
            lag,
        })
    }

    /// The consumer itself.
    pub fn consumer(&self) -> &BaseConsumer<Listener> {
        self.consumer.as_ref().expect("there is one until it is dropped")
    }

    /// What was noted about its connections.
    pub fn notes(&self) -> &Notes {
        &self.consumer().context().notes
    }

    /// Starts to read partitions at these offsets, besides those that are read already.
    pub fn start(&mut self, offsets: &BTreeMap<Partition, i64>) -> KafkaResult<()> {
        let pulled = |(partition, standing): (&Partition, &Standing)| (partition.clone(), standing.pulled);
        let mut all: BTreeMap<_, _> = self.standing.iter().map(pulled).collect();
        all.extend(offsets.clone());
        // Without a group the whole assignment is said each time, with where it stands.
        let is_incremental = matches!(self.consumer().rebalance_protocol(), RebalanceProtocol::Cooperative);
        let list = list_of(if is_incremental { offsets } else { &all })?;
        take_up(self.consumer(), &list)?;
        for (partition, offset) in offsets {
            self.standing.insert(partition.clone(), Standing::at(*offset));
        }
        Ok(())
    }

    /// The next thing that the group's coordinator wants.
    pub fn change(&self) -> Option<Change> {
        self.consumer().context().changes.lock().pop_front()
    }

    /// Whether the coordinator wants something.
    pub fn has_changes(&self) -> bool {
        !self.consumer().context().changes.lock().is_empty()
    }

    /// Puts a change back that has to wait.
    pub fn wait_with(&self, change: Change) {
        self.consumer().context().changes.lock().push_front(change);
    }

    /// Whether all that was pulled of these partitions is in the log.
    pub fn is_settled(&self, partitions: &[Partition]) -> bool {
        let standings = partitions.iter().filter_map(|partition| self.standing.get(partition));
        standings.into_iter().all(|standing| standing.durable >= standing.pulled)
    }

    /// Gives partitions back, after what is in the log was committed to the group.
    pub fn stop(&mut self, partitions: &[Partition]) -> KafkaResult<()> {
        if !self.consumer().assignment_lost() {
            self.commit_surely(partitions)?;
        }
        let list = list(partitions, Offset::Invalid)?;
        give_back(self.consumer(), &list)?;
        self.standing.retain(|partition, _| !partitions.contains(partition));
        Ok(())
    }

    /// The next message, or what went wrong.
    pub fn poll(&self, wait: Duration) -> Option<KafkaResult<BorrowedMessage<'_>>> {
        self.consumer().poll(wait)
    }

    /// Notes that everything before these offsets is in the log, and tells the group.
    pub fn durable(&mut self, offsets: &[(Partition, i64)]) -> KafkaResult<()> {
        for (partition, offset) in offsets {
            if let Some(standing) = self.standing.get_mut(partition) {
                standing.durable = *offset;
            }
        }
        self.commit(offsets.iter().map(|(partition, _)| partition), CommitMode::Async)
    }

    /// Tells the group again what it has not said that it took: it was busy with itself, or had given us up, and perhaps nothing follows
    /// that would tell it.
    pub fn commit_again(&mut self, now: Duration) -> KafkaResult<()> {
        if now < self.told_at + COMMIT_AGAIN {
            return Ok(());
        }
        self.told_at = now;
        let told = self.consumer().context().told.lock().clone();
        let untold = self
            .standing
            .iter()
            .filter(|(partition, standing)| told.get(*partition) != Some(&standing.durable));
        self.commit(untold.map(|(partition, _)| partition), CommitMode::Async)
    }

    fn commit<'a>(
        &self,
        partitions: impl Iterator<Item = &'a Partition>,
        mode: CommitMode,
    ) -> KafkaResult<()> {
        let standings = partitions.filter_map(|one| Some((one.clone(), self.standing.get(one)?.durable)));
        let offsets: BTreeMap<_, _> = standings.collect();
        if !self.has_group || offsets.is_empty() {
            return Ok(());
        }
        self.consumer().commit(&list_of(&offsets)?, mode)
    }

    /// Commits what is in the log of these partitions, and tries again while the group is busy with itself: whoever gets them next goes
    /// on where the group says.
    fn commit_surely(&self, partitions: &[Partition]) -> KafkaResult<()> {
        let mut tries = 0;
        loop {
            let done = self.commit(partitions.iter(), CommitMode::Sync);
            let passes = done.as_ref().err().and_then(KafkaError::rdkafka_error_code).is_some_and(is_busy);
            if !passes || tries >= COMMIT_TRIES || self.consumer().assignment_lost() {
                return done;
            }
            tries += 1;
            tokio::runtime::Handle::current().block_on(tokio::time::sleep(COMMIT_PAUSE));
        }
    }

    /// Computes how far behind this is, as far as statistics have told.
    pub fn measure_lag(&self, now: EventTime) {
        *self.lag.lock() = Lag::of(&self.standing, &self.consumer().context().ends.lock(), now);
    }

    /// Commits what is in the log and leaves the group.
    pub fn close(&mut self) -> KafkaResult<()> {
        let partitions: Vec<_> = self.standing.keys().cloned().collect();
        let committed = self.commit_surely(&partitions);
        self.end();
        committed
    }

    fn end(&mut self) {
        if let Some(consumer) = self.consumer.take() {
            let context = consumer.context();
            context.closing.store(true, Ordering::SeqCst);
            // What the coordinator wanted and nobody has done would keep the consumer from leaving.
            let changes: Vec<_> = context.changes.lock().drain(..).collect();
            for change in changes {
                let (Change::Assign(partitions) | Change::Revoke(partitions)) = &change;
                let done = list(partitions, Offset::Invalid).and_then(|list| match change {
                    Change::Assign(_) => take_up(&consumer, &list),
                    Change::Revoke(_) => give_back(&consumer, &list),
                });
                if let Err(error) = done {
                    tracing::debug!(%error, "a change of the group was not done while leaving it");
                }
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: EventTime = EventTime(1_000_000_000_000);

    /// The lag of partitions, each with where it stands, where it ends, and when its last message was written.
    fn lag(partitions: &[(i64, Option<End>, Option<i64>)]) -> (Option<u64>, Option<u64>) {
        let (mut standing, mut ends) = (BTreeMap::new(), BTreeMap::new());
        for (number, (pulled, end, time)) in (0..).zip(partitions) {
            let partition = Partition::new("t", number);
            let at = Standing { pulled: *pulled, time: *time, ..Standing::at(12) };
            ends.extend(end.map(|end| (partition.clone(), end)));
            standing.insert(partition, at);
        }
        let lag = Lag::of(&standing, &ends, NOW);
        // A clock goes on meanwhile.
        (lag.messages, lag.behind.millis().map(|millis| millis / 100 * 100))
    }

    #[test]
    fn the_lag_is_what_is_not_handed_on_and_as_old_as_what_was_read_last() {
        let at = |end| Some(End::At(end));
        assert_eq!(lag(&[]), (Some(0), Some(0)));
        assert_eq!(lag(&[(12, at(12), Some(5))]), (Some(0), Some(0)));
        assert_eq!(
            lag(&[(12, at(20), Some(900_000)), (12, at(13), Some(400_000))]),
            (Some(9), Some(600_000))
        );
        assert_eq!(
            lag(&[(12, at(20), Some(900_000)), (12, at(12), Some(400_000))]),
            (Some(8), Some(100_000))
        );
        assert_eq!(
            lag(&[(12, at(20), None), (12, at(13), Some(400_000))]),
            (Some(9), None),
            "when it is not said"
        );
        assert_eq!(
            lag(&[(12, None, Some(5)), (12, at(13), Some(400_000))]),
            (None, None),
            "before it is known"
        );
        assert_eq!(lag(&[(12, at(20), Some(2_000_000))]), (Some(8), Some(0)), "a clock that is ahead");
    }

    #[test]
    fn marks_of_transactions_are_nothing_that_waits() {
        assert_eq!(lag(&[(12, Some(End::Reached), Some(400_000))]), (Some(0), Some(0)));
        assert_eq!(
            lag(&[(10, Some(End::Reached), Some(400_000))]),
            (Some(2), Some(600_000)),
            "polled, not handed on"
        );
    }
}
