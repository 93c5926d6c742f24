//! The tail of a query: a pipeline of its own over the log, from a place on.
//!
//! The place to resume at names where the tail started and how far it has come, each for every shard of every source, and what time had
//! come to: `0,0/5;17,4/9;1772323200000000000`; if the query is over rows since a time, that follows: `..@1772320000000000000`. On
//! resuming, the rows between the two places go through the operators again, step by step, and what comes out is thrown away, so
//! that windows that were open then hold what they held, and those that time had closed are closed.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use headwater_core::{EventTime, Sequence};
use headwater_log::{From, Log};
use headwater_operators::Rows;
use headwater_plan::Dataflow;

use super::handle::{Read, check_reached, sequences};
use super::wake::Commits;
use super::{Tail, TailBatch, TailFrom};
use crate::dead::{DeadRows, Uncomputed};
use crate::engine::{Inner, result_schema};
use crate::error::{Result, RunError};
use crate::job::{Cut, IdleTimeouts, Limits, Pipeline, Quiet, ShardCut, Start, at_once};

type Places = Vec<Vec<Sequence>>;

/// How soon to look again whether a table has been read to its end: no commit to a stream that is read says so.
const END_IN: Duration = Duration::from_millis(50);

struct QueryTail {
    pipeline: Pipeline,
    streams: Read,
    schema: arrow::datatypes::SchemaRef,
    limits: Limits,
    world: headwater_core::World,
    start: Places,
    /// Since when rows are taken.
    since: Option<EventTime>,
    /// What the last step said and has not been handed out.
    ready: VecDeque<(RecordBatch, Option<Uncomputed>)>,
    dead: DeadRows,
    /// How far to go before rows are handed out.
    skip: Option<Reached>,
    quiet: Quiet,
    idle_timeouts: IdleTimeouts,
    /// Knows which streams have ended.
    inner: Weak<Inner>,
}

/// How far a tail had come.
struct Reached {
    places: Places,
    /// A place of old says nothing of time.
    watermark: Option<EventTime>,
}

/// Where a tail starts.
struct Beginning {
    start: Start,
    since: Option<EventTime>,
    skip: Option<Reached>,
}

/// What a tail does next.
enum Next {
    Rows(TailBatch),
    Again,
    /// Waits for a commit, for so long at the most.
    Wait(Option<Duration>),
}

/// Opens a tail of a query.
pub(crate) fn of_query(inner: &Arc<Inner>, dataflow: Dataflow, from: TailFrom) -> Result<Tail> {
    let (tail, commits) = QueryTail::open(inner, dataflow, from)?;
    Ok(Tail { schema: Arc::clone(&tail.schema), inner: batches(tail, commits) })
}

fn batches(
    tail: QueryTail,
    commits: Commits,
) -> Pin<Box<dyn futures::Stream<Item = Result<TailBatch>> + Send>> {
    Box::pin(futures::stream::unfold(Some((tail, commits)), |state| async {
        let (mut tail, commits) = state?;
        loop {
            let step = tokio::task::spawn_blocking(move || {
                let step = tail.next();
                (tail, step)
            });
            let step = match step.await {
                Ok((back, step)) => {
                    tail = back;
                    step
                }
                Err(error) => return Some((Err(RunError::Invalid(error.to_string())), None)),
            };
            match step {
                Ok(Next::Rows(batch)) => return Some((Ok(batch), Some((tail, commits)))),
                Ok(Next::Again) => {}
                Ok(Next::Wait(_)) if tail.pipeline.is_finished() => return None,
                Ok(Next::Wait(None)) => commits.next().await,
                // A shard falls idle, or time goes on, if nothing comes until then.
                Ok(Next::Wait(Some(most))) => {
                    let _ = tokio::time::timeout(most, commits.next()).await;
                }
                Err(error) => return Some((Err(tail.streams.told(error)), None)),
            }
        }
    }))
}

