//! Polls for a source, where waiting is allowed: begins partitions, decodes, and lets partitions change hands.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use headwater_connectors::{ConnectorError, Context, Mark, Pulled, Result};
use headwater_ingest::{Decoded, MessageDecoder, Messages, Payload};
use parking_lot::Mutex;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::batch::{Batch, Batches};
use crate::cluster::PATIENCE;
use crate::consumer::{Change, Lag, Reader};
use crate::offsets::{Partition, Place};
use crate::source::{END, SourceSettings, Stored, Topics};

/// How long a pull waits for a message.
const WAIT: Duration = Duration::from_millis(500);

/// After how long a pull looks whether it is still wanted.
const LOOK_UP: Duration = Duration::from_millis(50);

/// How often a consumer that cannot connect is asked for what it has to say of that. Brokers take their time to refuse a password.
const DRAINED: usize = 100;

/// How many messages one poll takes at most, and of how many bytes: so few that the memory of the one before is used again, which larger
/// blocks are not: the system clears them anew.
const MESSAGES_MAX: usize = 16_384;
const BYTES_MAX: usize = 4 << 20;

/// The part of a source that waits.
pub(crate) struct Poller {
    settings: SourceSettings,
    context: Context,
    decoder: MessageDecoder,
    pub reader: Reader,
    marks: BTreeMap<Partition, i64>,
    /// Where the partitions end that are not yet at their end, if the input is bounded.
    ends: Option<BTreeMap<Partition, i64>>,
    /// What was polled and not yet handed on.
    ready: VecDeque<(Partition, Batch)>,
    /// How many bytes a batch had lately.
    room: usize,
    /// Where partitions begin and end, as far as that is not yet in the log.
    begun: Vec<Mark>,
    looked_at: headwater_core::EventTime,
    stop: Arc<AtomicBool>,
    runtime: tokio::runtime::Handle,
}

impl Poller {
    pub fn open(
        settings: SourceSettings,
        context: Context,
        decoder: MessageDecoder,
        stored: Stored,
        stop: Arc<AtomicBool>,
        lag: Arc<Mutex<Lag>>,
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
        let mut poller = Self {
            settings,
            context,
            decoder,
            reader,
            marks: stored.next,
            ends: None,
            ready: VecDeque::new(),
            room: 0,
            begun: Vec::new(),
            looked_at,
            stop,
            runtime: tokio::runtime::Handle::current(),
        };
        if poller.settings.in_group {
            poller.join()?;
        } else {
            let partitions = poller.partitions()?;
            poller.bound(&partitions, stored.ends)?;
            poller.begin(&partitions)?;
        }
        Ok(poller)
    }

    pub fn failed(&self, what: &str, error: &KafkaError) -> ConnectorError {
        self.settings.cluster.failed(what, error, self.reader.notes())
    }

