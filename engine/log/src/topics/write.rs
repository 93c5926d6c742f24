//! Writes a transaction through outages, and never twice.
//!
//! ```text
//!  commit ──ok──► done
//!     │ no answer                         what follows our last message in each partition
//!     ▼                                   ┌─ all of ours ──► done
//!  somebody else in the catalog? ──► take over ──► read ─┼─ nothing ──────► commit again
//!     │ yes                               └─ anything else ► fenced
//!     ▼
//!  fenced
//! ```
//!
//! That a transaction is there or not is decided once the log has taken over from itself: that ends what was open.
//! Before it does so it looks whether another process has opened the log since, which it would otherwise fence off in turn.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::broker::{Message, TopicError, TopicResult};
use super::inner::Inner;
use crate::error::{LogError, Result};

/// A message, and the offset after the last message of its partition, behind which it must come.
pub(crate) struct Outgoing {
    /// The message.
    pub message: Message,
    /// Where its partition ended before.
    pub after: i64,
}

/// What is to be in a partition: where it ended before, and which of the messages.
struct Expected {
    after: i64,
    messages: Vec<usize>,
}

impl Inner {
    /// Commits messages, however often the broker goes away meanwhile. The answer is the offset of each. An error is for good.
    pub fn transact(&self, outgoing: &[Outgoing], catalog_end: i64) -> Result<Vec<i64>> {
        let messages: Vec<Message> = outgoing.iter().map(|one| one.message.clone()).collect();
        let mut failed = match self.topics.commit(&messages) {
            Ok(offsets) => return Ok(offsets),
            Err(error) => error,
        };
        loop {
            if !matches!(failed, TopicError::Outage { .. }) || self.gives_up() {
                return Err(self.poison_with(LogError::Topics(failed)));
            }
            tracing::warn!(log = self.name, error = %failed, "the broker is away; the log goes on when it is back");
            let settled = match self.settle(outgoing, catalog_end) {
                Ok(None) => self.topics.commit(&messages),
                Ok(Some(offsets)) => Ok(offsets),
                Err(error) => Err(error),
            };
            match settled {
                Ok(offsets) => return Ok(offsets),
                Err(error) => failed = error,
            }
        }
    }

    /// Finds out what became of a commit whose answer was lost: the offsets, or that nothing of it is there.
    fn settle(&self, outgoing: &[Outgoing], catalog_end: i64) -> TopicResult<Option<Vec<i64>>> {
        let mut expected: BTreeMap<(Arc<str>, u32), Expected> = BTreeMap::new();
        let catalog = (self.catalog_topic(), 0);
        expected.insert(catalog.clone(), Expected { after: catalog_end, messages: Vec::new() });
        for (index, one) in outgoing.iter().enumerate() {
            let key = (Arc::clone(&one.message.topic), one.message.partition);
            let entry = expected.entry(key).or_insert(Expected { after: one.after, messages: Vec::new() });
            entry.messages.push(index);
        }
        if let Some(expected) = expected.get(&catalog) {
            self.look(&catalog.0, catalog.1, expected, outgoing)?;
        }
        self.topics.take_over()?;
        let mut offsets = vec![None; outgoing.len()];
        for ((topic, partition), expected) in &expected {
            let found = self.look(topic, *partition, expected, outgoing)?;
            for (index, offset) in expected.messages.iter().zip(found.into_iter().flatten()) {
                offsets[*index] = Some(offset);
            }
        }
        if offsets.iter().all(Option::is_none) && !outgoing.is_empty() {
            return Ok(None);
        }
        match offsets.into_iter().collect::<Option<Vec<i64>>>() {
            Some(offsets) => Ok(Some(offsets)),
            None => Err(TopicError::Refused {
                what: format!("read back what log {} has committed", self.name),
                reason: "a part of a transaction is there; the broker does not keep its word".to_owned(),
            }),
        }
    }

    /// The offsets of our messages in a partition, or that none of them is there. Anything else has another writer.
    fn look(
        &self,
        topic: &Arc<str>,
        partition: u32,
        expected: &Expected,
        outgoing: &[Outgoing],
    ) -> TopicResult<Option<Vec<i64>>> {
        let end = self.topics.bounds(topic, partition)?.end;
        let (mut at, mut found): (i64, Vec<(i64, Bytes)>) = (expected.after, Vec::new());
        while at < end {
            let more = self.topics.read(topic, partition, at..end)?;
            let Some(last) = more.last() else { break };
            at = last.offset + 1;
            found.extend(more.into_iter().map(|stored| (stored.offset, stored.value)));
        }
        if found.is_empty() {
            return Ok(None);
        }
        let values = expected.messages.iter().map(|index| &outgoing[*index].message.value);
        if found.iter().map(|(_, value)| value).eq(values) {
            return Ok(Some(found.into_iter().map(|(offset, _)| offset).collect()));
        }
        Err(TopicError::Fenced { log: self.name.clone() })
    }
}
