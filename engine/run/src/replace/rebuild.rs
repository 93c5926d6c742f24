//! The new definition, run beside the job over the steps of its journal.

use std::sync::Arc;

use headwater_core::EventTime;
use headwater_log::From;
use headwater_operators::Rows;
use headwater_plan::Dataflow;

use super::difference::Difference;
use super::replacement::{Replacement, names};
use crate::engine::{Inner, first_place};
use crate::error::{Result, RunError};
use crate::job::{Answer, Cut, Era, Journal, JournalReader, Pipeline, ShardClock, Start, StatePart, at_once};

/// How far a definition has come.
#[derive(Clone)]
pub(crate) struct Reached {
    pub step: u64,
    pub watermark: EventTime,
    pub cut: Cut,
}

/// A definition that does the steps of a journal again.
struct Side {
    pipeline: Pipeline,
    steps: JournalReader,
    reached: Option<Reached>,
    has_begun: bool,
}

impl Side {
    fn open(
        inner: &Arc<Inner>,
        of: &Replacement,
        dataflow: &Arc<Dataflow>,
        from: From,
        wanted: &[bool],
    ) -> Result<Self> {
        let before = of.former_sources.clone();
        // As if the replacement were still to come after every step of the journal.
        let eras = inner.eras_of(&of.name).with(Era { step: u64::MAX, before, sources: names(dataflow) });
        let start = match of.starts_late() {
            true => first_place(inner, &of.name, &eras)?,
            false => Start::At(from),
        };
        let workers = inner.options.workers;
        let mut pipeline = Pipeline::open(&*inner.log, Arc::clone(dataflow), workers, &start, inner.lease())?;
        pipeline.executor().thread_from(inner.options.threaded_rows_min);
        let lookups = inner.lookups_of(&inner.catalog(), dataflow)?;
        pipeline.look_up(lookups, inner.world.clone(), at_once());
        pipeline.read_only(wanted);
        let steps = JournalReader::open(&*inner.log, &of.journal, &of.name, 0, Vec::new(), &eras)?;
        Ok(Self { pipeline, steps, reached: None, has_begun: false })
    }

    /// Does the next step, and answers what it says; `None`: there is none yet.
    fn step(&mut self, inner: &Inner) -> Result<Option<Vec<Rows>>> {
        let is_cut = self.steps.is_cut();
        let Some(entry) = self.steps.next()? else { return Ok(None) };
        self.reached = Some(Reached { step: entry.step, watermark: entry.watermark, cut: entry.cut.clone() });
        self.has_begun |= self.pipeline.would_take(&entry.cut);
        if !self.has_begun {
            // Nothing is there that time could change.
            self.pipeline.restore_watermark(entry.watermark);
            return Ok(Some(Vec::new()));
        }
        let now = inner.world.clock.monotonic();
        if is_cut {
            // How they were taken is gone; that no more is asked for was checked.
            let ends = entry.cut.ends();
            while self.pipeline.step_up_to(Some(&ends), inner.limits(), now)?.is_some() {}
        }
        Ok(Some(self.pipeline.step_at(&entry.cut, entry.watermark, now)?.output.rows))
    }
}

/// What is built beside a job.
pub(crate) struct Rebuild {
    new: Side,
    /// The old definition, if what it has said is to be corrected.
    old: Option<(Side, Difference)>,
    journal: Journal,
}

impl Rebuild {
    /// Opens history for a replacement.
    pub fn open(inner: &Arc<Inner>, of: &Replacement) -> Result<Self> {
        let from = of.start(of.watermark(inner));
        let new = Side::open(inner, of, &of.dataflow, from, &of.succession.rereads)?;
        let all = vec![true; of.former_sources.len()];
        let old = match &of.former {
            Some(former) if of.corrects => {
                Some((Side::open(inner, of, former, from, &all)?, Difference::new(&of.target)?))
            }
            _ => None,
        };
        Ok(Self { new, old, journal: of.journal.clone() })
    }

    /// Does all steps that the journal has by now; how many there were.
    pub fn catch_up(&mut self, inner: &Inner) -> Result<u64> {
        let mut steps = 0;
        self.new.steps.follow(&*inner.log, &self.journal)?;
        if let Some((old, _)) = &mut self.old {
            old.steps.follow(&*inner.log, &self.journal)?;
        }
        loop {
            inner.check_open()?;
            let new = self.new.step(inner)?;
            let mut is_at_end = new.is_none();
            if let Some((old, difference)) = &mut self.old {
                // Side by side, so that what both say alike is gone at once.
                let old = old.step(inner)?;
                is_at_end &= old.is_none();
                difference.add(&new.unwrap_or_default(), 1)?;
                difference.add(&old.unwrap_or_default(), -1)?;
            }
            if is_at_end {
                return Ok(steps);
            }
            steps += 1;
        }
    }

    /// How far it has come; `None`: there was no step.
    pub fn reached(&self) -> Option<&Reached> {
        self.new.reached.as_ref()
    }

    /// What its shards' clocks say.
    pub fn clocks(&self) -> Vec<Vec<ShardClock>> {
        let shards = self.new.pipeline.places().into_iter();
        shards.map(|shards| shards.into_iter().map(|(_, clock)| clock).collect()).collect()
    }

    /// The state, with the stages that it is of.
    pub fn state(&mut self, name: &str) -> Result<Vec<(usize, StatePart)>> {
        let state = self.new.pipeline.executor().snapshot(true);
        state.map_err(|source| RunError::Operator { what: format!("job {name}"), source })
    }

    /// Says something to stages of the new definition, in a step without rows, and answers what it says to that.
    pub fn tell(&mut self, told: &[Answer]) -> Result<Vec<Rows>> {
        // One that has read nothing has not come to the time of the journal yet.
        self.new.pipeline.step_told_again(&[])?;
        Ok(self.new.pipeline.step_told_again(told)?.output.rows)
    }

    /// What the new definition says more, and less, than the old one.
    pub fn corrections(&mut self, name: &str) -> Result<Vec<Rows>> {
        match self.old.take() {
            Some((_, difference)) => difference.into_rows(name),
            None => Ok(Vec::new()),
        }
    }
}
