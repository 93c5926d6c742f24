//! Who comes next: conditions are checked and sequence numbers are given, group by group.
//!
//! A group is placed as a whole or not at all. What is placed here is not yet written; a log that then fails to write
//! throws its sequencer away (it is poisoned), so that nothing has to be taken back from here.

use hashbrown::HashMap;
use headwater_core::{ProducerId, Sequence, ShardId, StreamId, StreamName};

use crate::api::{Append, Appended, Producer};
use crate::error::{LogError, Result};
use crate::producers::{History, PRODUCERS_REMEMBERED, Producers, Verdict};

/// One append as far as placing it goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    /// The stream.
    pub stream: StreamId,
    /// The shard.
    pub shard: ShardId,
    /// How many rows.
    pub rows: u64,
    /// Who appends.
    pub producer: Option<Producer>,
    /// The sequence number that must be next.
    pub expect_next: Option<Sequence>,
    /// What the fencing token must be.
    pub fence: Option<u64>,
}

impl From<&Append> for Ask {
    fn from(append: &Append) -> Self {
        Self {
            stream: append.stream,
            shard: append.shard,
            rows: append.rows.num_rows() as u64,
            producer: append.producer,
            expect_next: append.expect_next,
            fence: append.fence,
        }
    }
}

/// The end of one shard.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    /// The sequence number that the next row will get.
    pub next: Sequence,
    /// The fencing token.
    pub fence: Option<u64>,
    /// Who appended what last.
    pub producers: Producers,
}

struct StreamHeads {
    name: StreamName,
    heads: Vec<Head>,
}

/// The ends of all shards.
pub(crate) struct Sequencer {
    streams: HashMap<StreamId, StreamHeads>,
    /// How many producers of a shard are remembered.
    producers_max: usize,
}

impl Default for Sequencer {
    fn default() -> Self {
        Self { streams: HashMap::default(), producers_max: PRODUCERS_REMEMBERED }
    }
}

/// How to take one placed append back.
struct Undo {
    stream: StreamId,
    shard: ShardId,
    next: Sequence,
    history: Option<(ProducerId, Option<History>)>,
}

impl Sequencer {
    /// Remembers so many producers of each shard from now on, a handful at least.
    pub(crate) fn remember(&mut self, producers: usize) {
        self.producers_max = producers.max(16);
    }

    /// Starts a stream with empty shards.
    pub(crate) fn add(&mut self, id: StreamId, name: StreamName, shards: u32) {
        let heads = vec![Head::default(); shards as usize];
        self.streams.insert(id, StreamHeads { name, heads });
    }

    /// Forgets a stream.
    pub(crate) fn remove(&mut self, id: StreamId) {
        self.streams.remove(&id);
    }

    /// The end of a shard.
    pub(crate) fn head(&self, stream: StreamId, shard: ShardId) -> Option<&Head> {
        self.streams.get(&stream)?.heads.get(shard.0 as usize)
    }

    /// The end of a shard, to change it.
    pub(crate) fn head_mut(&mut self, stream: StreamId, shard: ShardId) -> Option<&mut Head> {
        self.streams.get_mut(&stream)?.heads.get_mut(shard.0 as usize)
    }

    /// Gives each append of a group its sequence numbers; if one cannot have them, none gets any.
    pub(crate) fn place(&mut self, group: &[Ask]) -> Result<Vec<Appended>> {
        let mut placed = Vec::with_capacity(group.len());
        let mut undo = Vec::with_capacity(group.len() - group.len().min(1));
        for (at, ask) in group.iter().enumerate() {
            let last = at + 1 == group.len();
            match self.place_one(ask, if last { None } else { Some(&mut undo) }) {
                Ok(one) => placed.push(one),
                Err(error) => {
                    undo.into_iter().rev().for_each(|one| self.take_back(one));
                    return Err(error);
                }
            }
        }
        Ok(placed)
    }

    fn place_one(&mut self, ask: &Ask, undo: Option<&mut Vec<Undo>>) -> Result<Appended> {
        let producers_max = self.producers_max;
        let Some(StreamHeads { name, heads }) = self.streams.get_mut(&ask.stream) else {
            return Err(LogError::NoStream { name: format!("number {}", ask.stream) });
        };
        let Some(head) = heads.get_mut(ask.shard.0 as usize) else {
            return Err(LogError::NoShard {
                stream: name.clone(),
                shard: ask.shard,
                shards: u32::try_from(heads.len()).unwrap_or(u32::MAX),
            });
        };
        if let Some(repeat) = judge(name, ask, head)? {
            return Ok(repeat);
        }
        check_conditions(name, ask, head)?;
        let appended = Appended { first: head.next, next: head.next.plus(ask.rows), duplicate: false };
        // Only rows can carry the memory of their producer to the disk.
        let producer = ask.producer.filter(|_| ask.rows > 0);
        if let Some(undo) = undo {
            let history = producer.map(|one| (one.id, head.producers.history(one.id)));
            undo.push(Undo { stream: ask.stream, shard: ask.shard, next: head.next, history });
        }
        head.next = appended.next;
        if let Some(producer) = producer {
            head.producers.note(producer, appended.first, appended.next);
            head.producers.forget_beyond(producers_max);
        }
        Ok(appended)
    }

