//! Sends rows as messages.

use async_trait::async_trait;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{MessageAttributeValue, SendMessageBatchRequestEntry};
use bytes::Bytes;
use headwater_connectors::{ConnectorError, Context, Cursor, Delivery, Result, Sink};
use md5::{Digest, Md5};

use super::config::{Queue, SinkOptions};
use crate::access::{Access, failed, is_unfit, pause};
use crate::lanes::Lanes;
use crate::message::{Delivered, MessageWriter};

/// How many messages one request takes.
const BATCH: usize = 10;

/// How many bytes one request takes: the service's limit until 2025, which others still have.
const BYTES_MAX: usize = 256 * 1_024;

/// What a message has besides its body: attribute and ids.
const OVERHEAD: usize = 512;

/// How often in a row nothing at all may arrive before it counts as an outage.
const PATIENCE: u32 = 8;

/// How many rows may be under way before a flush is due.
const ROWS_BEFORE_FLUSH: usize = 2_048;

/// The longest group or deduplication id, in characters.
const ID_CHARS_MAX: usize = 128;

/// Sends rows as messages.
pub(super) struct Sending {
    context: Context,
    access: Access,
    queue: Queue,
    options: SinkOptions,
    messages: MessageWriter,
    open: Option<(Client, String)>,
    lanes: Lanes<Row>,
    delivered: usize,
    failures: u32,
    /// How many rows go alone, as one of them made a request fail.
    alone: usize,
}

/// A row on its way. To a FIFO queue its lane's key is its group.
struct Row {
    body: Bytes,
    key: String,
    delivered: Delivered,
}

impl Sending {
    pub(super) fn new(context: Context, access: Access, queue: Queue, options: SinkOptions) -> Result<Self> {
        // The key is an attribute of the message.
        let messages = MessageWriter::new(&context, None)?;
        let lanes = Lanes::default();
        Ok(Self {
            context,
            access,
            queue,
            options,
            messages,
            open: None,
            lanes,
            delivered: 0,
            failures: 0,
            alone: 0,
        })
    }

    /// The group of each row.
    fn groups(&self, delivery: &Delivery) -> Result<Vec<String>> {
        let of_shard = || id_of(format!("{}-{}/{}", delivery.stream, self.context.stream_id, delivery.shard));
        let Some(columns) = &self.options.group else {
            return Ok(vec![of_shard(); delivery.rows.num_rows()]);
        };
        let groups = columns.keys(&delivery.rows)?.into_iter();
        Ok(groups.map(|group| if group.is_empty() { of_shard() } else { id_of(group) }).collect())
    }

    fn entry(
        &self,
        id: usize,
        group: &Bytes,
        row: &Row,
        is_fifo: bool,
    ) -> Result<SendMessageBatchRequestEntry> {
        let refused = |error| ConnectorError::refused(format!("send row {}", row.key), error);
        let attribute = MessageAttributeValue::builder().data_type("String").string_value(&row.key);
        let mut entry = SendMessageBatchRequestEntry::builder()
            .id(id.to_string())
            .message_body(String::from_utf8_lossy(&row.body))
            .message_attributes("idempotency-key", attribute.build().map_err(refused)?);
        if is_fifo {
            entry = entry
                .message_group_id(String::from_utf8_lossy(group))
                .message_deduplication_id(id_of(row.key.clone()));
        }
        entry.build().map_err(refused)
    }

