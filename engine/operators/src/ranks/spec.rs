//! What a top-N is: `ROW_NUMBER() OVER (PARTITION BY ... ORDER BY ...)` of which only some numbers are wanted.
//!
//! Rows that are equal in what they are ordered by are ordered by all their columns, so that the result is a function of the rows
//! alone and not of the order in which they came.

use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::operator::TopNOperator;
use crate::api::{Changes, Operator, OperatorSpec, Reach, StateBound};
use crate::closing::Closing;
use crate::error::{OperatorError, Result};

/// What a top-N is. The columns that come out: the input's, then the number.
#[derive(Clone, Debug)]
pub struct TopN {
    /// The rows that come in.
    pub input: SchemaRef,
    /// The columns whose values have a list each; none: there is one list.
    pub partition: Vec<usize>,
    /// What rows are ordered by.
    pub order: Vec<(usize, SortOptions)>,
    /// How many rows at the head of a list do not come out.
    pub skip: u32,
    /// How many do after them.
    pub take: u32,
    /// What the number's column is called.
    pub number: String,
    /// Whether anybody reads the number. If not, it is 0, and a row does not change when others move before it.
    pub numbered: bool,
    /// How the input's rows change.
    pub changes: Changes,
    /// When a list ends, if it does. Unless `revises` says otherwise, its rows come out at its end, and are never retracted.
    pub closes: Option<Closing>,
    /// Whether the rows of lists that end come out before, and change with every step until then. What was said of a list that has
    /// ended stays said.
    pub revises: bool,
    /// After how many nanoseconds of event time in which no row has come into it a list without an end is forgotten; what was said of it
    /// stays said.
    pub ttl: Option<i64>,
}

impl TopN {
    /// The greatest number that comes out.
    pub(super) fn limit(&self) -> i64 {
        i64::from(self.skip) + i64::from(self.take)
    }

    /// Whether lists are said once, at their end.
    pub(super) fn says_at_end(&self) -> bool {
        self.closes.is_some() && !self.revises
    }
}

/// Keeps the first rows of each partition.
#[derive(Clone, Debug)]
pub struct TopNSpec {
    what: Arc<TopN>,
    schema: SchemaRef,
}

impl TopNSpec {
    /// Checks the columns.
    pub fn try_new(what: TopN) -> Result<Self> {
        let columns = what.partition.iter().chain(what.order.iter().map(|(column, _)| column));
        if let Some(column) = columns.into_iter().find(|column| **column >= what.input.fields().len()) {
            return Err(OperatorError::unsupported("TopN", format!("there is no column {column}")));
        }
        if what.revises && what.closes.is_none() {
            let reason = "lists are revised until they end, and these have no end";
            return Err(OperatorError::unsupported("TopN", reason));
        }
        if what.closes.is_some() && what.ttl.is_some() {
            let reason = "lists that end with the watermark are not forgotten before";
            return Err(OperatorError::unsupported("TopN", reason));
        }
        let number = Arc::new(Field::new(&what.number, DataType::UInt64, false));
        let fields = what.input.fields().iter().cloned().chain([number]).collect::<Vec<_>>();
        Ok(Self { schema: Arc::new(Schema::new(fields)), what: Arc::new(what) })
    }

    fn names(&self) -> Vec<String> {
        self.what.partition.iter().map(|column| self.what.input.field(*column).name().clone()).collect()
    }
}

impl OperatorSpec for TopNSpec {
    fn name(&self) -> &'static str {
        match (self.what.closes.is_some(), self.what.limit()) {
            (true, 1) => "WindowDeduplicate",
            (true, _) => "WindowTopN",
            (false, 1) => "Deduplicate",
            (false, _) => "TopN",
        }
    }

    fn describe(&self) -> String {
        let TopN { skip, take, order, input, .. } = &*self.what;
        let order: Vec<_> = order
            .iter()
            .map(|(column, options)| {
                let direction = if options.descending { " desc" } else { "" };
                let nulls = if options.nulls_first { " nulls first" } else { "" };
                format!("{}{direction}{nulls}", input.field(*column).name())
            })
            .collect();
        let (first, last) = (skip + 1, skip + take);
        let ttl = self.what.ttl.map(|ttl| std::time::Duration::from_nanos(ttl.unsigned_abs()));
        let ttl = ttl.map(|ttl| format!(", ttl={ttl:?}")).unwrap_or_default();
        let emit = if self.what.revises { ", emit=changes" } else { "" };
        format!(
            "{first}..={last}, keys=[{}], order=[{}]{emit}{ttl}",
            self.names().join(", "),
            order.join(", ")
        )
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn changes(&self) -> Changes {
        let mut key = self.what.partition.clone();
        match &*self.what {
            what if what.says_at_end() => Changes::AppendOnly,
            TopN { numbered: true, .. } => {
                key.push(self.what.input.fields().len());
                Changes::Updating { key }
            }
            TopN { take: 1, .. } => Changes::Updating { key },
            TopN { changes: Changes::Updating { key }, .. } => Changes::Updating { key: key.clone() },
            _ => Changes::Retracting,
        }
    }

    fn state_bound(&self) -> StateBound {
        match (self.what.closes.is_some() || self.what.ttl.is_some(), &self.what.changes) {
            (true, _) => StateBound::Watermark,
            // Rows behind the last number may be needed again when one before it is retracted.
            (false, changes) if *changes != Changes::AppendOnly => StateBound::GrowsWithRows,
            _ if self.what.partition.is_empty() => StateBound::None,
            _ => StateBound::Grows(self.names()),
        }
    }

    fn reach(&self) -> Reach {
        Reach::History
    }

    fn instantiate(&self) -> Result<Box<dyn Operator>> {
        Ok(Box::new(TopNOperator::try_new(self.name(), &self.what, &self.schema)?))
    }
}
