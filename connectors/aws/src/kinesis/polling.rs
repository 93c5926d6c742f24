//! Reads a shard by asking again and again.

use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::operation::get_records::GetRecordsOutput;
use headwater_connectors::Result;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::position::Position;
use super::source::{Batch, records_of};
use super::stream::StreamRef;
use crate::access::failed;

/// How often throttling is waited out before it counts as an outage.
const PATIENCE: u32 = 8;

/// Reads one shard.
pub(super) struct Poller {
    pub client: Client,
    pub stream: StreamRef,
    pub shard: String,
    pub range: Option<(u128, u128)>,
    /// The shortest time between two requests.
    pub interval: Duration,
    /// The most records of a request.
    pub records_max: i32,
    /// When this source began, in milliseconds since the epoch.
    pub since: i64,
}

impl Poller {
    /// Reads from `position` on, until the shard ends or nobody takes the records any more.
    pub(super) async fn run(self, mut position: Position, to: mpsc::Sender<Result<Batch>>) {
        loop {
            match self.read(&mut position, &to).await {
                // What is newest now is not what was newest then.
                Ok(true) if position == Position::Latest => position = Position::AtTimestamp(self.since),
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    // If nobody takes it, nobody is left to be told.
                    let _ = to.send(Err(error)).await;
                    return;
                }
            }
        }
    }

    /// Reads with one iterator and those that follow from it. `false` is the end; `true`, if a new iterator is needed.
    async fn read(&self, position: &mut Position, to: &mpsc::Sender<Result<Batch>>) -> Result<bool> {
        let mut iterator = self.iterator(position).await?;
        loop {
            let asked = Instant::now();
            let Some(answer) = self.records(&iterator).await? else { return Ok(true) };
            let (records, last) = records_of(answer.records, self.range);
            if let Some(last) = last {
                *position = Position::After(last);
            }
            let next = match answer.next_shard_iterator {
                Some(_) => position.clone(),
                None => Position::End,
            };
            let behind = answer.millis_behind_latest.unwrap_or(0);
            // Also without records: it says that the shard is being read, and how far behind.
            let batch = Batch { shard: self.shard.clone(), records, next, behind };
            if to.send(Ok(batch)).await.is_err() {
                return Ok(false);
            }
            let Some(next) = answer.next_shard_iterator else { return Ok(false) };
            iterator = next;
            tokio::time::sleep_until(asked + self.interval).await;
        }
    }

    async fn iterator(&self, position: &Position) -> Result<String> {
        let (kind, sequence, time) = position.request();
        let request = self.client.get_shard_iterator().shard_id(&self.shard).shard_iterator_type(kind);
        let request = request.set_starting_sequence_number(sequence).set_timestamp(time);
        let request = request.set_stream_name(self.stream.name()).set_stream_arn(self.stream.arn());
        let answer = request.send().await.map_err(|error| failed(self.what(), &error))?;
        Ok(answer.shard_iterator.unwrap_or_default())
    }

    /// The next records, or `None` if the iterator is too old. Throttling is waited out.
    async fn records(&self, iterator: &str) -> Result<Option<GetRecordsOutput>> {
        let mut throttled = 0;
        loop {
            let request = self.client.get_records().shard_iterator(iterator).limit(self.records_max);
            let error = match request.set_stream_arn(self.stream.arn()).send().await {
                Ok(answer) => return Ok(Some(answer)),
                Err(error) => error,
            };
            match error.as_service_error() {
                Some(service) if service.is_expired_iterator_exception() => return Ok(None),
                Some(service)
                    if service.is_provisioned_throughput_exceeded_exception() && throttled < PATIENCE =>
                {
                    throttled += 1;
                    tokio::time::sleep(self.interval.max(Duration::from_millis(100)) * throttled).await;
                }
                _ => return Err(failed(self.what(), &error)),
            }
        }
    }

    fn what(&self) -> String {
        format!("read {} of {}", self.shard, self.stream.shown())
    }
}
