//! Puts rows as records.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::error::BuildError;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, PutRecordsResultEntry};
use headwater_connectors::{ConnectorError, Context, Cursor, Delivery, Result, Sink};
use md5::{Digest, Md5};

use super::config::{Partitioner, SinkOptions};
use super::stream::StreamRef;
use super::waiting::{Record, Row, Waiting, open_shards};
use crate::access::{Access, failed, is_unfit, pause};
use crate::message::{Delivered, MessageWriter};

/// How often in a row nothing at all may arrive before it counts as an outage.
const PATIENCE: u32 = 8;

/// How many rows may be under way before a flush is due.
const ROWS_BEFORE_FLUSH: usize = 8_192;

/// The longest partition key, in characters.
pub(super) const KEY_CHARS_MAX: usize = 256;

/// Puts rows as records.
pub(super) struct Putting {
    context: Context,
    access: Access,
    stream: StreamRef,
    options: SinkOptions,
    messages: MessageWriter,
    client: Option<Client>,
    waiting: Waiting,
    delivered: usize,
    failures: u32,
    /// How many rows go alone, as one of them made a request fail.
    alone: usize,
}

impl Putting {
    pub(super) fn new(
        context: Context,
        access: Access,
        stream: StreamRef,
        options: SinkOptions,
    ) -> Result<Self> {
        let messages = MessageWriter::new(&context, options.key_field.clone())?;
        Ok(Self {
            context,
            access,
            stream,
            options,
            messages,
            client: None,
            waiting: Waiting::default(),
            delivered: 0,
            failures: 0,
            alone: 0,
        })
    }

    /// The partition key of each row.
    fn partition_keys(&self, delivery: &Delivery, row_key: impl Fn(usize) -> String) -> Result<Vec<String>> {
        let keys = match &self.options.partitioner {
            Partitioner::Random => (0..delivery.rows.num_rows()).map(row_key).collect(),
            Partitioner::Fixed => {
                let key = format!("{}-{}/{}", delivery.stream, self.context.stream_id, delivery.shard);
                vec![key; delivery.rows.num_rows()]
            }
            Partitioner::Columns(columns) => {
                let mut keys = columns.keys(&delivery.rows)?;
                for (row, key) in keys.iter_mut().enumerate() {
                    if key.is_empty() {
                        *key = row_key(row);
                    } else if key.chars().count() > KEY_CHARS_MAX {
                        // As good a key: what had the same key before has the same now.
                        *key = format!("{:032x}", u128::from_be_bytes(Md5::digest(key.as_str()).into()));
                    }
                }
                keys
            }
        };
        Ok(keys)
    }

    /// The explicit hash key of each row, if a column has them; the error is of that row.
    fn hash_keys(&self, delivery: &Delivery) -> Result<Vec<std::result::Result<Option<String>, String>>> {
        let Some(column) = &self.options.explicit_hash_key else {
            return Ok(vec![Ok(None); delivery.rows.num_rows()]);
        };
        let check = |key: String| match key.as_str() {
            "" => Ok(None),
            digits if digits.parse::<u128>().is_ok() => Ok(Some(key)),
            other => Err(format!("its explicit hash key is {other:?}, no number from 0 to 2^128-1")),
        };
        Ok(column.keys(&delivery.rows)?.into_iter().map(check).collect())
    }

