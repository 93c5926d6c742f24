//! Jobs: steps, checkpoints, journal, replay; and queries over the log.
//!
//! ```text
//!  engine   one log, one catalog: runs statements, starts and stops what they define
//!  job      a dataflow that goes on for ever, step by step
//!  replace  another definition in a job's place, while the job stands
//!  replay   what a definition says, or would have said, over a stretch of history
//!  table    what queries read: streams, views and system tables, for DataFusion
//!  tail     rows of a stream or of a query, as they come
//! ```
//!
//! Invariants:
//! - A job is a pure fold over its inputs and its journal: the same rows in the same order, live, after a crash and on
//!   replay, with any number of workers.
//! - What a step says (rows, late rows, its line in the journal) is appended to the log as one group, or not at all.
//! - Threads for compute, tokio for I/O only.

mod blocking;
mod dead;
mod engine;
mod error;
mod job;
mod late;
mod options;
mod replace;
mod replay;
mod table;
mod tail;

pub use dead::Uncomputed;
pub use engine::{Answer, Engine, rows_as_shown};
pub use error::{Result, RunError};
pub use headwater_archive::ArchiveStatus;
pub use job::fit as fit_columns;
pub use options::{
    ConnectorHost, ConnectorStatus, ConnectorTable, EngineOptions, GroupActuator, Keep, LookupFailure,
    LookupTable, NoConnectors, Role, RunningConnector, RunningPrograms, SetWorkers, TellWatermark,
    TriggerDelivery,
};
pub use replay::ReplaySteps;
pub use tail::{Tail, TailBatch, TailFrom};

/// What a job is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JobState {
    /// It takes rows as they come.
    Running,
    /// It was paused by a statement and holds its state.
    Paused,
    /// Its inputs have ended and all of its results are out.
    Finished,
    /// It stopped on an error; see [`JobStatus::error`].
    Failed,
    /// The directory is only looked at, and its jobs wait to be served.
    Resting,
}

impl JobState {
    /// As shown in `system.jobs`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Finished => "completed",
            Self::Failed => "failed",
            Self::Resting => "at rest",
        }
    }
}

/// A figure of a [`JobStatus`] that may not be known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Figure {
    /// [`JobStatus::rows_in`].
    RowsIn,
    /// [`JobStatus::rows_out`].
    RowsOut,
    /// [`JobStatus::rows_late`].
    RowsLate,
    /// [`JobStatus::lag`].
    Lag,
    /// [`JobStatus::steps`] and the watermark.
    Steps,
    /// Workers, what state there is in memory and in files, and how long things took: all that a process has and its directory has not.
    OfTheProcess,
}

/// A job as people and metrics see it.
#[derive(Clone, Debug)]
pub struct JobStatus {
    /// Its name.
    pub name: String,
    /// The stream it writes to.
    pub target: String,
    /// What it does.
    pub state: JobState,
    /// Whether it still does steps of its journal again, behind the checkpoint that it was started from.
    pub is_restoring: bool,
    /// What part of a MapReduce job is done, from 0 to 1; `None` for others, of which rows tell.
    pub done: Option<f64>,
    /// Why it failed.
    pub error: Option<String>,
    /// Rows taken from its inputs whose results are in the log, as it is with what follows.
    pub rows_in: u64,
    /// Rows written to its target.
    pub rows_out: u64,
    /// Rows that came too late.
    pub rows_late: u64,
    /// Rows of its inputs that it has not taken yet, or whose results are not in the log yet.
    pub lag: u64,
    /// The watermark: the smallest over its shards.
    pub watermark: headwater_core::EventTime,
    /// Steps done.
    pub steps: u64,
    /// How many workers compute a step.
    pub workers: usize,
    /// Entries of state.
    pub state_entries: u64,
    /// Bytes of state in memory, estimated.
    pub state_bytes: u64,
    /// Bytes of state that have been put into files.
    pub state_spilled_bytes: u64,
    /// The step of the newest checkpoint, if there is one.
    pub checkpoint: Option<u64>,
    /// How long steps took: (upper bound in microseconds, how many took at most that), cumulative.
    pub step_micros: Vec<(u64, u64)>,
    /// The sum of all steps in microseconds.
    pub step_micros_sum: u64,
    /// How long checkpoints took, likewise.
    pub checkpoint_micros: Vec<(u64, u64)>,
    /// The sum of all checkpoints in microseconds.
    pub checkpoint_micros_sum: u64,
    /// The figures that nobody knows while the job does not run: what is there instead means nothing.
    pub unknown: Vec<Figure>,
}

