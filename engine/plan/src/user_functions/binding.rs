//! What is defined keeps the functions that it calls.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::definition::{Functions, called};
use crate::catalog::Entry;
use crate::decision::{AlarmDef, AlarmOn, Metric, MetricFrom, OfStream};
use crate::parse::parse_one;
use crate::scaling::PolicyWhat;
use crate::statement::{Query, Statement};
use crate::trigger::{Action, Condition, RearmDef, TriggerDef};

impl Entry {
    /// With those functions that it calls.
    pub(crate) fn bound(mut self, functions: &Functions) -> Self {
        match &mut self {
            Self::View(view) | Self::MaterializedView(view) => Arc::make_mut(view).query.bind(functions),
            Self::Job(job) => Arc::make_mut(job).query.bind(functions),
            Self::Trigger(trigger) => {
                let calls = calls_of_trigger(trigger);
                Arc::make_mut(trigger).functions = Some(functions.only(&calls));
            }
            Self::Alarm(alarm) => {
                if let AlarmDef { on: AlarmOn::Metric { metric, .. }, .. } = Arc::make_mut(alarm) {
                    metric.bind(functions);
                }
            }
            Self::ScalingPolicy(policy) => {
                if let PolicyWhat::Target { metric, .. } = &mut Arc::make_mut(policy).what {
                    metric.bind(functions);
                }
            }
            Self::Stream(stream) | Self::Table(stream) => {
                if !stream.computed.is_empty() {
                    let stream = Arc::make_mut(stream);
                    let calls = stream.computed.iter().flat_map(|column| called(&*column.expr)).collect();
                    stream.functions = functions.only(&calls);
                }
            }
            Self::MapReduce(_) | Self::ScalingGroup(_) | Self::Archive(_) => {}
        }
        self
    }

    /// The functions of the user's that it calls.
    pub(crate) fn functions(&self) -> Option<&Functions> {
        match self {
            Self::View(view) | Self::MaterializedView(view) => view.query.functions.as_ref(),
            Self::Job(job) => job.query.functions.as_ref(),
            Self::Trigger(trigger) => trigger.functions.as_ref(),
            Self::Alarm(alarm) => match &alarm.on {
                AlarmOn::Metric { metric, .. } => metric.functions(),
                AlarmOn::Composite(_) => None,
            },
            Self::ScalingPolicy(policy) => match &policy.what {
                PolicyWhat::Target { metric, .. } => metric.functions(),
                _ => None,
            },
            Self::Stream(stream) | Self::Table(stream) => Some(&stream.functions),
            Self::MapReduce(_) | Self::ScalingGroup(_) | Self::Archive(_) => None,
        }
    }
}

impl Query {
    fn bind(&mut self, functions: &Functions) {
        self.functions = Some(functions.only(&called(&*self.ast)));
    }
}

impl Metric {
    fn bind(&mut self, functions: &Functions) {
        match &mut self.from {
            MetricFrom::Query(query) => query.bind(functions),
            MetricFrom::Stream(of) => of.functions = Some(functions.only(&calls_of_statistic(of))),
        }
    }

    fn functions(&self) -> Option<&Functions> {
        match &self.from {
            MetricFrom::Query(query) => query.functions.as_ref(),
            MetricFrom::Stream(of) => of.functions.as_ref(),
        }
    }
}

fn calls_of_trigger(trigger: &TriggerDef) -> BTreeSet<String> {
    let until = match &trigger.rearm {
        RearmDef::Until(condition) => Some(condition),
        _ => None,
    };
    let values: &[Condition] = match &trigger.action {
        Action::Insert { values, .. } => values,
        _ => &[],
    };
    let all = [&trigger.when].into_iter().chain(until).chain(values);
    all.flat_map(|condition| called(&*condition.ast)).collect()
}

/// What is computed and the condition are kept as text.
fn calls_of_statistic(of: &OfStream) -> BTreeSet<String> {
    let texts = [Some(&of.argument), of.condition.as_ref()];
    let calls = texts.into_iter().flatten().map(|text| {
        match parse_one(&format!("SELECT {text}")).map(|parsed| parsed.statement) {
            Ok(Statement::Query(query)) => called(&*query.ast),
            _ => BTreeSet::new(),
        }
    });
    calls.flatten().collect()
}
