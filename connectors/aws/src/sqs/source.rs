//! Receives messages: several requests wait at a time, what they bring is appended, and then deleted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, Message, MessageAttributeValue,
    MessageSystemAttributeName, QueueAttributeName,
};
use bytes::Bytes;
use futures::future::try_join_all;
use headwater_connectors::{Behind, ConnectorError, Mark, Pulled, Result, Source};
use headwater_core::World;
use headwater_ingest::Payload;
use parking_lot::Mutex;
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::config::{Queue, SourceOptions};
use super::received::Received;
use crate::access::{Access, failed};
use crate::message::{About, AboutField, MessageReader, millis, number, text};

/// What is said of a message, in the order of [`about`].
pub(super) const FIELDS: &[AboutField] = &[
    AboutField { name: "message-id", kind: text, is_always: true },
    AboutField { name: "message-group-id", kind: text, is_always: false },
    AboutField { name: "message-deduplication-id", kind: text, is_always: false },
    AboutField { name: "sequence-number", kind: text, is_always: false },
    AboutField { name: "timestamp", kind: millis, is_always: false },
    AboutField { name: "receive-count", kind: number, is_always: false },
    AboutField { name: "attributes", kind: text, is_always: true },
];

/// How long a pull waits for messages.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many messages one pull gives at most.
const MESSAGES_MAX: usize = 1_000;

/// How often it is asked how many messages wait.
const MEASURE: Duration = Duration::from_secs(5);

/// How many messages one request takes or brings.
const BATCH: usize = 10;

/// Receives messages.
pub(super) struct Receiving {
    world: World,
    access: Access,
    queue: Queue,
    options: SourceOptions,
    messages: MessageReader,
    received: Arc<Mutex<Received>>,
    /// How many messages wait in the queue; -1 while that is not known.
    lag: Arc<AtomicI64>,
    open: Option<Open>,
}

/// What there is while the source is open.
struct Open {
    client: Client,
    url: String,
    from: mpsc::Receiver<Result<Vec<Message>>>,
    /// Those who receive, and one who extends what they received. They end with the source.
    _tasks: JoinSet<()>,
}

impl Receiving {
    pub(super) fn new(
        world: World,
        access: Access,
        queue: Queue,
        options: SourceOptions,
        messages: MessageReader,
    ) -> Self {
        let lag = Arc::new(AtomicI64::new(-1));
        Self { world, access, queue, options, messages, received: Arc::default(), lag, open: None }
    }

    fn closed(&self) -> ConnectorError {
        ConnectorError::outage(self.queue.shown(), "the source is not open")
    }

    /// For how long a message that was received is hidden, in seconds.
    async fn visibility(&self, client: &Client, url: &str) -> Result<i32> {
        if let Some(timeout) = self.options.visibility {
            return Ok(timeout);
        }
        let name = QueueAttributeName::VisibilityTimeout;
        let answer = client.get_queue_attributes().queue_url(url).attribute_names(name.clone()).send().await;
        let answer = answer.map_err(|error| failed(format!("look at {}", self.queue.shown()), &error))?;
        let timeout = answer.attributes.and_then(|all| all.get(&name)?.parse().ok());
        Ok(timeout.unwrap_or(30))
    }

    /// Deletes what is durable. What could not be deleted comes again, and is dropped.
    async fn delete(&self, open: &Open, receipts: Vec<String>) -> Result<()> {
        let what = || format!("delete from {}", self.queue.shown());
        let requests = receipts.chunks(BATCH).map(|chunk| async move {
            let entry = |(id, receipt): (usize, &String)| {
                let entry =
                    DeleteMessageBatchRequestEntry::builder().id(id.to_string()).receipt_handle(receipt);
                entry.build().map_err(|error| ConnectorError::refused(what(), error))
            };
            let entries = chunk.iter().enumerate().map(entry).collect::<Result<Vec<_>>>()?;
            let request = open.client.delete_message_batch().queue_url(&open.url);
            let answer = request.set_entries(Some(entries)).send().await;
            let answer = answer.map_err(|error| failed(what(), &error))?;
            for entry in answer.failed {
                tracing::debug!(queue = self.queue.shown(), code = entry.code, "a message was not deleted");
            }
            Ok::<_, ConnectorError>(())
        });
        try_join_all(requests).await.map(drop)
    }

