//! What a replacement would come to, and whether it can be done.

use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema};
use headwater_core::{EventTime, Sequence, ShardId};
use headwater_log::{From, ReadSpec, ShardBounds, StreamInfo};
use headwater_operators::Reach;
use headwater_plan::{ALARM_HISTORY, Catalog, Dataflow, Entry, SCALING_ACTIVITIES, StartAt, Succession};

use super::rebuild::Rebuild;
use crate::JobState;
use crate::engine::{Inner, inputs_of_entry, result_schema, start_at};
use crate::error::{Result, RunError};
use crate::job::{Journal, WEIGHT, first_cut, place_of};
use crate::replay::place_at;

/// One definition after another.
pub(crate) struct Replacement {
    /// The job, view, trigger, alarm or scaling group.
    pub name: String,
    /// What takes the place.
    pub entry: Entry,
    /// What it takes the place of.
    pub before: Entry,
    /// What runs now, or would; `None`: it cannot be planned any more.
    pub former: Option<Arc<Dataflow>>,
    /// The streams that its sources are.
    pub former_sources: Vec<String>,
    /// Whether it can leave a checkpoint of its last step behind.
    pub can_hand_over: bool,
    /// What is to run.
    pub dataflow: Arc<Dataflow>,
    /// What is kept and what is rebuilt.
    pub succession: Succession,
    /// Whether the result can be corrected, and so has to be.
    pub corrects: bool,
    /// Where the results go.
    pub target: Arc<StreamInfo>,
    /// The job's journal.
    pub journal: Journal,
}

/// A replacement that was prepared beside the job, without holding anybody up.
pub(crate) struct Beside {
    pub replacement: Replacement,
    pub rebuild: Option<Rebuild>,
}

impl Replacement {
    /// Plans the replacement of what `catalog` has by `entry`, which `after` has.
    pub fn plan(inner: &Arc<Inner>, catalog: &Catalog, after: &Catalog, entry: &Entry) -> Result<Self> {
        let name = entry.name().to_owned();
        let before = catalog.get(&name).cloned().ok_or_else(|| RunError::NoJob { name: name.clone() })?;
        let refused = |reason: String| RunError::Replace { name: name.clone(), reason };
        check_kinds(&before, entry).map_err(refused)?;
        let (former, can_hand_over) = in_force(inner, catalog, &before);
        let dataflow = Arc::new(inner.plan_to_run(after, entry)?);
        let target = target_of(inner, entry)?;
        let journal = inner.journal_of(&name)?;
        let is_changelog = target.spec.schema.fields().last().is_some_and(|field| field.name() == WEIGHT);
        let corrects = is_changelog || matches!(entry, Entry::MaterializedView(_));
        let (former, former_sources) = match former {
            Ok(former) => {
                let sources = names(&former);
                (Some(former), sources)
            }
            Err(error) if corrects && journal.last_step(&*inner.log)? > 0 => {
                let reason = format!(
                    "the definition in force cannot be planned ({error}), so that what it has said cannot be corrected"
                );
                return Err(refused(reason));
            }
            Err(error) => (None, sources_by_journal(inner, catalog, &before, &journal, &error)?),
        };
        let can_hand_over = can_hand_over && former.is_some();
        let succession = match corrects {
            true => Succession::anew(&dataflow),
            false => Succession::of(former.as_deref().filter(|_| can_hand_over), &dataflow),
        };
        let entry = entry.clone();
        let planned = Self {
            name,
            entry,
            before,
            former,
            former_sources,
            can_hand_over,
            dataflow,
            succession,
            corrects,
            target,
            journal,
        };
        planned.check_result()?;
        planned.check_sources()?;
        planned.check_starts()?;
        if !planned.is_the_same() {
            planned.check_history(inner)?;
        }
        Ok(planned)
    }

    /// Whether nothing changes that a row could tell.
    pub fn is_the_same(&self) -> bool {
        self.former.as_ref().is_some_and(|former| former.is_the_same_as(&self.dataflow))
    }

    /// The same without anything that the old job hands over.
    pub fn without_heritage(&mut self, inner: &Inner) -> Result<()> {
        self.can_hand_over = false;
        self.succession = Succession::of(None, &self.dataflow);
        self.check_history(inner)
    }

    /// Whether the new definition has to do the steps of the journal: because anything of history has to be read, or to be told something
    /// at their end.
    pub fn rebuilds(&self) -> bool {
        self.rereads() || self.succession.told().next().is_some()
    }

    /// Whether anything of history has to be read.
    pub fn rereads(&self) -> bool {
        self.succession.rereads.contains(&true)
    }

