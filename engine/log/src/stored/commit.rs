//! The committer: one task that gives places, writes, publishes and answers, commit after commit.
//!
//! ```text
//!  submit ──► queue ──► place ──► write ──► publish ──► answer
//!  (many threads)       '------ one commit at a time ------'
//! ```
//!
//! Nothing here is done per row. While one commit is written, further groups queue up and become the next one. After an error the log is
//! poisoned; rows of the failed commit were never published, so that readers go on with what is kept.

use headwater_core::world::Turn;
use headwater_core::{EventTime, Sequence, ShardId, StreamId};

use super::store::Store;
use crate::api::Appended;
use crate::batch::Prepared;
use crate::error::{LogError, Result};
use crate::memory::MemoryBatch;
use crate::pending::Promise;
use crate::queue::{Failed, Group, Rows};
use crate::sequencer::Sequencer;
use crate::view::View;

/// Everything that one commit does.
pub(crate) struct Commit<B> {
    /// The batches that are to be kept.
    pub batches: Vec<B>,
    /// How many rows there are, those in memory included.
    pub rows: u64,
    /// Whether somebody waits for a sync.
    pub needs_sync: bool,
    /// The streams that get rows, one for each batch.
    streams: Vec<StreamId>,
    in_memory: Vec<InMemory>,
    repeats: u64,
    answers: Vec<(Promise, Result<Vec<Appended>>)>,
}

/// A batch for memory that has its place.
struct InMemory {
    stream: StreamId,
    shard: ShardId,
    batch: MemoryBatch,
}

/// A batch that gets its place.
pub(crate) struct Placing {
    /// The stream.
    pub stream: StreamId,
    /// The shard.
    pub shard: ShardId,
    /// The first row's sequence number.
    pub first: Sequence,
    /// Whether more batches of its group follow.
    pub group_continues: bool,
    /// The batch.
    pub prepared: Prepared,
}

impl<B> Default for Commit<B> {
    fn default() -> Self {
        let (batches, streams, in_memory, answers) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { batches, rows: 0, needs_sync: false, streams, in_memory, repeats: 0, answers }
    }
}

impl<B> Commit<B> {
    /// Gives the groups their places, in order. A group whose conditions are not met is answered with why, and leaves no trace.
    pub fn place(
        &mut self,
        sequencer: &mut Sequencer,
        groups: Vec<Group>,
        arrival: EventTime,
        mut put: impl FnMut(Placing) -> B,
    ) {
        for group in groups {
            let placed = match sequencer.place(&group.asks) {
                Ok(placed) => placed,
                Err(error) => {
                    self.answers.push((group.promise, Err(error)));
                    continue;
                }
            };
            self.repeats += placed.iter().filter(|one| one.duplicate).count() as u64;
            let is_fresh = |ask: usize| !placed[ask].duplicate;
            let last = group.parts.iter().rposition(|part| is_fresh(part.ask) && part.is_in_file());
            for (index, part) in group.parts.into_iter().enumerate().filter(|(_, part)| is_fresh(part.ask)) {
                let (stream, shard) = (group.asks[part.ask].stream, group.asks[part.ask].shard);
                let first = part.first(placed[part.ask].first);
                self.streams.push(stream);
                match part.rows {
                    Rows::Memory { rows, event_time } => {
                        self.rows += rows.num_rows() as u64;
                        let batch = MemoryBatch::new(first, rows, arrival, event_time);
                        self.in_memory.push(InMemory { stream, shard, batch });
                    }
                    Rows::File(prepared) => {
                        self.rows += u64::from(prepared.rows());
                        self.needs_sync |= group.needs_sync;
                        let group_continues = last.is_some_and(|last| index < last);
                        self.batches.push(put(Placing { stream, shard, first, group_continues, prepared }));
                    }
                }
            }
            self.answers.push((group.promise, Ok(placed)));
        }
    }
}

/// One turn of the committer.
pub(super) fn turn<S: Store>(store: &S) -> Turn {
    let groups = store.queue.take();
    if groups.is_empty() {
        return Turn::Wait(None);
    }
    commit(store, groups);
    Turn::Again
}

fn commit<S: Store>(store: &S, groups: Vec<Group>) {
    let _watch = Watch(store);
    let mut writer = store.writer().lock();
    if let Some(poison) = store.poison() {
        drop(writer);
        for group in groups {
            group.promise.answer(Err(poison.clone()));
        }
        return;
    }
    let mut commit = Commit::default();
    match store.write(&mut writer, groups, &mut commit) {
        Ok(written) => {
            let Commit { batches, streams, in_memory, repeats, answers, .. } = commit;
            store.metrics.repeated(repeats);
            {
                // All at once.
                let mut view = store.view.write();
                store.publish(&mut view, batches, written);
                publish_in_memory(&mut view, in_memory);
            }
            drop(writer);
            store.wakes.committed(streams);
            for (promise, answer) in answers {
                promise.answer(answer);
            }
        }
        Err(error) => {
            let poison = store.poison_with(error);
            drop(writer);
            let mut lost = Failed { rows: commit.rows, ..Failed::default() };
            for (promise, answer) in commit.answers {
                lost.groups += usize::from(answer.as_ref().is_ok_and(|placed| !placed.is_empty()));
                promise.answer(answer.and(Err(poison.clone())));
            }
            let queued = store.queue.fail(&poison);
            tracing::error!(
                log = store.name,
                appends = lost.groups + queued.groups,
                rows = lost.rows + queued.rows,
                "these appends were not written, and were answered with an error; all that was acknowledged is kept"
            );
        }
    }
}

fn publish_in_memory(view: &mut View, batches: Vec<InMemory>) {
    for InMemory { stream, shard, batch } in batches {
        let Ok(of) = view.streams.get(stream) else { continue };
        let (retention, held) = (of.info.spec.retention, of.held);
        if let Some(shard) = view.shard_mut(stream, shard) {
            let arrival = batch.arrival;
            shard.next = batch.next();
            shard.memory.push(batch);
            let within = shard.removable(held, shard.next);
            shard.first = shard.memory.retain(&retention, arrival, within).unwrap_or(shard.first);
        }
    }
}

/// Should a commit panic, which is a bug, then nobody waits for ever.
struct Watch<'a, S: Store>(&'a S);

impl<S: Store> Drop for Watch<'_, S> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let cause = std::io::Error::other("the committer panicked");
            let poison = self.0.poison_with(LogError::io("commit to", &self.0.name, cause));
            self.0.queue.fail(&poison);
        }
    }
}
