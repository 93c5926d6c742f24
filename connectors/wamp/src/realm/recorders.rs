//! Streams that record topics, and publishers who hear of their publication when all of those have it.
//!
//! ```text
//!  PUBLISH, acknowledge ─┬─ a stream records the topic, and nobody fills it now ─────────────> ERROR, and no event
//!                        └─ events ─┬─ nobody records the topic ─────────────────────────────> PUBLISHED
//!                                   └─ waits for each session that fills a stream ─ durable ─> PUBLISHED
//!                                                                └─ a session ends before ───> ERROR
//! ```
//!
//! A stream is known by its name from when it is made until it is dropped, whether or not somebody fills it: so nothing that was
//! acknowledged is missing from it. Publications without acknowledgement, and topics that nobody records, cost nothing of this.

use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};

use super::refusal::Refusal;
use super::{Peer, Realm};
use crate::message::uri::error;
use crate::message::{Code, Id, Match, Message};

/// All streams that record topics of a realm, and who waits for them.
#[derive(Debug, Default)]
pub(super) struct Recorders {
    streams: BTreeMap<String, Recorder>,
    /// The sessions that fill streams.
    sessions: HashSet<Id, RandomState>,
    /// How many streams nobody fills.
    unfilled: usize,
    /// Publishers that wait, by publication.
    waiting: HashMap<Id, Waiting, RandomState>,
}

/// A stream that records topics.
#[derive(Debug)]
struct Recorder {
    matching: Match,
    uri: String,
    /// Who fills it.
    session: Option<Id>,
}

/// A publisher that waits.
#[derive(Debug)]
struct Waiting {
    publisher: Arc<Peer>,
    request: Id,
    /// The sessions that have the event, and have not said that it is durable.
    on: Vec<Id>,
}

/// Where the event of a publication that is to be acknowledged has gone.
#[derive(Debug, Default)]
pub(super) struct Handed {
    sessions: Vec<Id>,
    /// Whether a stream that records the topic could not be given it.
    is_lost: bool,
}

impl Recorders {
    /// A stream that records a topic, and that nobody fills at the moment.
    fn unfilled(&self, topic: &str) -> Option<&str> {
        if self.unfilled == 0 {
            return None;
        }
        let is_missed = |one: &Recorder| one.session.is_none() && one.matching.matches(&one.uri, topic);
        self.streams.iter().find(|(_, one)| is_missed(one)).map(|(name, _)| name.as_str())
    }

    /// Notes that an event was handed to a session, or could not be written for it.
    pub(super) fn note(&self, member: &Peer, is_written: bool, handed: &mut Handed) {
        if member.is_trusted && self.sessions.contains(&member.id) {
            match is_written {
                true => handed.sessions.push(member.id),
                false => handed.is_lost = true,
            }
        }
    }

    fn fill(&mut self, stream: &str, session: Option<Id>) {
        if let Some(recorder) = self.streams.get_mut(stream) {
            recorder.session = session;
        }
        self.count();
    }

    fn count(&mut self) {
        self.sessions = self.streams.values().filter_map(|one| one.session).collect();
        self.unfilled = self.streams.values().filter(|one| one.session.is_none()).count();
    }

    /// Whoever fills a stream takes no more events; what it has been handed it may still record.
    pub(super) fn ends(&mut self, session: Id) {
        if self.sessions.contains(&session) {
            let filled = self.streams.values_mut().filter(|one| one.session == Some(session));
            filled.for_each(|one| one.session = None);
            self.count();
        }
    }

    /// Everybody has gone.
    pub(super) fn close(&mut self) {
        self.waiting = HashMap::default();
        self.streams.values_mut().for_each(|one| one.session = None);
        self.count();
    }
}

impl Realm {
    /// From now on a stream of this name records what a pattern matches: what is published there with acknowledgement is acknowledged when
    /// it is durable.
    pub fn record(&mut self, stream: &str, matching: Match, uri: &str) {
        // Another pattern is for the next session to subscribe to.
        let known = self.recorders.streams.get(stream);
        let known = known.filter(|known| (known.matching, known.uri.as_str()) == (matching, uri));
        let session = known.and_then(|known| known.session);
        let recorder = Recorder { matching, uri: uri.to_owned(), session };
        self.recorders.streams.insert(stream.to_owned(), recorder);
        self.recorders.count();
    }

    /// A stream records nothing any more.
    pub fn forget_stream(&mut self, stream: &str) {
        if self.recorders.streams.remove(stream).is_some() {
            self.recorders.count();
        }
    }

    /// A session has subscribed to what a stream records, and fills it.
    pub fn fills(&mut self, session: Id, stream: &str) {
        if self.sessions.contains_key(&session) {
            self.recorders.fill(stream, Some(session));
        }
    }

    /// What a session has been handed of these publications is durable.
    pub fn recorded(&mut self, session: Id, publications: &[Id]) {
        for publication in publications {
            if self.recorders.waiting.is_empty() {
                return;
            }
            let Some(waiting) = self.recorders.waiting.get_mut(publication) else { continue };
            waiting.on.retain(|on| *on != session);
            if waiting.on.is_empty()
                && let Some(done) = self.recorders.waiting.remove(publication)
                && self.sessions.contains_key(&done.publisher.id)
            {
                let published = Message::Published { request: done.request, publication: *publication };
                done.publisher.send(&published);
            }
        }
    }

    /// Refuses what is to be acknowledged and could not be recorded.
    pub(super) fn may_be_recorded(&self, topic: &str) -> Result<(), Refusal> {
        let Some(stream) = self.recorders.unfilled(topic) else { return Ok(()) };
        let why = format!(
            "stream {stream} records {topic:?}, and is not being filled at the moment; publish again later, or without \
             acknowledgement"
        );
        Err(Refusal::new(error::UNAVAILABLE, why))
    }

    /// Answers a publisher, now or when what was handed on is durable.
    pub(super) fn acknowledge(
        &mut self,
        publisher: &Arc<Peer>,
        request: Id,
        publication: Id,
        handed: Handed,
    ) {
        if handed.is_lost {
            let why = "the payload cannot be read, so it is missing from a stream that records the topic";
            return publisher.refuse(Code::Publish, request, error::INVALID_PAYLOAD, why);
        }
        if handed.sessions.is_empty() {
            publisher.send(&Message::Published { request, publication });
            return;
        }
        let waiting = Waiting { publisher: Arc::clone(publisher), request, on: handed.sessions };
        self.recorders.waiting.insert(publication, waiting);
    }

    /// A session that may have filled a stream is gone: what it was handed and has not recorded is not known to be durable.
    pub(super) fn recorder_is_gone(&mut self, session: Id) {
        self.recorders.ends(session);
        let failed: Vec<Waiting> = self
            .recorders
            .waiting
            .extract_if(|_, waiting| waiting.on.contains(&session))
            .map(|(_, waiting)| waiting)
            .collect();
        for Waiting { publisher, request, .. } in failed {
            if self.sessions.contains_key(&publisher.id) {
                let why = "a stream that records the topic may not have it: what filled it has failed, or was stopped";
                publisher.refuse(Code::Publish, request, error::UNAVAILABLE, why);
            }
        }
    }
}
