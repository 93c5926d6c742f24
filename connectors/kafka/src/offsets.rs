//! Where partitions begin and end.

use std::collections::BTreeMap;
use std::str::FromStr;

use headwater_connectors::{ConnectorError, Result};
use headwater_ingest::Options;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::Offset;

use crate::cluster::PATIENCE;
use crate::consumer::Listener;

/// A partition of a topic.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Partition {
    pub topic: String,
    pub number: i32,
}

impl Partition {
    pub fn new(topic: &str, number: i32) -> Self {
        Self { topic: topic.to_owned(), number }
    }
}

/// As marks name it: `topic/number`.
impl std::fmt::Display for Partition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.topic, self.number)
    }
}

impl FromStr for Partition {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let parts = text.rsplit_once('/').and_then(|(topic, number)| Some((topic, number.parse().ok()?)));
        let (topic, number) = parts.ok_or_else(|| format!("{text:?} is not topic/partition"))?;
        Ok(Self::new(topic, number))
    }
}

/// A place in every partition, as options say it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    Earliest,
    Latest,
    /// What the group has committed.
    Group,
    /// The first message that is not older, in milliseconds since the epoch.
    Time(i64),
    /// An offset for each partition.
    Specific(BTreeMap<i32, i64>),
}

impl Place {
    /// Takes `PREFIX.mode` and what belongs to it; `None` if not given, or `unbounded`.
    pub fn take(options: &mut Options, prefix: &str) -> Result<Option<Self>> {
        let mode = options.get(&format!("{prefix}.mode"));
        let time = options.parse::<i64>(&format!("{prefix}.timestamp-millis"))?;
        let specific = options.parse_with(&format!("{prefix}.specific-offsets"), read_specific)?;
        let mode = match (mode, prefix) {
            (None, "scan.startup") => options.get("source.offset"),
            (mode, _) => mode,
        };
        let Some(mode) = mode else { return Ok(None) };
        let name = format!("{prefix}.mode");
        let needs = |options: &Options, what: &str| {
            ConnectorError::from(options.bad(&name, &mode, format!("it needs option '{prefix}.{what}'")))
        };
        Ok(Some(match mode.trim().to_ascii_lowercase().replace('_', "-").as_str() {
            "earliest-offset" | "earliest" => Self::Earliest,
            "latest-offset" | "latest" => Self::Latest,
            "group-offsets" | "group" => Self::Group,
            "timestamp" => Self::Time(time.ok_or_else(|| needs(options, "timestamp-millis"))?),
            "specific-offsets" => Self::Specific(specific.ok_or_else(|| needs(options, "specific-offsets"))?),
            "unbounded" => return Ok(None),
            _ => {
                let known =
                    "it is earliest-offset, latest-offset, group-offsets, timestamp or specific-offsets";
                return Err(options.bad(&name, &mode, known).into());
            }
        }))
    }

    /// The offsets of this place. Partitions of which it says nothing are left out.
    pub fn resolve(
        &self,
        consumer: &BaseConsumer<Listener>,
        partitions: &[Partition],
    ) -> KafkaResult<BTreeMap<Partition, i64>> {
        let mut found = BTreeMap::new();
        match self {
            Self::Earliest | Self::Latest => {
                for partition in partitions {
                    let (low, high) =
                        consumer.fetch_watermarks(&partition.topic, partition.number, PATIENCE)?;
                    found.insert(partition.clone(), if *self == Self::Earliest { low } else { high });
                }
            }
            Self::Group => {
                let committed = consumer.committed_offsets(list(partitions, Offset::Invalid)?, PATIENCE)?;
                take_offsets(&committed, &mut found)?;
            }
            Self::Time(millis) => {
                let times = list(partitions, Offset::Offset(*millis))?;
                let at = consumer.offsets_for_times(times, PATIENCE)?;
                take_offsets(&at, &mut found)?;
                // Nothing is so young: what comes from now on.
                let rest: Vec<_> =
                    partitions.iter().filter(|partition| !found.contains_key(*partition)).cloned().collect();
                found.append(&mut Self::Latest.resolve(consumer, &rest)?);
            }
            Self::Specific(offsets) => {
                for partition in partitions {
                    if let Some(offset) = offsets.get(&partition.number) {
                        found.insert(partition.clone(), *offset);
                    }
                }
            }
        }
        Ok(found)
    }
}

/// A list of partitions, each with the same offset.
pub(crate) fn list(partitions: &[Partition], offset: Offset) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        list.add_partition_offset(&partition.topic, partition.number, offset)?;
    }
    Ok(list)
}

/// A list of partitions with their offsets.
pub(crate) fn list_of(offsets: &BTreeMap<Partition, i64>) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for (partition, offset) in offsets {
        list.add_partition_offset(&partition.topic, partition.number, Offset::Offset(*offset))?;
    }
    Ok(list)
}

fn take_offsets(list: &TopicPartitionList, found: &mut BTreeMap<Partition, i64>) -> KafkaResult<()> {
    for element in list.elements() {
        match element.error() {
            Ok(()) => {}
            // A group that has never committed there.
            Err(error) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::NoOffset) => continue,
            Err(error) => return Err(error),
        }
        if let Offset::Offset(offset) = element.offset() {
            found.insert(Partition::new(element.topic(), element.partition()), offset);
        }
    }
    Ok(())
}

/// Reads `partition:0,offset:42;partition:1,offset:300`.
fn read_specific(text: &str) -> std::result::Result<BTreeMap<i32, i64>, String> {
    let read = |one: &str| {
        let (partition, offset) = one.trim().strip_prefix("partition:")?.split_once(",")?;
        let offset = offset.trim().strip_prefix("offset:")?;
        Some((partition.trim().parse().ok()?, offset.trim().parse().ok()?))
    };
    let pairs = text.split(';').filter(|one| !one.trim().is_empty()).map(read);
    pairs
        .collect::<Option<_>>()
        .ok_or_else(|| "it is like partition:0,offset:42;partition:1,offset:300".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(given: &[(&str, &str)]) -> std::result::Result<Option<Place>, String> {
        let mut options = Options::new("connector kafka", given.iter().copied());
        Place::take(&mut options, "scan.startup").map_err(|error| error.to_string())
    }

    #[test]
    fn places_are_read_under_the_names_of_both_peers() {
        assert_eq!(take(&[]), Ok(None));
        assert_eq!(take(&[("source.offset", "latest")]), Ok(Some(Place::Latest)));
        assert_eq!(take(&[("scan.startup.mode", "group-offsets")]), Ok(Some(Place::Group)));
        let time = [("scan.startup.mode", "timestamp"), ("scan.startup.timestamp-millis", "17")];
        assert_eq!(take(&time), Ok(Some(Place::Time(17))));
        assert!(take(&time[..1]).unwrap_err().contains("scan.startup.timestamp-millis"));
        let specific = "partition:0,offset:42;partition:1,offset:300";
        let given = [("scan.startup.mode", "specific-offsets"), ("scan.startup.specific-offsets", specific)];
        assert_eq!(take(&given), Ok(Some(Place::Specific([(0, 42), (1, 300)].into()))));
        assert!(take(&[("scan.startup.mode", "early")]).is_err());
    }

    #[test]
    fn partitions_are_read_as_they_are_written() {
        let partition = Partition::new("a/b", 7);
        assert_eq!(partition.to_string(), "a/b/7");
        assert_eq!("a/b/7".parse(), Ok(partition));
        assert!("a".parse::<Partition>().is_err());
    }
}
