//! Records a topic.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use headwater_connectors::{ConnectorError, Context, Mark, Pulled, Result, Source};
use headwater_ingest::{Format, Payload};
use tokio::time::timeout;

use super::config::Place;
use super::row::RowWriter;
use crate::client::{Event, Session};
use crate::message::Match;
use crate::wire::Serializer;

/// How long a pull waits for an event.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many events one pull gives at most.
const EVENTS_MAX: usize = 8_192;

/// Records a topic.
pub(super) struct Recorder {
    place: Place,
    matching: Match,
    rows: RowWriter,
    session: Option<Session>,
}

impl Recorder {
    pub(super) fn new(context: &Context, place: Place, matching: Match) -> Self {
        let columns = context.schema.fields().iter().map(|field| field.name().as_str());
        Self { rows: RowWriter::new(columns), place, matching, session: None }
    }

    /// The event as a record. One whose payload cannot be read goes on as it is, so that the decoder puts it aside.
    fn record(&self, event: &Event) -> Bytes {
        let now = self.place.world.clock.now();
        self.rows.write(event, &self.place.topic, now).map_or_else(
            |malformed| {
                let mut out = b"not readable as JSON: ".to_vec();
                Serializer::Json.write(&malformed.to_string().into(), &mut out);
                out.into()
            },
            Bytes::from,
        )
    }
}

#[async_trait]
impl Source for Recorder {
    /// Positions of topics mean nothing to a router: whatever is published from now on is recorded.
    async fn open(&mut self, _marks: BTreeMap<String, String>) -> Result<()> {
        let joined = if self.rows.has_receivers() {
            self.place.join_as_recorder().await
        } else {
            self.place.join().await
        };
        let mut session = joined?;
        let subscribed = session.subscribe(&self.place.topic, self.matching).await;
        subscribed.map_err(|error| self.place.failed("subscribe in", error))?;
        self.session = Some(session);
        Ok(())
    }

    async fn pull(&mut self) -> Result<Pulled> {
        let failed = |error| self.place.failed("record from", error);
        let Some(session) = &mut self.session else {
            return Err(ConnectorError::outage(self.place.shown(), "the source is not open"));
        };
        let Ok(first) = timeout(PATIENCE, session.event()).await else { return Ok(Pulled::Nothing) };
        let mut events = vec![first.map_err(failed)?];
        while events.len() < EVENTS_MAX
            && let Some(event) = session.event_now().map_err(failed)?
        {
            events.push(event);
        }
        let position = events.last().map(|last| last.publication.to_string()).unwrap_or_default();
        let messages = events.iter().map(|event| self.record(event)).collect();
        let payload = Payload::Messages { messages, format: Format::JsonLines, options: None };
        Ok(Pulled::Records { payload, marks: vec![Mark { partition: self.place.topic.clone(), position }] })
    }

    async fn close(&mut self) -> Result<()> {
        if let Some(session) = self.session.take() {
            session.leave().await;
        }
        Ok(())
    }
}
