//! One sink at work: read each shard from its cursor, deliver, flush, and keep the cursor.
//!
//! ```text
//!  a shard   stored cursor        flushed            delivered        next
//!  ----------|--------------------|------------------|----------------|
//!            | safe outside, here: | on its way       | not yet read   |
//!            | not yet stored      |                  |                |
//! ```
//!
//! After an outage the sink is opened anew at the flushed cursor, after a crash at the stored one. So what lies between stored and
//! flushed comes twice after a crash, unless the sink finds its own place outside.

mod place;
mod reading;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use headwater_core::{Epoch, Sequence, ShardId, World};
use headwater_ingest::Marks;
use headwater_log::{From as ReadFrom, Log, ReadBatch, ReadSpec, Reader, StreamInfo};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use self::place::Named;
use crate::backoff::Backoff;
use crate::connector::{Cursor, Delivery, Sink};
use crate::error::{ConnectorError, Result};
use crate::narrow::{Narrow, Verdict};
use crate::parking::Parking;
use crate::retry::Retry;
use crate::status::{Board, State};
use crate::task::{Next, STORE_INTERVAL, TaskContext, after_failure};

/// How long a delivery may go on after the sink was told to stop.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// One sink at work.
pub(crate) struct SinkTask<M> {
    world: World,
    log: Arc<dyn Log>,
    cursors: Arc<Marks>,
    board: Arc<Board>,
    stopped: watch::Receiver<bool>,
    name: String,
    info: Arc<StreamInfo>,
    /// The columns that are delivered; `None`: all of them.
    columns: Option<Vec<usize>>,
    make: M,
    backoff: Backoff,
    /// What is safe outside; `None` before the stored cursor was read.
    flushed: Option<Cursor>,
    epoch: Epoch,
    step: u64,
    stored_at: Option<Instant>,
    is_stored: bool,
    parking: Parking,
    /// The rows that were tried last and failed, while the sink says how often that may be.
    failing: Option<Failing>,
    /// The delivery that was under way when the cursor was stored.
    named: Option<Named>,
    /// Rows go one at a time, since the other side has hung up.
    narrow: Option<Narrow>,
}

/// Rows that could not be delivered.
struct Failing {
    shard: ShardId,
    first: Sequence,
    rows: usize,
    attempts: u32,
    wait: Duration,
}

/// A sink that is open, and what it was given.
struct Open {
    sink: Box<dyn Sink>,
    /// By shard; one whose read was cut short is gone.
    readers: Vec<Option<Box<dyn Reader>>>,
    /// The row after the last that was delivered, by shard.
    delivered: BTreeMap<ShardId, Sequence>,
    /// When the oldest row was delivered that is not yet flushed.
    waiting_since: Option<Instant>,
    /// Rows that were read and are more than a delivery may have.
    rest: Option<(usize, ReadBatch)>,
    /// When the sink is asked what time has made due; `None`: after the next flush.
    tick_at: Option<Instant>,
}

impl Open {
    /// Lets the sink do what time has made due, if it is time, and says how long it is until the next.
    async fn tick(&mut self) -> Result<Option<Duration>> {
        let Some(at) = self.tick_at else { return Ok(None) };
        let left = at.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            return Ok(Some(left));
        }
        let next = self.sink.on_tick().await?;
        self.tick_at = next.map(|wait| Instant::now() + wait);
        Ok(next)
    }
}

impl<M: Fn() -> Result<Box<dyn Sink>> + Send> SinkTask<M> {
    pub(crate) fn new(
        context: TaskContext,
        name: String,
        info: Arc<StreamInfo>,
        make: M,
        parking: Parking,
    ) -> Self {
        let TaskContext { world, log, cursors, board, stopped } = context;
        Self {
            world,
            log,
            cursors,
            board,
            stopped,
            name,
            info,
            columns: None,
            make,
            backoff: Backoff::default(),
            flushed: None,
            epoch: Epoch(0),
            step: 0,
            stored_at: None,
            is_stored: true,
            parking,
            failing: None,
            named: None,
            narrow: None,
        }
    }