    /// What messages are to the supervisor.
    async fn take(&mut self, messages: Vec<Message>) -> Result<Pulled> {
        let mut done = Vec::new();
        let messages: Vec<Message> = {
            let mut received = self.received.lock();
            let is_new = |message: &Message| {
                let (id, receipt) = (message.message_id(), message.receipt_handle());
                received.is_new(id.unwrap_or_default(), receipt.unwrap_or_default(), &mut done)
            };
            messages.into_iter().filter(is_new).collect()
        };
        if !done.is_empty() {
            let Some(open) = &self.open else { return Err(self.closed()) };
            self.delete(open, done).await?;
        }
        if messages.is_empty() {
            return Ok(Pulled::Nothing);
        }
        let body = |message: &Message| Bytes::from(message.body().unwrap_or_default().to_owned());
        let bodies: Vec<Bytes> = messages.iter().map(body).collect();
        let ids: Vec<&str> =
            messages.iter().map(|message| message.message_id().unwrap_or_default()).collect();
        let about = |message: usize, field| about(&messages[message], field);
        let decoded =
            self.messages.read(&bodies, about, |message| format!("message {}", ids[message])).await?;
        let marks = self.received.lock().marks(&ids);
        Ok(Pulled::Records { payload: Payload::Decoded(decoded), marks })
    }
}

/// When a message was sent, in milliseconds since the epoch.
fn sent(message: &Message) -> Option<i64> {
    message.attributes()?.get(&MessageSystemAttributeName::SentTimestamp)?.parse().ok()
}

/// What [`FIELDS`] say.
fn about(message: &Message, field: usize) -> About {
    let system = |name: MessageSystemAttributeName| message.attributes()?.get(&name).cloned();
    match field {
        0 => About::Text(message.message_id.clone()),
        1 => About::Text(system(MessageSystemAttributeName::MessageGroupId)),
        2 => About::Text(system(MessageSystemAttributeName::MessageDeduplicationId)),
        3 => About::Text(system(MessageSystemAttributeName::SequenceNumber)),
        4 => About::Millis(sent(message)),
        5 => About::Number(
            system(MessageSystemAttributeName::ApproximateReceiveCount).and_then(|count| count.parse().ok()),
        ),
        _ => About::Text(Some(attributes(message))),
    }
}

/// The attributes as a JSON object. Numbers are texts, as the queue has them; binary is left out.
fn attributes(message: &Message) -> String {
    let value = |value: &MessageAttributeValue| value.string_value().map(|text| Value::from(text.to_owned()));
    let all = message.message_attributes().into_iter().flatten();
    let mut all: Vec<_> = all.filter_map(|(name, of)| Some((name.clone(), value(of)?))).collect();
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    Value::Object(Map::from_iter(all)).to_string()
}

/// One who receives, until nobody takes the messages any more.
async fn receive(
    client: Client,
    url: String,
    shown: String,
    wait: i32,
    visibility: i32,
    received: Arc<Mutex<Received>>,
    to: mpsc::Sender<Result<Vec<Message>>>,
) {
    loop {
        let request = client.receive_message().queue_url(&url).max_number_of_messages(BATCH as i32);
        let request = request
            .wait_time_seconds(wait)
            .visibility_timeout(visibility)
            .message_system_attribute_names(MessageSystemAttributeName::All)
            .message_attribute_names("All");
        let messages = match request.send().await {
            Ok(answer) => {
                let messages = answer.messages.unwrap_or_default();
                let mut received = received.lock();
                for message in &messages {
                    let (id, receipt) = (message.message_id(), message.receipt_handle());
                    received.waits(id.unwrap_or_default(), receipt.unwrap_or_default(), sent(message));
                }
                Ok(messages)
            }
            Err(error) => Err(failed(format!("receive from {shown}"), &error)),
        };
        let is_over = messages.is_err();
        let is_empty = messages.as_ref().is_ok_and(Vec::is_empty);
        if to.is_closed() || (!is_empty && to.send(messages).await.is_err()) || is_over {
            return;
        }
    }
}

