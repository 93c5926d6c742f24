//! The switch from one definition to the next.

use std::sync::Arc;

use headwater_core::ShardId;
use headwater_log::Append;
use headwater_plan::{Catalog, Entry, Parsed};

use super::alarm::kept_states;
use super::rebuild::{Reached, Rebuild};
use super::replacement::{Beside, Replacement, names};
use crate::engine::{Event, Inner, Replaced, append_event, event_append};
use crate::error::{Result, RunError};
use crate::job::{
    Cut, Entry as Line, Era, Manifest, Place, Restored, ShardClock, ShardCut, Sink, StatePart, Writer,
    journal_line, place_of, producer_of, restore,
};

/// So many steps may be left when the job is asked to stop.
const CLOSE_BEHIND: u64 = 16;

impl Inner {
    /// Builds beside a running job what a statement would replace it with, until hardly any step is missing. `None`: the statement
    /// replaces no job. Blocks, but holds nobody up.
    pub fn build_beside(self: &Arc<Self>, parsed: &Parsed) -> Result<Option<Beside>> {
        let catalog = self.catalog();
        let Ok((after, headwater_plan::Change::Replaced(entry))) = catalog.apply(parsed) else {
            return Ok(None);
        };
        if !matches!(entry, Entry::Job(_) | Entry::MaterializedView(_) | Entry::Trigger(_) | Entry::Alarm(_))
        {
            return Ok(None);
        }
        let replacement = Replacement::plan(self, &catalog, &after, &entry)?;
        let mut rebuild = None;
        if !replacement.is_the_same() && replacement.rereads() {
            let rebuild = rebuild.insert(Rebuild::open(self, &replacement)?);
            while rebuild.catch_up(self)? > CLOSE_BEHIND {}
        }
        Ok(Some(Beside { replacement, rebuild }))
    }

    /// Puts a definition in the place of another. Blocks; `defining` must be held. If it fails, the old one goes on. Answers what the user
    /// should know.
    pub fn replace_job(
        self: &Arc<Self>,
        after: &Catalog,
        entry: &Entry,
        parsed: &Parsed,
        beside: Option<Beside>,
    ) -> Result<Vec<String>> {
        let catalog = self.catalog();
        let planned = Replacement::plan(self, &catalog, after, entry)?;
        // What was built beside is of use if nothing else has changed meanwhile.
        let still_fits = |beside: &Beside| {
            let formers = beside.replacement.former.as_ref().zip(planned.former.as_ref());
            formers.is_some_and(|(one, other)| Arc::ptr_eq(one, other))
                && beside.replacement.dataflow.is_the_same_as(&planned.dataflow)
                && beside.replacement.can_hand_over == planned.can_hand_over
        };
        let (mut replacement, mut rebuild) = match beside.filter(still_fits) {
            Some(Beside { replacement, rebuild }) => {
                (Replacement { entry: entry.clone(), ..replacement }, rebuild)
            }
            None => (planned, None),
        };
        let (name, before) = (replacement.name.clone(), replacement.before.clone());
        // A trigger may have left its set before that took another step.
        let journal = &replacement.journal;
        let has_steps = journal.last_step(&*self.log)? > journal.begins();
        if replacement.is_the_same() || !has_steps {
            return self.replace_unsaid(after, &replacement, parsed);
        }
        if rebuild.is_none() && replacement.rereads() {
            let rebuild = rebuild.insert(Rebuild::open(self, &replacement)?);
            rebuild.catch_up(self)?;
        }
        self.stop_job(&name);
        match self.switch(&mut replacement, rebuild, parsed) {
            Ok(era) => {
                {
                    let mut state = self.state.lock();
                    state.catalog = after.clone();
                    let eras = state.eras.entry(name).or_default();
                    *eras = eras.with(era);
                }
                self.start_job(entry)?;
                Ok(replacement.state_lines())
            }
            Err(error) => {
                if let Err(again) = self.start_job(&before) {
                    tracing::error!(job = name, code = %again.code(), error = %again, "the job cannot go on");
                }
                Err(error)
            }
        }
    }

    /// A replacement of which no row tells: the definition is noted, and the job starts anew where it was.
    fn replace_unsaid(
        self: &Arc<Self>,
        after: &Catalog,
        replacement: &Replacement,
        parsed: &Parsed,
    ) -> Result<Vec<String>> {
        let name = replacement.name.clone();
        self.stop_job(&name);
        let event = Event::Statement { name: name.clone(), text: parsed.text.clone() };
        let noted = append_event(&self.world, &*self.log, &event);
        let entry = if noted.is_ok() { &replacement.entry } else { &replacement.before };
        if noted.is_ok() {
            self.state.lock().catalog = after.clone();
        }
        self.start_job(entry)?;
        noted.map(|()| Vec::new())
    }

