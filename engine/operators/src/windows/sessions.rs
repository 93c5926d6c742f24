//! The open sessions of all keys.
//!
//! A session is two times and a group of aggregates. A row is compared only with sessions that are still open by the row's own
//! clock, so it makes no difference when closed ones are emitted and forgotten. Sessions that touch are one
//! (rows exactly a gap apart belong together).
//!
//! Sessions forgotten leave their groups behind as garbage, to be renumbered away once there is more garbage than life.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::aggregates::AggregateSet;
use crate::error::Result;
use crate::groups::KeyTable;

const GARBAGE_MIN: usize = 1024;
const NONE: u32 = u32::MAX;

/// Rows of one key that follow each other within the gap: `[start, end)`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Session {
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) group: u32,
}

/// Where a row belongs.
pub(super) enum Joined {
    /// To no session that is open by its clock, and its own is closed too.
    Late,
    /// To a session, new or extended.
    One(u32),
    /// To several sessions, which become one: the first group takes in the others.
    Many(u32, Vec<u32>),
}

/// The sessions of all keys.
pub(super) struct Sessions {
    gap: i64,
    pub(super) keys: KeyTable,
    pub(super) aggregates: AggregateSet,
    /// By key, by start.
    sessions: Vec<Vec<Session>>,
    groups: u32,
    live: usize,
    /// When to look at which key: at or before its earliest end.
    agenda: BinaryHeap<Reverse<(i64, u32)>>,
    /// By key, its earliest entry in the agenda.
    next_look: Vec<i64>,
    dirty: Vec<bool>,
    dirty_keys: Vec<u32>,
}

impl Sessions {
    pub(super) fn new(gap: i64, keys: KeyTable, aggregates: AggregateSet) -> Self {
        Self {
            gap,
            keys,
            aggregates,
            sessions: Vec::new(),
            groups: 0,
            live: 0,
            agenda: BinaryHeap::new(),
            next_look: Vec::new(),
            dirty: Vec::new(),
            dirty_keys: Vec::new(),
        }
    }

    /// Makes room for all keys.
    pub(super) fn resize(&mut self) {
        let keys = self.keys.len();
        self.sessions.resize_with(keys, Vec::new);
        self.next_look.resize(keys, i64::MAX);
        self.dirty.resize(keys, false);
    }

    /// Puts a row into its session.
    pub(super) fn join(&mut self, key: u32, time: i64, clock: i64) -> Joined {
        let end = time.saturating_add(self.gap);
        let sessions = &mut self.sessions[key as usize];
        let open = |session: &Session| session.end > clock && session.start <= end && session.end >= time;
        let joined = match sessions.iter().filter(|session| open(session)).count() {
            0 if end <= clock => return Joined::Late,
            0 => {
                let group = self.groups;
                let place = sessions.partition_point(|session| (session.start, session.end) < (time, end));
                sessions.insert(place, Session { start: time, end, group });
                self.groups += 1;
                self.live += 1;
                self.aggregates.resize(self.groups as usize);
                self.look_at(key, end);
                Joined::One(group)
            }
            1 => {
                let index = sessions.iter().position(open).expect("it has just been counted");
                let session = &mut sessions[index];
                let group = session.group;
                session.end = session.end.max(end);
                if time < session.start {
                    session.start = time;
                    sessions.sort_unstable();
                }
                Joined::One(group)
            }
            _ => {
                let (mut bridged, apart): (Vec<Session>, Vec<_>) = sessions.iter().copied().partition(open);
                let group = bridged[0].group;
                let start = bridged[0].start.min(time);
                let end = bridged.iter().map(|session| session.end).fold(end, i64::max);
                *sessions = apart;
                sessions.push(Session { start, end, group });
                sessions.sort_unstable();
                self.live -= bridged.len() - 1;
                Joined::Many(group, bridged.drain(1..).map(|session| session.group).collect())
            }
        };
        if !self.dirty[key as usize] {
            self.dirty[key as usize] = true;
            self.dirty_keys.push(key);
        }
        joined
    }

    /// The sessions of a key, by start.
    pub(super) fn of(&self, key: u32) -> &[Session] {
        self.sessions.get(key as usize).map_or(&[], Vec::as_slice)
    }

    /// Adds the aggregates of some groups, in this order, to those of another.
    pub(super) fn absorb(&mut self, into: u32, others: &[u32]) -> Result<()> {
        let states = self.aggregates.state(others)?;
        self.aggregates.merge(&states, &vec![into; others.len()])?;
        self.aggregates.clear(others);
        Ok(())
    }

    /// Takes a session back.
    pub(super) fn put(&mut self, key: u32, start: i64, end: i64) -> u32 {
        let group = self.groups;
        self.groups += 1;
        self.live += 1;
        self.sessions[key as usize].push(Session { start, end, group });
        self.sessions[key as usize].sort_unstable();
        self.aggregates.resize(self.groups as usize);
        self.look_at(key, end);
        group
    }

