//! Records a topic.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use headwater_connectors::{Behind, ConnectorError, Context, Mark, Pulled, Result, Source};
use headwater_ingest::{Format, Payload};
use tokio::time::{Instant, timeout};

use super::config::Place;
use super::row::RowWriter;
use crate::client::{ClientError, Event, Session};
use crate::message::{Id, Match};
use crate::router::Filling;
use crate::wire::Serializer;

/// How long a pull waits for an event. While an append is under way it does not wait: publishers do, for the answer to it.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many events one pull gives at most.
const EVENTS_MAX: usize = 8_192;

/// How long a router may take to end the subscription of a source that is to stop.
const GOODBYE: Duration = Duration::from_secs(2);

/// Records a topic.
pub(super) struct Recorder {
    /// The stream, as the router of this process knows it.
    stream: String,
    place: Place,
    matching: Match,
    rows: RowWriter,
    session: Option<Session>,
    subscription: Option<Id>,
    /// Whom to tell what is durable, if it is the router of this process.
    filling: Option<Filling>,
    /// What was pulled and is not durable.
    under_way: VecDeque<UnderWay>,
    /// Why there will be no more events, until the next pull says so: what was received before it comes first.
    ended: Option<ConnectorError>,
}

/// Events of one pull.
struct UnderWay {
    publications: Vec<Id>,
    /// Since when the first of them waits.
    since: Instant,
}

impl Recorder {
    pub(super) fn new(context: &Context, place: Place, matching: Match) -> Self {
        let columns = context.schema.fields().iter().map(|field| field.name().as_str());
        Self {
            stream: context.name.clone(),
            rows: RowWriter::new(columns),
            place,
            matching,
            session: None,
            subscription: None,
            filling: None,
            under_way: VecDeque::new(),
            ended: None,
        }
    }

    /// Events, the first of which has waited `since` then, and where they end.
    fn records(&mut self, events: &[Event], since: Instant) -> Pulled {
        let publications = events.iter().map(|event| event.publication).collect();
        self.under_way.push_back(UnderWay { publications, since });
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
        self.filling = session.fills(&self.stream);
        self.under_way.clear();
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
        let patience = if self.under_way.is_empty() { PATIENCE } else { Duration::ZERO };
        let since = session.waiting().1;
        let Ok(first) = timeout(patience, session.event()).await else { return Ok(Pulled::Nothing) };
        let mut events = vec![first.map_err(failed)?];
        self.ended = collect(session, &mut events).err().map(failed);
        Ok(self.records(&events, since.unwrap_or_else(Instant::now)))
    }

    async fn committed(&mut self, _marks: &[Mark]) -> Result<()> {
        if let (Some(durable), Some(filling)) = (self.under_way.pop_front(), &self.filling) {
            filling.recorded(&durable.publications);
        }
        Ok(())
    }

    /// What was received and is not durable.
    fn lag(&self) -> Option<u64> {
        let under_way: usize = self.under_way.iter().map(|one| one.publications.len()).sum();
        let waiting = self.session.as_ref()?.waiting().0;
        Some((under_way + waiting) as u64)
    }

    fn behind(&self) -> Behind {
        let waiting = self.session.as_ref().and_then(|session| session.waiting().1);
        let since = self.under_way.front().map(|first| first.since).or(waiting);
        since.map_or(Behind::Not, Behind::Since)
    }

