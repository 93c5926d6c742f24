//! Tries a delivery until it is delivered or given up, and writes every attempt down.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use headwater_core::World;
use parking_lot::Mutex;
use reqwest::Client;
use tokio::sync::Semaphore;

use super::body::Delivery;
use super::command::Program;
use super::config::Settings;
use super::ledger::{Entry, Ledger, Outcome};
use super::limit::Bucket;
use super::publish::Publication;
use super::webhook::Webhook;
use crate::error::Result;

/// How a delivery goes out.
#[derive(Clone, Debug)]
pub(super) enum Way {
    Webhook(Box<Webhook>),
    Program(Program),
    Publish(Publication),
}

/// What is sent.
pub(crate) struct Attempt {
    /// Who sends it: the name of a header, and the value.
    pub(crate) owner: (&'static str, String),
    /// The idempotency key.
    pub(crate) id: String,
    /// From 1.
    pub(crate) number: u32,
    /// Whether it is fired by hand, to see that it arrives.
    pub(crate) is_test: bool,
    pub(crate) body: Bytes,
}

/// The header that names the trigger.
const TRIGGER: &str = "x-headwater-trigger";

/// Why an attempt failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(super) status: Option<i32>,
    pub(crate) reason: String,
    /// Whether another attempt makes sense.
    pub(crate) retry: bool,
    /// The receiver wants to be left alone for so long.
    pub(super) not_before: Option<Duration>,
}

/// What attempts are made with.
pub(super) struct Sender {
    pub(super) world: World,
    pub(super) settings: Arc<Settings>,
    pub(super) ledger: Ledger,
    /// How many attempts there may be; first ones have been taken out of it already.
    pub(super) bucket: Option<Arc<Mutex<Bucket>>>,
    /// For webhooks.
    pub(super) client: Option<Client>,
    /// Told of every failure.
    pub(super) on_failure: Box<dyn Fn(String) + Send + Sync>,
}

impl Sender {
    /// Tries until it is delivered or parked, after so many attempts in former lives. An error is one of the log.
    pub(super) async fn deliver(
        &self,
        key: &str,
        delivery: &Delivery,
        attempts: u32,
        slots: &Semaphore,
    ) -> Result<Outcome> {
        let body = Bytes::from(self.settings.body(delivery));
        let first = attempts.saturating_add(1);
        for number in first.. {
            if number > first {
                self.within_rate().await;
            }
            let owner = (TRIGGER, delivery.trigger.clone());
            let attempt =
                Attempt { owner, id: delivery.id(), number, is_test: delivery.is_test(), body: body.clone() };
            // Only closing it could fail, which nobody does.
            let slot = slots.acquire().await;
            let (at, began) = (self.world.clock.now(), self.world.clock.monotonic());
            let sent = self.send(&attempt).await;
            drop(slot);
            let took = self.world.clock.monotonic().saturating_sub(began);
            let mut entry = self.entry(key, delivery, &attempt);
            entry.at = at;
            entry.millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            let failure = match sent {
                Ok(status) => {
                    (entry.outcome, entry.status) = (Outcome::Delivered, status);
                    self.ledger.write(entry).await?;
                    return Ok(Outcome::Delivered);
                }
                Err(failure) => failure,
            };
            (self.on_failure)(format!("{}: {}", delivery.id(), failure.reason));
            (entry.status, entry.error) = (failure.status, Some(failure.reason));
            if !failure.retry || number >= self.settings.retry.attempts {
                entry.outcome = Outcome::Parked;
                self.ledger.write(entry).await?;
                return Ok(Outcome::Parked);
            }
            let wait = self.settings.retry.wait(number, failure.not_before, &self.world);
            entry.next_try = Some(self.world.clock.now().plus(wait));
            self.ledger.write(entry).await?;
            tokio::time::sleep(wait).await;
        }
        Ok(Outcome::Parked)
    }

    /// Waits until the rate lets another attempt pass.
    async fn within_rate(&self) {
        let Some(bucket) = &self.bucket else { return };
        loop {
            let taken = bucket.lock().take(self.world.clock.monotonic());
            match taken {
                Ok(()) => return,
                Err(wait) => tokio::time::sleep(wait).await,
            }
        }
    }

    /// Writes down that a delivery is not even tried.
    pub(super) async fn drop_over_rate(&self, key: &str, delivery: &Delivery) -> Result<Outcome> {
        let owner = (TRIGGER, delivery.trigger.clone());
        let attempt = Attempt { owner, id: delivery.id(), number: 0, is_test: false, body: Bytes::new() };
        let mut entry = self.entry(key, delivery, &attempt);
        (entry.outcome, entry.error) = (Outcome::Dropped, Some("over the rate".to_owned()));
        self.ledger.write(entry).await?;
        Ok(Outcome::Dropped)
    }

    /// Makes one attempt; answers the status, where there is such a thing.
    async fn send(&self, attempt: &Attempt) -> Result<Option<i32>, Failure> {
        match (&self.settings.way, &self.client) {
            (Way::Webhook(webhook), Some(client)) => {
                webhook.post(client, &self.world, attempt).await.map(Some)
            }
            (Way::Program(program), _) => program.run(attempt).await.map(Some),
            (Way::Publish(publication), _) => publication.publish(attempt).await.map(|()| None),
            (Way::Webhook(_), None) => Err(Failure {
                status: None,
                reason: "there is no HTTP client".to_owned(),
                retry: false,
                not_before: None,
            }),
        }
    }

    fn entry(&self, key: &str, delivery: &Delivery, attempt: &Attempt) -> Entry {
        Entry {
            at: self.world.clock.now(),
            trigger: delivery.trigger.clone(),
            id: attempt.id.clone(),
            sequence: delivery.firings[0].sequence,
            firings: delivery.firings.len(),
            key: key.to_owned(),
            attempt: attempt.number,
            outcome: Outcome::Failed,
            status: None,
            error: None,
            millis: 0,
            next_try: None,
        }
    }
}
