//! Side effects: a replay asks no table outside, and writes into none, unless that is asked for by name.
//!
//! - A job's own definition has the answers of its journal, and is replayed by it: whatever it asked then, it is told again.
//! - What has no journal (another definition, steps of its own) would have to ask anew. It is refused unless every table that it would
//!   ask is named.

use arrow::array::RecordBatch;
use headwater_operators::LookupCache;
use headwater_plan::Dataflow;

use crate::error::{Result, RunError};
use crate::options::{LookupFailure, LookupTable};

/// The tables outside that a dataflow asks.
pub(super) fn asked(dataflow: &Dataflow) -> Vec<String> {
    let specs = dataflow.stages.iter().filter_map(|stage| stage.operators.first()?.as_lookup());
    let mut names: Vec<String> = specs.map(|spec| spec.lookup().table.clone()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Fails unless all of these are named.
pub(super) fn check_named(asked: &[String], effects: &[String]) -> Result<()> {
    let missing: Vec<&str> =
        asked.iter().filter(|table| !effects.contains(table)).map(String::as_str).collect();
    if missing.is_empty() { Ok(()) } else { Err(not_named(&missing, "asks")) }
}

/// Fails if something is named that has no part in a replay.
pub(super) fn check_known(effects: &[String], asked: &[String], into: Option<&str>) -> Result<()> {
    let stranger = effects.iter().find(|name| !asked.contains(name) && into != Some(name.as_str()));
    let Some(stranger) = stranger else { return Ok(()) };
    let known: Vec<&str> = asked.iter().map(String::as_str).collect();
    let known = if known.is_empty() { "nothing".to_owned() } else { known.join(", ") };
    Err(RunError::Invalid(format!("the replay asks {known} outside, and has nothing to do with {stranger}")))
}

/// What is said of tables that are not named.
pub(super) fn not_named(tables: &[&str], what: &str) -> RunError {
    let tables = tables.join(", ");
    RunError::Invalid(format!(
        "the replay {what} {tables}, which is outside, and a replay has no effects there unless they are asked for by name: \
         WITH EFFECTS ({tables}), or --effects {}",
        tables.replace(' ', "")
    ))
}

/// Stands where a table is that is not asked.
pub(super) struct Unasked(pub LookupCache);

impl LookupTable for Unasked {
    fn cache(&self) -> LookupCache {
        self.0
    }

    fn fetch(&mut self, _keys: &RecordBatch) -> std::result::Result<RecordBatch, LookupFailure> {
        let reason = "the journal has no answer for this step, which another definition did, and a replay asks nobody unless told to by \
                      name: WITH EFFECTS (table), or --effects table";
        Err(LookupFailure { reason: reason.to_owned(), is_retryable: false })
    }
}
