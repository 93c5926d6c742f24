//! A topic, from outside.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Message, OwnedMessage};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::Offset;

const PATIENCE: Duration = Duration::from_secs(120);

pub type Outside = ThreadedProducer<DefaultProducerContext>;

/// A topic with a name of its own.
pub struct Topic {
    pub address: String,
    pub name: String,
    pub partitions: i32,
}

impl Topic {
    pub fn new(address: &str, partitions: i32) -> Self {
        Self::with(address, partitions, &[])
    }

    /// A topic with settings of its own.
    pub fn with(address: &str, partitions: i32, settings: &[(&str, &str)]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("t{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self::named(address, &name, partitions, settings)
    }

    /// The same with a name that is given.
    pub fn named(address: &str, name: &str, partitions: i32, settings: &[(&str, &str)]) -> Self {
        let topic = Self { address: address.to_owned(), name: name.to_owned(), partitions };
        let mut new = NewTopic::new(&topic.name, partitions, TopicReplication::Fixed(1));
        for (name, value) in settings {
            new = new.set(name, value);
        }
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        let runtime = crate::lab::runtime();
        let made = runtime.block_on(topic.admin().create_topics([&new], &options)).unwrap();
        made.into_iter().for_each(|made| drop(made.unwrap()));
        topic
    }

    pub fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.config(&[]).create().unwrap()
    }

    pub fn config(&self, settings: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.address);
        for (name, value) in settings {
            config.set(*name, *value);
        }
        config
    }

    /// The options of a connector to this topic.
    pub fn options<'a>(&'a self, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let own = [("properties.bootstrap.servers", self.address.as_str()), ("topic", self.name.as_str())];
        own.iter().chain(more).copied().collect()
    }

    pub fn producer(&self, settings: &[(&str, &str)]) -> Outside {
        self.config(settings).create().unwrap()
    }

    /// Sends rows `from` to `to`, in turn to each partition; every thousandth row is followed by one that does not fit.
    pub fn fill(&self, producer: &Outside, from: i64, to: i64) {
        for n in from..to {
            let partition = i32::try_from(n % i64::from(self.partitions)).unwrap();
            let mut rows = vec![format!("{{\"n\":{n},\"text\":\"row {n}\"}}")];
            if n % 1_000 == 500 {
                rows.push(format!("{{\"n\":\"bad {n}\"}}"));
            }
            for row in &rows {
                self.send(producer, BaseRecord::to(&self.name).partition(partition).payload(row));
            }
        }
    }

    pub fn send(&self, producer: &Outside, mut record: BaseRecord<'_, str, String>) {
        while let Err((_, again)) = producer.send(record) {
            record = again;
            producer.poll(Duration::from_millis(10));
        }
    }

    /// All that was committed, partition by partition.
    pub fn committed(&self) -> Vec<OwnedMessage> {
        let settings =
            [("enable.partition.eof", "true"), ("group.id", "test"), ("enable.auto.commit", "false")];
        let consumer: BaseConsumer = self.config(&settings).create().unwrap();
        let mut all = Vec::new();
        for partition in 0..self.partitions {
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(&self.name, partition, Offset::Beginning).unwrap();
            consumer.assign(&list).unwrap();
            loop {
                match consumer.poll(PATIENCE) {
                    Some(Ok(message)) => all.push(message.detach()),
                    Some(Err(KafkaError::PartitionEOF(number))) if number == partition => break,
                    Some(Err(KafkaError::PartitionEOF(_))) => {}
                    other => panic!("cannot read the topic: {:?}", other.map(|one| one.map(|_| ()))),
                }
            }
        }
        all
    }

    /// The values of `n` in all that was committed.
    pub fn numbers(&self) -> Vec<i64> {
        let number = |message: &OwnedMessage| {
            let row: serde_json::Value = serde_json::from_slice(message.payload().unwrap()).unwrap();
            row["n"].as_i64().unwrap()
        };
        self.committed().iter().map(number).collect()
    }

    /// What a group has committed, by partition.
    pub fn offsets_of(&self, group: &str) -> BTreeMap<i32, i64> {
        let consumer: BaseConsumer = self.config(&[("group.id", group)]).create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_range(&self.name, 0, self.partitions - 1);
        let found = consumer.committed_offsets(list, PATIENCE).unwrap();
        let offset = |offset| if let Offset::Offset(offset) = offset { Some(offset) } else { None };
        let elements = found.elements();
        elements.iter().filter_map(|one| Some((one.partition(), offset(one.offset())?))).collect()
    }

    /// Ends what a producer has under way.
    pub fn flush(producer: &Outside) {
        producer.flush(PATIENCE).unwrap();
    }
}
