//! One trigger's deliveries at work.
//!
//! ```text
//!  stream of firings   stored cursor       cursor                          read so far      end
//!  --------------------|-------------------|-------------------------------|----------------|
//!                      | out, not yet      | some out, some on their way,  | not yet read
//!                      | stored as such    | some waiting for their key    |
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use headwater_core::{Epoch, Sequence, ShardId, World};
use headwater_ingest::{Mark, Marks, SourceStep};
use headwater_log::{From as ReadFrom, Log, ReadBatch, ReadSpec, Reader, StreamInfo};
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::attempt::{Sender, Way};
use super::body::Delivery;
use super::config::Settings;
use super::firing::{Firing, firings};
use super::lanes::{Lanes, Waiting};
use super::ledger::{Ledger, Outcome, Past};
use super::limit::Bucket;
use crate::backoff::Backoff;
use crate::blocking::{next_batch, on_thread};
use crate::error::{ConnectorError, Result};
use crate::status::{Board, State};
use crate::task::{Next, STORE_INTERVAL, TaskContext, after_failure};

/// How many firings wait or are on their way at most, the fewest of them in memory.
const OPEN_MAX: usize = 65_536;

/// How many deliveries of a trigger are on their way at a time; those that wait for another try do not count.
const SENDING_MAX: usize = 8;

/// The partition under which the cursor is stored.
const CURSOR: &str = "0";

/// The partition under which the row of the ledger is stored from which on attempts of firings behind the cursor are written down.
const ATTEMPTS: &str = "attempts";

/// The deliveries of one trigger.
pub(crate) struct DeliveryTask {
    world: World,
    log: Arc<dyn Log>,
    cursors: Arc<Marks>,
    board: Arc<Board>,
    stopped: watch::Receiver<bool>,
    info: Arc<StreamInfo>,
    settings: Arc<Settings>,
    epoch: Epoch,
    step: u64,
    stored: u64,
    stored_at: Instant,
    bucket: Option<Arc<Mutex<Bucket>>>,
    ledger: Ledger,
    /// What former lives have written down.
    past: Arc<Past>,
    /// The first firing that no former life can have known.
    unknown: u64,
    /// Firings that were read, and the row of the ledger that came next then: those from one on are written down behind it.
    read_at: VecDeque<(u64, u64)>,
}

/// The cursor's owner: not the trigger's name alone, which a trigger that was dropped may have had before.
fn owner_of(firings: &StreamInfo) -> String {
    format!("trigger {} {}", firings.spec.name, firings.id)
}

/// Lets deliveries begin with a firing, whatever they had come to: those before it are told nobody. Blocks.
pub(crate) fn begin_at(cursors: &Marks, firings: &StreamInfo, first: Sequence) -> Result<()> {
    let owner = owner_of(firings);
    let place = cursors.claim(&owner)?;
    let marks = vec![Mark { partition: CURSOR.to_owned(), position: first.0.to_string() }];
    cursors.store(&SourceStep { source: owner, epoch: place.epoch, step: place.step + 1, marks })?;
    Ok(())
}

/// A delivery that has come to its end.
struct Done {
    key: String,
    sequences: Vec<u64>,
    result: Result<Outcome>,
}

impl DeliveryTask {
    pub(crate) fn new(context: TaskContext, info: Arc<StreamInfo>, settings: Settings) -> Result<Self> {
        let TaskContext { world, log, cursors, board, stopped } = context;
        let bucket = settings.rate.map(|rate| Bucket::new(rate, world.clock.monotonic()));
        let bucket = bucket.map(|bucket| Arc::new(Mutex::new(bucket)));
        Ok(Self {
            ledger: Ledger::open(Arc::clone(&log))?,
            past: Arc::default(),
            unknown: 0,
            read_at: VecDeque::new(),
            world,
            log,
            cursors,
            board,
            stopped,
            info,
            settings: Arc::new(settings),
            epoch: Epoch(0),
            step: 0,
            stored: 0,
            stored_at: Instant::now(),
            bucket,
        })
    }

    /// Runs until it is told to stop, or the log fails for good.
    pub(crate) async fn run(mut self) {
        let mut backoff = Backoff::default();
        loop {
            let error = match self.run_once().await {
                Ok(()) => return self.board.state(State::Stopped),
                Err(error) => error,
            };
            let wait = || backoff.next(&self.world);
            match after_failure(&error, wait, &self.board, &mut self.stopped).await {
                Next::Again => {}
                Next::Stop => return self.board.state(State::Stopped),
                Next::Fail => return,
            }
        }
    }

