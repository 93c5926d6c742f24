//! Queues of SQS.
//!
//! | option | meaning |
//! |---|---|
//! | `queue-url` | the queue's URL |
//! | `queue` | or its name, in the account that asks |
//! | `source.wait-time` | how long a request waits for messages; 10 s unless set, 20 s at most |
//! | `source.visibility-timeout` | how long a received message is hidden; the queue's own unless set, and extended while an append lasts |
//! | `source.receivers` | requests at a time; 4 unless set |
//! | `sink.message-group-id` | for FIFO queues: the columns that make a message's group; our stream and shard unless set |
//!
//! and those of [`access`](crate::access).
//!
//! ## Messages and rows
//!
//! A message is one row, in any format of single records: JSON, CSV, raw, `debezium_json` (of a FIFO queue, as no other keeps the order of
//! changes), Avro and Protobuf, also with a schema registry. Bodies are text, so messages in Avro and Protobuf lie in them as Base64; a
//! body that is none is a dead letter. A sink writes JSON, CSV, raw and `debezium_json`. Columns with `METADATA FROM`:
//!
//! | name | what it is |
//! |---|---|
//! | `message-id` | the message's id |
//! | `message-group-id` | the group, of a FIFO queue; of a sink, too, like `sink.message-group-id` |
//! | `message-deduplication-id`, `sequence-number` | of a FIFO queue |
//! | `timestamp` | when it was sent |
//! | `receive-count` | how often it has been received |
//! | `attributes` | its attributes, as a JSON object |
//!
//! ## What is promised
//!
//! A message is deleted after its row is durable, not before. What the queue delivers again is known by its message id and dropped: the ids
//! of the last 256 appends are stored with their rows, and those of the last 100,000 messages are kept in memory. So a message
//! comes twice only if the queue repeats it after all of these. The messages of a FIFO queue's group are in the stream in their order, if
//! the stream has one shard or is partitioned by what makes the group.
//!
//! A sink sends rows in batches. To a FIFO queue it says `STREAM-ID/SHARD/SEQUENCE` as the deduplication id, so that a row that is sent
//! again within five minutes is there once; of each group one message is under way at a time, so that nothing overtakes. Any queue gets
//! that text as the attribute `idempotency-key`, too. A row that the queue does not take is parked.

mod config;
mod received;
mod sink;
mod source;

pub use config::CONNECTOR;
