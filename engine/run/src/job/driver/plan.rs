//! What a job is started with.

use std::sync::Arc;
use std::time::Duration;

use headwater_core::{EventTime, Sequence};
use headwater_plan::Dataflow;

use crate::dead::DeadRows;
use crate::job::blobs::Blobs;
use crate::job::eras::Eras;
use crate::job::journal::Journal;
use crate::job::pipeline::{IdleTimeouts, Limits, Start};
use crate::job::sink::Results;
use crate::job::spill::StateMemory;
use crate::late::LateRows;
use crate::options::LookupTable;

/// How a job runs, which is the same for all jobs of an engine.
pub(crate) struct JobSettings {
    /// What its state may take of memory; `None`: all it wants.
    pub memory: Option<Arc<StateMemory>>,
    /// How many workers compute a step, to begin with.
    pub workers: usize,
    /// From how many rows on they have threads of their own.
    pub threaded_rows_min: usize,
    /// How much a step takes.
    pub limits: Limits,
    /// How often a checkpoint is taken.
    pub checkpoint_interval: Duration,
    /// How long lines of its journal are kept whose rows are there; `None`: as long as these are.
    pub keep_journal: Option<Duration>,
}

/// Everything that a job is started with.
pub(crate) struct JobPlan {
    /// Its name.
    pub name: String,
    /// What it computes.
    pub dataflow: Arc<Dataflow>,
    /// Where its results go.
    pub results: Results,
    /// Its journal.
    pub journal: Journal,
    /// The eras of the journal, the last of which is this definition's.
    pub eras: Eras,
    /// Where late rows go.
    pub late: LateRows,
    /// Where rows go for which an expression fails.
    pub dead: DeadRows,
    /// Where its checkpoints lie.
    pub blobs: Arc<dyn Blobs>,
    /// Where it starts when there is no checkpoint.
    pub start: Start,
    /// What its watermark is there.
    pub reached: EventTime,
    /// How it runs.
    pub settings: JobSettings,
    /// After how long without rows a shard of a stream is idle.
    pub idle_timeout: IdleTimeouts,
    /// Streams that have ended, and where their shards end.
    pub ends: Vec<(String, Vec<Sequence>)>,
    /// Whether it starts paused.
    pub paused: bool,
    /// The tables outside that it looks rows up in, by the stages that do.
    pub lookups: Vec<(usize, Box<dyn LookupTable>)>,
}
