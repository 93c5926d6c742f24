//! Reads topics.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use headwater_connectors::{ConnectorError, Context, Mark, Pulled, Result, Source};
use headwater_ingest::{Decoded, MessageDecoder, Messages, Payload, Schemas};
use parking_lot::Mutex;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};

use crate::about::{AboutBuilder, AboutColumns};
use crate::cluster::{Cluster, PATIENCE};
use crate::consumer::{Change, Reader};
use crate::offsets::{Partition, Place};
use crate::registry::Registry;

/// How long a pull waits for a message.
const WAIT: Duration = Duration::from_millis(500);

/// After how long a pull looks whether it is still wanted.
const LOOK_UP: Duration = Duration::from_millis(50);

/// How many messages one poll takes at most, and of how many bytes.
const MESSAGES_MAX: usize = 16_384;
const BYTES_MAX: usize = 16 << 20;

/// Which topics are read.
#[derive(Clone)]
pub(crate) enum Topics {
    Named(Vec<String>),
    Like(String),
}

/// What a source is to do.
#[derive(Clone)]
pub(crate) struct SourceSettings {
    pub cluster: Cluster,
    pub topics: Topics,
    pub start: Place,
    pub end: Option<Place>,
    /// Whether the members of a group share the partitions.
    pub in_group: bool,
    /// How often new partitions are looked for.
    pub discovery: Option<Duration>,
    pub about: AboutColumns,
    pub registry: Option<Registry>,
    /// What is known of the registry's schemas; the decoder looks them up here.
    pub schemas: Schemas,
}

/// Reads topics.
pub(crate) struct KafkaSource {
    context: Context,
    settings: SourceSettings,
    decoder: Option<MessageDecoder>,
    work: Option<Arc<Mutex<Work>>>,
    /// Tells a poll under way that nobody waits for it.
    stop: Arc<AtomicBool>,
    lag: Arc<AtomicU64>,
}

/// What is touched where waiting is allowed.
struct Work {
    settings: SourceSettings,
    context: Context,
    decoder: MessageDecoder,
    reader: Reader,
    marks: BTreeMap<Partition, i64>,
    /// Where the partitions end that are not yet at their end, if the input is bounded.
    ends: Option<BTreeMap<Partition, i64>>,
    /// What was polled and not yet handed on.
    ready: VecDeque<(Partition, Batch)>,
    /// Partitions that have begun and whose beginning is not yet in the log.
    begun: Vec<(Partition, i64)>,
    looked_at: headwater_core::EventTime,
    stop: Arc<AtomicBool>,
    runtime: tokio::runtime::Handle,
}

/// Messages of one partition.
struct Batch {
    bytes: BytesMut,
    /// For each message where its value and its key end in `bytes`, if it has them.
    ends: Vec<(Option<usize>, Option<usize>)>,
    numbers: Vec<u64>,
    about: AboutBuilder,
    next: i64,
}

impl KafkaSource {
    pub fn new(context: Context, settings: SourceSettings, decoder: MessageDecoder) -> Self {
        let (stop, lag) = (Arc::default(), Arc::default());
        Self { context, settings, decoder: Some(decoder), work: None, stop, lag }
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Work) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let shared = self
            .work
            .clone()
            .ok_or_else(|| self.settings.cluster.outage("read", "the source is not open"))?;
        blocking(move || work(&mut shared.lock())).await
    }
}

/// Runs what waits on a thread where that is allowed.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let gone = |error| ConnectorError::outage("work in the background", error);
    tokio::task::spawn_blocking(work).await.map_err(gone)?
}

#[async_trait]
impl Source for KafkaSource {
    async fn open(&mut self, marks: BTreeMap<String, String>) -> Result<()> {
        let mut places = BTreeMap::new();
        for (partition, offset) in &marks {
            let refused =
                |reason: String| ConnectorError::refused("resume from the stored positions", reason);
            let offset = offset.parse().map_err(|_| refused(format!("{offset:?} is not an offset")))?;
            places.insert(partition.parse::<Partition>().map_err(refused)?, offset);
        }
        let reopened = || self.settings.cluster.outage("open", "the source was open before");
        let decoder = self.decoder.take().ok_or_else(reopened)?;
        let (settings, context) = (self.settings.clone(), self.context.clone());
        let (stop, lag) = (Arc::clone(&self.stop), Arc::clone(&self.lag));
        let work = blocking(move || Work::open(settings, context, decoder, places, stop, lag)).await?;
        self.work = Some(Arc::new(Mutex::new(work)));
        Ok(())
    }