    /// The same of some columns of the stream alone.
    pub(crate) fn of_columns(self, columns: Option<Vec<usize>>) -> Self {
        Self { columns, ..self }
    }

    /// Runs until the task is told to stop, or the sink fails for good.
    pub(crate) async fn run(mut self) {
        let wake = Arc::new(Notify::new());
        let waker = Arc::clone(&wake);
        let _guard = self.log.on_commit(&[self.info.id], Arc::new(move || waker.notify_one()));
        loop {
            let error = match self.run_once(&wake).await {
                Ok(()) => return self.board.state(State::Stopped),
                Err(error) => error,
            };
            if matches!(error, ConnectorError::HungUp { .. }) {
                self.narrow.get_or_insert_default();
            }
            let failing = self.failing.as_ref().map(|failing| failing.wait);
            let wait = || failing.unwrap_or_else(|| self.backoff.next(&self.world));
            match after_failure(&error, wait, &self.board, &mut self.stopped).await {
                Next::Again => {}
                Next::Stop => return self.board.state(State::Stopped),
                Next::Fail => return,
            }
        }
    }

    /// Opens the sink and runs it until it is told to stop.
    async fn run_once(&mut self, wake: &Notify) -> Result<()> {
        let stored = match &self.flushed {
            Some(cursor) => cursor.clone(),
            None => self.stored_cursor().await?,
        };
        let mut sink = (self.make)()?;
        let cursor = sink.open(stored.clone()).await?;
        let mut open = self.readers_from(sink, &cursor)?;
        self.show(&open.delivered);
        // What the sink wants to be known before anything is delivered is stored before.
        self.is_stored = cursor == stored;
        self.named =
            Some(&cursor.note).filter(|_| open.sink.names_deliveries()).and_then(|note| Named::read(note));
        self.flushed = Some(cursor);
        self.store(true).await?;
        self.board.state(State::Running);
        let run = self.pump(&mut open, wake).await;
        let closed = open.sink.close().await;
        if let Err(error) = &run
            && error.is_retryable()
        {
            // What is safe outside is not forgotten, whatever happens to this process while it waits.
            self.store(true).await?;
        }
        if run.is_err()
            && let Some(flushed) = &self.flushed
        {
            // What was delivered and is not safe outside waits again. If the log has failed, too, the first error is told.
            let _ = self.show_lag(&flushed.next);
        }
        run?;
        closed
    }

    async fn pump(&mut self, open: &mut Open, wake: &Notify) -> Result<()> {
        loop {
            if *self.stopped.borrow() {
                self.flush(open).await?;
                // What it can still do it does now, whenever it wanted to be asked.
                open.tick_at = Some(Instant::now());
                open.tick().await?;
                return self.store(true).await;
            }
            // Asked for before reading, so that no commit in between is missed.
            let woken = wake.notified();
            let delivered = self.deliver_some(open).await?;
            let linger = open.sink.linger();
            let is_due = open.waiting_since.is_some_and(|since| since.elapsed() >= linger);
            if open.sink.is_full() || is_due {
                self.flush(open).await?;
            }
            let tick_in = open.tick().await?;
            self.store(false).await?;
            if delivered {
                continue;
            }
            let flush_in = open.waiting_since.map(|since| linger.saturating_sub(since.elapsed()));
            let store_in = (!self.is_stored).then_some(STORE_INTERVAL);
            let wait = flush_in
                .into_iter()
                .chain(store_in)
                .chain(tick_in)
                .min()
                .unwrap_or(Duration::from_secs(3_600));
            let mut stopped = self.stopped.clone();
            tokio::select! {
                () = woken => {}
                () = tokio::time::sleep(wait) => {}
                // An error says that the handle is gone, which means the same.
                _ = stopped.wait_for(|stop| *stop) => {}
            }
        }
    }

