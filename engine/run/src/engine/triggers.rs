//! Triggers: the jobs behind them, how they fare, and their tests.
//!
//! A trigger is a job whose results are its firings, in a stream of the trigger's name; most share one job ([`super::sets`]). One that
//! starts with the newest row begins its journal with a step that takes nothing, so that it is known for ever which row was its first.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, new_null_array};
use arrow::compute::cast;
use headwater_core::{EventTime, Sequence, ShardId, causes};
use headwater_log::{Append, From, ReadSpec, StreamInfo};
use headwater_plan::statement::{Kind, Name};
use headwater_plan::{Action, Catalog, Entry, Parsed, StartAt, TriggerDef, TriggerPlan};

use super::courses::Course;
use super::events::{self, Event};
use super::state::Inner;
use crate::Figure;
use crate::error::{Result, RunError};
use crate::job::{Copies, Eras, IdleTimeouts, Journal, NEW_CLOCK, ShardCut, Start, first_cut, fit, nanos};
use crate::options::TriggerDelivery;

/// After how long without rows time goes on by itself, for a trigger that can fire by time over a stream that says nothing of it.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// What TEST TRIGGER writes as the cause.
const TEST: &str = "test";

/// The stream of all attempts to tell of firings, which whoever delivers writes.
pub(super) const DELIVERIES: &str = "system.trigger_deliveries";

/// How a trigger fares.
pub(crate) struct TriggerStatus {
    pub name: String,
    pub state: &'static str,
    pub on: String,
    pub condition: String,
    pub action: String,
    pub rows_in: Option<u64>,
    pub keys: Option<u64>,
    pub firings: u64,
    /// Firings that are neither delivered nor given up.
    pub undelivered: Option<u64>,
    pub last_fired: Option<EventTime>,
    pub last_error: Option<String>,
}

impl Inner {
    /// The trigger of a name.
    pub fn known_trigger(&self, name: &Name, parsed: &Parsed) -> Result<Arc<TriggerDef>> {
        let catalog = self.catalog();
        let unknown = || catalog.not_a(name, Kind::Trigger).at(name.position, &parsed.script);
        Ok(Arc::clone(catalog.trigger(&name.value).ok_or_else(unknown)?))
    }

    /// The stream that firings are inserted into.
    pub fn copies_of(&self, trigger: &TriggerDef, plan: &TriggerPlan) -> Result<Option<Copies>> {
        match (&trigger.action, &plan.insert) {
            (Action::Insert { target, .. }, Some(exprs)) => {
                Ok(Some(Copies::new(self.log.stream_named(target)?, exprs.clone())?))
            }
            _ => Ok(None),
        }
    }

    /// Checks what a trigger wants delivered.
    pub fn check_delivery(self: &Arc<Self>, catalog: &Catalog, trigger: &Arc<TriggerDef>) -> Result<()> {
        if !trigger.delivers() {
            return self.refuse_options(trigger);
        }
        let delivery = self.delivery_of(catalog, trigger)?;
        self.connectors
            .validate_delivery(&delivery)
            .map_err(|reason| RunError::Delivery { trigger: trigger.name.clone(), reason })
    }

    /// Starts to deliver a trigger's firings, unless it is paused or has nobody to deliver to.
    pub fn start_delivery(self: &Arc<Self>, trigger: &Arc<TriggerDef>) -> Result<()> {
        if !trigger.delivers() || self.state.lock().paused.contains(&trigger.name) {
            return Ok(());
        }
        let delivery = self.delivery_of(&self.catalog(), trigger);
        let running =
            delivery.and_then(|delivery| self.connectors.start_delivery(delivery, Arc::clone(&self.ingest)));
        let (mut state, name) = (self.state.lock(), trigger.name.clone());
        match running {
            Ok(running) => {
                state.undelivered.remove(&name);
                state.connectors.insert(name, Arc::from(running));
                Ok(())
            }
            Err(error) => {
                state.undelivered.insert(name, format!("{} {}", error.code(), causes(&error)));
                Err(error)
            }
        }
    }

    fn delivery_of(
        self: &Arc<Self>,
        catalog: &Catalog,
        trigger: &Arc<TriggerDef>,
    ) -> Result<TriggerDelivery> {
        let plan = self.planner.trigger(catalog, &self.tables(), trigger)?;
        let schema = Arc::clone(&plan.dataflow.result.schema);
        Ok(TriggerDelivery { def: Arc::clone(trigger), keys: plan.keys, schema })
    }

