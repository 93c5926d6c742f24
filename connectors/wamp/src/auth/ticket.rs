//! Tickets: a text that only the two sides know. Over a transport without TLS everybody who listens knows it, too.

use super::secret::is_same;
use super::{Begin, Denied, Pending, Secret};
use crate::realm::Identity;
use crate::wire::Dict;

/// The ticket that is expected; none if the name is not known.
#[derive(Debug)]
pub struct Expected {
    identity: Identity,
    ticket: Option<Secret>,
}

pub(super) fn ask(identity: Identity, ticket: Option<&Secret>) -> Begin {
    let pending = Pending::Ticket(Expected { identity, ticket: ticket.cloned() });
    Begin::Challenge { method: "ticket", extra: Dict::new(), pending }
}

impl Expected {
    pub(super) fn judge(self, signature: &str) -> Result<Identity, Denied> {
        match self.ticket {
            Some(ticket) if is_same(ticket.bytes(), signature.as_bytes()) => Ok(self.identity),
            _ => Err(Denied::wrong()),
        }
    }
}
