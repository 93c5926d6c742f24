//! Reads a stream: a task for each shard, whose batches come together here one by one.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::{Record, Shard};
use bytes::Bytes;
use headwater_connectors::{Behind, ConnectorError, Mark, Pulled, Result, Source};
use headwater_core::World;
use headwater_ingest::Payload;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::aggregate::take_apart;
use super::config::{Initial, Reader, SourceOptions};
use super::fanout::{Subscriber, consumer};
use super::polling::Poller;
use super::position::Position;
use super::shards::{Shards, Start};
use super::stream::StreamRef;
use crate::access::Access;
use crate::message::{About, AboutField, MessageReader, millis, number, text};

/// What is said of a record, in the order of [`Rec::about`].
pub(super) const FIELDS: &[AboutField] = &[
    AboutField { name: "partition-key", kind: text, is_always: true },
    AboutField { name: "explicit-hash-key", kind: text, is_always: false },
    AboutField { name: "shard-id", kind: text, is_always: true },
    AboutField { name: "sequence-number", kind: text, is_always: true },
    AboutField { name: "sub-sequence-number", kind: number, is_always: false },
    AboutField { name: "timestamp", kind: millis, is_always: false },
];

/// How long a pull waits for records.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many batches wait to be pulled.
const BATCHES_WAITING: usize = 4;

/// Reads a stream.
pub(super) struct Reading {
    world: World,
    access: Access,
    stream: StreamRef,
    options: SourceOptions,
    messages: MessageReader,
    open: Option<Open>,
}

/// What there is while the source is open.
struct Open {
    client: Client,
    /// The consumer's ARN, for fan-out.
    consumer: Option<String>,
    shards: Shards,
    /// When it was opened, in milliseconds since the epoch.
    since: i64,
    /// Whether shards that are not known yet begin with their oldest record, as `LATEST` was for those of the first day.
    is_resumed: bool,
    tasks: JoinSet<()>,
    to: mpsc::Sender<Result<Batch>>,
    from: mpsc::Receiver<Result<Batch>>,
    /// Batches that came while the source was being opened.
    early: VecDeque<Batch>,
    /// Marks to be stored before any record comes.
    first_marks: Vec<Mark>,
    discover_at: Instant,
    /// Milliseconds behind the newest record, of each shard that is being read.
    behind: BTreeMap<String, i64>,
}

/// Records of one shard.
pub(super) struct Batch {
    pub shard: String,
    pub records: Vec<Rec>,
    /// Where to go on.
    pub next: Position,
    /// How far behind the newest record this is, in milliseconds.
    pub behind: i64,
}

/// A record as its sender meant it: not aggregated.
pub(super) struct Rec {
    data: Bytes,
    partition_key: String,
    explicit_hash_key: Option<String>,
    sequence: String,
    sub_sequence: Option<i64>,
    arrived: Option<i64>,
}

/// Records as they come from the service, taken apart, and the last one's sequence number.
pub(super) fn records_of(records: Vec<Record>, range: Option<(u128, u128)>) -> (Vec<Rec>, Option<String>) {
    let last = records.last().map(|record| record.sequence_number.clone());
    let mut all = Vec::with_capacity(records.len());
    for record in records {
        let arrived = record.approximate_arrival_timestamp.and_then(|time| time.to_millis().ok());
        let sequence = record.sequence_number;
        let data = Bytes::from(record.data.into_inner());
        match take_apart(&data, range) {
            Some(users) => all.extend(users.into_iter().map(|user| Rec {
                data: user.data,
                partition_key: user.partition_key,
                explicit_hash_key: user.explicit_hash_key,
                sequence: sequence.clone(),
                sub_sequence: Some(user.sub_sequence),
                arrived,
            })),
            None => all.push(Rec {
                data,
                partition_key: record.partition_key,
                explicit_hash_key: None,
                sequence,
                sub_sequence: None,
                arrived,
            }),
        }
    }
    (all, last)
}

