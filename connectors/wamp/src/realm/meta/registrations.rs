//! Questions about registrations, and their revocation.

use crate::message::uri::{close, error};
use crate::message::{Id, Message};
use crate::realm::Realm;
use crate::realm::refusal::Refusal;
use crate::realm::registrations::Registration;
use crate::wire::Dict;

use super::events::describe_registration;
use super::procedures::Ask;
use super::subscriptions::by_way;

impl Realm {
    pub(super) fn list_registrations(&self) -> Dict {
        by_way(self.registrations.iter().map(|one: &Registration| (one.matching, one.id)))
    }

    fn registration(&self, id: Id) -> Result<&Registration, Refusal> {
        let missing = || Refusal::new(error::NO_SUCH_REGISTRATION, format!("there is no registration {id}"));
        self.registrations.get(id).ok_or_else(missing)
    }

    pub(super) fn registration_details(&self, id: Id) -> Result<Dict, Refusal> {
        self.registration(id).map(describe_registration)
    }

    pub(super) fn callees(&self, id: Id) -> Result<Vec<Id>, Refusal> {
        Ok(self.registration(id)?.callees.iter().map(|callee| callee.peer.id).collect())
    }

    /// `wamp.registration.remove_callee(registration, session)`: takes a registration away from a session.
    pub(super) fn remove_callee(&mut self, ask: &Ask<'_>) -> Result<(), Refusal> {
        let id = ask.id()?;
        let session = ask.args.get(1).and_then(|session| session.as_u64()).unwrap_or(ask.caller.id);
        let callees = &self.registration(id)?.callees;
        let Some(callee) = callees.iter().find(|callee| callee.peer.id == session) else {
            let why = format!("session {session} has no registration {id}");
            return Err(Refusal::new(error::NO_SUCH_SESSION, why));
        };
        let peer = std::sync::Arc::clone(&callee.peer);
        if let Some(session) = self.sessions.get_mut(&session) {
            session.registrations.remove(&id);
        }
        if peer.features.callee_revocation {
            let reason = ask.kwargs.text("reason").unwrap_or(close::KILLED);
            let details = Dict::new().with("registration", id).with("reason", reason);
            peer.send(&Message::Unregistered { request: 0, details: Some(details) });
        }
        self.end_registration(id, &peer);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Match;

    #[test]
    fn lists_are_sorted_by_way_and_id() {
        let list = by_way([(Match::Exact, 3), (Match::Prefix, 2), (Match::Exact, 1)].into_iter());
        let expected = Dict::new()
            .with("exact", vec![1_u64, 3])
            .with("prefix", vec![2_u64])
            .with("wildcard", Vec::<u64>::new());
        assert_eq!(list, expected);
    }
}
