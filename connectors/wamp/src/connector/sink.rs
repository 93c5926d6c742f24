//! Publishes rows.

use async_trait::async_trait;
use headwater_connectors::{ConnectorError, Context, Cursor, Delivery, Result, Sink};
use headwater_ingest::{Encoder, Format};

use super::config::Place;
use super::row::publication;
use crate::client::Session;

/// How many rows are published before their acknowledgements are waited for.
const ROWS_MAX: usize = 1_024;

/// Publishes rows.
pub(super) struct Publisher {
    context: Context,
    place: Place,
    session: Option<Session>,
    has_delivered: bool,
}

impl Publisher {
    pub(super) fn new(context: Context, place: Place) -> Self {
        Self { context, place, session: None, has_delivered: false }
    }

    fn session(&mut self) -> Result<&mut Session> {
        let closed = || ConnectorError::outage(self.place.shown(), "the sink is not open");
        self.session.as_mut().ok_or_else(closed)
    }
}

#[async_trait]
impl Sink for Publisher {
    async fn open(&mut self, stored: Cursor) -> Result<Cursor> {
        self.session = Some(self.place.join().await?);
        Ok(stored)
    }

    async fn deliver(&mut self, delivery: Delivery) -> Result<()> {
        let mut lines = Vec::new();
        let schema = self.context.schema.clone();
        let mut encoder = Encoder::new(Format::JsonLines, schema, &self.context.format_options)?;
        encoder.encode(&delivery.rows, &mut lines)?;
        encoder.finish(&mut lines)?;
        let mut publications = Vec::with_capacity(delivery.rows.num_rows());
        for (row, line) in (0..).zip(lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())) {
            let sequence = delivery.first.plus(row);
            let key = format!("{}/{}/{sequence}", delivery.stream, delivery.shard);
            let (topic, payload) = publication(line, key)
                .map_err(|error| ConnectorError::refused(format!("publish row {sequence}"), error))?;
            publications.push((topic.unwrap_or_else(|| self.place.topic.clone()), payload));
        }
        let published = self.session()?.publish(publications).await;
        self.has_delivered = true;
        published.map_err(|error| self.place.failed("publish in", error))
    }

    async fn flush(&mut self) -> Result<String> {
        let acknowledged = self.session()?.acknowledged().await;
        acknowledged.map_err(|error| self.place.failed("publish in", error))?;
        self.has_delivered = false;
        Ok(String::new())
    }

    fn rows_max(&self) -> usize {
        ROWS_MAX
    }

    fn is_full(&self) -> bool {
        self.has_delivered
    }

    async fn close(&mut self) -> Result<()> {
        if let Some(session) = self.session.take() {
            session.leave().await;
        }
        Ok(())
    }
}
