//! A scaling group: what policies ask for, held against bounds, cooldown and warm-up.
//!
//! - A cooldown holds back simple policies only, and so does an activity in progress. It is counted from when the last instance
//!   of the activity was launched or stopped.
//! - Instances that warm up count as capacity for the next scale-out, so that a step that is asked for twice is done once; they do not
//!   count in metrics. Nothing is taken away while they do.
//! - If several policies ask at once, the one that gives the largest capacity wins, out and in.
//! - Target tracking takes away only if all such policies that may want it.

use std::time::Duration;

use headwater_core::EventTime;
use serde::{Deserialize, Serialize};

use super::adjustment::Adjustment;
use super::decision::{Decision, Outcome, WhyNot};
use super::policy::{Ask, Policy, PolicyKind};
use super::target::Want;
use super::times::Times;
use super::warming::Activities;
use crate::alarm::AlarmState;
use crate::error::{DecideError, Result};

/// Who decides what is done by hand.
pub const BY_HAND: &str = "ALTER SCALING GROUP";

/// What a group is, apart from its state.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupRules {
    /// The least size to begin with.
    pub min: i64,
    /// The greatest.
    pub max: i64,
    /// The size to begin with.
    pub desired: i64,
    /// The cooldown of simple policies that have none of their own.
    pub cooldown: Duration,
    /// How long instances warm up; `None`: as long as the cooldown.
    pub warmup: Option<Duration>,
    /// The policies.
    pub policies: Vec<Policy>,
    /// The scheduled actions.
    pub schedules: Vec<Schedule>,
}

/// A scheduled action: at its times it sets what it names.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Its name.
    pub name: String,
    /// When.
    pub times: Times,
    /// The new least size.
    pub min: Option<i64>,
    /// The new greatest size.
    pub max: Option<i64>,
    /// The new size.
    pub desired: Option<i64>,
}

/// Other bounds, or another size, by hand.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Resize {
    /// The new least size.
    pub min: Option<i64>,
    /// The new greatest size.
    pub max: Option<i64>,
    /// The new size. It must lie within the bounds; without it, the size that there is is brought within them.
    pub desired: Option<i64>,
    /// Whether a cooldown, or an activity in progress, is a reason not to.
    pub honor_cooldown: bool,
}

/// The state of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupState {
    /// The least size.
    pub min: i64,
    /// The greatest.
    pub max: i64,
    /// The size.
    pub desired: i64,
    activities: Activities,
    /// Until when simple policies wait, nanoseconds.
    cooldown_until: i64,
    /// The number of the next activity.
    next_activity: u64,
    /// Scheduled actions up to here are done, nanoseconds; `None` until time begins.
    scheduled_until: Option<i64>,
}

/// A group and its state.
#[derive(Clone, Debug)]
pub struct Group {
    rules: GroupRules,
    state: GroupState,
}

impl GroupRules {
    /// Checks the bounds.
    pub fn check(&self) -> Result<()> {
        let Self { min, max, desired, .. } = *self;
        if min < 0 || min > desired || desired > max {
            return Err(DecideError::new(format!(
                "a group from {min} to {max} cannot have the size {desired}: 0 <= min <= desired <= max"
            )));
        }
        Ok(())
    }

