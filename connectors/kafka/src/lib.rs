//! Kafka: a source that keeps its offsets with its rows, and a sink that commits by transactions.
//!
//! ```text
//!  partition ──> messages ──> rows, "topic/partition" = next offset ── one append ──> stream
//!  stream ──> messages with a header WRITER/SHARD/SEQUENCE ── one transaction ──> topic
//! ```
//!
//! | option (Flink's name; Arroyo's) | meaning |
//! |---|---|
//! | `topic` | the topic; for a source several with `;` between |
//! | `topic-pattern` | source: all topics whose names match this regular expression as a whole |
//! | `properties.bootstrap.servers`; `bootstrap_servers` | where the brokers are |
//! | `properties.*`; `client_configs.*` | settings of librdkafka, such as `security.protocol`, `sasl.username`, `ssl.ca.location`; of Java's also `sasl.jaas.config` and trust stores in PEM. `{{ VARIABLE }}` is taken from the environment |
//! | `format`, `value.format` | the format of values; `json` unless set |
//! | `key.format`, `key.fields`, `key.fields-prefix`, `value.fields-include` | columns that the key holds; `;` between them |
//!
//! | `avro-confluent.url`, `protobuf-confluent.url` | the schema registry of formats `avro_confluent` and `protobuf_confluent` |
//! | `….basic-auth.user-info`, `….bearer-auth.token`, `….ssl.ca.location` | who we are to it: `user:password`, or a token; and whose certificates it has, as a PEM file |
//! | `….subject` | sink: the subject of the value's schema, `TOPIC-value` unless set; `key.….subject` that of the key's |
//! | `avro.schema`, `protobuf.schema`, `protobuf.message-name` | the schema as a text; that of Avro is made of the columns unless given |
//!
//! A source:
//!
//! | option | meaning |
//! |---|---|
//! | `scan.startup.mode`; `source.offset` | where a partition begins that was never read: `earliest-offset` (unless set), `latest-offset`, `group-offsets`, `timestamp` or `specific-offsets` |
//! | `scan.startup.timestamp-millis`, `scan.startup.specific-offsets` | the time; `partition:0,offset:42;partition:1,offset:300` |
//! | `scan.bounded.mode` | `unbounded` (unless set), or where the input ends: `latest-offset`, `group-offsets`, `timestamp`, `specific-offsets`; then there is one topic |
//! | `scan.bounded.timestamp-millis`, `scan.bounded.specific-offsets` | as above |
//! | `scan.topic-partition-discovery.interval` | how often new partitions are looked for; 5 minutes unless set, `0 s` never |
//! | `properties.group.id`; `source.group_id` | the group to which offsets are committed once their rows are durable |
//! | `scan.assignment` | `all` (unless set): every partition is read here; `group`: the members of the group share them |
//! | `source.read_mode` | `read_committed` (unless set) or `read_uncommitted` |
//!
//! A sink:
//!
//! | option | meaning |
//! |---|---|
//! | `sink.delivery-guarantee`; `sink.commit_mode` | `exactly-once` (unless set) or `at-least-once` |
//! | `sink.transactional-id-prefix` | what the transactional id begins with, before the stream's name and number; `headwater` unless set. Two installations that write to one topic need two |
//! | `sink.partitioner` | `default`: by the key as Kafka's own producer does, without a key in turn; `fixed`: a partition for each shard; `round-robin` |
//! | `sink.buffer-flush.interval` | how long rows wait for a commit; 200 ms unless set |
//!
//! `upsert-kafka` is the sink for results that are updated: `PRIMARY KEY` is the key, a row that is retracted is a message without value.
//!
//! ## Metadata
//!
//! `METADATA FROM` knows `topic`, `partition`, `offset`, `timestamp`, `timestamp-type`, `headers` and `key` of what is read. Of what is
//! written `timestamp`, `headers` and `key` are taken, and the others mean nothing.
//!
//! ## What is promised
//!
//! Each message of a partition is in the stream once, in order: where the source stands is stored with the rows. Messages of transactions
//! that were aborted are never seen. If Kafka's retention has removed what was not yet read, the source stops and says which offsets;
//! `properties.auto.offset.reset` says to go on. In a group a partition changes hands only when the rows that were read of it are durable and
//! their offsets committed; a member that dies without a word leaves what it had not committed to the next one, as Kafka has it.
//!
//! The sink's position is in the messages themselves. When it opens it fences off whoever used its transactional id, which ends what
//! was left open, and reads back the messages since the last stored end of each partition: so it knows what was committed, also if the
//! answer to a commit was lost. librdkafka cannot ask how a transaction ended, so after any doubt the producer is dropped and another one made.

mod about;
mod cluster;
mod config;
mod consumer;
mod encode;
mod offsets;
mod producer;
mod readback;
mod registry;
mod sink;
mod source;

pub use config::{CONNECTOR, UPSERT};
