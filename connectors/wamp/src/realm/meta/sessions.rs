//! The meta procedures about sessions: how many there are, which, who they are, and ending them.

use crate::message::Id;
use crate::message::uri::{self, close, error};
use crate::realm::refusal::Refusal;
use crate::realm::{Peer, Realm};
use crate::wire::{Dict, Value};

use super::events::describe_session;
use super::procedures::Ask;

fn no_such_session(id: Id) -> Refusal {
    Refusal::new(error::NO_SUCH_SESSION, format!("there is no session {id}"))
}

impl Realm {
    /// The sessions of the roles that are named, or all of them.
    pub(super) fn sessions_of(&self, ask: &Ask<'_>) -> Result<Vec<Id>, Refusal> {
        let roles: Option<Vec<&str>> = match ask.args.first() {
            None | Some(Value::Null) => None,
            Some(Value::List(roles)) => {
                let roles = roles.iter().map(Value::as_str).collect::<Option<_>>();
                Some(roles.ok_or_else(|| Refusal::invalid_argument("roles are names"))?)
            }
            Some(_) => return Err(Refusal::invalid_argument("the first argument is a list of roles")),
        };
        let is_asked_for =
            |peer: &Peer| roles.as_ref().is_none_or(|roles| roles.contains(&peer.identity.authrole.as_str()));
        let mut ids: Vec<_> = self
            .sessions
            .values()
            .filter(|session| is_asked_for(&session.peer))
            .map(|session| session.peer.id)
            .collect();
        ids.sort_unstable();
        Ok(ids)
    }

    pub(super) fn session_details(&self, id: Id) -> Result<Dict, Refusal> {
        let session = self.sessions.get(&id).ok_or_else(|| no_such_session(id))?;
        Ok(describe_session(&session.peer))
    }

    pub(super) fn kill_session(&mut self, ask: &Ask<'_>) -> Result<(), Refusal> {
        let id = ask.id()?;
        // Nobody ends itself like this: it would not hear the answer.
        if id == ask.caller.id || !self.sessions.contains_key(&id) {
            return Err(no_such_session(id));
        }
        self.kill_sessions(ask, |peer| peer.id == id).map(|_| ())
    }

    /// Ends sessions, never the caller's own; answers which.
    pub(super) fn kill_sessions(
        &mut self,
        ask: &Ask<'_>,
        is_meant: impl Fn(&Peer) -> bool,
    ) -> Result<Vec<Id>, Refusal> {
        let reason = match ask.kwargs.get("reason") {
            None | Some(Value::Null) => close::KILLED,
            Some(reason) => reason
                .as_str()
                .filter(|reason| uri::is_valid(reason, self.options.strict_uris))
                .ok_or_else(|| Refusal::new(error::INVALID_URI, "the reason is not a URI"))?,
        };
        let mut details = Dict::new();
        if let Some(message) = ask.kwargs.text("message") {
            details.insert("message", message);
        }
        let mut victims: Vec<_> = self
            .sessions
            .values()
            .map(|session| &session.peer)
            .filter(|peer| peer.id != ask.caller.id && is_meant(peer))
            .cloned()
            .collect();
        victims.sort_unstable_by_key(|peer| peer.id);
        for victim in &victims {
            victim.part(reason, details.clone());
            self.leave(victim.id);
        }
        Ok(victims.iter().map(|victim| victim.id).collect())
    }
}
