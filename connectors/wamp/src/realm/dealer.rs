//! The dealer: registrations, and calls on their way to callees.

use std::sync::Arc;
use std::time::Duration;

use super::broker::read_match;
use super::calls::Call;
use super::publication::pass_through;
use super::refusal::Refusal;
use super::registrations::{Added, Callee, Invoke};
use super::roles::{Action, Verdict};
use super::{Peer, Realm};
use crate::message::uri::{self, error};
use crate::message::{Code, Id, Match, Message, Publish, Request};
use crate::wire::{Dict, Malformed, Payload, Value};

impl Realm {
    pub(super) fn register(&mut self, peer: &Arc<Peer>, request: &Request) {
        let added = self.may_register(peer, &request.options, &request.uri).and_then(|(matching, invoke)| {
            let callee = Callee {
                peer: Arc::clone(peer),
                disclose_caller: request.options.is_true("disclose_caller"),
                forward_timeout: request.options.is_true("forward_timeout"),
            };
            let now = self.world.clock.now();
            match self.registrations.add(&request.uri, matching, invoke, callee, now) {
                Added::Created(id) => Ok((id, true, true)),
                Added::Joined(id) => Ok((id, false, true)),
                Added::Again(id) => Ok((id, false, false)),
                Added::Exists => Err(Refusal::new(
                    error::PROCEDURE_ALREADY_EXISTS,
                    format!("{:?} is registered already, and not to be shared like this", request.uri),
                )),
            }
        });
        match added {
            Ok((registration, is_created, is_new)) => {
                if let Some(session) = self.sessions.get_mut(&peer.id) {
                    session.registrations.insert(registration);
                }
                peer.send(&Message::Registered { request: request.request, registration });
                self.announce_register(peer, registration, is_created, is_new);
            }
            Err(refusal) => peer.refuse(Code::Register, request.request, refusal.uri, &refusal.message),
        }
    }

    fn may_register(&self, peer: &Peer, options: &Dict, uri: &str) -> Result<(Match, Invoke), Refusal> {
        let matching = read_match(options)?;
        let invoke = match options.get("invoke") {
            None | Some(Value::Null) => Invoke::Single,
            Some(name) => name.as_str().and_then(Invoke::from_name).ok_or_else(|| {
                Refusal::invalid_argument("option invoke is single, roundrobin, random, first or last")
            })?,
        };
        if !matching.is_valid(uri, self.options.strict_uris) || uri::is_reserved(uri) {
            return Err(Refusal::invalid_uri(uri));
        }
        self.may_all(peer, (Action::Register, "register"), matching, uri)?;
        Ok((matching, invoke))
    }

    pub(super) fn unregister(&mut self, peer: &Arc<Peer>, request: Id, registration: Id) {
        let held = self
            .sessions
            .get_mut(&peer.id)
            .is_some_and(|session| session.registrations.remove(&registration));
        if !held {
            let why = format!("this session has no registration {registration}");
            return peer.refuse(Code::Unregister, request, error::NO_SUCH_REGISTRATION, &why);
        }
        peer.send(&Message::Unregistered { request, details: None });
        self.end_registration(registration, peer);
    }

    /// Takes a peer out of a registration, and tells those who follow such things.
    pub(super) fn end_registration(&mut self, registration: Id, peer: &Arc<Peer>) {
        if let Some(is_gone) = self.registrations.remove(registration, peer.id) {
            self.announce_unregister(peer, registration, is_gone);
        }
    }

    /// A call that was not there before. An error is a violation of the protocol.
    pub(super) fn call(&mut self, peer: &Arc<Peer>, call: Publish) -> Result<(), Malformed> {
        let awaits_more = call.options.is_true("progress");
        if awaits_more && !peer.features.caller_progressive_invocations {
            return Err(Malformed::new("CALL: progressive invocations were not announced"));
        }
        if call.options.get("ppt_scheme").is_some() && !peer.features.caller_passthru {
            return Err(Malformed::new("CALL: payload passthru was not announced"));
        }
        let request = call.request;
        let verdict = match self.may_call(peer, &call) {
            Ok(verdict) => verdict,
            Err(refusal) => {
                peer.refuse(Code::Call, request, refusal.uri, &refusal.message);
                return Ok(());
            }
        };
        if uri::is_reserved(&call.uri) {
            self.call_meta(peer, &call);
            return Ok(());
        }
        if let Err(refusal) = self.begin_call(peer, call, verdict) {
            peer.refuse(Code::Call, request, refusal.uri, &refusal.message);
        }
        Ok(())
    }

    fn may_call(&self, peer: &Peer, call: &Publish) -> Result<Verdict, Refusal> {
        if !uri::is_valid(&call.uri, self.options.strict_uris) {
            return Err(Refusal::invalid_uri(&call.uri));
        }
        let verdict = self.decide(peer, Action::Call, &call.uri);
        if !verdict.allowed {
            return Err(Refusal::not_authorized(&peer.identity.authrole, "call", &call.uri));
        }
        Ok(verdict)
    }

