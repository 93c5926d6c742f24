//! The topics of one log at a cluster.

use std::ops::Range;
use std::time::Duration;

use futures::executor::block_on;
use headwater_connectors::Result;
use headwater_core::World;
use headwater_ingest::Options;
use headwater_log::{Message, Stored, TopicError, TopicResult, Topics};
use parking_lot::Mutex;
use rdkafka::TopicPartitionList;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::Offset;

use super::pause::Pause;
use super::reading::{Readers, bounds, is_known, is_moving, is_ready, others};
use super::writing::Writer;
use crate::cluster::{Cluster, PATIENCE};
use crate::consumer::Listener;

/// The header in which a message's note is.
pub(super) const NOTE: &str = "headwater";

/// The most that a message takes: a batch of at most 8 MiB, a note of at most 1 MiB, and what Kafka adds.
const MESSAGE_BYTES_MAX: usize = 10 << 20;

/// As many copies of a partition as the cluster makes by itself.
const AS_MADE: i32 = -1;

/// How often a topic that was just made is looked for until it is there everywhere.
const LOOKS: usize = 200;

/// How long between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// The topics of one log.
pub struct KafkaTopics {
    world: World,
    cluster: Cluster,
    log: String,
    /// How many copies of a partition there are; as many as the cluster makes by itself unless given.
    replication: i32,
    admin: AdminClient<DefaultClientContext>,
    /// Asks about partitions.
    asking: BaseConsumer<Listener>,
    /// What writes, once the log was taken over and as long as nothing went wrong.
    writer: Mutex<Option<Writer>>,
    readers: Readers,
    pause: Pause,
}

impl KafkaTopics {
    /// The topics of the log of a name. Takes `properties.*`, `bootstrap_servers` and `replication-factor` of the options; the name is the
    /// transactional id, too. Connects when it is used first.
    pub fn new(world: World, log: &str, options: &mut Options) -> Result<Self> {
        let cluster = Cluster::take(options)?;
        let replication =
            options.parse_with("replication-factor", |text| match text.trim().parse::<i32>() {
                Ok(copies) if copies > 0 => Ok(copies),
                _ => Err("it is the number of copies of each partition".to_owned()),
            })?;
        options.finish()?;
        let readers = Readers::new(&cluster);
        let failed = |error: &KafkaError| cluster.failed("connect", error, &Default::default());
        let admin = cluster.producer_config(&[]).create().map_err(|error| failed(&error))?;
        let asking = readers.consumer().map_err(|error| cluster.refused("connect", error))?;
        Ok(Self {
            world,
            log: log.to_owned(),
            replication: replication.unwrap_or(AS_MADE),
            admin,
            asking,
            writer: Mutex::new(None),
            readers,
            pause: Pause::default(),
            cluster,
        })
    }

    /// Lets time pass before an outage is told.
    fn told<T>(&self, result: TopicResult<T>) -> TopicResult<T> {
        match &result {
            Err(TopicError::Outage { .. }) => self.pause.take(&self.world),
            _ => self.pause.reset(),
        }
        result
    }

    fn failed(&self, what: &str, error: &KafkaError) -> TopicError {
        use rdkafka::consumer::Consumer;
        self.cluster.topic_error(what, error, &self.asking.context().notes)
    }

