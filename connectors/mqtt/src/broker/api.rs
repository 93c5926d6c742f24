//! A broker, as the network and the connectors see it.

use std::sync::Arc;
use std::time::Duration;

use headwater_core::{EventTime, World};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::access::Access;
use super::message::Message;
use super::options::BrokerOptions;
use super::outgoing::Sending;
use super::recorder::{Recorder, Ticket};
use super::state::State;
use crate::store::{Change, Entries};
use crate::wire::{Connect, ConnectReasonCode, DisconnectReasonCode, Packet, Version};

/// A broker.
pub struct Broker {
    world: World,
    options: BrokerOptions,
    /// Tells this broker from others that recorded under the same names.
    incarnation: u64,
    state: Mutex<State>,
}

/// A client's connection.
#[derive(Clone, Copy, Debug)]
pub struct LinkId {
    session: u64,
    link: u64,
    /// After how much silence the client is to be given up; `None` is never.
    pub silence_max: Option<Duration>,
}

impl Broker {
    /// A broker without clients.
    pub fn new(world: World, options: BrokerOptions, access: Access) -> Arc<Self> {
        let incarnation = world.random.next();
        let state = Mutex::new(State::new(world.clone(), options.clone(), access));
        Arc::new(Self { world, options, incarnation, state })
    }

    /// Its bounds.
    pub fn options(&self) -> &BrokerOptions {
        &self.options
    }

    /// Where it lives.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Lets a client in, or says why not. `wake` is told when there is something to send, or reading may go on.
    pub fn connect(
        &self,
        connect: Connect,
        version: Version,
        wake: Arc<Notify>,
    ) -> Result<LinkId, ConnectReasonCode> {
        let entered = self.state.lock().connect(connect, version, wake)?;
        Ok(LinkId { session: entered.session, link: entered.link, silence_max: entered.silence_max })
    }

    /// Takes a packet of a client. An error ends the connection.
    pub fn receive(&self, link: LinkId, packet: Packet) -> Result<(), DisconnectReasonCode> {
        let mut state = self.state.lock();
        let session = state.sessions.get(&link.session);
        if !session.is_some_and(|session| session.is_linked(link.link)) {
            return Err(DisconnectReasonCode::SessionTakenOver);
        }
        let received = state.receive(link.session, packet);
        if let Some(current) = state.sessions.get(&link.session).and_then(|session| session.link.as_ref()) {
            current.wake.notify_one();
        }
        received
    }

    /// Takes what is to be said to a client, up to `most` packets.
    pub fn outgoing(&self, link: LinkId, packets: &mut Vec<Packet>, most: usize) -> Sending {
        self.state.lock().take(link.session, link.link, packets, most)
    }

    /// Whether more may be read from a client; if not, it is woken when it may.
    pub fn may_read(&self, link: LinkId) -> bool {
        self.state.lock().may_read(link.session, link.link)
    }

    /// Says a last thing to a client, after what waits for it.
    pub fn close_link(&self, link: LinkId, reason: DisconnectReasonCode) {
        let mut state = self.state.lock();
        let session = state.sessions.get_mut(&link.session);
        if let Some(current) = session.and_then(|session| session.link.as_mut())
            && current.number == link.link
        {
            current.closing = Some(reason);
            current.wake.notify_one();
        }
    }

    /// The connection of a client has ended.
    pub fn lost(&self, link: LinkId) {
        self.state.lock().lost(link.session, link.link);
    }

    /// Publishes what no client has. Answers how many changes there are with it, for [`Broker::kept`].
    pub fn publish(&self, message: Message) -> u64 {
        let mut state = self.state.lock();
        state.publish_from_inside(Arc::new(message));
        state.ledger.noted()
    }

    /// Waits until so many changes are durable; `false` if they cannot be. What is published then waits on the disk for each session that
    /// outlives its connection. A broker without a store keeps nothing, so that nobody waits.
    pub async fn kept(&self, changes: u64) -> bool {
        let settled = Arc::clone(&self.state.lock().ledger.settled);
        loop {
            // Asked for before looking, so that nothing is missed in between.
            let woken = settled.notified();
            {
                let ledger = &self.state.lock().ledger;
                if ledger.is_durable(changes) || ledger.is_broken {
                    return !ledger.is_broken;
                }
            }
            woken.await;
        }
    }

    /// Takes in what a store had, before anybody is let in. From now on changes are noted for it, and whoever causes one hears nothing
    /// more until [`Broker::written`] has said that it is durable.
    pub fn restore(&self, entries: &Entries) -> Result<(), String> {
        let mut state = self.state.lock();
        state.restore(entries)?;
        state.ledger.open();
        state.forget_wills_of_nobody();
        // The wills of those who were connected to the broker before.
        state.end_what_is_due();
        Ok(())
    }

    /// Waits until there are changes to be written down.
    pub async fn changed(&self) {
        let wake = Arc::clone(&self.state.lock().ledger.wake);
        wake.notified().await;
    }

    /// The changes since this was last asked, and how many there were up to now.
    pub fn changes(&self) -> (Vec<Change>, u64) {
        self.state.lock().ledger.take()
    }

    /// So many changes are durable.
    pub fn written(&self, changes: u64) {
        let mut state = self.state.lock();
        for session in state.ledger.written(changes) {
            if let Some(link) = state.sessions.get(&session).and_then(|session| session.link.as_ref()) {
                link.wake.notify_one();
            }
        }
    }

