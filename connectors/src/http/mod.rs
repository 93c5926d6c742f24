//! HTTP: polling a URL as a source, posting to one as a sink.
//!
//! The source asks every `poll-interval` and takes the answer as records; with `emit-behavior = 'changed'` only an answer that differs
//! from the one before, also across a restart. What the server did not show at a poll was not seen: no source of this kind can do
//! better.
//!
//! The sink posts rows in order, each request with `Idempotency-Key: STREAM-ID/SHARD/SEQUENCE` of its first row. A request that
//! fails is repeated with the same rows; after a crash the rows of up to the last half second come again. A receiver that
//! remembers keys takes each row once.

mod client;
mod config;
mod sink;
mod source;
#[cfg(test)]
mod test;

pub(crate) use client::read_headers;
pub use client::{causes, fill_from_environment};
pub(crate) use config::{HTTP, POLLING_HTTP, WEBHOOK};
