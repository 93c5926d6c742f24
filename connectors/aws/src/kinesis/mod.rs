//! Kinesis Data Streams.
//!
//! | option | meaning |
//! |---|---|
//! | `stream`, `stream_name` | the stream's name |
//! | `stream.arn` | or its ARN, which also says the region |
//! | `source.init.position`, `scan.stream.initpos`, `source.offset` | where a source begins, see below; `LATEST` unless set |
//! | `source.init.timestamp`, `scan.stream.initpos-timestamp` | for `AT_TIMESTAMP`: RFC 3339, or seconds since the epoch |
//! | `source.init.sequence-number` | for `…_SEQUENCE_NUMBER`: `SHARD-ID:NUMBER`, several with commas between |
//! | `source.reader.type` | `POLLING` (unless set), or `EFO`: enhanced fan-out |
//! | `source.efo.consumer.name` | the consumer's name, for `EFO` |
//! | `source.efo.lifecycle` | `JOB_MANAGED` (unless set) registers a consumer that is not there, `SELF_MANAGED` does not |
//! | `source.shard.discovery.interval` | how often new shards are looked for; 10 s unless set |
//! | `source.shard.get-records.interval` | between two requests for one shard; 200 ms unless set: five a second are allowed |
//! | `source.shard.get-records.max-record-count` | records of a request at most; 10,000 unless set |
//! | `sink.partition-key` | the columns that make a record's partition key; those of `PRIMARY KEY` unless set |
//! | `sink.partitioner-field-delimiter` | what stands between their values; `\|` unless set |
//! | `sink.explicit-hash-key` | a column with the hash key, a decimal number below 2^128, instead of the partition key's hash |
//! | `sink.partitioner` | `random` (unless there is a key): one for each row; `fixed`: one for each shard of ours |
//! | `sink.key-field` | the field of a JSON record that holds the row's key; `_key` unless set, the empty text for none |
//! | `sink.batch.max-size`, `records_per_batch` | records of a request; 500, the most there may be, unless set |
//! | `sink.batch.max-size-in-bytes`, `batch_max_buffer_size` | bytes of a request; 5 MiB, the most there may be, unless set |
//! | `sink.producer.aggregation-enabled`, `sink.aggregation-enabled` | `true`: many rows in one record, as the library does it; see below |
//! | `sink.producer.aggregation-max-count` | rows of such a record at most; 10,000 unless set |
//! | `sink.producer.aggregation-max-size` | its bytes; 51,200 unless set, as the library has it; one row always goes |
//! | `sink.flush-buffer.timeout`, `batch_flush_interval_millis` | how many milliseconds a row may wait; 200 unless set |
//!
//! The positions are `TRIM_HORIZON` (`earliest`), `LATEST`, `AT_TIMESTAMP`, `AT_SEQUENCE_NUMBER` and `AFTER_SEQUENCE_NUMBER`; shards that
//! the sequence numbers do not name begin at their oldest record. Besides, there are the options of [`access`](crate::access). The
//! names are those of Flink's Kinesis connector and of Arroyo's.
//!
//! ## Records and rows
//!
//! A record is one row, in any format of single records: JSON, CSV, raw, `debezium_json` (the changes of one row need one partition
//! key), Avro and Protobuf, also with a schema registry, by the options of [`connectors/kafka`](../../../kafka/README.md). A sink writes
//! JSON, CSV, raw and `debezium_json`. Records that the Kinesis Producer Library has aggregated are taken apart; of those a record that its
//! own shard is not responsible for is dropped, as the library has sent it again to the right one. Columns with `METADATA FROM`:
//!
//! | name | what it is |
//! |---|---|
//! | `partition-key` | the partition key; of a sink, too, like `sink.partition-key` |
//! | `explicit-hash-key` | the explicit hash key, if the record was aggregated with one; of a sink, too |
//! | `shard-id` | the shard |
//! | `sequence-number` | the sequence number, which has up to 129 digits |
//! | `sub-sequence-number` | its place in an aggregated record, from 0; NULL if it was not in one |
//! | `timestamp` | when it arrived there |
//!
//! ## What is promised
//!
//! A source resumes each shard after the sequence number that was stored with its rows, and reads a shard's children only after all of
//! its parents. A source that begins at `LATEST` stores the moment at once, so that nothing is lost if it dies before the first
//! record. What retention removes there before it is read is lost, and logged.
//!
//! With aggregation a record holds rows of one shard, by the hash of their keys, and each shard has one record under way. So one key is no
//! slower than many, and a shard's 1,000 records a second hold as many rows as fit. The sink compares the shard that took a record with the
//! one it was made for: after resharding the rows that another shard is responsible for go again, as readers of the new shard drop them.
//! A record with one row is an ordinary one. Who reads must take records apart, as KCL, Flink and this source do.
//!
//! A sink writes each row at least once. Rows of one partition key stay in order: of each key one record is under way at a time, and the
//! next follows when that has arrived. So many keys make a sink fast, and a single one waits for an answer per row. A row that may come
//! twice is recognised by the field `_key`, which is `STREAM-ID/SHARD/SEQUENCE`; with random keys it is the partition key, too. A row
//! that the service does not take is parked.

mod aggregate;
mod config;
mod fanout;
mod packing;
mod polling;
mod position;
mod shards;
mod sink;
mod source;
mod stream;
mod waiting;

pub use config::CONNECTOR;
