//! Whether all is there that a replay by the journal takes: the journal's lines, and the rows of their steps.
//!
//! ```text
//!   rows       gone ────────────┤ in the archive, in the log
//!   journal        gone ──┤ 41* 42 43 │ 44 45 …
//!                                     └ all that steps from 44 on take is there
//! ```
//!
//! What lies before step 44 is taken in steps of its own, as far as it is there. So only results of which no row is gone can be asked for:
//! from as far behind the greatest time of a row that is gone as the state of the job reaches.

use arrow::array::Array;
use headwater_core::{EventTime, ShardId};
use headwater_log::From;
use headwater_operators::Reach;
use headwater_plan::Dataflow;

use crate::ReplaySpec;
use crate::engine::Inner;
use crate::error::{Result, RunError};
use crate::job::{
    Entry as Line, Journal, JournalReader, Morsels, Places, ShardInput, Start, Until, begun_at, first_rows,
    lost, nanos,
};

/// So many of the first rows that are there are looked at, as one of them may be late.
const LOOK_AT: usize = 64;

/// What a replay needs to be told of a job.
pub(super) struct Needs<'a> {
    /// Its name.
    pub job: &'a str,
    /// What it computes.
    pub dataflow: &'a Dataflow,
    /// Its journal.
    pub journal: &'a Journal,
    /// The place of its first row.
    pub start: &'a Start,
    /// What is asked for.
    pub spec: &'a ReplaySpec,
    /// How far its state reaches back.
    pub reach: Reach,
}

impl Needs<'_> {
    /// The step before which all is taken in steps of its own, as it is not there, or how it was taken is not; the journal goes on behind
    /// it. Fails if the stretch that is asked for lies before.
    pub fn first_of(&self, inner: &Inner, entries: &mut JournalReader) -> Result<Option<Line>> {
        let is_cut = entries.is_cut();
        let mut first = if is_cut { entries.next()? } else { None };
        let log = &*inner.log;
        let kept = first_rows(log, self.dataflow)?;
        let begun = match self.start {
            Start::At(_) if is_cut => Places::new(),
            start => {
                let eras = inner.eras_of(self.job);
                begun_at(log, self.job, self.journal, &eras, start, kept.len())?
            }
        };
        let gone = lost(&begun, &kept);
        let mut last = first.as_ref().map_or(0, |line| line.step);
        if !gone.is_empty() {
            while first.as_ref().is_none_or(|line| !lost(&line.cut.ends(), &kept).is_empty()) {
                let Some(line) = entries.next()? else {
                    // The job itself has not come to rows that are there.
                    return Err(self.gone(self.rows_are_gone(last + 1), None));
                };
                last = line.step;
                first = Some(line);
            }
        }
        if let Some(line) = &first {
            let (what, since) = match gone.is_empty() {
                true => (self.lines_are_gone(line.step), Some(line.watermark)),
                false => {
                    let until = self.lost_until(inner, &gone)?;
                    (self.rows_are_gone(line.step), until.map(|until| until.max(line.watermark)))
                }
            };
            self.check(what, since)?;
        }
        Ok(first)
    }

    /// The greatest time that a row which is gone can have; `None`: nothing tells it.
    ///
    /// Behind a row of a later watermark the first one that is there would be late. So no row before it is further ahead than its own time
    /// and what the watermark waits for.
    fn lost_until(&self, inner: &Inner, lost: &[(usize, ShardId)]) -> Result<Option<EventTime>> {
        let failed = |source| RunError::Operator { what: format!("job {}", self.job), source };
        let mut latest = EventTime::MIN;
        for (nth, shard) in lost {
            let source = &self.dataflow.sources[*nth];
            let Some(watermark) = &source.watermark else { return Ok(None) };
            let info = inner.log.stream_named(source.stream.as_str())?;
            let end = inner.log.bounds(info.id)?[shard.0 as usize].next;
            let mut input = ShardInput::open(&*inner.log, &info, source, *shard, From::Earliest)?;
            let until = Until::Budget { rows: LOOK_AT, bytes: usize::MAX, end };
            let mut left = LOOK_AT;
            for rows in input.take(source, until, EventTime::MIN, Morsels::Counted)? {
                let rows = rows.batch.slice(0, rows.batch.num_rows().min(left));
                left -= rows.num_rows();
                let times = nanos(rows.column(watermark.column)).map_err(failed)?;
                let after = watermark.candidate.evaluate(&rows)?.into_array(rows.num_rows())?;
                let after = nanos(&after).map_err(failed)?;
                for row in (0..rows.num_rows()).filter(|row| times.is_valid(*row)) {
                    let time = times.value(row);
                    let waits = if after.is_valid(row) { time.saturating_sub(after.value(row)) } else { 0 };
                    latest = latest.max(EventTime(time.saturating_add(waits.max(0))));
                }
            }
        }
        Ok(Some(latest))
    }

    /// Refuses a stretch that needs rows of a time before `since`.
    fn check(&self, what: String, since: Option<EventTime>) -> Result<()> {
        let reach = match self.reach {
            Reach::Row => Some(0),
            Reach::Within(nanos) => Some(nanos),
            Reach::History => None,
        };
        let from = since.zip(reach).map(|(since, reach)| EventTime(since.0.saturating_add(reach)));
        match (self.spec.from, from) {
            (Some(asked), Some(from)) if asked >= from => Ok(()),
            (_, from) => Err(self.gone(what, from)),
        }
    }

    fn lines_are_gone(&self, step: u64) -> String {
        format!(
            "the journal of job {} begins with step {step}, and how earlier ones were taken is gone",
            self.job
        )
    }

    fn rows_are_gone(&self, step: u64) -> String {
        let streams = self.dataflow.sources.iter().map(|source| source.stream.as_str());
        let mut streams: Vec<&str> = streams.collect();
        streams.sort_unstable();
        streams.dedup();
        format!("rows of {} are gone that job {} took before its step {step}", streams.join(", "), self.job)
    }

    fn gone(&self, what: String, from: Option<EventTime>) -> RunError {
        let own = "by steps of its own (AT SPEED 1000000, or its query as another definition)";
        let remedy = match from {
            Some(from) => format!("replay the results from {from} on (FROM), or all that there are {own}"),
            None if matches!(self.reach, Reach::History) => {
                format!("its results depend on all steps; replay it {own}")
            }
            None => {
                format!("nothing tells which results follow from the rows that are there; replay it {own}")
            }
        };
        RunError::Gone { what, remedy }
    }
}
