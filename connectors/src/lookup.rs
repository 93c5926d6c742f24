//! Tables outside in which jobs look rows up.

use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use headwater_core::EventTime;
use headwater_ingest::Options;

use crate::error::{ConnectorError, Result};
use crate::parking::Aside;
use crate::reload::Reload;

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

/// What is kept of a table, as the options of Flink's lookup caches say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Caching {
    /// Answers, if anything.
    Answers(Kept),
    /// All of its rows, in memory.
    Full(Reload),
}

/// The values of `lookup.cache`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    None,
    Partial,
    Full,
}

const MODE: &str = "lookup.cache";

/// The options of answers that are kept.
const PARTIAL: [&str; 6] = [
    "lookup.partial-cache.max-rows",
    "lookup.cache.max-rows",
    "lookup.partial-cache.expire-after-write",
    "lookup.cache.ttl",
    "lookup.partial-cache.cache-missing-key",
    "lookup.cache.caching-missing-key",
];

impl Mode {
    fn take(options: &mut Options) -> Result<Option<Self>> {
        let mode = options.parse_with(MODE, |text| match text.trim().to_ascii_lowercase().as_str() {
            "none" => Ok(Self::None),
            "partial" | "lru" => Ok(Self::Partial),
            "full" => Ok(Self::Full),
            _ => Err("it is NONE, PARTIAL or FULL".to_owned()),
        })?;
        Ok(mode)
    }
}

impl Caching {
    /// Takes all options of Flink's lookup caches. Nothing is kept unless they say so.
    pub fn take(options: &mut Options) -> Result<Self> {
        let mode = Mode::take(options)?;
        if mode == Some(Mode::Full) {
            refuse(options, &PARTIAL, "it is of 'lookup.cache' = 'PARTIAL'; of FULL all rows are kept")?;
            return Ok(Self::Full(Reload::take(options)?));
        }
        refuse(options, &Reload::OPTIONS, "it is of 'lookup.cache' = 'FULL'")?;
        Ok(Self::Answers(Kept::of(mode, options)?))
    }
}

/// Says of options that they belong to something else.
fn refuse(options: &mut Options, names: &[&str], reason: &str) -> Result<()> {
    for name in names {
        options.parse_with(name, |_| Err::<(), _>(reason.to_owned()))?;
    }
    Ok(())
}

impl Kept {
    /// Takes the options of Flink's lookup cache, by their names of today and those before, where nobody can read a table as a whole.
    /// Nothing is kept unless they say so.
    pub fn take(options: &mut Options) -> Result<Self> {
        let mode = Mode::take(options)?;
        if mode == Some(Mode::Full) {
            refuse(options, &[MODE], "all rows are not to be had; PARTIAL keeps what was asked for")?;
        }
        Self::of(mode, options)
    }

    fn of(mode: Option<Mode>, options: &mut Options) -> Result<Self> {
        let rows = options.parse::<usize>("lookup.partial-cache.max-rows")?;
        let rows = options.parse::<usize>("lookup.cache.max-rows")?.or(rows);
        let ttl = options.duration("lookup.partial-cache.expire-after-write")?;
        let ttl = options.duration("lookup.cache.ttl")?.or(ttl);
        let missing = options.flag("lookup.partial-cache.cache-missing-key")?;
        let missing = options.flag("lookup.cache.caching-missing-key")?.or(missing);
        // The older options say by being there that something is kept.
        let is_kept = mode.map_or(rows.is_some() || ttl.is_some(), |mode| mode == Mode::Partial);
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

    /// Since when answers are good that are kept: those from before are asked for again. `None`: as [`Kept::ttl`] says.
    fn fresh_from(&self) -> Option<EventTime> {
        None
    }

    /// Says where records go that are no rows of the table, for those tables that can have any.
    fn put_aside_in(&mut self, _aside: Aside) {}

    /// The rows with these keys (a column for each of [`Wanted::key`], each row once), with the columns that are wanted, in any
    /// order. Rows of other keys do no harm.
    async fn fetch(&mut self, keys: &RecordBatch) -> Result<RecordBatch>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(options: &[(&str, &str)]) -> Result<Caching, String> {
        let mut options = Options::new("connector jdbc", options.iter().copied());
        let caching = Caching::take(&mut options).map_err(|error| error.to_string())?;
        options.finish().map_err(|error| error.to_string())?;
        Ok(caching)
    }

    #[test]
    fn options_say_what_is_kept() {
        let kept = |keys_max, seconds: Option<u64>| {
            let ttl = seconds.map(Duration::from_secs);
            Ok(Caching::Answers(Kept { keys_max, ttl, keeps_missing: true }))
        };
        assert_eq!(take(&[]), kept(0, None));
        assert_eq!(take(&[("lookup.cache", "NONE"), ("lookup.partial-cache.max-rows", "5")]), kept(0, None));
        assert_eq!(take(&[("lookup.cache", "partial")]), kept(10_000, None));
        assert_eq!(take(&[("lookup.cache.ttl", "5 s")]), kept(10_000, Some(5)));
        assert_eq!(take(&[("lookup.cache", "full")]), Ok(Caching::Full(Reload::Never)));
        let minute = ("lookup.full-cache.periodic-reload.interval", "1 min");
        let reload = Reload::FixedDelay(Duration::from_secs(60));
        assert_eq!(take(&[("lookup.cache", "FULL"), minute]), Ok(Caching::Full(reload)));
        for (options, why) in [
            (&[("lookup.cache", "ALL")][..], "it is NONE, PARTIAL or FULL"),
            (&[("lookup.cache", "PARTIAL"), minute], "it is of 'lookup.cache' = 'FULL'"),
            (&[minute], "it is of 'lookup.cache' = 'FULL'"),
            (
                &[("lookup.cache", "FULL"), ("lookup.cache.max-rows", "5")],
                "it is of 'lookup.cache' = 'PARTIAL'",
            ),
        ] {
            let error = take(options).unwrap_err();
            assert!(error.contains(why), "{options:?}: {error}");
        }
        let mut full = Options::new("connector wamp", [("lookup.cache", "FULL")]);
        let error = Kept::take(&mut full).unwrap_err().to_string();
        assert!(error.contains("'lookup.cache' cannot be 'FULL': all rows are not to be had"), "{error}");
    }
}
