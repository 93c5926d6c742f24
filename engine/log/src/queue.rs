//! What was submitted and waits to be committed.
//!
//! While one commit is being synced, further groups queue up and become the next commit: that is the group commit. Who
//! submits more than the disk takes waits here.

use std::collections::VecDeque;
use std::sync::Arc;

use headwater_core::Sequence;
use headwater_core::world::Tasks;
use parking_lot::{Condvar, Mutex};

use crate::batch::Prepared;
use crate::error::{LogError, Result};
use crate::pending::Promise;
use crate::sequencer::Ask;

/// How many bytes one commit takes from the queue, at least one group: enough to keep a disk busy, and few enough that
/// the first group does not wait long for the last.
const COMMIT_BYTES_MAX: u64 = 32 << 20;

/// Appends that are committed together or not at all.
pub(crate) struct Group {
    /// What each append asks for.
    pub asks: Vec<Ask>,
    /// The rows, in the order of the appends.
    pub parts: Vec<Part>,
    /// Bytes of the parts.
    pub bytes: u64,
    /// Whether the answer must wait for a sync.
    pub needs_sync: bool,
    /// Who waits for the answer.
    pub promise: Promise,
}

/// Rows of one append that become one batch.
pub(crate) struct Part {
    /// Index of the append.
    pub ask: usize,
    /// How many of the append's rows come before.
    pub skip: u64,
    /// The rows.
    pub rows: Rows,
}

/// Rows on their way.
pub(crate) enum Rows {
    /// To a file: the batch, but for its place.
    File(Prepared),
    /// To memory only.
    Memory {
        /// The rows.
        rows: arrow::array::RecordBatch,
        /// Index of the event-time column.
        event_time: Option<usize>,
    },
}

impl Part {
    /// Where the first row comes when the append starts at `first`.
    pub(crate) fn first(&self, first: Sequence) -> Sequence {
        first.plus(self.skip)
    }

    /// Whether the rows go to a file.
    pub(crate) fn is_in_file(&self) -> bool {
        matches!(self.rows, Rows::File(_))
    }
}

/// Groups that were answered with an error.
#[derive(Default)]
pub(crate) struct Failed {
    /// How many.
    pub groups: usize,
    /// How many rows they had.
    pub rows: u64,
}

#[derive(Default)]
struct State {
    groups: VecDeque<Group>,
    bytes: u64,
    refusing: Option<LogError>,
}

/// The queue.
pub(crate) struct Queue {
    state: Mutex<State>,
    shorter: Condvar,
    bytes_max: u64,
    tasks: Arc<dyn Tasks>,
}

impl Queue {
    /// An empty queue that takes so many bytes.
    pub(crate) fn new(bytes_max: u64, tasks: Arc<dyn Tasks>) -> Self {
        Self { state: Mutex::default(), shorter: Condvar::new(), bytes_max, tasks }
    }

    /// Adds a group, when there is room.
    pub(crate) fn push(&self, group: Group) -> Result<()> {
        loop {
            let mut state = self.state.lock();
            if let Some(refusal) = &state.refusing {
                let refusal = refusal.clone();
                drop(state);
                group.promise.answer(Err(refusal.clone()));
                return Err(refusal);
            }
            if state.groups.is_empty() || state.bytes + group.bytes <= self.bytes_max {
                state.bytes += group.bytes;
                state.groups.push_back(group);
                return Ok(());
            }
            drop(state);
            if !self.tasks.drive() {
                let mut state = self.state.lock();
                // As above: one that is larger than the queue goes into an empty one, and nobody may come any more to make that known.
                let has_room = state.groups.is_empty() || state.bytes + group.bytes <= self.bytes_max;
                if state.refusing.is_none() && !has_room {
                    self.shorter.wait(&mut state);
                }
            }
        }
    }

    /// Takes the groups of the next commit. Groups that need no sync do not wait for later ones that do.
    pub(crate) fn take(&self) -> Vec<Group> {
        let mut state = self.state.lock();
        let mut taken: Vec<Group> = Vec::new();
        let (mut bytes, mut synced) = (0, true);
        while let Some(next) = state.groups.front() {
            let fits = bytes + next.bytes <= COMMIT_BYTES_MAX && (synced || !next.needs_sync);
            if !taken.is_empty() && !fits {
                break;
            }
            if taken.is_empty() {
                synced = next.needs_sync;
            }
            bytes += next.bytes;
            taken.extend(state.groups.pop_front());
        }
        state.bytes -= bytes;
        drop(state);
        self.shorter.notify_all();
        taken
    }

    /// Takes no more groups from now on; who submits gets this error. The first such error stays.
    pub(crate) fn refuse(&self, error: LogError) {
        self.state.lock().refusing.get_or_insert(error);
        self.shorter.notify_all();
    }

    /// Adds a last, empty group: when it is answered, so is everything before it.
    pub(crate) fn mark_end(&self, promise: Promise) {
        let group = Group { asks: Vec::new(), parts: Vec::new(), bytes: 0, needs_sync: false, promise };
        self.state.lock().groups.push_back(group);
    }

    /// Why no more groups are taken, if so.
    pub(crate) fn refusal(&self) -> Option<LogError> {
        self.state.lock().refusing.clone()
    }

    /// Answers all groups that still wait with an error, and says how many there were.
    pub(crate) fn fail(&self, error: &LogError) -> Failed {
        let groups = {
            let mut state = self.state.lock();
            state.bytes = 0;
            std::mem::take(&mut state.groups)
        };
        let mut failed = Failed::default();
        for group in groups {
            failed.groups += usize::from(!group.asks.is_empty());
            failed.rows += group.asks.iter().map(|ask| ask.rows).sum::<u64>();
            group.promise.answer(Err(error.clone()));
        }
        failed
    }
}
