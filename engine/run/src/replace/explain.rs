//! `EXPLAIN REPLACE`: what would be kept, and how much would be read again.

use std::fmt::Write as _;
use std::sync::Arc;

use headwater_core::ShardId;
use headwater_log::ReadSpec;
use headwater_plan::{Catalog, Change, Parsed};

use super::replacement::{Replacement, rows_from};
use crate::engine::{Inner, first_place};
use crate::error::Result;
use crate::job::{Era, Start};

impl Replacement {
    /// The replacement that a statement would be, as a text.
    pub fn explain(inner: &Arc<Inner>, catalog: &Catalog, parsed: &Parsed) -> Result<String> {
        let (after, change) = catalog.apply(parsed)?;
        match change {
            Change::Replaced(entry) => {
                let all = after.computed_in(&entry);
                let texts = all.iter().map(|entry| Self::plan(inner, catalog, &after, entry)?.text(inner));
                texts.collect()
            }
            Change::Created(entry) => Ok(format!(
                "there is no {} {} yet: the statement would create it\n",
                entry.kind(),
                entry.name()
            )),
            Change::Unchanged(why) => Ok(format!("{why}\n")),
            Change::Dropped(_) | Change::Altered { .. } | Change::Function(_) => Ok(String::new()),
        }
    }

    fn text(&self, inner: &Arc<Inner>) -> Result<String> {
        let mut text = format!("replace {} {}\n", self.before.kind(), self.name);
        if self.is_the_same() {
            text += "nothing changes: the new definition computes the same in the same way\n";
            return Ok(text);
        }
        for line in self.state_lines() {
            let _ = writeln!(text, "{line}");
        }
        let rereads = self.dataflow.sources.iter().zip(&self.succession.rereads).enumerate();
        for (nth, (source, again)) in rereads {
            let (wanted, all) = match again {
                true => self.rows_to_read(inner, nth)?,
                false => (0, self.rows_of(inner, nth)?),
            };
            let _ = writeln!(text, "reread   {}: {wanted} of {all} rows", source.stream);
        }
        let results = match self.corrects {
            true => {
                "corrected: what the new definition says of all rows more or less than the old one is part of the switch"
            }
            false => {
                "rows that are there stay as they are; those that come after the switch are the new definition's"
            }
        };
        let _ = writeln!(text, "results  {results}");
        Ok(text)
    }

    /// What becomes of the state, stage by stage.
    pub fn state_lines(&self) -> Vec<String> {
        let line = |what: &str, nth: usize| {
            let operators = self.dataflow.stages[nth].operators.iter();
            let operators: Vec<_> =
                operators.map(|operator| format!("{}: {}", operator.name(), operator.describe())).collect();
            format!("{what:<8} {}", operators.join(", "))
        };
        let kept = self.succession.kept().map(|(nth, _)| line("keep", nth));
        let told = self.succession.told().map(|(nth, _)| line("go on", nth));
        let rebuilt = self.succession.rebuilt().map(|nth| line("rebuild", nth));
        kept.chain(told).chain(rebuilt).collect()
    }

    fn rows_of(&self, inner: &Inner, source: usize) -> Result<u64> {
        let info = inner.log.stream_named(self.dataflow.sources[source].stream.as_str())?;
        Ok(inner.log.bounds(info.id)?.into_iter().map(|bounds| rows_from(bounds, bounds.first)).sum())
    }

    /// How many rows of a source would be read again, of how many.
    fn rows_to_read(&self, inner: &Arc<Inner>, source: usize) -> Result<(u64, u64)> {
        let info = inner.log.stream_named(self.dataflow.sources[source].stream.as_str())?;
        let from = self.start(self.watermark(inner));
        let first = match self.starts_late() {
            true => Some(self.first_place(inner)?),
            false => None,
        };
        let mut wanted = 0;
        for (shard, bounds) in (0..).zip(inner.log.bounds(info.id)?) {
            let spec = ReadSpec { from, ..ReadSpec::all(info.id, ShardId(shard)) };
            let position = match &first {
                Some(Start::Resume(places)) => places[source][shard as usize].0,
                Some(Start::Member { first, .. }) => first[shard as usize],
                _ => inner.log.read(spec)?.position(),
            };
            wanted += rows_from(bounds, position);
        }
        Ok((wanted, self.rows_of(inner, source)?))
    }

    fn first_place(&self, inner: &Arc<Inner>) -> Result<Start> {
        let before = self.former_sources.clone();
        let sources = super::replacement::names(&self.dataflow);
        let eras = inner.eras_of(&self.name).with(Era { step: u64::MAX, before, sources });
        first_place(inner, &self.name, &eras)
    }
}
