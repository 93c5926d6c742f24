//! The procedures that the router itself answers.

use std::sync::Arc;

use crate::message::uri::error;
use crate::message::{Code, Id, Match, Message, Publish};
use crate::realm::refusal::Refusal;
use crate::realm::testament::Scope;
use crate::realm::{Peer, Realm};
use crate::wire::{Dict, Payload, Value};

/// The arguments of a call to the router.
pub(super) struct Ask<'a> {
    pub caller: &'a Arc<Peer>,
    pub args: Vec<Value>,
    pub kwargs: Dict,
}

impl Ask<'_> {
    /// The id that comes first.
    pub(super) fn id(&self) -> Result<Id, Refusal> {
        let id = self.args.first().and_then(Value::as_u64);
        id.ok_or_else(|| Refusal::invalid_argument("the first argument is an id"))
    }

    /// The text that comes first.
    pub(super) fn text(&self) -> Result<&str, Refusal> {
        let text = self.args.first().and_then(Value::as_str);
        text.ok_or_else(|| Refusal::invalid_argument("the first argument is text"))
    }

    /// The way of matching among the options that come second.
    pub(super) fn matching(&self) -> Result<Match, Refusal> {
        match self.args.get(1).or_else(|| self.kwargs.get("options")) {
            None | Some(Value::Null) => Ok(Match::Exact),
            Some(Value::Dict(options)) => crate::realm::broker::read_match(options),
            Some(_) => Err(Refusal::invalid_argument("the second argument is a dictionary of options")),
        }
    }
}

impl Realm {
    /// Answers a call to the router.
    pub(in crate::realm) fn call_meta(&mut self, peer: &Arc<Peer>, call: &Publish) {
        let answer = match (call.payload.args(), call.payload.kwargs()) {
            (Ok(args), Ok(kwargs)) => {
                self.answer(&call.uri, call.request, &Ask { caller: peer, args, kwargs })
            }
            (Err(malformed), _) | (_, Err(malformed)) => {
                Err(Refusal::new(error::INVALID_PAYLOAD, malformed.to_string()))
            }
        };
        match answer {
            Ok(None) => {}
            Ok(Some(args)) => {
                let payload = Payload::of(args);
                let result = Message::Result { request: call.request, details: Dict::new(), payload };
                peer.send_outcome(call.request, &result);
            }
            Err(refusal) => peer.refuse(Code::Call, call.request, refusal.uri, &refusal.message),
        }
    }

    /// What a procedure answers; `None` if it will answer later.
    fn answer(&mut self, procedure: &str, request: Id, ask: &Ask<'_>) -> Result<Option<Vec<Value>>, Refusal> {
        if procedure == "wamp.subscription.get_events" {
            return self.ask_history(ask.caller, request, ask.id()?, &ask.kwargs).map(|()| None);
        }
        self.answer_now(procedure, ask).map(Some)
    }

    fn answer_now(&mut self, procedure: &str, ask: &Ask<'_>) -> Result<Vec<Value>, Refusal> {
        let one = |value: Value| Ok(vec![value]);
        match procedure {
            "wamp.session.count" => one((self.sessions_of(ask)?.len() as u64).into()),
            "wamp.session.list" => one(self.sessions_of(ask)?.into()),
            "wamp.session.get" => one(self.session_details(ask.id()?)?.into()),
            "wamp.session.kill" => self.kill_session(ask).map(|()| Vec::new()),
            "wamp.session.kill_by_authid" => {
                let authid = ask.text()?;
                one(self.kill_sessions(ask, |peer| peer.identity.authid == authid)?.into())
            }
            "wamp.session.kill_by_authrole" => {
                let role = ask.text()?;
                one((self.kill_sessions(ask, |peer| peer.identity.authrole == role)?.len() as u64).into())
            }
            "wamp.session.kill_all" => one((self.kill_sessions(ask, |_| true)?.len() as u64).into()),
            "wamp.session.add_testament" => {
                one(self.add_testament(ask.caller, &ask.args, &ask.kwargs)?.into())
            }
            "wamp.session.flush_testaments" => {
                let scope = Scope::read(&ask.kwargs)?;
                let session = self.sessions.get_mut(&ask.caller.id);
                one(session.map_or(0, |session| session.testaments.flush(scope)).into())
            }
            "wamp.registration.list" => one(self.list_registrations().into()),
            "wamp.registration.lookup" => one(self.registrations.lookup(ask.matching()?, ask.text()?).into()),
            "wamp.registration.match" => one(self.registrations.best(ask.text()?).into()),
            "wamp.registration.get" => one(self.registration_details(ask.id()?)?.into()),
            "wamp.registration.list_callees" => one(self.callees(ask.id()?)?.into()),
            "wamp.registration.count_callees" => one((self.callees(ask.id()?)?.len() as u64).into()),
            "wamp.registration.remove_callee" => self.remove_callee(ask).map(|()| Vec::new()),
            "wamp.subscription.list" => one(self.list_subscriptions().into()),
            "wamp.subscription.lookup" => one(self.subscriptions.lookup(ask.matching()?, ask.text()?).into()),
            "wamp.subscription.match" => one(self.matching_subscriptions(ask.text()?)),
            "wamp.subscription.get" => one(self.subscription_details(ask.id()?)?.into()),
            "wamp.subscription.list_subscribers" => one(self.subscribers(ask.id()?)?.into()),
            "wamp.subscription.count_subscribers" => one((self.subscribers(ask.id()?)?.len() as u64).into()),
            "wamp.subscription.remove_subscriber" => self.remove_subscriber(ask).map(|()| Vec::new()),
            _ => Err(Refusal::new(
                error::NO_SUCH_PROCEDURE,
                format!("the router has no procedure {procedure:?}"),
            )),
        }
    }
}
