//! A message on its way.

use std::time::Duration;

use bytes::Bytes;
use headwater_core::{EventTime, World};

use crate::wire::{Property, Publish, Qos, Text, Will};

/// A message on its way.
#[derive(Clone, Debug)]
pub struct Message {
    /// Where it was published.
    pub topic: Text,
    /// What was published.
    pub payload: Bytes,
    /// With what certainty.
    pub qos: Qos,
    /// Whether it is to be kept for later subscribers.
    pub retain: bool,
    /// What version 5 says about it, for whoever gets it.
    pub properties: Vec<Property>,
    /// Who published it: the client's id.
    pub client: Text,
    /// When it came.
    pub received: EventTime,
    /// When it is to be delivered no more, on the monotonic clock.
    pub(super) expires: Option<Duration>,
}

impl Message {
    /// What was published by a client.
    pub(crate) fn new(publish: Publish, client: Text, world: &World) -> Self {
        let (properties, expires) = lasting(publish.properties, world);
        Self {
            topic: publish.topic,
            payload: publish.payload,
            qos: publish.qos,
            retain: publish.retain,
            properties,
            client,
            received: world.clock.now(),
            expires,
        }
    }

    /// A will, at the moment at which it is published.
    pub(super) fn of_will(will: Will, client: Text, world: &World) -> Self {
        let (properties, expires) = lasting(will.properties, world);
        Self {
            topic: will.topic,
            payload: will.payload,
            qos: will.qos,
            retain: will.retain,
            properties,
            client,
            received: world.clock.now(),
            expires,
        }
    }

    pub(super) fn is_expired(&self, now: Duration) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// How many seconds it has left to live, if there is an end to it.
    pub(super) fn seconds_left(&self, now: Duration) -> Option<u32> {
        let left = self.expires?.saturating_sub(now).as_secs().max(1);
        Some(u32::try_from(left).unwrap_or(u32::MAX))
    }

    /// About how many bytes it takes to keep it.
    pub(super) fn size(&self) -> usize {
        const REST: usize = 128;
        self.payload.len() + self.topic.len() + REST
    }
}

/// The properties that go on to receivers, and when the message's time is over. A topic's number and the numbers of subscriptions are
/// said to one side about one packet.
fn lasting(mut properties: Vec<Property>, world: &World) -> (Vec<Property>, Option<Duration>) {
    let mut expires = None;
    properties.retain(|property| match property {
        Property::MessageExpiryInterval(seconds) => {
            let seconds = Duration::from_secs(u64::from(seconds.val()));
            expires = Some(world.clock.monotonic().saturating_add(seconds));
            false
        }
        Property::TopicAlias(_) | Property::SubscriptionIdentifier(_) => false,
        _ => true,
    });
    (properties, expires)
}
