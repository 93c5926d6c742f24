//! Bounds in order, and how many of them a value has reached, without a search among all of them.
//!
//! ```text
//!   bounds           10 12            31        47                          90
//!   cells          │      │      │      │      │      │  ..  │      │      │
//!   bounds before  0      2      2      3      3      4      4      4         a value of 33 is in the fourth cell: 3 or 4
//! ```
//!
//! The stretch from the first bound to the last is cut into cells of one width, about as many as there are bounds. A cell with many bounds,
//! as where they crowd and some lie far off, is cut again.

/// A cell with more bounds than this is cut again.
const CROWD: usize = 8;

/// Numbers in ascending order.
#[derive(Default)]
pub(super) struct Bounds {
    all: Vec<u64>,
    /// The first one is over all bounds.
    grids: Vec<Grid>,
}

struct Grid {
    first: u64,
    /// Cells are `1 << shift` wide.
    shift: u32,
    /// One more than there are cells: what is behind the last one.
    cells: Vec<Cell>,
}

#[derive(Clone, Copy)]
struct Cell {
    /// How many bounds lie before it.
    before: u32,
    /// The grid that it is cut into, or [`WHOLE`].
    finer: u32,
}

const WHOLE: u32 = u32::MAX;

impl Bounds {
    /// Bounds that are in order already.
    pub(super) fn new(all: Vec<u64>) -> Self {
        debug_assert!(all.is_sorted(), "bounds come in order");
        let mut bounds = Self { grids: Vec::new(), all };
        if !bounds.all.is_empty() {
            bounds.cut(0, bounds.all.len());
        }
        bounds
    }

    /// Cuts the stretch of some bounds into cells, and answers the number of the grid.
    fn cut(&mut self, from: usize, to: usize) -> u32 {
        let (first, width) = (self.all[from], self.all[to - 1] - self.all[from]);
        let cells = (to - from).next_power_of_two();
        let shift = (u64::BITS - width.leading_zeros()).saturating_sub(cells.trailing_zeros());
        let number = self.grids.len();
        self.grids.push(Grid { first, shift, cells: Vec::new() });
        let mut cut: Vec<Cell> = Vec::with_capacity(cells + 1);
        let mut at = from;
        for cell in 0..=width >> shift {
            let own = self.all[at..to].partition_point(|bound| (bound - first) >> shift <= cell);
            // Those that are equal cannot be told apart by cutting.
            let crowded = own > CROWD && self.all[at] < self.all[at + own - 1];
            let finer = if crowded { self.cut(at, at + own) } else { WHOLE };
            cut.push(Cell { before: at as u32, finer });
            at += own;
        }
        cut.push(Cell { before: to as u32, finer: WHOLE });
        self.grids[number].cells = cut;
        number as u32
    }

    /// How many bounds are no greater than a value.
    pub(super) fn reached(&self, value: u64) -> usize {
        let Some(mut grid) = self.grids.first() else { return 0 };
        loop {
            let Some(offset) = value.checked_sub(grid.first) else { return grid.cells[0].before as usize };
            let cell = usize::try_from(offset >> grid.shift).unwrap_or(usize::MAX);
            let Some([own, next]) = grid.cells.get(cell..cell.saturating_add(2)) else {
                return grid.cells[grid.cells.len() - 1].before as usize;
            };
            match self.grids.get(own.finer as usize) {
                Some(finer) => grid = finer,
                None => {
                    let (from, to) = (own.before as usize, next.before as usize);
                    return from + self.all[from..to].partition_point(|bound| *bound <= value);
                }
            }
        }
    }

    /// The same for a value that has reached the first `from` of them and few more.
    pub(super) fn reached_from(&self, from: usize, value: u64) -> usize {
        from + self.all[from..].iter().take_while(|bound| **bound <= value).count()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Bounds that crowd, bounds far apart, equal ones, the ends of all numbers.
    fn bound() -> impl Strategy<Value = u64> {
        let near = (0_u64..4, 0_u32..64, 0_u64..40);
        let near = near.prop_map(|(base, shift, more)| (base << shift).wrapping_add(more));
        prop_oneof![near, any::<u64>(), Just(0), Just(u64::MAX)]
    }

    proptest! {
        /// Against a search among all of them.
        #[test]
        fn a_value_reaches_the_bounds_that_are_no_greater(
            mut all in prop::collection::vec(bound(), 0..300),
            values in prop::collection::vec(bound(), 0..50),
        ) {
            all.sort_unstable();
            let bounds = Bounds::new(all.clone());
            let beside = all.iter().flat_map(|bound| [bound.wrapping_sub(1), *bound, bound.wrapping_add(1)]);
            for value in values.iter().copied().chain(beside) {
                let expect = all.partition_point(|bound| *bound <= value);
                prop_assert_eq!(bounds.reached(value), expect, "{} among {:?}", value, all);
                prop_assert_eq!(bounds.reached_from(expect / 2, value), expect);
            }
        }
    }

    #[test]
    fn however_they_lie_a_cell_holds_few_of_them() {
        let ranked = |value: f64| if value < 0.0 { !value.to_bits() } else { value.to_bits() | 1 << 63 };
        let even = (0..10_000).map(|nth| ranked(60.0 + f64::from(nth) / 10.0));
        let around_zero = (0..10_000).map(|nth| ranked(f64::from(nth - 5_000) / 100.0));
        let one_far_off = (0..9_999).map(|nth| ranked(f64::from(nth))).chain([ranked(1e300)]);
        for mut all in [even.collect::<Vec<_>>(), around_zero.collect(), one_far_off.collect()] {
            all.sort_unstable();
            let bounds = Bounds::new(all);
            let cells = bounds.grids.iter().flat_map(|grid| grid.cells.windows(2));
            let whole = cells.filter(|pair| pair[0].finer == WHOLE);
            let most = whole.map(|pair| pair[1].before - pair[0].before).max();
            assert!(most.is_some_and(|most| most as usize <= CROWD), "{most:?}");
            let cells: usize = bounds.grids.iter().map(|grid| grid.cells.len()).sum();
            assert!(cells < 8 * bounds.all.len(), "{cells} cells");
        }
    }
}
