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

use std::collections::BTreeMap;

use arrow::array::UInt32Array;
use headwater_core::EventTime;
use headwater_core::hash::{SLOTS, worker_of};
use headwater_operators::{
    Operator, OperatorError, Output, Rows, Snapshot, StateBound, StateChange, StateEntries, StateSize,
};
use headwater_plan::dataflow::{Exchange, Stage};

use super::exchange::{merge, spread};
use super::spill::{Lease, SpillWriter, Spilled, StatePart};

/// An instance that had no rows for so many steps is put away before one that has just had some.
const COLD_STEPS: u64 = 8;

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

/// One instance.
struct Seat {
    /// In memory, or not.
    operator: Option<Box<dyn Operator>>,
    /// If not: its state, in the order in which it is to be given back.
    away: Vec<Spilled>,
    /// Of one that is away: when it has to be brought back although no row came for it.
    due: Option<EventTime>,
    waits_for_time: bool,
    /// When it was last measured.
    size: StateSize,
    /// The last step in which it had rows.
    used: u64,
}

impl Seat {
    fn new(operator: Box<dyn Operator>) -> Self {
        let (size, due) = (StateSize::default(), Some(EventTime::MIN));
        Self { operator: Some(operator), away: Vec::new(), due, waits_for_time: false, size, used: 0 }
    }

    /// One that is away, without state so far.
    fn empty() -> Self {
        let (size, due) = (StateSize::default(), Some(EventTime::MIN));
        Self { operator: None, away: Vec::new(), due, waits_for_time: false, size, used: 0 }
    }

    fn resident_bytes(&self) -> u64 {
        if self.operator.is_some() { self.size.bytes } else { 0 }
    }

    fn measure(&mut self) {
        if let Some(operator) = &self.operator {
            self.size = operator.state_size();
        }
    }

    /// The instance, brought back if it is away. `before`: the watermark of the step before.
    fn bring_back(
        &mut self,
        stage: &Stage,
        shared: &Shared,
        before: EventTime,
    ) -> Result<&mut Box<dyn Operator>> {
        if self.operator.is_none() {
            let mut operator = stage.operators[0].instantiate()?;
            for entries in shared.values() {
                operator.restore(entries)?;
            }
            for spilled in &self.away {
                operator.restore(&spilled.entries().map_err(|reason| spill_failed(stage, reason))?)?;
            }
            // Time has gone on meanwhile, to nothing that this instance waited for.
            let mut nothing = Output::default();
            operator.on_watermark(before, &mut nothing)?;
            debug_assert!(
                nothing.rows.is_empty() && nothing.late.is_empty(),
                "an instance was brought back late"
            );
            self.away.clear();
            self.operator = Some(operator);
        }
        Ok(self.operator.as_mut().expect("it was just made"))
    }

    /// Writes the instance to files, unless the disk refuses; what has changed in it since the last snapshot goes to `left`.
    fn put_away(&mut self, writer: &mut SpillWriter, left: &mut Left) -> Result<bool> {
        let Some(operator) = &mut self.operator else { return Ok(true) };
        let changed = left.own_of(operator.as_mut(), false)?;
        let all = left.own_of(operator.as_mut(), true)?;
        match writer.write(changed.iter().chain(&all)) {
            Ok(mut written) => {
                let all = written.split_off(changed.len());
                left.pending.extend(written.into_iter().map(StatePart::Away));
                (self.due, self.waits_for_time) = (operator.due(), operator.waits_for_time());
                self.size = operator.state_size();
                self.away = all;
                self.operator = None;
                Ok(true)
            }
            Err(reason) => {
                tracing::warn!(reason, "state stays in memory: it cannot be spilled");
                left.pending.extend(changed.into_iter().map(StatePart::Here));
                Ok(false)
            }
        }
    }

    /// Gives all of the state to the seats that own its slots from now on.
    fn divide(
        &mut self,
        stage: &Stage,
        seats: &mut [Seat],
        writer: &mut SpillWriter,
        left: &mut Left,
    ) -> Result<()> {
        let mut give = |entries: &StateEntries| {
            give(seats, writer, entries)?.map_err(|reason| spill_failed(stage, reason))
        };
        match &mut self.operator {
            Some(operator) => {
                let changed = left.own_of(operator.as_mut(), false)?;
                left.pending.extend(changed.into_iter().map(StatePart::Here));
                left.own_of(operator.as_mut(), true)?.iter().try_for_each(give)
            }
            None => self.away.iter().try_for_each(|spilled| {
                give(&spilled.entries().map_err(|reason| spill_failed(stage, reason))?)
            }),
        }
    }
}

/// What instances that are put away leave with their stage.
#[derive(Default)]
struct Left {
    pending: Vec<StatePart>,
    shared: Shared,
}

impl Left {
    /// A snapshot's entries with slots; those without are everybody's.
    fn own_of(&mut self, operator: &mut dyn Operator, full: bool) -> Result<Vec<StateEntries>> {
        let mut snapshot = Snapshot::default();
        operator.snapshot(full, &mut snapshot)?;
        let (shared, own): (Vec<_>, Vec<_>) =
            snapshot.entries.into_iter().partition(|entries| entries.slots.is_empty());
        self.shared.extend(shared.into_iter().map(|entries| (entries.table.clone(), entries)));
        Ok(own)
    }
}