    fn warmup(&self, own: Option<Duration>) -> i64 {
        nanos(own.or(self.warmup).unwrap_or(self.cooldown))
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// What one policy asks for.
struct Proposal {
    ask: Ask,
    wanted: Option<i64>,
    /// The size it would lead to, within the bounds; or why it does not take part.
    leads_to: std::result::Result<i64, WhyNot>,
    /// Why that is the size there is, if it is.
    same: WhyNot,
}

impl Group {
    /// A new group.
    pub fn new(rules: GroupRules) -> Self {
        let GroupRules { min, max, desired, .. } = rules;
        let state = GroupState {
            min,
            max,
            desired,
            activities: Activities::default(),
            cooldown_until: i64::MIN,
            next_activity: 1,
            scheduled_until: None,
        };
        Self { rules, state }
    }

    /// A group as a checkpoint has it.
    pub fn restore(rules: GroupRules, state: GroupState) -> Self {
        Self { rules, state }
    }

    /// A group that goes on under other rules from what it had come to: its size and bounds, activities and cooldowns stay. What a schedule
    /// would have had due up to `at` is not made up for.
    pub fn go_on(rules: GroupRules, state: GroupState, at: EventTime) -> Self {
        let scheduled_until = state.scheduled_until.map(|until| until.max(at.0));
        Self { rules, state: GroupState { scheduled_until, ..state } }
    }

    /// Its rules.
    pub fn rules(&self) -> &GroupRules {
        &self.rules
    }

    /// Its state.
    pub fn state(&self) -> &GroupState {
        &self.state
    }

    /// What policies are told at one moment gives a decision for each that wants something. The asks of one moment come together.
    pub fn decide(&mut self, at: EventTime, asks: &[Ask]) -> Vec<Decision> {
        self.state.activities.pass(at);
        let veto = self.not_wanting_in(asks);
        let proposals: Vec<Proposal> =
            asks.iter().filter_map(|ask| self.proposal(*ask, at, veto.as_deref())).collect();
        let part = proposals
            .iter()
            .enumerate()
            .filter_map(|(nth, proposal)| Some((*proposal.leads_to.as_ref().ok()?, std::cmp::Reverse(nth))));
        let winner = part.max().map(|(_, std::cmp::Reverse(nth))| nth);
        let before = self.state.desired;
        let winner_name = winner.map(|nth| self.rules.policies[proposals[nth].ask.policy].name.clone());
        let mut decisions = Vec::with_capacity(proposals.len());
        for (nth, proposal) in proposals.into_iter().enumerate() {
            let outcome = match proposal.leads_to {
                Err(why) => Outcome::Nothing(why),
                Ok(_) if winner != Some(nth) => {
                    Outcome::Nothing(WhyNot::OtherWins(winner_name.clone().unwrap_or_default()))
                }
                Ok(size) if size == before => Outcome::Nothing(proposal.same),
                Ok(size) => Outcome::Scaled(self.scale(size, Some(proposal.ask.policy))),
            };
            decisions.push(Decision {
                at,
                by: self.rules.policies[proposal.ask.policy].name.clone(),
                metric: proposal.ask.metric,
                before,
                wanted: proposal.wanted,
                after: if matches!(outcome, Outcome::Scaled(_)) { self.state.desired } else { before },
                outcome,
            });
        }
        decisions
    }

    /// A target-tracking policy that may take away and does not want to.
    fn not_wanting_in(&self, asks: &[Ask]) -> Option<String> {
        let mut policies = self.rules.policies.iter().enumerate();
        let found = policies.find(|(nth, policy)| match &policy.kind {
            PolicyKind::Target { tracking, .. } if !tracking.disable_scale_in => {
                let ask = asks.iter().find(|ask| ask.policy == *nth);
                ask.is_none_or(|ask| tracking.want(ask.alarm, ask.low) != Want::In)
            }
            _ => false,
        });
        found.map(|(_, policy)| policy.name.clone())
    }

    /// What a policy asks for; `None`: nothing.
    fn proposal(&self, ask: Ask, at: EventTime, veto: Option<&str>) -> Option<Proposal> {
        let policy = self.rules.policies.get(ask.policy)?;
        match &policy.kind {
            PolicyKind::Simple { adjustment, .. } => {
                (ask.alarm == AlarmState::Alarm).then(|| self.simple(ask, adjustment, at))
            }
            PolicyKind::Step { kind, steps, magnitude_min, threshold, side, .. } => {
                if ask.alarm != AlarmState::Alarm {
                    return None;
                }
                let Some(metric) = ask.metric else { return Some(refused(ask, WhyNot::NoData)) };
                let Some(step) = steps.find(metric, *threshold, *side) else {
                    return Some(refused(ask, WhyNot::NoStep));
                };
                let adjustment = Adjustment { kind: *kind, by: step.by, magnitude_min: *magnitude_min };
                Some(self.warmed(ask, |capacity| adjustment.apply(capacity)))
            }
            PolicyKind::Target { tracking, .. } => {
                let want = tracking.want(ask.alarm, ask.low);
                if !matches!(want, Want::Out | Want::In) {
                    return None;
                }
                let Some(metric) = ask.metric else { return Some(refused(ask, WhyNot::NoData)) };
                let capacity = |capacity| tracking.capacity(capacity, metric);
                match (want, veto) {
                    (Want::In, _) if tracking.disable_scale_in => Some(Proposal {
                        wanted: Some(capacity(self.state.desired)),
                        ..refused(ask, WhyNot::ScaleInDisabled)
                    }),
                    (Want::In, Some(other)) => {
                        let why = WhyNot::NotAllWantIn(other.to_owned());
                        Some(Proposal { wanted: Some(capacity(self.state.desired)), ..refused(ask, why) })
                    }
                    _ => Some(self.warmed(ask, capacity)),
                }
            }
        }
    }

    /// Why nothing simple happens, if that is so.
    fn waits(&self, at: EventTime) -> Option<WhyNot> {
        match self.state.activities.in_progress() {
            Some(activity) => Some(WhyNot::InProgress(activity)),
            None if at.0 < self.state.cooldown_until => {
                Some(WhyNot::Cooldown(EventTime(self.state.cooldown_until)))
            }
            None => None,
        }
    }

    fn simple(&self, ask: Ask, adjustment: &Adjustment, at: EventTime) -> Proposal {
        let wanted = adjustment.apply(self.state.desired);
        let proposal = self.within_bounds(ask, wanted);
        match self.waits(at) {
            Some(why) => Proposal { leads_to: Err(why), ..proposal },
            None => proposal,
        }
    }

    /// A proposal of a policy for which instances that warm up count.
    fn warmed(&self, ask: Ask, capacity: impl Fn(i64) -> i64) -> Proposal {
        let desired = self.state.desired;
        let warming = self.state.activities.warming().min(desired);
        if warming == 0 {
            return self.within_bounds(ask, capacity(desired));
        }
        let wanted = capacity(desired - warming);
        if wanted > desired {
            return self.within_bounds(ask, wanted);
        }
        // Asking for fewer than there are without those that warm up is asking for fewer altogether.
        let fewer = wanted < desired - warming;
        let same = if fewer { WhyNot::ScaleInWhileWarming(warming) } else { WhyNot::Warming(warming) };
        Proposal { ask, wanted: Some(wanted), leads_to: Ok(desired), same }
    }

    fn within_bounds(&self, ask: Ask, wanted: i64) -> Proposal {
        let GroupState { min, max, desired, .. } = self.state;
        let size = wanted.clamp(min, max);
        let same = match wanted {
            wanted if wanted > desired => WhyNot::AtMax(max),
            wanted if wanted < desired => WhyNot::AtMin(min),
            _ => WhyNot::Same,
        };
        Proposal { ask, wanted: Some(wanted), leads_to: Ok(size), same }
    }

    /// Begins an activity.
    fn scale(&mut self, size: i64, policy: Option<usize>) -> u64 {
        let kind = policy.map(|policy| &self.rules.policies[policy].kind);
        let (own_warmup, cooldown) = match kind {
            Some(PolicyKind::Simple { cooldown, .. }) => {
                (None, Some(cooldown.unwrap_or(self.rules.cooldown)))
            }
            Some(PolicyKind::Step { warmup, .. } | PolicyKind::Target { warmup, .. }) => (*warmup, None),
            None => (None, None),
        };
        let number = self.state.next_activity;
        let adds = (size - self.state.desired).max(0);
        let warmup = self.rules.warmup(own_warmup);
        self.state.next_activity += 1;
        self.state.activities.begin(number, adds, warmup, cooldown.map(nanos));
        self.state.desired = size;
        number
    }

    /// Says that an activity is over: all of its instances are launched or stopped, or it failed.
    pub fn finish(&mut self, activity: u64, at: EventTime, succeeded: bool) {
        if let Some(cooldown) = self.state.activities.finish(activity, at, succeeded) {
            self.state.cooldown_until = self.state.cooldown_until.max(at.0.saturating_add(cooldown));
        }
    }

    /// The next scheduled action up to `until`, and which; those of one time in the order of the rules. Time begins with the first
    /// call: what was due before is not made up for.
    pub fn next_scheduled(&mut self, until: EventTime) -> Option<(EventTime, usize)> {
        if self.rules.schedules.is_empty() {
            return None;
        }
        let after = EventTime(*self.state.scheduled_until.get_or_insert(until.0));
        let due = self.rules.schedules.iter().enumerate();
        let next = due.filter_map(|(nth, schedule)| Some((schedule.times.next(after)?, nth))).min();
        next.filter(|(at, _)| *at <= until)
    }

    /// Whether time has begun.
    pub fn has_begun(&self) -> bool {
        self.state.scheduled_until.is_some()
    }

    /// All scheduled actions of one time, in order.
    pub fn run_scheduled(&mut self, at: EventTime) -> Vec<Decision> {
        let after = EventTime(self.state.scheduled_until.replace(at.0).unwrap_or(i64::MIN));
        let due: Vec<Schedule> = self
            .rules
            .schedules
            .iter()
            .filter(|schedule| schedule.times.next(after) == Some(at))
            .cloned()
            .collect();
        self.state.activities.pass(at);
        due.into_iter().map(|schedule| self.run_one(at, schedule)).collect()
    }

    fn run_one(&mut self, at: EventTime, schedule: Schedule) -> Decision {
        let Schedule { name, min, max, desired, .. } = schedule;
        self.set(at, name, min, max, desired)
    }

    /// What somebody wants by hand.
    pub fn resize(&mut self, at: EventTime, resize: &Resize) -> Decision {
        self.state.activities.pass(at);
        let Resize { min, max, desired, honor_cooldown } = *resize;
        let bounds = (min.unwrap_or(self.state.min), max.unwrap_or(self.state.max));
        let outside = desired.filter(|desired| !(bounds.0..=bounds.1).contains(desired));
        let why_not = match outside {
            _ if bounds.0 > bounds.1 => Some(WhyNot::BadBounds),
            Some(_) => Some(WhyNot::OutOfBounds(bounds.0, bounds.1)),
            None => desired.filter(|_| honor_cooldown).and_then(|_| self.waits(at)),
        };
        let by = BY_HAND.to_owned();
        match why_not {
            None => self.set(at, by, min, max, desired),
            Some(why) => {
                let (before, outcome) = (self.state.desired, Outcome::Nothing(why));
                Decision { at, by, metric: None, before, wanted: desired, after: before, outcome }
            }
        }
    }

    /// Sets bounds and size.
    fn set(
        &mut self,
        at: EventTime,
        by: String,
        min: Option<i64>,
        max: Option<i64>,
        desired: Option<i64>,
    ) -> Decision {
        let before = self.state.desired;
        let (min, max) = (min.unwrap_or(self.state.min), max.unwrap_or(self.state.max));
        let wanted = desired.unwrap_or(before);
        let outcome = if min > max {
            Outcome::Nothing(WhyNot::BadBounds)
        } else {
            let bounds_changed = (min, max) != (self.state.min, self.state.max);
            (self.state.min, self.state.max) = (min, max);
            match wanted.clamp(min, max) {
                size if size != before => Outcome::Scaled(self.scale(size, None)),
                _ if bounds_changed => Outcome::Bounds,
                _ if wanted > before => Outcome::Nothing(WhyNot::AtMax(max)),
                _ if wanted < before => Outcome::Nothing(WhyNot::AtMin(min)),
                _ => Outcome::Nothing(WhyNot::Same),
            }
        };
        let after = self.state.desired;
        Decision { at, by, metric: None, before, wanted: Some(wanted), after, outcome }
    }
}

fn refused(ask: Ask, why: WhyNot) -> Proposal {
    Proposal { ask, wanted: None, leads_to: Err(why.clone()), same: why }
}

#[cfg(test)]
#[path = "group_tests.rs"]
mod tests;
