//! What one key of a trigger does: the rules, without columns, keys or timers.
//!
//! ```text
//!                  true, without FOR: fires
//!          ┌──────────────────────────────────────┐
//!          │        true             held for so long: fires
//!   ARMED ─┴──────────────► HOLDING ──────────────┴──► FIRED
//!     ▲        false            │                        │
//!     └─────────────────────────┘                        │
//!     └──────────────────────────────────────────────────┘
//!        UNTIL is true | REARM AFTER has passed | neither, with FOR: false
//! ```
//!
//! - Without FOR, UNTIL and REARM AFTER a key is always armed: every row for which the condition is true fires.
//! - A condition that is NULL says nothing: the key stays what it is.
//! - For silence, a row that counts puts the key to HOLDING from its time on, whatever the key was.

/// How a key that has fired is armed again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rearm {
    /// At once, or with FOR as soon as the condition is false.
    Freely,
    /// By a row for which UNTIL is true.
    Until,
    /// So many nanoseconds after it fired.
    After(i64),
}

/// The rules of a trigger.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// How long the condition must hold, or the key be silent, in nanoseconds.
    pub(super) hold: Option<i64>,
    /// Whether it is the absence of rows that fires.
    pub(super) silence: bool,
    pub(super) rearm: Rearm,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Phase {
    #[default]
    Armed,
    Holding,
    Fired,
}

/// What a key is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct State {
    pub(super) phase: Phase,
    /// HOLDING: from when on. FIRED: when.
    pub(super) since: i64,
    /// The greatest event time of the key's rows.
    pub(super) last: i64,
    /// Whether a timer is set that will look at it.
    pub(super) timed: bool,
}

impl State {
    pub(super) const NEW: Self = Self { phase: Phase::Armed, since: i64::MIN, last: i64::MIN, timed: false };
}

/// Why a trigger fired.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cause {
    Row,
    Held,
    Silence,
}

impl Cause {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Row => "row",
            Self::Held => "held",
            Self::Silence => "silence",
        }
    }
}

/// A trigger fires.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Fires {
    pub(super) at: i64,
    pub(super) cause: Cause,
    /// Since when the condition has held, or the key been silent.
    pub(super) since: i64,
}

impl Rules {
    /// When time alone makes the key fire.
    pub(super) fn deadline(&self, state: &State) -> Option<i64> {
        match (state.phase, self.hold) {
            (Phase::Holding, Some(hold)) => Some(state.since.saturating_add(hold)),
            _ => None,
        }
    }

    /// Time has come to `now`.
    pub(super) fn pass(&self, state: &mut State, now: i64) -> Option<Fires> {
        let mut fires = None;
        if let Some(at) = self.deadline(state).filter(|at| *at <= now) {
            let cause = if self.silence { Cause::Silence } else { Cause::Held };
            fires = Some(Fires { at, cause, since: state.since });
            (state.phase, state.since) = (Phase::Fired, at);
        }
        if let (Phase::Fired, Rearm::After(wait)) = (state.phase, self.rearm)
            && state.since.saturating_add(wait) <= now
        {
            state.phase = Phase::Armed;
        }
        fires
    }

    /// A row of the key has come, and time was passed up to it.
    pub(super) fn row(&self, state: &mut State, time: i64, when: Option<bool>, until: bool) -> Option<Fires> {
        state.last = state.last.max(time);
        if self.silence {
            if when == Some(true) {
                (state.phase, state.since) = (Phase::Holding, state.last);
            }
            return None;
        }
        match (state.phase, when) {
            (Phase::Armed, Some(true)) => return self.begin(state, time),
            (Phase::Holding, Some(false)) => state.phase = Phase::Armed,
            (Phase::Fired, _) if self.rearm == Rearm::Until && until => state.phase = Phase::Armed,
            (Phase::Fired, Some(false)) if self.rearm == Rearm::Freely => state.phase = Phase::Armed,
            _ => {}
        }
        None
    }

    fn begin(&self, state: &mut State, time: i64) -> Option<Fires> {
        if self.hold.is_some() {
            (state.phase, state.since) = (Phase::Holding, state.last);
            return None;
        }
        if self.rearm != Rearm::Freely {
            (state.phase, state.since) = (Phase::Fired, state.last);
        }
        Some(Fires { at: time, cause: Cause::Row, since: time })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Option<bool> = Some(true);
    const F: Option<bool> = Some(false);

    /// Rows as (time, when, until); what fired as (at, since).
    fn check(rules: Rules, rows: &[(i64, Option<bool>, bool)], end: i64, expect: &[(i64, i64)]) {
        let mut state = State::NEW;
        let mut fired = Vec::new();
        for (time, when, until) in rows {
            fired.extend(rules.pass(&mut state, *time));
            fired.extend(rules.row(&mut state, *time, *when, *until));
        }
        fired.extend(rules.pass(&mut state, end));
        let fired: Vec<_> = fired.iter().map(|fires| (fires.at, fires.since)).collect();
        assert_eq!(fired, expect, "{rules:?} over {rows:?}");
    }

    fn rules(hold: Option<i64>, rearm: Rearm) -> Rules {
        Rules { hold, silence: false, rearm }
    }

    #[test]
    fn without_more_words_every_true_row_fires() {
        let rows = [(1, T, false), (2, T, false), (3, F, false), (4, None, false), (5, T, false)];
        check(rules(None, Rearm::Freely), &rows, 9, &[(1, 1), (2, 2), (5, 5)]);
    }

    #[test]
    fn until_keeps_it_from_firing_again() {
        let rows = [(1, T, false), (2, T, false), (3, F, false), (4, T, false), (5, F, true), (6, T, false)];
        check(rules(None, Rearm::Until), &rows, 9, &[(1, 1), (6, 6)]);
    }

    #[test]
    fn rearm_after_counts_from_the_firing() {
        let rows = [(1, T, false), (10, T, false), (11, T, false), (12, T, false), (21, T, false)];
        check(rules(None, Rearm::After(10)), &rows, 30, &[(1, 1), (11, 11), (21, 21)]);
    }

    #[test]
    fn a_condition_that_must_hold_fires_by_time() {
        let held = rules(Some(10), Rearm::Freely);
        check(held, &[(1, T, false), (5, None, false), (6, T, false)], 11, &[(11, 1)]);
        check(held, &[(1, T, false), (6, F, false), (7, T, false)], 16, &[]);
        // It held until the row that says otherwise.
        check(held, &[(1, T, false), (12, F, false)], 12, &[(11, 1)]);
        // Once, until it has been false.
        check(
            held,
            &[(1, T, false), (20, T, false), (40, F, false), (50, T, false)],
            60,
            &[(11, 1), (60, 50)],
        );
    }

    #[test]
    fn silence_fires_by_time_and_ends_with_a_value() {
        let silence = Rules { hold: Some(10), silence: true, rearm: Rearm::Freely };
        check(silence, &[(1, T, false), (5, T, false), (8, F, false)], 15, &[(15, 5)]);
        check(silence, &[(1, T, false), (12, T, false)], 21, &[(11, 1)]);
        check(silence, &[(1, T, false), (12, T, false)], 22, &[(11, 1), (22, 12)]);
    }
}
