//! Posts rows to a URL.

use async_trait::async_trait;
use headwater_ingest::{Encoder, Format};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use super::client::Client;
use crate::connector::{Context, Cursor, Delivery, Sink};
use crate::error::{ConnectorError, Result};

/// Posts rows to a URL.
pub(super) struct Webhook {
    context: Context,
    client: Client,
    format: Format,
    rows: usize,
    has_delivered: bool,
}

impl Webhook {
    pub(super) fn new(context: Context, client: Client, format: Format, rows: usize) -> Self {
        Self { context, client, format, rows, has_delivered: false }
    }

    fn headers(&self, delivery: &Delivery) -> Result<HeaderMap> {
        let (stream, id) = (&delivery.stream, self.context.stream_id);
        let key = format!("{stream}-{id}/{}/{}", delivery.shard, delivery.first);
        let key =
            HeaderValue::from_str(&key).map_err(|error| ConnectorError::refused("name a request", error))?;
        let media_type = if self.format == Format::JsonLines && delivery.rows.num_rows() == 1 {
            Format::JsonArray.media_type()
        } else {
            self.format.media_type()
        };
        Ok(HeaderMap::from_iter([
            (CONTENT_TYPE, HeaderValue::from_static(media_type)),
            (HeaderName::from_static("idempotency-key"), key),
        ]))
    }
}

#[async_trait]
impl Sink for Webhook {
    async fn open(&mut self, stored: Cursor) -> Result<Cursor> {
        Ok(stored)
    }

    async fn deliver(&mut self, delivery: Delivery) -> Result<()> {
        let mut body = Vec::new();
        let schema = self.context.schema.clone();
        let mut encoder = Encoder::new(self.format, schema, &self.context.format_options)?;
        encoder.encode(&delivery.rows, &mut body)?;
        encoder.finish(&mut body)?;
        let headers = self.headers(&delivery)?;
        self.client.send(headers, Some(body.into())).await?;
        self.has_delivered = true;
        Ok(())
    }

    /// A request that was answered is safe.
    async fn flush(&mut self) -> Result<String> {
        self.has_delivered = false;
        Ok(String::new())
    }

    fn rows_max(&self) -> usize {
        self.rows
    }

    fn is_full(&self) -> bool {
        self.has_delivered
    }
}
