//! One evaluation: the points of the range and the state before give the state after, and why.
//!
//! 1. If at least N points are there, the newest N of them decide, and how missing points are treated does not matter.
//! 2. If fewer are, all of them count, and the N that are wanted are made up by the treatment.
//!
//! This way of saying it gives every cell of the two tables in the service's documentation.

use std::fmt;

use super::fold::Point;
use super::missing::{LowSamples, MissingData};
use super::rule::AlarmRule;
use super::state::AlarmState;

/// What an evaluation came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation {
    /// The state before.
    pub before: AlarmState,
    /// The state after.
    pub after: AlarmState,
    /// Of the points that counted, how many breach; filled-in ones not included.
    pub breaching: usize,
    /// The newest point, if there is one for the newest period.
    pub newest: Option<f64>,
    /// Why.
    pub because: Because,
}

/// Why an evaluation came to what it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// Enough points are there: so many of the newest N breach, and M are needed.
    Newest {
        /// How many breach.
        breaching: usize,
        /// N.
        of: usize,
        /// M.
        needed: usize,
    },
    /// Fewer than N points are there, and those missing count as breaching or not.
    Filled {
        /// How many breach.
        breaching: usize,
        /// How many are there.
        of: usize,
        /// How many were missing and count as breaching.
        filled: usize,
        /// M.
        needed: usize,
    },
    /// No point is there.
    NoPoints,
    /// Fewer than N points are there, all of them breach, and the oldest is as old as M periods: it can only get worse.
    Lasting {
        /// The age of the oldest breaching point in periods; the newest has 1.
        age: usize,
        /// M.
        needed: usize,
    },
    /// Fewer than N points are there, and they are too few to tell.
    TooFew {
        /// How many are there, all breaching.
        breaching: usize,
        /// M.
        needed: usize,
    },
    /// A percentile over too few samples would decide.
    LowSamples,
}

/// Evaluates a rule over the points of its range, newest first.
pub fn evaluate(rule: &AlarmRule, points: &[Option<Point>], before: AlarmState) -> Evaluation {
    let AlarmRule { periods, to_alarm: needed, .. } = *rule;
    let newest = points.first().copied().flatten().map(|point| point.value);
    let real = points.iter().flatten().count();
    let counted = if real >= periods { periods } else { real };
    let deciding = || points.iter().flatten().take(counted);
    let breaching = deciding().filter(|point| rule.comparison.breaches(point.value, rule.threshold)).count();
    let (after, because) = if rule.low_samples == LowSamples::Ignore && deciding().any(|point| point.low) {
        (before, Because::LowSamples)
    } else if real >= periods {
        (state(breaching >= needed), Because::Newest { breaching, of: periods, needed })
    } else {
        with_missing(rule, points, before, real, breaching)
    };
    Evaluation { before, after, breaching, newest, because }
}

fn state(alarm: bool) -> AlarmState {
    if alarm { AlarmState::Alarm } else { AlarmState::Ok }
}

/// Fewer than N points are there.
fn with_missing(
    rule: &AlarmRule,
    points: &[Option<Point>],
    before: AlarmState,
    real: usize,
    breaching: usize,
) -> (AlarmState, Because) {
    let needed = rule.to_alarm;
    let filled = match rule.missing {
        MissingData::Breaching => rule.periods - real,
        MissingData::NotBreaching => 0,
        MissingData::Missing if real == 0 => return (AlarmState::InsufficientData, Because::NoPoints),
        MissingData::Ignore if real == 0 => return (before, Because::NoPoints),
        MissingData::Missing | MissingData::Ignore if breaching < needed && breaching == real => {
            return all_breach(rule, points, before, breaching);
        }
        MissingData::Missing | MissingData::Ignore => 0,
    };
    (state(breaching + filled >= needed), Because::Filled { breaching, of: real, filled, needed })
}

