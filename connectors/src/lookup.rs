//! Tables outside in which jobs look rows up.

use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;

use crate::error::Result;

/// What a job wants of a table.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The columns, in this order.
    pub columns: SchemaRef,
    /// The columns by whose values rows are asked for.
    pub key: Vec<String>,
}

/// How much of what was answered is kept by who asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kept {
    /// How many keys at most; 0: none.
    pub keys_max: usize,
    /// How long an answer is used.
    pub ttl: Option<Duration>,
    /// Whether it is kept that a key has no rows.
    pub keeps_missing: bool,
}

/// A table outside. After an error that may pass it is asked again, for as long as the outage lasts.
#[async_trait]
pub trait Lookup: Send {
    /// How much of what it answers is kept.
    fn kept(&self) -> Kept;

    /// The rows with these keys (a column for each of [`Wanted::key`], each row once), with the columns that are wanted, in any
    /// order. Rows of other keys do no harm.
    async fn fetch(&mut self, keys: &RecordBatch) -> Result<RecordBatch>;
}
