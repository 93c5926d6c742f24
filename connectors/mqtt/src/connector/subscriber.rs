//! Records a topic filter of a broker elsewhere.
//!
//! Nothing is acknowledged before its row is durable. The messages of QoS 2 that the broker may send again are the position, stored in the
//! same append as the rows: so one that comes again after a crash is known, and an id that is used anew is not taken for the old one. See
//! [`Exchanges`].

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use headwater_connectors::{Behind, ConnectorError, Mark, Pulled, Result, Source};
use headwater_core::World;
use tokio::time::{Instant, timeout};

use super::config::Place;
use super::exchanges::Exchanges;
use super::rows::RowReader;
use crate::broker::Message;
use crate::client::Client;
use crate::wire::{Acknowledgement, Packet, Publish, Qos, Release};

/// How long a pull waits for a message.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many packets one pull takes at most.
const PACKETS_MAX: usize = 8_192;

/// Records a topic filter of a broker elsewhere.
pub(super) struct Subscriber {
    place: Place,
    filter: String,
    qos: Qos,
    rows: Arc<RowReader>,
    world: World,
    client: Option<Client>,
    /// What came before the subscription was acknowledged.
    early: VecDeque<Packet>,
    /// The messages of QoS 2 that are not over.
    exchanges: Exchanges,
    /// The appends under way.
    under_way: VecDeque<UnderWay>,
}

/// What was pulled and is not durable.
struct UnderWay {
    messages: u64,
    /// When it was pulled.
    since: Instant,
    /// What is said to the broker when it is durable.
    answers: Vec<Packet>,
}

impl Subscriber {
    pub(super) fn new(place: Place, filter: String, qos: Qos, rows: RowReader, world: World) -> Self {
        Self {
            place,
            filter,
            qos,
            rows: Arc::new(rows),
            world,
            client: None,
            early: VecDeque::new(),
            exchanges: Exchanges::default(),
            under_way: VecDeque::new(),
        }
    }

    /// Takes what a message is to be recorded as, if it is new, and what is to be said about it.
    fn take(&mut self, publish: Publish, answers: &mut Vec<Packet>) -> Option<Arc<Message>> {
        let id = publish.packet_id;
        let is_new = match (publish.qos, id) {
            (Qos::AtLeastOnce, Some(id)) => {
                answers.push(Packet::Puback(Acknowledgement::success(id)));
                true
            }
            (Qos::ExactlyOnce, Some(id)) => {
                answers.push(Packet::Pubrec(Acknowledgement::success(id)));
                self.exchanges.receive(id, &publish)
            }
            _ => true,
        };
        is_new.then(|| Arc::new(Message::new(publish, "".into(), &self.world)))
    }
}

#[async_trait]
impl Source for Subscriber {
    async fn open(&mut self, marks: BTreeMap<String, String>) -> Result<()> {
        let mut client = self.place.connect(self.qos != Qos::AtMostOnce).await?;
        // Of a session that the broker does not know no message can come again.
        let known = marks.get(&self.filter).filter(|_| client.session_present());
        self.exchanges = known.map(|position| Exchanges::read(position)).unwrap_or_default();
        let early = client.subscribe(&self.filter, self.qos).await;
        self.early = early.map_err(|error| self.place.failed("subscribe at", error))?.into();
        self.under_way.clear();
        self.client = Some(client);
        Ok(())
    }

    async fn pull(&mut self) -> Result<Pulled> {
        let gone = |place: &Place, error| place.failed("record from", error);
        let mut next = match self.early.pop_front() {
            Some(packet) => Some(packet),
            None => {
                let closed = || ConnectorError::outage(self.place.target.shown(), "the source is not open");
                let client = self.client.as_mut().ok_or_else(closed)?;
                match timeout(PATIENCE, client.next()).await {
                    Err(_) => None,
                    Ok(packet) => Some(packet.map_err(|error| gone(&self.place, error))?),
                }
            }
        };
        let (mut messages, mut answers, mut taken) = (Vec::new(), Vec::new(), 0);
        while let Some(packet) = next {
            match packet {
                Packet::Publish(publish) => messages.extend(self.take(*publish, &mut answers)),
                Packet::Pubrel(release) => {
                    self.exchanges.release(release.packet_id);
                    answers.push(Packet::Pubcomp(Release::success(release.packet_id)));
                }
                Packet::Pingresp => self.exchanges.heard(),
                _ => {}
            }
            taken += 1;
            let more = taken < PACKETS_MAX;
            next = more
                .then(|| self.early.pop_front().or_else(|| self.client.as_mut().and_then(Client::next_now)))
                .flatten();
        }
        if messages.is_empty() && answers.is_empty() {
            return Ok(Pulled::Nothing);
        }
        let (number, since) = (messages.len() as u64, Instant::now());
        let payload = RowReader::read(&self.rows, messages).await?;
        self.under_way.push_back(UnderWay { messages: number, since, answers });
        let mark = Mark { partition: self.filter.clone(), position: self.exchanges.position() };
        Ok(Pulled::Records { payload, marks: vec![mark] })
    }

    async fn committed(&mut self, _marks: &[Mark]) -> Result<()> {
        let Some(client) = &mut self.client else { return Ok(()) };
        let durable = self.under_way.pop_front().map(|durable| durable.answers);
        let mut answers = durable.unwrap_or_default();
        if self.exchanges.said(&answers) {
            answers.push(Packet::Pingreq);
        }
        for answer in answers {
            client.send(answer).await.map_err(|error| self.place.failed("acknowledge to", error))?;
        }
        Ok(())
    }

    /// What was received and is not durable; what else the broker keeps it does not tell.
    fn lag(&self) -> Option<u64> {
        Some(self.under_way.iter().map(|one| one.messages).sum::<u64>() + self.early.len() as u64)
    }

    fn behind(&self) -> Behind {
        self.under_way.front().map_or(Behind::Not, |first| Behind::Since(first.since))
    }

    async fn close(&mut self) -> Result<()> {
        if let Some(client) = self.client.take() {
            client.leave().await;
        }
        Ok(())
    }
}
