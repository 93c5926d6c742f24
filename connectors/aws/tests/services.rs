//! The connectors against emulators of the services, with boto3 as the client of the other side.
//!
//! `tests/run` starts the emulators and says in `HEADWATER_TEST_…` where they are. What is not there is left out, and said.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "services/dynamodb.rs"]
mod dynamodb;
#[path = "services/formats.rs"]
mod formats;
#[path = "services/kinesis.rs"]
mod kinesis;
#[path = "../../tests/conformance/lab.rs"]
#[allow(dead_code, reason = "what others need of it")]
mod lab;
#[path = "services/peer.rs"]
mod peer;
#[path = "services/scaling.rs"]
mod scaling;
#[path = "services/sqs.rs"]
mod sqs;
#[path = "services/throttle.rs"]
mod throttle;
#[path = "services/work.rs"]
mod work;
