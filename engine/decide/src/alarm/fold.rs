//! One alarm over time: points come in as they are known, evaluations come out as time goes on.
//!
//! ```text
//!  ring, one place per evaluation, newest at the head:   t   t-1  t-2  t-3  t-4  …
//!  an evaluation at t looks at every stride-th of them:  ^              ^        …
//! ```
//!
//! An alarm whose places are all empty comes to the same result at every evaluation. It rests until a point comes; one that has
//! not enough data then is as good as new, and can be forgotten.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::evaluate::{Evaluation, evaluate};
use super::rule::AlarmRule;
use super::state::AlarmState;
use super::timing::Timing;

/// One point of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Its value; never NaN.
    #[serde(with = "bits")]
    pub value: f64,
    /// Whether it is a percentile over few samples.
    pub low: bool,
}

/// Numbers as their bits: written as decimals, the last bit may be another one when they are read again.
mod bits {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(value.to_bits())
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(deserializer: D) -> Result<f64, D::Error> {
        u64::deserialize(deserializer).map(f64::from_bits)
    }
}

/// The state of one alarm.
#[derive(Clone, Debug)]
pub struct AlarmFold {
    state: AlarmState,
    /// The last evaluation, nanoseconds; `None` before the first.
    last: Option<i64>,
    /// The places of the range: that of the last evaluation is at `head`, older ones follow.
    ring: Vec<Option<Point>>,
    head: usize,
    /// How many places hold a point.
    held: usize,
    /// Points of evaluations to come.
    pending: BTreeMap<i64, Point>,
    /// The last evaluation was over no points, so that the next one would say the same.
    rests: bool,
}

/// An alarm's state as a checkpoint keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    state: AlarmState,
    last: Option<i64>,
    /// Place and point, newest first.
    points: Vec<(usize, Point)>,
    pending: Vec<(i64, Point)>,
    rests: bool,
}

impl Saved {
    /// The state.
    pub fn state(&self) -> AlarmState {
        self.state
    }
}

impl AlarmFold {
    /// A new alarm.
    pub fn new(rule: &AlarmRule, timing: Timing) -> Self {
        Self {
            state: AlarmState::default(),
            last: None,
            ring: vec![None; (rule.range() - 1) * timing.stride() + 1],
            head: 0,
            held: 0,
            pending: BTreeMap::new(),
            rests: false,
        }
    }

    /// Its state.
    pub fn state(&self) -> AlarmState {
        self.state
    }

    /// Takes the point of an evaluation to come. `false`: that evaluation is over. A value that is not a number is no point.
    pub fn add(&mut self, tick: i64, point: Point) -> bool {
        if self.last.is_some_and(|last| tick <= last) {
            return false;
        }
        if point.value.is_finite() {
            self.pending.insert(tick, point);
        }
        true
    }

    /// The next evaluation that may say something new, if time were at `until`. A resting alarm waits for its next point.
    pub fn next(&self, timing: Timing, until: i64) -> Option<i64> {
        let first = self.pending.keys().next().copied();
        let next = match self.last {
            Some(last) if !self.rests => Some(last + timing.every.as_nanos() as i64),
            _ => first,
        };
        next.filter(|tick| *tick <= until)
    }

    /// The greatest time of a point that is known but not evaluated.
    pub fn newest_pending(&self) -> Option<i64> {
        self.pending.keys().next_back().copied()
    }

    /// Evaluates at `tick`, which [`AlarmFold::next`] gave. `scratch` is given back with the points, newest first.
    pub fn evaluate(
        &mut self,
        rule: &AlarmRule,
        timing: Timing,
        tick: i64,
        scratch: &mut Vec<Option<Point>>,
    ) -> Evaluation {
        self.turn(timing, tick);
        scratch.clear();
        let stride = timing.stride();
        scratch.extend((0..rule.range()).map(|age| self.ring[(self.head + age * stride) % self.ring.len()]));
        let evaluation = evaluate(rule, scratch, self.state);
        self.state = evaluation.after;
        self.rests = self.held == 0;
        evaluation
    }

