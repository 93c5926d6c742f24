//! Records a topic filter of the broker of this process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use headwater_connectors::{ConnectorError, Mark, Pulled, Result, Source};
use tokio::time::timeout;

use super::embedded;
use super::rows::RowReader;
use crate::broker::Recording;

/// How long a pull waits for a message.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many messages one pull gives at most.
const MESSAGES_MAX: usize = 8_192;

/// Records a topic filter of the broker of this process.
pub(super) struct Recorder {
    name: String,
    filter: String,
    rows: Arc<RowReader>,
    recording: Option<Recording>,
}

impl Recorder {
    pub(super) fn new(name: String, filter: String, rows: RowReader) -> Self {
        Self { name, filter, rows: Arc::new(rows), recording: None }
    }
}

#[async_trait]
impl Source for Recorder {
    async fn open(&mut self, marks: BTreeMap<String, String>) -> Result<()> {
        let broker = embedded::broker().ok_or_else(|| {
            let why = "there is none; start it with serve --mqtt, or give a url";
            ConnectorError::outage("record from the broker of this process", why)
        })?;
        self.recording =
            Some(broker.attach(&self.name, &self.filter, marks.get(&self.filter).map(String::as_str)));
        Ok(())
    }

    async fn pull(&mut self) -> Result<Pulled> {
        let Some(recording) = &self.recording else {
            return Err(ConnectorError::outage("record from the broker of this process", "it is not open"));
        };
        let (mut messages, mut position) = recording.take(MESSAGES_MAX);
        if messages.is_empty() {
            if timeout(PATIENCE, recording.changed()).await.is_err() {
                return Ok(Pulled::Nothing);
            }
            (messages, position) = recording.take(MESSAGES_MAX);
        }
        if messages.is_empty() {
            return Ok(Pulled::Nothing);
        }
        let payload = RowReader::read(&self.rows, messages).await?;
        Ok(Pulled::Records { payload, marks: vec![Mark { partition: self.filter.clone(), position }] })
    }

    async fn committed(&mut self, marks: &[Mark]) -> Result<()> {
        if let (Some(recording), Some(mark)) = (&self.recording, marks.last()) {
            recording.committed(&mark.position);
        }
        Ok(())
    }
}
