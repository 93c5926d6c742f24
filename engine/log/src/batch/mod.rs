//! The batch: some consecutive rows of one shard, as bytes.
//!
//! ```text
//!  0            144                          header length (64-aligned)          total length (64-aligned)
//!  | fixed part | nodes, buffers, statistics, 0 | buffer 0 .. pad | buffer 1 .. pad | ... |
//!  '-------------- header, one CRC-32C ---------'-- body: an Arrow IPC record batch body --'
//!                                                   one CRC-32C per buffer
//! ```
//!
//! Invariants:
//! - Bytes that were not written by [`prepare`] are an error: never a panic, never other rows than were written.
//! - The header alone tells what a projection must read, and whether a bound can match at all.
//! - Column data is not copied on its way to the disk unless it is compressed, shifted or rebased.
//!
//! `FORMAT.md` beside this crate has the table of fields and a worked example.

mod body;
mod columns;
mod compress;
mod decode;
mod encode;
mod error;
mod fetch;
mod header;
mod limits;
mod merge;
mod prune;
mod stats;
mod wire;

pub(crate) use decode::{Decoded, Wanted, decode};
pub(crate) use encode::{Encoded, Placement, Prepared, Source, prepare};
pub(crate) use error::BatchError;
pub(crate) use fetch::{Fetch, verify};
pub(crate) use header::{FIXED_BYTES, Header};
pub(crate) use limits::Limits;
pub(crate) use merge::{Arrivals, merge, plan_merges};
pub(crate) use prune::may_match;

#[cfg(test)]
mod tests;
