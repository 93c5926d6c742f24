//! What a trigger is, apart from its state.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::physical_expr::PhysicalExpr;

use super::firings::{FiringColumn, schema_of};
use super::machine::{Rearm, Rules};
use super::operator::TriggerOperator;
use super::roster::TriggerRoster;
use crate::api::{Changes, Emission, Operator, OperatorSpec, StateBound};
use crate::error::{OperatorError, Result};

pub(super) const NAME: &str = "Trigger";
pub(super) const SET: &str = "TriggerSet";

/// The number of a trigger that is alone.
pub(super) const ALONE: i64 = 0;

/// And its rank: no other comes before it.
pub(super) const FIRST: u32 = 1;

/// A trigger over rows of one stream.
#[derive(Clone, Debug)]
pub struct Trigger {
    /// The rows that come in.
    pub input: SchemaRef,
    /// The input columns that tell one key from another; none: all rows are one key's.
    pub keys: Vec<usize>,
    /// The input column that carries event time.
    pub time: usize,
    /// Columns of memory, which conditions see after the input's own.
    pub remembered: Vec<Remembered>,
    /// What it waits for.
    pub when: When,
    /// For how many nanoseconds the condition must hold before it fires.
    pub hold: Option<i64>,
    /// How a key that has fired is armed again.
    pub rearm: Rearm,
    /// For [`Rearm::Until`]: over the input's columns and those of memory.
    pub until: Option<Arc<dyn PhysicalExpr>>,
    /// The columns that come out and their names; the time of the firing and all keys among them.
    pub output: Vec<(FiringColumn, String)>,
}

/// What a trigger waits for.
#[derive(Clone, Debug)]
pub enum When {
    /// A condition over a row: the input's columns and those of memory.
    True(Arc<dyn PhysicalExpr>),
    /// The absence of rows: none for which the expression is true, for [`Trigger::hold`] nanoseconds.
    Silent(Arc<dyn PhysicalExpr>),
}

/// An expression over earlier rows of the key.
#[derive(Clone, Debug)]
pub struct Remembered {
    /// The expression, over the input's columns.
    pub expr: Arc<dyn PhysicalExpr>,
    /// Which earlier row.
    pub memory: Memory,
}

/// Which earlier row of the key is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Memory {
    /// The row before this one.
    Row,
    /// The newest before this one for which the expression was not NULL.
    Value,
    /// The newest row at least so many nanoseconds older.
    Ago(i64),
}

/// A trigger, or a set of them, as an operator: rows in, firings out.
#[derive(Clone, Debug)]
pub struct TriggerSpec {
    roster: Arc<TriggerRoster>,
    /// The trigger, if there is one alone.
    what: Option<Arc<Trigger>>,
    schema: SchemaRef,
    order: Vec<usize>,
}

impl TriggerSpec {
    /// One trigger alone. Checks columns and conditions.
    pub fn try_new(what: Trigger) -> Result<Self> {
        let what = Arc::new(what);
        let roster = TriggerRoster::of(&what);
        roster.add(ALONE, FIRST, Vec::new(), &what)?;
        Self::over(Arc::new(roster), Some(what))
    }

    /// One trigger alone that judges the rows from one on, for each shard: `place` and `from` as in [`TriggerRoster`].
    pub fn try_new_from(what: Trigger, place: (usize, usize), from: Vec<i64>) -> Result<Self> {
        let what = Arc::new(what);
        let roster = TriggerRoster::new(what.shared(), place);
        roster.add(ALONE, FIRST, from, &what)?;
        Self::over(Arc::new(roster), Some(what))
    }

    /// The triggers of a roster, whoever is on it at the time. The first column that comes out is the number of the trigger.
    pub fn of_set(roster: Arc<TriggerRoster>) -> Result<Self> {
        Self::over(roster, None)
    }

    fn over(roster: Arc<TriggerRoster>, what: Option<Arc<Trigger>>) -> Result<Self> {
        let shared = roster.shared();
        if !matches!(shared.input.field(shared.time).data_type(), DataType::Timestamp(..)) {
            return Err(OperatorError::unsupported(NAME, "event time must be a timestamp"));
        }
        let ahead = usize::from(what.is_none());
        let place = |wanted: FiringColumn| {
            shared
                .output
                .iter()
                .position(|(column, _)| *column == wanted)
                .map(|place| place + ahead)
                .ok_or_else(|| OperatorError::unsupported(NAME, format!("{wanted:?} must come out")))
        };
        let mut order = Vec::new();
        order.extend(what.is_none().then_some(0));
        order.push(place(FiringColumn::At)?);
        for key in &shared.keys {
            order.push(place(FiringColumn::Input(*key))?);
        }
        let schema = schema_of(shared, what.is_none());
        Ok(Self { roster, what, schema, order })
    }
}

