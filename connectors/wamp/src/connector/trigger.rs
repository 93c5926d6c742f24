//! Publishes firings of triggers: `EXECUTE PUBLISH 'topic' WITH (via = 'wamp')`.
//!
//! The options are those of a sink, besides `topic`; `realm` is `realm1` unless set, and `secret` is called `wamp.secret`. A document is
//! published as named arguments, with `_key` besides; what is no JSON object is the only positional argument.

use std::sync::Arc;

use async_trait::async_trait;
use headwater_connectors::{Message, Publisher, PublisherKind, Result};
use headwater_core::World;
use headwater_ingest::Options;
use tokio::sync::Mutex;

use super::config::Place;
use super::row::publication;
use crate::client::Session;
use crate::message::uri;
use crate::wire::{Dict, Payload};

/// The entry among the publishers.
pub const PUBLISHER: PublisherKind = PublisherKind { name: "wamp", summary: "publishes WAMP events", make };

/// The realm that there is when none is given.
const USUAL_REALM: &str = "realm1";

struct Events {
    place: Place,
    /// Joined with the first message, and anew after a failure.
    session: Mutex<Option<Session>>,
}

fn make(world: &World, topic: &str, options: &mut Options) -> Result<Arc<dyn Publisher>> {
    let realm = options.get("realm").unwrap_or_else(|| USUAL_REALM.to_owned());
    let place = Place::take_rest(world, realm, topic.to_owned(), options, "wamp.secret")?;
    if !uri::is_valid(topic, false) || uri::is_reserved(topic) {
        return Err(options.bad("topic", topic, "it is not a topic that can be published to").into());
    }
    Ok(Arc::new(Events { place, session: Mutex::default() }))
}

#[async_trait]
impl Publisher for Events {
    async fn publish(&self, message: &Message) -> Result<()> {
        let payload = match publication(&message.body, message.key.clone()) {
            Ok((_, payload)) => payload,
            Err(_) => {
                let text = String::from_utf8_lossy(&message.body).into_owned();
                Payload::new(vec![text.into()], Dict::new().with("_key", message.key.as_str()))
            }
        };
        let mut held = self.session.lock().await;
        // Taken out: a call that is cut short, or fails, leaves none behind that is in the middle of something.
        let mut session = match held.take() {
            Some(session) => session,
            None => self.place.join().await?,
        };
        let failed = |error| self.place.failed("publish in", error);
        session.publish(vec![(message.topic.clone(), payload)]).await.map_err(failed)?;
        if let Some((_, refusal)) = session.acknowledged().await.map_err(failed)?.pop() {
            return Err(failed(refusal));
        }
        *held = Some(session);
        Ok(())
    }
}
