//! The triggers of a job that runs many of them: who they are, where each begins, and where its firings go.
//!
//! ```text
//!   rows of the stream   ──────────────┬───────────────┬──────────────►
//!   steps of the set     |  41  |  42  |  43   |  44   |  45  |
//!   a trigger comes                    └ first row of t7, of t8: a step ends there
//! ```
//!
//! One reading of the stream, one step, one line in the journal and one checkpoint serve all of them. A trigger that comes begins with
//! the rows that are appended from then on, which may lie ahead of the set; a step never reaches over such a place. One that is paused
//! or replaced leaves the set with its state and goes on as a job of its own ([`super::set`]).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use headwater_core::{Sequence, ShardId, StreamId, World};
use headwater_log::{Append, Log, Producer, StreamInfo};
use headwater_operators::{Rows, Trigger, TriggerRoster};
use parking_lot::{Condvar, Mutex, MutexGuard};

use super::blobs::Blobs;
use super::checkpoint::newest_step;
use super::clock::ShardClock;
use super::exec::concat;
use super::membership::{Membership, Roll, encode_coming};
use super::sink::{Copies, Sink};
use crate::error::{Result, RunError};

/// A job that panicked tells nobody; it is looked after now and then.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The triggers of one job.
pub(crate) struct Members {
    /// The job's name.
    pub set: String,
    /// What its operator follows.
    pub roster: Arc<TriggerRoster>,
    /// What its journal says of them.
    roll: Arc<Mutex<Roll>>,
    state: Mutex<State>,
    /// Held by the job while it takes a step, and by others while none must be taken.
    between: Mutex<()>,
    /// Told when a trigger has gone.
    gone: Condvar,
    /// The same, for those who wait without a thread.
    watched: tokio::sync::watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    members: BTreeMap<i64, Member>,
    names: BTreeMap<String, i64>,
    /// The first rows of triggers that the set has not come to, by rank: one with a greater rank began later, or with the same row.
    ahead: BTreeMap<u32, Vec<Sequence>>,
    newest_rank: u32,
    leaving: Vec<Leaving>,
    /// Those that have left and may still have no checkpoint of their own, so that they need the set's steps.
    apart: Vec<Apart>,
    retired: Vec<i64>,
    /// Where the last step ended.
    place: Place,
}

/// The end of a step.
#[derive(Clone, Default)]
pub(crate) struct Place {
    /// Its number.
    pub step: u64,
    /// For each shard.
    pub shards: Vec<(Sequence, ShardClock)>,
}

struct Member {
    name: String,
    rank: u32,
    /// The step after which it came.
    came: u64,
    from: Vec<Sequence>,
    sink: Arc<Sink>,
    copies: Option<Arc<Copies>>,
    /// Why it judges nothing any more.
    failure: Option<String>,
}

/// A trigger on its way into a set.
pub(crate) struct Coming {
    /// Its name.
    pub name: String,
    /// What it does.
    pub trigger: Arc<Trigger>,
    /// The stream of its firings, whose number is the trigger's.
    pub target: Arc<StreamInfo>,
    /// A second stream that they go into, changed.
    pub copies: Option<Copies>,
}

/// A trigger that has left a set.
#[derive(Clone)]
pub(crate) struct Apart {
    /// The number of the stream of its firings.
    pub id: i64,
    /// The step after which it came to the set.
    pub came: u64,
    /// The last step that the set did for it.
    pub left: u64,
    /// Where its own checkpoints lie.
    pub blobs: Arc<dyn Blobs>,
}

/// A trigger on its way out of a set.
#[derive(Clone)]
pub(crate) struct Leaving {
    /// The number of the stream of its firings.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Where its own checkpoints lie.
    pub blobs: Arc<dyn Blobs>,
    /// Its own plan, as a checkpoint knows it.
    pub plan: String,
    /// How often it has fired.
    pub rows_out: u64,
}

/// How a trigger fares within its set.
pub(crate) struct Progress {
    /// Rows that it has judged.
    pub rows_in: u64,
    /// Whether the set has come to its first row.
    pub begun: bool,
    /// Why it has failed, if it has.
    pub failure: Option<String>,
}

