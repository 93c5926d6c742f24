//! `headwater log`: a data directory that no server has open, looked at and repaired; or a log on Kafka, looked at beside its server.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use headwater_core::{Sequence, ShardId, World};
use headwater_log::{DiskLog, DiskLogOptions, From, ReadBatch, ReadSpec};
use headwater_run::rows_as_shown;

use super::log_check::{Repair, Verify};
use crate::config::Config;
use crate::log_mark;
use crate::log_place::{LogArgs, LogPlace};
use crate::open::{USUAL_DATA, needs_log};
use crate::output::{self, OutputFormat, RowWriter};

const EXAMPLE: &str = "\
Example:
  headwater log ls --data /var/lib/headwater
  headwater log verify --data /var/lib/headwater
  headwater log dump weather --from 100 --limit 10
  headwater log ls --config fleet.toml            a log on Kafka, too, beside the server that writes it";

/// Look at a data directory that no server has open, or at a log on Kafka.
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

/// Which log.
#[derive(Args)]
pub(super) struct Place {
    /// The data directory [default: headwater-data]
    #[arg(long, value_name = "DIR", env = "HEADWATER_DATA")]
    data: Option<PathBuf>,
    /// A file of a server's settings, which says where its data directory or its log on Kafka is
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    log: LogArgs,
}

/// List streams and their segments.
#[derive(Args)]
#[command(after_help = "Example:\n  headwater log ls --data /var/lib/headwater")]
struct Ls {
    #[command(flatten)]
    place: Place,
}

/// Write the rows of a stream to standard output.
#[derive(Args)]
#[command(after_help = "Example:\n  headwater log dump weather --from 100 --limit 10 --format csv")]
struct Dump {
    /// The stream
    stream: String,
    #[command(flatten)]
    place: Place,
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

impl Place {
    /// The data directory, and where the log is.
    fn find(&self) -> Result<(PathBuf, LogPlace)> {
        let config = Config::read_if_given(self.config.as_deref())?;
        let data = self.data.clone().or(config.data).unwrap_or_else(|| USUAL_DATA.into());
        Ok((data, LogPlace::of(&self.log, config.log)?))
    }

    /// The directory of a log on disk. One that is misspelt is not to be made.
    pub fn directory(&self) -> Result<PathBuf> {
        let (data, place) = self.find()?;
        if let LogPlace::Kafka { name, .. } = place {
            bail!(
                "log {name} is on Kafka: its brokers keep and check its bytes, and no file of it is here to be verified or repaired; \
                 `headwater log ls` and `dump` look at it"
            );
        }
        log_mark::check(&World::real(), &data, &LogPlace::Disk)?;
        needs_log(&data)?;
        Ok(data)
    }

    /// Opens the log to look at it: retention waits for the server, whatever the clock says meanwhile.
    fn open(&self) -> Result<Arc<dyn headwater_log::Log>> {
        let world = World::real();
        if let Some(log) = self.find()?.1.look(&world)? {
            return Ok(log);
        }
        let dir = self.directory()?;
        let options = DiskLogOptions { maintains: false, ..DiskLogOptions::default() };
        let log =
            DiskLog::open(world, &dir, options).with_context(|| format!("cannot open {}", dir.display()))?;
        Ok(log)
    }
}

impl Ls {
    fn run(self) -> Result<ExitCode> {
        let log = self.place.open()?;
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
        let log = self.place.open()?;
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
            read_all(&*log, spec, |batch| writer.write(rows_as_shown(&self.stream, batch.rows)?))?;
        }
        writer.finish()?;
        log.close()?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Reads a bounded stretch of one shard.
fn read_all(
    log: &dyn headwater_log::Log,
    spec: ReadSpec,
    mut each: impl FnMut(ReadBatch) -> Result<()>,
) -> Result<()> {
    let mut reader = log.read(spec)?;
    while let Some(batch) = reader.next()? {
        each(batch)?;
    }
    Ok(())
}
