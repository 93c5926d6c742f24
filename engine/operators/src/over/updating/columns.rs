//! The columns of functions that are no aggregates.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, new_null_array};

use super::evaluate::Spot;
use super::operator::UpdatingOverOperator;
use crate::error::{OperatorError, Result};
use crate::over::aggregates::Ask;
use crate::over::spec::OverFunction;

impl UpdatingOverOperator {
    pub(super) fn look_up(
        &self,
        function: &OverFunction,
        spots: &[Spot],
        asks: &[Vec<Ask>],
    ) -> Result<ArrayRef> {
        let numbers = |of: &dyn Fn(&Spot) -> i64| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(spots.iter().map(of)))
        };
        let at = |partition: u32, position: Option<usize>| {
            position.and_then(|position| self.partitions[partition as usize].rows.at(position))
        };
        match function {
            OverFunction::RowNumber => Ok(numbers(&|spot| spot.position as i64 + 1)),
            OverFunction::Rank => Ok(numbers(&|spot| self.rank(spot))),
            OverFunction::DenseRank => Ok(numbers(&|spot| self.held.entry(spot.row).dense)),
            OverFunction::Shift { column, by, default } => {
                let shifted = |spot: &Spot| {
                    let position = (spot.position as i64).checked_add(*by);
                    at(spot.partition, position.and_then(|position| usize::try_from(position).ok()))
                };
                self.held.store.column(*column, spots.iter().map(shifted), &default.to_array()?)
            }
            OverFunction::Value { column, row, frame } => {
                let of = |(spot, ask): (&Spot, &Ask)| {
                    at(spot.partition, row.of(ask.stretch).map(|position| position as usize))
                };
                let none = new_null_array(self.what.input.field(*column).data_type(), 1);
                self.held.store.column(*column, spots.iter().zip(&asks[*frame]).map(of), &none)
            }
            OverFunction::Aggregate { .. } => {
                Err(OperatorError::unsupported(self.name, "an aggregate is no single row's value"))
            }
        }
    }

    /// One more than the number of rows before a row's peers.
    fn rank(&self, spot: &Spot) -> i64 {
        let head = self.held.line(spot.row).head();
        let rows = &self.partitions[spot.partition as usize].rows;
        rows.partition_point(|other| self.held.line(other).head() < head) as i64 + 1
    }

    /// Counts the different values of the order anew, up to each of these rows.
    pub(super) fn count_values(&mut self, spots: &[Spot]) {
        for spot in spots {
            let before = spot.position.checked_sub(1);
            let before = before.and_then(|before| self.partitions[spot.partition as usize].rows.at(before));
            let dense = before.map_or(1, |before| {
                let before = self.held.entry(before);
                before.dense + i64::from(before.line.head() != self.held.line(spot.row).head())
            });
            self.held.entry_mut(spot.row).dense = dense;
        }
    }
}
