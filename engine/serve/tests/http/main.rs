//! The HTTP edge as a client sees it: a server on a free port, an engine in memory behind it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod append;
mod limits;
mod server;
mod sql;
mod tail;
mod watch;
