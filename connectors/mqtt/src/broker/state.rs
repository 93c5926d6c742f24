//! All that a broker holds, under one lock.

use std::collections::HashMap;

use headwater_core::World;

use super::access::Access;
use super::figures::Figures;
use super::ledger::Ledger;
use super::options::BrokerOptions;
use super::recorder::Recorder;
use super::retained::Retained;
use super::routing::Subscriber;
use super::session::Session;
use crate::topic::Tree;
use crate::wire::Text;

/// All that a broker holds.
pub(super) struct State {
    pub world: World,
    pub options: BrokerOptions,
    pub access: Access,
    pub sessions: HashMap<u64, Session>,
    /// The session of each client's id.
    pub clients: HashMap<Text, u64>,
    pub subscriptions: Tree<Subscriber>,
    pub retained: Retained,
    pub recorders: Vec<Recorder>,
    /// The wills that were published and are not durable with all who record them: with how many, by number.
    pub wills: HashMap<u64, usize>,
    pub ledger: Ledger,
    pub figures: Figures,
    /// The number of the next session or connection.
    pub next_number: u64,
    /// Nobody comes in any more.
    pub is_closed: bool,
}

impl State {
    pub fn new(world: World, options: BrokerOptions, access: Access) -> Self {
        Self {
            world,
            options,
            access,
            sessions: HashMap::new(),
            clients: HashMap::new(),
            subscriptions: Tree::default(),
            retained: Retained::default(),
            recorders: Vec::new(),
            wills: HashMap::new(),
            ledger: Ledger::default(),
            figures: Figures::default(),
            next_number: 1,
            is_closed: false,
        }
    }

    pub fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    /// Ends a session: its subscriptions go. It stays itself for as long as something that it published is not recorded.
    pub fn end_session(&mut self, number: u64) {
        let Some(session) = self.sessions.get_mut(&number) else { return };
        session.is_over = true;
        session.link = None;
        session.outgoing = Default::default();
        self.ledger.of(session.kept()).end();
        session.is_kept = false;
        let (client, filters) = (session.client.clone(), std::mem::take(&mut session.filters));
        let is_settled = session.incoming.pending.is_empty();
        for filter in filters {
            self.unsubscribe_one(number, &filter);
        }
        if self.clients.get(&client) == Some(&number) {
            self.clients.remove(&client);
        }
        if is_settled {
            self.sessions.remove(&number);
        }
    }

    /// What is due by now: wills that were put off, sessions and messages whose time is over.
    pub fn tick(&mut self) {
        self.end_what_is_due();
        let now = self.world.clock.monotonic();
        self.retained.expire(now);
        self.tell_figures(now);
    }

    /// Publishes the wills that are due, and ends the sessions whose time is over.
    pub fn end_what_is_due(&mut self) {
        let now = self.world.clock.monotonic();
        let is_due = |at: Option<std::time::Duration>| at.is_some_and(|at| at <= now);
        let mut due: Vec<u64> = self
            .sessions
            .iter()
            .filter(|(_, session)| is_due(session.will_at) || is_due(session.expires_at))
            .map(|(number, _)| *number)
            .collect();
        due.sort_unstable();
        for number in due {
            let expires_at = self.sessions.get(&number).and_then(|session| session.expires_at);
            // A will is said at the latest when the session ends.
            self.publish_will(number);
            if is_due(expires_at) {
                self.end_session(number);
            }
        }
    }
}
