//! Operators as the runner drives them, against independent computations of the same.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod aggregates;
mod alarms;
mod data;
mod every;
mod groups;
mod harness;
mod joins;
mod oracle;
mod ordered;
mod over;
mod over_updating;
mod patterns;
mod ranks;
mod revises;
mod sessions;
mod state;
mod trigger_sets;
mod triggers;
mod windows;
