//! Where a pipeline starts reading.

use headwater_core::Sequence;
use headwater_log::From;

use crate::job::clock::{NEW_CLOCK, ShardClock};

/// Where a pipeline starts reading.
#[derive(Clone, Debug)]
pub(crate) enum Start {
    /// Every shard at the same kind of place.
    At(From),
    /// At these cuts, with these clocks: a checkpoint.
    Resume(Vec<Vec<(Sequence, ShardClock)>>),
    /// Where the set was that a trigger came to.
    Member {
        /// The shards of its stream, and what their clocks said. All sources read that one.
        shards: Vec<(Sequence, ShardClock)>,
        /// The first row of each shard that it judges. Those before move the clock and nothing else.
        first: Vec<Sequence>,
    },
}

impl Start {
    /// Where reading of a shard begins, what its clock says there, and the first row that counts.
    pub(super) fn of(&self, source: usize, shard: u32) -> (From, ShardClock, Sequence) {
        let shard = shard as usize;
        let (place, first) = match self {
            Self::At(from) => return (*from, NEW_CLOCK, Sequence::ZERO),
            Self::Resume(places) => (places.get(source).and_then(|shards| shards.get(shard)), None),
            Self::Member { shards, first } => (shards.get(shard), first.get(shard)),
        };
        let (next, clock) = place.copied().unwrap_or((Sequence::ZERO, NEW_CLOCK));
        (From::Sequence(next), clock, first.copied().unwrap_or(Sequence::ZERO))
    }
}
