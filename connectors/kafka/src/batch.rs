//! Messages of one partition that were polled together.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use headwater_connectors::Result;
use headwater_ingest::Messages;
use rdkafka::message::{BorrowedMessage, Message};

use crate::about::{AboutBuilder, AboutColumns};
use crate::offsets::Partition;

/// Messages of one partition.
pub(crate) struct Batch {
    bytes: BytesMut,
    /// For each message where its value and its key end in `bytes`, if it has them.
    ends: Vec<(Option<usize>, Option<usize>)>,
    numbers: Vec<u64>,
    about: AboutBuilder,
    /// The offset after the last of them.
    pub next: i64,
}

/// Adds a message to the batch of its partition, and answers its size; `None` if it lies behind the end.
pub(crate) fn take(
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

    pub fn finish(self) -> Result<Messages> {
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