    fn options() -> AdminOptions {
        AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE))
    }

    /// Asks whether a topic is there. If it is not, topics that end as it does say which other logs there are.
    fn look_for(&self, topic: &str) -> TopicResult<()> {
        let what = format!("look for topic {topic}");
        match is_known(&self.asking, topic) {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) => return Err(self.failed(&what, &error)),
        }
        let kind = topic.strip_prefix(&*self.log).unwrap_or(topic);
        let others = others(&self.asking, kind).map_err(|error| self.failed(&what, &error))?;
        let hint = match &others[..] {
            [] => "and no other log; is that the address of the log's brokers?".to_owned(),
            others => format!("but {}; is that the log's name?", others.join(", ")),
        };
        let reason = format!("there is none, so there is no log {}, {hint}", self.log);
        Err(self.cluster.topic_refused(&what, reason))
    }

    /// Makes a topic, and waits until it is there.
    fn make(&self, topic: &str, partitions: u32) -> TopicResult<()> {
        let what = format!("create topic {topic}");
        let bytes_max = MESSAGE_BYTES_MAX.to_string();
        let count = i32::try_from(partitions).unwrap_or(i32::MAX);
        let new = NewTopic::new(topic, count, TopicReplication::Fixed(self.replication))
            // What goes is for the log to say.
            .set("retention.ms", "-1")
            .set("retention.bytes", "-1")
            .set("cleanup.policy", "delete")
            .set("max.message.bytes", &bytes_max)
            .set("message.timestamp.type", "CreateTime");
        let made = block_on(self.admin.create_topics([&new], &Self::options()));
        for made in made.map_err(|error| self.failed(&what, &error))? {
            match made {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, code)) => return Err(self.failed(&what, &KafkaError::AdminOp(code))),
            }
        }
        for _ in 0..LOOKS {
            if is_ready(&self.asking, topic, partitions)? {
                return Ok(());
            }
            drop(self.asking.poll(LOOK));
        }
        Err(TopicError::Outage { what, reason: "it was made and has no leader yet".to_owned() })
    }
}

impl Topics for KafkaTopics {
    fn create(&self, topic: &str, partitions: u32) -> TopicResult<()> {
        self.told(self.make(topic, partitions))
    }

    fn find(&self, topic: &str) -> TopicResult<()> {
        self.told(self.look_for(topic))
    }

    fn remove(&self, topic: &str) -> TopicResult<()> {
        let what = format!("remove topic {topic}");
        let done = block_on(self.admin.delete_topics(&[topic], &Self::options()));
        let done = done.map_err(|error| self.failed(&what, &error)).and_then(|all| {
            all.into_iter().try_for_each(|one| match one {
                Ok(_)
                | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic)) => {
                    Ok(())
                }
                Err((_, code)) => Err(self.failed(&what, &KafkaError::AdminOp(code))),
            })
        });
        self.told(done)
    }

    fn take_over(&self) -> TopicResult<()> {
        let mut writer = self.writer.lock();
        // The old one is gone before the new one comes, so that it is not fenced off by ourselves.
        *writer = None;
        let opened = self.told(Writer::open(&self.cluster, &self.log, MESSAGE_BYTES_MAX))?;
        *writer = Some(opened);
        Ok(())
    }

    fn commit(&self, messages: &[Message]) -> TopicResult<Vec<i64>> {
        let mut writer = self.writer.lock();
        let done = match &*writer {
            Some(writer) => writer.commit(messages),
            None => Err(TopicError::Outage {
                what: format!("write log {}", self.log),
                reason: "there is no producer".to_owned(),
            }),
        };
        if done.is_err() {
            *writer = None;
        }
        drop(writer);
        self.told(done)
    }

    fn bounds(&self, topic: &str, partition: u32) -> TopicResult<Range<i64>> {
        let number = i32::try_from(partition).unwrap_or(i32::MAX);
        let mut found = bounds(&self.asking, topic, number);
        // A topic that was just made, or whose leader has changed, is known to one broker before the others.
        for _ in 0..LOOKS {
            if !found.as_ref().is_err_and(is_moving) {
                break;
            }
            drop(self.asking.poll(LOOK));
            found = bounds(&self.asking, topic, number);
        }
        self.told(found.map_err(|error| self.failed(&format!("look at {topic}/{partition}"), &error)))
    }

    fn read(&self, topic: &str, partition: u32, offsets: Range<i64>) -> TopicResult<Vec<Stored>> {
        let number = i32::try_from(partition).unwrap_or(i32::MAX);
        self.told(self.readers.read(&self.world, topic, number, offsets))
    }

    fn remove_before(&self, topic: &str, partition: u32, offset: i64) -> TopicResult<()> {
        let what = format!("remove messages of {topic}/{partition}");
        let number = i32::try_from(partition).unwrap_or(i32::MAX);
        let mut list = TopicPartitionList::new();
        let done = list.add_partition_offset(topic, number, Offset::Offset(offset)).and_then(|()| {
            let done = block_on(self.admin.delete_records(&list, &Self::options()))?;
            done.elements().iter().try_for_each(rdkafka::topic_partition_list::TopicPartitionListElem::error)
        });
        self.told(done.map_err(|error| self.failed(&what, &error)))
    }
}
