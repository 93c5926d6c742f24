//! The connector against Apache Kafka: `HEADWATER_TEST_KAFKA` is a broker's address, `HEADWATER_TEST_KAFKA_JARS` the folder of its
//! jars, from which tests that kill brokers start their own. `tests/run` sets both.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on fails, and says what was left out"
)]

#[path = "kafka/broker.rs"]
mod broker;
#[path = "kafka/changes.rs"]
mod changes;
#[path = "../../mqtt/tests/clients/found.rs"]
#[allow(dead_code, reason = "what others need of it")]
mod found;
#[path = "kafka/group.rs"]
mod group;
#[path = "../../tests/conformance/lab.rs"]
#[allow(dead_code, reason = "shared with other connectors, of which each needs a part")]
mod lab;
#[path = "kafka/logs.rs"]
mod logs;
#[path = "kafka/outage.rs"]
mod outage;
#[path = "kafka/ports.rs"]
mod ports;
#[path = "kafka/registry.rs"]
mod schema_registry;
#[path = "kafka/secure.rs"]
mod secure;
#[path = "kafka/sinks.rs"]
mod sinks;
#[path = "kafka/sources.rs"]
mod sources;
#[path = "kafka/topic.rs"]
mod topic;
