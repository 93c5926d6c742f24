//! The binary from outside, as its users run it: nothing of the engine is linked here.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod archive;
mod commands;
mod connectors;
mod demo;
mod expected;
mod process;
mod prompt;
mod serving;
mod webhooks;