    async fn pull(&mut self) -> Result<Pulled> {
        self.work(Work::pull).await
    }

    async fn committed(&mut self, marks: &[Mark]) -> Result<()> {
        let read = |mark: &Mark| Some((mark.partition.parse().ok()?, mark.position.parse().ok()?));
        let offsets: Vec<(Partition, i64)> = marks.iter().filter_map(read).collect();
        self.work(move |work| {
            let told = work.reader.durable(&offsets);
            told.map_err(|error| work.failed("commit offsets", &error))
        })
        .await
    }

    fn is_bounded(&self) -> bool {
        self.settings.end.is_some()
    }

    fn lag(&self) -> Option<u64> {
        Some(self.lag.load(Ordering::Relaxed))
    }

    async fn close(&mut self) -> Result<()> {
        self.stop.store(true, Ordering::SeqCst);
        let closed = self.work(|work| {
            let closed = work.reader.close();
            closed.or_else(|error| {
                // What the group does not know, the log does.
                tracing::debug!(%error, "offsets were not committed while closing");
                Ok(())
            })
        });
        if self.work.is_some() { closed.await } else { Ok(()) }
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

impl Work {
    fn open(
        settings: SourceSettings,
        context: Context,
        decoder: MessageDecoder,
        marks: BTreeMap<Partition, i64>,
        stop: Arc<AtomicBool>,
        lag: Arc<AtomicU64>,
    ) -> Result<Self> {
        let mut own = vec![
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            // Offsets are known to be there when reading begins; if they are gone later, that is to be told.
            ("auto.offset.reset", "error"),
            ("statistics.interval.ms", "1000"),
        ];
        if settings.end.is_some() {
            own.push(("enable.partition.eof", "true"));
        }
        let config = settings.cluster.config(&own);
        let reader = Reader::new(&config, lag)
            .map_err(|error| settings.cluster.failed("connect", &error, &Default::default()))?;
        let looked_at = context.world.clock.now();
        let mut work = Self {
            settings,
            context,
            decoder,
            reader,
            marks,
            ends: None,
            ready: VecDeque::new(),
            begun: Vec::new(),
            looked_at,
            stop,
            runtime: tokio::runtime::Handle::current(),
        };
        if work.settings.in_group {
            work.join()?;
        } else {
            let partitions = work.partitions()?;
            work.bound(&partitions)?;
            work.begin(&partitions)?;
        }
        Ok(work)
    }

    fn failed(&self, what: &str, error: &KafkaError) -> ConnectorError {
        self.settings.cluster.failed(what, error, self.reader.notes())
    }

    /// Joins the group, which then says which partitions are ours.
    fn join(&mut self) -> Result<()> {
        let subscribed = match &self.settings.topics {
            Topics::Named(names) => {
                self.reader.consumer().subscribe(&names.iter().map(String::as_str).collect::<Vec<_>>())
            }
            Topics::Like(pattern) => self.reader.consumer().subscribe(&[&format!("^{pattern}$")]),
        };
        subscribed.map_err(|error| self.failed("join the group", &error))
    }

    /// The partitions that there are.
    fn partitions(&self) -> Result<Vec<Partition>> {
        let mut partitions = Vec::new();
        let consumer = self.reader.consumer();
        let metadata = |topic: Option<&str>| {
            let what = format!(
                "look up {}",
                topic.map_or_else(|| "topics".to_owned(), |topic| format!("topic {topic}"))
            );
            let found = consumer.fetch_metadata(topic, PATIENCE);
            let found = found.map_err(|error| {
                // Why there is no connection is told by events that nobody has taken yet.
                while consumer.poll(Duration::ZERO).is_some() {}
                self.failed(&what, &error)
            });
            found.map(|found| (what, found))
        };
        let mut add = |topic: &rdkafka::metadata::MetadataTopic| {
            let numbers = topic.partitions().iter().map(|partition| partition.id());
            partitions.extend(numbers.map(|number| Partition::new(topic.name(), number)));
        };
        match &self.settings.topics {
            Topics::Named(names) => {
                for name in names {
                    let (what, found) = metadata(Some(name))?;
                    for topic in found.topics() {
                        if let Some(error) = topic.error() {
                            return Err(self.failed(&what, &KafkaError::MetadataFetch(error.into())));
                        }
                        add(topic);
                    }
                }
            }
            Topics::Like(pattern) => {
                let like = regex::Regex::new(&format!("^(?:{pattern})$"))
                    .map_err(|error| self.settings.cluster.refused("look up topics", error))?;
                let (_, found) = metadata(None)?;
                found.topics().iter().filter(|topic| like.is_match(topic.name())).for_each(&mut add);
            }
        }
        Ok(partitions)
    }

    /// Finds out where partitions end.
    fn bound(&mut self, partitions: &[Partition]) -> Result<()> {
        let Some(end) = &self.settings.end else { return Ok(()) };
        let ends = end.resolve(self.reader.consumer(), partitions);
        self.ends = Some(ends.map_err(|error| self.failed("find the end", &error))?);
        Ok(())
    }

    /// Begins to read partitions: at their marks, or where the options say.
    fn begin(&mut self, partitions: &[Partition]) -> Result<()> {
        let is_first = self.marks.is_empty();
        let (known, fresh): (Vec<_>, Vec<_>) =
            partitions.iter().cloned().partition(|partition| self.marks.contains_key(partition));
        let consumer = self.reader.consumer();
        // Partitions that come later are read from their first message: all of it was written after the start.
        let place = if is_first || self.settings.in_group { &self.settings.start } else { &Place::Earliest };
        let found = place.resolve(consumer, &fresh);
        let mut offsets = found.map_err(|error| self.failed("find the beginning", &error))?;
        let rest: Vec<_> = fresh.iter().filter(|one| !offsets.contains_key(*one)).cloned().collect();
        let found = self.otherwise(&rest)?.resolve(consumer, &rest);
        offsets.append(&mut found.map_err(|error| self.failed("find the beginning", &error))?);
        for partition in known {
            let offset = self.check(&partition, self.marks[&partition])?;
            offsets.insert(partition, offset);
        }
        if self.settings.in_group {
            self.follow_group(&mut offsets)?;
        }
        if let Some(ends) = &mut self.ends {
            ends.retain(|partition, end| offsets.get(partition).is_some_and(|begin| begin < end));
            offsets.retain(|partition, _| ends.contains_key(partition));
        }
        let begun = offsets.iter().filter(|(partition, offset)| self.marks.get(*partition) != Some(*offset));
        self.begun.extend(begun.map(|(partition, offset)| (partition.clone(), *offset)));
        self.marks.extend(offsets.clone());
        let started = self.reader.start(&offsets);
        started.map_err(|error| self.failed("start to read", &error))
    }

    /// Where partitions begin of which the options say nothing.
    fn otherwise(&self, partitions: &[Partition]) -> Result<Place> {
        match self.settings.cluster.get("auto.offset.reset") {
            Some("latest" | "largest" | "end") => Ok(Place::Latest),
            Some("earliest" | "smallest" | "beginning") => Ok(Place::Earliest),
            _ if self.settings.start != Place::Group || partitions.is_empty() || self.settings.in_group => {
                Ok(Place::Earliest)
            }
            _ => Err(self.settings.cluster.refused(
                &format!("find the beginning of {}", partitions[0]),
                "the group has committed no offset there; set properties.auto.offset.reset to earliest or latest",
            )),
        }
    }

    /// Where to go on in a partition whose mark is an offset. If that is no longer there, the user decides.
    fn check(&self, partition: &Partition, offset: i64) -> Result<i64> {
        let watermarks =
            self.reader.consumer().fetch_watermarks(&partition.topic, partition.number, PATIENCE);
        let (low, high) = watermarks.map_err(|error| self.failed(&format!("look up {partition}"), &error))?;
        if (low..=high).contains(&offset) {
            return Ok(offset);
        }
        match self.settings.cluster.get("auto.offset.reset") {
            Some("latest" | "largest" | "end") => Ok(high),
            Some("earliest" | "smallest" | "beginning") => Ok(low),
            _ => Err(self.settings.cluster.refused(
                &format!("go on in {partition}"),
                format!(
                    "the next message to read is {offset}, Kafka has {low} to {high}; set \
                     properties.auto.offset.reset to earliest or latest to go on with what is there"
                ),
            )),
        }
    }

    /// In a group the offsets of the group count where another member has got further than we have.
    fn follow_group(&self, offsets: &mut BTreeMap<Partition, i64>) -> Result<()> {
        let partitions: Vec<_> = offsets.keys().cloned().collect();
        let committed = Place::Group.resolve(self.reader.consumer(), &partitions);
        for (partition, committed) in committed.map_err(|error| self.failed("look up the group", &error))? {
            let own = self.marks.get(&partition).copied();
            offsets.insert(partition, own.map_or(committed, |own| own.max(committed)));
        }
        Ok(())
    }

    /// The next records.
    fn pull(&mut self) -> Result<Pulled> {
        if let Some((partition, batch)) = self.ready.pop_front() {
            return self.hand_on(&partition, batch);
        }
        if !self.begun.is_empty() {
            let marks = self.begun.drain(..).map(|(partition, offset)| mark(&partition, offset)).collect();
            let nothing = Decoded::empty(&self.context.schema);
            return Ok(Pulled::Records { payload: Payload::Decoded(nothing), marks });
        }
        while let Some(change) = self.reader.change() {
            match change {
                Change::Assign(partitions) => self.begin(&partitions)?,
                Change::Revoke(partitions) if self.reader.is_settled(&partitions) => {
                    let stopped = self.reader.stop(&partitions);
                    stopped.map_err(|error| self.failed("give partitions back", &error))?;
                }
                // What is on its way to the log must get there first.
                Change::Revoke(partitions) => {
                    self.reader.wait_with(Change::Revoke(partitions));
                    return Ok(Pulled::Nothing);
                }
            }
        }
        self.discover()?;
        self.poll()?;
        self.reader.measure_lag();
        match self.ready.pop_front() {
            Some((partition, batch)) => self.hand_on(&partition, batch),
            None if self.ends.as_ref().is_some_and(BTreeMap::is_empty) => Ok(Pulled::End),
            None => Ok(Pulled::Nothing),
        }
    }

    /// Looks for new partitions, if it is time.
    fn discover(&mut self) -> Result<()> {
        let Some(every) = self.settings.discovery else { return Ok(()) };
        let now = self.context.world.clock.now();
        if self.settings.in_group || self.ends.is_some() || now < self.looked_at.plus(every) {
            return Ok(());
        }
        self.looked_at = now;
        let mut partitions = self.partitions()?;
        partitions.retain(|partition| !self.reader.standing.contains_key(partition));
        if partitions.is_empty() { Ok(()) } else { self.begin(&partitions) }
    }

    /// Takes what the consumer has, and waits for it if there is nothing.
    fn poll(&mut self) -> Result<()> {
        let mut batches: Vec<(Partition, Batch)> = Vec::new();
        let (mut messages, mut bytes, mut waited) = (0, 0, Duration::ZERO);
        while messages < MESSAGES_MAX && bytes < BYTES_MAX && !self.reader.has_changes() {
            if self.ends.as_ref().is_some_and(BTreeMap::is_empty) {
                break;
            }
            let wait = if messages == 0 { LOOK_UP } else { Duration::ZERO };
            match self.reader.poll(wait) {
                None if messages > 0 || waited >= WAIT || self.stop.load(Ordering::SeqCst) => break,
                None => waited += LOOK_UP,
                Some(Ok(message)) => {
                    let wants_keys = self.decoder.wants_keys();
                    if let Some(size) =
                        take(&message, &mut batches, self.ends.as_mut(), &self.settings.about, wants_keys)
                    {
                        messages += 1;
                        bytes += size;
                    }
                }
                Some(Err(KafkaError::PartitionEOF(number))) => {
                    // A bounded input has one topic, so that the number tells the partition.
                    if let Some(ends) = &mut self.ends {
                        ends.retain(|partition, _| partition.number != number);
                    }
                }
                Some(Err(error)) if passes(&error) => {}
                Some(Err(error)) => return Err(self.failed("read", &error)),
            }
        }
        self.ready.extend(batches);
        Ok(())
    }

    /// Fetches the schemas that messages name and that are not known yet.
    fn fetch_schemas(&self, messages: &Messages) -> Result<()> {
        let Some(registry) = &self.settings.registry else { return Ok(()) };
        let parts = messages.values.iter().chain(&messages.keys).flatten();
        let missing = self.settings.schemas.missing(parts.map(Bytes::as_ref));
        if missing.is_empty() {
            return Ok(());
        }
        self.runtime.block_on(registry.fetch(missing, &self.settings.schemas))
    }

    /// Decodes a batch.
    fn hand_on(&mut self, partition: &Partition, batch: Batch) -> Result<Pulled> {
        let next = batch.next;
        let messages = batch.finish()?;
        self.fetch_schemas(&messages)?;
        let mut decoded = self.decoder.decode(&messages)?;
        for bad in &mut decoded.bad {
            bad.reason = format!("{} ({partition}, offset {})", bad.reason, bad.record).into();
        }
        if let Some(standing) = self.reader.standing.get_mut(partition) {
            standing.pulled = next;
        }
        self.marks.insert(partition.clone(), next);
        Ok(Pulled::Records { payload: Payload::Decoded(decoded), marks: vec![mark(partition, next)] })
    }
}

fn mark(partition: &Partition, offset: i64) -> Mark {
    Mark { partition: partition.to_string(), position: offset.to_string() }
}

/// Whether librdkafka gets over an error by itself.
fn passes(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::RequestTimedOut
                | RDKafkaErrorCode::NotCoordinator
                | RDKafkaErrorCode::CoordinatorNotAvailable
                | RDKafkaErrorCode::CoordinatorLoadInProgress
        )
    )
}