/// A snapshot that is being taken.
///
/// What is everybody's is told once, before all else, which a restore may need it for. Instances in memory tell it before their own, and
/// alike, as the same steps have come to all of them; so that of the first is the newest.
struct Telling<'a> {
    shared: &'a mut Shared,
    /// What is told first of the rest.
    pending: Vec<StatePart>,
    has_begun: bool,
    take: &'a mut dyn FnMut(StatePart),
}

impl Telling<'_> {
    /// What an instance says of everybody.
    fn note(&mut self, entries: StateEntries) {
        debug_assert!(
            !self.has_begun || self.shared.get(&entries.table).is_some_and(|told| told.rows == entries.rows),
            "what is everybody's is told first, and by all alike"
        );
        self.shared.insert(entries.table.clone(), entries);
    }

    fn begin(&mut self) {
        if !std::mem::replace(&mut self.has_begun, true) {
            self.shared.values().cloned().map(StatePart::Here).for_each(&mut *self.take);
            self.pending.drain(..).for_each(&mut *self.take);
        }
    }

    fn tell(&mut self, part: StatePart) {
        self.begin();
        (self.take)(part);
    }
}

/// The seats of one thread in one step.
struct Lane<'a> {
    stage: &'a Stage,
    seats: &'a mut [Seat],
    rows: Vec<Vec<(usize, Rows)>>,
    writer: Option<&'a mut SpillWriter>,
    shared: &'a Shared,
    allowance: u64,
    left: Left,
    step: u64,
}

impl Lane<'_> {
    fn run(mut self, before: EventTime, watermark: EventTime) -> Result<(Vec<Output>, Left)> {
        let mut outputs = Vec::with_capacity(self.seats.len());
        let mut resident: u64 = self.seats.iter().map(Seat::resident_bytes).sum();
        for (nth, rows) in std::mem::take(&mut self.rows).into_iter().enumerate() {
            let seat = &mut self.seats[nth];
            let mut output = Output::default();
            let has_rows = !rows.is_empty();
            if seat.operator.is_none() && !has_rows && seat.due.is_none_or(|due| watermark < due) {
                outputs.push(output);
                continue;
            }
            let was_away = seat.operator.is_none();
            let operator = seat.bring_back(self.stage, self.shared, before)?;
            for (input, rows) in rows {
                operator.on_batch(input, rows, &mut output)?;
            }
            operator.on_watermark(watermark, &mut output)?;
            if has_rows {
                seat.used = self.step;
            }
            if self.writer.is_some() && (has_rows || was_away || !output.rows.is_empty()) {
                resident -= if was_away { 0 } else { seat.resident_bytes() };
                seat.measure();
                resident += seat.resident_bytes();
                self.relieve(nth, &mut resident)?;
            }
            outputs.push(output);
        }
        Ok((outputs, self.left))
    }

    /// Puts instances away until the rest fits.
    fn relieve(&mut self, just_run: usize, resident: &mut u64) -> Result<()> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        while *resident > self.allowance {
            let cold = |seat: &&mut Seat| {
                seat.operator.is_some() && seat.size.entries > 0 && seat.used + COLD_STEPS < self.step
            };
            let coldest = self.seats.iter_mut().filter(cold).min_by_key(|seat| seat.used);
            let seat = match coldest {
                Some(seat) => seat,
                None => &mut self.seats[just_run],
            };
            let bytes = seat.resident_bytes();
            if bytes == 0 || !seat.put_away(writer, &mut self.left)? {
                break;
            }
            *resident -= bytes;
        }
        Ok(())
    }
}

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

/// The entries that belong to each of so many instances.
fn distribute(entries: &StateEntries, instances: usize) -> Result<Vec<Option<StateEntries>>> {
    if instances == 1 {
        return Ok(vec![Some(entries.clone())]);
    }
    let mut rows: Vec<Vec<u32>> = vec![Vec::new(); instances];
    for (row, slot) in (0..).zip(&entries.slots) {
        rows[worker_of(*slot, instances as u32) as usize].push(row);
    }
    let each = |own: Vec<u32>| {
        if own.is_empty() {
            return Ok(None);
        }
        Ok(Some(StateEntries {
            table: entries.table.clone(),
            change: entries.change,
            slots: own.iter().map(|row| entries.slots[*row as usize]).collect(),
            rows: arrow::compute::take_record_batch(&entries.rows, &UInt32Array::from(own))?,
        }))
    };
    rows.into_iter().map(each).collect()
}

/// Writes entries for the seats that own them, which are all away. The inner error is the disk's.
fn give(
    seats: &mut [Seat],
    writer: &mut SpillWriter,
    entries: &StateEntries,
) -> Result<std::result::Result<(), String>> {
    let own = distribute(entries, seats.len())?;
    let written = match writer.write(own.iter().flatten()) {
        Ok(written) => written,
        Err(reason) => return Ok(Err(reason)),
    };
    let owners = seats.iter_mut().zip(&own).filter_map(|(seat, own)| Some((seat, own.as_ref()?)));
    for ((seat, own), spilled) in owners.zip(written) {
        seat.away.push(spilled);
        if own.change == StateChange::Put {
            // About, until the instance is brought back and measured: some may replace others.
            seat.size.entries += own.rows.num_rows() as u64;
        }
    }
    Ok(Ok(()))
}

fn spill_failed(stage: &Stage, reason: String) -> OperatorError {
    OperatorError::Spill { operator: stage.operators[0].name().to_owned(), reason }
}
