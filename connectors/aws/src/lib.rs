//! Services of Amazon's cloud, or of what speaks like them: Kinesis, SQS, DynamoDB.
//!
//! ```text
//!  access     who asks, and where: credentials, region, endpoint     shared by all
//!  message    messages with an envelope to rows, rows to messages    no network
//!  lanes      what must stay in order, and what may go together      no network
//!  kinesis    data streams: a source and a sink
//!  sqs        queues: a source and a sink
//!  dynamodb   tables: a sink
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
pub mod sqs;

use headwater_connectors::Connector;

/// The connectors of this crate, for the binary to add.
pub const CONNECTORS: [&Connector; 3] = [&kinesis::CONNECTOR, &sqs::CONNECTOR, &dynamodb::CONNECTOR];
