//! Operators as the runner drives them, against independent computations of the same.

mod aggregates;
mod data;
mod groups;
mod harness;
mod oracle;
mod sessions;
mod state;
mod windows;
