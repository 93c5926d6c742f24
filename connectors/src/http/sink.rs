//! Posts rows to a URL.

use async_trait::async_trait;
use headwater_ingest::{Encoder, Format};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use super::client::Client;
use crate::connector::{Context, Cursor, Delivery, Sink};
use crate::deliver::{SIGNATURE, signature};
use crate::error::{ConnectorError, Result};
use crate::retry::Retry;

/// Posts rows to a URL.
pub(super) struct Webhook {
    context: Context,
    client: Client,
    format: Format,
    rows: usize,
    secret: Option<Vec<u8>>,
    retry: Retry,
    has_delivered: bool,
}

impl Webhook {
    pub(super) fn new(
        context: Context,
        client: Client,
        format: Format,
        rows: usize,
        secret: Option<Vec<u8>>,
        retry: Retry,
    ) -> Self {
        Self { context, client, format, rows, secret, retry, has_delivered: false }
    }

    fn headers(&self, delivery: &Delivery, body: &[u8]) -> Result<HeaderMap> {
        let (stream, id) = (&delivery.stream, self.context.stream_id);
        let mut key = format!("{stream}-{id}/{}/{}", delivery.shard, delivery.first);
        if delivery.rows.num_rows() > 1 {
            key.push_str(&format!("-{}", delivery.next().0 - 1));
        }
        let key =
            HeaderValue::from_str(&key).map_err(|error| ConnectorError::refused("name a request", error))?;
        let media_type = if self.format == Format::JsonLines && delivery.rows.num_rows() == 1 {
            Format::JsonArray.media_type()
        } else {
            self.format.media_type()
        };
        let mut headers = HeaderMap::from_iter([
            (CONTENT_TYPE, HeaderValue::from_static(media_type)),
            (HeaderName::from_static("idempotency-key"), key),
        ]);
        if let Some(secret) = &self.secret {
            let seconds = self.context.world.clock.now().millis().div_euclid(1_000);
            let signed = HeaderValue::from_str(&signature(secret, seconds, body));
            let signed = signed.map_err(|error| ConnectorError::refused("sign a request", error))?;
            headers.insert(HeaderName::from_static(SIGNATURE), signed);
        }
        Ok(headers)
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
        let headers = self.headers(&delivery, &body)?;
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

    fn names_deliveries(&self) -> bool {
        self.rows > 1
    }

    fn retry(&self) -> Option<Retry> {
        Some(self.retry)
    }

    fn is_full(&self) -> bool {
        self.has_delivered
    }
}
