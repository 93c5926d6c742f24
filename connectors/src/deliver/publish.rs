//! `EXECUTE PUBLISH 'topic'`: firings as messages, through whatever speaks to subscribers. Adding such a one is a crate and a call of
//! [`add_publisher`].

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use headwater_core::World;
use headwater_ingest::{Options, nearest};
use parking_lot::Mutex;

use super::attempt::{Attempt, Failure};
use crate::error::{ConnectorError, Result};

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where to.
    pub topic: String,
    /// Tells the message from others, at each attempt alike: `TRIGGER/STREAM/SEQUENCE`.
    pub key: String,
    /// The document, or what the trigger's template made of the firing.
    pub body: Bytes,
}

/// Publishes messages.
#[async_trait]
pub trait Publisher: Send + Sync {
    /// Publishes a message, and waits until whoever distributes it has taken it over. It may be published more than once, and calls
    /// may be under way at the same time. An error of the kind `Outage` is tried again; any other parks the delivery.
    async fn publish(&self, message: &Message) -> Result<()>;
}

/// A kind of publisher: what it is called, and how to make one. Making one checks topic and options and touches nothing outside.
#[derive(Clone, Copy)]
pub struct PublisherKind {
    /// The name, as `via = '…'` has it.
    pub name: &'static str,
    /// What it is, in a few words.
    pub summary: &'static str,
    /// Makes one for a topic. It takes its own options; what it leaves is an error.
    pub make: fn(&World, &str, &mut Options) -> Result<Arc<dyn Publisher>>,
}

/// Those that there are, as the binary has added them.
static ADDED: Mutex<Vec<&'static PublisherKind>> = Mutex::new(Vec::new());

/// Adds a publisher. The binary does it before anything is made; the first one is that of triggers that do not say which. Twice
/// is once.
pub fn add_publisher(kind: &'static PublisherKind) {
    let mut added = ADDED.lock();
    if added.iter().all(|known| known.name != kind.name) {
        added.push(kind);
    }
}

/// Where messages of a trigger are published.
#[derive(Clone)]
pub(super) struct Publication {
    topic: String,
    timeout: Duration,
    publisher: Arc<dyn Publisher>,
}

impl std::fmt::Debug for Publication {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publication").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl Publication {
    /// Takes the option `via` and those of the publisher.
    pub(super) fn read(topic: &str, timeout: Duration, world: &World, options: &mut Options) -> Result<Self> {
        let added = ADDED.lock().clone();
        let names = || added.iter().map(|kind| kind.name);
        let kind = match options.get("via") {
            None => added.first(),
            Some(via) => {
                let found = added.iter().find(|kind| kind.name == via.trim().to_ascii_lowercase());
                let hint = || match nearest(&via, names()) {
                    Some(near) => format!("did you mean '{near}'?"),
                    None => format!("there are {}", names().collect::<Vec<_>>().join(", ")),
                };
                Some(found.ok_or_else(|| options.bad("via", &via, hint()))?)
            }
        };
        let kind = kind.ok_or_else(|| {
            ConnectorError::refused(options.owner().to_owned(), "there is nobody who publishes")
        })?;
        let publisher = (kind.make)(world, topic, options)?;
        Ok(Self { topic: topic.to_owned(), timeout, publisher })
    }

    pub(super) async fn publish(&self, attempt: &Attempt) -> Result<(), Failure> {
        let message =
            Message { topic: self.topic.clone(), key: attempt.id.clone(), body: attempt.body.clone() };
        let failed = |reason: String, retry| Failure { status: None, reason, retry, not_before: None };
        match tokio::time::timeout(self.timeout, self.publisher.publish(&message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(failed(error.to_string(), error.is_retryable())),
            Err(_) => Err(failed(format!("it was not taken over within {:?}", self.timeout), true)),
        }
    }
}
