//! Publishes rows.

use std::collections::HashMap;
use std::num::NonZeroU16;
use std::sync::Arc;

use async_trait::async_trait;
use headwater_connectors::{ConnectorError, Cursor, Delivery, Parking, Result, Sink};
use headwater_core::World;

use super::config::Place;
use super::embedded;
use super::rows::RowWriter;
use crate::client::{Client, ClientError};
use crate::wire::{Packet, PubackReasonCode, Publish, Qos, Release};

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
    parking: Parking,
    client: Option<Client>,
    /// What is not acknowledged, by packet id.
    under_way: HashMap<NonZeroU16, Row>,
    last_id: u16,
}

/// What the end of a connection means: of what waits for an acknowledgement something may be the reason.
fn ended(place: &Place, error: ClientError, is_waiting: bool) -> ConnectorError {
    match error {
        ClientError::HungUp(_) if is_waiting => {
            ConnectorError::hung_up(format!("publish at {}", place.target.shown()), error)
        }
        _ => place.failed("publish at", error),
    }
}

/// A row on its way.
struct Row {
    of: Arc<Delivery>,
    at: usize,
}

impl Publisher {
    pub(super) fn new(
        place: Option<Place>,
        rows: RowWriter,
        (qos, retain): (Qos, bool),
        parking: Parking,
        world: World,
    ) -> Self {
        Self { place, rows, qos, retain, world, parking, client: None, under_way: HashMap::new(), last_id: 0 }
    }

    /// Puts a row aside that no broker takes.
    async fn park(&self, row: &Row, why: impl ToString) -> Result<()> {
        let (rows, sequence) = (row.of.rows.slice(row.at, 1), row.of.first.plus(row.at as u64));
        self.parking.park(row.of.shard, rows, vec![(sequence, why.to_string())]).await
    }

    fn remote(&mut self) -> Result<(&Place, &mut Client)> {
        let closed = || ConnectorError::outage("publish", "the sink is not open");
        Ok((self.place.as_ref().ok_or_else(closed)?, self.client.as_mut().ok_or_else(closed)?))
    }

    async fn publish(&mut self, mut publish: Publish, row: Row) -> Result<()> {
        if self.place.is_none() {
            return embedded::publish(publish, &self.world).map(drop);
        }
        if !self.remote()?.1.takes(&publish) {
            return self.park(&row, "its message is too long for the broker").await;
        }
        if self.qos != Qos::AtMostOnce {
            let most = self.remote()?.1.receive_maximum().min(UNDER_WAY_MAX);
            while self.under_way.len() >= most {
                self.hear().await?;
            }
            let id = self.free_id();
            publish.packet_id = Some(id);
            self.under_way.insert(id, row);
        }
        self.say(Packet::Publish(Box::new(publish))).await
    }

    fn free_id(&mut self) -> NonZeroU16 {
        loop {
            self.last_id = self.last_id.wrapping_add(1);
            if let Some(id) = NonZeroU16::new(self.last_id)
                && !self.under_way.contains_key(&id)
            {
                return id;
            }
        }
    }

    async fn say(&mut self, packet: Packet) -> Result<()> {
        let is_waiting = !self.under_way.is_empty();
        let (place, client) = self.remote()?;
        client.send(packet).await.map_err(|error| ended(place, error, is_waiting))
    }

    /// Waits for the broker to say something.
    async fn hear(&mut self) -> Result<()> {
        let is_waiting = !self.under_way.is_empty();
        let (place, client) = self.remote()?;
        let said = client.next().await.map_err(|error| ended(place, error, is_waiting))?;
        match said {
            Packet::Puback(ack) | Packet::Pubrec(ack) if ack.reason.is_failure() => {
                self.refused(ack.packet_id, ack.reason).await?;
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

    /// What becomes of a message that the broker has not taken: its row is put aside if that is to blame, and no other row.
    async fn refused(&mut self, id: NonZeroU16, reason: PubackReasonCode) -> Result<()> {
        let says = format!("the broker says {reason}");
        let what = format!("publish at {}", self.remote()?.0.target.shown());
        let is_to_blame = match reason {
            PubackReasonCode::NotAuthorized | PubackReasonCode::TopicNameInvalid => {
                if !self.rows.reads_topics() {
                    return Err(ConnectorError::refused(what, says));
                }
                true
            }
            PubackReasonCode::PayloadFormatInvalid => true,
            // It has too much of something, or does not say why.
            _ => false,
        };
        match self.under_way.remove(&id) {
            Some(row) if is_to_blame => self.park(&row, says).await,
            _ => Err(ConnectorError::outage(what, says)),
        }
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
        let messages = self.rows.write(&delivery)?;
        let of = Arc::new(delivery);
        for (at, message) in messages.into_iter().enumerate() {
            let row = Row { of: Arc::clone(&of), at };
            let (qos, retain) = (self.qos, self.retain);
            match message {
                Ok((topic, payload, properties)) => {
                    let publish =
                        Publish { dup: false, qos, retain, topic, packet_id: None, payload, properties };
                    self.publish(publish, row).await?;
                }
                Err(why) => self.park(&row, why).await?,
            }
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