impl Rec {
    /// What [`FIELDS`] say.
    fn about(&self, shard: &str, field: usize) -> About {
        match field {
            0 => About::Text(Some(self.partition_key.clone())),
            1 => About::Text(self.explicit_hash_key.clone()),
            2 => About::Text(Some(shard.to_owned())),
            3 => About::Text(Some(self.sequence.clone())),
            4 => About::Number(self.sub_sequence),
            _ => About::Millis(self.arrived),
        }
    }
}

impl Reading {
    pub(super) fn new(
        world: World,
        access: Access,
        stream: StreamRef,
        options: SourceOptions,
        messages: MessageReader,
    ) -> Self {
        Self { world, access, stream, options, messages, open: None }
    }

    /// Where a shard begins that was not known before.
    fn initial(&self, shard: &Shard, is_resumed: bool) -> Position {
        match &self.options.initial {
            Initial::TrimHorizon => Position::TrimHorizon,
            Initial::AtTimestamp(millis) => Position::AtTimestamp(*millis),
            Initial::Latest if is_resumed => Position::TrimHorizon,
            Initial::Latest if is_closed(shard) => Position::End,
            Initial::Latest => Position::Latest,
            Initial::Sequences(sequences) => {
                sequences.get(&shard.shard_id).cloned().unwrap_or(Position::TrimHorizon)
            }
        }
    }

    /// Looks for new shards, and begins those whose turn it is.
    async fn discover(&mut self) -> Result<Vec<Start>> {
        let Some(mut open) = self.open.take() else { return Err(self.closed()) };
        let listed = self.stream.shards(&open.client).await?;
        let is_resumed = open.is_resumed;
        for lost in open.shards.listed(&listed, |shard| self.initial(shard, is_resumed)) {
            tracing::warn!(
                stream = self.stream.shown(),
                shard = lost,
                "retention removed records before they were read"
            );
        }
        open.discover_at = Instant::now() + self.options.discovery;
        let starts = open.shards.ready();
        for start in &starts {
            self.begin(&mut open, start);
        }
        while open.tasks.try_join_next().is_some() {}
        self.open = Some(open);
        Ok(starts)
    }

    /// Begins to read a shard.
    fn begin(&self, open: &mut Open, start: &Start) {
        let (client, stream, to) = (open.client.clone(), self.stream.clone(), open.to.clone());
        let (shard, range, position) = (start.shard.clone(), start.range, start.position.clone());
        match &open.consumer {
            Some(consumer) => {
                let subscriber = Subscriber { client, stream, consumer: consumer.clone(), shard, range };
                open.tasks.spawn(subscriber.run(position, to));
            }
            None => {
                let (interval, records_max) = (self.options.interval, self.options.records_max);
                let since = open.since;
                let poller = Poller { client, stream, shard, range, interval, records_max, since };
                open.tasks.spawn(poller.run(position, to));
            }
        }
    }

    /// Begins at what is newest: waits until each shard is being read, so that from here on nothing is missed, and sees to it that
    /// the moment is stored.
    async fn begin_at_latest(&mut self, starts: &[Start]) -> Result<()> {
        let closed = self.closed();
        let Some(open) = &mut self.open else { return Err(closed) };
        while open.behind.len() < starts.len() {
            let Some(batch) = open.from.recv().await else { return Err(closed) };
            let batch = batch?;
            open.behind.insert(batch.shard.clone(), batch.behind);
            open.early.push_back(batch);
        }
        open.first_marks = open.shards.marks_of_latest(open.since);
        open.is_resumed = true;
        Ok(())
    }

    fn closed(&self) -> ConnectorError {
        ConnectorError::outage(self.stream.shown(), "the source is not open")
    }

