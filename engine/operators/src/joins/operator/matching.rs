//! How a side's changes meet the rows of the other side, and what that says of rows with a match and without.

use super::{Arrival, FOUND, JoinOperator};
use crate::deltas::NONE;
use crate::error::Result;
use crate::joins::spec::JoinKind;

/// How many pairs are put before the residual at once.
const CHUNK: usize = 8192;

impl JoinOperator {
    /// Whether a side's rows without a match come out.
    pub(super) fn says_unmatched(&self, side: usize) -> bool {
        self.what.kind.preserves(side)
            || (matches!(self.what.kind, JoinKind::Anti | JoinKind::Mark) && side == 0)
    }

    /// Whether a side's rows with a match come out by themselves, and how the match is named.
    fn says_matched(&self, side: usize) -> Option<u32> {
        match self.what.kind {
            JoinKind::Semi if side == 0 => Some(NONE),
            JoinKind::Mark if side == 0 => Some(FOUND),
            _ => None,
        }
    }

    /// Changes of a side meet the other side's rows, which all match.
    pub(super) fn meet_all(&mut self, side: usize, arrivals: &[Arrival]) {
        let other = 1 - side;
        for arrival in arrivals {
            let key = self.sides[side].entry(arrival.row).key;
            let slot = self.slots[key as usize];
            if self.what.kind.gives_pairs() {
                for row in self.sides[other].rows_of(key) {
                    let weight = self.sides[other].entry(row).weight * arrival.weight;
                    self.deltas.push(pair(side, arrival.row, row), slot, weight);
                }
            }
            self.say(side, arrival.row, arrival.weight, self.sides[other].totals[key as usize]);
            let before = self.sides[side].totals[key as usize];
            let after = before + arrival.weight;
            self.sides[side].totals[key as usize] = after;
            if self.what.kind.tracks(other) && (before > 0) != (after > 0) {
                let rows: Vec<u32> = self.sides[other].rows_of(key).collect();
                rows.into_iter().for_each(|row| self.turn(other, row, after > 0));
            }
        }
    }

    /// Changes of a side meet the other side's rows, as far as the residual lets them.
    pub(super) fn meet_some(&mut self, side: usize, arrivals: &mut [Arrival]) -> Result<()> {
        let other = 1 - side;
        let mut candidates: Vec<(u32, u32)> = Vec::new();
        for nth in 0..arrivals.len() {
            let key = self.sides[side].entry(arrivals[nth].row).key;
            self.sides[side].totals[key as usize] += arrivals[nth].weight;
            // Rows of weight 0 count what matches, too: they may come back in this step.
            candidates.extend(self.sides[other].rows_of(key).map(|row| (nth as u32, row)));
            if candidates.len() >= CHUNK {
                self.judge(side, arrivals, &candidates)?;
                candidates.clear();
            }
        }
        self.judge(side, arrivals, &candidates)?;
        for arrival in arrivals {
            if arrival.fresh {
                self.sides[side].set_matches(arrival.row, arrival.matches);
            }
            let matches = self.sides[side].matches(arrival.row);
            self.say(side, arrival.row, arrival.weight, matches);
        }
        Ok(())
    }

    /// Puts candidates before the residual.
    fn judge(&mut self, side: usize, arrivals: &mut [Arrival], candidates: &[(u32, u32)]) -> Result<()> {
        let Some(residual) = &self.residual else {
            for (nth, row) in candidates {
                self.match_pair(side, &mut arrivals[*nth as usize], *row);
            }
            return Ok(());
        };
        if candidates.is_empty() {
            return Ok(());
        }
        let own = candidates.iter().map(|(nth, _)| arrivals[*nth as usize].row);
        let others = candidates.iter().map(|(_, row)| *row);
        let (own, others) = (
            self.sides[side].some_columns(&residual.columns[side], own)?,
            self.sides[1 - side].some_columns(&residual.columns[1 - side], others)?,
        );
        let (left, right) = if side == 0 { (own, others) } else { (others, own) };
        let mask = residual.judge(left, right, candidates.len(), self.name)?;
        for ((nth, row), _) in candidates.iter().zip(&mask).filter(|(_, pass)| *pass == Some(true)) {
            self.match_pair(side, &mut arrivals[*nth as usize], *row);
        }
        Ok(())
    }

    fn match_pair(&mut self, side: usize, arrival: &mut Arrival, row: u32) {
        let other = 1 - side;
        let weight = self.sides[other].entry(row).weight;
        if arrival.fresh {
            arrival.matches += weight;
        }
        if self.what.kind.gives_pairs() {
            let slot = self.sides[other].entry(row).slot;
            self.deltas.push(pair(side, arrival.row, row), slot, weight * arrival.weight);
        }
        if self.what.kind.tracks(other) {
            let before = self.sides[other].matches(row);
            let after = before + arrival.weight;
            self.sides[other].set_matches(row, after);
            self.sides[other].touch(row);
            if (before > 0) != (after > 0) {
                self.turn(other, row, after > 0);
            }
        }
    }

    /// A change of a row of which so many rows match: says what comes out for the row by itself.
    fn say(&mut self, side: usize, row: u32, weight: i64, matches: i64) {
        let slot = self.sides[side].entry(row).slot;
        match self.says_matched(side) {
            Some(found) if matches > 0 => self.deltas.push([row, found], slot, weight),
            _ if matches <= 0 && self.says_unmatched(side) && !self.what.is_bounded() => {
                self.deltas.push_alone(side, row, slot, weight);
            }
            _ => {}
        }
    }

    /// A row has found its first match or lost its last one.
    fn turn(&mut self, side: usize, row: u32, matched: bool) {
        let entry = self.sides[side].entry(row);
        let (slot, weight) = (entry.slot, entry.weight);
        let weight = if matched { weight } else { -weight };
        if let Some(found) = self.says_matched(side) {
            self.deltas.push([row, found], slot, weight);
        }
        // Of rows that end it is said only then that they had no match.
        if self.says_unmatched(side) && !self.what.is_bounded() {
            self.deltas.push_alone(side, row, slot, -weight);
        }
    }
}

fn pair(side: usize, own: u32, other: u32) -> [u32; 2] {
    debug_assert!(own != NONE && other != NONE);
    if side == 0 { [own, other] } else { [other, own] }
}