/// Adds a message to the batch of its partition, and answers its size; `None` if it lies behind the end.
fn take(
    message: &BorrowedMessage<'_>,
    batches: &mut Vec<(Partition, Batch)>,
    ends: Option<&mut BTreeMap<Partition, i64>>,
    about: &AboutColumns,
    wants_keys: bool,
) -> Option<usize> {
    let is_of =
        |partition: &Partition| partition.number == message.partition() && partition.topic == message.topic();
    let next = message.offset() + 1;
    if let Some(ends) = ends {
        let partition = Partition::new(message.topic(), message.partition());
        let end = *ends.get(&partition)?;
        if next >= end {
            ends.remove(&partition);
        }
        if next > end {
            return None;
        }
    }
    // Messages come in runs of one partition.
    let at = batches.iter().rposition(|(partition, _)| is_of(partition)).unwrap_or_else(|| {
        batches.push((Partition::new(message.topic(), message.partition()), Batch::new(about.builder())));
        batches.len() - 1
    });
    let batch = &mut batches[at].1;
    let before = batch.bytes.len();
    let mut push = |part: Option<&[u8]>| {
        part.map(|part| {
            batch.bytes.extend_from_slice(part);
            batch.bytes.len()
        })
    };
    let ends = (push(message.payload()), if wants_keys { push(message.key()) } else { None });
    batch.ends.push(ends);
    batch.numbers.push(u64::try_from(message.offset()).unwrap_or_default());
    batch.about.push(message);
    batch.next = next;
    Some(batch.bytes.len() - before)
}

impl Batch {
    fn new(about: AboutBuilder) -> Self {
        Self { bytes: BytesMut::new(), ends: Vec::new(), numbers: Vec::new(), about, next: 0 }
    }

    fn finish(self) -> Result<Messages> {
        let bytes: Bytes = self.bytes.freeze();
        let mut start = 0;
        let mut cut =
            |end: Option<usize>| end.map(|end| bytes.slice(std::mem::replace(&mut start, end)..end));
        let (mut values, mut keys) = (Vec::with_capacity(self.ends.len()), Vec::new());
        for (value, key) in self.ends {
            values.push(cut(value));
            keys.push(cut(key));
        }
        Ok(Messages { values, keys, numbers: self.numbers, about: self.about.finish()? })
    }
}