    async fn run_once(&mut self) -> Result<()> {
        let from = self.claim().await?;
        let spec =
            ReadSpec { from: ReadFrom::Sequence(Sequence(from)), ..ReadSpec::all(self.info.id, ShardId(0)) };
        let mut reader = Some(self.log.read(spec)?);
        let mut lanes = Lanes::new(self.settings.grouping, from);
        let sender = Arc::new(self.sender()?);
        let slots = Arc::new(Semaphore::new(SENDING_MAX));
        let mut sending: JoinSet<Done> = JoinSet::new();
        let wake = Arc::new(Notify::new());
        let waker = Arc::clone(&wake);
        let _guard = self.log.on_commit(&[self.info.id], Arc::new(move || waker.notify_one()));
        self.board.state(State::Running);
        loop {
            // Asked for before reading, so that no commit in between is missed.
            let woken = wake.notified();
            let has_read = self.read_some(&mut reader, &mut lanes).await?;
            let next_token = self.start_some(&mut lanes, &sender, &slots, &mut sending);
            self.board.reached(lanes.cursor(), self.lag(&lanes)?);
            self.store(lanes.cursor(), false).await?;
            if *self.stopped.borrow() {
                // What is on its way is cut short: it comes again, under the same key.
                sending.abort_all();
                return self.store(lanes.cursor(), true).await;
            }
            if has_read {
                continue;
            }
            let group = lanes.wakes_in(self.world.clock.monotonic());
            let store = (lanes.cursor() != self.stored).then_some(STORE_INTERVAL);
            let wait =
                [next_token, group, store].into_iter().flatten().min().unwrap_or(Duration::from_secs(3_600));
            let mut stopped = self.stopped.clone();
            tokio::select! {
                () = woken => {}
                () = tokio::time::sleep(wait) => {}
                Some(done) = sending.join_next() => self.note(done, &mut lanes)?,
                // An error says that the handle is gone, which means the same.
                _ = stopped.wait_for(|stop| *stop) => {}
            }
        }
    }

    fn note(&self, done: std::result::Result<Done, tokio::task::JoinError>, lanes: &mut Lanes) -> Result<()> {
        let done = done.map_err(|error| ConnectorError::refused("deliver", error))?;
        match done.result? {
            Outcome::Delivered => self.board.moved(done.sequences.len() as u64, 0),
            _ => self.board.moved(0, done.sequences.len() as u64),
        }
        lanes.done(&done.key, &done.sequences);
        Ok(())
    }

    fn sender(&self) -> Result<Sender> {
        let client = match &self.settings.way {
            Way::Webhook(webhook) => Some(webhook.client()?),
            Way::Program(_) | Way::Publish(_) => None,
        };
        let board = Arc::clone(&self.board);
        Ok(Sender {
            world: self.world.clone(),
            settings: Arc::clone(&self.settings),
            ledger: self.ledger.clone(),
            bucket: self.bucket.clone(),
            client,
            on_failure: Box::new(move |reason| {
                board.failed(&ConnectorError::outage("deliver", reason), State::Running);
            }),
        })
    }

    /// Reads some firings, if there is room; whether there may be more.
    async fn read_some(&mut self, reader: &mut Option<Box<dyn Reader>>, lanes: &mut Lanes) -> Result<bool> {
        if lanes.len() >= OPEN_MAX {
            return Ok(false);
        }
        let Some(ReadBatch { first, rows, .. }) = next_batch(reader).await? else { return Ok(false) };
        if first.0 >= self.unknown {
            self.read_at.push_back((first.0, self.ledger.end()?));
        }
        let now = self.world.clock.monotonic();
        for firing in firings(first.0, &rows)? {
            match self.past.is_settled(firing.sequence) {
                true => lanes.skip(firing.sequence),
                false => lanes.push(firing.key(&self.settings.lane_by), firing, now),
            }
        }
        Ok(true)
    }

    /// Starts what can be started; how long until the rate lets something pass that is held back.
    fn start_some(
        &mut self,
        lanes: &mut Lanes,
        sender: &Arc<Sender>,
        slots: &Arc<Semaphore>,
        sending: &mut JoinSet<Done>,
    ) -> Option<Duration> {
        loop {
            let now = self.world.clock.monotonic();
            if !lanes.is_ready(now) {
                return None;
            }
            let held_back = self.bucket.as_ref().and_then(|bucket| bucket.lock().take(now).err());
            if let Some(wait) = held_back.filter(|_| !self.settings.drop_over_rate) {
                return Some(wait);
            }
            let (key, firings) = lanes.take(now)?;
            let (log, info) = (Arc::clone(&self.log), Arc::clone(&self.info));
            let (sender, slots, past) = (Arc::clone(sender), Arc::clone(slots), Arc::clone(&self.past));
            let grouped = self.settings.grouping.is_some();
            sending.spawn(async move {
                let sequences = firings.iter().map(Waiting::sequence).collect();
                let result = async {
                    let (trigger, stream) = (info.spec.name.to_string(), info.id.to_string());
                    let firings = fetch(log, info, firings).await?;
                    if firings.is_empty() {
                        return Ok(Outcome::Dropped);
                    }
                    let delivery = Delivery { trigger, stream, firings, grouped };
                    match held_back {
                        Some(_) => sender.drop_over_rate(&key, &delivery).await,
                        None => {
                            let attempts = past.attempts(&delivery.id());
                            sender.deliver(&key, &delivery, attempts, &slots).await
                        }
                    }
                };
                let result = result.await;
                Done { key, sequences, result }
            });
        }
    }