    /// Moves the ring on to `tick` and puts that evaluation's point at its head.
    fn turn(&mut self, timing: Timing, tick: i64) {
        let every = timing.every.as_nanos() as i64;
        let moves = self.last.map_or(0, |last| ((tick - last) / every) as usize);
        for _ in 0..moves.min(self.ring.len()) {
            self.head = (self.head + self.ring.len() - 1) % self.ring.len();
            self.held -= usize::from(self.ring[self.head].take().is_some());
        }
        self.last = Some(tick);
        if let Some(point) = self.pending.remove(&tick) {
            self.ring[self.head] = Some(point);
            self.held += 1;
        }
    }

    /// Puts the state by hand, and answers what it was. It lasts until the next evaluation behind `now`, which comes also if there are no
    /// points; without a time, until there is one.
    pub fn set_state(&mut self, state: AlarmState, timing: Timing, now: Option<i64>) -> AlarmState {
        let every = timing.every.as_nanos() as i64;
        if let Some(now) = now.filter(|_| self.rests || self.last.is_none()) {
            let tick = timing.tick_of(now);
            let tick = if tick > now { tick - every } else { tick };
            if self.last.is_none_or(|last| last < tick) {
                self.turn(timing, tick);
            }
        }
        self.rests = false;
        std::mem::replace(&mut self.state, state)
    }

    /// Goes on being evaluated while it is on, also without points: for those who act again and again while it is.
    pub fn stay_awake_in_alarm(&mut self) {
        self.rests &= self.state != AlarmState::Alarm;
    }

    /// Whether nothing changes until a point comes.
    pub fn rests(&self) -> bool {
        self.rests && self.pending.is_empty()
    }

    /// Whether a new alarm would be the same.
    pub fn is_as_new(&self) -> bool {
        self.rests() && self.state == AlarmState::default()
    }

    /// What a checkpoint keeps.
    pub fn save(&self) -> Saved {
        let place = |age: usize| Some((age, self.ring[(self.head + age) % self.ring.len()]?));
        Saved {
            state: self.state,
            last: self.last,
            points: (0..self.ring.len()).filter_map(place).collect(),
            pending: self.pending.iter().map(|(tick, point)| (*tick, *point)).collect(),
            rests: self.rests,
        }
    }

