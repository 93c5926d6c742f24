//! Who has registered what, and who of several is called.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use headwater_core::EventTime;

use super::Peer;
use super::pattern_index::PatternIndex;
use crate::message::{Id, Match, Sequential};

/// Who of several callees is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Invoke {
    #[default]
    Single,
    RoundRobin,
    Random,
    First,
    Last,
}

impl Invoke {
    const ALL: [Self; 5] = [Self::Single, Self::RoundRobin, Self::Random, Self::First, Self::Last];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::RoundRobin => "roundrobin",
            Self::Random => "random",
            Self::First => "first",
            Self::Last => "last",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }
}

/// One who can be called.
#[derive(Debug, Clone)]
pub(super) struct Callee {
    pub peer: Arc<Peer>,
    /// Whether callers are told to it even if they do not ask for that.
    pub disclose_caller: bool,
    /// Whether it minds timeouts itself.
    pub forward_timeout: bool,
}

/// All who have registered a procedure or pattern, in the order in which they came.
#[derive(Debug)]
pub(super) struct Registration {
    pub id: Id,
    pub uri: Arc<str>,
    pub matching: Match,
    pub invoke: Invoke,
    pub created: EventTime,
    pub callees: Vec<Callee>,
    /// The place in turn, for `roundrobin`.
    turn: usize,
}

impl Registration {
    /// Chooses whom to call, without those who were tried already. `dice` is any number.
    pub(super) fn choose(&mut self, tried: &[Id], dice: u64) -> Option<Callee> {
        let left = || self.callees.iter().filter(|callee| !tried.contains(&callee.peer.id));
        let count = left().count();
        if count == 0 {
            return None;
        }
        let chosen = match self.invoke {
            Invoke::Single | Invoke::First => left().next(),
            Invoke::Last => left().next_back(),
            Invoke::Random => left().nth((dice % count as u64) as usize),
            Invoke::RoundRobin => {
                let start = self.turn % self.callees.len();
                let from_start = self.callees.iter().enumerate().cycle().skip(start).take(self.callees.len());
                let next = from_start.into_iter().find(|(_, callee)| !tried.contains(&callee.peer.id));
                self.turn = next.map_or(start, |(at, _)| at + 1);
                next.map(|(_, callee)| callee)
            }
        };
        chosen.cloned()
    }
}

/// What came of a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Added {
    Created(Id),
    Joined(Id),
    /// The session had registered it before.
    Again(Id),
    /// It exists, and not for sharing in this way.
    Exists,
}

/// All registrations of a realm.
#[derive(Debug, Default)]
pub(super) struct Registrations {
    index: PatternIndex<Id>,
    by_id: HashMap<Id, Registration, RandomState>,
    ids: Sequential,
}

impl Registrations {
    pub(super) fn add(
        &mut self,
        uri: &str,
        matching: Match,
        invoke: Invoke,
        callee: Callee,
        now: EventTime,
    ) -> Added {
        if let Some(id) = self.index.get(matching, uri)
            && let Some(registration) = self.by_id.get_mut(&id)
        {
            if invoke == Invoke::Single || registration.invoke != invoke {
                return Added::Exists;
            }
            if registration.callees.iter().any(|known| known.peer.id == callee.peer.id) {
                return Added::Again(id);
            }
            registration.callees.push(callee);
            return Added::Joined(id);
        }
        let id = self.ids.issue();
        self.index.insert(matching, uri, id);
        let callees = vec![callee];
        let registration =
            Registration { id, uri: uri.into(), matching, invoke, created: now, callees, turn: 0 };
        self.by_id.insert(id, registration);
        Added::Created(id)
    }

    /// Removes a callee; `None` if it was none, else whether the registration is gone, too.
    pub(super) fn remove(&mut self, id: Id, session: Id) -> Option<bool> {
        let registration = self.by_id.get_mut(&id)?;
        let at = registration.callees.iter().position(|callee| callee.peer.id == session)?;
        registration.callees.remove(at);
        if at < registration.turn {
            registration.turn -= 1;
        }
        let is_gone = registration.callees.is_empty();
        if is_gone {
            let (matching, uri) = (registration.matching, Arc::clone(&registration.uri));
            self.index.remove(matching, &uri);
            self.by_id.remove(&id);
        }
        Some(is_gone)
    }

    pub(super) fn get(&self, id: Id) -> Option<&Registration> {
        self.by_id.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: Id) -> Option<&mut Registration> {
        self.by_id.get_mut(&id)
    }

    pub(super) fn lookup(&self, matching: Match, uri: &str) -> Option<Id> {
        self.index.get(matching, uri)
    }

    /// The registration that a call of a procedure goes to.
    pub(super) fn best(&self, procedure: &str) -> Option<Id> {
        self.index.best(procedure).map(|(_, id)| id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Registration> {
        self.by_id.values()
    }
}
