//! `SET 'ttl' = '1 hour'`: how long the statements behind it in a script keep groups without a row.
//!
//! What a statement means depends on its text alone. So the setting becomes part of the text of each statement that it is for.

use super::options::duration;
use crate::error::{Mistake, Result, SqlError};
use crate::script::Script;
use crate::statement::{Parsed, Set, Statement};

/// What it is called here, in Flink and in Arroyo.
const KEYS: [&str; 4] = ["ttl", "state.ttl", "table.exec.state.ttl", "updating_ttl"];

/// The setting, as far as a script has been read.
#[derive(Default)]
pub(super) struct Ttl {
    value: Option<(String, i64)>,
    /// Whether no statement has followed yet.
    unused: Option<SqlError>,
}

impl Ttl {
    /// Takes a statement that sets it; `false` for any other, which is given the setting if it is for it.
    pub(super) fn take(&mut self, parsed: &mut Parsed) -> Result<bool> {
        match &parsed.statement {
            Statement::Set(set) if KEYS.contains(&set.key.value.to_lowercase().as_str()) => {
                self.set(set, &parsed.script)?;
                Ok(true)
            }
            _ => {
                self.unused = self.unused.take().filter(|_| self.value.is_none());
                self.apply(parsed);
                Ok(false)
            }
        }
    }

    /// At the end of a script: the setting must have been of use.
    pub(super) fn finish(self) -> Result<()> {
        self.unused.map_or(Ok(()), Err)
    }

    fn set(&mut self, set: &Set, script: &Script) -> Result<()> {
        let wrong = |message: String| SqlError::new(Mistake::Option, message).at(set.key.position, script);
        let length = duration(&set.value).and_then(|length| i64::try_from(length.as_nanos()).ok());
        let Some(length) = length else {
            let message = format!("'{}' is no value for '{}'", set.value, set.key.value);
            return Err(wrong(message).hint("SET 'ttl' = '1 hour', or '0 s' for no end"));
        };
        self.value = (length > 0).then(|| (set.value.clone(), length));
        let unused = wrong(format!("'{}' is for the statements behind it in the same script", set.key.value));
        self.unused = self
            .value
            .is_some()
            .then(|| unused.hint("SET 'ttl' = '1 hour'; CREATE MATERIALIZED VIEW ... AS SELECT ..."));
        Ok(())
    }

    /// Gives a statement the setting; `false`: it is not for it.
    fn apply(&self, parsed: &mut Parsed) -> bool {
        let Some((value, length)) = &self.value else { return false };
        let query = match &mut parsed.statement {
            Statement::CreateJob(job) => &mut job.definition.query,
            Statement::CreateMaterializedView(view) => &mut view.definition.query,
            Statement::Query(query) => query,
            Statement::Explain(explain) => {
                if !self.apply(&mut explain.statement) {
                    return false;
                }
                parsed.text = format!("{}{}", prefix(value), parsed.text);
                return true;
            }
            _ => return false,
        };
        query.options.ttl = Some(*length);
        parsed.text = format!("{}{}", prefix(value), parsed.text);
        true
    }
}

/// What stands before the text of a statement that has the setting.
fn prefix(value: &str) -> String {
    format!("SET 'ttl' = '{value}'; ")
}
