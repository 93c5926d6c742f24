//! Tells those who wait for a partition that it is complete: by a file that says so, as Flink does.
//!
//! ```text
//!  rows come ── pending ── its files have their names and are durable ── it is due ── _SUCCESS, durable ── committed
//!                  ▲                                                                                          │
//!                  └────────────────────────────── more rows come ────────────────────────────────────────────┘
//! ```
//!
//! A partition is due
//!
//! - by `process-time`, when its first row came so long ago as the delay says;
//! - by `partition-time`, when all rows before a watermark are in their files, and that is not before the time of its values and the delay;
//! - always, when the jobs that write into the table have come to their ends, and all their rows are in their files;
//! - by `partition-time`, if no job writes into it, when its rows are in their files: statements and requests are whole by themselves.
//!
//! What is pending is in the manifests ([`super::manifest`]), so a process that dies between naming files and committing them does it in
//! its next life. A partition without rows that are in no file yet is committed at once, one with such rows with the next flush.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use headwater_core::world::{Disk, Open};
use headwater_core::{EventTime, Sequence, ShardId};

use super::partition_time::PartitionTime;
use super::partitions::values_of;
use crate::error::{ConnectorError, Result};
use crate::watermark::{Passed, Watermarks};

/// How often it is looked whether a partition is due.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// When partitions are committed, and how.
pub(super) struct Rules {
    pub(super) trigger: Trigger,
    pub(super) delay: Duration,
    /// The name of the file that says it.
    pub(super) success_file: String,
}

/// What makes a partition due.
pub(super) enum Trigger {
    /// The clock, from its first row on.
    ProcessTime,
    /// The watermark, from the time of its values on.
    PartitionTime(PartitionTime),
}

/// The partitions that wait to be committed.
pub(super) struct Commits {
    rules: Rules,
    watermarks: Watermarks,
    pending: BTreeMap<String, Pending>,
    /// The next row of each shard that the sink has not been given.
    delivered: BTreeMap<ShardId, Sequence>,
    /// How often somebody was asked how far event time has come.
    asked: u64,
    /// What was told last, while rows of that are still to be delivered.
    told: Option<Passed>,
    /// How far event time has come in rows that have been delivered.
    reached: Reached,
    /// The same of rows that are in their files.
    written: Reached,
}

/// How far event time has come.
#[derive(Clone, Copy)]
struct Reached {
    /// The watermark; `None` if no job writes.
    watermark: Option<EventTime>,
    /// Which answer that was, counted from 1.
    answer: u64,
}

/// Before anybody was asked.
const NOT_BEGUN: Reached = Reached { watermark: Some(EventTime::MIN), answer: 0 };

/// A partition that waits.
struct Pending {
    /// When its first row came.
    since: EventTime,
    /// How many answers there were when its last row came.
    touched: u64,
    /// What time its values say, where that counts and can be told.
    time: Option<EventTime>,
}

impl Commits {
    pub(super) fn new(rules: Rules, watermarks: Watermarks) -> Self {
        let (pending, delivered) = (BTreeMap::new(), BTreeMap::new());
        let (told, reached, written) = (None, NOT_BEGUN, NOT_BEGUN);
        Self { rules, watermarks, pending, delivered, asked: 0, told, reached, written }
    }

    /// Begins where the sink does.
    pub(super) fn begin(&mut self, next: &BTreeMap<ShardId, Sequence>) {
        self.pending.clear();
        self.forget_time();
        self.delivered.clone_from(next);
    }

    fn forget_time(&mut self) {
        (self.told, self.reached, self.written) = (None, NOT_BEGUN, NOT_BEGUN);
    }

    /// Notes that rows of a partition came at `now`, or had come. Says what is wrong with its values, the first time.
    pub(super) fn came(&mut self, folder: &str, now: EventTime) -> Option<ConnectorError> {
        if let Some(pending) = self.pending.get_mut(folder) {
            pending.since = pending.since.min(now);
            pending.touched = self.asked;
            return None;
        }
        let (time, wrong) = match &self.rules.trigger {
            Trigger::ProcessTime => (None, None),
            Trigger::PartitionTime(time) => match time.of(&values_of(folder)) {
                Ok(time) => (Some(time), None),
                Err(reason) => {
                    let what = format!("partition {folder} is not committed before the input ends");
                    (None, Some(ConnectorError::refused(what, reason)))
                }
            },
        };
        self.pending.insert(folder.to_owned(), Pending { since: now, touched: self.asked, time });
        wrong
    }

    /// Notes how far the rows of a shard have been delivered.
    pub(super) fn delivered(&mut self, shard: ShardId, next: Sequence) {
        self.delivered.insert(shard, next);
    }

    /// Notes that all that was delivered is in its files.
    pub(super) fn written(&mut self) {
        self.written = self.reached;
    }

    /// Looks how far event time has come.
    pub(super) fn look(&mut self) -> Result<()> {
        if self.pending.is_empty() {
            self.forget_time();
            return Ok(());
        }
        self.take_told();
        if self.told.is_none() {
            self.told = self.watermarks.now()?;
            self.asked += 1;
            self.take_told();
        }
        Ok(())
    }

    /// Takes what was told for reached, once the rows before it have been delivered.
    fn take_told(&mut self) {
        let is_delivered = |passed: &mut Passed| {
            (0..).map(ShardId).zip(&passed.bounds).all(|(shard, bounds)| {
                // What retention has removed is not delivered any more.
                let next = self.delivered.get(&shard).copied().unwrap_or_default();
                next.max(bounds.first) >= bounds.next
            })
        };
        if let Some(passed) = self.told.take_if(is_delivered) {
            self.reached = Reached { watermark: passed.watermark, answer: self.asked };
        }
    }

    /// The partitions that are due at `now`.
    pub(super) fn due(&self, now: EventTime) -> Vec<String> {
        let due = self.pending.iter().filter(|(_, pending)| self.is_due(pending, now));
        due.map(|(folder, _)| folder.clone()).collect()
    }

    fn is_due(&self, pending: &Pending, now: EventTime) -> bool {
        let Reached { watermark, answer } = self.written;
        // Whoever begins to write later is not in the answer: what has come since waits for the next one.
        let is_whole = pending.touched < answer;
        match (&self.rules.trigger, watermark) {
            (_, Some(EventTime::MAX)) if is_whole => true,
            (Trigger::ProcessTime, _) => pending.since.plus(self.rules.delay) <= now,
            (Trigger::PartitionTime(_), None) => is_whole,
            (Trigger::PartitionTime(_), Some(EventTime::MAX)) => false,
            (Trigger::PartitionTime(_), Some(watermark)) => {
                pending.time.is_some_and(|time| time.plus(self.rules.delay) <= watermark)
            }
        }
    }

    /// The partitions that wait, and since when.
    pub(super) fn waiting(&self) -> Vec<(String, EventTime)> {
        self.pending.iter().map(|(folder, pending)| (folder.clone(), pending.since)).collect()
    }

    /// Commits a partition of a sink's folder.
    pub(super) fn commit(&mut self, disk: &dyn Disk, dir: &Path, folder: &str) -> io::Result<()> {
        let dir = dir.join(folder);
        match disk.open(&dir.join(&self.rules.success_file), Open::Create) {
            Ok(file) => file.sync()?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            // Somebody has taken the partition away, and nobody waits for it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.pending.remove(folder);
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        disk.sync_dir(&dir)?;
        self.pending.remove(folder);
        Ok(())
    }
}
