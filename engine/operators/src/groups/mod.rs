//! Keys to dense numbers.
//!
//! A key gets the next number when it first appears, so numbers depend on the rows alone. Nothing is removed one by
//! one: who uses a table counts what is dead in it and, when that is most of it, calls `retain`, which renumbers the rest and
//! gives the memory back.

mod bits;
mod index;
mod keys;
mod maps;
mod order;
mod radix;
mod rows;

pub(crate) use bits::Bits;
pub(crate) use keys::KeyTable;
pub(crate) use maps::{IntMap, hash_bytes};
pub(crate) use order::InOrder;
