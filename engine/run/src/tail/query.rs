//! The tail of a query: a pipeline of its own over the log, from a place on.
//!
//! The place to resume at names where the tail started and how far it has come, each for every shard of every source:
//! `0,0/5;17,4/9`. On resuming, the rows between the two go through the operators again and what comes out is thrown away,
//! so that windows that were open then hold what they held.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use headwater_core::Sequence;
use headwater_log::{From, Log};
use headwater_operators::Rows;
use headwater_plan::Dataflow;

use super::handle::sequences;
use super::wake::Commits;
use super::{Tail, TailBatch, TailFrom};
use crate::engine::{Inner, result_schema};
use crate::error::{Result, RunError};
use crate::job::{Cut, Limits, Pipeline, ShardCut, Start};

type Places = Vec<Vec<Sequence>>;

struct QueryTail {
    pipeline: Pipeline,
    schema: arrow::datatypes::SchemaRef,
    limits: Limits,
    world: headwater_core::World,
    start: Places,
    /// Rows of the last step that have not been handed out.
    ready: std::collections::VecDeque<RecordBatch>,
    /// How far to go before rows are handed out.
    skip: Option<Places>,
}

/// How often a table outside is asked.
const LOOKUP_ATTEMPTS: u32 = 3;

/// Opens a tail of a query.
pub(crate) fn of_query(inner: &Arc<Inner>, dataflow: Dataflow, from: TailFrom) -> Result<Tail> {
    let schema = result_schema(&dataflow);
    let log = Arc::clone(&inner.log);
    let (start, skip) = start_of(&*log, &dataflow, from)?;
    let lookups = inner.lookups_of(&inner.catalog(), &dataflow)?;
    let mut pipeline =
        Pipeline::open(&*log, Arc::new(dataflow), inner.options.workers, &start, inner.lease())?;
    // Before anything is read, so that no commit is missed.
    let commits = Commits::of(&*log, &pipeline.streams());
    pipeline.look_up(lookups, inner.world.clone(), Box::new(|_, attempt| attempt < LOOKUP_ATTEMPTS));
    for (name, ends) in &inner.state.lock().ends {
        pipeline.set_end(name, ends);
    }
    let places = positions(&pipeline);
    let tail = QueryTail {
        pipeline,
        schema: Arc::clone(&schema),
        limits: inner.limits(),
        world: inner.world.clone(),
        start: places,
        ready: std::collections::VecDeque::new(),
        skip,
    };
    let batches = futures::stream::unfold(Some((tail, commits)), |state| async {
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
                Ok(Some(batch)) => return Some((Ok(batch), Some((tail, commits)))),
                Ok(None) if tail.pipeline.is_finished() => return None,
                Ok(None) => commits.next().await,
                Err(error) => return Some((Err(error), None)),
            }
        }
    });
    Ok(Tail { schema, inner: Box::pin(batches) })
}

impl QueryTail {
    /// The next rows; `None`: there are none yet.
    fn next(&mut self) -> Result<Option<TailBatch>> {
        let now = self.world.clock.monotonic();
        if let Some(places) = self.skip.take() {
            let cut = |next: &Sequence| ShardCut { next: *next, idle: false, ended: false };
            let shards = places.iter().map(|shards| shards.iter().map(cut).collect()).collect();
            self.pipeline.step_obeying(&Cut { shards, advance: None }, now)?;
        }
        loop {
            if let Some(rows) = self.ready.pop_front() {
                return Ok(Some(TailBatch { rows, place: None, resume: self.resume() }));
            }
            let Some(step) = self.pipeline.step_live(self.limits, now)? else { return Ok(None) };
            for rows in &step.output.rows {
                self.ready.push_back(self.batch(rows)?);
            }
        }
    }

    /// Before the last batch of a step the place is that of the step's end, too: a reader that stops in between gets
    /// the rest of the step's rows only if it resumes at an earlier place. So only the last batch of a step has one.
    fn resume(&self) -> String {
        if self.ready.is_empty() {
            format!("{};{}", write(&self.start), write(&positions(&self.pipeline)))
        } else {
            String::new()
        }
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

/// Where to start, and how far to go before rows are handed out.
fn start_of(log: &dyn Log, dataflow: &Dataflow, from: TailFrom) -> Result<(Start, Option<Places>)> {
    let timed = dataflow.sources.iter().all(|source| {
        log.stream_named(source.stream.as_str()).is_ok_and(|info| info.spec.event_time.is_some())
    });
    Ok(match from {
        TailFrom::Now => (Start::At(From::Latest), None),
        TailFrom::Earliest => (Start::At(From::Earliest), None),
        TailFrom::Time(time) if timed => (Start::At(From::EventTime(time)), None),
        TailFrom::Time(time) => (Start::At(From::Arrival(time)), None),
        TailFrom::Sequences(_) => {
            return Err(RunError::Invalid(
                "a query starts now, at the earliest row or at a time, not at sequence numbers".into(),
            ));
        }
        TailFrom::Resume(text) => {
            let bad = || RunError::Invalid(format!("{text:?} is no place in this query"));
            let (start, reached) = text.split_once(';').ok_or_else(bad)?;
            let (start, reached) = (read(start).ok_or_else(bad)?, read(reached).ok_or_else(bad)?);
            let fits = |places: &Places| {
                places.len() == dataflow.sources.len()
                    && dataflow.sources.iter().zip(places).all(|(source, shards)| {
                        let info = log.stream_named(source.stream.as_str());
                        info.is_ok_and(|info| info.spec.shards as usize == shards.len())
                    })
            };
            let forward = start.iter().flatten().zip(reached.iter().flatten()).all(|(from, to)| from <= to);
            if !fits(&start) || !fits(&reached) || !forward {
                return Err(bad());
            }
            let clock = crate::job::NEW_CLOCK;
            let places =
                start.iter().map(|shards| shards.iter().map(|next| (*next, clock)).collect()).collect();
            (Start::Resume(places), Some(reached))
        }
    })
}