    /// All options but `start` are those of a delivery.
    fn refuse_options(&self, trigger: &TriggerDef) -> Result<()> {
        match trigger.options.keys().next() {
            None => Ok(()),
            Some(option) => Err(RunError::Delivery {
                trigger: trigger.name.clone(),
                reason: format!(
                    "the option '{option}' is for EXECUTE WEBHOOK, PUBLISH and COMMAND; there is 'start' besides"
                ),
            }),
        }
    }

    /// All triggers, by name.
    pub fn triggers(self: &Arc<Self>) -> Vec<TriggerStatus> {
        self.look_at_jobs();
        let catalog = self.catalog();
        // What cannot be read leaves an error out, and no trigger.
        let failures = self.last_failures().unwrap_or_default();
        let all = catalog.entries().filter_map(|entry| match entry {
            Entry::Trigger(trigger) => Some(self.status_of(trigger, failures.get(&trigger.name))),
            _ => None,
        });
        all.collect()
    }

    /// Why the last attempt failed to tell of each trigger's firings, as far as the newest attempts of all say: also those of before the
    /// start.
    fn last_failures(&self) -> Result<HashMap<String, String>> {
        const LOOK_AT: u64 = 4_096;
        let Ok(info) = self.log.stream_named(DELIVERIES) else { return Ok(HashMap::new()) };
        let bounds = self.log.bounds(info.id)?[0];
        let from = From::Sequence(bounds.first.max(Sequence(bounds.next.0.saturating_sub(LOOK_AT))));
        let spec = ReadSpec { from, until: Some(bounds.next), ..ReadSpec::all(info.id, ShardId(0)) };
        let mut failures = HashMap::new();
        let mut reader = self.log.read(spec)?;
        while let Some(read) = reader.next()? {
            let text =
                |name: &str| read.rows.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
            let (Some(triggers), Some(ids), Some(errors)) = (text("trigger"), text("id"), text("error"))
            else {
                break;
            };
            for row in (0..read.rows.num_rows()).filter(|row| errors.is_valid(*row)) {
                let why = format!("{}: {}", ids.value(row), errors.value(row));
                failures.insert(triggers.value(row).to_owned(), why);
            }
        }
        Ok(failures)
    }

    fn status_of(&self, trigger: &TriggerDef, failure: Option<&String>) -> TriggerStatus {
        let (job, delivery, undelivered) = {
            let state = self.state.lock();
            let job = state.status(&trigger.name, &*self.log);
            let delivery = state.connectors.get(&trigger.name).map(Arc::clone);
            (job, delivery, state.undelivered.get(&trigger.name).cloned())
        };
        let delivery = delivery.map(|delivery| delivery.status());
        let delivery_error = delivery.as_ref().and_then(|delivery| delivery.last_error.clone());
        let delivery_error = delivery_error.or(undelivered);
        let firings = self.log.stream_named(&trigger.name).ok();
        // Not of one that had the name before.
        let own = firings.as_ref().map(|info| format!("{}/{}/", trigger.name, info.id));
        let failure =
            failure.filter(|why| own.is_some_and(|own| trigger.delivers() && why.starts_with(&own)));
        let delivery_error = delivery_error.or_else(|| failure.cloned());
        let last = firings.and_then(|info| self.last_firing(&info).ok());
        TriggerStatus {
            name: trigger.name.clone(),
            state: job.as_ref().map_or("stopped", |job| job.state.as_str()),
            on: trigger.on.clone(),
            condition: trigger.when.text.clone(),
            action: trigger.action.describe(),
            rows_in: job.as_ref().map_or(Some(0), |job| job.known(Figure::RowsIn, job.rows_in)),
            keys: job.as_ref().map_or(Some(0), |job| job.known(Figure::OfTheProcess, job.state_entries)),
            firings: job.as_ref().map_or(0, |job| job.rows_out),
            last_fired: last.flatten(),
            undelivered: delivery.and_then(|delivery| delivery.lag),
            last_error: job.and_then(|job| job.error).or(delivery_error),
        }
    }

    /// When a trigger last fired, tests aside, as far as its newest firings tell.
    fn last_firing(&self, info: &StreamInfo) -> Result<Option<EventTime>> {
        const LOOK_AT: u64 = 64;
        let next = self.log.bounds(info.id)?[0].next;
        let from = From::Sequence(Sequence(next.0.saturating_sub(LOOK_AT)));
        let mut reader =
            self.log.read(ReadSpec { from, until: Some(next), ..ReadSpec::all(info.id, ShardId(0)) })?;
        let mut last = None;
        while let Some(read) = reader.next()? {
            let times = nanos(read.rows.column(0))
                .map_err(|source| RunError::Operator { what: format!("job {}", info.spec.name), source })?;
            let causes = read.rows.column(1).as_string::<i32>();
            let fired = (0..read.rows.num_rows()).filter(|row| causes.value(*row) != TEST);
            last = fired.map(|row| EventTime(times.value(row))).max().max(last);
        }
        Ok(last)
    }

