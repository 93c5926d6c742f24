//! How far jobs have come that do not run, as those of a directory that is only looked at: read from their checkpoints and journals when
//! somebody first asks.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use headwater_core::{StreamId, causes};
use headwater_log::Log;
use headwater_plan::{Catalog, Entry};

use super::sets::set_named_by;
use super::state::Inner;
use crate::error::Result;
use crate::job::{Eras, Journal, Rested};
use crate::{Figure, JobStatus};

/// How far each job at rest has come, by name; or why that cannot be read.
pub(crate) type RestedJobs = BTreeMap<String, std::result::Result<Rested, String>>;

impl Inner {
    /// Reads how far those jobs have come that do not run and of which nobody has asked so yet: nothing of them moves any more. Those are
    /// all jobs of an engine at rest, and of one that is not those that could not start. What an object store has is left aside
    /// there, as it may be why they could not.
    pub fn look_at_jobs(self: &Arc<Self>) {
        let wanted: Vec<String> = {
            let state = self.state.lock();
            let is_left_aside = self.options.checkpoints.is_some() || state.unstarted.is_empty();
            if !state.at_rest && is_left_aside {
                return;
            }
            let stands = |name: &str| state.at_rest || state.unstarted.contains_key(name);
            let jobs = state.catalog.entries().filter(|entry| entry.has_job()).map(Entry::name);
            jobs.filter(|name| stands(name) && !state.rested.contains_key(*name)).map(str::to_owned).collect()
        };
        if wanted.is_empty() {
            return;
        }
        let catalog = self.catalog();
        let mut sets = HashMap::new();
        for entry in wanted.iter().filter_map(|name| catalog.get(name)) {
            let found = self.rested(&catalog, entry, &mut sets);
            let found = found.map_err(|error| format!("{} {}", error.code(), causes(&error)));
            self.state.lock().rested.insert(entry.name().to_owned(), found);
        }
    }

    fn rested(
        self: &Arc<Self>,
        catalog: &Catalog,
        entry: &Entry,
        sets: &mut HashMap<String, Rested>,
    ) -> Result<Rested> {
        let name = entry.name();
        let dataflow = self.plan_to_run(catalog, entry)?;
        let stream = |name: &str| -> Result<StreamId> { Ok(self.log.stream_named(name)?.id) };
        let sources = dataflow.sources.iter().map(|source| stream(source.stream.as_str()));
        let sources = sources.collect::<Result<Vec<_>>>()?;
        let read = |job: &str, journal: &Journal, eras: &Eras| {
            Rested::read(&*self.log, &*self.checkpoints_of(job)?, journal, job, eras, sources.clone())
        };
        let course = if matches!(entry, Entry::Trigger(_)) { self.course_of(name)? } else { None };
        if let Some(course) = &course
            && !course.has_left
            && let Some(set) = set_named_by(&*self.log.stream_named(name)?)
        {
            let rested = match sets.get(set) {
                Some(rested) => rested,
                None => {
                    let journal = self.log.stream_named(&format!("system.journal.{set}"))?;
                    let rested = read(set, &Journal::of(journal), &Eras::default())?;
                    sets.entry(set.to_owned()).or_insert(rested)
                }
            };
            return Ok(rested.as_member(&course.from));
        }
        let journal = match course {
            Some(course) => course.journal,
            None => match self.log.stream_named(&format!("system.journal.{name}")) {
                Ok(journal) => Journal::of(journal),
                // It could never start.
                Err(_) => return Ok(Rested::new(sources)),
            },
        };
        read(name, &journal, &self.eras_of(name))
    }
}

/// Tells how far a job that does not run has come, as far as that was read.
pub(super) fn tell(rested: &RestedJobs, log: &dyn Log, status: &mut JobStatus) {
    match rested.get(&status.name) {
        Some(Ok(rested)) => rested.tell(log, status),
        found => {
            use Figure::{Lag, OfTheProcess, RowsIn, RowsLate, RowsOut, Steps};
            status.unknown = vec![RowsIn, RowsOut, RowsLate, Lag, Steps, OfTheProcess];
            status.error = found.and_then(|found| found.as_ref().err().cloned());
        }
    }
}
