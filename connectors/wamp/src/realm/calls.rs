//! Calls that are under way: results, errors, cancellation, timeouts.
//!
//! ```text
//!  CALL ──> INVOCATION ──> YIELD(progress)* ──> YIELD | ERROR ──> RESULT | ERROR
//!                └─ CANCEL, timeout, caller gone: INTERRUPT to the callee; callee gone: ERROR to the caller
//! ```
//!
//! A call ends with the first of these. What a callee says about a call that has ended is dropped; what it says about one
//! that never was is a violation of the protocol.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::publication::pass_through;
use super::registrations::Callee;
use super::{Peer, Realm};
use crate::message::uri::error;
use crate::message::{Code, Id, Message};
use crate::wire::{Dict, Malformed, Payload};

/// Which call: the caller's session, and the id of its request.
pub(super) type CallKey = (Id, Id);

/// A call under way.
#[derive(Debug)]
pub(super) struct Call {
    pub caller: Arc<Peer>,
    pub request: Id,
    pub registration: Id,
    pub procedure: Arc<str>,
    /// Kept for a callee that may have to take over.
    pub payload: Payload,
    pub options: Dict,
    pub is_disclosed: bool,
    pub receive_progress: bool,
    /// Whether the caller has more parts to send.
    pub awaits_more: bool,
    /// How many parts were sent.
    pub parts: usize,
    pub has_progressed: bool,
    /// Whether the callee was told to end it, and its answer is waited for.
    pub is_killed: bool,
    pub timeout: Option<Duration>,
    pub deadline: Option<Duration>,
    /// Who works on it, and the id of the invocation.
    pub callee: Option<(Callee, Id)>,
    /// Who has said that it is not available.
    pub tried: Vec<Id>,
}

/// All calls under way.
#[derive(Debug, Default)]
pub(super) struct Calls {
    by_caller: HashMap<CallKey, Call, RandomState>,
    /// By the callee's session and the id of the invocation.
    by_callee: HashMap<(Id, Id), CallKey, RandomState>,
    deadlines: BTreeSet<(Duration, CallKey)>,
}

impl Calls {
    pub(super) fn insert(&mut self, call: Call) {
        let key = (call.caller.id, call.request);
        if let Some((callee, invocation)) = &call.callee {
            self.by_callee.insert((callee.peer.id, *invocation), key);
        }
        self.deadlines.extend(call.deadline.map(|deadline| (deadline, key)));
        self.by_caller.insert(key, call);
    }

    pub(super) fn remove(&mut self, key: CallKey) -> Option<Call> {
        let call = self.by_caller.remove(&key)?;
        if let Some((callee, invocation)) = &call.callee {
            self.by_callee.remove(&(callee.peer.id, *invocation));
        }
        if let Some(deadline) = call.deadline {
            self.deadlines.remove(&(deadline, key));
        }
        Some(call)
    }

    pub(super) fn get(&self, key: CallKey) -> Option<&Call> {
        self.by_caller.get(&key)
    }

    pub(super) fn get_mut(&mut self, key: CallKey) -> Option<&mut Call> {
        self.by_caller.get_mut(&key)
    }

    /// Whether a caller has announced more parts of a call.
    pub(super) fn awaits_more(&self, caller: Id, request: Id) -> bool {
        self.get((caller, request)).is_some_and(|call| call.awaits_more)
    }

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    fn restart_timer(&mut self, key: CallKey, now: Duration) {
        let Some(call) = self.by_caller.get_mut(&key) else { return };
        let Some(old) = call.deadline else { return };
        let new = now + call.timeout.unwrap_or_default();
        call.deadline = Some(new);
        self.deadlines.remove(&(old, key));
        self.deadlines.insert((new, key));
    }

    fn due(&self, now: Duration) -> Vec<CallKey> {
        self.deadlines.iter().take_while(|(deadline, _)| *deadline <= now).map(|(_, key)| *key).collect()
    }

    fn of_session(&self, session: Id) -> Vec<CallKey> {
        let concerns = |call: &Call| {
            call.caller.id == session
                || call.callee.as_ref().is_some_and(|(callee, _)| callee.peer.id == session)
        };
        self.by_caller.iter().filter(|(_, call)| concerns(call)).map(|(key, _)| *key).collect()
    }
}

impl Realm {
    /// The call that a callee speaks of; `None` if it has ended.
    fn call_of(&self, callee: &Peer, invocation: Id) -> Result<Option<CallKey>, Malformed> {
        if let Some(key) = self.calls.by_callee.get(&(callee.id, invocation)) {
            return Ok(Some(*key));
        }
        let last = self.sessions.get(&callee.id).map_or(0, |session| session.invocations.last());
        if invocation > last {
            return Err(Malformed::new(format!("there was no invocation {invocation}")));
        }
        Ok(None)
    }

