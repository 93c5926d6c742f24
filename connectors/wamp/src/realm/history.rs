//! Questions about what was published before: `wamp.subscription.get_events`.
//!
//! The realm keeps no events. It finds out whose events are asked for and whether they may be, and puts the question where whoever does
//! keep them finds it; the answer comes when it comes.

use std::sync::Arc;

use headwater_core::EventTime;
use headwater_ingest::read_timestamp;

use super::publication::Receivers;
use super::refusal::Refusal;
use super::roles::Action;
use super::subscriptions::Subscription;
use super::{Peer, Realm};
use crate::message::uri::error;
use crate::message::{Code, Id, Match, Message};
use crate::wire::{Dict, Payload, Value};

/// Which events of a subscription are asked for. All conditions hold for each of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// The session that asks.
    pub session: Id,
    /// The id of its call.
    pub request: Id,
    /// The subscription.
    pub subscription: Id,
    /// Its topic or pattern.
    pub uri: Arc<str>,
    /// How that matches.
    pub matching: Match,
    /// Who asks, by name: events that were not meant for it are not among the answers.
    pub authid: String,
    /// Who asks, by role.
    pub authrole: String,
    /// Whether the newest comes first.
    pub is_reverse: bool,
    /// How many events at most, the first ones in the order that was asked for.
    pub limit: Option<usize>,
    /// The only topic of which events are wanted.
    pub topic: Option<String>,
    /// Where the stretch begins and ends.
    pub edges: Vec<Edge>,
}

/// One end of a stretch of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    /// Whether the stretch begins here, or ends.
    pub is_begin: bool,
    /// Whether what lies at the edge belongs to it.
    pub is_included: bool,
    /// Where it is.
    pub at: Moment,
}

/// A point among events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// By the clock.
    Time(EventTime),
    /// An event.
    Publication(Id),
}

/// The edges as arguments name them: whether the stretch begins there, and whether the edge belongs to it.
const EDGES: [(&str, bool, bool); 4] =
    [("from", true, true), ("after", true, false), ("before", false, false), ("until", false, true)];

/// An event of the past.
#[derive(Debug, Clone, PartialEq)]
pub struct PastEvent {
    /// When it was published.
    pub time: EventTime,
    /// The publication's id.
    pub publication: Id,
    /// What receivers were told about it.
    pub details: Dict,
    /// The positional arguments.
    pub args: Vec<Value>,
    /// The named arguments.
    pub kwargs: Dict,
    /// Who might receive it.
    pub receivers: Receivers,
}

impl Question {
    /// Reads the named arguments of a call.
    fn read(peer: &Peer, request: Id, of: &Subscription, kwargs: &Dict) -> Result<Self, Refusal> {
        let given = |key: &str| kwargs.get(key).filter(|value| !value.is_null());
        let wrong = |key: &str, what: &str| Refusal::invalid_argument(format!("argument {key} is {what}"));
        let mut edges = Vec::new();
        for (name, is_begin, is_included) in EDGES {
            let mut add = |at| edges.push(Edge { is_begin, is_included, at });
            let key = format!("{name}_time");
            if let Some(time) = given(&key) {
                let time = time.as_str().and_then(read_timestamp);
                add(Moment::Time(time.ok_or_else(|| wrong(&key, "a time as RFC 3339 has it"))?));
            }
            let key = format!("{name}_publication");
            if let Some(id) = given(&key) {
                add(Moment::Publication(id.as_u64().ok_or_else(|| wrong(&key, "the id of a publication"))?));
            }
        }
        let limit = given("limit").map(|limit| {
            let limit = limit.as_u64().filter(|limit| *limit > 0);
            limit.ok_or_else(|| wrong("limit", "a number above zero"))
        });
        let topic = given("topic").map(|topic| topic.as_str().ok_or_else(|| wrong("topic", "a topic")));
        let reverse = given("reverse")
            .map(|reverse| reverse.as_bool().ok_or_else(|| wrong("reverse", "true or false")));
        Ok(Self {
            session: peer.id,
            request,
            subscription: of.id,
            uri: Arc::clone(&of.uri),
            matching: of.matching,
            authid: peer.identity.authid.clone(),
            authrole: peer.identity.authrole.clone(),
            is_reverse: reverse.transpose()?.unwrap_or(false),
            limit: limit.transpose()?.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)),
            topic: topic.transpose()?.map(str::to_owned),
            edges,
        })
    }

    /// Whether an event of a topic is among those that are asked for, as far as topic and receivers go.
    pub fn admits(&self, topic: &str, receivers: &Receivers) -> bool {
        self.matching.matches(&self.uri, topic)
            && self.topic.as_ref().is_none_or(|only| *only == *topic)
            // Sessions have other ids by now: who was named then cannot be told.
            && !receivers.name_sessions()
            && receivers.admit_identity(&self.authid, &self.authrole)
    }
}

impl PastEvent {
    /// As the answer has it.
    pub(crate) fn describe(self, subscription: Id) -> Value {
        let Self { time, publication, details, args, kwargs, receivers: _ } = self;
        Dict::new()
            .with("timestamp", time.to_string())
            .with("subscription", subscription)
            .with("publication", publication)
            .with("details", details)
            .with("args", args)
            .with("kwargs", kwargs)
            .into()
    }
}

impl Realm {
    /// From now on somebody looks for questions about the past.
    pub fn keep_questions(&mut self) {
        self.questions.get_or_insert_default();
    }

    /// Whether somebody looks for questions about the past.
    pub fn has_history(&self) -> bool {
        self.questions.is_some()
    }

    /// The questions that nobody has taken yet. Each is to be answered by [`Realm::answer_later`].
    pub fn take_questions(&mut self) -> Vec<Question> {
        self.questions.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Notes a question.
    pub(super) fn ask_history(
        &mut self,
        peer: &Peer,
        request: Id,
        subscription: Id,
        kwargs: &Dict,
    ) -> Result<(), Refusal> {
        let subscription = self.subscription(subscription)?;
        let wanted = (Action::Subscribe, "subscribe to");
        self.may_all(peer, wanted, subscription.matching, &subscription.uri)?;
        let question = Question::read(peer, request, subscription, kwargs)?;
        let nobody = || Refusal::new(error::HISTORY_UNAVAILABLE, "this router keeps no events");
        self.questions.as_mut().ok_or_else(nobody)?.push(question);
        Ok(())
    }

    /// Answers a call to the router that could not be answered at once, if its session is still there: with arguments, or with
    /// the URI of an error and words for people.
    pub fn answer_later(&self, session: Id, request: Id, answer: Result<Payload, (&str, String)>) {
        let Some(session) = self.sessions.get(&session) else { return };
        match answer {
            Ok(payload) => {
                let result = Message::Result { request, details: Dict::new(), payload };
                session.peer.send_outcome(request, &result);
            }
            Err((uri, message)) => session.peer.refuse(Code::Call, request, uri, &message),
        }
    }
}
