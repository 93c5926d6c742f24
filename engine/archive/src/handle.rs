//! A running archive: a task that archives, and what is known of it for those who read or watch.
//!
//! An outage is waited out, with growing pauses; nothing is lost meanwhile, because the log keeps what is not committed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use headwater_core::world::{Task, Tasks, Turn};
use headwater_core::{EventTime, World};
use headwater_log::{Log, StreamInfo};
use parking_lot::{Mutex, RwLock};
use parquet::file::metadata::ParquetMetaData;

use crate::ahead::AheadBytes;
use crate::archiver::{Archiver, Stepped};
use crate::attach::attach;
use crate::error::{ArchiveError, Result};
use crate::identity::Identity;
use crate::ledger::Ledger;
use crate::manifest::Manifest;
use crate::place::Place;
use crate::settings::Settings;
use crate::upload::Progress;

/// The shortest and the longest pause after an error.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(60));
/// How often it is looked whether rows are due.
const LOOK: Duration = Duration::from_secs(1);
/// How often it is looked whether somebody else has changed the manifest.
const REFRESH: Duration = Duration::from_secs(30);
/// So many files' footers are remembered.
const FOOTERS: usize = 512;

/// The footers of files that were read.
#[derive(Default)]
pub(crate) struct Footers(Mutex<HashMap<String, Arc<ParquetMetaData>>>);

impl Footers {
    pub fn get(&self, path: &str) -> Option<Arc<ParquetMetaData>> {
        self.0.lock().get(path).cloned()
    }

    pub fn keep(&self, path: &str, footer: &Arc<ParquetMetaData>) {
        let mut footers = self.0.lock();
        if footers.len() >= FOOTERS {
            footers.clear();
        }
        footers.insert(path.to_owned(), Arc::clone(footer));
    }
}

/// How an archive does, for people and metrics.
#[derive(Clone, Debug)]
pub struct ArchiveStatus {
    /// `starting`, `running`, `retrying` after an error that may pass, or `failed` after one that needs somebody.
    pub state: &'static str,
    /// The stream.
    pub stream: String,
    /// Where it lies.
    pub place: String,
    /// Committed ranges, files, rows and bytes.
    pub ranges: u64,
    /// Committed files.
    pub files: u64,
    /// Committed rows.
    pub rows: u64,
    /// Committed bytes.
    pub bytes: u64,
    /// Rows of the log that are not committed.
    pub lag: u64,
    /// When the last range was committed by this process.
    pub committed: Option<EventTime>,
    /// The file that is being put, how many of its bytes are there, and how many it has.
    pub upload: Option<(String, u64, u64)>,
    /// Parts of uploads that were found there after a crash.
    pub parts_resumed: u64,
    /// Tries in a row that failed.
    pub retries: u32,
    /// Why the last of them failed; `None` since archiving goes on.
    pub last_error: Option<String>,
}

/// A running archive. Dropping it stops it after its current step; what was begun is gone on with when it is started again.
pub struct Archive {
    info: Arc<StreamInfo>,
    place: Place,
    identity: Identity,
    io: Io,
    world: World,
    manifest: RwLock<Option<Arc<Manifest>>>,
    footers: Arc<Footers>,
    /// What its readers hold that they have not come to yet.
    ahead: Arc<AheadBytes>,
    status: Mutex<ArchiveStatus>,
    progress: Arc<Progress>,
    task: Mutex<Option<Task>>,
}

/// Waits for answers of a store on a thread that may block.
#[derive(Clone)]
pub(crate) struct Io {
    runtime: tokio::runtime::Handle,
    tasks: Arc<dyn Tasks>,
}

impl Io {
    pub fn wait<T>(&self, answer: impl Future<Output = T>) -> T {
        self.tasks.give_way();
        tokio::task::block_in_place(|| self.runtime.block_on(answer))
    }

    /// Waits for something else on a thread that may block.
    pub fn pause<T>(&self, wait: impl FnOnce() -> T) -> T {
        self.tasks.give_way();
        tokio::task::block_in_place(wait)
    }

