//! The switch from one definition to the next.

use std::sync::Arc;

use headwater_core::ShardId;
use headwater_log::Append;
use headwater_operators::Rows;
use headwater_plan::{Catalog, Entry, Fate, Parsed};

use super::rebuild::{Reached, Rebuild};
use super::replacement::{Beside, Replacement, names};
use super::told::told_at_switch;
use crate::engine::{Event, Inner, Replaced, event_append};
use crate::error::{Result, RunError};
use crate::job::{
    Blobs, Cut, Entry as Line, Era, Manifest, Place, Restored, ShardClock, ShardCut, Sink, StatePart, Writer,
    journal_line, place_of, producer_of, restore,
};

/// So many steps may be left when the job is asked to stop.
const CLOSE_BEHIND: u64 = 16;

/// A replacement that is being prepared.
struct Preparation {
    replacement: Replacement,
    rebuild: Option<Rebuild>,
}

/// A replacement whose checkpoint is written.
struct Switch {
    era: Era,
    /// The corrections, what was said to the switch itself, the line of the journal and the event.
    group: Vec<Append>,
}

impl Inner {
    /// Builds beside running jobs what a statement would replace them with, until hardly any step is missing. Blocks, but holds nobody up.
    pub fn build_beside(self: &Arc<Self>, parsed: &Parsed) -> Result<Vec<Beside>> {
        let catalog = self.catalog();
        let Ok((after, headwater_plan::Change::Replaced(entry))) = catalog.apply(parsed) else {
            return Ok(Vec::new());
        };
        let mut all = Vec::new();
        for entry in after.computed_in(&entry).iter().filter(|entry| entry.has_job()) {
            let replacement = Replacement::plan(self, &catalog, &after, entry)?;
            let mut rebuild = None;
            if !replacement.is_the_same() && replacement.rebuilds() {
                let rebuild = rebuild.insert(Rebuild::open(self, &replacement)?);
                while rebuild.catch_up(self)? > CLOSE_BEHIND {}
            }
            all.push(Beside { replacement, rebuild });
        }
        Ok(all)
    }

    /// Puts a definition in the place of another, in all jobs that compute it. Blocks; `defining` must be held. If it fails, the old ones
    /// go on. Answers what the user should know.
    pub fn replace_jobs(
        self: &Arc<Self>,
        after: &Catalog,
        entry: &Entry,
        parsed: &Parsed,
        mut besides: Vec<Beside>,
    ) -> Result<Vec<String>> {
        let entries: Vec<Entry> = after.computed_in(entry);
        let mut all = Vec::new();
        for entry in &entries {
            let beside = besides.iter().position(|beside| beside.replacement.name == entry.name());
            let beside = beside.map(|nth| besides.swap_remove(nth));
            all.push(self.prepare(after, entry, beside)?);
        }
        entries.iter().for_each(|entry| self.stop_job(entry.name()));
        match self.switch_all(&mut all, entry.name(), parsed) {
            Ok(eras) => {
                let switched: Vec<String> = eras.iter().map(|(name, _)| name.clone()).collect();
                {
                    let mut state = self.state.lock();
                    state.catalog = after.clone();
                    for (name, era) in eras {
                        let eras = state.eras.entry(name).or_default();
                        *eras = eras.with(era);
                    }
                }
                let started: Vec<Result<()>> = entries.iter().map(|entry| self.start_job(entry)).collect();
                started.into_iter().collect::<Result<()>>()?;
                let said = all.iter().filter(|of| switched.contains(&of.replacement.name));
                Ok(said.flat_map(|of| of.replacement.state_lines()).collect())
            }
            Err(error) => {
                for Preparation { replacement, .. } in &all {
                    if let Err(again) = self.start_job(&replacement.before) {
                        let (job, code) = (&replacement.name, again.code());
                        tracing::error!(job, %code, error = %again, "the job cannot go on");
                    }
                }
                Err(error)
            }
        }
    }

