//! `headwater log`: a data directory that no server has open, looked at and repaired.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use headwater_core::{Sequence, ShardId, World};
use headwater_log::{DiskLog, DiskLogOptions, From, Log as _, ReadBatch, ReadSpec};
use headwater_run::rows_as_shown;

use super::log_check::{Repair, Verify};
use crate::output::{self, OutputFormat, RowWriter};

const EXAMPLE: &str = "\
Example:
  headwater log ls --data /var/lib/headwater
  headwater log verify --data /var/lib/headwater
  headwater log dump weather --from 100 --limit 10";

/// Look at a data directory that no server has open.
#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Log {
    #[command(subcommand)]
    action: Action,
}

/// What to do with it.
#[derive(Subcommand)]
enum Action {
    /// List streams and their segments
    Ls(Ls),
    /// Read everything and check every checksum
    Verify(Verify),
    /// Make a damaged log open again, and say exactly which rows that costs
    Repair(Repair),
    /// Write the rows of a stream to standard output
    Dump(Dump),
}

/// Which data directory.
#[derive(Args)]
pub(super) struct Directory {
    /// The data directory
    #[arg(long, value_name = "DIR", default_value = "headwater-data", env = "HEADWATER_DATA")]
    pub data: PathBuf,
}

/// List streams and their segments.
#[derive(Args)]
#[command(after_help = "Example:\n  headwater log ls --data /var/lib/headwater")]
struct Ls {
    #[command(flatten)]
    directory: Directory,
}

/// Write the rows of a stream to standard output.
#[derive(Args)]
#[command(after_help = "Example:\n  headwater log dump weather --from 100 --limit 10 --format csv")]
struct Dump {
    /// The stream
    stream: String,
    #[command(flatten)]
    directory: Directory,
    /// Only this shard
    #[arg(long, value_name = "N")]
    shard: Option<u32>,
    /// From this sequence number on, in each shard
    #[arg(long, value_name = "SEQUENCE")]
    from: Option<u64>,
    /// At most so many rows of each shard
    #[arg(long, value_name = "ROWS")]
    limit: Option<u64>,
    /// How rows are shown [default: table on a terminal, json elsewhere]
    #[arg(long, value_enum)]
    format: Option<OutputFormat>,
}

impl Log {
    pub fn run(self) -> Result<ExitCode> {
        match self.action {
            Action::Ls(ls) => ls.run(),
            Action::Verify(verify) => verify.run(),
            Action::Repair(repair) => repair.run(),
            Action::Dump(dump) => dump.run(),
        }
    }
}

impl Directory {
    /// The path, which must be that of a directory: one that is misspelt is not to be made.
    pub fn existing(&self) -> Result<&Path> {
        anyhow::ensure!(self.data.is_dir(), "{} is not a directory", self.data.display());
        Ok(&self.data)
    }

    /// Opens the log to look at it: retention waits for the server, whatever the clock says meanwhile.
    fn open(&self) -> Result<Arc<DiskLog>> {
        let dir = self.existing()?;
        let options = DiskLogOptions { maintains: false, ..DiskLogOptions::default() };
        DiskLog::open(World::real(), dir, options).with_context(|| format!("cannot open {}", dir.display()))
    }
}

impl Ls {
    fn run(self) -> Result<ExitCode> {
        let log = self.directory.open()?;
        for info in log.streams() {
            let spec = &info.spec;
            let bounds = log.bounds(info.id)?;
            let rows: u64 = bounds.iter().map(|shard| shard.next.0 - shard.first.0).sum();
            let shards = bounds.len();
            output::say(format_args!("{}  {shards} shards, {rows} rows, {:?}", spec.name, spec.durability))?;
            for segment in log.segments(info.id)? {
                output::say(format_args!(
                    "  {}  shard {}  rows {}..{}  {} batches  {} bytes{}",
                    segment.file,
                    segment.shard,
                    segment.rows.start,
                    segment.rows.end,
                    segment.batches,
                    segment.bytes,
                    if segment.sealed { "" } else { "  (open)" },
                ))?;
            }
        }
        log.close()?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Dump {
    fn run(self) -> Result<ExitCode> {
        let log = self.directory.open()?;
        let info = log.stream_named(&self.stream)?;
        let format = self.format.unwrap_or_else(OutputFormat::usual);
        let shards = self.shard.map_or(0..info.spec.shards, |shard| shard..shard.saturating_add(1));
        let mut writer = RowWriter::new(Arc::clone(&info.spec.schema), format)?;
        let bounds = log.bounds(info.id)?;
        for shard in shards {
            let Some(kept) = bounds.get(shard as usize) else {
                anyhow::bail!("stream {} has no shard {shard}: it has {}", self.stream, bounds.len());
            };
            let from = self.from.map_or(kept.first, |from| kept.first.max(Sequence(from)));
            let until = self.limit.map_or(kept.next, |limit| kept.next.min(from.plus(limit)));
            if from >= until {
                continue;
            }
            let mut spec = ReadSpec::all(info.id, ShardId(shard));
            (spec.from, spec.until) = (From::Sequence(from), Some(until));
            read_all(&log, spec, |batch| writer.write(rows_as_shown(&self.stream, batch.rows)?))?;
        }
        writer.finish()?;
        log.close()?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Reads a bounded stretch of one shard.
fn read_all(log: &DiskLog, spec: ReadSpec, mut each: impl FnMut(ReadBatch) -> Result<()>) -> Result<()> {
    let mut reader = log.read(spec)?;
    while let Some(batch) = reader.next()? {
        each(batch)?;
    }
    Ok(())
}
