//! Publishes rows.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use headwater_connectors::{ConnectorError, Context, Cursor, Delivery, Parking, Result, Sink};
use headwater_ingest::{Encoder, Format};

use super::config::Place;
use super::row::publication;
use crate::client::{ClientError, Session};
use crate::message::Id;
use crate::message::uri::{self, error};

/// How many rows are published before their acknowledgements are waited for.
const ROWS_MAX: usize = 1_024;

/// What a router says of a publication, and not of whoever publishes.
const OF_THE_PAYLOAD: [&str; 3] =
    [error::INVALID_ARGUMENT, error::INVALID_PAYLOAD, error::PAYLOAD_SIZE_EXCEEDED];

/// What a router says of a topic.
const OF_THE_TOPIC: [&str; 2] = [error::NOT_AUTHORIZED, error::INVALID_URI];

/// Publishes rows.
pub(super) struct Publisher {
    context: Context,
    place: Place,
    session: Option<Session>,
    /// What is not acknowledged yet, by request.
    under_way: HashMap<Id, Row>,
}

/// A row on its way.
struct Row {
    of: Arc<Delivery>,
    at: usize,
    /// Whether the row itself says where it goes.
    says_topic: bool,
}

impl Row {
    /// Puts it aside: no router takes it.
    async fn park(&self, parking: &Parking, why: impl ToString) -> Result<()> {
        let (rows, sequence) = (self.of.rows.slice(self.at, 1), self.of.first.plus(self.at as u64));
        parking.park(self.of.shard, rows, vec![(sequence, why.to_string())]).await
    }
}

impl Publisher {
    pub(super) fn new(context: Context, place: Place) -> Self {
        Self { context, place, session: None, under_way: HashMap::new() }
    }

    fn session(&mut self) -> Result<&mut Session> {
        let closed = || ConnectorError::outage(self.place.shown(), "the sink is not open");
        self.session.as_mut().ok_or_else(closed)
    }

    /// What it means that the session has ended while rows were on their way: one of them may be the reason.
    fn ended(&self, error: ClientError) -> ConnectorError {
        match error {
            ClientError::HungUp(_) | ClientError::Refused { .. } => {
                ConnectorError::hung_up(format!("publish in {}", self.place.shown()), error)
            }
            ClientError::Gone(_) => self.place.failed("publish in", error),
        }
    }

    /// What becomes of a row that the router has not taken: it is put aside if it is to blame, and no other row.
    async fn refused(&mut self, request: Id, refusal: ClientError) -> Result<()> {
        let row = self.under_way.remove(&request);
        let (Some(row), ClientError::Refused { uri, message }) = (row, &refusal) else {
            return Err(self.place.failed("publish in", refusal));
        };
        let is_to_blame =
            OF_THE_PAYLOAD.contains(&uri.as_str()) || row.says_topic && OF_THE_TOPIC.contains(&uri.as_str());
        if is_to_blame {
            row.park(&self.context.parking, format!("{uri}: {message}")).await
        } else {
            Err(self.place.failed("publish in", refusal))
        }
    }
}

#[async_trait]
impl Sink for Publisher {
    async fn open(&mut self, stored: Cursor) -> Result<Cursor> {
        self.session = Some(self.place.join().await?);
        self.under_way.clear();
        Ok(stored)
    }

    async fn deliver(&mut self, delivery: Delivery) -> Result<()> {
        let mut lines = Vec::new();
        let schema = self.context.schema.clone();
        let mut encoder = Encoder::new(Format::JsonLines, schema, &self.context.format_options)?;
        encoder.encode(&delivery.rows, &mut lines)?;
        encoder.finish(&mut lines)?;
        let of = Arc::new(delivery);
        let (mut publications, mut rows) = (Vec::with_capacity(of.rows.num_rows()), Vec::new());
        for (at, line) in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).enumerate() {
            let key = format!("{}/{}/{}", of.stream, of.shard, of.first.plus(at as u64));
            let row = |says_topic| Row { of: Arc::clone(&of), at, says_topic };
            let (topic, payload) = match publication(line, key) {
                Ok(publication) => publication,
                Err(malformed) => {
                    row(false).park(&self.context.parking, malformed).await?;
                    continue;
                }
            };
            if let Some(topic) =
                topic.as_ref().filter(|topic| !uri::is_valid(topic, false) || uri::is_reserved(topic))
            {
                row(true)
                    .park(&self.context.parking, format!("{topic:?} is not a topic that can be published to"))
                    .await?;
                continue;
            }
            rows.push(row(topic.is_some()));
            publications.push((topic.unwrap_or_else(|| self.place.topic.clone()), payload));
        }
        let published = self.session()?.publish(publications).await;
        let requests = published.map_err(|error| self.ended(error))?;
        self.under_way.extend(requests.into_iter().zip(rows));
        Ok(())
    }

    async fn flush(&mut self) -> Result<String> {
        let acknowledged = self.session()?.acknowledged().await;
        for (request, refusal) in acknowledged.map_err(|error| self.ended(error))? {
            self.refused(request, refusal).await?;
        }
        self.under_way.clear();
        Ok(String::new())
    }

    fn rows_max(&self) -> usize {
        ROWS_MAX
    }

    fn is_full(&self) -> bool {
        !self.under_way.is_empty()
    }

    async fn close(&mut self) -> Result<()> {
        if let Some(session) = self.session.take() {
            session.leave().await;
        }
        Ok(())
    }
}
