//! Tables outside in which jobs look rows up.

use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use headwater_ingest::Options;

use crate::error::{ConnectorError, Result};
use crate::parking::Aside;

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

impl Kept {
    /// Takes the options of Flink's lookup cache, by their names of today and those before. Nothing is kept unless they say so.
    pub fn take(options: &mut Options) -> Result<Self> {
        let partial =
            options.parse_with("lookup.cache", |text| match text.trim().to_ascii_lowercase().as_str() {
                "none" => Ok(false),
                "partial" | "lru" => Ok(true),
                "full" => Err("a whole table is not kept; PARTIAL keeps what was asked for".to_owned()),
                _ => Err("it is NONE or PARTIAL".to_owned()),
            })?;
        let rows = options.parse::<usize>("lookup.partial-cache.max-rows")?;
        let rows = options.parse::<usize>("lookup.cache.max-rows")?.or(rows);
        let ttl = options.duration("lookup.partial-cache.expire-after-write")?;
        let ttl = options.duration("lookup.cache.ttl")?.or(ttl);
        let missing = options.flag("lookup.partial-cache.cache-missing-key")?;
        let missing = options.flag("lookup.cache.caching-missing-key")?.or(missing);
        // The older options say by being there that something is kept.
        let is_kept = partial.unwrap_or(rows.is_some() || ttl.is_some());
        Ok(Self {
            keys_max: if is_kept { rows.unwrap_or(10_000) } else { 0 },
            ttl,
            keeps_missing: missing.unwrap_or(true),
        })
    }
}

/// How often a table that does not answer is asked again.
#[derive(Clone, Copy, Debug, Default)]
pub struct Retries {
    most: Option<u32>,
    /// How often it was asked in vain since it last answered.
    failed: u32,
}

impl Retries {
    /// So often at most; `None`: for as long as it takes.
    pub fn new(most: Option<u32>) -> Self {
        Self { most, failed: 0 }
    }

    /// Takes `lookup.max-retries`; for as long as it takes unless it is set.
    pub fn take(options: &mut Options) -> Result<Self> {
        Ok(Self::new(options.parse::<u32>("lookup.max-retries")?))
    }

    /// Counts a question by how it ended. One failure too many, of those that may pass, is for good.
    pub fn count<T>(&mut self, asked: Result<T>) -> Result<T> {
        match (asked, self.most) {
            (Err(error), most) if error.is_retryable() => {
                self.failed += 1;
                match most {
                    Some(retries) if self.failed > retries => {
                        let reason =
                            format!("given up after {retries} retries (lookup.max-retries): {error}");
                        Err(ConnectorError::refused("look rows up", reason))
                    }
                    _ => Err(error),
                }
            }
            (ended, _) => {
                self.failed = 0;
                ended
            }
        }
    }
}

/// A table outside. After an error that may pass it is asked again, for as long as the outage lasts.
#[async_trait]
pub trait Lookup: Send {
    /// How much of what it answers is kept.
    fn kept(&self) -> Kept;

    /// Says where records go that are no rows of the table, for those tables that can have any.
    fn put_aside_in(&mut self, _aside: Aside) {}

    /// The rows with these keys (a column for each of [`Wanted::key`], each row once), with the columns that are wanted, in any
    /// order. Rows of other keys do no harm.
    async fn fetch(&mut self, keys: &RecordBatch) -> Result<RecordBatch>;
}
