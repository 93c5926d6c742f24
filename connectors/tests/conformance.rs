//! The promise of `README.md`, kept by every connector: no row lost, none twice, whenever the process dies.
//!
//! A death is a tokio runtime that is dropped at some moment: every task ends at the await where it happens to be, while what
//! was submitted to the log may still be committed, as with a real process. The log lives on, and the next runtime starts anew.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "a test says what was left out")]

#[path = "conformance/actuators.rs"]
mod actuators;
#[path = "conformance/deliveries.rs"]
mod deliveries;
#[path = "../mqtt/tests/clients/found.rs"]
#[allow(dead_code, reason = "what others need of it")]
mod found;
#[path = "conformance/lab.rs"]
mod lab;
#[path = "conformance/secure.rs"]
mod secure;
#[path = "conformance/sinks.rs"]
mod sinks;
#[path = "conformance/sources.rs"]
mod sources;
