//! What each producer appended last to a shard, so that a repeat is recognised.
//!
//! Per producer: its newest epoch and its last [`APPENDS_REMEMBERED`] appends, oldest first, with the rows that they became.
//!
//! ```text
//!  producer sequence    <= last, not remembered | remembered      | > last
//!  verdict              too old                 | repeat, answered | append
//! ```
//!
//! The memory is a fold over batch headers and can be rebuilt from them. Merging at sealing erases the headers of
//! single appends, so a sealed segment carries a snapshot of it.

use std::collections::VecDeque;

use bytes::{Buf, BufMut};
use hashbrown::HashMap;
use headwater_core::{Epoch, ProducerId, Sequence};

use crate::api::{Appended, Producer};

/// How many appends of one producer on one shard are remembered. A producer repeats what it has no answer for; the edges keep
/// fewer than this many requests under way per producer, and jobs keep one.
const APPENDS_REMEMBERED: usize = 8;

/// How many producers of one shard are remembered unless something else is set. The one that has been silent longest is forgotten first. It
/// bounds memory when every request names a producer of its own.
pub(crate) const PRODUCERS_REMEMBERED: usize = 4096;

/// One append that is remembered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Remembered {
    /// The producer's own number for it.
    pub sequence: u64,
    /// The first row's sequence number.
    pub first: u64,
    /// The sequence number after the last row's.
    pub next: u64,
}

impl Remembered {
    fn as_repeat(self) -> Appended {
        Appended { first: Sequence(self.first), next: Sequence(self.next), duplicate: true }
    }
}

/// What is remembered of one producer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct History {
    epoch: Epoch,
    recent: VecDeque<Remembered>,
}

/// One producer's memory, as snapshots keep it.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Snapshot {
    /// Who.
    pub producer: u64,
    /// Its newest epoch.
    pub epoch: u32,
    /// Its last appends, oldest first.
    pub recent: Vec<Remembered>,
}

/// What to do with an append.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// Append it.
    New,
    /// It is there already.
    Repeat(Appended),
    /// Its incarnation is over; this one is newer.
    Stale(Epoch),
    /// Whether it is there is not known any more; this is the oldest that is.
    TooOld(u64),
}

/// The producers of one shard.
#[derive(Clone, Debug, Default)]
pub(crate) struct Producers {
    by_id: HashMap<ProducerId, History>,
}

impl Producers {
    /// Judges an append.
    pub(crate) fn judge(&self, producer: Producer) -> Verdict {
        let Some(history) = self.by_id.get(&producer.id) else { return Verdict::New };
        if producer.epoch < history.epoch {
            return Verdict::Stale(history.epoch);
        }
        let Some(last) = history.recent.back() else { return Verdict::New };
        if producer.epoch > history.epoch || producer.sequence > last.sequence {
            return Verdict::New;
        }
        match history.recent.iter().find(|one| one.sequence == producer.sequence) {
            Some(one) => Verdict::Repeat(one.as_repeat()),
            None => Verdict::TooOld(history.recent.front().map_or(last.sequence, |oldest| oldest.sequence)),
        }
    }

    /// Remembers an append. Parts of one append that was split come one after the other and count as one. What a
    /// snapshot covers already is not noted again.
    pub(crate) fn note(&mut self, producer: Producer, first: Sequence, next: Sequence) {
        let history = self.by_id.entry(producer.id).or_default();
        if history.end() >= next.0 {
            return;
        }
        if producer.epoch != history.epoch {
            history.epoch = producer.epoch;
            history.recent.clear();
        }
        match history.recent.back_mut() {
            Some(last) if last.sequence == producer.sequence && last.next == first.0 => last.next = next.0,
            _ => {
                if history.recent.len() == APPENDS_REMEMBERED {
                    history.recent.pop_front();
                }
                history.recent.push_back(Remembered {
                    sequence: producer.sequence,
                    first: first.0,
                    next: next.0,
                });
            }
        }
    }

    /// Forgets those that have been silent longest if there are more than so many: a quarter at a time, so that it costs little per append.
    pub(crate) fn forget_beyond(&mut self, most: usize) {
        let gone = self.by_id.len().saturating_sub(most - most / 4);
        if self.by_id.len() <= most || gone == 0 {
            return;
        }
        let mut ends: Vec<u64> = self.by_id.values().map(History::end).collect();
        let (_, &mut bound, _) = ends.select_nth_unstable(gone - 1);
        self.by_id.retain(|_, history| history.end() > bound);
    }

    /// The last append of a producer.
    pub(crate) fn last_of(&self, id: ProducerId) -> Option<(Producer, Appended)> {
        let history = self.by_id.get(&id)?;
        let last = history.recent.back()?;
        Some((Producer { id, epoch: history.epoch, sequence: last.sequence }, last.as_repeat()))
    }

    /// What is remembered of one producer, to put back with [`Self::restore`].
    pub(crate) fn history(&self, id: ProducerId) -> Option<History> {
        self.by_id.get(&id).cloned()
    }

    /// Takes back what was noted since [`Self::history`].
    pub(crate) fn restore(&mut self, id: ProducerId, history: Option<History>) {
        match history {
            Some(history) => self.by_id.insert(id, history),
            None => self.by_id.remove(&id),
        };
    }

    /// All of it, in the order of producers.
    pub(crate) fn snapshot(&self) -> Vec<Snapshot> {
        self.snapshot_to(Sequence(u64::MAX))
    }

