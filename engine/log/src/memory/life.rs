//! How rows in memory are numbered when the log is opened again: behind all that any life of the process may have given out, so that
//! who remembers a place is told that the rows behind it are gone, and does not take others for them.

use headwater_core::Sequence;

use crate::api::{Durability, StreamInfo};

/// A shard has fewer rows in one life: a million a second for twelve days.
const ROWS_OF_LIFE: u32 = 40;

/// Whether a stream is kept in memory.
pub(crate) fn is_in_memory(info: &StreamInfo) -> bool {
    info.spec.durability == Durability::Memory
}

/// The first sequence number of a stream's shards when the log is opened for the nth time. One that is new begins at 0.
pub(crate) fn first_of_life(opened: u64) -> Sequence {
    Sequence(opened << ROWS_OF_LIFE)
}
