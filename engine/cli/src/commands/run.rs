//! `headwater run`: SQL files, statement by statement, and the jobs they start.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use headwater_run::{Answer, Engine, JobState, JobStatus};
use indicatif::{ProgressBar, ProgressStyle};

use crate::open::EngineArgs;
use crate::output::{self, OutputFormat};
use crate::{exit, signals};

const EXAMPLE: &str = "\
Example:
  headwater run queries/weather/*.sql --data /tmp/weather

Rows of queries go to standard output. Jobs that read files run to their end, and the command ends with
them; jobs that read streams go on until Ctrl-C.";

/// Run SQL files; jobs over bounded inputs run to their end, others until Ctrl-C.
#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Run {
    /// The files, in this order
    #[arg(value_name = "FILE.sql", required = true)]
    files: Vec<PathBuf>,
    /// How rows are shown [default: table on a terminal, json elsewhere]
    #[arg(long, value_enum)]
    format: Option<OutputFormat>,
    #[command(flatten)]
    engine: EngineArgs,
}

impl Run {
    pub async fn run(self) -> Result<ExitCode> {
        // Read before anything runs: a typing error in the last name should not leave half of the work done.
        let mut scripts = Vec::new();
        for file in &self.files {
            let text =
                std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
            scripts.push((file, text));
        }
        let engine = self.engine.open()?;
        let format = self.format.unwrap_or_else(OutputFormat::usual);
        let ended = tokio::select! {
            ended = Box::pin(work(&engine, scripts, format)) => ended.map(|()| ExitCode::SUCCESS),
            stopped = signals::stop_requested() => stopped.map(|()| ExitCode::from(exit::INTERRUPTED)),
        };
        engine.close().await?;
        ended
    }
}

/// Runs the scripts and then waits for the jobs: for ever, if one of them has an endless input.
async fn work(engine: &Engine, scripts: Vec<(&PathBuf, String)>, format: OutputFormat) -> Result<()> {
    for (file, text) in scripts {
        run_script(engine, &text, format).await.with_context(|| file.display().to_string())?;
    }
    let progress = Progress::start();
    let endless = tokio::select! {
        endless = engine.wait_bounded() => endless?,
        () = progress.show(engine) => unreachable!("the progress is shown until it is dropped"),
    };
    fail_if_a_job_did(engine)?;
    if endless {
        tracing::info!("jobs go on as rows come; Ctrl-C stops them and takes a checkpoint");
        progress.show(engine).await;
    }
    Ok(())
}

/// Runs the statements of one text and shows what they answer.
pub(crate) async fn run_script(engine: &Engine, sql: &str, format: OutputFormat) -> Result<()> {
    for parsed in headwater_plan::parse(sql)? {
        match Box::pin(engine.run(parsed)).await? {
            Answer::Rows(rows) => {
                output::write_stream(rows, format).await?;
            }
            Answer::Done { tag, notes } => {
                tracing::info!("{tag}");
                notes.iter().for_each(|note| tracing::warn!("{note}"));
            }
        }
    }
    Ok(())
}

/// An error if a job has failed.
pub(crate) fn fail_if_a_job_did(engine: &Engine) -> Result<()> {
    let failed = engine.jobs().into_iter().find(|job| job.state == JobState::Failed);
    match failed {
        Some(job) => bail!("job {} failed: {}", job.name, job.error.unwrap_or_default()),
        None => Ok(()),
    }
}

/// How far all jobs are, as a bar on a terminal; nothing elsewhere.
struct Progress(ProgressBar);

impl Progress {
    fn start() -> Self {
        let style = ProgressStyle::with_template("{spinner} [{bar:30}] {percent}% {elapsed} {msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        Self(ProgressBar::new(0).with_style(style))
    }

    async fn show(&self, engine: &Engine) {
        let mut ticks = tokio::time::interval(Duration::from_millis(200));
        loop {
            ticks.tick().await;
            let far = Far::of(&engine.jobs(), &engine.bounded_jobs());
            self.0.set_length(far.rows + far.lag);
            self.0.set_position(far.rows);
            self.0.set_message(far.to_string());
            self.0.tick();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// How far jobs are.
#[derive(Default)]
struct Far {
    /// Jobs that come to an end.
    bounded: usize,
    /// Those of them that have.
    done: usize,
    /// Jobs that run and come to none.
    endless: usize,
    failed: usize,
    paused: usize,
    /// Rows that were taken: by the jobs that come to an end, as long as one of them runs, or else by all.
    rows: u64,
    /// Rows that wait for these.
    lag: u64,
}

impl Far {
    fn of(jobs: &[JobStatus], bounded: &BTreeSet<String>) -> Self {
        let (mut far, mut of_all) = (Self::default(), (0, 0));
        for job in jobs {
            let is_bounded = job.state == JobState::Finished || bounded.contains(&job.name);
            far.bounded += usize::from(is_bounded);
            match job.state {
                JobState::Finished => far.done += 1,
                JobState::Failed => far.failed += 1,
                JobState::Paused => far.paused += 1,
                JobState::Running | JobState::Resting => far.endless += usize::from(!is_bounded),
            }
            if is_bounded {
                (far.rows, far.lag) = (far.rows + job.rows_in, far.lag + job.lag);
            }
            of_all = (of_all.0 + job.rows_in, of_all.1 + job.lag);
        }
        if far.done == far.bounded {
            (far.rows, far.lag) = of_all;
        }
        far
    }
}

impl fmt::Display for Far {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.bounded > 0 {
            write!(f, "bounded jobs: {} of {} done; ", self.done, self.bounded)?;
        }
        match self.endless {
            0 => {}
            1 => f.write_str("1 job runs until Ctrl-C; ")?,
            more => write!(f, "{more} jobs run until Ctrl-C; ")?,
        }
        for (count, what) in [(self.failed, "failed"), (self.paused, "paused")] {
            if count > 0 {
                write!(f, "{count} {what}; ")?;
            }
        }
        write!(f, "{} rows in, {} to come", self.rows, self.lag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_tells_jobs_that_end_from_those_that_do_not() {
        let job = |name: &str, state, rows_in, lag| {
            let name = name.to_owned();
            JobStatus { state, rows_in, lag, ..JobStatus::new(name.clone(), name) }
        };
        let bounded = ["files".to_owned(), "after".to_owned()].into();
        let told = |jobs: &[JobStatus]| Far::of(jobs, &bounded).to_string();
        let running = |name: &str, rows, lag| job(name, JobState::Running, rows, lag);
        let jobs = [running("files", 20, 80), running("after", 5, 0), running("always", 1_000, 3)];
        assert_eq!(told(&jobs), "bounded jobs: 0 of 2 done; 1 job runs until Ctrl-C; 25 rows in, 80 to come");
        let done = |name: &str| job(name, JobState::Finished, 100, 0);
        assert_eq!(
            told(&[done("files"), done("after")]),
            "bounded jobs: 2 of 2 done; 200 rows in, 0 to come"
        );
        let jobs = [done("files"), running("always", 1, 2), running("too", 1, 0)];
        assert_eq!(told(&jobs), "bounded jobs: 1 of 1 done; 2 jobs run until Ctrl-C; 102 rows in, 2 to come");
        let jobs = [job("files", JobState::Failed, 7, 9), job("held", JobState::Paused, 1, 1)];
        assert_eq!(told(&jobs), "bounded jobs: 0 of 1 done; 1 failed; 1 paused; 7 rows in, 9 to come");
    }
}
