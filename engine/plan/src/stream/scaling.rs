//! Scaling groups: the alarms of all their policies, then the group's own operator.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use headwater_core::StreamName;
use headwater_decide::alarm::Timing;
use headwater_decide::scaling::{GroupRules, Policy, PolicyKind, Schedule};
use headwater_operators::decide::{
    Report, ScalingInput, ScalingSpec, scaling_activities_schema, scaling_progress_schema,
};

use super::alarm::Alarmed;
use super::decide::{Decide, unknown};
use crate::catalog::Entry;
use crate::dataflow::{Exchange, Metadata, Source, Stage, StageInput, Upstream};
use crate::decision::{AlarmDef, AlarmOn, Metric, MetricFrom};
use crate::error::{Mistake, Result, SqlError};
use crate::job_metrics::JOB_METRICS;
use crate::parse::parse_one;
use crate::scaling::{GroupDef, PolicyDef, PolicyWhat, SCALING_PROGRESS};
use crate::startup::Startup;
use crate::statement::Statement;

/// What has been made so far.
#[derive(Default)]
struct Parts {
    policies: Vec<Policy>,
    schedules: Vec<Schedule>,
    inputs: Vec<(ScalingInput, Upstream)>,
}

impl Decide<'_> {
    /// A scaling group. `instant`: its activities are over at once; otherwise what came of them is read from the log.
    pub(crate) fn group(&mut self, group: &GroupDef, instant: bool) -> Result<()> {
        let mut parts = Parts::default();
        if !instant {
            parts.inputs.push((ScalingInput::Progress, self.progress()?));
        }
        for name in &group.policies {
            let Some(Entry::ScalingPolicy(policy)) = self.planning.catalog.get(name) else {
                let message = format!("there is no scaling policy '{name}'");
                return Err(SqlError::new(Mistake::UnknownName, message));
            };
            self.policy(policy, &mut parts)?;
        }
        if parts.policies.is_empty() {
            parts.inputs.push((ScalingInput::Clock, self.clock(&group.name)?));
        }
        let (inputs, from): (Vec<ScalingInput>, Vec<Upstream>) = parts.inputs.into_iter().unzip();
        let rules = GroupRules {
            min: group.min,
            max: group.max,
            desired: group.desired,
            cooldown: group.cooldown,
            warmup: group.warmup,
            policies: parts.policies,
            schedules: parts.schedules,
        };
        let delay = self.lower.delay_behind(from.iter().copied());
        self.lower.push(Stage {
            delay,
            inputs: from.into_iter().map(|from| StageInput { from, exchange: Exchange::Gather }).collect(),
            operators: vec![Arc::new(ScalingSpec { name: group.name.clone(), rules, inputs })],
            schema: scaling_activities_schema(),
        });
        Ok(())
    }

    /// Plans a policy by itself.
    pub(crate) fn check_policy(&mut self, policy: &PolicyDef) -> Result<()> {
        self.policy(policy, &mut Parts::default())
    }

    /// The stream that says what came of activities. It has no event time, so that nothing waits for it.
    fn progress(&mut self) -> Result<Upstream> {
        let schema: SchemaRef = scaling_progress_schema();
        let stream = StreamName::new(SCALING_PROGRESS)
            .map_err(|error| SqlError::new(Mistake::Definition, error.to_string()))?;
        self.lower.sources.push(Source {
            stream,
            projection: (0..schema.fields().len()).collect(),
            metadata: Metadata::default(),
            computed: Vec::new(),
            schema,
            bounds: Vec::new(),
            watermark: None,
            startup: Startup::Earliest,
            comes_first: false,
        });
        Ok(Upstream::Source(self.lower.sources.len() - 1))
    }

    /// What the engine measures of the group itself, every few seconds: for a group of schedules alone, which no metric tells the time.
    fn clock(&mut self, group: &str) -> Result<Upstream> {
        let text =
            format!("SELECT at, lag AS value FROM {JOB_METRICS} WHERE job = '{}'", group.replace('\'', "''"));
        let parsed = parse_one(&text)?;
        let Statement::Query(query) = parsed.statement else {
            return Err(SqlError::new(Mistake::Syntax, text));
        };
        let timing = Timing::of_metric(Duration::from_secs(60))
            .map_err(|error| SqlError::new(Mistake::Definition, error.to_string()))?;
        let metric = Metric { from: MetricFrom::Query(query), timing, unit: None };
        Ok(self.points(&metric)?.from)
    }

    fn policy(&mut self, policy: &PolicyDef, parts: &mut Parts) -> Result<()> {
        let nth = parts.policies.len();
        let kind = match &policy.what {
            PolicyWhat::Schedule { times, min, max, desired } => {
                let (name, times) = (policy.name.clone(), times.clone());
                parts.schedules.push(Schedule { name, times, min: *min, max: *max, desired: *desired });
                return Ok(());
            }
            PolicyWhat::Simple { alarm, adjustment, cooldown } => {
                let alarm = self.alarm_of(alarm)?;
                self.hear(&alarm, policy, nth, parts)?;
                PolicyKind::Simple { adjustment: *adjustment, cooldown: *cooldown }
            }
            PolicyWhat::Step { alarm, kind, steps, magnitude_min, warmup } => {
                let alarm = self.alarm_of(alarm)?;
                let AlarmOn::Metric { rule, .. } = &alarm.on else {
                    let message = format!("'{}' has no metric that a step could be found by", alarm.name);
                    return Err(SqlError::new(Mistake::Definition, message).hint(
                        "steps go with an alarm on a metric; simple policies with composite ones, too",
                    ));
                };
                let (threshold, side) = (rule.threshold, rule.comparison.side());
                self.hear(&alarm, policy, nth, parts)?;
                let (kind, steps) = (*kind, steps.clone());
                let (magnitude_min, warmup) = (*magnitude_min, *warmup);
                PolicyKind::Step { kind, steps, magnitude_min, warmup, threshold, side }
            }
            PolicyWhat::Target { metric, tracking, warmup } => {
                let points = self.points(metric)?;
                let alarms =
                    [(tracking.high(), ScalingInput::Alarm(nth)), (tracking.low(), ScalingInput::Low(nth))];
                for (rule, input) in alarms {
                    let name = format!("{}: {}", policy.name, rule.comparison);
                    let alarmed = self.over(&points, &name, metric, &rule, Report::Evaluations, true);
                    parts.inputs.push((input, one_metric(alarmed, &policy.name)?));
                }
                PolicyKind::Target { tracking: *tracking, warmup: *warmup }
            }
        };
        parts.policies.push(Policy { name: policy.name.clone(), kind });
        Ok(())
    }

    fn alarm_of(&self, name: &str) -> Result<Arc<AlarmDef>> {
        match self.planning.catalog.get(name) {
            Some(Entry::Alarm(alarm)) => Ok(Arc::clone(alarm)),
            _ => Err(unknown(self.planning.catalog, name)),
        }
    }

    fn hear(&mut self, alarm: &AlarmDef, policy: &PolicyDef, nth: usize, parts: &mut Parts) -> Result<()> {
        let alarmed = self.alarm(alarm, Report::Evaluations, true)?;
        parts.inputs.push((ScalingInput::Alarm(nth), one_metric(alarmed, &policy.name)?));
        Ok(())
    }
}

/// A group has one size, so its policies have one metric each.
fn one_metric(alarmed: Alarmed, policy: &str) -> Result<Upstream> {
    if alarmed.dimensions.is_empty() {
        return Ok(alarmed.history);
    }
    let message = format!(
        "the metric of '{policy}' has the dimensions {}: a group has one size, not one for each of their values",
        alarmed.dimensions.join(", ")
    );
    Err(SqlError::new(Mistake::Definition, message).hint("leave DIMENSIONS out, or choose one with WHERE"))
}
