//! An event of a key: when it was, and which conditions held.

/// The most conditions that a pattern or a funnel may have, as in ClickHouse.
pub const CONDITIONS_MAX: usize = 32;

/// When something was, and which conditions held then.
///
/// Events are ordered by time, and those of one moment by their conditions: so a result does not depend on the order in which
/// events arrive. (ClickHouse calls that order undefined.)
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Event {
    /// In any unit.
    pub time: i64,
    /// Bit `n` says that condition `n` held.
    pub conditions: u32,
}

impl Event {
    /// Whether a condition held.
    pub(crate) fn has(self, condition: u32) -> bool {
        self.conditions >> condition & 1 == 1
    }
}

/// Puts events in their order. Costs little if they are in order.
pub fn sort(events: &mut [Event]) {
    if !events.is_sorted() {
        events.sort_unstable();
    }
}
