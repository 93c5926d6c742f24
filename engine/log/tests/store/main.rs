//! Whole logs, from outside: what they promise, and that they keep it through faults.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod concurrency;
mod conformance;
mod durability;
mod faults;
mod processes;
mod repair;
mod script;
mod sealing;
