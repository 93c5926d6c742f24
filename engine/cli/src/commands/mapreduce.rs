//! `headwater mapreduce`: MapReduce programs over files or objects, as Hadoop's streaming runs them.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use headwater_core::World;
use headwater_ingest::{parse_duration, parse_size};
use headwater_mapreduce::{Counters, JobSpec, Phase, Program, Progress};
use headwater_objects::Location;
use indicatif::{ProgressBar, ProgressStyle};

use crate::{exit, signals};

const EXAMPLE: &str = "\
Example:
  headwater mapreduce --mapper ./map.py --reducer ./reduce.py --input s3://logs/2026/ --output counts/

The mapper gets lines of the input on its standard input and writes lines of key TAB value; a reducer gets these lines
in the order of their keys, all of a key one after another. The output is part-00000 and so on, then _SUCCESS; what a
task says on its standard error is kept in _logs.";

/// Run a mapper and a reducer, programs of yours, over files or objects
#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct MapReduce {
    /// The mapper and its arguments, in one text; no shell is involved
    #[arg(long, value_name = "COMMAND")]
    mapper: String,
    /// The reducer; without one the sorted lines are the output
    #[arg(long, value_name = "COMMAND")]
    reducer: Option<String>,
    /// A reducer over what one mapper gave, before it goes to the reducers
    #[arg(long, value_name = "COMMAND")]
    combiner: Option<String>,
    /// A file, a directory, a pattern, or s3://bucket/prefix; again for more; what ends with .gz is unpacked
    #[arg(long, value_name = "URL", required = true)]
    input: Vec<String>,
    /// A directory or s3://bucket/prefix that holds nothing yet
    #[arg(long, value_name = "URL")]
    output: String,
    /// Into how many parts keys are divided [default: the number of tasks]; 0: what mappers say is the output
    #[arg(long, value_name = "N")]
    reducers: Option<usize>,
    /// How many tasks run at a time [default: the number of processors]
    #[arg(long, value_name = "N")]
    tasks: Option<usize>,
    /// How many times a task is tried
    #[arg(long, value_name = "N", default_value_t = 4)]
    attempts: u32,
    /// How long a program may neither read its input nor say anything before it is ended and tried again; 0s: for ever
    #[arg(long, value_name = "DURATION", default_value = "10 minutes")]
    timeout: String,
    /// Memory for lines that are being sorted; what does not fit is sorted on disk
    #[arg(long, value_name = "SIZE", default_value = "256MB")]
    memory: String,
    /// The most bytes of an input that one mapper gets, such as 64MB
    #[arg(long, value_name = "SIZE")]
    split: Option<String>,
    /// Where what does not fit in memory lies meanwhile [default: the system's directory for temporary files]
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,
}

impl MapReduce {
    pub async fn run(self) -> Result<ExitCode> {
        let world = World::real();
        let spec = self.spec(&world)?;
        let progress = Arc::new(Progress::default());
        let mut job = Box::pin(headwater_mapreduce::run(&world, spec, Arc::clone(&progress)));
        let counters = tokio::select! {
            done = &mut job => done?,
            () = show(&progress) => unreachable!("the progress is shown until it is dropped"),
            stopped = signals::stop_requested() => {
                stopped?;
                progress.stop();
                // The programs are ended first: what they hold is not left behind.
                let _ = job.await;
                return Ok(ExitCode::from(exit::INTERRUPTED));
            }
        };
        tracing::info!("{}", summary(&counters));
        Ok(ExitCode::SUCCESS)
    }

    fn spec(&self, world: &World) -> Result<JobSpec> {
        let program = |given: &Option<String>| given.as_deref().map(Program::parse).transpose();
        let size = |given: &str| {
            parse_size(given).map_err(|reason| anyhow::anyhow!("{given} is not a size: {reason}"))
        };
        let slots = self.tasks.unwrap_or_else(|| world.tasks.parallelism()).max(1);
        let inputs = self.input.iter().map(|url| Location::parse(url)).collect::<Result<_, _>>()?;
        let work = self.work.clone().unwrap_or_else(std::env::temp_dir);
        let output = Location::parse(&self.output)?;
        let mut spec = JobSpec::new(Program::parse(&self.mapper)?, inputs, output, work, slots);
        spec.reducer = program(&self.reducer)?;
        spec.combiner = program(&self.combiner)?;
        spec.reducers = self.reducers.unwrap_or(slots);
        spec.attempts = self.attempts;
        let timeout = parse_duration(&self.timeout);
        let timeout =
            timeout.map_err(|reason| anyhow::anyhow!("{} is no duration: {reason}", self.timeout))?;
        spec.timeout = Some(timeout).filter(|timeout| !timeout.is_zero());
        spec.memory = usize::try_from(size(&self.memory)?).context("--memory")?;
        spec.split = self.split.as_deref().map(size).transpose()?;
        Ok(spec)
    }
}

/// A bar on a terminal; nothing elsewhere.
async fn show(progress: &Progress) {
    let style = ProgressStyle::with_template("{spinner} [{bar:30}] {percent}% {elapsed} {msg}");
    let bar = ProgressBar::new(1000).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let _clear = Clear(bar.clone());
    let mut ticks = tokio::time::interval(Duration::from_millis(200));
    loop {
        ticks.tick().await;
        let counters = progress.counters();
        bar.set_position((counters.done() * 1000.0) as u64);
        bar.set_message(line(&counters));
        bar.tick();
    }
}

struct Clear(ProgressBar);

impl Drop for Clear {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn line(counters: &Counters) -> String {
    let failed = match counters.failed_attempts {
        0 => String::new(),
        failed => format!(", {failed} attempts failed"),
    };
    match counters.phase {
        Phase::Starting => "looks at the input".to_owned(),
        Phase::Map => format!("map {} of {}{failed}", counters.maps_done, counters.maps),
        Phase::Reduce | Phase::Done => {
            format!("reduce {} of {}{failed}", counters.reduces_done, counters.reduces)
        }
    }
}

fn summary(counters: &Counters) -> String {
    format!(
        "{} map and {} reduce tasks, {} attempts failed; {} bytes in, {} lines from mappers, {} lines out",
        counters.maps,
        counters.reduces,
        counters.failed_attempts,
        counters.input_bytes,
        counters.map_output_lines,
        counters.output_lines,
    )
}