    /// Changes cannot be made durable any more: everybody is sent away without another word.
    pub fn broken(&self) {
        {
            let ledger = &mut self.state.lock().ledger;
            ledger.is_broken = true;
            ledger.settled.notify_waiters();
        }
        self.close();
    }

    /// What is due by now: wills that were put off, sessions whose time is over. Once a second is enough.
    pub fn tick(&self) {
        self.state.lock().tick();
    }

    /// Lets nobody in any more and says goodbye to everybody.
    pub fn close(&self) {
        let mut state = self.state.lock();
        state.is_closed = true;
        for link in state.sessions.values_mut().filter_map(|session| session.link.as_mut()) {
            link.closing = Some(DisconnectReasonCode::ServerShuttingDown);
            link.wake.notify_one();
        }
    }

    /// How many clients are connected.
    pub fn connected(&self) -> usize {
        self.state.lock().sessions.values().filter(|session| session.link.is_some()).count()
    }

    /// From now on what a filter matches is kept for a recorder of this name, and what is published with QoS 1 or 2 is acknowledged when it
    /// has been recorded.
    pub fn record(&self, name: &str, filter: &str) {
        let mut state = self.state.lock();
        match state.recorders.iter_mut().find(|recorder| recorder.name == name) {
            Some(recorder) => filter.clone_into(&mut recorder.filter),
            None => state.recorders.push(Recorder::new(name.to_owned(), filter.to_owned())),
        }
    }

    /// Nobody records under this name any more. What waited for it is acknowledged without it.
    pub fn forget(&self, name: &str) {
        let mut state = self.state.lock();
        let Some(at) = state.recorders.iter().position(|recorder| recorder.name == name) else { return };
        let mut recorder = state.recorders.remove(at);
        let tickets = recorder.dissolve();
        state.recorded(tickets, recorder.held);
    }

    /// Begins to record under a name, which is made if need be. `position` is where the source before got to: what it made durable is not
    /// given again.
    pub fn attach(self: &Arc<Self>, name: &str, filter: &str, position: Option<&str>) -> Recording {
        self.record(name, filter);
        let durable = position.and_then(|position| position.split_once('-'));
        let durable = durable.filter(|(whose, _)| *whose == format!("{:016x}", self.incarnation));
        if let Some(next) = durable.and_then(|(_, next)| next.parse().ok()) {
            self.committed(name, next);
        }
        let mut state = self.state.lock();
        let recorder = state.recorders.iter_mut().find(|recorder| recorder.name == name);
        let (holder, wake) = recorder.map_or_else(Default::default, |recorder| {
            recorder.rewind();
            (recorder.holder, Arc::clone(&recorder.wake))
        });
        Recording { broker: Arc::clone(self), name: name.to_owned(), holder, wake }
    }

    fn committed(&self, name: &str, next: u64) {
        let mut state = self.state.lock();
        let Some(recorder) = state.recorders.iter_mut().find(|recorder| recorder.name == name) else {
            return;
        };
        let tickets = recorder.committed(next);
        // Who is held is woken once there is room, and not before: nobody would wake them again.
        let is_full = recorder.is_full(&self.options);
        let held = if is_full { Vec::new() } else { std::mem::take(&mut recorder.held) };
        state.recorded(tickets, held);
    }
}

impl State {
    /// Publications are durable, and there is room for more.
    fn recorded(&mut self, tickets: Vec<Ticket>, held: Vec<u64>) {
        let mut touched: Vec<u64> = Vec::new();
        for ticket in tickets {
            match ticket {
                Ticket::Will(number) => self.will_recorded(number),
                Ticket::Publication { session: of, number } => {
                    if let Some(session) = self.sessions.get_mut(&of) {
                        session.incoming.recorded(number);
                        if touched.last() != Some(&of) {
                            touched.push(of);
                        }
                    }
                }
            }
        }
        touched.sort_unstable();
        touched.dedup();
        for session in touched {
            self.settle(session);
        }
        for session in held {
            if let Some(link) = self.sessions.get(&session).and_then(|session| session.link.as_ref()) {
                link.wake.notify_one();
            }
        }
    }
}

/// A source's hold of a recorder.
pub struct Recording {
    broker: Arc<Broker>,
    name: String,
    /// By which number the recorder knows it.
    holder: u64,
    wake: Arc<Notify>,
}

impl Recording {
    /// Up to so many messages, and the position after the last. Empty if there are none, or if another source has taken over.
    pub fn take(&self, most: usize) -> (Vec<Arc<Message>>, String) {
        let mut state = self.broker.state.lock();
        let recorder = state.recorders.iter_mut().find(|recorder| recorder.name == self.name);
        let recorder = recorder.filter(|recorder| recorder.holder == self.holder);
        let (messages, next) = recorder.map(|recorder| recorder.take(most)).unwrap_or_default();
        (messages, format!("{:016x}-{next}", self.broker.incarnation))
    }

    /// How many messages are not durable, and when the first of them came.
    pub fn waiting(&self) -> (u64, Option<EventTime>) {
        let state = self.broker.state.lock();
        let recorder = state.recorders.iter().find(|recorder| recorder.name == self.name);
        recorder.map(Recorder::waiting).unwrap_or_default()
    }

    /// Waits until there may be more.
    pub async fn changed(&self) {
        self.wake.notified().await;
    }

    /// All up to a position is durable.
    pub fn committed(&self, position: &str) {
        if let Some(next) = position.split_once('-').and_then(|(_, next)| next.parse().ok()) {
            self.broker.committed(&self.name, next);
        }
    }
}