    /// Plans a replacement, and does what can be done while the old definition runs.
    fn prepare(
        self: &Arc<Self>,
        after: &Catalog,
        entry: &Entry,
        beside: Option<Beside>,
    ) -> Result<Preparation> {
        let planned = Replacement::plan(self, &self.catalog(), after, entry)?;
        // What was built beside is of use if nothing else has changed meanwhile.
        let still_fits = |beside: &Beside| {
            let formers = beside.replacement.former.as_ref().zip(planned.former.as_ref());
            formers.is_some_and(|(one, other)| Arc::ptr_eq(one, other))
                && beside.replacement.dataflow.is_the_same_as(&planned.dataflow)
                && beside.replacement.can_hand_over == planned.can_hand_over
        };
        let (replacement, mut rebuild) = match beside.filter(still_fits) {
            Some(Beside { replacement, rebuild }) => {
                (Replacement { entry: entry.clone(), ..replacement }, rebuild)
            }
            None => (planned, None),
        };
        if self.is_said(&replacement)? && rebuild.is_none() && replacement.rebuilds() {
            let rebuild = rebuild.insert(Rebuild::open(self, &replacement)?);
            rebuild.catch_up(self)?;
        }
        Ok(Preparation { replacement, rebuild })
    }

    /// Whether any row could tell of a replacement.
    fn is_said(&self, replacement: &Replacement) -> Result<bool> {
        // A trigger may have left its set before that took another step.
        let journal = &replacement.journal;
        let has_steps = journal.last_step(&*self.log)? > journal.begins();
        Ok(has_steps && !replacement.is_the_same())
    }

    /// Appends the switches of jobs that have stopped, all of them in one group: each with its era. One of which no row tells is noted, and
    /// starts anew where it was.
    fn switch_all(
        self: &Arc<Self>,
        all: &mut [Preparation],
        name: &str,
        parsed: &Parsed,
    ) -> Result<Vec<(String, Era)>> {
        let (mut group, mut eras) = (Vec::new(), Vec::new());
        for Preparation { replacement, rebuild } in all {
            if self.is_said(replacement)? {
                let switch = self.switch(replacement, rebuild.take(), parsed)?;
                group.extend(switch.group);
                eras.push((replacement.name.clone(), switch.era));
            }
        }
        if eras.is_empty() {
            let event = Event::Statement { name: name.to_owned(), text: parsed.text.clone() };
            group.push(event_append(&self.world, &*self.log, &event)?);
        }
        self.log.append(group)?;
        Ok(eras)
    }

    /// Prepares the switch of a job that has stopped.
    fn switch(
        self: &Arc<Self>,
        replacement: &mut Replacement,
        rebuild: Option<Rebuild>,
        parsed: &Parsed,
    ) -> Result<Switch> {
        let name = replacement.name.clone();
        let last = replacement.journal.last_step(&*self.log)?;
        let blobs = self.checkpoints_of(&name)?;
        let saved = self.handed_over(replacement, &*blobs, last)?;
        let mut rebuild = self.rebuilt_to_the_end(replacement, rebuild, saved.as_ref())?;
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
        // Before anything is written: it may turn out that they cannot be made.
        let (mut said, mut told) = (Vec::new(), Vec::new());
        if let Some(rebuild) = &mut rebuild {
            said = rebuild.corrections(&name)?;
            let now = self.world.clock.now();
            told = told_at_switch(replacement, saved.as_ref(), &*blobs, rebuild, now)?;
            if !told.is_empty() {
                said.extend(rebuild.tell(&told)?);
            }
        }
        let counted = saved.as_ref().map(|saved| saved.manifest.clone()).unwrap_or_default();
        let plan = replacement.dataflow.fingerprint();
        let mut manifest = Manifest::after(era.step, &name, plan, era.step);
        (manifest.watermark, manifest.places) = (reached.watermark.0, places);
        (manifest.rows_in, manifest.rows_out, manifest.rows_late) =
            (counted.rows_in, counted.rows_out, counted.rows_late);
        write_checkpoint(manifest, &blobs, saved.as_ref(), rebuild.as_mut(), replacement)?;
        let line = Line { step: era.step, cut: reached.cut, watermark: reached.watermark, answers: told };
        let replaced = Replaced { statement: parsed.text.clone(), era: era.clone() };
        let group = self.group_of_switch(replacement, &said, &line, replaced)?;
        Ok(Switch { era, group })
    }