impl JobStatus {
    /// One that has not begun.
    pub fn new(name: String, target: String) -> Self {
        Self {
            name,
            target,
            state: JobState::Running,
            is_restoring: false,
            done: None,
            error: None,
            rows_in: 0,
            rows_out: 0,
            rows_late: 0,
            lag: 0,
            watermark: headwater_core::EventTime::MIN,
            steps: 0,
            workers: 1,
            state_entries: 0,
            state_bytes: 0,
            state_spilled_bytes: 0,
            checkpoint: None,
            step_micros: Vec::new(),
            step_micros_sum: 0,
            checkpoint_micros: Vec::new(),
            checkpoint_micros_sum: 0,
            unknown: Vec::new(),
        }
    }

    /// Whether a figure is known.
    pub fn knows(&self, figure: Figure) -> bool {
        !self.unknown.contains(&figure)
    }

    /// The value of a figure, if it is known.
    pub fn known(&self, figure: Figure, value: u64) -> Option<u64> {
        self.knows(figure).then_some(value)
    }

    /// What it is doing, as `system.jobs` shows it: `pending` until its first step, then `running`; `restoring` while it does the steps
    /// of its journal again, after a start; `paused`, `completed`, `failed`.
    pub fn shown_state(&self) -> &'static str {
        match self.state {
            JobState::Running if self.is_restoring => "restoring",
            JobState::Running if self.steps == 0 => "pending",
            state => state.as_str(),
        }
    }

    /// What part it has taken of the rows that are there, from 0 to 1; 1 once it has completed, `None` while there are none.
    pub fn progress(&self) -> Option<f64> {
        match (self.state, self.rows_in + self.lag) {
            (JobState::Finished, _) => Some(1.0),
            _ if self.done.is_some() => self.done,
            _ if !self.knows(Figure::RowsIn) || !self.knows(Figure::Lag) => None,
            (_, 0) => None,
            (_, rows) => Some(self.rows_in as f64 / rows as f64),
        }
    }
}

/// What part of history to replay, and where to.
#[derive(Clone, Debug, Default)]
pub struct ReplaySpec {
    /// The job.
    pub job: String,
    /// Another definition of its query; `None`: its own.
    pub query: Option<String>,
    /// Only results with a time at or after this: their event time or, where the query gives none, their first timestamp.
    pub from: Option<headwater_core::EventTime>,
    /// Only results before this.
    pub to: Option<headwater_core::EventTime>,
    /// A stream to write the results to, made if missing and otherwise empty; `None`: they are returned.
    pub into: Option<String>,
    /// Whether to compare: the job's own definition with what the job has said, another one with the job's own.
    pub diff: bool,
    /// How many times as fast as real time event time passes; `None`: as fast as can be.
    pub speed: Option<f64>,
    /// Whether each step is asked for; see [`Engine::replay_steps`].
    pub step_by_step: bool,
    /// The tables outside that are asked, or written into: no others are.
    pub effects: Vec<String>,
}

/// What a replay said.
#[derive(Clone, Debug)]
pub struct ReplayReport {
    /// The columns of the results; with `diff` those of the differences, which have no weights.
    pub schema: arrow::datatypes::SchemaRef,
    /// Rows taken.
    pub rows_in: u64,
    /// Rows of results.
    pub rows_out: u64,
    /// Rows that could not be computed. Of another definition the first of them went to the dead letters; of a job's own the job has put
    /// them there.
    pub uncomputed: u64,
    /// The results, in order, unless they were compared or went into a stream.
    pub rows: Vec<arrow::array::RecordBatch>,
    /// With `diff`: rows only in what the job said, or its own definition says.
    pub only_before: Vec<arrow::array::RecordBatch>,
    /// With `diff`: rows only in the replay.
    pub only_now: Vec<arrow::array::RecordBatch>,
    /// With `diff`: how many rows are in both.
    pub in_both: u64,
}

impl ReplayReport {
    /// What is to be said besides its results.
    pub fn notes(&self) -> Vec<String> {
        let note = || format!("{} rows could not be computed: see system.dead_letters", self.uncomputed);
        (self.uncomputed > 0).then(note).into_iter().collect()
    }
}

/// What a step of a replay did.
#[derive(Clone, Debug)]
pub struct ReplayStep {
    /// Its number: that in the journal, if the journal is obeyed; otherwise they are counted.
    pub step: u64,
    /// Rows taken.
    pub rows_in: u64,
    /// Rows that could not be computed.
    pub uncomputed: u64,
    /// The watermark after it.
    pub watermark: headwater_core::EventTime,
    /// How far it went: for each source its stream, and the next sequence number of each shard.
    pub position: Vec<(String, Vec<headwater_core::Sequence>)>,
    /// The results.
    pub rows: Vec<arrow::array::RecordBatch>,
}