    /// Sends what may go together, and keeps what does not arrive.
    async fn send_some(&mut self) -> Result<()> {
        let what = || format!("send to {}", self.queue.shown());
        let Some((client, url)) = &self.open else {
            return Err(ConnectorError::outage(what(), "the sink is not open"));
        };
        let is_fifo = url.ends_with(".fifo");
        let most = if self.alone > 0 { 1 } else { BATCH };
        let taken = self.lanes.take(most, BYTES_MAX, |row| row.body.len() + OVERHEAD);
        self.alone = self.alone.saturating_sub(taken.len());
        let entries = taken.iter().enumerate().map(|(id, (group, row))| self.entry(id, group, row, is_fifo));
        let entries = entries.collect::<Result<Vec<_>>>()?;
        let request = client.send_message_batch().queue_url(url).set_entries(Some(entries));
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) if is_unfit(&error) => return self.set_aside(taken, failed(what(), &error)).await,
            Err(error) => return Err(failed(what(), &error)),
        };
        let mut reason = None;
        for (id, (group, row)) in taken.into_iter().enumerate() {
            let id = id.to_string();
            match answer.failed.iter().find(|failed| failed.id == id) {
                None => self.lanes.arrived(group),
                Some(failed) => {
                    let text = failed.message.as_deref().unwrap_or(&failed.code).to_owned();
                    if failed.sender_fault {
                        row.delivered.park(&self.context.parking, text).await?;
                        self.lanes.arrived(group);
                    } else {
                        reason = Some(text);
                        self.lanes.refused(group, row);
                    }
                }
            }
        }
        let Some(reason) = reason else {
            self.failures = 0;
            return Ok(());
        };
        self.failures = if answer.successful.is_empty() { self.failures + 1 } else { 0 };
        if self.failures > PATIENCE {
            return Err(ConnectorError::outage(what(), reason));
        }
        pause(&self.context.world, self.failures).await;
        Ok(())
    }

    /// One of these rows is no good: if it is the only one, it is parked; otherwise they go again, one by one.
    async fn set_aside(&mut self, mut taken: Vec<(Bytes, Row)>, error: ConnectorError) -> Result<()> {
        if taken.len() == 1
            && let Some((group, row)) = taken.pop()
        {
            row.delivered.park(&self.context.parking, error).await?;
            self.lanes.arrived(group);
            return Ok(());
        }
        self.alone = taken.len();
        taken.into_iter().for_each(|(group, row)| self.lanes.refused(group, row));
        Ok(())
    }
}

/// A text as an id of a group or of a message: as it is, if it may be one, and otherwise its MD5.
///
/// Letters, digits and ASCII punctuation may be in it, and 128 characters.
fn id_of(text: String) -> String {
    let is_one = text.len() <= ID_CHARS_MAX && text.bytes().all(|byte| byte.is_ascii_graphic());
    match is_one {
        true => text,
        false => format!("{:032x}", u128::from_be_bytes(Md5::digest(&text).into())),
    }
}

#[async_trait]
impl Sink for Sending {
    async fn open(&mut self, stored: Cursor) -> Result<Cursor> {
        let client = Client::new(&self.access.config().await?);
        let url = self.queue.url(&client).await?;
        self.open = Some((client, url));
        Ok(stored)
    }

    async fn deliver(&mut self, delivery: Delivery) -> Result<()> {
        let id = self.context.stream_id;
        let key = |row: usize| {
            let sequence = delivery.first.plus(row as u64);
            format!("{}-{id}/{}/{sequence}", delivery.stream, delivery.shard)
        };
        let bodies = self.messages.write(&delivery.rows, key)?;
        let is_fifo = self.open.as_ref().is_some_and(|(_, url)| url.ends_with(".fifo"));
        let groups = if is_fifo { Some(self.groups(&delivery)?) } else { None };
        self.delivered += bodies.len();
        for (row, body) in bodies.into_iter().enumerate() {
            let (key, delivered) = (key(row), Delivered::of(&delivery, row));
            // Where there is no order, each row is a lane of its own.
            let lane = groups.as_ref().map_or_else(|| key.clone(), |groups| groups[row].clone());
            self.lanes.push(Bytes::from(lane), Row { body, key, delivered });
        }
        while self.lanes.len() >= BATCH {
            self.send_some().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<String> {
        while self.lanes.len() > 0 {
            self.send_some().await?;
        }
        self.delivered = 0;
        Ok(String::new())
    }

    fn is_full(&self) -> bool {
        self.delivered >= ROWS_BEFORE_FLUSH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_no_id_is_replaced_by_its_sum() {
        assert_eq!(id_of("events-7/0/12".to_owned()), "events-7/0/12");
        assert_eq!(id_of("a b".to_owned()).len(), 32);
        assert_eq!(id_of("x".repeat(129)).len(), 32);
    }
}
