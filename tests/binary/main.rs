//! The binary from outside, as its users run it: nothing of the engine is linked here.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod archive;
#[path = "../../connectors/wamp/tests/autobahn/found.rs"]
#[expect(
    clippy::print_stdout,
    dead_code,
    reason = "it says what was left out, and can more than is needed here"
)]
mod autobahn;
mod aws;
#[path = "../../connectors/kafka/tests/kafka/broker.rs"]
#[expect(dead_code, reason = "it can more than is needed here")]
mod broker;
mod commands;
mod commits;
mod connectors;
mod databases;
mod decisions;
mod deliveries;
mod demo;
mod expected;
#[path = "../../connectors/mqtt/tests/clients/found.rs"]
#[expect(
    clippy::print_stdout,
    dead_code,
    reason = "it says what was left out, and can more than is needed here"
)]
mod found;
mod kafka;
mod looking;
mod mapreduce;
mod members;
mod mqtt;
mod pages;
#[path = "../../connectors/kafka/tests/kafka/ports.rs"]
mod ports;
mod process;
mod prompt;
mod scaling;
mod secure;
#[path = "../../connectors/databases/tests/it/server.rs"]
#[expect(
    clippy::print_stdout,
    dead_code,
    reason = "it says what was left out, and can more than is needed here"
)]
mod server;
mod serving;
mod wamp;
mod webhooks;