/// All points that are there breach, and they are fewer than M.
fn all_breach(
    rule: &AlarmRule,
    points: &[Option<Point>],
    before: AlarmState,
    breaching: usize,
) -> (AlarmState, Because) {
    let needed = rule.to_alarm;
    let age = points.iter().rposition(Option::is_some).map_or(0, |index| index + 1);
    if rule.missing == MissingData::Missing && age >= needed {
        return (AlarmState::Alarm, Because::Lasting { age, needed });
    }
    (before, Because::TooFew { breaching, needed })
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest { breaching, of, needed } => {
                write!(f, "{breaching} of the newest {of} points breach, {needed} are needed")
            }
            Self::Filled { breaching, of, filled: 0, needed } => {
                write!(f, "{breaching} of the {of} points that are there breach, {needed} are needed")
            }
            Self::Filled { breaching, of, filled, needed } => {
                write!(
                    f,
                    "{breaching} of the {of} points that are there breach and {filled} missing ones count as breaching, \
                     {needed} are needed"
                )
            }
            Self::NoPoints => f.write_str("no point is there"),
            Self::Lasting { age, needed } => {
                write!(
                    f,
                    "all points that are there breach, the oldest {age} periods ago, {needed} are needed"
                )
            }
            Self::TooFew { breaching, needed } => {
                write!(
                    f,
                    "the {breaching} points that are there breach, too few to tell, {needed} are needed"
                )
            }
            Self::LowSamples => f.write_str("a percentile over too few samples would decide"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alarm::Comparison;

    const TREATMENTS: [MissingData; 4] =
        [MissingData::Missing, MissingData::Ignore, MissingData::Breaching, MissingData::NotBreaching];

    fn rule(periods: usize, to_alarm: usize, missing: MissingData) -> AlarmRule {
        let (comparison, low_samples) = (Comparison::Greater, LowSamples::Evaluate);
        AlarmRule { comparison, threshold: 50.0, periods, to_alarm, missing, low_samples }
    }

    fn point(value: f64) -> Option<Point> {
        Some(Point { value, low: false })
    }

    /// `X` breaches, `0` does not, `-` is missing; oldest first.
    fn points(text: &str) -> Vec<Option<Point>> {
        text.chars()
            .rev()
            .map(|c| if c == '-' { None } else { point(if c == 'X' { 90.0 } else { 10.0 }) })
            .collect()
    }

    /// The state in each of the four columns: O, A, I, or R if it is retained (whatever it was).
    fn states(periods: usize, to_alarm: usize, text: &str) -> String {
        let column = |missing| {
            let after = |before| evaluate(&rule(periods, to_alarm, missing), &points(text), before).after;
            let all = [AlarmState::Ok, AlarmState::Alarm, AlarmState::InsufficientData];
            match all.map(after) {
                after if after == all => 'R',
                [AlarmState::Ok, AlarmState::Ok, AlarmState::Ok] => 'O',
                [AlarmState::Alarm, AlarmState::Alarm, AlarmState::Alarm] => 'A',
                [AlarmState::InsufficientData, ..] => 'I',
                _ => '?',
            }
        };
        TREATMENTS.map(column).iter().collect()
    }

    macro_rules! vectors {
        ($($name:ident: $periods:literal $to_alarm:literal $points:literal $expect:literal;)*) => {
            $(#[test]
            fn $name() {
                assert_eq!(states($periods, $to_alarm, $points), $expect);
            })*
        };
    }

    vectors! {
        three_of_three_ok_missing_two_breaching: 3 3 "0-X-X" "OOOO";
        three_of_three_one_old_ok: 3 3 "0----" "OOOO";
        three_of_three_nothing: 3 3 "-----" "IRAO";
        three_of_three_breaching_around_a_gap: 3 3 "0XX-X" "AAAA";
        three_of_three_one_old_breaching: 3 3 "--X--" "ARAO";
        two_of_three_ok_missing_two_breaching: 3 2 "0-X-X" "AAAA";
        two_of_three_two_breaching_of_five: 3 2 "00X0X" "AAAA";
        two_of_three_ok_and_old_breaching: 3 2 "0-X--" "OOAO";
        two_of_three_newest_ok: 3 2 "----0" "OOAO";
        two_of_three_one_breaching_two_ago: 3 2 "---X-" "ARAO";
    }

    #[test]
    fn one_new_breaching_point_is_not_yet_an_alarm() {
        for text in ["----X", "---X-"] {
            for before in [AlarmState::Ok, AlarmState::InsufficientData] {
                let evaluation = evaluate(&rule(3, 3, MissingData::Missing), &points(text), before);
                assert_eq!(evaluation.after, before, "{text}");
                assert_eq!(evaluation.because, Because::TooFew { breaching: 1, needed: 3 });
            }
        }
    }

    #[test]
    fn only_the_newest_points_decide_when_there_are_enough() {
        let evaluation = evaluate(&rule(3, 2, MissingData::Breaching), &points("XX000"), AlarmState::Alarm);
        assert_eq!(evaluation.after, AlarmState::Ok);
        assert_eq!(evaluation.because, Because::Newest { breaching: 0, of: 3, needed: 2 });
        assert_eq!((evaluation.newest, evaluation.breaching), (Some(10.0), 0));
    }

    #[test]
    fn few_samples_leave_the_state_as_it_is() {
        let ignoring = AlarmRule { low_samples: LowSamples::Ignore, ..rule(2, 2, MissingData::Missing) };
        let low = Some(Point { value: 90.0, low: true });
        let after = |points: &[Option<Point>]| evaluate(&ignoring, points, AlarmState::Ok).after;
        assert_eq!(after(&[low, point(90.0)]), AlarmState::Ok);
        assert_eq!(after(&[point(90.0), low]), AlarmState::Ok);
        assert_eq!(after(&[point(90.0), point(90.0), low]), AlarmState::Alarm, "it is too old to decide");
        let evaluating = rule(2, 2, MissingData::Missing);
        assert_eq!(evaluate(&evaluating, &[low, low], AlarmState::Ok).after, AlarmState::Alarm);
    }
}