/// The number of a trigger: that of the stream of its firings.
pub(crate) fn member_id(target: &StreamInfo) -> i64 {
    target.id.0 as i64
}

impl Members {
    /// None yet. `apart`: those that have left. Whoever was in it in earlier lives of the process has its rank for ever, by the `roll`.
    pub fn new(set: String, roster: TriggerRoster, roll: Arc<Mutex<Roll>>, apart: Vec<Apart>) -> Arc<Self> {
        let newest_rank = roll.lock().newest_rank();
        let state = State { newest_rank, apart, ..State::default() };
        Arc::new(Self {
            set,
            roster: Arc::new(roster),
            roll,
            state: Mutex::new(state),
            between: Mutex::default(),
            gone: Condvar::new(),
            watched: tokio::sync::watch::Sender::new(0),
        })
    }

    /// As long as this is held, the job takes no step.
    pub fn between_steps(&self) -> MutexGuard<'_, ()> {
        self.between.lock()
    }

    /// For the job itself: `None` while somebody else holds it.
    pub fn begin_step(&self) -> Option<MutexGuard<'_, ()>> {
        self.between.try_lock()
    }

    /// Adds a trigger that begins with what is appended from now on. It is in the journal when this returns.
    pub fn come(
        &self,
        log: &dyn Log,
        journal: &StreamInfo,
        source: &StreamInfo,
        coming: Coming,
    ) -> Result<()> {
        let _between = self.between_steps();
        let (place, rank) = {
            let state = self.state.lock();
            (state.place.clone(), state.newest_rank + 1)
        };
        let next = log.bounds(source.id)?.into_iter().map(|bounds| bounds.next);
        let shards = next.zip(&place.shards).map(|(next, (_, clock))| (next, *clock)).collect();
        let (id, step) = (member_id(&coming.target), place.step);
        let membership = Membership { id, rank, step, shards, left: None };
        log.append(vec![Append::new(journal.id, ShardId(0), encode_coming(&membership)?)])?;
        self.state.lock().newest_rank = rank;
        self.add(coming, &membership)
    }

    /// Adds a trigger that the journal knows.
    pub fn add(&self, coming: Coming, membership: &Membership) -> Result<()> {
        let Coming { name, trigger, target, copies } = coming;
        let rank = membership.rank;
        let from: Vec<Sequence> = membership.shards.iter().map(|(next, _)| *next).collect();
        let first = from.iter().map(|next| next.0 as i64).collect();
        let added = self.roster.add(membership.id, rank, first, &trigger);
        added.map_err(|source| RunError::Operator { what: format!("job {name}"), source })?;
        let member = Member {
            name,
            rank,
            came: membership.step,
            sink: Arc::new(Sink::new(target)?),
            copies: copies.map(Arc::new),
            from: from.clone(),
            failure: None,
        };
        let mut state = self.state.lock();
        state.names.insert(member.name.clone(), membership.id);
        state.members.insert(membership.id, member);
        state.ahead.insert(rank, from);
        Ok(())
    }

    /// How far a step may go: to the first row of the next trigger that lies ahead of `places`.
    pub fn end_of_step(&self, places: &[(Sequence, ShardClock)]) -> Option<Vec<Sequence>> {
        let mut state = self.state.lock();
        while let Some(nearest) = state.ahead.first_entry() {
            if nearest.get().iter().zip(places).any(|(next, (at, _))| at < next) {
                return Some(nearest.get().clone());
            }
            nearest.remove();
        }
        None
    }

    /// Notes where a step ended.
    pub fn note_place(&self, place: Place) {
        self.state.lock().place = place;
    }

    /// What a step says, to each trigger's own streams, and how many firings there are.
    pub fn appends(&self, rows: &[Rows], producer: Producer) -> Result<(Vec<Append>, u64)> {
        let Some(first) = rows.first() else { return Ok((Vec::new(), 0)) };
        let all = concat(&first.batch.schema(), rows)
            .map_err(|source| RunError::Operator { what: format!("job {}", self.set), source })?;
        let numbers = all.column(0).as_primitive::<Int64Type>().values().clone();
        let columns: Vec<usize> = (1..all.num_columns()).collect();
        let all = all.project(&columns)?;
        let (mut appends, mut count, mut at) = (Vec::new(), 0, 0);
        for own in numbers.chunk_by(|one, other| one == other) {
            let rows = [Rows::new(all.slice(at, own.len()))];
            at += own.len();
            // One that has gone meanwhile is not heard.
            let Some((sink, copies)) = self.sinks_of(own[0]) else { continue };
            let said = sink.appends(&rows, producer).and_then(|(group, said)| {
                let copied = copies.map(|copies| copies.appends(&rows, producer)).transpose()?;
                Ok((group.into_iter().chain(copied.into_iter().flatten()), said))
            });
            let (group, said) = said.inspect_err(|error| self.roster.blame(own[0], &error.to_string()))?;
            appends.extend(group);
            count += said;
        }
        Ok((appends, count))
    }

    /// Puts out those triggers who are to blame for the failure of a step, and answers their numbers. The journal has to say that they are
    /// gone: the set goes on without them, so that in another life of the process they are jobs of their own, which fail again.
    pub fn eject_blamed(&self) -> Vec<i64> {
        let blamed = self.roster.take_blamed();
        for (id, failure) in &blamed {
            self.roster.remove(*id);
            if let Some(member) = self.state.lock().members.get_mut(id) {
                tracing::error!(trigger = member.name, failure, "the trigger has failed");
                member.failure = Some(failure.clone());
            }
        }
        blamed.into_keys().collect()
    }

    /// The step behind which somebody needs the steps of the set, besides the set itself: who has failed does them again for himself, until
    /// he has a checkpoint of his own behind them or is dropped.
    pub fn needed_from(&self, log: &dyn Log) -> Result<Option<u64>> {
        let (apart, failed) = {
            let state = self.state.lock();
            let failed = state.members.values().filter(|member| member.failure.is_some());
            (state.apart.clone(), failed.map(|member| member.came).min())
        };
        let bad = |reason: String| RunError::Checkpoint { job: self.set.clone(), reason };
        let (mut needed, mut gone) = (failed, Vec::new());
        for Apart { id, came, left, blobs } in apart {
            // One that fails again where it did writes checkpoints before that alone.
            let is_past = newest_step(&*blobs).map_err(bad)?.is_some_and(|step| step > left);
            if log.stream(StreamId(id as u32)).is_ok() && !is_past {
                needed = Some(needed.map_or(came, |needed| needed.min(came)));
            } else {
                gone.push(id);
            }
        }
        self.state.lock().apart.retain(|apart| !gone.contains(&apart.id));
        Ok(needed)
    }

    /// Writes down again who the triggers are, as far as lines before `begins` say it, which are to go. `step`: the last that the journal
    /// has. `false`: the lines must stay.
    pub fn carry_over(&self, log: &dyn Log, begins: Sequence, step: u64) -> Result<bool> {
        let (journal, batches) = {
            let mut roll = self.roll.lock();
            roll.follow(log)?;
            let is_there = |id: i64| log.stream(StreamId(id as u32)).is_ok();
            (roll.journal().id, roll.carried_over(begins, step, is_there)?)
        };
        let Some(batches) = batches else { return Ok(false) };
        for rows in batches {
            log.append(vec![Append::new(journal, ShardId(0), rows)])?;
        }
        Ok(true)
    }

    fn sinks_of(&self, id: i64) -> Option<(Arc<Sink>, Option<Arc<Copies>>)> {
        let state = self.state.lock();
        let member = state.members.get(&id).filter(|member| member.failure.is_none())?;
        Some((Arc::clone(&member.sink), member.copies.clone()))
    }

    /// How a trigger fares; `None`: it is not of this set.
    pub fn progress(&self, id: i64) -> Option<Progress> {
        let state = self.state.lock();
        let member = state.members.get(&id)?;
        let shards = || member.from.iter().zip(&state.place.shards);
        let rows_in = shards().map(|(from, (at, _))| at.0.saturating_sub(from.0)).sum();
        let begun = shards().all(|(from, (at, _))| at >= from);
        Some(Progress { rows_in, begun, failure: member.failure.clone() })
    }

    /// The names of all triggers.
    pub fn names(&self) -> Vec<String> {
        self.state.lock().names.keys().cloned().collect()
    }

    /// How many triggers there are.
    pub fn count(&self) -> u64 {
        self.state.lock().names.len() as u64
    }

    /// The name of a trigger of this set.
    pub fn name_of(&self, id: i64) -> Option<String> {
        self.state.lock().members.get(&id).map(|member| member.name.clone())
    }

    /// The number of a trigger of this set.
    pub fn id_of(&self, name: &str) -> Option<i64> {
        self.state.lock().names.get(name).copied()
    }

    /// The rank of a trigger.
    pub fn rank(&self, id: i64) -> Option<u32> {
        self.state.lock().members.get(&id).map(|member| member.rank)
    }

    /// Asks that a trigger leaves after the step that is under way.
    pub fn ask_to_leave(&self, leaving: Leaving) {
        self.state.lock().leaving.push(leaving);
    }

    /// Takes that back. `false`: it has left already, or was not asked to.
    pub fn stay(&self, id: i64) -> bool {
        let mut state = self.state.lock();
        let before = state.leaving.len();
        state.leaving.retain(|leaving| leaving.id != id);
        state.leaving.len() < before
    }

    /// The trigger that is asked to leave next, if the set has come to its first row.
    pub fn next_leaving(&self) -> Option<Leaving> {
        let leaving = self.state.lock().leaving.clone();
        let may_leave = |own: Progress| own.begun || own.failure.is_some();
        leaving.into_iter().find(|leaving| self.progress(leaving.id).is_none_or(may_leave))
    }

    /// Notes that a trigger which has failed is about to leave, without a checkpoint.
    pub fn set_apart(&self, leaving: &Leaving) {
        let mut state = self.state.lock();
        let Some(came) = state.members.get(&leaving.id).map(|member| member.came) else { return };
        let left = state.place.step;
        state.apart.push(Apart { id: leaving.id, came, left, blobs: Arc::clone(&leaving.blobs) });
    }

    /// A trigger has left.
    pub fn left(&self, id: i64) {
        self.roster.remove(id);
        let mut state = self.state.lock();
        if let Some(member) = state.members.remove(&id) {
            state.names.remove(&member.name);
        }
        state.leaving.retain(|leaving| leaving.id != id);
        drop(state);
        self.gone.notify_all();
        self.watched.send_modify(|changes| *changes += 1);
    }

    /// Waits until a trigger has gone, without a thread.
    pub async fn await_gone(&self, id: i64) {
        let mut watched = self.watched.subscribe();
        let is_gone = |_: &u64| !self.state.lock().members.contains_key(&id);
        // The sender is this set's own, which is there as long as this waits.
        let _ = watched.wait_for(is_gone).await;
    }

    /// Waits until a trigger has gone, or until nobody will do that any more. Blocks the thread.
    pub fn wait_gone(&self, world: &World, id: i64, in_vain: impl Fn() -> bool) {
        while self.state.lock().members.contains_key(&id) && !in_vain() {
            if !world.tasks.drive() {
                let mut state = self.state.lock();
                if state.members.contains_key(&id) {
                    self.gone.wait_for(&mut state, LOOK_AGAIN);
                }
            }
        }
    }

    /// Asks that a trigger is forgotten, once no step that it may have said something in is on its way to the log.
    pub fn retire(&self, id: i64) {
        let mut state = self.state.lock();
        state.retired.push(id);
        state.leaving.retain(|leaving| leaving.id != id);
    }

    /// Whether a trigger waits to be forgotten.
    pub fn has_retired(&self) -> bool {
        !self.state.lock().retired.is_empty()
    }

    /// Forgets those who asked for it.
    pub fn forget_retired(&self) {
        let retired = std::mem::take(&mut self.state.lock().retired);
        retired.into_iter().for_each(|id| self.left(id));
    }
}
