//! `headwater replay`: what a job, or another definition of it, would have said over a stretch of history.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use clap::Args;
use headwater_core::EventTime;
use headwater_run::ReplaySpec;
use headwater_serve::{ReplayRequest, replay_rows};

use crate::client::{Answered, Client};
use crate::open::{EngineArgs, Tuning};
use crate::output::{self, OutputFormat};

const EXAMPLE: &str = "\
Example:
  headwater replay heat --from 2013-07-01 --to 2013-08-01
  headwater replay heat --from 2013-07-01 --to 2013-08-01 --query warmer.sql --diff
  headwater replay daily --into daily_again
  headwater replay daily --into daily_again --speed 3600

The time of a result is its event time or, where the query gives none, its first timestamp. Windows are not cut where
the stretch begins and ends: rows around it are read, too. Without --query nothing differs.
With --diff each row that only the job said begins with '-', each that only the replay says with '+'.
Nothing is delivered outside, and the job itself goes on undisturbed.";

/// Run a job over a stretch of history again, or another definition of it.
#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Replay {
    /// The job
    #[arg(value_name = "JOB")]
    job: String,
    /// Only results with a time at or after this; what they are made of may lie before it
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<EventTime>,
    /// Only results before this
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<EventTime>,
    /// Write the results to this stream, made if missing
    #[arg(long, value_name = "STREAM")]
    into: Option<String>,
    /// A file with another query in place of the job's own
    #[arg(long, value_name = "FILE.sql")]
    query: Option<PathBuf>,
    /// Compare with what the job said
    #[arg(long)]
    diff: bool,
    /// Let event time pass at this multiple of real time [default: as fast as can be]
    #[arg(long, value_name = "TIMES")]
    speed: Option<f64>,
    /// Open this data directory, which no server may have open
    #[arg(long, value_name = "DIR", conflicts_with = "url")]
    data: Option<PathBuf>,
    /// Ask this server [default: what HEADWATER_URL says, or http://127.0.0.1:8585]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// How rows are shown [default: table on a terminal, json elsewhere]
    #[arg(long, value_enum)]
    format: Option<OutputFormat>,
    #[command(flatten)]
    tuning: Tuning,
}

fn time(text: &str) -> Result<EventTime> {
    let nanos = string_to_timestamp_nanos(text);
    nanos.map(EventTime).map_err(|_| anyhow!("it is a date, or a time such as 2013-07-01T00:00:00Z"))
}

impl Replay {
    pub async fn run(self) -> Result<ExitCode> {
        let format = self.format.unwrap_or_else(OutputFormat::usual);
        let read = |file: PathBuf| {
            std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))
        };
        let spec = ReplaySpec {
            job: self.job,
            query: self.query.map(read).transpose()?,
            from: self.from,
            to: self.to,
            into: self.into,
            diff: self.diff,
            speed: self.speed,
        };
        let rows = match self.data {
            Some(data) => {
                let engine = EngineArgs {
                    data,
                    tuning: self.tuning,
                    allowed: Default::default(),
                    log: Default::default(),
                }
                .open()?;
                let report = engine.replay(spec.clone()).await;
                engine.close().await?;
                let report = report?;
                tracing::info!(
                    "{} rows replayed, {} of the results are in both",
                    report.rows_in,
                    report.in_both
                );
                let (schema, rows) = replay_rows(&spec, report)?;
                output::write_batches(schema, rows, format)?
            }
            None => {
                let client = Client::of(self.url.as_deref())?;
                let request = client.post(&format!("/v1/jobs/{}/replay", spec.job))?;
                match client.rows(request.json(&ReplayRequest::from(&spec)), format).await? {
                    Answered::Rows(rows) => rows,
                    Answered::Done(done) => anyhow::bail!("the server answered {}", done.status),
                }
            }
        };
        if format == OutputFormat::Table {
            let what = if spec.diff { "difference" } else { "row" };
            output::say(format_args!("{rows} {what}{}", if rows == 1 { "" } else { "s" }))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
