//! Opens the engine on a data directory.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use headwater_connectors::Allowed;
use headwater_core::World;
use headwater_log::DiskLogOptions;
use headwater_run::{Engine, EngineOptions, Keep};

use crate::config::Config;
use crate::host::Connectors;
use crate::log_mark;
use crate::log_place::{LogArgs, LogPlace};
use crate::memory::machine_memory;

/// The data directory unless given.
pub(crate) const USUAL_DATA: &str = "headwater-data";

/// Fails where nothing was ever kept: a directory that is misspelt is not to be made, nor a log in one of something else.
pub(crate) fn needs_log(data: &Path) -> Result<()> {
    ensure!(data.is_dir(), "{} is not a directory", data.display());
    ensure!(data.join("log").is_dir(), "{} is no data directory: there is no log in it", data.display());
    Ok(())
}

/// What a command opens that asks no server.
#[derive(Args, Clone, Debug)]
#[group(id = "local", multiple = true, args = ["data", "config"])]
pub(crate) struct Local {
    /// Open this data directory, which no server may have open
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Open what this file of a server's settings says: its data directory; or its log on Kafka, which is looked at beside that server
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    log: LogArgs,
}

impl Local {
    /// The engine that is to be opened; `None`: a server is to be asked.
    pub fn engine(self, tuning: Tuning) -> Result<Option<EngineArgs>> {
        if self.data.is_none() && self.config.is_none() && !self.log.is_given() {
            return Ok(None);
        }
        let config = Config::read_if_given(self.config.as_deref())?;
        EngineArgs::of(self.data, tuning, &self.log, &config).map(Some)
    }
}

/// Where the data is and how the engine runs on it.
#[derive(Args, Clone, Debug)]
pub(crate) struct EngineArgs {
    /// The data directory; made if missing
    #[arg(long, value_name = "DIR", default_value = "headwater-data", env = "HEADWATER_DATA")]
    pub data: PathBuf,
    #[command(flatten)]
    pub tuning: Tuning,
    /// What triggers may reach: the configuration file says it
    #[arg(skip)]
    pub allowed: Allowed,
    /// Where the log is
    #[arg(skip)]
    pub log: LogPlace,
}

/// What can be tuned; the defaults suit most machines.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Tuning {
    /// How many threads compute; as many as there are processors unless given
    #[arg(long, value_name = "N")]
    pub workers: Option<usize>,
    /// How often jobs take a checkpoint, in seconds
    #[arg(long, value_name = "SECONDS")]
    pub checkpoint_seconds: Option<u64>,
    /// Where checkpoints go, such as s3://bucket/path; the data directory unless given
    #[arg(long, value_name = "URL")]
    pub checkpoints: Option<String>,
    /// How much memory the state of jobs may take, in MiB, before it goes to the disk; half of the machine's unless given
    #[arg(long, value_name = "MIB")]
    pub state_memory_mib: Option<u64>,
    /// How much memory queries that run once may take together, in MiB, before sorts and the like go to the disk; a quarter of the
    /// machine's unless given
    #[arg(long, value_name = "MIB")]
    pub query_memory_mib: Option<u64>,
    /// After how many days a line of a job's journal may go although the rows of its step are there; never unless given
    #[arg(long, value_name = "DAYS")]
    pub keep_journals_days: Option<u64>,
    /// After how many days dead letters, late rows, deliveries and measurements of jobs may go; 90 unless given, 0: never
    #[arg(long, value_name = "DAYS")]
    pub keep_records_days: Option<u64>,
    /// How many idempotency keys each shard of a stream knows, the newest ones; 4096 unless given
    #[arg(long, value_name = "N")]
    pub idempotency_keys: Option<usize>,
}

const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(10);

/// How many bytes of decoded batches are kept for jobs that read the same rows at different times: a small part of the machine's memory.
fn decoded_bytes() -> usize {
    let part = machine_memory().map_or(0, |memory| memory / 128);
    part.clamp(32 << 20, 256 << 20) as usize
}

impl Tuning {
    /// What a file says where the command line says nothing.
    fn or(self, config: &Config) -> Self {
        Self {
            workers: self.workers.or(config.workers),
            checkpoint_seconds: self.checkpoint_seconds.or(config.checkpoint_seconds),
            checkpoints: self.checkpoints.or_else(|| config.checkpoints.clone()),
            state_memory_mib: self.state_memory_mib.or(config.state_memory_mib),
            query_memory_mib: self.query_memory_mib.or(config.query_memory_mib),
            keep_journals_days: self.keep_journals_days.or(config.keep_journals_days),
            idempotency_keys: self.idempotency_keys.or(config.idempotency_keys),
            keep_records_days: self.keep_records_days.or(config.keep_records_days),
        }
    }