    /// What a batch is to the supervisor.
    async fn take(&mut self, batch: Batch) -> Result<Pulled> {
        let closed = self.closed();
        let Some(open) = &mut self.open else { return Err(closed) };
        let is_end = batch.next == Position::End;
        if is_end {
            open.behind.remove(&batch.shard);
            // Its children may begin.
            open.discover_at = Instant::now();
        } else {
            open.behind.insert(batch.shard.clone(), batch.behind);
        }
        let position = batch.next.write();
        open.shards.moved(&batch.shard, batch.next);
        let Some(position) = position.filter(|_| is_end || !batch.records.is_empty()) else {
            return Ok(Pulled::Nothing);
        };
        let (shard, records) = (batch.shard, batch.records);
        let bodies: Vec<Bytes> = records.iter().map(|record| record.data.clone()).collect();
        let about = |message: usize, field| records[message].about(&shard, field);
        let place = |message: usize| format!("{shard}, sequence number {}", records[message].sequence);
        let decoded = self.messages.read(&bodies, about, place).await?;
        let marks = vec![Mark { partition: shard, position }];
        Ok(Pulled::Records { payload: Payload::Decoded(decoded), marks })
    }
}

fn is_closed(shard: &Shard) -> bool {
    shard.sequence_number_range.as_ref().is_some_and(|range| range.ending_sequence_number.is_some())
}

#[async_trait]
impl Source for Reading {
    async fn open(&mut self, marks: BTreeMap<String, String>) -> Result<()> {
        let since = self.world.clock.now().0 / 1_000_000;
        let client = Client::new(&self.access.config().await?);
        let consumer = match &self.options.reader {
            Reader::Polling => None,
            Reader::FanOut { consumer: name, register } => {
                Some(consumer(&client, &self.stream, name, *register).await?)
            }
        };
        let (to, from) = mpsc::channel(BATCHES_WAITING);
        self.open = Some(Open {
            client,
            consumer,
            shards: Shards::stored(&marks),
            since,
            is_resumed: !marks.is_empty(),
            tasks: JoinSet::new(),
            to,
            from,
            early: VecDeque::new(),
            first_marks: Vec::new(),
            discover_at: Instant::now(),
            behind: BTreeMap::new(),
        });
        let starts = self.discover().await?;
        if marks.is_empty() && matches!(self.options.initial, Initial::Latest) {
            self.begin_at_latest(&starts).await?;
        }
        Ok(())
    }

    async fn pull(&mut self) -> Result<Pulled> {
        let closed = self.closed();
        let Some(open) = &mut self.open else { return Err(closed) };
        if !open.first_marks.is_empty() {
            let marks = std::mem::take(&mut open.first_marks);
            let nothing = self.messages.read(&[], |_, _| About::Text(None), |_| String::new()).await?;
            return Ok(Pulled::Records { payload: Payload::Decoded(nothing), marks });
        }
        if Instant::now() >= open.discover_at {
            self.discover().await?;
        }
        let Some(open) = &mut self.open else { return Err(closed) };
        let batch = match open.early.pop_front() {
            Some(batch) => batch,
            None => match timeout(PATIENCE, open.from.recv()).await {
                Err(_) => return Ok(Pulled::Nothing),
                Ok(None) => return Err(closed),
                Ok(Some(batch)) => batch?,
            },
        };
        self.take(batch).await
    }

    /// The service tells how far behind a reader is in time, not in records.
    fn lag(&self) -> Option<u64> {
        let open = self.open.as_ref()?;
        let is_there =
            open.behind.len() == open.shards.at_work() && open.behind.values().all(|behind| *behind == 0);
        (is_there && open.from.is_empty()).then_some(0)
    }

    /// As far as the shard is that is furthest behind, at the moment of its last answer.
    fn behind(&self) -> Behind {
        let Some(open) = &self.open else { return Behind::Unknown };
        let furthest = open.behind.values().max().filter(|_| open.behind.len() == open.shards.at_work());
        furthest.map_or(Behind::Unknown, |millis| Behind::by(u64::try_from(*millis).unwrap_or_default()))
    }

    async fn close(&mut self) -> Result<()> {
        self.open = None;
        Ok(())
    }
}
