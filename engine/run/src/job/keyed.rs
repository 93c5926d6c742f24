//! The operator instances of one keyed stage, and where their state is.
//!
//! A stage starts with one instance per worker, each for a range of slots. When its state outgrows what it may take of memory it is
//! split into more, up to one instance per slot, and instances are put away: written to spill files and brought back when rows come for
//! them, or when time comes to something that they wait for ([`Operator::due`]). What an operator emits does not depend on how many
//! instances there are, so none of this shows in the result.
//!
//! ```text
//!             slots 0 ....................... 255
//!  before     |   worker 0    |   worker 1    |        all in memory
//!  after      |#| | |#| | | | |#| | | |#| | | |        # in memory, the others in files
//! ```
//!
//! Within a step a thread goes over its instances in order. When memory is short it puts away one that no row has come for in a while, or
//! else the one that it has just run: so a step that touches all of them reads each at most once, and those that stay are not
//! read at all.

mod lane;
mod seat;
mod telling;

use std::collections::BTreeMap;

use headwater_core::EventTime;
use headwater_core::hash::SLOTS;
use headwater_operators::{OperatorError, Output, Rows, Snapshot, StateBound, StateEntries, StateSize};
use headwater_plan::dataflow::{Exchange, Stage};

use self::lane::Lane;
use self::seat::{Left, Seat, distribute, give, spill_failed};
use self::telling::Telling;
use super::exchange::{merge, spread};
use super::spill::{Lease, SpillWriter, StatePart};

/// After the disk has refused to take state, it is asked again after so many steps.
const ASK_AGAIN_STEPS: u64 = 1000;

/// Into how many instances a state is split.
const SEATS: [usize; 3] = [16, 64, SLOTS as usize];

type Result<T> = std::result::Result<T, OperatorError>;

/// The instances of a keyed stage.
pub(super) struct Keyed {
    seats: Vec<Seat>,
    threads: usize,
    /// Whether what comes out comes in batches that do not depend on how many instances there are.
    as_one: bool,
    /// One for each thread, once the state has been split.
    writers: Vec<SpillWriter>,
    /// How many bytes of memory the state may take, once it has been split.
    allowance: u64,
    /// What had changed in instances that were put away since the last snapshot.
    pending: Vec<StatePart>,
    /// Entries without slots, the newest of each table: every instance has them, also those that are away.
    shared: Shared,
    /// After a disk refused, the step from which it is asked again.
    refused_until: u64,
    step: u64,
}

type Shared = BTreeMap<String, StateEntries>;

impl Keyed {
    /// Instances without state. `as_one`: somebody asks how what comes out is cut into batches.
    pub fn new(stage: &Stage, workers: usize, as_one: bool) -> Result<Self> {
        let gathered = stage.inputs.iter().any(|input| input.exchange == Exchange::Gather);
        let threads = if gathered { 1 } else { workers };
        let seat = || stage.operators[0].instantiate().map(Seat::new);
        let seats = (0..threads).map(|_| seat()).collect::<Result<_>>()?;
        Ok(Self {
            seats,
            threads,
            as_one,
            writers: Vec::new(),
            allowance: u64::MAX,
            pending: Vec::new(),
            shared: Shared::new(),
            refused_until: 0,
            step: 0,
        })
    }