    /// What a checkpoint has kept.
    pub fn restore(rule: &AlarmRule, timing: Timing, saved: Saved) -> Self {
        let mut fold = Self::new(rule, timing);
        for (age, point) in saved.points {
            if let Some(place) = fold.ring.get_mut(age) {
                fold.held += usize::from(place.replace(point).is_none());
            }
        }
        Self {
            state: saved.state,
            last: saved.last,
            rests: saved.rests,
            pending: saved.pending.into_iter().collect(),
            ..fold
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::alarm::{Comparison, LowSamples, MissingData};

    const MINUTE: i64 = 60_000_000_000;

    fn rule(periods: usize, missing: MissingData) -> AlarmRule {
        AlarmRule {
            comparison: Comparison::Greater,
            threshold: 50.0,
            periods,
            to_alarm: periods,
            missing,
            low_samples: LowSamples::Evaluate,
        }
    }

    fn high() -> Point {
        Point { value: 90.0, low: false }
    }

    /// Runs to `until` (minutes), with a save and a restore before every evaluation: minute and state of each.
    fn run(fold: &mut AlarmFold, rule: &AlarmRule, timing: Timing, until: i64) -> Vec<(i64, &'static str)> {
        let mut said = Vec::new();
        while let Some(tick) = fold.next(timing, until * MINUTE) {
            let text = serde_json::to_string(&fold.save()).unwrap();
            *fold = AlarmFold::restore(rule, timing, serde_json::from_str(&text).unwrap());
            let evaluation = fold.evaluate(rule, timing, tick, &mut Vec::new());
            said.push((tick / MINUTE, evaluation.after.as_str()));
        }
        said
    }

    #[test]
    fn an_alarm_begins_with_its_first_point_and_rests_when_it_has_none() {
        let rule = rule(1, MissingData::Missing);
        let timing = Timing::of_metric(Duration::from_secs(60)).unwrap();
        let mut fold = AlarmFold::new(&rule, timing);
        assert!(run(&mut fold, &rule, timing, 1_000).is_empty());
        assert!(fold.add(1_001 * MINUTE, high()));
        let said = run(&mut fold, &rule, timing, 5_000);
        // One of one point is looked for among three.
        let expect = [(1_001, "ALARM"), (1_002, "ALARM"), (1_003, "ALARM"), (1_004, "INSUFFICIENT_DATA")];
        assert_eq!(said, expect);
        assert!(fold.is_as_new());
        assert!(fold.add(9_000 * MINUTE, high()));
        assert_eq!(run(&mut fold, &rule, timing, 9_000), [(9_000, "ALARM")]);
        assert!(!fold.add(9_000 * MINUTE, high()), "that evaluation is over");
    }

    #[test]
    fn a_long_period_slides_by_the_minute() {
        let rule = rule(2, MissingData::NotBreaching);
        let timing = Timing::of_metric(Duration::from_secs(300)).unwrap();
        let mut fold = AlarmFold::new(&rule, timing);
        // A spike at minute 10 is in the five windows that end at 10 to 14, and in no pair of them that is 5 minutes apart.
        for minute in 1..=20 {
            let value = if (10..15).contains(&minute) { 90.0 } else { 10.0 };
            assert!(fold.add(minute * MINUTE, Point { value, low: false }));
        }
        assert!(run(&mut fold, &rule, timing, 20).iter().all(|(_, state)| *state == "OK"));
        let mut fold = AlarmFold::new(&rule, timing);
        for minute in 1..=20 {
            let value = if (10..16).contains(&minute) { 90.0 } else { 10.0 };
            assert!(fold.add(minute * MINUTE, Point { value, low: false }));
        }
        let said = run(&mut fold, &rule, timing, 20);
        let alarms: Vec<i64> =
            said.iter().filter(|(_, state)| *state == "ALARM").map(|(minute, _)| *minute).collect();
        assert_eq!(alarms, [15], "the windows that end at 10 and at 15");
    }

    #[test]
    fn a_value_is_the_same_to_the_last_bit_after_a_restore() {
        let rule = rule(1, MissingData::Missing);
        let timing = Timing::of_metric(Duration::from_secs(60)).unwrap();
        for nth in 1..2_000 {
            let value = 100.0 / f64::from(nth) * 0.7;
            let mut fold = AlarmFold::new(&rule, timing);
            fold.add(MINUTE, Point { value, low: false });
            let text = serde_json::to_string(&fold.save()).unwrap();
            let restored = AlarmFold::restore(&rule, timing, serde_json::from_str(&text).unwrap());
            assert_eq!(restored.save(), fold.save(), "{value}");
        }
    }

    #[test]
    fn what_is_not_a_number_is_no_point() {
        let rule = rule(1, MissingData::Breaching);
        let timing = Timing::of_metric(Duration::from_secs(60)).unwrap();
        let mut fold = AlarmFold::new(&rule, timing);
        assert!(fold.add(MINUTE, Point { value: f64::NAN, low: false }));
        assert!(run(&mut fold, &rule, timing, 10).is_empty());
    }

    /// SetAlarmState lasts until the next evaluation, also of an alarm that rests.
    #[test]
    fn a_state_that_is_set_lasts_until_the_next_evaluation() {
        let (rule, timing) =
            (rule(1, MissingData::Missing), Timing::of_metric(Duration::from_secs(60)).unwrap());
        let mut alarm = AlarmFold::new(&rule, timing);
        let mut scratch = Vec::new();
        alarm.add(MINUTE, high());
        alarm.evaluate(&rule, timing, MINUTE, &mut scratch);
        assert_eq!(alarm.set_state(AlarmState::Ok, timing, Some(MINUTE)), AlarmState::Alarm);
        assert_eq!(alarm.next(timing, 2 * MINUTE), Some(2 * MINUTE));
        let mut tick = MINUTE;
        while !alarm.rests() {
            tick += MINUTE;
            alarm.evaluate(&rule, timing, tick, &mut scratch);
        }
        assert_eq!(alarm.state(), AlarmState::InsufficientData);
        // It has slept for an hour: the next evaluation is the next, and not one of those that it has slept through.
        let now = tick + 60 * MINUTE + 5;
        assert_eq!(alarm.set_state(AlarmState::Alarm, timing, Some(now)), AlarmState::InsufficientData);
        assert!(!alarm.is_as_new());
        assert_eq!(alarm.next(timing, i64::MAX), Some(tick + 61 * MINUTE));
        let evaluation = alarm.evaluate(&rule, timing, tick + 61 * MINUTE, &mut scratch);
        assert_eq!((evaluation.before, evaluation.after), (AlarmState::Alarm, AlarmState::InsufficientData));
        assert!(alarm.is_as_new());
    }
}
