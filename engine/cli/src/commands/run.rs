//! `headwater run`: SQL files, statement by statement, and the jobs they start.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use headwater_run::{Answer, Engine, JobState};
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
            let jobs = engine.jobs();
            let running = jobs.iter().filter(|job| job.state == JobState::Running).count();
            let rows: u64 = jobs.iter().map(|job| job.rows_in).sum();
            let lag: u64 = jobs.iter().map(|job| job.lag).sum();
            self.0.set_length(rows + lag);
            self.0.set_position(rows);
            self.0
                .set_message(format!("{running} of {} jobs run, {rows} rows in, {lag} to come", jobs.len()));
            self.0.tick();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