    fn look_at(&mut self, key: u32, time: i64) {
        let next = &mut self.next_look[key as usize];
        if time < *next {
            *next = time;
            self.agenda.push(Reverse((time, key)));
        }
    }

    /// The keys that may have sessions that end by `watermark`.
    pub(super) fn take_due(&mut self, watermark: i64) -> Vec<u32> {
        let mut due = Vec::new();
        while let Some(Reverse((time, key))) =
            self.agenda.peek().copied().filter(|entry| entry.0.0 <= watermark)
        {
            self.agenda.pop();
            // An entry that is not the key's earliest has been overtaken.
            if self.next_look[key as usize] == time {
                self.next_look[key as usize] = i64::MAX;
                due.push(key);
            }
        }
        due
    }

    /// When a session may end next.
    pub(super) fn next_end(&self) -> Option<i64> {
        self.agenda.peek().map(|Reverse((time, _))| *time)
    }

    /// Takes out the sessions of a key that end by `watermark`. Their groups live until [`Self::clear`].
    pub(super) fn close(&mut self, key: u32, watermark: i64, closed: &mut Vec<(u32, Session)>) {
        let Some(sessions) = self.sessions.get_mut(key as usize) else { return };
        sessions.retain(|session| {
            let ends = session.end <= watermark;
            if ends {
                closed.push((key, *session));
            }
            !ends
        });
        let earliest = sessions.iter().map(|session| session.end).min();
        if let Some(earliest) = earliest {
            self.look_at(key, earliest);
        }
    }

    /// Forgets closed sessions' groups.
    pub(super) fn clear(&mut self, closed: &[(u32, Session)]) {
        let groups: Vec<u32> = closed.iter().map(|(_, session)| session.group).collect();
        self.aggregates.clear(&groups);
        self.live -= groups.len();
    }

    /// Renumbers everything if there is more garbage than life. Keys without sessions go, unless `pinned`. Returns the keys
    /// that are left by their old numbers, if they have been renumbered.
    pub(super) fn collect_garbage(&mut self, pinned: impl Fn(u32) -> bool) -> Option<Vec<u32>> {
        let dead = self.groups as usize - self.live;
        if dead <= self.live || (dead < GARBAGE_MIN && self.live > 0) {
            return None;
        }
        let kept: Vec<u32> = (0..self.sessions.len() as u32)
            .filter(|key| !self.sessions[*key as usize].is_empty() || pinned(*key))
            .collect();
        self.keys.retain(&kept);
        let mut groups = Vec::with_capacity(self.live);
        let mut sessions: Vec<Vec<Session>> =
            kept.iter().map(|key| std::mem::take(&mut self.sessions[*key as usize])).collect();
        for session in sessions.iter_mut().flatten() {
            groups.push(session.group);
            session.group = groups.len() as u32 - 1;
        }
        self.aggregates.retain(&groups);
        self.groups = groups.len() as u32;
        self.dirty = kept.iter().map(|key| self.dirty[*key as usize]).collect();
        self.dirty_keys = (0..).zip(&self.dirty).filter(|(_, dirty)| **dirty).map(|(key, _)| key).collect();
        self.sessions = sessions;
        self.agenda = BinaryHeap::new();
        self.next_look = vec![i64::MAX; kept.len()];
        for key in 0..kept.len() as u32 {
            if let Some(end) = self.sessions[key as usize].iter().map(|session| session.end).min() {
                self.look_at(key, end);
            }
        }
        Some(kept)
    }

    /// The sessions of the keys that have changed since the last call, or of all.
    pub(super) fn changed(&mut self, full: bool) -> Vec<(u32, Session)> {
        let mut dirty = std::mem::take(&mut self.dirty_keys);
        dirty.iter().for_each(|key| self.dirty[*key as usize] = false);
        if full {
            dirty = (0..self.sessions.len() as u32).collect();
        }
        let of = |key: u32| self.sessions[key as usize].iter().map(move |session| (key, *session));
        dirty.into_iter().flat_map(of).collect()
    }

    /// Forgets all sessions of some keys.
    pub(super) fn remove(&mut self, keys: &[u32]) {
        for key in keys {
            let sessions = std::mem::take(&mut self.sessions[*key as usize]);
            let closed: Vec<_> = sessions.into_iter().map(|session| (NONE, session)).collect();
            self.clear(&closed);
        }
    }

    /// How many sessions there are.
    pub(super) fn len(&self) -> usize {
        self.live
    }

    pub(super) fn size(&self) -> usize {
        self.keys.size()
            + self.aggregates.size()
            + self.live * size_of::<Session>()
            + self.sessions.capacity() * size_of::<Vec<Session>>()
            + self.agenda.capacity() * size_of::<(i64, u32)>()
    }
}