    /// Runs one step.
    pub fn run(
        &mut self,
        stage: &Stage,
        inputs: &[(usize, &[Rows])],
        before: EventTime,
        watermark: EventTime,
        threads_max: usize,
    ) -> Result<Output> {
        self.step += 1;
        let mut parts = spread(stage, inputs, self.seats.len())?.into_iter();
        let per_thread = self.seats.len().div_ceil(self.threads);
        let mut writers = self.writers.iter_mut();
        let lanes: Vec<Lane<'_>> = self
            .seats
            .chunks_mut(per_thread)
            .map(|seats| Lane {
                stage,
                rows: parts.by_ref().take(seats.len()).collect(),
                seats,
                writer: writers.next(),
                shared: &self.shared,
                allowance: self.allowance / self.threads as u64,
                left: Left::default(),
                step: self.step,
            })
            .collect();
        let done: Vec<Result<_>> = if lanes.len() == 1 || threads_max <= 1 {
            lanes.into_iter().map(|lane| lane.run(before, watermark)).collect()
        } else {
            std::thread::scope(|scope| {
                let threads: Vec<_> =
                    lanes.into_iter().map(|lane| scope.spawn(move || lane.run(before, watermark))).collect();
                let join = |thread: std::thread::ScopedJoinHandle<'_, _>| match thread.join() {
                    Ok(output) => output,
                    Err(panic) => std::panic::resume_unwind(panic),
                };
                threads.into_iter().map(join).collect()
            })
        };
        let mut outputs = Vec::with_capacity(self.seats.len());
        for done in done {
            let (own, left) = done?;
            outputs.extend(own);
            self.pending.extend(left.pending);
            self.shared.extend(left.shared);
        }
        merge(stage, outputs, before, self.as_one)
    }

    /// Gives what has changed since the last call, or all there is, part by part.
    pub fn snapshot(&mut self, full: bool, take: &mut dyn FnMut(StatePart)) -> Result<()> {
        let mut pending = std::mem::take(&mut self.pending);
        if full {
            pending.clear();
        }
        let mut telling = Telling { shared: &mut self.shared, pending, has_begun: false, take };
        for operator in self.seats.iter_mut().filter_map(|seat| seat.operator.as_mut()) {
            let mut taker = |entries: StateEntries| match entries.slots.is_empty() {
                true => telling.note(entries),
                false => telling.tell(StatePart::Here(entries)),
            };
            operator.snapshot(full, &mut Snapshot::to(&mut taker))?;
        }
        telling.begin();
        let away = self.seats.iter().filter(|seat| full && seat.operator.is_none());
        away.flat_map(|seat| &seat.away).for_each(|part| telling.tell(StatePart::Away(part.clone())));
        Ok(())
    }

    /// Gives back one part of a snapshot, each row to the instance that owns its slot now.
    pub fn restore(&mut self, stage: &Stage, entries: &StateEntries) -> Result<()> {
        if entries.slots.is_empty() {
            self.shared.insert(entries.table.clone(), entries.clone());
            let mut resident = self.seats.iter_mut().filter_map(|seat| seat.operator.as_mut());
            return resident.try_for_each(|operator| operator.restore(entries));
        }
        if self.writers.is_empty() {
            let own = distribute(entries, self.seats.len())?;
            let resident = self.seats.iter_mut().filter_map(|seat| seat.operator.as_mut());
            return resident.zip(own).try_for_each(|(operator, own)| match own {
                Some(own) => operator.restore(&own),
                None => Ok(()),
            });
        }
        let seats = &mut self.seats;
        give(seats, &mut self.writers[0], entries)?.map_err(|reason| spill_failed(stage, reason))
    }

    /// Whether the state can be split, which takes keys.
    pub fn can_split(&self, stage: &Stage) -> bool {
        let keyed = |exchange: &Exchange| matches!(exchange, Exchange::Hash(columns) if !columns.is_empty());
        self.step >= self.refused_until && stage.inputs.iter().all(|input| keyed(&input.exchange))
    }

    /// From now on the state may take so many bytes of memory; the rest is put away. Called between steps, with what
    /// [`Keyed::measure`] has just found.
    pub fn bound(&mut self, stage: &Stage, allowance: u64, lease: &mut Lease) -> Result<()> {
        self.allowance = allowance;
        let resident = self.resident_bytes();
        let wanted = self.seats_for(resident + self.spilled_bytes());
        let is_due = match self.writers.is_empty() {
            // While an instance is written there are two of its state.
            true => resident > allowance / 2,
            false => wanted > self.seats.len(),
        };
        if is_due && self.can_split(stage) {
            self.split(stage, wanted, lease)?;
        }
        Ok(())
    }

    /// How many instances a state of so many bytes is split into.
    fn seats_for(&self, bytes: u64) -> usize {
        let fits = |seats: &usize| bytes / *seats as u64 <= self.allowance / 8 && *seats >= self.threads;
        SEATS.into_iter().find(fits).unwrap_or(SLOTS as usize)
    }

    /// Makes ready for so many bytes of state that are about to be restored: all instances are away.
    pub fn put_all_away(&mut self, lease: &mut Lease, allowance: u64, bytes: u64) {
        self.allowance = allowance;
        self.writers = (0..self.threads).map(|_| lease.writer()).collect();
        self.seats = (0..self.seats_for(bytes)).map(|_| Seat::empty()).collect();
    }

    /// Writes all instances, one after the other, and starts with more, all of them away. If the disk refuses, nothing has changed.
    fn split(&mut self, stage: &Stage, seats: usize, lease: &mut Lease) -> Result<()> {
        let mut writers: Vec<_> = (0..self.threads).map(|_| lease.writer()).collect();
        let mut seats: Vec<_> = (0..seats).map(|_| Seat::empty()).collect();
        let mut left = Left::default();
        let done = self
            .seats
            .iter_mut()
            .try_for_each(|seat| seat.divide(stage, &mut seats, &mut writers[0], &mut left));
        self.pending.append(&mut left.pending);
        match done {
            Ok(()) => {
                tracing::info!(
                    operator = stage.operators[0].name(),
                    instances = seats.len(),
                    "state is spilled"
                );
                self.shared.append(&mut left.shared);
                (self.seats, self.writers) = (seats, writers);
                Ok(())
            }
            Err(OperatorError::Spill { reason, .. }) => {
                tracing::warn!(reason, "state stays in memory: it cannot be spilled");
                self.refused_until = self.step + ASK_AGAIN_STEPS;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Measures what is in memory.
    pub fn measure(&mut self) -> StateSize {
        let mut sum = StateSize::default();
        for seat in &mut self.seats {
            seat.measure();
            sum.entries += seat.size.entries;
            sum.bytes += seat.resident_bytes();
        }
        sum
    }

    /// Bytes of state in memory, as last measured.
    pub fn resident_bytes(&self) -> u64 {
        self.seats.iter().map(Seat::resident_bytes).sum()
    }

    /// Bytes of state in files.
    pub fn spilled_bytes(&self) -> u64 {
        self.seats.iter().flat_map(|seat| &seat.away).map(|spilled| spilled.part().length as u64).sum()
    }

    /// Whether there is state that waits for time to pass, or ends with the watermark.
    pub fn waits_for_time(&self, stage: &Stage) -> bool {
        let ends = stage.operators[0].state_bound() == StateBound::Watermark;
        self.seats.iter().any(|seat| match &seat.operator {
            Some(operator) => operator.waits_for_time() || (ends && operator.state_size().entries > 0),
            None => seat.waits_for_time || (ends && !seat.away.is_empty()),
        })
    }
}
