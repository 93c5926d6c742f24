//! The log on topics, with a broker in memory that fails as brokers do.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod broker;
mod conformance;
mod fences;
mod looking;
mod outages;
mod reopening;
mod rows;
