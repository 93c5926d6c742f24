//! How far event time has come in what is written into a table, for the sink that delivers it.
//!
//! | written by | told |
//! |---|---|
//! | jobs | the least of their watermarks, of which all results up to there are in the log; at their ends the end of time |
//! | jobs of which one does not run or has no watermark | that time has not begun |
//! | jobs that were dropped before they came to their ends, with none in their place | the same: what they wrote last is not whole |
//! | statements and requests alone | `None`: each is whole when its rows are there |
//! | the same, with an INSERT INTO under way | that time has not begun |

use std::sync::Arc;

use headwater_core::EventTime;
use headwater_plan::Entry;

use super::define::{writes_into, written_by};
use super::state::{Inner, State};
use crate::JobState;
use crate::job::JobHandle;

impl State {
    /// How far event time has come in what is written into a table.
    pub fn watermark_into(&self, table: &str) -> Option<EventTime> {
        let writers = self.catalog.entries().filter(|entry| writes_into(entry, table));
        let told = writers.map(|entry| self.job(entry.name()).map(JobHandle::result_watermark));
        let least = told.map(|watermark| watermark.unwrap_or(EventTime::MIN)).min();
        let is_open = self.deserted.contains(table) || self.inserting.contains_key(table);
        least.or(is_open.then_some(EventTime::MIN))
    }

    /// Notes that something is dropped: a table is not complete because the job that wrote into it is gone before it came to its end.
    pub fn note_drop(&mut self, entry: &Entry) {
        self.deserted.remove(entry.name());
        let Some(target) = written_by(entry) else { return };
        if self.job(entry.name()).is_some_and(|job| job.status().state == JobState::Finished) {
            self.deserted.remove(target);
        } else {
            self.deserted.insert(target.to_owned());
        }
    }
}

/// An INSERT INTO that is under way.
pub(super) struct Inserting {
    engine: Arc<Inner>,
    into: String,
}

impl Inserting {
    pub(super) fn new(engine: &Arc<Inner>, into: &str) -> Self {
        *engine.state.lock().inserting.entry(into.to_owned()).or_default() += 1;
        Self { engine: Arc::clone(engine), into: into.to_owned() }
    }
}

impl Drop for Inserting {
    fn drop(&mut self) {
        let mut state = self.engine.state.lock();
        if let Some(count) = state.inserting.get_mut(&self.into) {
            *count -= 1;
            if *count == 0 {
                state.inserting.remove(&self.into);
            }
        }
    }
}