    /// Fires a trigger once, by hand: with the newest row of its stream, if there is one. The catalog tells of it, so that it is not
    /// counted as a firing.
    pub fn test_trigger(&self, trigger: &TriggerDef, parsed: &Parsed) -> Result<()> {
        let info = self.log.stream_named(&trigger.name)?;
        let sample = self.newest_row(&trigger.on)?;
        let schema = &info.spec.schema;
        let now = arrow::array::TimestampNanosecondArray::from_value(self.world.clock.now().0, 1);
        let now: ArrayRef = Arc::new(now.with_timezone("UTC"));
        let columns = schema.fields().iter().enumerate().map(|(nth, field)| -> Result<ArrayRef> {
            Ok(match nth {
                0 | 2 => cast(&now, field.data_type())?,
                1 => Arc::new(StringArray::from(vec![TEST])),
                _ => match sample.as_ref().and_then(|sample| sample.column_by_name(field.name())) {
                    Some(value) if value.data_type() == field.data_type() => Arc::clone(value),
                    _ => new_null_array(field.data_type(), 1),
                },
            })
        });
        let rows = fit(schema, columns.collect::<Result<_>>()?)?;
        let event = Event::Statement { name: trigger.name.clone(), text: parsed.text.clone() };
        let event = events::appended(&self.world, &*self.log, &event)?;
        self.log.append(vec![Append::new(info.id, ShardId(0), rows), event])?;
        *self.state.lock().tests.entry(trigger.name.clone()).or_default() += 1;
        Ok(())
    }

    /// The row of a stream that arrived last; none of a view.
    fn newest_row(&self, stream: &str) -> Result<Option<RecordBatch>> {
        let Ok(info) = self.log.stream_named(stream) else { return Ok(None) };
        let mut newest: Option<(EventTime, RecordBatch)> = None;
        for (shard, bounds) in (0..).map(ShardId).zip(self.log.bounds(info.id)?) {
            if bounds.first == bounds.next {
                continue;
            }
            let from = From::Sequence(Sequence(bounds.next.0 - 1));
            let spec = ReadSpec { from, until: Some(bounds.next), ..ReadSpec::all(info.id, shard) };
            let Some(read) = self.log.read(spec)?.next()? else { continue };
            let arrived = read.arrival.end;
            if newest.as_ref().is_none_or(|(time, _)| arrived > *time) {
                newest = Some((arrived, read.rows.slice(read.rows.num_rows() - 1, 1)));
            }
        }
        Ok(newest.map(|(_, row)| row))
    }
}

/// Which row is the first of what an entry does; of a job that begins late, each source says it.
pub(crate) fn start_at(entry: &Entry) -> StartAt {
    match entry {
        Entry::Trigger(trigger) => trigger.start,
        Entry::ScalingGroup(group) => group.start,
        Entry::Job(job) if job.query.begins_late() => StartAt::Latest,
        _ => StartAt::Earliest,
    }
}

/// The first row of a job that began with what came after it was created, by its journal; for the sources of the last of `eras`. If the
/// journal's first lines are gone, it is the first row behind its first step.
pub(crate) fn first_place(inner: &Inner, job: &str, eras: &Eras) -> Result<Start> {
    if let Some(Course { journal, start, .. }) = inner.course_of(job)? {
        return Ok(match (start, journal.beginning(&*inner.log, job, eras)?) {
            (Start::Member { first, .. }, Some(line)) => {
                let places = line.cut.shards.first().into_iter().flatten();
                Start::Member { shards: places.map(|cut| (cut.next, NEW_CLOCK)).collect(), first }
            }
            (start, _) => start,
        });
    }
    let journal = Journal::of(inner.log.stream_named(&format!("system.journal.{job}"))?);
    let shards = first_cut(&*inner.log, &journal, job, eras)?.unwrap_or_default();
    let place = |cut: &ShardCut| (cut.next, NEW_CLOCK);
    Ok(Start::Resume(shards.iter().map(|shards| shards.iter().map(place).collect()).collect()))
}

/// Time goes on for a trigger that can fire by time, also where the stream does not say after how long.
pub(super) fn trigger_idle_timeouts(of_stream: IdleTimeouts, plan: &TriggerPlan) -> IdleTimeouts {
    let otherwise = plan.timed.then_some(IDLE_TIMEOUT);
    Arc::new(move |info| of_stream(info).or(otherwise))
}
