//! Archives from outside: what lies there, crashes at every step, a second writer, reading archive and log as one.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod attaching;
mod bench_log;
mod compacting;
mod crashes;
mod faulty;
mod files;
mod others;
mod reading;
mod server;
mod writers;
