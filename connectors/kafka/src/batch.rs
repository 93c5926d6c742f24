//! Messages of one partition that were polled together.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::BytesMut;
use headwater_connectors::Result;
use headwater_ingest::Messages;
use rdkafka::message::{BorrowedMessage, Message};

use crate::about::{AboutBuilder, AboutColumns};
use crate::offsets::Partition;

/// Messages of one partition.
pub(crate) struct Batch {
    bytes: BytesMut,
    /// For each message where its value lies in `bytes`, if it has one; and its key, if keys are wanted.
    values: Vec<Option<Range<usize>>>,
    keys: Vec<Option<Range<usize>>>,
    numbers: Vec<u64>,
    about: AboutBuilder,
    /// Where the partition ends, if the input is bounded.
    end: Option<i64>,
    /// The offset after the last of them.
    pub next: i64,
    /// When the last of them was written, as it says, in milliseconds since the epoch.
    pub time: Option<i64>,
}

/// What is being polled.
pub(crate) struct Batches<'a> {
    /// The batches, in the order in which they began.
    pub found: Vec<(Partition, Batch)>,
    /// What is wanted of a message besides its value.
    pub about: &'a AboutColumns,
    /// Whether the key is wanted.
    pub wants_keys: bool,
    /// About how many bytes a batch will have.
    pub room: usize,
}

impl Batches<'_> {
    /// Adds a message to the batch of its partition, and answers its size; `None` if it lies behind the end.
    pub fn take(
        &mut self,
        message: &BorrowedMessage<'_>,
        ends: Option<&mut BTreeMap<Partition, i64>>,
    ) -> Option<usize> {
        let (number, topic, next) = (message.partition(), message.topic(), message.offset() + 1);
        // Messages come in runs of one partition.
        let begun = self.found.iter().rposition(|(of, _)| of.number == number && of.topic == topic);
        let end = match (begun, &ends) {
            (Some(at), _) => self.found[at].1.end,
            (None, Some(ends)) => Some(*ends.get(&Partition::new(topic, number))?),
            (None, None) => None,
        };
        if let (Some(end), Some(ends)) = (end, ends) {
            if next >= end {
                ends.remove(&Partition::new(topic, number));
            }
            if next > end {
                return None;
            }
        }
        let at = begun.unwrap_or_else(|| {
            let batch = Batch::new(self.about.builder(), end, self.room);
            self.found.push((Partition::new(topic, number), batch));
            self.found.len() - 1
        });
        let batch = &mut self.found[at].1;
        (batch.next, batch.time) = (next, message.timestamp().to_millis());
        Some(batch.push(message, self.wants_keys))
    }
}

impl Batch {
    fn new(about: AboutBuilder, end: Option<i64>, room: usize) -> Self {
        let bytes = BytesMut::with_capacity(room);
        let (values, keys, numbers) = (Vec::new(), Vec::new(), Vec::new());
        Self { bytes, values, keys, numbers, about, end, next: 0, time: None }
    }

    /// Adds a message, and answers its size.
    fn push(&mut self, message: &BorrowedMessage<'_>, wants_key: bool) -> usize {
        let before = self.bytes.len();
        let mut lay = |part: Option<&[u8]>| {
            part.map(|part| {
                let start = self.bytes.len();
                self.bytes.extend_from_slice(part);
                start..self.bytes.len()
            })
        };
        self.values.push(lay(message.payload()));
        if wants_key {
            self.keys.push(lay(message.key()));
        }
        self.numbers.push(u64::try_from(message.offset()).unwrap_or_default());
        self.about.push(message);
        self.bytes.len() - before
    }

    pub fn finish(self) -> Result<Messages> {
        let (bytes, about) = (self.bytes.freeze(), self.about.finish()?);
        Ok(Messages { bytes, values: self.values, keys: self.keys, numbers: self.numbers, about })
    }
}