    /// The engine's options for a data directory.
    pub fn options(&self, world: &World, data: PathBuf) -> EngineOptions {
        EngineOptions {
            data: Some(data),
            workers: self.workers.unwrap_or_else(|| world.tasks.parallelism()).max(1),
            checkpoint_interval: self.checkpoint_seconds.map_or(CHECKPOINT_INTERVAL, Duration::from_secs),
            checkpoints: self.checkpoints.clone(),
            state_memory: self.state_memory_mib.map(|mib| mib << 20).or_else(|| Some(machine_memory()? / 2)),
            query_memory: self.query_memory_mib.map(|mib| mib << 20).or_else(|| Some(machine_memory()? / 4)),
            step_rows_max: 1 << 20,
            step_bytes_max: 64 << 20,
            threaded_rows_min: EngineOptions::THREADED_ROWS_MIN,
            keep: self.keep(),
            log: self.log(),
        }
    }

    fn log(&self) -> DiskLogOptions {
        let usual = DiskLogOptions::default();
        let producers_remembered = self.idempotency_keys.unwrap_or(usual.producers_remembered);
        DiskLogOptions { producers_remembered, decoded_bytes: decoded_bytes(), ..usual }
    }

    fn keep(&self) -> Keep {
        let days = |days: u64| (days > 0).then(|| Duration::from_secs(days.saturating_mul(24 * 3_600)));
        let usual = Keep::default();
        Keep {
            journals: self.keep_journals_days.map_or(usual.journals, days),
            records: self.keep_records_days.map_or(usual.records, days),
            ..usual
        }
    }
}

impl EngineArgs {
    /// What the command line and the file come to; the command line wins.
    pub fn of(data: Option<PathBuf>, tuning: Tuning, log: &LogArgs, config: &Config) -> Result<Self> {
        Ok(Self {
            data: data.or_else(|| config.data.clone()).unwrap_or_else(|| USUAL_DATA.into()),
            tuning: tuning.or(config),
            allowed: config.allowed(),
            log: LogPlace::of(log, config.log.clone())?,
        })
    }

    /// Opens the engine, and all that its catalog names runs. The directory is locked until the engine is closed.
    pub fn open(&self) -> Result<Engine> {
        let (world, options, connectors) = self.parts();
        log_mark::check(&world, &self.data, &self.log)?;
        match self.log.open(&world)? {
            Some(log) => {
                log_mark::write(&world, &self.data, &self.log)?;
                Engine::open_with_log(world, options, log, connectors)
            }
            None => Engine::open(world, options, connectors),
        }
        .with_context(|| format!("cannot open {}", self.data.display()))
    }

    /// Opens the engine for a command that asks no server: what its catalog names stays at rest, unless it is to run meanwhile.
    pub fn open_here(&self, runs: bool) -> Result<Engine> {
        match &self.log {
            LogPlace::Disk if runs => self.open(),
            LogPlace::Kafka { name, .. } if runs => bail!(
                "the jobs and connectors of log {name} on Kafka run in the server that writes it; ask that server, with --url, or \
                 start one, with `headwater serve`"
            ),
            _ => self.open_at_rest(),
        }
    }

    /// Opens the engine for a command that has nothing to do where there is no log yet.
    pub fn open_existing(&self, runs: bool) -> Result<Engine> {
        if let LogPlace::Disk = self.log {
            log_mark::check(&World::real(), &self.data, &self.log)?;
            needs_log(&self.data)?;
        }
        self.open_here(runs)
    }

    /// Opens the engine to look: what its catalog names stays at rest. A log on Kafka is looked at beside the server that writes it.
    fn open_at_rest(&self) -> Result<Engine> {
        let (world, options, connectors) = self.parts();
        match self.log.look(&world)? {
            Some(log) => {
                Engine::look_at(world, options, log, connectors).context("cannot look at the log on Kafka")
            }
            None => {
                log_mark::check(&world, &self.data, &self.log)?;
                Engine::open_at_rest(world, options, connectors)
                    .with_context(|| format!("cannot open {}", self.data.display()))
            }
        }
    }

    fn parts(&self) -> (World, EngineOptions, Arc<Connectors>) {
        let world = World::real();
        let options = self.tuning.options(&world, self.data.clone());
        headwater_connectors::registry::add(&headwater_mqtt::connector::CONNECTOR);
        headwater_wamp::connector::add();
        headwater_connectors::add_publisher(&headwater_wamp::connector::PUBLISHER);
        headwater_connectors::add_publisher(&headwater_mqtt::connector::PUBLISHER);
        headwater_databases::add();
        headwater_connectors::registry::add(&headwater_kafka::CONNECTOR);
        headwater_connectors::registry::add(&headwater_kafka::UPSERT);
        headwater_aws::CONNECTORS.into_iter().for_each(headwater_connectors::registry::add);
        headwater_connectors::add_actuator(headwater_aws::ACTUATOR);
        let connectors = Arc::new(Connectors::new(world.clone(), self.allowed.clone()));
        (world, options, connectors)
    }
}
