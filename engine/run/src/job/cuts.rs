//! What several instances emit, each in order, cut where all of it can be cut: so it is put in one order a part at a time.
//!
//! ```text
//!  instance 0   1  3  4 │  8  9   … │
//!  instance 1   2  4    │  5  6 10 … │
//!                       └ a part ends with the least of the last rows of the stretches that come first
//! ```
//!
//! A part stays in the processor's cache while it is sorted and copied, and what it was made of is let go of before the next one is made.

use std::cmp::Ordering;
use std::collections::VecDeque;

use arrow::buffer::ScalarBuffer;
use headwater_operators::{OperatorError, Rows};

use super::order::integers;

/// The parts, one after the other: the rows of each, those of an instance behind those of the one before.
pub(super) struct Cuts {
    /// Of each instance, what is left.
    runs: Vec<VecDeque<Stretch>>,
}

/// Some rows of one instance, and what they are ordered by.
struct Stretch {
    rows: Rows,
    keys: Vec<ScalarBuffer<i64>>,
}

impl Cuts {
    /// Cuts the batches of instances, each of which has so many of them, by these columns and then by weight, into stretches of at most so
    /// many rows. `None`: the columns are not integers or times, or an instance's rows are not in order.
    pub fn new(
        batches: &[Rows],
        of_each: &[usize],
        order: &[usize],
        rows_max: usize,
    ) -> Result<Option<Self>, OperatorError> {
        let is_weighted = batches.iter().any(|rows| rows.weights.is_some());
        let mut runs = Vec::with_capacity(of_each.len());
        let mut batches = batches.iter();
        for count in of_each {
            let mut run: VecDeque<Stretch> = VecDeque::new();
            for rows in batches.by_ref().take(*count).filter(|rows| !rows.is_empty()) {
                for from in (0..rows.len()).step_by(rows_max) {
                    let rows = rows.slice(from..rows.len().min(from + rows_max));
                    let Some(stretch) = Stretch::new(rows, order, is_weighted)? else { return Ok(None) };
                    let follows = run
                        .back()
                        .is_none_or(|last| last.compare(last.rows.len() - 1, &stretch.key(0)).is_le());
                    if !follows || !stretch.is_sorted() {
                        return Ok(None);
                    }
                    run.push_back(stretch);
                }
            }
            runs.push(run);
        }
        Ok(Some(Self { runs }))
    }
}

impl Iterator for Cuts {
    type Item = Vec<Rows>;

    fn next(&mut self) -> Option<Vec<Rows>> {
        let firsts = self.runs.iter().filter_map(VecDeque::front);
        let bound = firsts.map(|stretch| stretch.key(stretch.rows.len() - 1)).min()?;
        let mut part = Vec::new();
        for run in &mut self.runs {
            // Rows that are equal to the last one may go on in the next stretch.
            while let Some(first) = run.front_mut() {
                let rows = first.up_to(&bound);
                if rows < first.rows.len() {
                    part.extend((rows > 0).then(|| first.split_off(rows)));
                    break;
                }
                part.extend(run.pop_front().map(|stretch| stretch.rows));
            }
        }
        Some(part)
    }
}

impl Stretch {
    fn new(rows: Rows, order: &[usize], is_weighted: bool) -> Result<Option<Self>, OperatorError> {
        let mut keys = Vec::with_capacity(order.len() + 1);
        for column in order {
            let Some(values) = integers(rows.batch.column(*column))? else { return Ok(None) };
            keys.push(values);
        }
        if is_weighted {
            let weights = rows.weights.as_ref().map(|weights| weights.values().clone());
            keys.push(weights.unwrap_or_else(|| ScalarBuffer::from(vec![1; rows.len()])));
        }
        Ok(Some(Self { rows, keys }))
    }

    fn key(&self, row: usize) -> Vec<i64> {
        self.keys.iter().map(|values| values[row]).collect()
    }

    fn compare(&self, row: usize, key: &[i64]) -> Ordering {
        self.keys.iter().map(|values| values[row]).cmp(key.iter().copied())
    }

    fn is_sorted(&self) -> bool {
        match self.keys.as_slice() {
            [] => true,
            [one] => one.is_sorted(),
            many => (1..self.rows.len()).all(|row| {
                let of = |row: usize| many.iter().map(move |values| values[row]);
                of(row - 1).le(of(row))
            }),
        }
    }