    fn begin_call(&mut self, peer: &Arc<Peer>, call: Publish, verdict: Verdict) -> Result<(), Refusal> {
        let nobody =
            || Refusal::new(error::NO_SUCH_PROCEDURE, format!("nobody has registered {:?}", call.uri));
        let id = self.registrations.best(&call.uri).ok_or_else(nobody)?;
        let timeout = match call.options.get("timeout") {
            None | Some(Value::Null) => None,
            Some(millis) => millis
                .as_u64()
                .map(Duration::from_millis)
                .map(Some)
                .ok_or_else(|| Refusal::invalid_argument("option timeout is a number of milliseconds"))?,
        };
        let is_disclosed = self.is_disclosed(peer, verdict, &call.options)?;
        let call = Call {
            caller: Arc::clone(peer),
            request: call.request,
            registration: id,
            procedure: call.uri.into(),
            payload: call.payload,
            receive_progress: call.options.is_true("receive_progress") && peer.features.caller_progress,
            awaits_more: call.options.is_true("progress"),
            is_disclosed,
            timeout: timeout.filter(|timeout| !timeout.is_zero()),
            options: call.options,
            callee: None,
            tried: Vec::new(),
            parts: 1,
            has_progressed: false,
            is_killed: false,
            deadline: None,
        };
        self.invoke_next(call)
    }

    /// Sends a call to the next callee that has not been tried.
    pub(super) fn invoke_next(&mut self, mut call: Call) -> Result<(), Refusal> {
        let dice = self.world.random.next();
        let registration = self.registrations.get_mut(call.registration);
        let chosen = registration.and_then(|one| Some((one.matching, one.choose(&call.tried, dice)?)));
        let Some((matching, callee)) = chosen else {
            return Err(Refusal::new(error::NO_AVAILABLE_CALLEE, "no callee is available"));
        };
        let features = callee.peer.features;
        let can_stream = features.callee_progressive_invocations && features.callee_canceling;
        if call.awaits_more && !can_stream {
            return Err(Refusal::new(error::FEATURE_NOT_SUPPORTED, "the callee takes no call in parts"));
        }
        let details = self.invocation_details(&call, &callee, matching);
        if details.get("ppt_scheme").is_some() && !features.callee_passthru {
            return Err(Refusal::new(error::FEATURE_NOT_SUPPORTED, "the callee has no payload passthru"));
        }
        let id = call.registration;
        let Some(session) = self.sessions.get_mut(&callee.peer.id) else {
            return Err(Refusal::new(error::NO_AVAILABLE_CALLEE, "the callee is leaving"));
        };
        let invocation = session.invocations.issue();
        if !send_invocation(&callee.peer, invocation, id, details, &call.payload, call.awaits_more) {
            // Ids go up by one in what the callee sees.
            session.invocations.take_back();
            return Err(Refusal::new(
                error::PAYLOAD_SIZE_EXCEEDED,
                "the callee does not take messages of this length, or its serializer cannot write the arguments",
            ));
        }
        // A callee that minds timeouts itself is told, and believed.
        let minds_itself = callee.forward_timeout && features.callee_timeout;
        let timeout = call.timeout.filter(|_| !minds_itself);
        call.deadline = timeout.map(|timeout| self.world.clock.monotonic() + timeout);
        call.callee = Some((callee, invocation));
        self.calls.insert(call);
        Ok(())
    }

    fn invocation_details(&self, call: &Call, callee: &Callee, matching: Match) -> Dict {
        let mut details = Dict::new();
        if matching != Match::Exact {
            details.insert("procedure", &*call.procedure);
        }
        let features = callee.peer.features;
        if call.receive_progress && features.callee_progress && features.callee_canceling {
            details.insert("receive_progress", true);
        }
        if call.is_disclosed || callee.disclose_caller {
            details.insert("caller", call.caller.id);
            details.insert("caller_authid", call.caller.identity.authid.as_str());
            details.insert("caller_authrole", call.caller.identity.authrole.as_str());
        }
        if let Some(level) = self.trustlevel(&call.caller) {
            details.insert("trustlevel", level);
        }
        if let Some(timeout) = call.timeout.filter(|_| callee.forward_timeout && features.callee_timeout) {
            details.insert("timeout", timeout.as_millis() as u64);
        }
        pass_through(&call.options, &mut details);
        details
    }

    /// A further part of a call. Its options are those of the first part, but for `progress`.
    pub(super) fn call_goes_on(&mut self, peer: &Arc<Peer>, part: Publish) -> Result<(), Malformed> {
        let key = (peer.id, part.request);
        let Some(call) = self.calls.get_mut(key) else { return Ok(()) };
        call.awaits_more = part.options.is_true("progress");
        call.parts += 1;
        let Some((callee, invocation)) = call.callee.clone() else { return Ok(()) };
        let awaits_more = call.awaits_more;
        let Some(call) = self.calls.get(key) else { return Ok(()) };
        let Some(registration) = self.registrations.get(call.registration) else {
            // The callee took its registration back meanwhile; the call goes on without it.
            return Ok(());
        };
        let details = self.invocation_details(call, &callee, registration.matching);
        let id = registration.id;
        if !send_invocation(&callee.peer, invocation, id, details, &part.payload, awaits_more) {
            self.end_call_with(
                key,
                error::PAYLOAD_SIZE_EXCEEDED,
                "the callee cannot take a message of this length",
            );
        }
        Ok(())
    }
}

fn send_invocation(
    callee: &Peer,
    invocation: Id,
    registration: Id,
    mut details: Dict,
    payload: &Payload,
    awaits_more: bool,
) -> bool {
    if awaits_more {
        details.insert("progress", true);
    }
    callee.send(&Message::Invocation(crate::message::Invocation {
        first: invocation,
        second: registration,
        details,
        payload: payload.clone(),
    }))
}
