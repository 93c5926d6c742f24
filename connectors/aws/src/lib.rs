//! Services of Amazon's cloud, or of what speaks like them: Kinesis, SQS, DynamoDB, EC2 Auto Scaling.
//!
//! ```text
//!  access     who asks, and where: credentials, region, endpoint     shared by all
//!  message    messages with an envelope to rows, rows to messages    no network
//!  lanes      what must stay in order, and what may go together      no network
//!  kinesis    data streams: a source and a sink
//!  sqs        queues: a source and a sink
//!  dynamodb   tables: a sink
//!  scaling    EC2 Auto Scaling groups: an actuator
//! ```
//!
//! Invariants:
//! - Credentials come from the environment, from files, or from options whose names hide them; they are in no error and no log line.
//! - What the service says decides whether to try again: throttling and failures of its own are outages, what the caller did wrong is
//!   refused.

mod access;
pub mod dynamodb;
pub mod kinesis;
mod lanes;
mod message;
pub mod scaling;
pub mod sqs;

use headwater_connectors::{ActuatorKind, Connector};

/// The connectors of this crate, for the binary to add.
pub const CONNECTORS: [&Connector; 3] = [&kinesis::CONNECTOR, &sqs::CONNECTOR, &dynamodb::CONNECTOR];

/// The actuator of this crate, for the binary to add.
pub const ACTUATOR: &ActuatorKind = &scaling::ACTUATOR;
