//! What a log makes of files that are not as it left them, and of files that an older version left.
//!
//! The rule for damage: it is an error that names the file, or it is irrelevant. Rows that are read are rows that were
//! written, at their sequence numbers; nothing panics.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod catalogs;
mod cuts;
mod flips;
mod golden;
mod golden_events;
mod power;
mod repairs;
mod sample;
mod shuffles;
