//! Which state of a running job another definition of it can go on with.
//!
//! The state of a stage follows from what the stage is and what has come to it. So a stage of the new plan that is the same as one of
//! the old, over the same inputs all the way up, has the state of that one after any number of rows, and takes it over. Whatever
//! else has state is built from history, and what lies above it (towards the sources) gets the rows once more on their way there.
//! An alarm or a scaling group under another definition is told what the old one had come to, so that it needs no more of history than the
//! points that it looks at.
//!
//! ```text
//!  old:  readings ─ windows A ─ filter x ─> result        A is kept: it is what it was, whatever is done with its rows
//!  new:  readings ─ windows A ─ filter y ─> result
//!
//!  old:  readings ─ windows A ──────────> result          B is rebuilt from readings
//!  new:  readings ─ windows B ──────────> result
//! ```

use std::collections::HashMap;
use std::fmt::Write as _;

use headwater_operators::Reach;

use crate::dataflow::{Dataflow, Exchange, Stage, Upstream};

/// What becomes of the state of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is that of this stage of the old plan.
    Kept(usize),
    /// It is told what this stage of the old plan had come to, which had its name.
    Told(usize),
    /// It is built from history.
    Rebuilt,
}

/// How one plan takes another's place.
#[derive(Debug, Clone)]
pub struct Succession {
    /// For each stage of the new plan; `None`: it has no state.
    pub stages: Vec<Option<Fate>>,
    /// For each source of the new plan, whether its history is read again.
    pub rereads: Vec<bool>,
    /// How far back in event time rows lie that the rebuilt state depends on.
    pub reach: Reach,
}

impl Succession {
    /// What of `old` is kept in `new`; without an old plan nothing is.
    pub fn of(old: Option<&Dataflow>, new: &Dataflow) -> Self {
        let of_old = |old| stages_with_state(old).map(|nth| (identity(old, nth), nth));
        let former: HashMap<String, usize> = old.into_iter().flat_map(of_old).collect();
        let heir = |nth| former.get(&identity(new, nth)).copied();
        let mut needed = vec![false; new.stages.len()];
        let mut rereads = vec![false; new.sources.len()];
        let mut stages = vec![None; new.stages.len()];
        let mut reach = Reach::Row;
        for (nth, stage) in new.stages.iter().enumerate().rev() {
            let kept = if keeps_state(stage) { heir(nth) } else { None };
            let told = if kept.is_none() { old.and_then(|old| told_by(old, stage)) } else { None };
            needed[nth] |= keeps_state(stage) && kept.is_none() && !matches!(told, Some((_, Reach::Row)));
            stages[nth] = match (needed[nth], kept, told) {
                _ if !keeps_state(stage) => None,
                (false, Some(old), _) => Some(Fate::Kept(old)),
                (_, _, Some((old, _))) => Some(Fate::Told(old)),
                _ => Some(Fate::Rebuilt),
            };
            if needed[nth] {
                let own = stage.operators.iter().map(|operator| operator.reach());
                let own = own.fold(Reach::Row, Reach::then);
                reach = reach.then(told.map_or(own, |(_, reach)| reach));
                for input in &stage.inputs {
                    match input.from {
                        Upstream::Stage(upstream) => needed[upstream] = true,
                        Upstream::Source(source) => rereads[source] = true,
                    }
                }
            }
        }
        Self { stages, rereads, reach }
    }

    /// Nothing is kept, and all rows are read again.
    pub fn anew(plan: &Dataflow) -> Self {
        let fate = |stage| keeps_state(stage).then_some(Fate::Rebuilt);
        Self {
            stages: plan.stages.iter().map(fate).collect(),
            rereads: vec![true; plan.sources.len()],
            reach: Reach::History,
        }
    }

    /// The stages whose state is kept: those of the new plan, each with that of the old.
    pub fn kept(&self) -> impl Iterator<Item = (usize, usize)> {
        self.stages.iter().enumerate().filter_map(|(nth, fate)| match fate {
            Some(Fate::Kept(old)) => Some((nth, *old)),
            _ => None,
        })
    }

    /// The stages of the new plan that are told what one of the old had come to, each with that.
    pub fn told(&self) -> impl Iterator<Item = (usize, usize)> {
        self.stages.iter().enumerate().filter_map(|(nth, fate)| match fate {
            Some(Fate::Told(old)) => Some((nth, *old)),
            _ => None,
        })
    }

    /// The stages of the new plan whose state is built from history.
    pub fn rebuilt(&self) -> impl Iterator<Item = usize> {
        self.stages.iter().enumerate().filter_map(|(nth, fate)| (*fate == Some(Fate::Rebuilt)).then_some(nth))
    }
}

impl Dataflow {
    /// Whether another plan computes the same in the same way, and has the same columns.
    pub fn is_the_same_as(&self, other: &Self) -> bool {
        let whole = |plan: &Self| identity(plan, plan.stages.len() - 1);
        self.result.schema == other.result.schema && whole(self) == whole(other)
    }

    /// What the state of this plan depends on, as a text that is the same in every process: its sources, and its stages with state as
    /// EXPLAIN shows them.
    pub fn fingerprint(&self) -> String {
        let mut text = String::new();
        for source in &self.sources {
            let _ = writeln!(text, "{} {:?}", source.stream, source.schema.fields());
        }
        for nth in stages_with_state(self) {
            let _ = write!(text, "{nth}\n{}", self.explain_from(nth));
        }
        text
    }
}

/// The stage of the old plan that tells this one what it had come to, and how far this one reaches then.
fn told_by(old: &Dataflow, stage: &Stage) -> Option<(usize, Reach)> {
    let named = |stage: &Stage| {
        stage.operators.iter().find_map(|operator| operator.takes_orders_for().map(str::to_owned))
    };
    let name = named(stage)?;
    let reach = stage.operators.iter().find_map(|operator| operator.reach_when_told())?;
    let former = old.stages.iter().position(|stage| named(stage).as_deref() == Some(name.as_str()))?;
    Some((former, reach))
}

fn keeps_state(stage: &Stage) -> bool {
    let is_lookup = || stage.operators.iter().any(|operator| operator.as_lookup().is_some());
    stage.inputs.iter().any(|input| input.exchange != Exchange::Forward) || is_lookup()
}

fn stages_with_state(plan: &Dataflow) -> impl Iterator<Item = usize> {
    plan.stages.iter().enumerate().filter_map(|(nth, stage)| keeps_state(stage).then_some(nth))
}

/// All that a stage's rows and state depend on, down to types and places of columns. Unlike what EXPLAIN shows it leaves nothing
/// out; it is compared within one process alone.
fn identity(plan: &Dataflow, nth: usize) -> String {
    let mut text = String::new();
    identify(plan, nth, &mut text);
    text
}

fn identify(plan: &Dataflow, nth: usize, text: &mut String) {
    let Stage { inputs, operators, schema, delay } = &plan.stages[nth];
    let _ = write!(text, "({operators:?} {schema:?} {delay}");
    for input in inputs {
        let _ = write!(text, " {:?} ", input.exchange);
        match input.from {
            Upstream::Stage(upstream) => identify(plan, upstream, text),
            Upstream::Source(source) => {
                let _ = write!(text, "{:?}", plan.sources[source]);
            }
        }
    }
    text.push(')');
}
