//! One instance of a keyed stage, in memory or in files, and what it leaves with its stage when it is put away.

use arrow::array::UInt32Array;
use headwater_core::EventTime;
use headwater_core::hash::worker_of;
use headwater_operators::{Operator, OperatorError, Output, Snapshot, StateChange, StateEntries, StateSize};
use headwater_plan::dataflow::Stage;

use super::{Result, Shared};
use crate::job::spill::{SpillWriter, Spilled, StatePart};

/// One instance.
pub(super) struct Seat {
    /// In memory, or not.
    pub(super) operator: Option<Box<dyn Operator>>,
    /// If not: its state, in the order in which it is to be given back.
    pub(super) away: Vec<Spilled>,
    /// Of one that is away: when it has to be brought back although no row came for it.
    pub(super) due: Option<EventTime>,
    pub(super) waits_for_time: bool,
    /// When it was last measured.
    pub(super) size: StateSize,
    /// The last step in which it had rows.
    pub(super) used: u64,
}

impl Seat {
    pub(super) fn new(operator: Box<dyn Operator>) -> Self {
        let (size, due) = (StateSize::default(), Some(EventTime::MIN));
        Self { operator: Some(operator), away: Vec::new(), due, waits_for_time: false, size, used: 0 }
    }

    /// One that is away, without state so far.
    pub(super) fn empty() -> Self {
        let (size, due) = (StateSize::default(), Some(EventTime::MIN));
        Self { operator: None, away: Vec::new(), due, waits_for_time: false, size, used: 0 }
    }

    pub(super) fn resident_bytes(&self) -> u64 {
        if self.operator.is_some() { self.size.bytes } else { 0 }
    }

    pub(super) fn measure(&mut self) {
        if let Some(operator) = &self.operator {
            self.size = operator.state_size();
        }
    }

    /// The instance, brought back if it is away. `before`: the watermark of the step before.
    pub(super) fn bring_back(
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
    pub(super) fn put_away(&mut self, writer: &mut SpillWriter, left: &mut Left) -> Result<bool> {
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
    pub(super) fn divide(
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
pub(super) struct Left {
    pub(super) pending: Vec<StatePart>,
    pub(super) shared: Shared,
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

/// The entries that belong to each of so many instances.
pub(super) fn distribute(entries: &StateEntries, instances: usize) -> Result<Vec<Option<StateEntries>>> {
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
pub(super) fn give(
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

pub(super) fn spill_failed(stage: &Stage, reason: String) -> OperatorError {
    OperatorError::Spill { operator: stage.operators[0].name().to_owned(), reason }
}
