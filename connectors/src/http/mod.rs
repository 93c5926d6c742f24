//! HTTP: polling a URL as a source, posting to one as a sink.
//!
//! The source asks every `poll-interval` and takes the answer as records; with `emit-behavior = 'changed'` only an answer that differs
//! from the one before, also across a restart. What the server did not show at a poll was not seen: no source of this kind can do
//! better.
//!
//! The source's lag is told in time alone: `lag_ms` is how long ago the server answered last. How many records it would show now nobody
//! knows.
//!
//! The sink posts rows in order, each request with `Idempotency-Key: STREAM-ID/SHARD/SEQUENCE` of its row, or `FIRST-LAST` of several,
//! which are the same ones when they come again. A request that fails is repeated with the same rows, as `retry.first` and
//! `retry.longest` say; after the last attempt, or when the receiver says that it is the rows' fault (400, 410, 413, 422), they are
//! parked in `system.dead_letters`, and the next have their turn. The attempts are counted anew when the process starts. After a crash
//! the rows of up to the last half second come again: a receiver that remembers keys takes each row once. Redirects are not followed. An
//! answer that is about who asks (401, 403, 404 and the like) stops the sink, and its state says why.
//!
//! Both go only where the operator's configuration lets webhooks go, as triggers do; the source follows redirects, as long as they lead
//! nowhere else.

mod client;
mod config;
mod sink;
mod source;
#[cfg(test)]
mod test;
mod tls;

pub(crate) use client::read_headers;
pub(crate) use config::{HTTP, POLLING_HTTP, WEBHOOK};
pub use tls::Tls;
