//! Records as the Kinesis Producer Library aggregates them: taken apart, and put together.
//!
//! ```text
//!  F3 89 9A C2 | AggregatedRecord, as Protocol Buffers | MD5 of that, 16 bytes
//! ```
//!
//! As in the library's `aggregation-format.md`. What has the magic but not the sum is a record like another.

use std::collections::HashMap;

use bytes::Bytes;
use md5::{Digest, Md5};
use prost::Message;

const MAGIC: [u8; 4] = [0xf3, 0x89, 0x9a, 0xc2];
const SUM_LEN: usize = 16;

/// The message between magic and sum.
#[derive(Clone, PartialEq, Message)]
struct AggregatedRecord {
    #[prost(string, repeated, tag = "1")]
    partition_key_table: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    explicit_hash_key_table: Vec<String>,
    #[prost(message, repeated, tag = "3")]
    records: Vec<Record>,
}

/// A record of a user, whose keys are places in the tables. It may have tags, which mean nothing to anybody yet.
#[derive(Clone, PartialEq, Message)]
struct Record {
    #[prost(uint64, required, tag = "1")]
    partition_key_index: u64,
    #[prost(uint64, optional, tag = "2")]
    explicit_hash_key_index: Option<u64>,
    #[prost(bytes = "bytes", required, tag = "3")]
    data: Bytes,
}

/// A record that was in another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct UserRecord {
    /// Its partition key.
    pub partition_key: String,
    /// Its explicit hash key, if it has one.
    pub explicit_hash_key: Option<String>,
    /// Its data.
    pub data: Bytes,
    /// Its place in the aggregated record, from 0.
    pub sub_sequence: i64,
}

/// The records in a record's data, or `None` if it was not aggregated. Of those that another shard is responsible for, by `range`,
/// the least and greatest hash key of the shard, none is among them.
pub(super) fn take_apart(data: &Bytes, range: Option<(u128, u128)>) -> Option<Vec<UserRecord>> {
    let body = data.strip_prefix(&MAGIC)?;
    let (message, sum) = body.split_at_checked(body.len().checked_sub(SUM_LEN)?)?;
    if Md5::digest(message).as_slice() != sum {
        return None;
    }
    let aggregated = AggregatedRecord::decode(data.slice_ref(message)).ok()?;
    let mut users = Vec::with_capacity(aggregated.records.len());
    for (sub_sequence, record) in (0..).zip(aggregated.records) {
        let entry = |table: &[String], at: u64| table.get(usize::try_from(at).ok()?).cloned();
        let partition_key = entry(&aggregated.partition_key_table, record.partition_key_index)?;
        let explicit_hash_key = match record.explicit_hash_key_index {
            Some(at) => Some(entry(&aggregated.explicit_hash_key_table, at)?),
            None => None,
        };
        let hash = hash_key(&partition_key, explicit_hash_key.as_deref());
        if range.is_none_or(|(least, greatest)| (least..=greatest).contains(&hash)) {
            users.push(UserRecord { partition_key, explicit_hash_key, data: record.data, sub_sequence });
        }
    }
    Some(users)
}

/// A record's data that holds several: partition key, explicit hash key and data of each.
pub(super) fn put_together<'a>(users: impl Iterator<Item = (&'a str, Option<&'a str>, &'a Bytes)>) -> Bytes {
    let mut aggregated = AggregatedRecord::default();
    let (mut keys, mut hash_keys) = (HashMap::new(), HashMap::new());
    for (key, explicit, data) in users {
        let partition_key_index = place_in(&mut aggregated.partition_key_table, &mut keys, key);
        let table = &mut aggregated.explicit_hash_key_table;
        let explicit_hash_key_index = explicit.map(|explicit| place_in(table, &mut hash_keys, explicit));
        let data = data.clone();
        aggregated.records.push(Record { partition_key_index, explicit_hash_key_index, data });
    }
    let message = aggregated.encode_to_vec();
    [&MAGIC[..], &message, &Md5::digest(&message)[..]].concat().into()
}

/// How many bytes a record takes in an aggregated one at most, besides its data and its keys.
pub(super) const OVERHEAD: usize = 32;

fn place_in<'a>(table: &mut Vec<String>, places: &mut HashMap<&'a str, u64>, key: &'a str) -> u64 {
    *places.entry(key).or_insert_with(|| {
        table.push(key.to_owned());
        table.len() as u64 - 1
    })
}

/// The hash key by which a record finds its shard: the explicit one, or the MD5 of the partition key.
pub(super) fn hash_key(partition_key: &str, explicit: Option<&str>) -> u128 {
    explicit
        .and_then(|explicit| explicit.parse().ok())
        .unwrap_or_else(|| u128::from_be_bytes(Md5::digest(partition_key).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aggregated() -> Vec<u8> {
        let record = |key, explicit, data: &'static str| Record {
            partition_key_index: key,
            explicit_hash_key_index: explicit,
            data: Bytes::from_static(data.as_bytes()),
        };
        let message = AggregatedRecord {
            partition_key_table: vec!["a".to_owned(), "b".to_owned()],
            explicit_hash_key_table: vec!["7".to_owned()],
            records: vec![record(0, None, "one"), record(1, None, "two"), record(0, Some(0), "three")],
        };
        let message = message.encode_to_vec();
        [&MAGIC[..], &message, &Md5::digest(&message)[..]].concat()
    }

    #[test]
    fn records_come_out_with_their_keys_and_places() {
        let data = Bytes::from(aggregated());
        let users = take_apart(&data, None).unwrap();
        let told: Vec<_> = users
            .iter()
            .map(|user| (user.partition_key.as_str(), user.explicit_hash_key.as_deref(), &user.data[..]))
            .collect();
        assert_eq!(told, [("a", None, &b"one"[..]), ("b", None, b"two"), ("a", Some("7"), b"three")]);
        assert!(users.iter().map(|user| user.sub_sequence).eq(0..3));
    }

    #[test]
    fn what_is_put_together_comes_apart_again() {
        let data = ["one", "two", "three"].map(|text| Bytes::from_static(text.as_bytes()));
        let users = [("a", None, &data[0]), ("b", None, &data[1]), ("a", Some("7"), &data[2])];
        assert_eq!(put_together(users.into_iter()), Bytes::from(aggregated()), "as the library writes it");
    }

    #[test]
    fn a_shard_keeps_what_it_is_responsible_for() {
        // The hash of "a", as the service's documentation and emulators have it.
        let hash = 16_955_237_001_963_240_173_058_271_559_858_726_497_u128;
        assert_eq!(hash_key("a", None), hash);
        let users = take_apart(&Bytes::from(aggregated()), Some((hash, hash))).unwrap();
        assert_eq!((users.len(), users[0].sub_sequence), (1, 0));
    }

    #[test]
    fn what_is_not_whole_is_a_record_like_another() {
        let good = aggregated();
        for end in 0..good.len() {
            assert_eq!(take_apart(&Bytes::copy_from_slice(&good[..end]), None), None, "{end} bytes");
        }
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert_eq!(take_apart(&Bytes::from(bad), None), None, "byte {at}");
        }
        // A place that no table has, under a right sum.
        let record = Record { partition_key_index: 9, explicit_hash_key_index: None, data: Bytes::new() };
        let message =
            AggregatedRecord { records: vec![record], ..AggregatedRecord::default() }.encode_to_vec();
        let bad = [&MAGIC[..], &message, &Md5::digest(&message)[..]].concat();
        assert_eq!(take_apart(&Bytes::from(bad), None), None);
    }
}
