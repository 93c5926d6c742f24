//! The codec against itself, against arrow's own IPC, and against damage.

mod arbitrary;
mod bytes;
mod damage;
mod example;
mod pruning;
mod round_trip;
