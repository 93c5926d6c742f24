//! The instances that one thread runs in a step.

use headwater_core::EventTime;
use headwater_operators::{Output, Rows};
use headwater_plan::dataflow::Stage;

use super::seat::{Left, Seat};
use super::{Result, Shared};
use crate::job::spill::SpillWriter;

/// An instance that had no rows for so many steps is put away before one that has just had some.
const COLD_STEPS: u64 = 8;

/// The seats of one thread in one step.
pub(super) struct Lane<'a> {
    pub(super) stage: &'a Stage,
    pub(super) seats: &'a mut [Seat],
    pub(super) rows: Vec<Vec<(usize, Rows)>>,
    pub(super) writer: Option<&'a mut SpillWriter>,
    pub(super) shared: &'a Shared,
    pub(super) allowance: u64,
    pub(super) left: Left,
    pub(super) step: u64,
}

impl Lane<'_> {
    pub(super) fn run(mut self, before: EventTime, watermark: EventTime) -> Result<(Vec<Output>, Left)> {
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