    pub(super) fn yielded(
        &mut self,
        callee: &Arc<Peer>,
        invocation: Id,
        options: &Dict,
        payload: Payload,
    ) -> Result<(), Malformed> {
        let is_progress = options.is_true("progress");
        if is_progress && !callee.features.callee_progress {
            return Err(Malformed::new("YIELD: progressive results were not announced"));
        }
        let mut details = Dict::new();
        let is_passthru = pass_through(options, &mut details);
        if is_passthru && !callee.features.callee_passthru {
            return Err(Malformed::new("YIELD: payload passthru was not announced"));
        }
        let Some(key) = self.call_of(callee, invocation)? else { return Ok(()) };
        let Some(call) = self.calls.get_mut(key) else { return Ok(()) };
        if is_passthru && !call.caller.features.caller_passthru {
            let why = "the caller has no payload passthru";
            callee.refuse(Code::Yield, invocation, error::FEATURE_NOT_SUPPORTED, why);
            self.end_call_with(key, error::FEATURE_NOT_SUPPORTED, why);
            return Ok(());
        }
        if is_progress {
            // Nobody asked for it, or nobody wants it any more.
            if !call.receive_progress || call.is_killed {
                return Ok(());
            }
            call.has_progressed = true;
            details.insert("progress", true);
        }
        let (caller, request) = (Arc::clone(&call.caller), call.request);
        let result = Message::Result { request, details, payload };
        if is_progress && caller.send(&result) {
            self.calls.restart_timer(key, self.world.clock.monotonic());
            return Ok(());
        }
        self.calls.remove(key);
        caller.send_outcome(request, &result);
        Ok(())
    }

    /// A callee answers with ERROR.
    pub(super) fn failed(
        &mut self,
        callee: &Arc<Peer>,
        invocation: Id,
        details: Dict,
        uri: String,
        payload: Payload,
    ) -> Result<(), Malformed> {
        let Some(key) = self.call_of(callee, invocation)? else { return Ok(()) };
        let Some(mut call) = self.calls.remove(key) else { return Ok(()) };
        // What was sent in parts, or has brought results, cannot be started again elsewhere.
        let can_move = call.parts == 1 && !call.has_progressed && !call.is_killed;
        if uri == error::UNAVAILABLE && can_move {
            call.tried.push(callee.id);
            call.callee = None;
            let (caller, request) = (Arc::clone(&call.caller), call.request);
            if let Err(refusal) = self.invoke_next(call) {
                caller.refuse(Code::Call, request, refusal.uri, &refusal.message);
            }
            return Ok(());
        }
        let request = call.request;
        let message = Message::Error { of: Code::Call.number(), request, details, error: uri, payload };
        call.caller.send_outcome(request, &message);
        Ok(())
    }

    /// A caller wants no result any more.
    pub(super) fn cancel(&mut self, caller: &Peer, request: Id, options: &Dict) {
        let key = (caller.id, request);
        let Some(call) = self.calls.get_mut(key) else { return };
        let can_interrupt =
            call.callee.as_ref().is_some_and(|(callee, _)| callee.peer.features.callee_canceling);
        match options.text("mode") {
            Some("kill") if can_interrupt => {
                if !call.is_killed {
                    call.is_killed = true;
                    interrupt(call, "kill", error::CANCELED);
                }
            }
            Some("skip") => self.end_call_with(key, error::CANCELED, "the call was canceled"),
            _ => {
                interrupt(call, "killnowait", error::CANCELED);
                self.end_call_with(key, error::CANCELED, "the call was canceled");
            }
        }
    }

    /// Ends a call with an error to its caller.
    pub(super) fn end_call_with(&mut self, key: CallKey, uri: &str, message: &str) {
        if let Some(call) = self.calls.remove(key) {
            call.caller.refuse(Code::Call, call.request, uri, message);
        }
    }

    /// Ends the calls whose time is over.
    pub(super) fn expire_calls(&mut self, now: Duration) {
        for key in self.calls.due(now) {
            if let Some(call) = self.calls.get(key) {
                interrupt(call, "killnowait", error::TIMEOUT);
            }
            self.end_call_with(key, error::TIMEOUT, "the call took longer than its timeout");
        }
    }

    /// Ends the calls that a session made or worked on.
    pub(super) fn abandon_calls(&mut self, session: Id) {
        for key in self.calls.of_session(session) {
            let Some(call) = self.calls.remove(key) else { continue };
            if call.caller.id == session {
                interrupt(&call, "killnowait", error::CANCELED);
            } else {
                call.caller.refuse(Code::Call, call.request, error::CANCELED, "the callee has left");
            }
        }
    }
}

/// Tells the callee to end a call, if it understands that.
fn interrupt(call: &Call, mode: &str, reason: &str) {
    if let Some((callee, invocation)) = &call.callee
        && callee.peer.features.callee_canceling
    {
        let options = Dict::new().with("mode", mode).with("reason", reason);
        callee.peer.send(&Message::Interrupt { request: *invocation, options });
    }
}
