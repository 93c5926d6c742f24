//! What is known of a group besides its key and the states of its aggregates.

/// No place among the results before a step.
pub(super) const NOWHERE: u32 = u32::MAX;

/// A quarter of a cache line: with many groups, each row finds its group's outside of the caches.
#[derive(Clone, Copy)]
pub(super) struct Group {
    /// Additions less retractions.
    pub(super) rows: i64,
    /// Where its result before this step is.
    pub(super) before: u32,
    /// Whether a row for it has been emitted and not retracted.
    pub(super) present: bool,
    pub(super) touched: bool,
    pub(super) dirty: bool,
    /// What is said of it is said with every step, as it has no end or has come to it.
    pub(super) open: bool,
}

const _: () = assert!(size_of::<Group>() == 16);

impl Default for Group {
    fn default() -> Self {
        Self { rows: 0, before: NOWHERE, present: false, touched: false, dirty: false, open: false }
    }
}

/// So many groups are loaded at a time.
const AHEAD: usize = 256;

/// Fewer groups are in the caches as it is.
const GROUPS_MIN: usize = 1 << 15;

/// For a loop over the groups of these numbers that is at the `nth`: with the first of every [`AHEAD`] of them, all of these are loaded.
#[inline]
pub(super) fn load_ahead(groups: &[Group], numbers: &[u32], nth: usize) {
    if nth.is_multiple_of(AHEAD) {
        load(groups, &numbers[nth..numbers.len().min(nth + AHEAD)]);
    }
}

/// Brings groups into the caches before they are looked at one by one: a loop that does nothing else has many loads under way at a time,
/// where one that has more to do with each group waits for it.
fn load(groups: &[Group], numbers: &[u32]) {
    if groups.len() >= GROUPS_MIN {
        std::hint::black_box(numbers.iter().fold(0, |all, number| all ^ groups[*number as usize].rows));
    }
}

/// When a group had a row.
#[derive(Clone, Copy)]
pub(super) struct Age {
    /// The watermark of the step that touched it last.
    pub(super) at: i64,
    /// Whether it is noted when it may be forgotten.
    pub(super) scheduled: bool,
}

impl Default for Age {
    fn default() -> Self {
        Self { at: i64::MIN, scheduled: false }
    }
}

impl Age {
    /// Up to which watermark it is kept. Before there is a watermark no time passes.
    #[inline]
    pub(super) fn lasts_until(&mut self, ttl: i64, watermark: i64) -> i64 {
        if self.at == i64::MIN {
            self.at = watermark;
        }
        self.at.saturating_add(ttl)
    }
}