    /// How many rows come first that are not behind `bound`.
    fn up_to(&self, bound: &[i64]) -> usize {
        let (mut low, mut high) = (0, self.rows.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.compare(middle, bound).is_le() { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// Takes the first rows away.
    fn split_off(&mut self, rows: usize) -> Rows {
        let first = self.rows.slice(0..rows);
        let left = self.rows.len() - rows;
        self.rows = self.rows.slice(rows..rows + left);
        self.keys.iter_mut().for_each(|values| *values = values.slice(rows, left));
        first
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
    use arrow::datatypes::Int64Type;

    use super::*;

    /// A row: two columns that are ordered by, and the weight.
    type Row = (i64, i64, i64);

    /// Rows, each with a number that says where it was.
    fn rows(rows: &[Row], numbered: &mut i64, is_weighted: bool) -> Rows {
        let column =
            |of: fn(&Row) -> i64| -> ArrayRef { Arc::new(Int64Array::from_iter_values(rows.iter().map(of))) };
        let first = *numbered;
        *numbered += rows.len() as i64;
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(first..*numbered));
        let columns = [("number", numbers), ("b", column(|row| row.1)), ("a", column(|row| row.0))];
        let weights = is_weighted.then(|| Int64Array::from_iter_values(rows.iter().map(|row| row.2)));
        Rows { weights, ..Rows::new(RecordBatch::try_from_iter(columns).unwrap()) }
    }

    fn value(number: usize) -> i64 {
        (number as i64).wrapping_mul(0x5851_f42d_4c95_7f2d).rotate_left(29)
    }

    /// Instances with so many rows each, whose parts are the same as all of it in order.
    fn check(instances: &[usize], distinct: i64, batch: usize, rows_max: usize, is_weighted: bool) {
        let (mut batches, mut of_each, mut all, mut number) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for count in instances {
            let mut own: Vec<Row> = (0..*count)
                .map(|nth| {
                    let value = value(nth + all.len());
                    let weight = if is_weighted { value % 2 * 2 + 1 } else { 1 };
                    (value.rem_euclid(3) - 1, (value >> 8).rem_euclid(distinct), weight.signum())
                })
                .collect();
            own.sort_unstable();
            let cut: Vec<Rows> = own.chunks(batch).map(|own| rows(own, &mut number, is_weighted)).collect();
            of_each.push(cut.len());
            batches.extend(cut);
            all.extend(own);
        }
        let mut expected: Vec<(Row, i64)> = all.into_iter().zip(0..).collect();
        expected.sort();
        let parts: Vec<Vec<Rows>> =
            Cuts::new(&batches, &of_each, &[2, 1], rows_max).unwrap().unwrap().collect();
        assert!(parts.iter().all(|part| !part.is_empty()));
        let mut found: Vec<i64> = Vec::new();
        for part in &parts {
            let numbers =
                part.iter().flat_map(|rows| rows.batch.column(0).as_primitive::<Int64Type>().values());
            let mut part: Vec<(Row, i64)> =
                numbers.map(|number| *expected.iter().find(|(_, own)| own == number).unwrap()).collect();
            // By the stable way, as they are put in order.
            part.sort_by_key(|(row, _)| *row);
            found.extend(part.into_iter().map(|(_, number)| number));
        }
        assert!(
            found.into_iter().eq(expected.into_iter().map(|(_, number)| number)),
            "{instances:?} {distinct}"
        );
        let rows = instances.iter().sum::<usize>();
        assert!(
            distinct < 1_000 || parts.len() * instances.len() * rows_max >= rows / 2,
            "{} parts",
            parts.len()
        );
    }

    #[test]
    fn parts_one_after_the_other_are_all_in_order() {
        for instances in [&[400, 380][..], &[1, 900], &[0, 30], &[200, 0, 300, 170], &[500]] {
            for (batch, rows_max) in [(1_000, 16), (7, 1_000), (50, 20)] {
                check(instances, 1_000_000, batch, rows_max, false);
                check(instances, 1_000_000, batch, rows_max, true);
                // Rows that are equal, of one instance and of several, over the ends of stretches.
                check(instances, 3, batch, rows_max, false);
                check(instances, 1, batch, rows_max, true);
            }
        }
    }

    #[test]
    fn what_is_not_in_order_or_not_of_integers_is_not_cut() {
        let mut number = 0;
        let mut of = |own: &[Row]| rows(own, &mut number, false);
        let cuts = |batches: &[Rows]| Cuts::new(batches, &[batches.len()], &[2, 1], 10).unwrap().is_some();
        assert!(cuts(&[of(&[(0, 1, 1), (1, 0, 1)]), of(&[(1, 0, 1)])]));
        assert!(!cuts(&[of(&[(0, 1, 1), (0, 0, 1)])]));
        assert!(!cuts(&[of(&[(0, 1, 1)]), of(&[(0, 0, 1)])]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
        let texts = Rows::new(RecordBatch::try_from_iter([("a", texts)]).unwrap());
        assert!(Cuts::new(&[texts], &[1], &[0], 10).unwrap().is_none());
    }
}
