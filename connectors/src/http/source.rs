//! Asks a URL again and again.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use headwater_core::hash::hash_rows;
use headwater_ingest::{Format, IngestError, Payload};
use reqwest::header::HeaderMap;
use tokio::time::Instant;

use super::client::Client;
use crate::connector::{Behind, Context, Mark, Pulled, Source};
use crate::error::Result;

/// Asks a URL again and again.
pub(super) struct Polling {
    context: Context,
    client: Client,
    format: Format,
    body: Option<Bytes>,
    interval: Duration,
    changed_only: bool,
    next: Option<Instant>,
    /// The hash of the answer that was taken last.
    last: Option<String>,
    /// When the server answered last.
    answered: Option<Instant>,
}

impl Polling {
    pub(super) fn new(
        context: Context,
        client: Client,
        format: Format,
        body: Option<String>,
        interval: Duration,
        changed_only: bool,
    ) -> Self {
        let body = body.map(Bytes::from);
        Self { context, client, format, body, interval, changed_only, next: None, last: None, answered: None }
    }
}

#[async_trait]
impl Source for Polling {
    async fn open(&mut self, mut marks: BTreeMap<String, String>) -> Result<()> {
        self.last = marks.remove("answer");
        Ok(())
    }

    async fn pull(&mut self) -> Result<Pulled> {
        if let Some(next) = self.next {
            tokio::time::sleep_until(next).await;
        }
        self.next = Some(Instant::now() + self.interval);
        let answer = self.client.send(HeaderMap::new(), self.body.clone()).await?;
        self.answered = Some(Instant::now());
        let hash = hash_of(&answer)?;
        if self.changed_only && self.last.as_ref() == Some(&hash) {
            return Ok(Pulled::Nothing);
        }
        self.last = Some(hash.clone());
        // A JSON answer is more often an array or one object than lines.
        let is_array = answer.trim_ascii_start().starts_with(b"[");
        let format =
            if self.format == Format::JsonLines && is_array { Format::JsonArray } else { self.format };
        let options = Some(self.context.format_options.clone());
        let payload = Payload::Bytes { body: answer, format, options };
        Ok(Pulled::Records { payload, marks: vec![Mark { partition: "answer".to_owned(), position: hash }] })
    }

    /// What the server would show now is not known: it may have changed since its last answer.
    fn behind(&self) -> Behind {
        self.answered.map_or(Behind::Unknown, Behind::Since)
    }
}

fn hash_of(answer: &[u8]) -> Result<String> {
    let text: arrow::array::ArrayRef =
        std::sync::Arc::new(arrow::array::StringArray::from_iter_values([String::from_utf8_lossy(answer)]));
    let hash = hash_rows(&[text]).map_err(IngestError::from)?;
    Ok(format!("{:016x}", hash[0]))
}