    /// The watermark as far as the job has come.
    pub fn watermark(&self, inner: &Inner) -> EventTime {
        let status = inner.state.lock().status(&self.name, &*inner.log);
        status.map_or(EventTime::MIN, |job| job.watermark)
    }

    /// Where reading of history starts.
    pub fn start(&self, watermark: EventTime) -> From {
        match self.succession.reach {
            _ if self.corrects => From::Earliest,
            Reach::History => From::Earliest,
            Reach::Row => place_at(&self.dataflow, watermark),
            // Twice as far as the state reaches, as a stage may hold time back behind another.
            Reach::Within(nanos) => {
                let from = EventTime(watermark.0.saturating_sub(nanos.saturating_mul(2)));
                place_at(&self.dataflow, from)
            }
        }
    }

    /// Whether it began with the row that came after it was created, so that its history begins there.
    pub fn starts_late(&self) -> bool {
        start_at(&self.before) == StartAt::Latest
    }

    pub(super) fn refused(&self, reason: String) -> RunError {
        RunError::Replace { name: self.name.clone(), reason }
    }

    /// A view's or trigger's stream has the columns that it was made with.
    fn check_result(&self) -> Result<()> {
        if matches!(self.entry, Entry::Job(_)) {
            return Ok(());
        }
        let (is, wanted) = (&self.target.spec.schema, result_schema(&self.dataflow));
        let fits = |(is, wanted): (&FieldRef, &FieldRef)| {
            let is_alike = is.name() == wanted.name() && is.data_type() == wanted.data_type();
            is_alike && (is.is_nullable() || !wanted.is_nullable())
        };
        let count = is.fields().len() == wanted.fields().len();
        if count && is.fields().iter().zip(wanted.fields()).all(fits) {
            return Ok(());
        }
        let columns = |schema: &Schema| schema.fields().iter().map(describe).collect::<Vec<_>>().join(", ");
        let (is, wanted) = (columns(is), columns(&wanted));
        Err(self.refused(format!(
            "its rows have the columns ({is}), those of the new definition would be ({wanted})"
        )))
    }

    /// What is read now was read before: no journal says how far another stream had been read at which step.
    fn check_sources(&self) -> Result<()> {
        let former = &self.former_sources;
        match names(&self.dataflow).into_iter().find(|stream| place_of(former, stream, 0).is_none()) {
            Some(stream) => {
                Err(self
                    .refused(format!("the new definition reads {stream}, which the one that runs does not")))
            }
            None => Ok(()),
        }
    }

    /// Where the job began stays where it is.
    fn check_starts(&self) -> Result<()> {
        let Some(former) = &self.former else { return Ok(()) };
        for (nth, source) in self.dataflow.sources.iter().enumerate() {
            let before = &self.dataflow.sources[..nth];
            let times = before.iter().filter(|other| other.stream == source.stream).count();
            let was = place_of(&self.former_sources, source.stream.as_str(), times);
            if source.comes_first && was.is_some_and(|was| !former.sources[was].comes_first) {
                return Err(self.refused(format!(
                    "it took rows before {} had been read, which the new definition wants read first; it is dropped and created",
                    source.stream
                )));
            }
            if let Some(was) = was.map(|was| former.sources[was].startup).filter(|was| *was != source.startup)
            {
                let (stream, is) = (&source.stream, source.startup);
                return Err(self.refused(format!(
                    "it began with {stream} at {was}, and the new definition says {is}: a job goes on from where it is; to begin anew \
                     it is dropped and created"
                )));
            }
        }
        Ok(())
    }

    /// What is to be reread must be there still.
    fn check_history(&self, inner: &Inner) -> Result<()> {
        let from = self.start(self.watermark(inner));
        if self.rereads() {
            self.check_journal(inner)?;
        }
        if self.starts_late() {
            return Ok(());
        }
        let again = self.dataflow.sources.iter().zip(&self.succession.rereads).filter(|(_, again)| **again);
        for (source, _) in again {
            let info = inner.log.stream_named(source.stream.as_str())?;
            for (shard, bounds) in (0..).zip(inner.log.bounds(info.id)?) {
                let spec = ReadSpec { from, ..ReadSpec::all(info.id, ShardId(shard)) };
                // What begins with the first row that is left may begin before it.
                if bounds.first > Sequence::ZERO && inner.log.read(spec)?.position() <= bounds.first {
                    let (stream, gone) = (&source.stream, bounds.first);
                    return Err(self.refused(format!(
                        "its state follows from rows of {stream} that are gone: the first {gone} of shard {shard}"
                    )));
                }
            }
        }
        Ok(())
    }
}