    /// Puts what may go together, and keeps what does not arrive.
    async fn put_some(&mut self) -> Result<()> {
        let what = format!("put records into {}", self.stream.shown());
        let Some(client) = self.client.clone() else {
            return Err(ConnectorError::outage(what, "the sink is not open"));
        };
        let taken = self.waiting.take(&self.options, self.alone > 0);
        self.alone = self.alone.saturating_sub(taken.iter().map(Record::rows).sum());
        let entries: std::result::Result<Vec<_>, _> = taken.iter().map(entry_of).collect();
        let entries = entries.map_err(|error| ConnectorError::refused(what.as_str(), error))?;
        let request = client.put_records().set_records(Some(entries));
        let request = request.set_stream_name(self.stream.name()).set_stream_arn(self.stream.arn());
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) if is_unfit(&error) => return self.set_aside(taken, failed(what, &error)).await,
            Err(error) => return Err(failed(what, &error)),
        };
        let (arrived, reason) = self.note_results(&client, taken, answer.records).await?;
        let Some(reason) = reason else {
            self.failures = 0;
            return Ok(());
        };
        self.failures = if arrived > 0 { 0 } else { self.failures + 1 };
        if self.failures > PATIENCE {
            return Err(ConnectorError::outage(what, reason));
        }
        tracing::debug!(stream = self.stream.shown(), reason, "records did not arrive, and go again");
        pause(&self.context.world, self.failures).await;
        Ok(())
    }

    /// Notes which records have arrived, and keeps the others to go again. Answers how many have, and why one has not.
    async fn note_results(
        &mut self,
        client: &Client,
        taken: Vec<Record>,
        results: Vec<PutRecordsResultEntry>,
    ) -> Result<(usize, Option<String>)> {
        let (mut arrived, mut reason) = (0, None);
        let mut results = results.into_iter();
        let mut astray = Vec::new();
        for record in taken {
            match results.next() {
                Some(result) if result.error_code.is_none() => {
                    arrived += 1;
                    let shard = result.shard_id.unwrap_or_default();
                    if record.is_astray(&shard) {
                        astray.push((record, shard));
                    } else {
                        self.waiting.arrived(record);
                    }
                }
                result => {
                    reason = result.and_then(|result| result.error_message.or(result.error_code)).or(reason);
                    self.waiting.refused(record);
                }
            }
        }
        if !astray.is_empty() {
            self.waiting.reshard(open_shards(&self.stream, client).await?);
            for (record, shard) in astray {
                tracing::debug!(stream = self.stream.shown(), shard, "a record came to another shard");
                self.waiting.arrived_at(record, &shard);
            }
        }
        Ok((arrived, reason))
    }

    /// One of these rows is no good: if it is the only one, it is parked; otherwise they go again, one by one.
    async fn set_aside(&mut self, taken: Vec<Record>, error: ConnectorError) -> Result<()> {
        let rows: usize = taken.iter().map(Record::rows).sum();
        if rows > 1 {
            self.alone = rows;
            taken.into_iter().for_each(|record| self.waiting.refused(record));
        } else if let Some(row) = taken.into_iter().next().and_then(|record| self.waiting.arrived(record)) {
            row.delivered.park(&self.context.parking, error).await?;
        }
        Ok(())
    }
}

fn entry_of(record: &Record) -> std::result::Result<PutRecordsRequestEntry, BuildError> {
    PutRecordsRequestEntry::builder()
        .data(Blob::new(record.data().as_ref()))
        .partition_key(record.partition_key())
        .set_explicit_hash_key(record.explicit_hash_key().map(str::to_owned))
        .build()
}

#[async_trait]
impl Sink for Putting {
    async fn open(&mut self, stored: Cursor) -> Result<Cursor> {
        let client = Client::new(&self.access.config().await?);
        // A stream that is not there is told now, not with the first row.
        let found = client.describe_stream_summary();
        let found = found.set_stream_name(self.stream.name()).set_stream_arn(self.stream.arn()).send().await;
        found.map_err(|error| failed(format!("describe {}", self.stream.shown()), &error))?;
        if self.options.aggregation.is_some() {
            self.waiting.reshard(open_shards(&self.stream, &client).await?);
        }
        self.client = Some(client);
        Ok(stored)
    }

    async fn deliver(&mut self, delivery: Delivery) -> Result<()> {
        let id = self.context.stream_id;
        let row_key = |row: usize| {
            let sequence = delivery.first.plus(row as u64);
            format!("{}-{id}/{}/{sequence}", delivery.stream, delivery.shard)
        };
        let messages = self.messages.write(&delivery.rows, row_key)?;
        let keys = self.partition_keys(&delivery, row_key)?;
        let hash_keys = self.hash_keys(&delivery)?;
        self.delivered += messages.len();
        for (at, ((data, key), hash_key)) in messages.into_iter().zip(keys).zip(hash_keys).enumerate() {
            let delivered = Delivered::of(&delivery, at);
            match hash_key {
                Ok(explicit_hash_key) => {
                    self.waiting.push(Row { partition_key: key, data, explicit_hash_key, delivered });
                }
                Err(reason) => delivered.park(&self.context.parking, reason).await?,
            }
        }
        // Records are filled as far as what waits for a flush goes.
        let enough = match &self.options.aggregation {
            Some(_) => ROWS_BEFORE_FLUSH,
            None => self.options.records_max,
        };
        while self.waiting.len() >= enough {
            self.put_some().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<String> {
        while self.waiting.len() > 0 {
            self.put_some().await?;
        }
        self.delivered = 0;
        Ok(String::new())
    }

    fn is_full(&self) -> bool {
        self.delivered >= ROWS_BEFORE_FLUSH
    }

    fn linger(&self) -> Duration {
        self.options.linger
    }
}
