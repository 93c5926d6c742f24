//! Publishes firings of triggers: `EXECUTE PUBLISH 'alerts/hot' WITH (via = 'mqtt')`.
//!
//! The options are those of a sink, besides `topic`; `sink.retain` is called `retain`. The payload is the document, or what the trigger's
//! template made of the firing. By the user property `key` a receiver can tell what came twice; 3.1.1 has no such properties, there the
//! document's `id` says the same.

use std::num::NonZeroU16;
use std::sync::Arc;

use async_trait::async_trait;
use headwater_connectors::{ConnectorError, Message, Publisher, PublisherKind, Result};
use headwater_core::World;
use headwater_ingest::Options;
use mqtt_protocol_core::mqtt::packet::UserProperty;
use tokio::sync::Mutex;

use super::config::{Place, take_qos};
use super::embedded;
use crate::client::{Client, ClientError};
use crate::topic::check_topic;
use crate::wire::{Packet, PubackReasonCode, Publish, Qos, Release, Text, Version};

/// The entry among the publishers.
pub const PUBLISHER: PublisherKind = PublisherKind { name: "mqtt", summary: "publishes MQTT messages", make };

struct Messages {
    topic: Text,
    qos: Qos,
    retain: bool,
    world: World,
    /// `None` is the broker of this process.
    place: Option<Place>,
    /// Connected with the first message, and anew after a failure.
    client: Mutex<Option<Client>>,
}

fn make(world: &World, topic: &str, options: &mut Options) -> Result<Arc<dyn Publisher>> {
    check_topic(topic).map_err(|why| options.bad("topic", topic, why))?;
    // Nothing of the session outlives the connection, so the name need only be nobody else's.
    let place = Place::take(&format!("trigger-{:016x}", world.random.next()), options)?;
    let qos = take_qos(options)?;
    let retain = options.flag("retain")?.unwrap_or(false);
    let (topic, world) = (topic.into(), world.clone());
    Ok(Arc::new(Messages { topic, qos, retain, world, place, client: Mutex::default() }))
}

impl Messages {
    fn packet(&self, message: &Message, version: Version) -> Result<Publish> {
        let mut properties = Vec::new();
        if version == Version::V5 {
            let key = UserProperty::new("key", message.key.as_str());
            let too_long = |_| ConnectorError::refused("publish", "its key is too long");
            properties.push(key.map_err(too_long)?.into());
        }
        Ok(Publish {
            dup: false,
            qos: self.qos,
            retain: self.retain,
            topic: self.topic.clone(),
            packet_id: None,
            payload: message.body.clone(),
            properties,
        })
    }
}

#[async_trait]
impl Publisher for Messages {
    async fn publish(&self, message: &Message) -> Result<()> {
        let Some(place) = &self.place else {
            let (broker, changes) = embedded::publish(self.packet(message, Version::V5)?, &self.world)?;
            return match broker.kept(changes).await {
                true => Ok(()),
                false => {
                    Err(ConnectorError::outage("publish", "the broker of this process keeps nothing more"))
                }
            };
        };
        let mut publish = self.packet(message, place.target.version)?;
        // There is one message at a time.
        publish.packet_id = (self.qos != Qos::AtMostOnce).then_some(NonZeroU16::MIN);
        let mut held = self.client.lock().await;
        // Taken out: a call that is cut short, or fails, leaves none behind that is in the middle of something.
        let mut client = match held.take() {
            Some(client) => client,
            None => place.connect(false).await?,
        };
        let what = || format!("publish at {}", place.target.shown());
        if !client.takes(&publish) {
            return Err(ConnectorError::refused(what(), "the message is too long for the broker"));
        }
        let answer = hand_over(&mut client, publish).await;
        match answer.map_err(|error| place.failed("publish at", error))? {
            None => {}
            Some(reason) => {
                let says = format!("the broker says {reason}");
                return Err(match reason {
                    PubackReasonCode::NotAuthorized
                    | PubackReasonCode::TopicNameInvalid
                    | PubackReasonCode::PayloadFormatInvalid => ConnectorError::refused(what(), says),
                    // It has too much of something, or does not say why.
                    _ => ConnectorError::outage(what(), says),
                });
            }
        }
        *held = Some(client);
        Ok(())
    }
}

/// Publishes a message and waits until the broker has taken it over, or says why it does not.
async fn hand_over(client: &mut Client, publish: Publish) -> Result<Option<PubackReasonCode>, ClientError> {
    let qos = publish.qos;
    client.send(Packet::Publish(Box::new(publish))).await?;
    if qos == Qos::AtMostOnce {
        return Ok(None);
    }
    loop {
        match client.next().await? {
            Packet::Puback(ack) | Packet::Pubrec(ack) if ack.reason.is_failure() => {
                return Ok(Some(ack.reason));
            }
            Packet::Pubrec(ack) => client.send(Packet::Pubrel(Release::success(ack.packet_id))).await?,
            Packet::Puback(_) | Packet::Pubcomp(_) => return Ok(None),
            _ => {}
        }
    }
}
