//! The order in which a stage tells a snapshot.

use headwater_operators::StateEntries;

use super::Shared;
use crate::job::spill::StatePart;

/// A snapshot that is being taken.
///
/// What is everybody's is told once, before all else, which a restore may need it for. Instances in memory tell it before their own, and
/// alike, as the same steps have come to all of them; so that of the first is the newest.
pub(super) struct Telling<'a> {
    pub(super) shared: &'a mut Shared,
    /// What is told first of the rest.
    pub(super) pending: Vec<StatePart>,
    pub(super) has_begun: bool,
    pub(super) take: &'a mut dyn FnMut(StatePart),
}

impl Telling<'_> {
    /// What an instance says of everybody.
    pub(super) fn note(&mut self, entries: StateEntries) {
        debug_assert!(
            !self.has_begun || self.shared.get(&entries.table).is_some_and(|told| told.rows == entries.rows),
            "what is everybody's is told first, and by all alike"
        );
        self.shared.insert(entries.table.clone(), entries);
    }

    pub(super) fn begin(&mut self) {
        if !std::mem::replace(&mut self.has_begun, true) {
            self.shared.values().cloned().map(StatePart::Here).for_each(&mut *self.take);
            self.pending.drain(..).for_each(&mut *self.take);
        }
    }

    pub(super) fn tell(&mut self, part: StatePart) {
        self.begin();
        (self.take)(part);
    }
}