/// One who asks how many messages wait in the queue. That this fails is no harm: it is asked again.
async fn measure(client: Client, url: String, lag: Arc<AtomicI64>) {
    let name = QueueAttributeName::ApproximateNumberOfMessages;
    loop {
        match client.get_queue_attributes().queue_url(&url).attribute_names(name.clone()).send().await {
            Ok(answer) => {
                let count = answer.attributes.and_then(|all| all.get(&name)?.parse().ok());
                lag.store(count.unwrap_or(-1), Ordering::Relaxed);
            }
            Err(error) => tracing::debug!(url, error = %failed("count", &error), "messages were not counted"),
        }
        tokio::time::sleep(MEASURE).await;
    }
}

/// One who extends what is under way before its time is over. That this fails is no harm: the message comes again, and is known.
async fn extend(client: Client, url: String, visibility: i32, received: Arc<Mutex<Received>>) {
    let half = Duration::from_millis(u64::try_from(visibility).unwrap_or(1).max(1) * 500);
    loop {
        tokio::time::sleep(half).await;
        let receipts = received.lock().receipts();
        for chunk in receipts.chunks(BATCH) {
            let entry = |(id, receipt): (usize, &String)| {
                let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(id.to_string());
                entry.receipt_handle(receipt).visibility_timeout(visibility).build().ok()
            };
            let entries = chunk.iter().enumerate().filter_map(entry).collect();
            let request = client.change_message_visibility_batch().queue_url(&url);
            if let Err(error) = request.set_entries(Some(entries)).send().await {
                tracing::debug!(url, error = %failed("extend", &error), "messages were not extended");
            }
        }
    }
}

#[async_trait]
impl Source for Receiving {
    async fn open(&mut self, marks: BTreeMap<String, String>) -> Result<()> {
        let client = Client::new(&self.access.config().await?);
        let url = self.queue.url(&client).await?;
        let visibility = self.visibility(&client, &url).await?;
        self.received = Arc::new(Mutex::new(Received::stored(&marks)));
        let (to, from) = mpsc::channel(self.options.receivers);
        let mut tasks = JoinSet::new();
        for _ in 0..self.options.receivers {
            let (client, url, shown) = (client.clone(), url.clone(), self.queue.shown());
            let received = Arc::clone(&self.received);
            tasks.spawn(receive(client, url, shown, self.options.wait, visibility, received, to.clone()));
        }
        tasks.spawn(extend(client.clone(), url.clone(), visibility, Arc::clone(&self.received)));
        tasks.spawn(measure(client.clone(), url.clone(), Arc::clone(&self.lag)));
        self.open = Some(Open { client, url, from, _tasks: tasks });
        Ok(())
    }

    async fn pull(&mut self) -> Result<Pulled> {
        let closed = self.closed();
        let Some(open) = &mut self.open else { return Err(closed) };
        let mut messages = match timeout(PATIENCE, open.from.recv()).await {
            Err(_) => return Ok(Pulled::Nothing),
            Ok(None) => return Err(closed),
            Ok(Some(messages)) => messages?,
        };
        while messages.len() < MESSAGES_MAX
            && let Ok(more) = open.from.try_recv()
        {
            messages.extend(more?);
        }
        self.take(messages).await
    }

    async fn committed(&mut self, marks: &[Mark]) -> Result<()> {
        let receipts = self.received.lock().committed(marks);
        let Some(open) = &self.open else { return Err(self.closed()) };
        self.delete(open, receipts).await
    }

    /// What the queue says that waits, and what is here and not durable: that it does not count.
    fn lag(&self) -> Option<u64> {
        let outside: u64 = self.lag.load(Ordering::Relaxed).try_into().ok()?;
        Some(outside + self.received.lock().count())
    }

    /// As long as the oldest message that is here was sent. What only the queue has it tells nobody but CloudWatch the age of.
    fn behind(&self) -> Behind {
        let oldest = self.received.lock().oldest();
        match oldest {
            Some(sent) => Behind::since(sent, self.world.clock.now()),
            None if self.lag() == Some(0) => Behind::Not,
            None => Behind::Unknown,
        }
    }

    async fn close(&mut self) -> Result<()> {
        self.open = None;
        Ok(())
    }
}
