//! Writes rows as items.

use std::collections::{HashMap, VecDeque};

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{PutRequest, WriteRequest};
use bytes::Bytes;
use futures::future::join_all;
use headwater_connectors::{ConnectorError, Context, Cursor, Delivery, Result, Sink};

use super::change::{CONDITION, Change};
use super::config::{Mode, SinkOptions};
use super::item::{Item, Key, items};
use super::transaction::{self, ITEMS_MAX, Outcome};
use crate::access::{Access, failed, is_passing, is_unfit, pause};
use crate::lanes::Lanes;
use crate::message::{Delivered, MessageWriter};

/// How many items one request of the mode `batch` takes.
const BATCH: usize = 25;

/// How often in a row nothing at all may be taken before it counts as an outage.
const PATIENCE: u32 = 8;

/// How many rows may be under way before a flush is due.
const ROWS_BEFORE_FLUSH: usize = 8_192;

/// Writes rows as items.
pub(super) struct Writing {
    context: Context,
    access: Access,
    options: SinkOptions,
    lines: MessageWriter,
    open: Option<(Client, Key)>,
    lanes: Lanes<Row>,
    /// Rows that are to be written whole, oldest first.
    transactions: VecDeque<Vec<Row>>,
    delivered: usize,
    failures: u32,
    /// How many rows go alone, as one of them made a request fail.
    alone: usize,
}

/// A row on its way. Its lane is its item's.
pub(super) struct Row {
    pub item: Item,
    pub delivered: Delivered,
}

impl Writing {
    pub(super) fn new(context: Context, access: Access, options: SinkOptions) -> Result<Self> {
        if context.format.is_some() {
            return Err(ConnectorError::refused("write items", "a table has no format; leave it out"));
        }
        let lines = MessageWriter::new(&context, None)?;
        Ok(Self {
            context,
            access,
            options,
            lines,
            open: None,
            lanes: Lanes::default(),
            transactions: VecDeque::new(),
            delivered: 0,
            failures: 0,
            alone: 0,
        })
    }

    fn what(&self) -> String {
        format!("write to table {}", self.options.table)
    }

    /// The attribute in which an item remembers a row.
    fn offset_name(&self, row: &Row) -> String {
        let (id, created) = (self.context.stream_id, self.context.created.0);
        format!("_offset_{id}_{created:x}_{}", row.delivered.shard())
    }

    /// Changes the item of a row, unless it has seen the row already.
    #[allow(clippy::result_large_err, reason = "the client's own error, which is looked at right away")]
    async fn update(&self, client: &Client, row: &Row) -> Result<(), SdkError<UpdateItemError>> {
        let change = Change::of(&row.item, self.offset_name(row), row.delivered.sequence, &self.options.add);
        let request = client.update_item().table_name(&self.options.table);
        let request = request
            .set_key(Some(row.item.key.clone()))
            .update_expression(change.expression)
            .condition_expression(CONDITION)
            .set_expression_attribute_names(Some(change.names))
            .set_expression_attribute_values(Some(change.values));
        match request.send().await {
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(|error| error.is_conditional_check_failed_exception()) =>
            {
                Ok(())
            }
            answer => answer.map(drop),
        }
    }

    /// Changes the items of some rows, each by a request of its own.
    async fn update_some(&mut self) -> Result<()> {
        let taken = self.lanes.take(self.options.parallelism, usize::MAX, |_| 1);
        let Some((client, _)) = &self.open else { return Err(self.closed()) };
        let answers = join_all(taken.iter().map(|(_, row)| self.update(client, row))).await;
        let (mut arrived, mut reason) = (0, None);
        for ((lane, row), answer) in taken.into_iter().zip(answers) {
            match answer {
                Ok(()) => {
                    arrived += 1;
                    self.lanes.arrived(lane);
                }
                Err(error) if is_throttling(&error) => {
                    self.lanes.refused(lane, row);
                    reason = Some(failed(self.what(), &error));
                }
                Err(error) if is_unfit(&error) => {
                    let error = failed(self.what(), &error);
                    row.delivered.park(&self.context.parking, error).await?;
                    self.lanes.arrived(lane);
                }
                Err(error) => return Err(failed(self.what(), &error)),
            }
        }
        self.settle(arrived, reason).await
    }

