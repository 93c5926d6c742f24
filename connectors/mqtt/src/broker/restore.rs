//! What a broker finds of the one that ran before it.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use headwater_core::EventTime;

use super::ledger::{read_delivery, read_message, read_session, read_subscription, read_will};
use super::recorder::Ticket;
use super::session::InFlight;
use super::state::State;
use crate::store::{Entries, Key, Kind};
use crate::wire::{Text, Will};

impl State {
    /// Takes in what a store had, before anybody comes in; the error says which entry cannot be read. Clients that were connected count as
    /// lost now.
    pub fn restore(&mut self, entries: &Entries) -> Result<(), String> {
        for (key, value) in entries {
            let read = Key::read(key).and_then(|key| self.restore_one(key, value));
            read.ok_or_else(|| format!("the entry {:?} cannot be read", String::from_utf8_lossy(key)))?;
        }
        Ok(())
    }

    /// The session of a client comes before all that belongs to it, and messages before what is under way.
    fn restore_one(&mut self, key: Key<'_>, value: &[u8]) -> Option<()> {
        let client = Text::from(key.client);
        if key.kind == Kind::Session {
            let (expiry, lost_at) = read_session(value)?;
            self.restore_session(client, expiry, lost_at);
            return Some(());
        }
        if key.kind == Kind::Retained {
            let message = Arc::new(read_message(value, &self.world)?);
            self.retained.keep(&message, usize::MAX);
            return Some(());
        }
        if key.kind == Kind::Unrecorded {
            let published = u64::from_be_bytes(key.which.try_into().ok()?);
            let message = Arc::new(read_message(value, &self.world)?);
            self.next_number = self.next_number.max(published);
            // Everybody else has got it.
            let recorders = self.record(&message, Some(Ticket::Will(published)), None);
            self.wills.insert(published, recorders);
            return Some(());
        }
        if key.kind == Kind::Will {
            let (will, due) = read_will(value)?;
            self.restore_will(client, will, due);
            return Some(());
        }
        let number = *self.clients.get(&client)?;
        if key.kind == Kind::Filter {
            let filter = std::str::from_utf8(key.which).ok()?;
            let (options, id) = read_subscription(value)?;
            return self.subscribe_one(number, &filter.into(), options, id).ok().map(drop);
        }
        let session = self.sessions.get_mut(&number)?;
        let which = || Some(u64::from_be_bytes(key.which.try_into().ok()?));
        match key.kind {
            Kind::Waiting => session.outgoing.restore(read_delivery(value, which()?, &self.world)?),
            Kind::Sent => {
                let id = NonZeroU16::new(u16::from_le_bytes(value.try_into().ok()?))?;
                session.outgoing.restore_sent(which()?, id);
            }
            Kind::Received => {
                let id = NonZeroU16::new(u16::from_be_bytes(key.which.try_into().ok()?))?;
                session.incoming.received.insert(id);
            }
            Kind::Session | Kind::Retained | Kind::Filter | Kind::Will | Kind::Unrecorded => {}
        }
        Some(())
    }

    /// Forgets the wills that nobody records any more.
    pub fn forget_wills_of_nobody(&mut self) {
        let ledger = &mut self.ledger;
        self.wills.retain(|published, recorders| {
            if *recorders == 0 {
                ledger.recorded(*published);
            }
            *recorders > 0
        });
    }

    fn restore_session(&mut self, client: Text, expiry: Duration, lost_at: Option<EventTime>) {
        let number = self.new_session(client);
        let now = self.world.clock.now();
        let passed = lost_at.map_or(0, |at| now.0.saturating_sub(at.0));
        let left = expiry.saturating_sub(Duration::from_nanos(u64::try_from(passed).unwrap_or(0)));
        let ends = self.world.clock.monotonic().saturating_add(left);
        if let Some(session) = self.sessions.get_mut(&number) {
            session.expiry = expiry;
            session.expires_at = Some(ends);
            session.is_kept = true;
        }
    }

    /// The client of a will was connected, or has been gone since a while.
    fn restore_will(&mut self, client: Text, will: Will, due: Option<EventTime>) {
        let (now, wall) = (self.world.clock.monotonic(), self.world.clock.now());
        let known = self.clients.get(&client).copied();
        let number = known.unwrap_or_else(|| self.new_session(client));
        let Some(session) = self.sessions.get_mut(&number) else { return };
        let ends = *session.expires_at.get_or_insert(now);
        let put_off = match due {
            Some(due) => Duration::from_nanos(u64::try_from(due.0.saturating_sub(wall.0)).unwrap_or(0)),
            None => Duration::from_secs(u64::from(will.delay)),
        };
        session.will = Some(will);
        session.will_at = Some(now.saturating_add(put_off).min(ends));
    }
}

impl super::session::Outbox {
    /// A message waited.
    fn restore(&mut self, delivery: super::session::Delivery) {
        self.last_number = self.last_number.max(delivery.number);
        self.queue_bytes += delivery.message.size();
        self.queue.push_back(delivery);
    }

    /// A message was under way. One that does not wait any more has arrived, and is to be released.
    fn restore_sent(&mut self, number: u64, id: NonZeroU16) {
        self.last_number = self.last_number.max(number);
        let at = self.queue.iter().position(|delivery| delivery.number == number);
        let delivery = at.and_then(|at| self.queue.remove(at));
        self.queue_bytes -= delivery.as_ref().map_or(0, |delivery| delivery.message.size());
        self.in_flight.push_back(InFlight { id, number, delivery });
    }
}
