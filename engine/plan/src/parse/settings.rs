//! What a script sets for the statements behind it.
//!
//! | set | for |
//! |---|---|
//! | `'ttl'` and its other names | jobs, materialized views, queries: how long they keep what no row comes for |
//! | `'table.exec.source.idle-timeout'` | streams and tables that say none themselves |
//! | `'execution.runtime-mode'` | INSERT INTO: whether it goes on for ever |
//! | `'pipeline.name'` | INSERT INTO that goes on: what its job is called |
//!
//! What a statement means depends on its text alone. So a setting becomes part of the text of each statement that it is for.

use std::time::Duration;

use super::options::duration;
use crate::definition::StreamDef;
use crate::error::{Mistake, Result, SqlError};
use crate::script::Script;
use crate::statement::{Insert, Parsed, Set, Statement};

/// What `ttl` is called here, in Flink and in Arroyo.
const TTL: [&str; 4] = ["ttl", "state.ttl", "table.exec.state.ttl", "updating_ttl"];

const IDLE: &str = "table.exec.source.idle-timeout";
const MODE: &str = "execution.runtime-mode";
const NAME: &str = "pipeline.name";

/// The settings, as far as a script has been read.
#[derive(Default)]
pub(super) struct Settings {
    ttl: Option<(String, i64)>,
    idle: Option<(String, Duration)>,
    mode: Option<String>,
    name: Option<String>,
    /// That no statement has followed yet on one that means nothing by itself.
    unused: Option<SqlError>,
}

impl Settings {
    /// Takes a statement that means nothing by itself; `false` for any other, which is given the settings that are for it.
    pub(super) fn take(&mut self, parsed: &mut Parsed) -> Result<bool> {
        let Statement::Set(set) = &parsed.statement else {
            self.unused = None;
            self.apply(parsed);
            return Ok(false);
        };
        let key = set.key.value.to_lowercase();
        if TTL.contains(&key.as_str()) {
            self.ttl = self
                .length(set, &parsed.script, "'1 hour', or '0 s' for no end")?
                .map(|length| (set.value.clone(), i64::try_from(length.as_nanos()).unwrap_or(i64::MAX)));
            return Ok(true);
        }
        match key.as_str() {
            IDLE => {
                let length = self.length(set, &parsed.script, "'30 s', or '0 s' for none")?;
                self.idle = length.map(|length| (set.value.clone(), length));
                return Ok(true);
            }
            MODE => self.mode = Some(set.value.to_lowercase()),
            NAME => self.name = Some(set.value.clone()),
            _ => {}
        }
        Ok(false)
    }

    /// At the end of a script: a setting must have been of use.
    pub(super) fn finish(self) -> Result<()> {
        self.unused.map_or(Ok(()), Err)
    }

    /// A length of time, if it is one at all.
    fn length(&mut self, set: &Set, script: &Script, usage: &str) -> Result<Option<Duration>> {
        let wrong = |message: String| SqlError::new(Mistake::Option, message).at(set.key.position, script);
        let Some(length) = duration(&set.value).filter(|length| i64::try_from(length.as_nanos()).is_ok())
        else {
            let message = format!("'{}' is no value for '{}'", set.value, set.key.value);
            return Err(wrong(message).hint(format!("SET '{}' = {usage}", set.key.value)));
        };
        if length.is_zero() {
            return Ok(None);
        }
        let message = format!("'{}' is for the statements behind it in the same script", set.key.value);
        self.unused = Some(wrong(message).hint(match set.key.value.to_lowercase().as_str() {
            IDLE => "SET 'table.exec.source.idle-timeout' = '30 s'; CREATE TABLE ...",
            _ => "SET 'ttl' = '1 hour'; CREATE MATERIALIZED VIEW ... AS SELECT ...",
        }));
        Ok(Some(length))
    }

    /// Gives a statement the settings that are for it, and says in its text which; answers that.
    fn apply(&self, parsed: &mut Parsed) -> String {
        let mut prefix = String::new();
        self.apply_to(&mut parsed.statement, &mut prefix);
        parsed.text.insert_str(0, &prefix);
        prefix
    }

    fn apply_to(&self, statement: &mut Statement, prefix: &mut String) {
        let query = match statement {
            Statement::CreateJob(job) => &mut job.definition.query,
            Statement::CreateMaterializedView(view) => &mut view.definition.query,
            Statement::Query(query) => query,
            Statement::Insert(insert) => {
                self.apply_to_insert(insert, prefix);
                &mut insert.query
            }
            Statement::Explain(explain) => {
                prefix.push_str(&self.apply(&mut explain.statement));
                return;
            }
            Statement::Together(together) => {
                prefix.extend(together.table.iter_mut().map(|table| self.apply(table)));
                // What is for one of them is for all.
                let own: Vec<String> = together.inserts.iter_mut().map(|insert| self.apply(insert)).collect();
                prefix.extend(own.into_iter().next());
                return;
            }
            Statement::CreateStream(create) | Statement::CreateTable(create) => {
                return self.apply_to_stream(&mut create.definition, prefix);
            }
            _ => return,
        };
        if let Some((value, length)) = &self.ttl {
            query.options.ttl = Some(*length);
            say(prefix, "ttl", value);
        }
    }

    fn apply_to_insert(&self, insert: &mut Insert, prefix: &mut String) {
        insert.settings.ttl = self.ttl.as_ref().map(|(value, _)| value.clone());
        if let Some(mode) = &self.mode {
            insert.settings.goes_on.get_or_insert(mode != "batch");
            say(prefix, MODE, mode);
        }
        if let Some(name) = &self.name {
            insert.settings.name = Some(name.clone());
            say(prefix, NAME, name);
        }
    }

    fn apply_to_stream(&self, stream: &mut StreamDef, prefix: &mut String) {
        if let Some((value, length)) = &self.idle
            && !stream.options.contains_key("scan.watermark.idle-timeout")
        {
            stream.idle_timeout = Some(*length);
            say(prefix, IDLE, value);
        }
    }
}

impl Insert {
    /// The text by which the same is a job of this name.
    pub fn as_job(&self, name: &str) -> String {
        let mut text = String::new();
        if let Some(ttl) = &self.settings.ttl {
            say(&mut text, "ttl", ttl);
        }
        text + &format!("CREATE JOB {name} AS {}", self.text)
    }
}

/// Appends what stands before the text of a statement that has a setting.
fn say(prefix: &mut String, key: &str, value: &str) {
    prefix.push_str(&format!("SET '{key}' = '{}'; ", value.replace('\'', "''")));
}
