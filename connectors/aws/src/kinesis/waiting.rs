//! Rows on their way, and the records that they make.

use aws_sdk_kinesis::Client;
use bytes::Bytes;
use headwater_connectors::{ConnectorError, Result};

use super::aggregate::{OVERHEAD, hash_key, put_together};
use super::config::SinkOptions;
use super::packing::{Bounds, ByShard, HashRange, Packed};
use super::shards::range_of;
use super::sink::KEY_CHARS_MAX;
use super::stream::StreamRef;
use crate::lanes::Lanes;
use crate::message::Delivered;

/// A row on its way.
pub(super) struct Row {
    pub partition_key: String,
    pub data: Bytes,
    pub explicit_hash_key: Option<String>,
    pub delivered: Delivered,
}

/// Rows that wait.
pub(super) enum Waiting {
    /// Each is a record; of a partition key one is under way.
    ByKey(Lanes<Row>),
    /// Those of a shard go together.
    ByShard(ByShard<Row>),
}

/// A record on its way.
pub(super) enum Record {
    /// A row, with the key of its lane.
    Single(Bytes, Row),
    /// Rows of a shard, and the data that they make.
    Aggregated(Packed<Row>, Bytes),
}

/// The shards that take records, and the hash keys of each.
pub(super) async fn open_shards(stream: &StreamRef, client: &Client) -> Result<Vec<(String, HashRange)>> {
    let all = stream.shards(client).await?;
    let is_open = |shard: &&aws_sdk_kinesis::types::Shard| {
        shard.sequence_number_range.as_ref().is_none_or(|range| range.ending_sequence_number.is_none())
    };
    let open: Vec<_> = all
        .iter()
        .filter(is_open)
        .filter_map(|shard| Some((shard.shard_id.clone(), range_of(shard)?)))
        .collect();
    if open.is_empty() {
        let what = format!("list the shards of {}", stream.shown());
        return Err(ConnectorError::outage(what, "none of them says which hash keys it takes"));
    }
    Ok(open)
}

impl Default for Waiting {
    fn default() -> Self {
        Self::ByKey(Lanes::default())
    }
}

impl Waiting {
    /// How many rows wait.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::ByKey(lanes) => lanes.len(),
            Self::ByShard(rows) => rows.len(),
        }
    }

    /// Adds a row.
    pub(super) fn push(&mut self, row: Row) {
        match self {
            Self::ByKey(lanes) => lanes.push(Bytes::from(row.partition_key.clone()), row),
            Self::ByShard(rows) => rows.push(hash_of(&row), row),
        }
    }

    /// Records that may go together; a single row if `alone`.
    pub(super) fn take(&mut self, options: &SinkOptions, alone: bool) -> Vec<Record> {
        let records = if alone { 1 } else { options.records_max };
        let size = |row: &Row| row.data.len() + KEY_CHARS_MAX;
        match self {
            Self::ByKey(lanes) => {
                let taken = lanes.take(records, options.bytes_max, size);
                taken.into_iter().map(|(lane, row)| Record::Single(lane, row)).collect()
            }
            Self::ByShard(rows) => {
                let limits = options.aggregation.as_ref();
                let count = if alone { 1 } else { limits.map_or(1, |limits| limits.count_max) };
                let bounds = Bounds {
                    count,
                    size: limits.map_or(0, |limits| limits.bytes_max),
                    records,
                    size_of_all: options.bytes_max,
                };
                let size = |row: &Row| row.data.len() + row.partition_key.len() + OVERHEAD;
                rows.take(bounds, size).into_iter().map(Record::aggregated).collect()
            }
        }
    }

    /// A record has arrived where it should, or never will. Answers its first row.
    pub(super) fn arrived(&mut self, record: Record) -> Option<Row> {
        match (self, record) {
            (Self::ByKey(lanes), Record::Single(lane, row)) => {
                lanes.arrived(lane);
                Some(row)
            }
            (_, Record::Single(_, row)) => Some(row),
            (_, Record::Aggregated(packed, _)) => packed.items.into_iter().next().map(|(_, row)| row),
        }
    }

    /// A record has not arrived, and goes again.
    pub(super) fn refused(&mut self, record: Record) {
        match (self, record) {
            (Self::ByKey(lanes), Record::Single(lane, row)) => lanes.refused(lane, row),
            (Self::ByShard(rows), Record::Aggregated(packed, _)) => rows.put_back(packed.items.into_iter()),
            // A record comes back to where it was taken from.
            _ => {}
        }
    }

    /// A record has come to a shard that it was not made for: what that is not responsible for goes again.
    pub(super) fn arrived_at(&mut self, record: Record, shard: &str) {
        if let (Self::ByShard(rows), Record::Aggregated(packed, _)) = (self, record) {
            let range = rows.range_of(shard);
            let is_lost =
                |(hash, _): &(u128, Row)| range.is_none_or(|(least, most)| !(least..=most).contains(hash));
            let lost: Vec<_> = packed.items.into_iter().filter(is_lost).collect();
            rows.put_back(lost.into_iter());
        }
    }

    /// The stream has these shards now. Before anything is there, it makes rows go by shard.
    pub(super) fn reshard(&mut self, shards: Vec<(String, HashRange)>) {
        match self {
            Self::ByShard(rows) => rows.reshard(shards),
            Self::ByKey(_) => *self = Self::ByShard(ByShard::new(shards)),
        }
    }
}

fn hash_of(row: &Row) -> u128 {
    hash_key(&row.partition_key, row.explicit_hash_key.as_deref())
}

impl Record {
    fn aggregated(packed: Packed<Row>) -> Self {
        let data =
            match packed.items.as_slice() {
                [(_, only)] => only.data.clone(),
                several => put_together(several.iter().map(|(_, row)| {
                    (row.partition_key.as_str(), row.explicit_hash_key.as_deref(), &row.data)
                })),
            };
        Self::Aggregated(packed, data)
    }

    /// The first row, whose keys are the record's, too: it finds the same shard.
    fn first(&self) -> Option<&Row> {
        match self {
            Self::Single(_, row) => Some(row),
            Self::Aggregated(packed, _) => packed.items.first().map(|(_, row)| row),
        }
    }

    /// How many rows it holds.
    pub(super) fn rows(&self) -> usize {
        match self {
            Self::Single(..) => 1,
            Self::Aggregated(packed, _) => packed.items.len(),
        }
    }

    pub(super) fn data(&self) -> &Bytes {
        match self {
            Self::Single(_, row) => &row.data,
            Self::Aggregated(_, data) => data,
        }
    }

    pub(super) fn partition_key(&self) -> &str {
        self.first().map_or("", |row| &row.partition_key)
    }

    pub(super) fn explicit_hash_key(&self) -> Option<&str> {
        self.first()?.explicit_hash_key.as_deref()
    }

    /// Whether the shard that took it is another than the one it was made for, and it holds several rows. A single one is right anywhere.
    pub(super) fn is_astray(&self, shard: &str) -> bool {
        match self {
            Self::Single(..) => false,
            Self::Aggregated(packed, _) => packed.items.len() > 1 && packed.shard != shard,
        }
    }
}
