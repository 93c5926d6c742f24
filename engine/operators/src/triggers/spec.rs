//! What a trigger is, apart from its state.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::physical_expr::PhysicalExpr;

use super::firings::{FiringColumn, schema_of};
use super::machine::{Rearm, Rules};
use super::operator::TriggerOperator;
use crate::api::{Changes, Emission, Operator, OperatorSpec, StateBound};
use crate::error::{OperatorError, Result};

pub(super) const NAME: &str = "Trigger";

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

/// A trigger as an operator: rows in, firings out.
#[derive(Clone, Debug)]
pub struct TriggerSpec {
    what: Arc<Trigger>,
    schema: SchemaRef,
    order: Vec<usize>,
}

impl TriggerSpec {
    /// Checks columns and conditions.
    pub fn try_new(what: Trigger) -> Result<Self> {
        let wide = what.columns_of_conditions()?;
        let mut conditions = vec![match &what.when {
            When::True(condition) | When::Silent(condition) => condition,
        }];
        conditions.extend(&what.until);
        for condition in conditions {
            let kind = condition.data_type(&wide)?;
            if kind != DataType::Boolean {
                let reason = format!("the condition {condition} is {kind}, not boolean");
                return Err(OperatorError::unsupported(NAME, reason));
            }
        }
        if !matches!(what.input.field(what.time).data_type(), DataType::Timestamp(..)) {
            return Err(OperatorError::unsupported(NAME, "event time must be a timestamp"));
        }
        if what.hold.is_none() && matches!(what.when, When::Silent(_)) {
            return Err(OperatorError::unsupported(NAME, "silence must last for some time"));
        }
        let place = |wanted: FiringColumn| {
            what.output
                .iter()
                .position(|(column, _)| *column == wanted)
                .ok_or_else(|| OperatorError::unsupported(NAME, format!("{wanted:?} must come out")))
        };
        let mut order = vec![place(FiringColumn::At)?];
        for key in &what.keys {
            order.push(place(FiringColumn::Input(*key))?);
        }
        let schema = schema_of(&what);
        Ok(Self { what: Arc::new(what), schema, order })
    }
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

    pub(super) fn rules(&self) -> Rules {
        Rules { hold: self.hold, silence: matches!(self.when, When::Silent(_)), rearm: self.rearm }
    }
}

impl OperatorSpec for TriggerSpec {
    fn name(&self) -> &'static str {
        NAME
    }

    fn describe(&self) -> String {
        let what = &self.what;
        let seconds = |nanos: i64| format!("{}s", nanos as f64 / 1e9);
        let names: Vec<_> = what.keys.iter().map(|key| what.input.field(*key).name().as_str()).collect();
        let mut text = match &what.when {
            When::True(condition) => format!("when={condition}"),
            When::Silent(counts) => format!("silent={counts}"),
        };
        if let Some(hold) = what.hold {
            text += &format!(", for={}", seconds(hold));
        }
        match (what.rearm, &what.until) {
            (Rearm::Until, Some(until)) => text += &format!(", until={until}"),
            (Rearm::After(wait), _) => text += &format!(", rearm={}", seconds(wait)),
            _ => {}
        }
        for (nth, remembered) in what.remembered.iter().enumerate() {
            text += &match remembered.memory {
                Memory::Row => format!(", ${nth}=prev({})", remembered.expr),
                Memory::Value => format!(", ${nth}=prev value({})", remembered.expr),
                Memory::Ago(back) => format!(", ${nth}=ago({}, {})", remembered.expr, seconds(back)),
            };
        }
        text + &format!(", keys=[{}]", names.join(", "))
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
        let names = self.what.keys.iter().map(|key| self.what.input.field(*key).name().clone()).collect();
        if self.what.keys.is_empty() { StateBound::None } else { StateBound::Grows(names) }
    }

    fn instantiate(&self) -> Result<Box<dyn Operator>> {
        Ok(Box::new(TriggerOperator::try_new(&self.what, &self.schema, &self.order)?))
    }
}