    /// What is remembered of rows before `end`. A snapshot must not say more than the log will hold after a loss of
    /// power: a repeat of what was lost would be taken for a repeat of what is there.
    pub(crate) fn snapshot_to(&self, end: Sequence) -> Vec<Snapshot> {
        let mut all: Vec<Snapshot> = self
            .by_id
            .iter()
            .map(|(id, history)| Snapshot {
                producer: id.0,
                epoch: history.epoch.0,
                recent: history.recent.iter().filter(|one| one.next <= end.0).copied().collect(),
            })
            .collect();
        all.sort_by_key(|one| one.producer);
        all
    }

    /// The memory that a snapshot was taken of.
    pub(crate) fn from_snapshot(all: &[Snapshot]) -> Self {
        let history = |one: &Snapshot| History {
            epoch: Epoch(one.epoch),
            recent: one.recent.iter().copied().collect(),
        };
        Self { by_id: all.iter().map(|one| (ProducerId(one.producer), history(one))).collect() }
    }
}

impl History {
    fn end(&self) -> u64 {
        self.recent.back().map_or(0, |last| last.next)
    }
}

/// Snapshots as bytes.
pub(crate) fn encode_producers(out: &mut Vec<u8>, producers: &[Snapshot]) {
    out.put_u32_le(producers.len() as u32);
    for one in producers {
        out.put_u64_le(one.producer);
        out.put_u32_le(one.epoch);
        out.put_u32_le(one.recent.len() as u32);
        for append in &one.recent {
            out.put_u64_le(append.sequence);
            out.put_u64_le(append.first);
            out.put_u64_le(append.next);
        }
    }
}

/// Snapshots from the bytes of [`encode_producers`].
pub(crate) fn decode_producers(bytes: &mut &[u8]) -> Result<Vec<Snapshot>, bytes::TryGetError> {
    let mut producers = Vec::new();
    for _ in 0..bytes.try_get_u32_le()? {
        let (producer, epoch) = (bytes.try_get_u64_le()?, bytes.try_get_u32_le()?);
        let mut recent = Vec::new();
        for _ in 0..bytes.try_get_u32_le()? {
            recent.push(Remembered {
                sequence: bytes.try_get_u64_le()?,
                first: bytes.try_get_u64_le()?,
                next: bytes.try_get_u64_le()?,
            });
        }
        producers.push(Snapshot { producer, epoch, recent });
    }
    Ok(producers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn producer(epoch: u32, sequence: u64) -> Producer {
        Producer { id: ProducerId(7), epoch: Epoch(epoch), sequence }
    }

    fn noted(count: u64) -> Producers {
        let mut producers = Producers::default();
        for n in 0..count {
            producers.note(producer(1, 10 * n), Sequence(n), Sequence(n + 1));
        }
        producers
    }

    #[test]
    fn repeats_are_told_from_news_and_from_the_forgotten() {
        let producers = noted(10);
        let repeat = Appended { first: Sequence(9), next: Sequence(10), duplicate: true };
        assert_eq!(producers.judge(producer(1, 90)), Verdict::Repeat(repeat));
        assert_eq!(producers.judge(producer(1, 91)), Verdict::New);
        assert_eq!(producers.judge(producer(1, 10)), Verdict::TooOld(20));
        assert_eq!(producers.judge(producer(1, 85)), Verdict::TooOld(20));
        assert_eq!(producers.judge(producer(0, 91)), Verdict::Stale(Epoch(1)));
        assert_eq!(producers.judge(producer(2, 0)), Verdict::New);
        assert_eq!(producers.last_of(ProducerId(7)), Some((producer(1, 90), repeat)));
        assert_eq!(producers.last_of(ProducerId(8)), None);
    }

    #[test]
    fn a_new_epoch_starts_afresh_and_parts_are_one_append() {
        let mut producers = noted(3);
        producers.note(producer(2, 5), Sequence(3), Sequence(6));
        producers.note(producer(2, 5), Sequence(6), Sequence(7));
        let repeat = Appended { first: Sequence(3), next: Sequence(7), duplicate: true };
        assert_eq!(producers.judge(producer(2, 5)), Verdict::Repeat(repeat));
        assert_eq!(producers.judge(producer(2, 4)), Verdict::TooOld(5));
    }

    #[test]
    fn a_snapshot_restores_the_memory() {
        let producers = noted(10);
        let again = Producers::from_snapshot(&producers.snapshot());
        assert_eq!(again.snapshot(), producers.snapshot());
        assert_eq!(again.judge(producer(1, 10)), Verdict::TooOld(20));
    }

    #[test]
    fn a_snapshot_says_nothing_about_rows_that_may_yet_be_lost() {
        let mut after_loss = Producers::from_snapshot(&noted(10).snapshot_to(Sequence(8)));
        assert_eq!(after_loss.judge(producer(1, 80)), Verdict::New);
        after_loss.note(producer(1, 95), Sequence(8), Sequence(9));
        let repeat = Appended { first: Sequence(8), next: Sequence(9), duplicate: true };
        assert_eq!(after_loss.judge(producer(1, 95)), Verdict::Repeat(repeat));
    }

    #[test]
    fn the_longest_silent_are_forgotten_first() {
        let mut producers = Producers::default();
        for n in 0..=PRODUCERS_REMEMBERED as u64 {
            let one = Producer { id: ProducerId(n), epoch: Epoch(0), sequence: 0 };
            producers.note(one, Sequence(n), Sequence(n + 1));
            producers.forget_beyond(PRODUCERS_REMEMBERED);
        }
        assert!(producers.by_id.len() <= PRODUCERS_REMEMBERED);
        assert!(producers.by_id.len() > PRODUCERS_REMEMBERED / 2, "a quarter is forgotten and not more");
        assert_eq!(producers.last_of(ProducerId(0)), None);
        assert!(producers.last_of(ProducerId(PRODUCERS_REMEMBERED as u64)).is_some());
    }
}
