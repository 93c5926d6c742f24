//! `headwater replay`: what a job, or another definition of it, would have said over a stretch of history.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use clap::Args;
use headwater_core::EventTime;
use headwater_run::{Engine, ReplaySpec};
use headwater_serve::{ReplayRequest, replay_differences};
use reqwest::header::HeaderMap;

use super::replay_steps::{Stepped, show_steps};
use crate::client::{self, Answered, Client, Done};
use crate::open::{Local, Tuning};
use crate::output::{self, OutputFormat};

const EXAMPLE: &str = "\
Example:
  headwater replay heat --from 2013-07-01 --to 2013-08-01
  headwater replay heat --from 2013-07-01 --to 2013-08-01 --query warmer.sql --diff
  headwater replay daily --into daily_again
  headwater replay daily --into daily_again --speed 3600
  headwater replay daily --from 2013-07-01 --step

The time of a result is its event time or, where the query gives none, its first timestamp. Windows are not cut where
the stretch begins and ends: rows around it are read, too.
With --diff each row that only the job said begins with '-', each that only the replay says with '+'; rows that others
wrote into the job's stream are the job's there. With --query, too, the job's own definition is replayed over the same
stretch, and the two are compared.
With --step each step says how far it went, the watermark and its rows, and waits for Enter; q ends. By its own
definition a job takes the steps that it once took, by another one it takes small ones.
With --config a log on Kafka is read beside the server that writes it; --into and --effects need that server, with --url.
Nothing is asked or delivered outside that --effects does not name, and the job itself goes on undisturbed.
SELECT * FROM system.replays shows a replay that is under way, CANCEL REPLAY id ends it, and so does Ctrl-C here.";

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
    /// Write the results to this stream, made if missing and otherwise empty
    #[arg(long, value_name = "STREAM")]
    into: Option<String>,
    /// A file with another query in place of the job's own
    #[arg(long, value_name = "FILE.sql")]
    query: Option<PathBuf>,
    /// Compare with what the job said or, with --query, the two definitions
    #[arg(long)]
    diff: bool,
    /// Let event time pass at this multiple of real time [default: as fast as can be]
    #[arg(long, value_name = "TIMES", value_parser = speed, allow_hyphen_values = true)]
    speed: Option<f64>,
    /// Take a step at a time, at Enter
    #[arg(long, conflicts_with_all = ["diff", "speed"])]
    step: bool,
    /// Ask these tables outside, or write into them; no others are. With --data the jobs and connectors of the directory run meanwhile
    #[arg(long, value_name = "TABLE,...", value_delimiter = ',')]
    effects: Vec<String>,
    #[command(flatten)]
    local: Local,
    /// Ask this server [default: what HEADWATER_URL says, or http://127.0.0.1:8585]
    #[arg(long, value_name = "URL", conflicts_with_all = ["local", "LogArgs"])]
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

fn speed(text: &str) -> Result<f64> {
    let speed = text.parse::<f64>().ok().filter(|speed| speed.is_finite() && *speed > 0.0);
    speed.ok_or_else(|| anyhow!("it is a number above 0; 60 lets a minute pass in a second"))
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
            step_by_step: self.step,
            effects: self.effects,
        };
        let said = match self.local.engine(self.tuning)? {
            Some(engine) => {
                let engine = engine.open_existing(!spec.effects.is_empty())?;
                let said = replay_on(&engine, &spec, format).await;
                engine.close().await?;
                said?
            }
            None => replay_at(Client::of(self.url.as_deref())?, &spec, format).await?,
        };
        said.tell(format)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What is said behind the rows of a replay.
enum Said {
    /// All there was to say.
    Nothing,
    /// So many rows.
    Rows(usize),
    /// So many rows are on one side only.
    Differences { rows: usize, counts: Counts },
    /// Rows went into a stream.
    Done(Done),
}

/// How many rows a comparison was of.
struct Counts {
    in_both: u64,
    uncomputed: u64,
}

impl Counts {
    fn of(headers: &HeaderMap) -> Self {
        let count = |name: &str| headers.get(name)?.to_str().ok()?.parse().ok();
        Self {
            in_both: count("headwater-rows-in-both").unwrap_or_default(),
            uncomputed: count("headwater-rows-uncomputed").unwrap_or_default(),
        }
    }
}

impl Said {
    /// It goes to standard error where standard output is for a program.
    fn tell(self, format: OutputFormat) -> Result<()> {
        let some = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        match self {
            Self::Nothing => Ok(()),
            Self::Rows(rows) if format == OutputFormat::Table => output::say(some(rows, "row")),
            Self::Rows(_) => Ok(()),
            Self::Differences { rows, counts } => {
                let in_both = some(counts.in_both as usize, "row");
                let found = format!("{in_both} in both, {}", some(rows, "difference"));
                if counts.uncomputed > 0 {
                    tracing::warn!(
                        "{} rows could not be computed: see system.dead_letters",
                        counts.uncomputed
                    );
                }
                match format {
                    OutputFormat::Table => output::say(found),
                    _ => {
                        tracing::info!("{found}");
                        Ok(())
                    }
                }
            }
            Self::Done(done) => {
                output::say(done.status)?;
                done.notes.iter().try_for_each(output::say)
            }
        }
    }
}

/// Replays on a server.
async fn replay_at(client: Client, spec: &ReplaySpec, format: OutputFormat) -> Result<Said> {
    let request = client.post(&["v1", "jobs", &spec.job, "replay"])?.json(&ReplayRequest::from(spec));
    if spec.step_by_step {
        let begun = client.send(request).await?.json().await?;
        show_steps(Stepped::Server(client, begun)).await?;
        return Ok(Said::Nothing);
    }
    let response = client.ask_rows(request, format).await?;
    let counts = Counts::of(response.headers());
    Ok(match client::show(response, format).await? {
        Answered::Rows(rows) if spec.diff => Said::Differences { rows, counts },
        Answered::Rows(rows) => Said::Rows(rows),
        Answered::Done(done) => Said::Done(done),
    })
}

/// Replays on an engine of this process.
async fn replay_on(engine: &Engine, spec: &ReplaySpec, format: OutputFormat) -> Result<Said> {
    if spec.step_by_step {
        let steps = engine.replay_steps(spec.clone()).await?;
        show_steps(Stepped::Here(Box::new(steps))).await?;
        return Ok(Said::Nothing);
    }
    if !spec.diff && spec.into.is_none() {
        let rows = engine.replay_rows(spec.clone()).await?;
        return Ok(Said::Rows(output::write_stream(rows, format).await?));
    }
    let report = engine.replay(spec.clone()).await?;
    match &spec.into {
        Some(into) if !spec.diff => {
            let status = format!("REPLAY {} INTO {into}", report.rows_out);
            Ok(Said::Done(Done { status, notes: report.notes() }))
        }
        _ => {
            let counts = Counts { in_both: report.in_both, uncomputed: report.uncomputed };
            let (schema, rows) = replay_differences(report)?;
            Ok(Said::Differences { rows: output::write_batches(schema, rows, format)?, counts })
        }
    }
}
