//! `headwater archive`: an archive where it lies, looked at, checked, tidied and put back.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use headwater_archive::{GRACE, Identity, Ledger, Place, compact, restore, verify};
use headwater_core::{EventTime, World};
use headwater_log::{DiskLog, DiskLogOptions, Log};

use crate::exit;
use crate::log_mark;
use crate::log_place::LogPlace;
use crate::output::say;

const EXAMPLE: &str = "\
Example:
  headwater archive ls s3://bucket/readings
  headwater archive verify /srv/archive/readings
  headwater archive compact s3://bucket/readings --bytes 268435456
  headwater archive restore s3://bucket/readings --data /var/lib/headwater

S3 is reached by the environment: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; AWS_REGION, AWS_ENDPOINT, AWS_CA_BUNDLE.";

/// Look at an archive where it lies, check it, tidy it, put it back
#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Archive {
    #[command(subcommand)]
    action: Action,
}

/// What to do with it.
#[derive(Subcommand)]
enum Action {
    /// List its ranges and their files
    Ls(Ls),
    /// Read all of it: every file is there, whole, and holds each row once
    Verify(Verify),
    /// Merge small files, and remove what nothing names; a server may go on archiving meanwhile
    Compact(Compact),
    /// Put its rows back into a stream of a data directory that no server has open
    Restore(Restore),
}

/// Where it lies.
#[derive(Args)]
struct Whereabouts {
    /// s3://bucket/prefix, or a directory
    #[arg(value_name = "PLACE")]
    place: String,
}

/// List its ranges and their files.
#[derive(Args)]
#[command(after_help = "Example:\n  headwater archive ls s3://bucket/readings --files")]
struct Ls {
    #[command(flatten)]
    whereabouts: Whereabouts,
    /// Only the names of the committed files, for programs that read them
    #[arg(long)]
    files: bool,
}

/// Read all of it: every file is there, whole, and holds each row once.
#[derive(Args)]
#[command(
    after_help = "Example:\n  headwater archive verify s3://bucket/readings\n\nExit code 3 says that there is damage."
)]
struct Verify {
    #[command(flatten)]
    whereabouts: Whereabouts,
}

/// Merge small files, and remove what nothing names.
#[derive(Args)]
#[command(after_help = "Example:\n  headwater archive compact s3://bucket/readings --bytes 268435456")]
struct Compact {
    #[command(flatten)]
    whereabouts: Whereabouts,
    /// Merge neighbours as long as they have at most so many bytes together
    #[arg(long, value_name = "BYTES", default_value_t = 128 << 20)]
    bytes: u64,
    /// Leave merged files there for so many seconds, for a server that reads them; 0 where none does
    #[arg(long, value_name = "SECONDS", default_value_t = GRACE.as_secs())]
    grace: u64,
}

/// Put its rows back into a stream.
#[derive(Args)]
#[command(after_help = "\
Example:
  headwater sql --data /var/lib/headwater -c 'CREATE STREAM readings (device STRING, temp DOUBLE) WITH (shards = 4)'
  headwater archive restore s3://bucket/readings --data /var/lib/headwater

The stream must be there, with as many shards, and without rows, or with those of a restore that was broken off.")]
struct Restore {
    #[command(flatten)]
    whereabouts: Whereabouts,
    /// The data directory
    #[arg(long, value_name = "DIR", default_value = "headwater-data", env = "HEADWATER_DATA")]
    data: PathBuf,
    /// The stream [default: of the name that the archived one had]
    #[arg(long)]
    stream: Option<String>,
}

impl Archive {
    pub async fn run(self) -> Result<ExitCode> {
        let world = World::real();
        match self.action {
            Action::Ls(ls) => ls.run(&world).await,
            Action::Verify(verify) => verify.run(&world).await,
            Action::Compact(compact) => compact.run(&world).await,
            Action::Restore(restore) => restore.run(&world).await,
        }
    }
}

impl Whereabouts {
    /// The place. A directory must be there: one that is misspelt is not to be made.
    fn open(&self, world: &World) -> Result<Place> {
        if self.place.contains("://") {
            return Ok(Place::open(world, &self.place)?);
        }
        let directory = Path::new(&self.place);
        anyhow::ensure!(directory.is_dir(), "{} is not a directory", self.place);
        let whole = std::path::absolute(directory).with_context(|| format!("cannot find {}", self.place))?;
        Ok(Place::open(world, &whole.to_string_lossy())?)
    }
}

impl Ls {
    async fn run(self, world: &World) -> Result<ExitCode> {
        let place = self.whereabouts.open(world)?;
        let whose = Identity::read(&place).await?;
        let ledger = Ledger::open(world, place.clone()).await?;
        let manifest = ledger.manifest();
        if self.files {
            for file in manifest.files() {
                say(format_args!("{}/{}", place.shown(), file.path))?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        let (rows, bytes) =
            manifest.files().fold((0, 0), |(rows, bytes), file| (rows + file.rows, bytes + file.bytes));
        say(format_args!(
            "{}  {} shards, {} ranges, {rows} rows, {bytes} bytes",
            whose.stream,
            whose.shards,
            manifest.all_ranges().count()
        ))?;
        for range in manifest.all_ranges() {
            for file in &range.files {
                let times = file.event_time.map_or(String::new(), |(min, max)| {
                    format!("  {} to {}", EventTime(min), EventTime(max))
                });
                say(format_args!("  {}  {} rows  {} bytes{times}", file.path, file.rows, file.bytes))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Verify {
    async fn run(self, world: &World) -> Result<ExitCode> {
        let verified = verify(world, &self.whereabouts.open(world)?).await?;
        for problem in &verified.problems {
            say(format_args!("damaged: {problem}"))?;
        }
        for name in &verified.unfinished {
            say(format_args!("not committed yet: {name}"))?;
        }
        for name in &verified.leftovers {
            say(format_args!("nothing names it, compact removes it: {name}"))?;
        }
        let (ranges, files, rows) = (verified.ranges, verified.files, verified.rows);
        let problems = verified.problems.len();
        say(format_args!("{ranges} ranges, {files} files, {rows} rows; {problems} problems"))?;
        Ok(if problems == 0 { ExitCode::SUCCESS } else { ExitCode::from(exit::DATA) })
    }
}

impl Compact {
    async fn run(self, world: &World) -> Result<ExitCode> {
        let grace = Duration::from_secs(self.grace);
        let done = compact(world, &self.whereabouts.open(world)?, self.bytes, grace).await?;
        let (before, after) = (done.files_before, done.files_after);
        say(format_args!(
            "{before} files are {after} now, after {} merges; {} objects removed",
            done.merges, done.removed
        ))?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Restore {
    async fn run(self, world: &World) -> Result<ExitCode> {
        let place = self.whereabouts.open(world)?;
        anyhow::ensure!(self.data.is_dir(), "{} is not a directory", self.data.display());
        log_mark::check(world, &self.data, &LogPlace::Disk)?;
        let options = DiskLogOptions { scrub_bytes_per_second: 0, ..DiskLogOptions::default() };
        let log: Arc<dyn Log> = DiskLog::open(world.clone(), &self.data, options)
            .with_context(|| format!("cannot open {}", self.data.display()))?;
        let stream = match self.stream {
            Some(stream) => stream,
            None => Identity::read(&place).await?.stream,
        };
        let restored = restore(world, &place, &log, &stream).await;
        log.close()?;
        say(format_args!("{} rows restored into {stream}", restored?))?;
        Ok(ExitCode::SUCCESS)
    }
}