    /// Does work that waits for answers on a thread of its own.
    pub fn beside(&self, work: impl FnOnce(&Self) + Send + 'static) {
        let io = self.clone();
        drop(self.runtime.spawn_blocking(move || work(&io)));
    }
}

impl Archive {
    /// Takes a place for a stream's archive, if that can be: what `CREATE ARCHIVE` asks first. Blocks.
    pub fn claim(
        world: &World,
        log: &Arc<dyn Log>,
        info: &Arc<StreamInfo>,
        place: &Place,
        settings: &Settings,
        runtime: tokio::runtime::Handle,
    ) -> Result<()> {
        let opening = async {
            if settings.attach {
                attach(world, &**log, info, place, settings).await?;
            }
            let (world, log, info) = (world.clone(), Arc::clone(log), Arc::clone(info));
            Archiver::open(world, log, info, place.clone(), settings.clone(), Arc::default()).await
        };
        Io { runtime, tasks: Arc::clone(&world.tasks) }.wait(opening).map(drop)
    }

    /// Starts archiving. A store that is away is waited for.
    pub fn start(
        world: &World,
        log: Arc<dyn Log>,
        info: Arc<StreamInfo>,
        place: Place,
        settings: Settings,
        runtime: tokio::runtime::Handle,
    ) -> Arc<Self> {
        let archive = Self::of(world, info, place, &settings, runtime, "starting");
        let mut driver = Driver {
            archive: Arc::downgrade(&archive),
            log,
            settings,
            archiver: None,
            refreshed: Duration::ZERO,
        };
        let name = format!("archive-{}", archive.info.spec.name);
        let task = world.tasks.spawn(&name, Box::new(move || driver.turn()));
        *archive.task.lock() = Some(task);
        archive
    }

    /// The archive to read from: nothing is archived.
    pub fn at_rest(
        world: &World,
        info: Arc<StreamInfo>,
        place: Place,
        settings: &Settings,
        runtime: tokio::runtime::Handle,
    ) -> Arc<Self> {
        Self::of(world, info, place, settings, runtime, "at rest")
    }

    fn of(
        world: &World,
        info: Arc<StreamInfo>,
        place: Place,
        settings: &Settings,
        runtime: tokio::runtime::Handle,
        state: &'static str,
    ) -> Arc<Self> {
        let status = ArchiveStatus {
            state,
            stream: info.spec.name.to_string(),
            place: place.shown().to_owned(),
            ranges: 0,
            files: 0,
            rows: 0,
            bytes: 0,
            lag: 0,
            committed: None,
            upload: None,
            parts_resumed: 0,
            retries: 0,
            last_error: None,
        };
        Arc::new(Self {
            identity: Identity::of(&info, settings.partition),
            info,
            place,
            io: Io { runtime, tasks: Arc::clone(&world.tasks) },
            world: world.clone(),
            manifest: RwLock::default(),
            footers: Arc::default(),
            ahead: Arc::default(),
            status: Mutex::new(status),
            progress: Arc::default(),
            task: Mutex::default(),
        })
    }

    /// Stops archiving after the current step. Blocks.
    pub fn stop(&self) {
        let task = self.task.lock().take();
        drop(task);
    }

    /// The stream.
    pub fn info(&self) -> &Arc<StreamInfo> {
        &self.info
    }

    /// Where it lies.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// How it does.
    pub fn status(&self) -> ArchiveStatus {
        let mut status = self.status.lock().clone();
        status.upload = self.progress.now();
        status.parts_resumed = self.progress.parts_resumed();
        status
    }

    /// What is committed. If that is not known yet, it is read now, which blocks.
    pub fn manifest(&self) -> Result<Arc<Manifest>> {
        if let Some(known) = &*self.manifest.read() {
            return Ok(Arc::clone(known));
        }
        self.reload()
    }