    /// Joins the group, which then says which partitions are ours.
    fn join(&mut self) -> Result<()> {
        let subscribed = match &self.settings.topics {
            Topics::Named(names) => {
                self.reader.consumer().subscribe(&names.iter().map(String::as_str).collect::<Vec<_>>())
            }
            // As an extended regular expression of POSIX, which is what begins with ^.
            Topics::Like(pattern) => self.reader.consumer().subscribe(&[&format!("^({pattern})$")]),
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
                for _ in 0..DRAINED {
                    drop(consumer.poll(Duration::from_millis(10)));
                    if self.reader.notes().is_final() {
                        break;
                    }
                }
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

    /// Finds out where partitions end, the first time; then it is stored, so that the end does not move on with each opening.
    fn bound(&mut self, partitions: &[Partition], mut ends: BTreeMap<Partition, i64>) -> Result<()> {
        let Some(end) = &self.settings.end else { return Ok(()) };
        let fresh: Vec<_> = partitions.iter().filter(|one| !ends.contains_key(*one)).cloned().collect();
        let found = end.resolve(self.reader.consumer(), &fresh);
        let found = found.map_err(|error| self.failed("find the end", &error))?;
        let name = |partition: &Partition| format!("{END}{partition}");
        let marks = found
            .iter()
            .map(|(partition, end)| Mark { partition: name(partition), position: end.to_string() });
        self.begun.extend(marks);
        ends.extend(found);
        self.ends = Some(ends);
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
        offsets.extend(known.into_iter().map(|partition| (partition.clone(), self.marks[&partition])));
        if self.settings.in_group {
            self.follow_group(&mut offsets)?;
        }
        for (partition, offset) in &mut offsets {
            *offset = self.check(partition, *offset)?;
        }
        if let Some(ends) = &mut self.ends {
            ends.retain(|partition, end| offsets.get(partition).is_some_and(|begin| begin < end));
            offsets.retain(|partition, _| ends.contains_key(partition));
        }
        let begun = offsets.iter().filter(|(partition, offset)| self.marks.get(*partition) != Some(*offset));
        self.begun.extend(begun.map(|(partition, offset)| mark(partition, *offset)));
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

    /// The next records. Where partitions begin is handed on before anything is polled of them: a mark that came after those of their first
    /// messages would go back behind these.
    pub fn pull(&mut self) -> Result<Pulled> {
        if let Some((partition, batch)) = self.ready.pop_front() {
            return self.hand_on(&partition, batch);
        }
        if self.begun.is_empty() {
            if !self.follow_changes()? {
                return Ok(Pulled::Nothing);
            }
            self.discover()?;
        }
        if !self.begun.is_empty() {
            let marks = self.begun.drain(..).collect();
            let nothing = Decoded::empty(&self.context.schema);
            return Ok(Pulled::Records { payload: Payload::Decoded(nothing), marks });
        }
        self.poll()?;
        let now = self.context.world.clock.monotonic();
        self.reader.commit_again(now).map_err(|error| self.failed("commit offsets", &error))?;
        self.reader.measure_lag(self.context.world.clock.now());
        match self.ready.pop_front() {
            Some((partition, batch)) => self.hand_on(&partition, batch),
            None if self.ends.as_ref().is_some_and(BTreeMap::is_empty) => Ok(Pulled::End),
            None => Ok(Pulled::Nothing),
        }
    }

    /// Does what the group's coordinator wants; answers whether that is done.
    fn follow_changes(&mut self) -> Result<bool> {
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
                    return Ok(false);
                }
            }
        }
        Ok(true)
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
        let (about, wants_keys) = (&self.settings.about, self.decoder.wants_keys());
        let mut batches = Batches { found: Vec::new(), about, wants_keys, room: self.room };
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
                    if let Some(size) = batches.take(&message, self.ends.as_mut()) {
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
        let found = batches.found;
        self.room = bytes / found.len().max(1);
        for (partition, batch) in &found {
            if let Some(standing) = self.reader.standing.get_mut(partition) {
                standing.polled = batch.next;
            }
        }
        self.ready.extend(found);
        Ok(())
    }

    /// Fetches the schemas that messages name and that are not known yet.
    fn fetch_schemas(&self, messages: &Messages) -> Result<()> {
        let Some(registry) = &self.settings.registry else { return Ok(()) };
        let parts = messages.values.iter().chain(&messages.keys).flatten();
        let parts = parts.map(|part| &messages.bytes[part.clone()]);
        self.runtime.block_on(registry.fetch_for(parts, &self.settings.schemas))
    }

    /// Decodes a batch.
    fn hand_on(&mut self, partition: &Partition, batch: Batch) -> Result<Pulled> {
        let (next, time) = (batch.next, batch.time);
        let messages = batch.finish()?;
        self.fetch_schemas(&messages)?;
        let mut decoded = self.decoder.decode(&messages)?;
        for bad in &mut decoded.bad {
            bad.reason = format!("{} ({partition}, offset {})", bad.reason, bad.record).into();
        }
        if let Some(standing) = self.reader.standing.get_mut(partition) {
            (standing.pulled, standing.time) = (next, time);
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