impl QueryTail {
    fn open(inner: &Arc<Inner>, dataflow: Dataflow, from: TailFrom) -> Result<(Self, Commits)> {
        let schema = result_schema(&dataflow);
        let log = Arc::clone(&inner.log);
        let Beginning { start, since, skip } = beginning(&*log, &dataflow, from)?;
        let catalog = inner.catalog();
        let lookups = inner.lookups_of(&catalog, &dataflow)?;
        let idle_timeouts = inner.timeouts_of(&catalog, &dataflow);
        let workers = inner.options.workers;
        let dead = inner.dead_rows(&dataflow)?;
        let mut pipeline = Pipeline::open(&*log, Arc::new(dataflow), workers, &start, inner.lease())?;
        pipeline.take_since(since);
        pipeline.executor().thread_from(inner.options.threaded_rows_min);
        // Before anything is read, so that no commit is missed.
        let commits = Commits::of(&*log, &pipeline.streams());
        pipeline.look_up(lookups, inner.world.clone(), at_once());
        let mut tail = Self {
            start: positions(&pipeline),
            streams: Read::of(&log, &pipeline.streams()),
            pipeline,
            schema,
            limits: inner.limits(),
            world: inner.world.clone(),
            since,
            ready: VecDeque::new(),
            dead,
            skip,
            quiet: Quiet::begin(&inner.world),
            idle_timeouts,
            inner: Arc::downgrade(inner),
        };
        if tail.skip.is_none() {
            tail.go_live();
        }
        Ok((tail, commits))
    }

    fn next(&mut self) -> Result<Next> {
        if let Some((rows, uncomputed)) = self.ready.pop_front() {
            return Ok(Next::Rows(TailBatch { rows, place: None, uncomputed, resume: self.resume() }));
        }
        let now = self.world.clock.monotonic();
        if let Some(reached) = self.skip.take() {
            return self.skip_to(reached, now);
        }
        let waits_for_end = self.pipeline.waits_for_first(|_, _| None);
        if waits_for_end {
            self.learn_ends();
        }
        let step = match self.pipeline.step_live(self.limits, now)? {
            Some(step) => {
                self.quiet.rows_came(&self.world);
                Some(step)
            }
            None => self.quiet.step(&mut self.pipeline, &self.world, now)?,
        };
        let Some(step) = step else {
            let deadline = Quiet::deadline(&mut self.pipeline, now);
            let end = waits_for_end.then_some(END_IN);
            return Ok(Next::Wait(deadline.into_iter().chain(end).min()));
        };
        let mut uncomputed = self.dead.told(&step.output.failed)?;
        if step.output.rows.is_empty() && uncomputed.is_some() {
            self.ready.push_back((RecordBatch::new_empty(Arc::clone(&self.schema)), uncomputed.take()));
        }
        for rows in &step.output.rows {
            self.ready.push_back((self.batch(rows)?, uncomputed.take()));
        }
        Ok(Next::Again)
    }

    /// A step on the way to where the tail had come. Nothing is idle there, and nothing ends: what that did is in the time that it had
    /// come to.
    fn skip_to(&mut self, reached: Reached, now: Duration) -> Result<Next> {
        if positions(&self.pipeline) != reached.places {
            if self.pipeline.step_up_to(Some(&reached.places), self.limits, now)?.is_none() {
                return Err(RunError::Invalid(
                    "the place to resume at lies behind the end of the log".into(),
                ));
            }
            self.skip = Some(reached);
            return Ok(Next::Again);
        }
        if let Some(watermark) = reached.watermark {
            let cut = |next: &Sequence| ShardCut { next: *next, idle: false, ended: false };
            let shards = reached.places.iter().map(|shards| shards.iter().map(cut).collect()).collect();
            self.pipeline.step_at(&Cut { shards, advance: None }, watermark, now)?;
        }
        self.go_live();
        Ok(Next::Again)
    }

    /// From now on shards fall idle and end.
    fn go_live(&mut self) {
        self.pipeline.set_idle_timeouts(Arc::clone(&self.idle_timeouts));
        self.pipeline.count_quiet_from(self.world.clock.monotonic());
        self.quiet = Quiet::begin(&self.world);
        self.learn_ends();
    }

    /// Where streams have ended by now.
    fn learn_ends(&mut self) {
        let Some(inner) = self.inner.upgrade() else { return };
        for (name, ends) in inner.state.lock().all_ends() {
            self.pipeline.set_end(&name, &ends);
        }
    }