    /// Fences off what is left of a former self, and answers where that stood.
    async fn claim(&mut self) -> Result<u64> {
        let (cursors, owner) = (Arc::clone(&self.cursors), owner_of(&self.info));
        let place = on_thread(move || cursors.claim(&owner)).await??;
        (self.epoch, self.step) = (place.epoch, place.step);
        let position = |partition: &str| -> Option<u64> { place.positions.get(partition)?.parse().ok() };
        let (stored, written) = (position(CURSOR).unwrap_or(0), position(ATTEMPTS));
        self.stored = stored;
        let bounds = self.log.bounds(self.info.id)?[0];
        let is_new = written.is_none();
        let written = written.map_or_else(|| self.ledger.end(), Ok)?;
        (self.read_at, self.unknown) = (VecDeque::from([(0, written)]), bounds.next.0);
        if is_new {
            // Attempts count from the first one on, also if the cursor never moves.
            self.put(stored).await?;
        }
        let (ledger, ids) = (self.ledger.clone(), format!("{}/{}/", self.info.spec.name, self.info.id));
        self.past = Arc::new(on_thread(move || ledger.past(written, &ids)).await??);
        Ok(stored.max(bounds.first.0))
    }

    async fn store(&mut self, cursor: u64, at_once: bool) -> Result<()> {
        if cursor == self.stored || !(at_once || self.stored_at.elapsed() >= STORE_INTERVAL) {
            return Ok(());
        }
        self.put(cursor).await
    }

    async fn put(&mut self, cursor: u64) -> Result<()> {
        self.step += 1;
        while self.read_at.get(1).is_some_and(|(first, _)| *first <= cursor) {
            self.read_at.pop_front();
        }
        let written = self.read_at.front().map_or(0, |(_, row)| *row);
        let mark = |partition: &str, position: u64| Mark {
            partition: partition.to_owned(),
            position: position.to_string(),
        };
        let marks = vec![mark(CURSOR, cursor), mark(ATTEMPTS, written)];
        let step = SourceStep { source: owner_of(&self.info), epoch: self.epoch, step: self.step, marks };
        let cursors = Arc::clone(&self.cursors);
        on_thread(move || cursors.store(&step)).await??;
        (self.stored, self.stored_at) = (cursor, Instant::now());
        Ok(())
    }

    fn lag(&self, lanes: &Lanes) -> Result<u64> {
        Ok(self.log.bounds(self.info.id)?[0].next.0.saturating_sub(lanes.cursor()))
    }
}

/// The firings themselves, those that are not in memory from the log; without those that retention has taken by now. They are in order.
async fn fetch(log: Arc<dyn Log>, info: Arc<StreamInfo>, waiting: Vec<Waiting>) -> Result<Vec<Firing>> {
    let mut found: BTreeMap<u64, Option<Firing>> = BTreeMap::new();
    for one in waiting {
        match one {
            Waiting::Here(firing) => found.insert(firing.sequence, Some(firing)),
            Waiting::InLog(sequence) => found.insert(sequence, None),
        };
    }
    let missing = |found: &BTreeMap<u64, Option<Firing>>| {
        let mut missing = found.iter().filter(|(_, firing)| firing.is_none()).map(|(sequence, _)| *sequence);
        missing.next().map(|first| (first, missing.next_back().unwrap_or(first)))
    };
    let Some((first, last)) = missing(&found) else { return Ok(found.into_values().flatten().collect()) };
    let read = move || -> Result<Vec<Firing>> {
        let kept = log.bounds(info.id)?[0].first.0;
        let mut spec = ReadSpec::all(info.id, ShardId(0));
        spec.from = ReadFrom::Sequence(Sequence(first.max(kept)));
        spec.until = Some(Sequence(last + 1));
        let mut reader = log.read(spec)?;
        while let Some(ReadBatch { first, rows, .. }) = reader.next()? {
            for firing in firings(first.0, &rows)? {
                if let Some(place @ None) = found.get_mut(&firing.sequence) {
                    *place = Some(firing);
                }
            }
        }
        Ok(found.into_values().flatten().collect())
    };
    on_thread(read).await?
}
