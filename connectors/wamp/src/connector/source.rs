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
use crate::client::{ClientError, Event, Session};
use crate::message::{Id, Match};
use crate::wire::Serializer;

/// How long a pull waits for an event.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many events one pull gives at most.
const EVENTS_MAX: usize = 8_192;

/// How long a router may take to end the subscription of a source that is to stop.
const GOODBYE: Duration = Duration::from_secs(2);

/// Records a topic.
pub(super) struct Recorder {
    place: Place,
    matching: Match,
    rows: RowWriter,
    session: Option<Session>,
    subscription: Option<Id>,
    /// Why there will be no more events, until the next pull says so: what was received before it comes first.
    ended: Option<ConnectorError>,
}

impl Recorder {
    pub(super) fn new(context: &Context, place: Place, matching: Match) -> Self {
        let columns = context.schema.fields().iter().map(|field| field.name().as_str());
        Self {
            rows: RowWriter::new(columns),
            place,
            matching,
            session: None,
            subscription: None,
            ended: None,
        }
    }

    /// Events, and where they end.
    fn records(&self, events: &[Event]) -> Pulled {
        let position = events.last().map(|last| last.publication.to_string()).unwrap_or_default();
        let messages = events.iter().map(|event| self.record(event)).collect();
        let payload = Payload::Messages { messages, format: Format::JsonLines, options: None };
        Pulled::Records { payload, marks: vec![Mark { partition: self.place.topic.clone(), position }] }
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
        self.subscription = Some(subscribed.map_err(|error| self.place.failed("subscribe in", error))?);
        self.session = Some(session);
        Ok(())
    }

    async fn pull(&mut self) -> Result<Pulled> {
        if let Some(error) = self.ended.take() {
            return Err(error);
        }
        let failed = |error| self.place.failed("record from", error);
        let Some(session) = &mut self.session else {
            return Err(ConnectorError::outage(self.place.shown(), "the source is not open"));
        };
        let Ok(first) = timeout(PATIENCE, session.event()).await else { return Ok(Pulled::Nothing) };
        let mut events = vec![first.map_err(failed)?];
        self.ended = collect(session, &mut events).err().map(failed);
        Ok(self.records(&events))
    }

    /// The router has done with an event once it has sent it.
    async fn drain(&mut self) -> Result<Pulled> {
        let Some(session) = &mut self.session else { return Ok(Pulled::Nothing) };
        if let Some(subscription) = self.subscription.take() {
            // A router that has gone, or does not answer, has sent what it has sent.
            let _ = timeout(GOODBYE, session.unsubscribe(subscription)).await;
        }
        let mut events = Vec::new();
        // Likewise: the error says that there are no more.
        let _ = collect(session, &mut events);
        Ok(if events.is_empty() { Pulled::Nothing } else { self.records(&events) })
    }

    async fn close(&mut self) -> Result<()> {
        if let Some(session) = self.session.take() {
            session.leave().await;
        }
        Ok(())
    }
}

/// Adds the events that are there already, up to what one pull gives. An error says that more will not come.
fn collect(session: &mut Session, events: &mut Vec<Event>) -> std::result::Result<(), ClientError> {
    while events.len() < EVENTS_MAX
        && let Some(event) = session.event_now()?
    {
        events.push(event);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{DataType, Field, Schema};
    use headwater_connectors::Parking;
    use headwater_core::{EventTime, StreamId, StreamName, World};
    use headwater_ingest::{FormatOptions, Options};

    use super::super::config::CONNECTOR;
    use super::super::set_router;
    use super::*;
    use crate::auth::AuthOptions;
    use crate::client::{Credentials, Target};
    use crate::realm::RealmOptions;
    use crate::router::{RealmSetup, Router, RouterOptions};

    fn source(router: &Arc<Router>) -> Box<dyn Source> {
        set_router(router);
        let context = Context {
            world: World::real(),
            name: "recorded".to_owned(),
            stream: StreamName::new("recorded").unwrap(),
            stream_id: StreamId(0),
            created: EventTime(0),
            schema: Arc::new(Schema::new(vec![Field::new("wamp_args", DataType::Utf8, true)])),
            key: Vec::new(),
            event_time: None,
            metadata: BTreeMap::new(),
            format: None,
            format_options: FormatOptions::default(),
            parking: Parking::default(),
        };
        let mut options = Options::new("table recorded", [("realm", "realm1"), ("topic", "com.t")]);
        CONNECTOR.source.unwrap()(context, &mut options).unwrap()
    }

    fn messages(pulled: Result<Pulled>) -> usize {
        match pulled.unwrap() {
            Pulled::Records { payload: Payload::Messages { messages, .. }, .. } => messages.len(),
            Pulled::Nothing => 0,
            _ => panic!("no messages"),
        }
    }

    #[tokio::test]
    async fn what_was_received_before_an_end_is_handed_on() {
        let setup = RealmSetup { options: RealmOptions::new("realm1"), auth: AuthOptions::open() };
        let router = Router::new(World::real(), RouterOptions::new(vec![setup]));
        let here = Target::Here(Arc::clone(&router));
        let mut publisher = Session::join(&here, "realm1", &Credentials::default()).await.unwrap();
        let mut publish = async |events: usize| {
            let one = ("com.t".to_owned(), crate::wire::Payload::of(vec!["x".into()]));
            publisher.publish(vec![one; events]).await.unwrap();
            publisher.acknowledged().await.unwrap();
        };

        // Told to stop: what is in the mailbox is given in several goes, then nothing.
        let mut told = source(&router);
        told.open(BTreeMap::new()).await.unwrap();
        publish(EVENTS_MAX + 3).await;
        assert_eq!(messages(told.drain().await), EVENTS_MAX);
        publish(5).await;
        assert_eq!(messages(told.drain().await), 3, "nobody listens any more");
        assert_eq!(messages(told.drain().await), 0);
        told.close().await.unwrap();

        // The router says goodbye: the events before it come first, then why there are no more.
        let mut left = source(&router);
        left.open(BTreeMap::new()).await.unwrap();
        publish(5).await;
        router.close();
        assert_eq!(messages(left.pull().await), 5);
        assert!(left.pull().await.err().unwrap().is_retryable());
    }
}