    /// Before the last batch of a step the place is that of the step's end, too: a reader that stops in between gets
    /// the rest of the step's rows only if it resumes at an earlier place. So only the last batch of a step has one.
    fn resume(&self) -> String {
        if !self.ready.is_empty() {
            return String::new();
        }
        let (start, reached) = (write(&self.start), write(&positions(&self.pipeline)));
        let since = self.since.map_or_else(String::new, |time| format!("@{}", time.0));
        format!("{start};{reached};{}{since}", self.pipeline.watermark().0)
    }

    fn batch(&self, rows: &Rows) -> Result<RecordBatch> {
        let mut columns: Vec<ArrayRef> = rows.batch.columns().to_vec();
        if columns.len() < self.schema.fields().len() {
            let weights = match &rows.weights {
                Some(weights) => weights.clone(),
                None => Int64Array::from_value(1, rows.len()),
            };
            debug_assert_eq!(weights.len(), rows.len());
            columns.push(Arc::new(weights));
        }
        crate::job::fit(&self.schema, columns)
    }
}

fn positions(pipeline: &Pipeline) -> Places {
    pipeline.places().iter().map(|shards| shards.iter().map(|(next, _)| *next).collect()).collect()
}

fn write(places: &Places) -> String {
    let shards = |shards: &Vec<Sequence>| {
        let numbers: Vec<String> = shards.iter().map(Sequence::to_string).collect();
        numbers.join(",")
    };
    places.iter().map(shards).collect::<Vec<_>>().join("/")
}

fn read(text: &str) -> Option<Places> {
    text.split('/').map(sequences).collect()
}

fn beginning(log: &dyn Log, dataflow: &Dataflow, from: TailFrom) -> Result<Beginning> {
    let at = |place, since| Beginning { start: Start::At(place), since, skip: None };
    let timed = dataflow.sources.iter().all(|source| {
        log.stream_named(source.stream.as_str()).is_ok_and(|info| info.spec.event_time.is_some())
    });
    Ok(match from {
        TailFrom::Now => at(From::Latest, None),
        TailFrom::Earliest => at(From::Earliest, None),
        TailFrom::Time(time) if timed => at(From::EventTime(time), Some(time)),
        TailFrom::Time(time) => at(From::Arrival(time), None),
        TailFrom::Sequences(_) => {
            return Err(RunError::Invalid(
                "a query starts now, at the earliest row or at a time, not at sequence numbers".into(),
            ));
        }
        TailFrom::Resume(text) => {
            let bad = || RunError::Invalid(format!("{text:?} is no place in this query"));
            let resumed = resumed(&text).ok_or_else(bad)?;
            let (start, reached) = (&resumed.0, &resumed.1.places);
            let fits = |places: &Places| {
                places.len() == dataflow.sources.len()
                    && dataflow.sources.iter().zip(places).all(|(source, shards)| {
                        let info = log.stream_named(source.stream.as_str());
                        info.is_ok_and(|info| info.spec.shards as usize == shards.len())
                    })
            };
            let forward = start.iter().flatten().zip(reached.iter().flatten()).all(|(from, to)| from <= to);
            if !fits(start) || !fits(reached) || !forward {
                return Err(bad());
            }
            for (source, place) in dataflow.sources.iter().zip(reached) {
                check_reached(log, &*log.stream_named(source.stream.as_str())?, place)?;
            }
            let clock = crate::job::NEW_CLOCK;
            let places =
                start.iter().map(|shards| shards.iter().map(|next| (*next, clock)).collect()).collect();
            Beginning { start: Start::Resume(places), skip: Some(resumed.1), since: resumed.2 }
        }
    })
}

/// What a place to resume at says: where the tail started, how far it had come, and since when it takes rows.
fn resumed(text: &str) -> Option<(Places, Reached, Option<EventTime>)> {
    let time = |text: &str| text.parse().ok().map(EventTime);
    let (text, since) = match text.split_once('@') {
        Some((text, since)) => (text, Some(time(since)?)),
        None => (text, None),
    };
    let mut parts = text.split(';');
    let (start, places) = (read(parts.next()?)?, read(parts.next()?)?);
    let watermark = parts.next().map(time).map_or(Some(None), |time| time.map(Some))?;
    parts.next().is_none().then_some((start, Reached { places, watermark }, since))
}

#[cfg(test)]
#[path = "query_tests.rs"]
mod tests;
