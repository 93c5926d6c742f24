//! The HTTP edge as a client sees it: a server on a free port, an engine in memory behind it.

mod append;
mod limits;
mod server;
mod sql;
mod tail;
mod watch;
