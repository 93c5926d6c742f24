//! Who keeps the events of the past, and how its answers find their way to those who asked.

use std::sync::{Arc, Weak};

use super::{RealmHandle, Router};
use crate::message::Id;
use crate::message::uri::error;
use crate::realm::{PastEvent, Question, Realm};
use crate::wire::{Dict, Payload, Value};

/// Who keeps the events of the past.
pub trait History: Send + Sync {
    /// Begins to look for events of a realm. Must not wait: whoever asks is not read from meanwhile.
    fn ask(&self, realm: &str, question: Question, answer: Answer);
}

/// What a question about the past is answered by. One that is dropped leaves whoever asked without an answer.
#[must_use]
pub struct Answer {
    realm: Weak<RealmHandle>,
    session: Id,
    request: Id,
    subscription: Id,
}

impl Answer {
    /// Here they are; `is_limit_reached` says that there are more.
    pub fn events(self, events: Vec<PastEvent>, is_limit_reached: bool) {
        let events: Vec<Value> = events.into_iter().map(|event| event.describe(self.subscription)).collect();
        let kwargs = Dict::new().with("is_limit_reached", is_limit_reached);
        self.say(Ok(Payload::new(events, kwargs)));
    }

    /// Nobody has recorded these.
    pub fn unavailable(self, why: impl Into<String>) {
        self.say(Err((error::HISTORY_UNAVAILABLE, why.into())));
    }

    /// They cannot be read.
    pub fn failed(self, why: impl Into<String>) {
        self.say(Err((error::RUNTIME_ERROR, why.into())));
    }

    fn say(&self, answer: Result<Payload, (&str, String)>) {
        if let Some(realm) = self.realm.upgrade() {
            realm.with(|realm| realm.answer_later(self.session, self.request, answer));
        }
    }
}

impl Router {
    /// Says who keeps the events of the past. Sessions are told when they join.
    pub fn set_history(&self, history: &Arc<dyn History>) {
        for realm in self.realms() {
            realm.history.get_or_init(|| Historian(Arc::clone(history), Arc::downgrade(realm)));
            realm.with(Realm::keep_questions);
        }
    }
}

/// Who keeps the events of a realm.
pub(super) struct Historian(Arc<dyn History>, Weak<RealmHandle>);

impl Historian {
    /// Asks what sessions of the realm have asked.
    pub(super) fn ask(&self, realm: &str, questions: Vec<Question>) {
        for question in questions {
            let Question { session, request, subscription, .. } = question;
            let answer = Answer { realm: Weak::clone(&self.1), session, request, subscription };
            self.0.ask(realm, question, answer);
        }
    }
}
