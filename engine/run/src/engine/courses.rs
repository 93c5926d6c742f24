//! Where a trigger began in the set that it came to, and which of the set's steps are its history.

use std::sync::Arc;

use headwater_core::EventTime;
use headwater_plan::{Catalog, Dataflow, Entry};
use parking_lot::Mutex;

use super::events;
use super::jobs::journal_spec;
use super::sets::set_named_by;
use super::state::Inner;
use crate::error::Result;
use crate::job::{Journal, Roll, Start, member_id};

/// A trigger's way: from where it began in the set that it came to.
pub(crate) struct Course {
    /// The steps of the set while the trigger was there, then its own.
    pub journal: Journal,
    /// The first row that it judges, by shard.
    pub from: Vec<i64>,
    /// Where the set was when it came.
    pub start: Start,
    /// The set's watermark then.
    pub reached: EventTime,
    /// Whether it has left the set.
    pub has_left: bool,
}

impl Inner {
    /// What the journal of a set says of its triggers; `None`: it has no journal.
    pub fn roll_of(&self, set: &str) -> Result<Option<Arc<Mutex<Roll>>>> {
        let Ok(journal) = self.log.stream_named(&format!("system.journal.{set}")) else { return Ok(None) };
        if let Some(known) = self.rolls.lock().get(&journal.id) {
            return Ok(Some(Arc::clone(known)));
        }
        let id = journal.id;
        let roll = Arc::new(Mutex::new(Roll::open(&*self.log, set, journal)?));
        Ok(Some(Arc::clone(self.rolls.lock().entry(id).or_insert(roll))))
    }

    /// Looks at what the journal of a set says of its triggers; `None`: it has no journal.
    pub fn with_roll<T>(&self, set: &str, look: impl FnOnce(&Roll) -> T) -> Result<Option<T>> {
        let Some(roll) = self.roll_of(set)? else { return Ok(None) };
        let mut roll = roll.lock();
        roll.follow(&*self.log)?;
        Ok(Some(look(&roll)))
    }

    /// The way of a trigger that came to a set; `None`: the job has been one by itself from the first.
    pub fn course_of(&self, job: &str) -> Result<Option<Course>> {
        let Ok(target) = self.log.stream_named(job) else { return Ok(None) };
        let Some(set) = set_named_by(&target) else { return Ok(None) };
        let id = member_id(&target);
        let found = self.with_roll(set, |roll| {
            let membership = &roll.memberships()[roll.place(id)?];
            Some((membership.clone(), roll.reached_at(membership)?))
        })?;
        let Some((membership, (places, reached))) = found.flatten() else { return Ok(None) };
        let journal = self.log.stream_named(&format!("system.journal.{set}"))?;
        let journal = Journal::within(journal, membership.step);
        let journal = match membership.left {
            Some(left) => journal.left(left, events::ensure(&*self.log, journal_spec(job)?)?),
            None => journal,
        };
        let from = membership.shards.iter().map(|(next, _)| next.0 as i64).collect();
        let shards = places.into_iter().zip(membership.shards.iter().map(|(_, clock)| *clock)).collect();
        let first = membership.shards.iter().map(|(next, _)| *next).collect();
        let (start, has_left) = (Start::Member { shards, first }, membership.left.is_some());
        Ok(Some(Course { journal, from, start, reached, has_left }))
    }

    /// The journal of a job.
    pub fn journal_of(&self, job: &str) -> Result<Journal> {
        match self.course_of(job)? {
            Some(course) => Ok(course.journal),
            // One that could never start has none yet.
            None => Ok(Journal::of(events::ensure(&*self.log, journal_spec(job)?)?)),
        }
    }

    /// The plan of an entry's job as it runs: that of a trigger which came to a set judges nothing before its first row.
    pub fn plan_to_run(self: &Arc<Self>, catalog: &Catalog, entry: &Entry) -> Result<Dataflow> {
        let Entry::Trigger(trigger) = entry else { return self.plan_of(catalog, entry, None) };
        let plan = self.planner.trigger(catalog, &self.tables(), trigger)?;
        match self.course_of(&trigger.name)? {
            Some(course) => Ok(plan.as_member(course.from)?),
            None => Ok(plan.dataflow),
        }
    }
}