    fn take_back(&mut self, undo: Undo) {
        let Some(head) = self.head_mut(undo.stream, undo.shard) else { return };
        head.next = undo.next;
        if let Some((id, history)) = undo.history {
            head.producers.restore(id, history);
        }
    }
}

/// The original, if this is a repeat. A repeat is answered before conditions are looked at: its original met them.
fn judge(name: &StreamName, ask: &Ask, head: &Head) -> Result<Option<Appended>> {
    let Some(producer) = ask.producer else { return Ok(None) };
    match head.producers.judge(producer) {
        Verdict::New => Ok(None),
        Verdict::Repeat(original) => Ok(Some(original)),
        Verdict::Stale(actual) => Err(LogError::StaleEpoch {
            stream: name.clone(),
            shard: ask.shard,
            actual,
            given: producer.epoch,
        }),
        // An append without rows leaves no trace, and needs none: there is nothing that could be there twice.
        Verdict::TooOld(_) if ask.rows == 0 => Ok(None),
        Verdict::TooOld(oldest) => Err(LogError::ProducerTooOld {
            stream: name.clone(),
            shard: ask.shard,
            oldest,
            given: producer.sequence,
        }),
    }
}

fn check_conditions(name: &StreamName, ask: &Ask, head: &Head) -> Result<()> {
    if ask.fence.is_some() && ask.fence != head.fence {
        return Err(LogError::Fenced {
            stream: name.clone(),
            shard: ask.shard,
            actual: head.fence,
            given: ask.fence,
        });
    }
    match ask.expect_next {
        Some(expected) if expected != head.next => Err(LogError::WrongSequence {
            stream: name.clone(),
            shard: ask.shard,
            expected,
            actual: head.next,
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use headwater_core::Epoch;

    use super::*;

    fn ask(shard: u32, rows: u64) -> Ask {
        Ask {
            stream: StreamId(1),
            shard: ShardId(shard),
            rows,
            producer: None,
            expect_next: None,
            fence: None,
        }
    }

    fn sequencer() -> Sequencer {
        let mut sequencer = Sequencer::default();
        sequencer.add(StreamId(1), StreamName::new("s").unwrap(), 2);
        sequencer
    }

    #[test]
    fn a_group_that_fails_leaves_no_trace() {
        let mut sequencer = sequencer();
        let producer = Some(Producer { id: ProducerId(5), epoch: Epoch(0), sequence: 1 });
        let group = [
            Ask { producer, ..ask(0, 3) },
            Ask { expect_next: Some(Sequence(3)), ..ask(0, 2) },
            Ask { expect_next: Some(Sequence(9)), ..ask(1, 2) },
        ];
        assert!(matches!(sequencer.place(&group), Err(LogError::WrongSequence { .. })));
        assert_eq!(sequencer.head(StreamId(1), ShardId(0)).unwrap().next, Sequence(0));
        assert_eq!(sequencer.head(StreamId(1), ShardId(0)).unwrap().producers.last_of(ProducerId(5)), None);
        let placed = sequencer.place(&group[..2]).unwrap();
        assert_eq!((placed[1].first, placed[1].next), (Sequence(3), Sequence(5)));
        assert!(sequencer.place(&group[..1]).unwrap()[0].duplicate);
    }

    #[test]
    fn an_append_without_rows_may_be_repeated_at_any_time() {
        let mut sequencer = sequencer();
        let from = |sequence| Some(Producer { id: ProducerId(5), epoch: Epoch(1), sequence });
        for sequence in [1, 3] {
            sequencer.place(&[Ask { producer: from(sequence), ..ask(0, 2) }]).unwrap();
        }
        let repeat = sequencer.place(&[Ask { producer: from(2), ..ask(0, 0) }]).unwrap()[0];
        assert_eq!((repeat.first, repeat.next), (Sequence(4), Sequence(4)));
        let error = sequencer.place(&[Ask { producer: from(2), ..ask(0, 1) }]).unwrap_err();
        assert!(matches!(error, LogError::ProducerTooOld { oldest: 1, given: 2, .. }));
    }

    #[test]
    fn tokens_fence_only_those_who_carry_one() {
        let mut sequencer = sequencer();
        sequencer.head_mut(StreamId(1), ShardId(0)).unwrap().fence = Some(4);
        assert!(sequencer.place(&[Ask { fence: Some(4), ..ask(0, 1) }]).is_ok());
        assert!(sequencer.place(&[ask(0, 1)]).is_ok());
        let error = sequencer.place(&[Ask { fence: Some(3), ..ask(0, 1) }]).unwrap_err();
        assert!(matches!(error, LogError::Fenced { actual: Some(4), given: Some(3), .. }));
        assert!(matches!(sequencer.place(&[ask(2, 1)]), Err(LogError::NoShard { .. })));
    }
}