    /// Reads from each shard in turn and delivers; `false` if there was nothing.
    async fn deliver_some(&mut self, open: &mut Open) -> Result<bool> {
        let mut any = false;
        // Also before: if delivering fails, somebody will want to know how much waits.
        self.show_lag(&open.delivered)?;
        for shard in 0..open.readers.len() {
            while let Some(delivery) = self.next_delivery(open, shard).await? {
                any = true;
                match self.narrow {
                    None => self.send(open, delivery).await?,
                    Some(_) => self.send_alone(open, delivery).await?,
                }
                if *self.stopped.borrow() {
                    self.show_lag(&open.delivered)?;
                    return Ok(true);
                }
                if open.rest.is_none() {
                    // The other shards have their turn.
                    break;
                }
            }
        }
        self.show_lag(&open.delivered)?;
        Ok(any)
    }

    /// Delivers rows, and flushes if it is time.
    async fn send(&mut self, open: &mut Open, delivery: Delivery) -> Result<()> {
        let (shard, next, rows) = (delivery.shard, delivery.next(), delivery.rows.num_rows() as u64);
        open.waiting_since.get_or_insert_with(Instant::now);
        if open.sink.names_deliveries() {
            self.store_name(&delivery).await?;
        }
        self.deliver(open, delivery).await?;
        open.delivered.insert(shard, next);
        self.board.moved(rows, 0);
        if open.sink.is_full() || self.narrow.is_some() {
            self.flush(open).await?;
            self.store(false).await?;
        }
        Ok(())
    }

    /// Delivers one row and waits for the answer. If the other side hangs up over it again and again, it is put aside.
    async fn send_alone(&mut self, open: &mut Open, row: Delivery) -> Result<()> {
        let sent = self.send(open, row.clone()).await;
        let Some(narrow) = &mut self.narrow else { return sent };
        let Err(error @ ConnectorError::HungUp { .. }) = sent else {
            if sent.is_ok() && narrow.taken() {
                self.narrow = None;
            }
            return sent;
        };
        match narrow.hung_up((row.shard, row.first)) {
            Verdict::Again => Err(error),
            Verdict::Stop => {
                Err(ConnectorError::refused(error.to_string(), "so it is at each row, one after the other"))
            }
            Verdict::Park => {
                let next = row.next();
                let why =
                    ConnectorError::unfit(error.to_string(), "so it is each time that this row goes alone");
                self.park(row.shard, row.first, row.rows, &why).await?;
                let mut cursor = self.flushed.take().unwrap_or_default();
                cursor.next.insert(row.shard, next);
                self.flushed = Some(cursor);
                self.is_stored = false;
                self.backoff.reset();
                // The connection is gone all the same.
                Err(error)
            }
        }
    }

    /// Stores how many rows a delivery has before it is made.
    async fn store_name(&mut self, delivery: &Delivery) -> Result<()> {
        let rows = delivery.rows.num_rows();
        let note = Named { shard: delivery.shard, first: delivery.first, rows }.note();
        let cursor = self.flushed.get_or_insert_default();
        if cursor.note != note {
            cursor.note = note;
            self.is_stored = false;
        }
        self.store(true).await
    }

    /// Hands rows to the sink. One that hangs does not keep the process from stopping: its rows come again.
    async fn deliver(&mut self, open: &mut Open, delivery: Delivery) -> Result<()> {
        let mut stopped = self.stopped.clone();
        let patience = async {
            // An error says that the handle is gone, which means the same.
            let _ = stopped.wait_for(|stop| *stop).await;
            tokio::time::sleep(STOP_PATIENCE).await;
        };
        let (shard, first, rows) = (delivery.shard, delivery.first, delivery.rows.clone());
        let delivered = tokio::select! {
            delivered = open.sink.deliver(delivery) => delivered,
            () = patience => return Err(ConnectorError::outage("deliver", "it took too long to stop")),
        };
        match delivered {
            Ok(()) => self.failing = None,
            Err(error @ ConnectorError::Unfit { .. }) => self.park(shard, first, rows, &error).await?,
            Err(error) => match open.sink.retry().filter(|_| error.is_retryable()) {
                Some(retry) => self.try_again(retry, shard, first, rows, error).await?,
                None => return Err(error),
            },
        }
        Ok(())
    }