    /// Replaces some items by one request.
    async fn replace_some(&mut self) -> Result<()> {
        // A request has at most 16 MB, an item 400 KB.
        let most = if self.alone > 0 { 1 } else { BATCH };
        let taken = self.lanes.take(most, usize::MAX, |_| 1);
        self.alone = self.alone.saturating_sub(taken.len());
        let Some((client, key)) = &self.open else { return Err(self.closed()) };
        let put = |(_, row): &(Bytes, Row)| {
            let rest = row.item.rest.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?)));
            let put =
                PutRequest::builder().set_item(Some(row.item.key.clone().into_iter().chain(rest).collect()));
            let put = put.build().map_err(|error| ConnectorError::refused(self.what(), error))?;
            Ok(WriteRequest::builder().put_request(put).build())
        };
        let puts = taken.iter().map(put).collect::<Result<Vec<_>>>()?;
        let answer = match client.batch_write_item().request_items(&self.options.table, puts).send().await {
            Ok(answer) => answer,
            Err(error) if is_unfit(&error) => {
                return self.set_aside(taken, failed(self.what(), &error)).await;
            }
            Err(error) => return Err(failed(self.what(), &error)),
        };
        let left = answer.unprocessed_items.unwrap_or_default();
        let left = left.into_values().flatten().filter_map(|request| request.put_request);
        let left: Vec<_> = left.map(|put| put.item).collect();
        let is_left = |row: &Row| {
            left.iter().any(|item| key.names().all(|name| item.get(name) == row.item.key.get(name)))
        };
        let (back, arrived): (Vec<_>, Vec<_>) = taken.into_iter().partition(|(_, row)| is_left(row));
        let reason =
            (!back.is_empty()).then(|| ConnectorError::outage(self.what(), "items were left unprocessed"));
        let count = arrived.len();
        arrived.into_iter().for_each(|(lane, _)| self.lanes.arrived(lane));
        back.into_iter().for_each(|(lane, row)| self.lanes.refused(lane, row));
        self.settle(count, reason).await
    }

    /// One of these rows is no good: if it is the only one, it is parked; otherwise they go again, one by one.
    async fn set_aside(&mut self, mut taken: Vec<(Bytes, Row)>, error: ConnectorError) -> Result<()> {
        if taken.len() == 1
            && let Some((lane, row)) = taken.pop()
        {
            row.delivered.park(&self.context.parking, error).await?;
            self.lanes.arrived(lane);
            return Ok(());
        }
        self.alone = taken.len();
        taken.into_iter().for_each(|(lane, row)| self.lanes.refused(lane, row));
        Ok(())
    }

    /// Waits if something was not taken; gives up if that happens too often.
    async fn settle(&mut self, arrived: usize, reason: Option<ConnectorError>) -> Result<()> {
        let Some(reason) = reason else {
            self.failures = 0;
            return Ok(());
        };
        self.failures = if arrived > 0 { 0 } else { self.failures + 1 };
        if self.failures > PATIENCE {
            return Err(reason);
        }
        pause(&self.context.world, self.failures).await;
        Ok(())
    }

    async fn write_some(&mut self) -> Result<()> {
        match self.options.mode {
            Mode::Update => self.update_some().await,
            Mode::Batch => self.replace_some().await,
            Mode::Transaction => self.write_whole().await,
        }
    }

    /// Writes what waits to be written whole, one transaction after the other.
    async fn write_whole(&mut self) -> Result<()> {
        while let Some(mut rows) = self.transactions.pop_front() {
            if rows.len() > ITEMS_MAX {
                let reason =
                    format!("{} items belong together with it, a transaction takes {ITEMS_MAX}", rows.len());
                self.park_all(rows, &reason).await?;
                continue;
            }
            loop {
                let Some((client, _)) = &self.open else { return Err(self.closed()) };
                let (table, what) = (&self.options.table, self.what());
                let offset = |row: &Row| self.offset_name(row);
                match transaction::write(client, table, &what, &rows, offset).await? {
                    Outcome::Done => {
                        self.failures = 0;
                        break;
                    }
                    Outcome::Seen(seen) => seen.into_iter().rev().for_each(|at| drop(rows.remove(at))),
                    Outcome::Busy(reason) => self.settle(0, Some(reason)).await?,
                    Outcome::Unfit(reason) => {
                        self.park_all(rows, &reason.to_string()).await?;
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    async fn park_all(&self, rows: Vec<Row>, reason: &str) -> Result<()> {
        for row in rows {
            row.delivered.park(&self.context.parking, reason).await?;
        }
        Ok(())
    }

    fn closed(&self) -> ConnectorError {
        ConnectorError::outage(self.what(), "the sink is not open")
    }

    /// The rows of a delivery with their lanes. A row that is no item is parked.
    async fn rows(&self, delivery: &Delivery) -> Result<Vec<(Bytes, Row)>> {
        let Some((_, key)) = &self.open else { return Err(self.closed()) };
        let lines = self.lines.write(&delivery.rows, |_| String::new())?;
        let mut rows = Vec::with_capacity(lines.len());
        for (at, item) in items(&delivery.rows, &lines, key)?.into_iter().enumerate() {
            let delivered = Delivered::of(delivery, at);
            let item = match item {
                Ok(item) => item,
                Err(reason) => {
                    delivered.park(&self.context.parking, reason).await?;
                    continue;
                }
            };
            rows.push((key.lane(&item), Row { item, delivered }));
        }
        Ok(rows)
    }

    /// Of the rows of one item only the last, unless something is added: what comes after replaces all that came before.
    fn newest(&self, rows: Vec<(Bytes, Row)>) -> Vec<(Bytes, Row)> {
        if !self.options.add.is_empty() {
            return rows;
        }
        let mut place: HashMap<Bytes, usize> = HashMap::new();
        let mut newest = Vec::with_capacity(rows.len());
        for (lane, row) in rows {
            match place.get(&lane) {
                Some(at) => newest[*at] = (lane, row),
                None => {
                    place.insert(lane.clone(), newest.len());
                    newest.push((lane, row));
                }
            }
        }
        newest
    }
}

fn is_throttling(error: &SdkError<UpdateItemError>) -> bool {
    error.as_service_error().is_some_and(|error| error.meta().code().is_some_and(is_passing))
}

#[async_trait]
impl Sink for Writing {
    async fn open(&mut self, stored: Cursor) -> Result<Cursor> {
        let client = Client::new(&self.access.config().await?);
        let what = format!("describe table {}", self.options.table);
        let answer = client.describe_table().table_name(&self.options.table).send().await;
        let answer = answer.map_err(|error| failed(what.clone(), &error))?;
        let table =
            answer.table.ok_or_else(|| ConnectorError::outage(what, "the answer has no description"))?;
        let key = Key::of(&table, &self.context.schema)?;
        self.open = Some((client, key));
        Ok(stored)
    }

    async fn deliver(&mut self, delivery: Delivery) -> Result<()> {
        self.delivered += delivery.rows.num_rows();
        let rows = self.rows(&delivery).await?;
        if let Some(together) = &self.options.together {
            let values = together.keys(&delivery.rows)?;
            let value = |row: &Row| values[(row.delivered.sequence.0 - delivery.first.0) as usize].clone();
            let rows = rows.into_iter().map(|(lane, row)| (lane, value(&row), row)).collect();
            self.transactions.extend(transaction::runs(rows));
            return Ok(());
        }
        for (lane, row) in self.newest(rows) {
            self.lanes.push(lane, row);
        }
        let enough = BATCH.max(self.options.parallelism);
        while self.lanes.len() >= enough {
            self.write_some().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<String> {
        while self.lanes.len() > 0 || !self.transactions.is_empty() {
            self.write_some().await?;
        }
        self.delivered = 0;
        Ok(String::new())
    }

    fn is_full(&self) -> bool {
        self.delivered >= ROWS_BEFORE_FLUSH
    }
}
