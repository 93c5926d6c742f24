//! The command line of the benches.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

use super::growth::Growth;
use super::kafka::Kafka;
use super::nexmark::Nexmark;
use super::sequences::Sequences;
use super::{
    alarms, append, archive, growth, json, kafka, latency, nexmark, open, patterns, replay, sequences,
    triggers,
};

const EXAMPLE: &str = "\
Example:
  headwater bench append
  headwater bench append --json --runs 5 > append.json

Figures of a debug build mean little; build with --release.";

/// Measure this machine.
#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Bench {
    #[command(subcommand)]
    what: What,
}

/// What is measured.
#[derive(Subcommand)]
enum What {
    /// Appends of rows of 1 KiB, beside a plain sequential write with as many syncs
    #[command(after_help = "Example:\n  headwater bench append --runs 5 --json")]
    Append(Append),
    /// Two of ten columns with a filter and a sum, beside all ten; a count from headers
    #[command(after_help = "Example:\n  headwater bench replay")]
    Replay(Replay),
    /// JSON lines to Arrow on one core
    #[command(after_help = "Example:\n  headwater bench json")]
    Json(Common),
    /// Opening a large log
    #[command(after_help = "Example:\n  headwater bench open --gib 10")]
    Open {
        #[command(flatten)]
        common: Common,
        /// How large
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
        gib: u32,
    },
    /// 100,000 alarms over one stream, evaluated for one minute
    #[command(after_help = "Example:\n  headwater bench alarms")]
    Alarms(Common),
    /// 10,000 triggers over one stream beside 10; a timer for each of a million keys
    #[command(after_help = "Example:\n  headwater bench triggers --runs 1")]
    Triggers(Common),
    /// A row pattern over a thousand devices, beside a filter over the same rows
    #[command(after_help = "Example:\n  headwater bench patterns")]
    Patterns(Common),
    /// Archives: writing them, scanning beside DataFusion over the same files, replaying beside DuckDB
    #[command(after_help = "Example:\n  headwater bench archive --json")]
    Archive(Common),
    /// Topics of Kafka, in and out, beside Kafka's own performance tools; appends beside a broker
    #[command(
        after_help = "Example:\n  HEADWATER_TEST_KAFKA_JARS=jars headwater bench kafka --thousands 100"
    )]
    Kafka(Kafka),
    /// From an append acknowledged to its result seen by a tail, at 20,000 rows a second
    #[command(after_help = "Example:\n  headwater bench latency --json")]
    Latency(Common),
    /// Sequences in events beside ClickHouse, in text beside grep; MapReduce beside a pipeline with sort
    #[command(after_help = "Example:\n  headwater bench sequences --runs 5 --json")]
    Sequences(Sequences),
    /// What an event costs as keys become many, from 1,000 to 10 million, and jobs over one stream, from 1 to 1,000
    #[command(after_help = "Example:\n  headwater bench growth --only jobs --json")]
    Growth(Growth),
    /// The queries of an auction over events in the log: CPU time, rows, state
    #[command(after_help = "Example:\n  headwater bench nexmark --queries q0,q5 --events 10000000 --json")]
    Nexmark(Nexmark),
}

/// What all benches take.
#[derive(Args, Clone)]
pub(crate) struct Common {
    /// Where to write; on the disk that is to be measured [default: a temporary directory in this one]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// How many runs the medians are of
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub runs: u32,
    /// Write JSON
    #[arg(long)]
    pub json: bool,
}

/// What `append` takes.
#[derive(Args)]
pub(crate) struct Append {
    #[command(flatten)]
    pub common: Common,
    /// How many batches of 1,000 rows
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub batches: u32,
}

/// What `replay` takes.
#[derive(Args)]
pub(crate) struct Replay {
    #[command(flatten)]
    pub common: Common,
    /// How many batches of 65,536 rows
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..))]
    pub batches: u32,
}

impl Common {
    /// A directory for one bench; removed with the value.
    pub fn workspace(&self) -> Result<tempfile::TempDir> {
        let parent = self.dir.clone().unwrap_or_else(|| ".".into());
        Ok(tempfile::Builder::new().prefix("headwater-bench-").tempdir_in(parent)?)
    }
}

impl Bench {
    pub async fn run(self) -> Result<ExitCode> {
        let work = move || match self.what {
            What::Append(asked) => append::run(&asked)?.write(asked.common.json),
            What::Replay(asked) => replay::run(&asked)?.write(asked.common.json),
            What::Alarms(common) => alarms::run(&common)?.write(common.json),
            What::Triggers(common) => triggers::run(&common)?.write(common.json),
            What::Patterns(common) => patterns::run(&common)?.write(common.json),
            What::Json(common) => json::run(&common)?.write(common.json),
            What::Open { common, gib } => open::run(&common, gib)?.write(common.json),
            What::Archive(common) => {
                let report = tokio::runtime::Handle::current().block_on(archive::run(&common))?;
                report.write(common.json)
            }
            What::Kafka(args) => {
                let report = tokio::runtime::Handle::current().block_on(kafka::run(&args))?;
                report.write(args.json())
            }
            What::Latency(common) => {
                let report = tokio::runtime::Handle::current().block_on(latency::run(&common))?;
                report.write(common.json)
            }
            What::Sequences(args) => {
                let report = tokio::runtime::Handle::current().block_on(sequences::run(&args))?;
                report.write(args.json())
            }
            What::Growth(args) => {
                let report = tokio::runtime::Handle::current().block_on(growth::run(&args))?;
                report.write(args.json())
            }
            What::Nexmark(args) => {
                let report = tokio::runtime::Handle::current().block_on(nexmark::run(&args))?;
                report.write(args.json())
            }
        };
        // Computing and waiting for the disk have no place on the threads that do I/O for others.
        tokio::task::spawn_blocking(work).await??;
        Ok(ExitCode::SUCCESS)
    }
}
