//! How rows in memory are numbered when the log is opened again: behind all that any life of the process may have given out, so that
//! who remembers a place is told that the rows behind it are gone, and does not take others for them.

use headwater_core::Sequence;

use crate::api::{Durability, StreamInfo};

/// A shard has fewer rows in one life: a million a second for twelve days.
const ROWS_OF_LIFE: u32 = 40;

impl StreamInfo {
    /// How many rows a shard has been given that goes on at `next`: all there ever were, those included that it was said to begin
    /// behind. Of a stream that is kept in memory, those since the log was opened: how many a life before had is not known.
    pub fn rows_given(&self, next: Sequence) -> u64 {
        if is_in_memory(self) { next.0 & ((1 << ROWS_OF_LIFE) - 1) } else { next.0 }
    }
}

/// Whether a stream is kept in memory.
pub(crate) fn is_in_memory(info: &StreamInfo) -> bool {
    info.spec.durability == Durability::Memory
}

/// The first sequence number of a stream's shards when the log is opened for the nth time. One that is new begins at 0.
pub(crate) fn first_of_life(opened: u64) -> Sequence {
    Sequence(opened << ROWS_OF_LIFE)
}