    /// Appends the switch of a job that has stopped.
    fn switch(
        self: &Arc<Self>,
        replacement: &mut Replacement,
        mut rebuild: Option<Rebuild>,
        parsed: &Parsed,
    ) -> Result<Era> {
        let name = replacement.name.clone();
        let bad = |reason: String| RunError::Checkpoint { job: name.clone(), reason };
        let last = replacement.journal.last_step(&*self.log)?;
        let blobs = self.checkpoints_of(&name)?;
        let old_era = self.eras_of(&name).began();
        let saved = match &replacement.former {
            Some(former) => restore(&*blobs, &former.fingerprint(), old_era).map_err(bad)?.0,
            None => None,
        };
        let saved = saved.filter(|saved| saved.manifest.step == last && replacement.can_hand_over);
        if saved.is_none() && replacement.succession.kept().next().is_some() {
            // It was still doing its journal again, or could not write.
            replacement.without_heritage(self)?;
            rebuild = None;
        }
        if rebuild.is_none() && (replacement.rereads() || saved.is_none()) {
            rebuild = Some(Rebuild::open(self, replacement)?);
        }
        if let Some(rebuild) = &mut rebuild {
            rebuild.catch_up(self)?;
        }
        let reached = match (&rebuild, &saved) {
            (Some(rebuild), _) => rebuild.reached().cloned(),
            (None, Some(saved)) => Some(reached_by(saved, replacement)),
            (None, None) => None,
        };
        let reached = reached.filter(|reached| reached.step == last).ok_or_else(|| RunError::Journal {
            job: name.clone(),
            step: last,
            reason: "the new definition did not come to the step where the old one stopped".to_owned(),
        })?;
        let era = Era {
            step: last + 1,
            before: replacement.former_sources.clone(),
            sources: names(&replacement.dataflow),
        };
        let places = places(&reached, saved.as_ref(), rebuild.as_ref(), replacement);
        let counted = saved.as_ref().map(|saved| saved.manifest.clone()).unwrap_or_default();
        // Before anything is written: it may turn out that they cannot be made.
        let corrections = match &mut rebuild {
            Some(rebuild) => rebuild.corrections(&name)?,
            None => Vec::new(),
        };
        let now = self.world.clock.now();
        let told = kept_states(replacement, saved.as_ref(), &*blobs, rebuild.as_mut(), now)?;
        let plan = replacement.dataflow.fingerprint();
        let mut manifest = Manifest::after(era.step, &name, plan, era.step);
        (manifest.watermark, manifest.places) = (reached.watermark.0, places);
        (manifest.rows_in, manifest.rows_out, manifest.rows_late) =
            (counted.rows_in, counted.rows_out, counted.rows_late);
        let mut writer = Writer::new(Arc::clone(&blobs), manifest);
        if let Some(saved) = &saved {
            saved.each(&*blobs, |stage, entries| {
                let heirs = replacement.succession.kept().filter(|(_, old)| *old == stage);
                let part = StatePart::Here(entries.clone());
                heirs.map(|(new, _)| new).try_for_each(|new| writer.add(new, &part)).map_err(bad)
            })?;
        }
        if let Some(rebuild) = &mut rebuild {
            let rebuilt: Vec<usize> = replacement.succession.rebuilt().collect();
            for (stage, part) in rebuild.state(&name)?.iter().filter(|(stage, _)| rebuilt.contains(stage)) {
                writer.add(*stage, part).map_err(bad)?;
            }
        }
        writer.finish().map_err(bad)?;
        let producer = producer_of(&*self.log, &name, replacement.journal.own(), era.step)?;
        let sink = Sink::new(Arc::clone(&replacement.target))?;
        let (mut group, _) = sink.appends(&corrections, producer)?;
        let line = Line { step: era.step, cut: reached.cut, watermark: reached.watermark, answers: told };
        let line = Append::new(replacement.journal.own().id, ShardId(0), journal_line(&line, &[])?);
        let replaced = Replaced { statement: parsed.text.clone(), era: era.clone() };
        let event = Event::Replace { name: name.clone(), replaced };
        group.push(Append { producer: Some(producer), ..line });
        group.push(event_append(&self.world, &*self.log, &event)?);
        self.log.append(group)?;
        Ok(era)
    }
}

/// Where the old job's last checkpoint is, as the new definition counts sources.
fn reached_by(saved: &Restored, of: &Replacement) -> Reached {
    let cut_of = |place: &Place| {
        let (next, clock) = place.get();
        ShardCut { next, idle: clock.idle, ended: clock.ended }
    };
    let cuts = sources_of(of).map(|place| {
        let shards = place.and_then(|place| saved.manifest.places.get(place));
        shards.map(|shards| shards.iter().map(cut_of).collect()).unwrap_or_default()
    });
    Reached {
        step: saved.manifest.step,
        watermark: headwater_core::EventTime(saved.manifest.watermark),
        cut: Cut { shards: cuts.collect(), advance: None },
    }
}

/// Where the shards are, and what their clocks say: the old job's if it has told them, as they have seen all rows.
fn places(
    reached: &Reached,
    saved: Option<&Restored>,
    rebuild: Option<&Rebuild>,
    of: &Replacement,
) -> Vec<Vec<Place>> {
    let rebuilt = rebuild.map(Rebuild::clocks).unwrap_or_default();
    let of_old = sources_of(of).collect::<Vec<_>>();
    let place = |source: usize, shard: usize, cut: &ShardCut| {
        let told = saved.and_then(|saved| saved.manifest.places.get(of_old[source]?)?.get(shard).copied());
        let own = || rebuilt.get(source)?.get(shard).copied();
        let clock = told.map(|place| place.get().1).or_else(own).unwrap_or(crate::job::NEW_CLOCK);
        Place::new(cut.next, ShardClock { idle: cut.idle, ended: cut.ended, ..clock })
    };
    let source = |(source, cuts): (usize, &Vec<ShardCut>)| {
        cuts.iter().enumerate().map(|(shard, cut)| place(source, shard, cut)).collect()
    };
    reached.cut.shards.iter().enumerate().map(source).collect()
}

/// For each source of the new definition that of the old one which reads the same stream.
fn sources_of(of: &Replacement) -> impl Iterator<Item = Option<usize>> + '_ {
    let sources = names(&of.dataflow);
    (0..sources.len()).map(move |source| {
        let nth = sources[..source].iter().filter(|other| **other == sources[source]).count();
        place_of(&of.former_sources, &sources[source], nth)
    })
}