/// Whether one may take the place of the other; if not, why.
fn check_kinds(before: &Entry, entry: &Entry) -> std::result::Result<(), String> {
    match (before, entry) {
        (Entry::Job(old), Entry::Job(new)) if old.target != new.target => {
            Err(format!("it writes into {}, and what is there is not for {}", old.target, new.target))
        }
        (Entry::Job(_), Entry::Job(_))
        | (Entry::MaterializedView(_), Entry::MaterializedView(_))
        | (Entry::Trigger(_), Entry::Trigger(_))
        | (Entry::Alarm(_), Entry::Alarm(_))
        | (Entry::ScalingGroup(_), Entry::ScalingGroup(_)) => Ok(()),
        _ => Err(format!("{} has no state that could be kept", before.kind().with_article())),
    }
}

/// What runs now, or would, and whether it can leave a checkpoint of its last step behind.
fn in_force(inner: &Arc<Inner>, catalog: &Catalog, before: &Entry) -> (Result<Arc<Dataflow>>, bool) {
    let name = before.name();
    let running =
        inner.state.lock().jobs.get(name).map(|job| (Arc::clone(job.dataflow()), job.status().state));
    match running {
        Some((dataflow, state)) => (Ok(dataflow), state != JobState::Failed),
        None => {
            // A trigger of a set leaves that first, with its state; of one that could not start the state is what it was.
            let state = inner.state.lock();
            let can = state.status(name, &*inner.log).is_some_and(|job| job.state != JobState::Failed);
            let can = can || state.unstarted.contains_key(name);
            drop(state);
            (inner.plan_to_run(catalog, before).map(Arc::new), can)
        }
    }
}

/// The stream that the results go into.
fn target_of(inner: &Inner, entry: &Entry) -> Result<Arc<StreamInfo>> {
    Ok(match entry {
        Entry::Job(job) => inner.log.stream_named(&job.target)?,
        Entry::Alarm(_) => inner.log.stream_named(ALARM_HISTORY)?,
        Entry::ScalingGroup(_) => inner.log.stream_named(SCALING_ACTIVITIES)?,
        _ => inner.log.stream_named(entry.name())?,
    })
}

impl Replacement {
    /// What is built from the first step on needs all of the journal. What began late begins with the journal, so that its state must not
    /// reach back behind that.
    fn check_journal(&self, inner: &Inner) -> Result<()> {
        let eras = inner.eras_of(&self.name);
        let Some(first) = self.journal.beginning(&*inner.log, &self.name, &eras)? else { return Ok(()) };
        let is_enough = match self.succession.reach {
            _ if self.corrects => false,
            Reach::History => false,
            Reach::Row => true,
            Reach::Within(nanos) => {
                let from = self.watermark(inner).0.saturating_sub(nanos.saturating_mul(2));
                !self.starts_late() || first.watermark.0 <= from
            }
        };
        if is_enough {
            return Ok(());
        }
        Err(self.refused(format!(
            "its state follows from steps that are gone from its journal, which begins with step {}",
            first.step
        )))
    }
}

/// The streams that the sources of a definition are which cannot be planned: those of its era, or the only one that it reads.
fn sources_by_journal(
    inner: &Inner,
    catalog: &Catalog,
    entry: &Entry,
    journal: &Journal,
    error: &RunError,
) -> Result<Vec<String>> {
    let (name, eras) = (entry.name(), inner.eras_of(entry.name()));
    if let Some(sources) = eras.sources() {
        return Ok(sources.to_vec());
    }
    let read = inputs_of_entry(catalog, entry);
    let counted = first_cut(&*inner.log, journal, name, &eras)?.map_or(read.len(), |shards| shards.len());
    if read.len() == 1 && counted == 1 {
        return Ok(read);
    }
    let reason = format!(
        "the definition in force cannot be planned ({error}), and it reads several streams, so that its journal does not tell how far \
         each has been read"
    );
    Err(RunError::Replace { name: name.to_owned(), reason })
}

fn describe(field: &FieldRef) -> String {
    let never_null = if field.is_nullable() { "" } else { " NOT NULL" };
    format!("{} {}{never_null}", field.name(), field.data_type())
}

/// The streams that a plan's sources are.
pub(super) fn names(dataflow: &Dataflow) -> Vec<String> {
    dataflow.sources.iter().map(|source| source.stream.to_string()).collect()
}

/// How many rows a shard holds from a place on.
pub(super) fn rows_from(bounds: ShardBounds, position: Sequence) -> u64 {
    bounds.next.0.saturating_sub(position.0.max(bounds.first.0))
}