    /// The router has done with an event once it has sent it.
    async fn drain(&mut self) -> Result<Pulled> {
        let Some(session) = &mut self.session else { return Ok(Pulled::Nothing) };
        if let Some(subscription) = self.subscription.take() {
            // A router that has gone, or does not answer, has sent what it has sent.
            let _ = timeout(GOODBYE, session.unsubscribe(subscription)).await;
        }
        let mut events = Vec::new();
        let since = session.waiting().1.unwrap_or_else(Instant::now);
        // Likewise: the error says that there are no more.
        let _ = collect(session, &mut events);
        Ok(if events.is_empty() { Pulled::Nothing } else { self.records(&events, since) })
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
    use headwater_core::{StreamId, StreamName, World};
    use headwater_ingest::Options;

    use super::super::config::CONNECTOR;
    use super::super::set_router;
    use super::*;
    use crate::auth::AuthOptions;
    use crate::client::{Credentials, Target};
    use crate::realm::RealmOptions;
    use crate::router::{RealmSetup, Router, RouterOptions};

    fn source(router: &Arc<Router>) -> Box<dyn Source> {
        source_named(router, "recorded")
    }

    fn source_named(router: &Arc<Router>, name: &str) -> Box<dyn Source> {
        set_router(router);
        let schema = Arc::new(Schema::new(vec![Field::new("wamp_args", DataType::Utf8, true)]));
        let context = Context::of(World::real(), StreamName::new("recorded").unwrap(), schema);
        let context = Context { name: name.to_owned(), stream_id: StreamId(7), ..context };
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

    /// There is one router in a process: tests that set it come one after the other.
    static ONE_ROUTER: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

    /// A router, and somebody who publishes there.
    async fn router() -> (Arc<Router>, Session) {
        let setup = RealmSetup { options: RealmOptions::new("realm1"), auth: AuthOptions::open() };
        let router = Router::new(World::real(), RouterOptions::new(vec![setup]));
        let here = Target::Here(Arc::clone(&router));
        let publisher = Session::join(&here, "realm1", &Credentials::default()).await.unwrap();
        (router, publisher)
    }

    async fn publish(publisher: &mut Session, events: usize) {
        let one = ("com.t".to_owned(), crate::wire::Payload::of(vec!["x".into()]));
        publisher.publish(vec![one; events]).await.unwrap();
    }

    /// The errors of the publications that were refused, once all are answered.
    async fn refusals(publisher: &mut Session) -> Vec<String> {
        let answers = publisher.acknowledged().await.unwrap();
        answers.into_iter().map(|(_, error)| error.to_string()).collect()
    }

    #[tokio::test]
    async fn a_publisher_hears_when_its_event_is_durable_or_is_told_that_it_may_not_be() {
        let _one = ONE_ROUTER.lock().await;
        let (router, mut publisher) = router().await;
        let waits = async |publisher: &mut Session| {
            timeout(Duration::from_millis(50), publisher.acknowledged()).await.is_err()
        };
        publish(&mut publisher, 1).await;
        assert_eq!(refusals(&mut publisher).await.len(), 0, "nobody records");

        // The stream is there, and nobody fills it yet.
        let mut recorder = source(&router);
        publish(&mut publisher, 2).await;
        let refused = refusals(&mut publisher).await;
        assert_eq!(refused.len(), 2);
        assert!(refused[0].starts_with("wamp.error.unavailable: stream recorded "), "{refused:?}");
        recorder.open(BTreeMap::new()).await.unwrap();
        assert_eq!(
            (recorder.lag(), recorder.behind()),
            (Some(0), Behind::Not),
            "it was refused before it went"
        );

        publish(&mut publisher, 3).await;
        assert!(waits(&mut publisher).await, "received is not durable");
        assert_eq!(recorder.lag(), Some(3));
        assert!(recorder.behind().millis().unwrap() >= 50, "{:?}", recorder.behind());
        assert_eq!(messages(recorder.pull().await), 3);
        assert!(waits(&mut publisher).await, "nor is what is under way");
        assert_eq!(recorder.lag(), Some(3));
        recorder.committed(&[]).await.unwrap();
        assert_eq!(refusals(&mut publisher).await.len(), 0);
        assert_eq!(recorder.lag(), Some(0));

        // One append is answered after another; what was not under way with it goes on waiting.
        publish(&mut publisher, 1).await;
        assert_eq!(messages(recorder.pull().await), 1);
        publish(&mut publisher, 1).await;
        recorder.committed(&[]).await.unwrap();
        assert!(waits(&mut publisher).await);
        assert_eq!(messages(recorder.pull().await), 1);
        recorder.committed(&[]).await.unwrap();
        assert_eq!(refusals(&mut publisher).await.len(), 0);

        // The append fails: the source is closed without having heard of it.
        publish(&mut publisher, 2).await;
        assert_eq!(messages(recorder.pull().await), 2);
        recorder.close().await.unwrap();
        let refused = refusals(&mut publisher).await;
        assert!(refused.len() == 2 && refused[0].starts_with("wamp.error.unavailable"), "{refused:?}");

        super::super::forget("recorded");
        publish(&mut publisher, 1).await;
        assert_eq!(refusals(&mut publisher).await.len(), 0, "it was dropped");
    }

    #[tokio::test]
    async fn an_event_is_acknowledged_when_all_who_record_it_have_it() {
        let _one = ONE_ROUTER.lock().await;
        let (router, mut publisher) = router().await;
        let mut both = [source_named(&router, "one"), source_named(&router, "other")];
        for recorder in &mut both {
            recorder.open(BTreeMap::new()).await.unwrap();
        }
        publish(&mut publisher, 5).await;
        for recorder in &mut both {
            assert!(timeout(Duration::from_millis(20), publisher.acknowledged()).await.is_err());
            assert_eq!(messages(recorder.pull().await), 5);
            recorder.committed(&[]).await.unwrap();
        }
        assert_eq!(refusals(&mut publisher).await.len(), 0);
    }

    #[tokio::test]
    async fn what_was_received_before_an_end_is_handed_on() {
        let _one = ONE_ROUTER.lock().await;
        let (router, mut publisher) = router().await;

        // Told to stop: what is in the mailbox is given in several goes, then nothing.
        let mut told = source(&router);
        told.open(BTreeMap::new()).await.unwrap();
        publish(&mut publisher, EVENTS_MAX + 3).await;
        assert_eq!(messages(told.drain().await), EVENTS_MAX);
        publish(&mut publisher, 5).await;
        assert_eq!(messages(told.drain().await), 3, "nobody listens any more");
        assert_eq!(messages(told.drain().await), 0);
        told.close().await.unwrap();

        // The router says goodbye: the events before it come first, then why there are no more.
        let mut left = source(&router);
        left.open(BTreeMap::new()).await.unwrap();
        publish(&mut publisher, 5).await;
        router.close();
        assert_eq!(messages(left.pull().await), 5);
        assert!(left.pull().await.err().unwrap().is_retryable());
    }
}