    /// Notes that rows have failed once more: the error is handed on for another attempt, or they are parked after the last one.
    async fn try_again(
        &mut self,
        retry: Retry,
        shard: ShardId,
        first: Sequence,
        rows: RecordBatch,
        error: ConnectorError,
    ) -> Result<()> {
        let before = self.failing.take().filter(|failing| (failing.shard, failing.first) == (shard, first));
        let attempts = before.map_or(1, |failing| failing.attempts + 1);
        if attempts >= retry.attempts {
            let given_up =
                ConnectorError::unfit(error.to_string(), format!("given up after {attempts} attempts"));
            return self.park(shard, first, rows, &given_up).await;
        }
        let not_before = match &error {
            ConnectorError::Outage { not_before, .. } => *not_before,
            _ => None,
        };
        let wait = retry.wait(attempts, not_before, &self.world);
        self.failing = Some(Failing { shard, first, rows: rows.num_rows(), attempts, wait });
        Err(error)
    }

    async fn park(
        &mut self,
        shard: ShardId,
        first: Sequence,
        rows: RecordBatch,
        error: &ConnectorError,
    ) -> Result<()> {
        self.failing = None;
        let why = (0..rows.num_rows()).map(|row| (first.plus(row as u64), error.to_string()));
        self.parking.park(shard, rows, why.collect()).await
    }

    async fn flush(&mut self, open: &mut Open) -> Result<()> {
        if open.waiting_since.take().is_some() {
            let note = open.sink.flush().await?;
            self.show(&open.delivered);
            self.flushed = Some(Cursor { next: open.delivered.clone(), note });
            self.is_stored = false;
            self.backoff.reset();
            open.tick_at = Some(Instant::now());
        }
        Ok(())
    }

    /// Shows where the sink stands.
    fn show(&self, next: &BTreeMap<ShardId, Sequence>) {
        let text: Vec<_> = next.iter().map(|(shard, next)| (shard.to_string(), next.to_string())).collect();
        self.board.positions(text.iter().map(|(shard, next)| (shard, next)));
    }

    /// Readers of all shards from the cursor on. Rows that retention has removed before they were delivered are told.
    fn readers_from(&self, sink: Box<dyn Sink>, cursor: &Cursor) -> Result<Open> {
        let mut readers = Vec::new();
        let mut delivered = cursor.next.clone();
        for (shard, bounds) in (0_u32..).map(ShardId).zip(self.log.bounds(self.info.id)?) {
            let wanted = cursor.next.get(&shard).copied().unwrap_or(Sequence::ZERO);
            if wanted < bounds.first {
                let lost = format!("rows {wanted} to {} of shard {shard}", bounds.first);
                let error =
                    ConnectorError::refused(lost, "retention has removed them before they were delivered");
                self.board.failed(&error, State::Starting);
            }
            let from = wanted.max(bounds.first);
            delivered.insert(shard, from);
            let (from, projection) = (ReadFrom::Sequence(from), self.columns.clone());
            let spec = ReadSpec { from, projection, ..ReadSpec::all(self.info.id, shard) };
            readers.push(Some(self.log.read(spec)?));
        }
        let tick_at = Some(Instant::now());
        Ok(Open { sink, readers, delivered, waiting_since: None, rest: None, tick_at })
    }

    /// Shows how many rows are taken if these are the next, and how many wait.
    fn show_lag(&self, next: &BTreeMap<ShardId, Sequence>) -> Result<()> {
        let (mut reached, mut lag) = (0, 0);
        for (shard, bounds) in (0_u32..).map(ShardId).zip(self.log.bounds(self.info.id)?) {
            // What retention has removed does not wait.
            let next = next.get(&shard).copied().unwrap_or(Sequence::ZERO).max(bounds.first);
            reached += next.0;
            lag += bounds.next.0.saturating_sub(next.0);
        }
        self.board.reached(reached, lag);
        Ok(())
    }
}