    /// Reads the manifest anew. Blocks.
    pub(crate) fn reload(&self) -> Result<Arc<Manifest>> {
        let ledger = self.io.wait(async {
            let found = Identity::read(&self.place).await?;
            let ledger = Ledger::open(&self.world, self.place.clone()).await?;
            let found = found.as_of(ledger.manifest());
            if found != self.identity {
                let reason =
                    format!("the archive of another stream is there: {} of {}", found.stream, found.created);
                return Err(ArchiveError::Foreign { place: self.place.shown().to_owned(), reason });
            }
            Ok(ledger)
        })?;
        Ok(self.learn(ledger.manifest()))
    }

    /// Takes over a manifest unless a newer one is known.
    fn learn(&self, manifest: &Manifest) -> Arc<Manifest> {
        let mut known = self.manifest.write();
        match &*known {
            Some(known) if known.number() >= manifest.number() => Arc::clone(known),
            _ => Arc::clone(known.insert(Arc::new(manifest.clone()))),
        }
    }

    pub(crate) fn io(&self) -> &Io {
        &self.io
    }

    pub(crate) fn footers(&self) -> &Arc<Footers> {
        &self.footers
    }

    pub(crate) fn ahead(&self) -> &Arc<AheadBytes> {
        &self.ahead
    }
}

/// What the task works with.
struct Driver {
    archive: std::sync::Weak<Archive>,
    log: Arc<dyn Log>,
    settings: Settings,
    archiver: Option<Archiver>,
    refreshed: Duration,
}

impl Driver {
    fn turn(&mut self) -> Turn {
        let Some(archive) = self.archive.upgrade() else { return Turn::Done };
        match self.try_turn(&archive) {
            Ok(turn) => turn,
            Err(error) => {
                // What waits goes on growing meanwhile.
                let lag = self.archiver.as_ref().and_then(|archiver| archiver.lag().ok());
                let mut status = archive.status.lock();
                status.lag = lag.unwrap_or(status.lag);
                status.retries += 1;
                status.state = if error.is_retryable() { "retrying" } else { "failed" };
                let text = format!("{} {error}", error.code());
                if status.last_error.as_ref() != Some(&text) {
                    tracing::warn!(
                        stream = status.stream,
                        error = text,
                        "archiving failed and is tried again"
                    );
                }
                status.last_error = Some(text);
                let pause = PAUSE.0.saturating_mul(1 << status.retries.min(16)).min(PAUSE.1);
                // Between half of it and all of it, so that many archives do not come back at once.
                let jitter = archive.world.random.next() % (pause.as_millis() as u64 / 2 + 1);
                Turn::Wait(Some(pause - Duration::from_millis(jitter)))
            }
        }
    }

    fn try_turn(&mut self, archive: &Archive) -> Result<Turn> {
        let now = archive.world.clock.monotonic();
        if self.archiver.is_none() {
            let opening = Archiver::open(
                archive.world.clone(),
                Arc::clone(&self.log),
                Arc::clone(&archive.info),
                archive.place.clone(),
                self.settings.clone(),
                Arc::clone(&archive.progress),
            );
            self.archiver = Some(archive.io.wait(opening)?);
            self.refreshed = now;
        }
        let Some(archiver) = &mut self.archiver else { return Ok(Turn::Again) };
        if now.saturating_sub(self.refreshed) >= REFRESH {
            archive.io.wait(archiver.refresh())?;
            self.refreshed = now;
        }
        let stepped = archive.io.wait(archiver.step())?;
        archiver.release()?;
        let known = archive.learn(archiver.manifest());
        // What has come of the step is told together with that it has succeeded.
        let mut status = archive.status.lock();
        (status.state, status.retries, status.last_error) = ("running", 0, None);
        if stepped == Stepped::Committed {
            status.committed = Some(archive.world.clock.now());
        }
        status.ranges = known.all_ranges().count() as u64;
        status.files = known.files().count() as u64;
        status.rows = known.files().map(|file| file.rows).sum();
        status.bytes = known.files().map(|file| file.bytes).sum();
        status.lag = archiver.lag()?;
        Ok(match stepped {
            Stepped::Idle(wait) => {
                Turn::Wait(Some(wait.map_or(LOOK, |wait| wait.clamp(Duration::from_millis(10), LOOK))))
            }
            _ => Turn::Again,
        })
    }
}
