//! Reads a shard by enhanced fan-out: the service pushes.
//!
//! A subscription lasts five minutes at most; the next one continues after the sequence number that the last event named, whether or not it
//! had records.

use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::{ConsumerStatus, SubscribeToShardEventStream};
use headwater_connectors::{ConnectorError, Result};
use headwater_core::causes;
use tokio::sync::mpsc;

use super::position::Position;
use super::source::{Batch, records_of};
use super::stream::StreamRef;
use crate::access::failed;

/// How often a consumer is looked at until it is active, and how long between.
const LOOKS: u32 = 100;
const BETWEEN_LOOKS: Duration = Duration::from_millis(300);

/// A subscription may not follow another of the same shard and consumer within five seconds.
const BETWEEN_SUBSCRIPTIONS: Duration = Duration::from_secs(5);

/// Finds the consumer of this name, registers it if that is wanted, and waits until it is active. Answers its ARN.
pub(super) async fn consumer(
    client: &Client,
    stream: &StreamRef,
    name: &str,
    register: bool,
) -> Result<String> {
    let arn = stream.find_arn(client).await?;
    let what = format!("find the consumer {name} of {}", stream.shown());
    for _ in 0..LOOKS {
        let found = client.describe_stream_consumer().stream_arn(&arn).consumer_name(name).send().await;
        match found {
            Ok(found) => {
                let Some(found) = found.consumer_description else { continue };
                if found.consumer_status == ConsumerStatus::Active {
                    return Ok(found.consumer_arn);
                }
            }
            Err(error)
                if register
                    && error
                        .as_service_error()
                        .is_some_and(|error| error.is_resource_not_found_exception()) =>
            {
                let made =
                    client.register_stream_consumer().stream_arn(&arn).consumer_name(name).send().await;
                if let Err(error) = made {
                    // Somebody else may have been faster.
                    let is_there =
                        error.as_service_error().is_some_and(|error| error.is_resource_in_use_exception());
                    if !is_there {
                        return Err(failed(
                            format!("register the consumer {name} of {}", stream.shown()),
                            &error,
                        ));
                    }
                }
            }
            Err(error) => return Err(failed(what, &error)),
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
    Err(ConnectorError::outage(what, "it does not become active"))
}

/// Reads one shard.
pub(super) struct Subscriber {
    pub client: Client,
    pub stream: StreamRef,
    pub consumer: String,
    pub shard: String,
    pub range: Option<(u128, u128)>,
}

impl Subscriber {
    /// Reads from `position` on, until the shard ends or nobody takes the records any more.
    pub(super) async fn run(self, mut position: Position, to: mpsc::Sender<Result<Batch>>) {
        loop {
            match self.subscribe(&mut position, &to).await {
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

    /// One subscription. `false` is the end; `true`, if it must be renewed.
    async fn subscribe(&self, position: &mut Position, to: &mpsc::Sender<Result<Batch>>) -> Result<bool> {
        let request = self.client.subscribe_to_shard().consumer_arn(&self.consumer).shard_id(&self.shard);
        let mut answer = match request.set_starting_position(position.starting()).send().await {
            Ok(answer) => answer,
            Err(error)
                if error.as_service_error().is_some_and(|error| error.is_resource_in_use_exception()) =>
            {
                tokio::time::sleep(BETWEEN_SUBSCRIPTIONS).await;
                return Ok(true);
            }
            Err(error) => return Err(failed(self.what(), &error)),
        };
        loop {
            let event = match answer.event_stream.recv().await {
                Ok(Some(SubscribeToShardEventStream::SubscribeToShardEvent(event))) => event,
                Ok(Some(_)) => continue,
                Ok(None) => return Ok(true),
                Err(error) => {
                    return Err(ConnectorError::outage(self.what(), causes(&error)));
                }
            };
            let children = event.child_shards.as_deref().unwrap_or_default();
            let is_end = !children.is_empty() || event.continuation_sequence_number.is_empty();
            *position = match is_end {
                true => Position::End,
                false => Position::After(event.continuation_sequence_number),
            };
            let batch = Batch {
                shard: self.shard.clone(),
                records: records_of(event.records, self.range).0,
                next: position.clone(),
                behind: event.millis_behind_latest,
            };
            if to.send(Ok(batch)).await.is_err() || is_end {
                return Ok(false);
            }
        }
    }

    fn what(&self) -> String {
        format!("subscribe to {} of {}", self.shard, self.stream.shown())
    }
}
