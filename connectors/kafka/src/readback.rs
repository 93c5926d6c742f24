//! What a topic says of how far a stream was delivered to it.
//!
//! ```text
//!  partition   known end         ours  others'  ours        end
//!  ------------|-----------------|-----|--------|-----------|
//!              | read, committed messages only              |
//! ```
//!
//! The known ends are stored with the sink's cursor, so that what is read is what was written since: as a rule the messages of one
//! transaction. What lies behind an open transaction of somebody else cannot be told from what was aborted; it is waited for.

use std::collections::BTreeMap;
use std::time::Duration;

use headwater_connectors::Result;
use headwater_core::{EventTime, Sequence, ShardId, World};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{Headers, Message};

use crate::cluster::{Cluster, PATIENCE};
use crate::consumer::{Listener, named};
use crate::offsets::{Partition, list_of};
use crate::producer::HEADER;

/// How long other producers' transactions are waited for: longer than Kafka lets them be open unless told otherwise.
const OTHERS: Duration = Duration::from_secs(75);

/// Where a topic ends, and the rows that were found in it.
pub(crate) struct Found {
    /// The offset after the last message of each partition.
    pub ends: BTreeMap<i32, i64>,
    /// For each shard the row after the last one that is there.
    pub next: BTreeMap<ShardId, Sequence>,
}

/// What the header's value of a row begins with that `writer` has written; the row's sequence number follows.
pub(crate) fn prefix_of(writer: &str, shard: ShardId) -> String {
    format!("{writer}/{shard}/")
}

/// Of which row a message is, by its header's value, if `writer` has written it.
pub(crate) fn place_in(writer: &str, value: &str) -> Option<(ShardId, Sequence)> {
    let (shard, sequence) = value.strip_prefix(writer)?.strip_prefix('/')?.split_once('/')?;
    Some((ShardId(shard.parse().ok()?), Sequence(sequence.parse().ok()?)))
}

/// Reads what was committed to a topic after `known`. Without known ends nothing is read.
pub(crate) fn read_back(
    world: &World,
    cluster: &Cluster,
    topic: &str,
    writer: &str,
    partitions: i32,
    known: &BTreeMap<i32, i64>,
) -> Result<Found> {
    let open = |isolation: &str| {
        let own = [
            ("isolation.level", isolation),
            ("enable.partition.eof", "true"),
            ("enable.auto.commit", "false"),
            ("auto.offset.reset", "earliest"),
        ];
        let mut config = cluster.config(&own);
        for name in ["group.id", "partitioner"] {
            config.remove(name);
        }
        named(&config).create_with_context::<_, BaseConsumer<Listener>>(Listener::default())
    };
    let all =
        open("read_uncommitted").map_err(|error| cluster.failed("connect", &error, &Default::default()))?;
    let committed =
        open("read_committed").map_err(|error| cluster.failed("connect", &error, &Default::default()))?;
    let failed = |error: KafkaError| {
        let notes = &committed.context().notes;
        cluster.failed(&format!("read back topic {topic}"), &error, notes)
    };
    let mut found = Found { ends: BTreeMap::new(), next: BTreeMap::new() };
    let mut begin = BTreeMap::new();
    for number in 0..partitions {
        let (low, high) = all.fetch_watermarks(topic, number, PATIENCE).map_err(failed)?;
        found.ends.insert(number, high);
        // A partition that came after the ends were stored is read as a whole.
        let from = if known.is_empty() { high } else { known.get(&number).copied().unwrap_or(low).max(low) };
        if from < high {
            begin.insert(Partition::new(topic, number), from);
        }
    }
    wait_for_others(world, cluster, &committed, &begin, &found.ends)?;
    collect(world, &committed, begin, &found.ends, |value| {
        if let Some((shard, sequence)) = place_in(writer, value) {
            let next = found.next.entry(shard).or_insert(sequence.plus(1));
            *next = (*next).max(sequence.plus(1));
        }
    })
    .map_err(failed)?;
    Ok(found)
}

/// Waits until all that is to be read is decided.
fn wait_for_others(
    world: &World,
    cluster: &Cluster,
    committed: &BaseConsumer<Listener>,
    begin: &BTreeMap<Partition, i64>,
    ends: &BTreeMap<i32, i64>,
) -> Result<()> {
    let until = world.clock.now().plus(OTHERS);
    for partition in begin.keys() {
        loop {
            let stable = committed.fetch_watermarks(&partition.topic, partition.number, PATIENCE);
            let what = format!("read back {partition}");
            let (_, stable) =
                stable.map_err(|error| cluster.failed(&what, &error, &committed.context().notes))?;
            if stable >= ends[&partition.number] {
                break;
            }
            if world.clock.now() > until {
                return Err(cluster.outage(&what, "another producer has had a transaction open for long"));
            }
            // Serves events meanwhile; nothing is assigned yet.
            committed.poll(Duration::from_millis(50));
        }
    }
    Ok(())
}

/// Reads partitions to their ends, and hands on our headers.
fn collect(
    world: &World,
    consumer: &BaseConsumer<Listener>,
    mut begin: BTreeMap<Partition, i64>,
    ends: &BTreeMap<i32, i64>,
    mut take: impl FnMut(&str),
) -> KafkaResult<()> {
    if begin.is_empty() {
        return Ok(());
    }
    consumer.assign(&list_of(&begin)?)?;
    let mut heard: EventTime = world.clock.now();
    while !begin.is_empty() {
        let number = match consumer.poll(Duration::from_millis(100)) {
            None if world.clock.now() > heard.plus(PATIENCE) => {
                return Err(KafkaError::MessageConsumption(
                    rdkafka::error::RDKafkaErrorCode::OperationTimedOut,
                ));
            }
            None => continue,
            Some(Err(KafkaError::PartitionEOF(number))) => number,
            Some(Err(error)) => return Err(error),
            Some(Ok(message)) => {
                if let Some(headers) = message.headers() {
                    for header in headers.iter().filter(|header| header.key == HEADER) {
                        take(
                            header
                                .value
                                .and_then(|value| std::str::from_utf8(value).ok())
                                .unwrap_or_default(),
                        );
                    }
                }
                heard = world.clock.now();
                if message.offset() + 1 < ends[&message.partition()] {
                    continue;
                }
                message.partition()
            }
        };
        begin.retain(|partition, _| partition.number != number);
    }
    Ok(())
}
