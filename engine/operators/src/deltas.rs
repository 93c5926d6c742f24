//! What an operator says in one step: rows by number, each with how often it is added or retracted.
//!
//! Within a step a row may come, go and come again. What is emitted is the sum, ordered by slot, retractions before additions, and
//! then by when the row was first touched: none of this depends on how many instances there are.

use headwater_core::hash::SLOTS;

/// No row.
pub(crate) const NONE: u32 = u32::MAX;

/// A change of the output.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Delta {
    /// What the operator names a row of its output by: for a join the rows of both sides, where [`NONE`] is a row of nulls.
    pub(crate) rows: [u32; 2],
    pub(crate) slot: u32,
    pub(crate) weight: i64,
}

/// The changes of a step.
#[derive(Default)]
pub(crate) struct Deltas(Vec<Delta>);

impl Deltas {
    #[inline]
    pub(crate) fn push(&mut self, rows: [u32; 2], slot: u32, weight: i64) {
        if weight != 0 {
            self.0.push(Delta { rows, slot, weight });
        }
    }

    /// A change of one side's row alone.
    #[inline]
    pub(crate) fn push_alone(&mut self, side: usize, row: u32, slot: u32, weight: i64) {
        let rows = if side == 0 { [row, NONE] } else { [NONE, row] };
        self.push(rows, slot, weight);
    }

    /// The changes in the order in which they are emitted; leaves nothing behind. `add_up`: the same row may be there
    /// several times.
    pub(crate) fn take(&mut self, add_up: bool) -> Vec<Delta> {
        let deltas = std::mem::take(&mut self.0);
        by_slot(if add_up { sums(deltas) } else { deltas })
    }
}

/// Each row once, where it came first, with its weights' sum; rows that come to nothing are left out.
fn sums(deltas: Vec<Delta>) -> Vec<Delta> {
    let mut order: Vec<u32> = (0..deltas.len() as u32).collect();
    order.sort_unstable_by_key(|place| (deltas[*place as usize].rows, *place));
    let mut sums: Vec<(u32, Delta)> = Vec::with_capacity(deltas.len());
    for place in order {
        let delta = deltas[place as usize];
        match sums.last_mut() {
            Some((_, sum)) if sum.rows == delta.rows => sum.weight += delta.weight,
            _ => sums.push((place, delta)),
        }
    }
    sums.retain(|(_, sum)| sum.weight != 0);
    sums.sort_unstable_by_key(|(place, _)| *place);
    sums.into_iter().map(|(_, sum)| sum).collect()
}

/// Ordered by slot, and within a slot retractions first; otherwise as they were.
fn by_slot(deltas: Vec<Delta>) -> Vec<Delta> {
    let place = |delta: &Delta| delta.slot as usize * 2 + usize::from(delta.weight > 0);
    if deltas.is_sorted_by_key(place) {
        return deltas;
    }
    let mut starts = [0_u32; SLOTS as usize * 2 + 1];
    for delta in &deltas {
        starts[place(delta) + 1] += 1;
    }
    for nth in 1..starts.len() {
        starts[nth] += starts[nth - 1];
    }
    let mut sorted = deltas.clone();
    for delta in &deltas {
        let at = &mut starts[place(delta)];
        sorted[*at as usize] = *delta;
        *at += 1;
    }
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_and_goes_is_not_said() {
        let mut deltas = Deltas::default();
        deltas.push([7, 1], 9, 1);
        deltas.push([3, NONE], 4, 1);
        deltas.push([7, 1], 9, -1);
        deltas.push([7, 2], 4, 1);
        deltas.push([8, 2], 4, -2);
        deltas.push([3, NONE], 4, 1);
        let said: Vec<_> = deltas.take(true).iter().map(|delta| (delta.rows, delta.weight)).collect();
        assert_eq!(said, [([8, 2], -2), ([3, NONE], 2), ([7, 2], 1)]);
        assert!(deltas.take(true).is_empty());
    }
}