    /// Computes what the old definition cannot hand over, up to the last step; `None`: it hands over all of it.
    fn rebuilt_to_the_end(
        self: &Arc<Self>,
        replacement: &mut Replacement,
        mut rebuild: Option<Rebuild>,
        saved: Option<&Restored>,
    ) -> Result<Option<Rebuild>> {
        if saved.is_none()
            && replacement.succession.stages.iter().flatten().any(|fate| *fate != Fate::Rebuilt)
        {
            // It was still doing its journal again, or could not write.
            replacement.without_heritage(self)?;
            rebuild = None;
        }
        if rebuild.is_none() && (replacement.rebuilds() || saved.is_none()) {
            rebuild = Some(Rebuild::open(self, replacement)?);
        }
        if let Some(rebuild) = &mut rebuild {
            rebuild.catch_up(self)?;
        }
        Ok(rebuild)
    }

    /// What the log is to hold of a switch: what it says, its line in the journal, and the event.
    fn group_of_switch(
        &self,
        replacement: &Replacement,
        said: &[Rows],
        line: &Line,
        replaced: Replaced,
    ) -> Result<Vec<Append>> {
        let journal = replacement.journal.own();
        let producer = producer_of(&*self.log, &replacement.name, journal, line.step)?;
        let sink = Sink::new(Arc::clone(&replacement.target))?;
        let (mut group, _) = sink.appends(said, producer)?;
        let line = Append::new(journal.id, ShardId(0), journal_line(line, &[])?);
        group.push(Append { producer: Some(producer), ..line });
        let event = Event::Replace { name: replacement.name.clone(), replaced };
        group.push(event_append(&self.world, &*self.log, &event)?);
        Ok(group)
    }

    /// The checkpoint of the last step of what a definition takes the place of; `None`: there is none, and everything follows from history.
    fn handed_over(
        &self,
        replacement: &Replacement,
        blobs: &dyn Blobs,
        last: u64,
    ) -> Result<Option<Restored>> {
        let name = &replacement.name;
        let bad = |reason: String| RunError::Checkpoint { job: name.clone(), reason };
        let saved = match &replacement.former {
            Some(former) => restore(blobs, &former.fingerprint(), self.eras_of(name).began()).map_err(bad)?.0,
            None => None,
        };
        let saved = saved.filter(|saved| saved.manifest.step == last && replacement.can_hand_over);
        if saved.is_none() && matches!(replacement.entry, Entry::ScalingGroup(_)) {
            return Err(replacement.refused(
                "what it has decided so far is not at hand, as it has failed or does its journal again: see system.jobs, and try again \
                 when it runs"
                    .to_owned(),
            ));
        }
        Ok(saved)
    }
}

/// Writes the checkpoint that the new definition begins with: what the old one hands over, and what was rebuilt or told.
fn write_checkpoint(
    manifest: Manifest,
    blobs: &Arc<dyn Blobs>,
    saved: Option<&Restored>,
    rebuild: Option<&mut Rebuild>,
    of: &Replacement,
) -> Result<()> {
    let bad = |reason: String| RunError::Checkpoint { job: of.name.clone(), reason };
    let mut writer = Writer::new(Arc::clone(blobs), manifest);
    if let Some(saved) = saved {
        saved.each(&**blobs, |stage, entries| {
            let heirs = of.succession.kept().filter(|(_, old)| *old == stage);
            let part = StatePart::Here(entries.clone());
            heirs.map(|(new, _)| new).try_for_each(|new| writer.add(new, &part)).map_err(bad)
        })?;
    }
    if let Some(rebuild) = rebuild {
        let told = of.succession.told().map(|(new, _)| new);
        let rebuilt: Vec<usize> = of.succession.rebuilt().chain(told).collect();
        for (stage, part) in rebuild.state(&of.name)?.iter().filter(|(stage, _)| rebuilt.contains(stage)) {
            writer.add(*stage, part).map_err(bad)?;
        }
    }
    writer.finish().map_err(bad)?;
    Ok(())
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
