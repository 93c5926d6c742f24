//! Publishes rows.

use std::collections::HashSet;
use std::num::NonZeroU16;

use async_trait::async_trait;
use headwater_connectors::{ConnectorError, Cursor, Delivery, Result, Sink};
use headwater_core::World;

use super::config::Place;
use super::embedded;
use super::rows::RowWriter;
use crate::broker::Message;
use crate::client::Client;
use crate::wire::{Packet, Publish, Qos, Release};

/// How many messages may be under way that the broker has not acknowledged.
const UNDER_WAY_MAX: usize = 1_000;

/// Publishes rows.
pub(super) struct Publisher {
    /// `None` is the broker of this process.
    place: Option<Place>,
    rows: RowWriter,
    qos: Qos,
    retain: bool,
    world: World,
    client: Option<Client>,
    /// The packet ids of what is not acknowledged.
    under_way: HashSet<NonZeroU16>,
    last_id: u16,
}

impl Publisher {
    pub(super) fn new(place: Option<Place>, rows: RowWriter, qos: Qos, retain: bool, world: World) -> Self {
        Self { place, rows, qos, retain, world, client: None, under_way: HashSet::new(), last_id: 0 }
    }

    fn remote(&mut self) -> Result<(&Place, &mut Client)> {
        let closed = || ConnectorError::outage("publish", "the sink is not open");
        Ok((self.place.as_ref().ok_or_else(closed)?, self.client.as_mut().ok_or_else(closed)?))
    }

    async fn publish(&mut self, mut publish: Publish) -> Result<()> {
        if self.place.is_none() {
            let broker = embedded::broker().ok_or_else(|| {
                let why = "there is none; start it with serve --mqtt, or give a url";
                ConnectorError::outage("publish at the broker of this process", why)
            })?;
            broker.publish(Message::new(publish, "".into(), &self.world));
            return Ok(());
        }
        if self.qos != Qos::AtMostOnce {
            let most = self.remote()?.1.receive_maximum().min(UNDER_WAY_MAX);
            while self.under_way.len() >= most {
                self.hear().await?;
            }
            publish.packet_id = Some(self.free_id());
            self.under_way.extend(publish.packet_id);
        }
        self.say(Packet::Publish(Box::new(publish))).await
    }

    fn free_id(&mut self) -> NonZeroU16 {
        loop {
            self.last_id = self.last_id.wrapping_add(1);
            if let Some(id) = NonZeroU16::new(self.last_id)
                && !self.under_way.contains(&id)
            {
                return id;
            }
        }
    }

    async fn say(&mut self, packet: Packet) -> Result<()> {
        let (place, client) = self.remote()?;
        client.send(packet).await.map_err(|error| place.failed("publish at", error))
    }

    /// Waits for the broker to say something.
    async fn hear(&mut self) -> Result<()> {
        let (place, client) = self.remote()?;
        let said = client.next().await.map_err(|error| place.failed("publish at", error))?;
        let refused = |place: &Place, reason| {
            ConnectorError::refused(
                format!("publish at {}", place.target.shown()),
                format!("the broker says {reason}"),
            )
        };
        match said {
            Packet::Puback(ack) | Packet::Pubrec(ack) if ack.reason.is_failure() => {
                return Err(refused(place, ack.reason));
            }
            Packet::Puback(ack) => {
                self.under_way.remove(&ack.packet_id);
            }
            Packet::Pubrec(ack) => self.say(Packet::Pubrel(Release::success(ack.packet_id))).await?,
            Packet::Pubcomp(end) => {
                self.under_way.remove(&end.packet_id);
            }
            _ => {}
        }
        Ok(())
    }
}

#[async_trait]
impl Sink for Publisher {
    async fn open(&mut self, stored: Cursor) -> Result<Cursor> {
        self.under_way.clear();
        if let Some(place) = &self.place {
            self.client = Some(place.connect(false).await?);
        }
        Ok(stored)
    }

    async fn deliver(&mut self, delivery: Delivery) -> Result<()> {
        for (topic, payload, properties) in self.rows.write(&delivery)? {
            let (qos, retain) = (self.qos, self.retain);
            self.publish(Publish { dup: false, qos, retain, topic, packet_id: None, payload, properties })
                .await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<String> {
        while !self.under_way.is_empty() {
            self.hear().await?;
        }
        Ok(String::new())
    }

    fn rows_max(&self) -> usize {
        UNDER_WAY_MAX
    }

    async fn close(&mut self) -> Result<()> {
        if let Some(client) = self.client.take() {
            client.leave().await;
        }
        Ok(())
    }
}