/// What the triggers of a set have in common.
#[derive(Clone, PartialEq, Debug)]
pub struct Shared {
    /// The rows that come in.
    pub input: SchemaRef,
    /// The input columns that tell one key from another; none: all rows are one key's.
    pub keys: Vec<usize>,
    /// The input column that carries event time.
    pub time: usize,
    /// The columns that come out and their names; the time of the firing and all keys among them.
    pub output: Vec<(FiringColumn, String)>,
}

impl Trigger {
    /// The input's columns and those of memory.
    pub(super) fn columns_of_conditions(&self) -> Result<Schema> {
        let mut fields: Vec<_> = self.input.fields().to_vec();
        for (nth, remembered) in self.remembered.iter().enumerate() {
            let field = remembered.expr.return_field(&self.input)?;
            fields.push(Arc::new(field.as_ref().clone().with_name(format!("${nth}")).with_nullable(true)));
        }
        Ok(Schema::new(fields))
    }

    /// What it has in common with others over the same rows.
    pub fn shared(&self) -> Shared {
        let (input, keys, output) = (Arc::clone(&self.input), self.keys.clone(), self.output.clone());
        Shared { input, keys, time: self.time, output }
    }

    /// Checks columns and conditions.
    pub(super) fn check(&self) -> Result<()> {
        let wide = self.columns_of_conditions()?;
        let mut conditions = vec![self.condition()];
        conditions.extend(&self.until);
        for condition in conditions {
            let kind = condition.data_type(&wide)?;
            if kind != DataType::Boolean {
                let reason = format!("the condition {condition} is {kind}, not boolean");
                return Err(OperatorError::unsupported(NAME, reason));
            }
        }
        if self.hold.is_none() && matches!(self.when, When::Silent(_)) {
            return Err(OperatorError::unsupported(NAME, "silence must last for some time"));
        }
        Ok(())
    }

    pub(super) fn condition(&self) -> &Arc<dyn PhysicalExpr> {
        match &self.when {
            When::True(condition) | When::Silent(condition) => condition,
        }
    }

    pub(super) fn rules(&self) -> Rules {
        Rules { hold: self.hold, silence: matches!(self.when, When::Silent(_)), rearm: self.rearm }
    }

    fn describe(&self) -> String {
        let seconds = |nanos: i64| format!("{}s", nanos as f64 / 1e9);
        let mut text = match &self.when {
            When::True(condition) => format!("when={condition}"),
            When::Silent(counts) => format!("silent={counts}"),
        };
        if let Some(hold) = self.hold {
            text += &format!(", for={}", seconds(hold));
        }
        match (self.rearm, &self.until) {
            (Rearm::Until, Some(until)) => text += &format!(", until={until}"),
            (Rearm::After(wait), _) => text += &format!(", rearm={}", seconds(wait)),
            _ => {}
        }
        for (nth, remembered) in self.remembered.iter().enumerate() {
            text += &match remembered.memory {
                Memory::Row => format!(", ${nth}=prev({})", remembered.expr),
                Memory::Value => format!(", ${nth}=prev value({})", remembered.expr),
                Memory::Ago(back) => format!(", ${nth}=ago({}, {})", remembered.expr, seconds(back)),
            };
        }
        text
    }
}

impl OperatorSpec for TriggerSpec {
    fn name(&self) -> &'static str {
        if self.what.is_some() { NAME } else { SET }
    }

    fn describe(&self) -> String {
        let shared = self.roster.shared();
        let names = shared.keys.iter().map(|key| shared.input.field(*key).name().as_str());
        let keys = format!("keys=[{}]", names.collect::<Vec<_>>().join(", "));
        match &self.what {
            Some(what) => format!("{keys}, {}", what.describe()),
            // Who is on the roster is not part of the plan: triggers come and go.
            None => keys,
        }
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn changes(&self) -> Changes {
        Changes::AppendOnly
    }

    fn emission(&self) -> Emission {
        Emission { order: self.order.clone() }
    }

    fn state_bound(&self) -> StateBound {
        let shared = self.roster.shared();
        let names = shared.keys.iter().map(|key| shared.input.field(*key).name().clone()).collect();
        if shared.keys.is_empty() { StateBound::None } else { StateBound::Grows(names) }
    }

    fn instantiate(&self) -> Result<Box<dyn Operator>> {
        let names_triggers = self.what.is_none();
        Ok(Box::new(TriggerOperator::try_new(&self.roster, &self.schema, &self.order, names_triggers)?))
    }
}
