//! A timeline for each key: the key's watermark is the greatest candidate among its own rows so far.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};

use super::layout::PerKey;
use super::place::Times;
use super::tables::{push_entries, slots};
use crate::api::Snapshot;
use crate::error::Result;
use crate::groups::KeyTable;
use crate::uncomputed::{column_or_null, mask_or_null};

const BEGINNING: i64 = i64::MIN;

/// The watermarks of keys, by key number.
pub(super) struct Timelines {
    per_key: PerKey,
    clocks: Vec<i64>,
    /// Up to where each key's windows have been closed.
    closed: Vec<i64>,
    /// Keys for which the two differ.
    moved: Vec<u32>,
    dirty: Vec<bool>,
    dirty_keys: Vec<u32>,
}

/// What the rows of a batch do to their keys' timelines.
pub(super) struct Ticks {
    candidates: Times,
    pass: Option<BooleanArray>,
}

impl Ticks {
    /// Where a row moves its key's watermark to, if at all.
    pub(super) fn candidate(&self, row: usize) -> Option<i64> {
        self.candidates.get(row)
    }

    /// Whether a row is to be aggregated.
    pub(super) fn passes(&self, row: usize) -> bool {
        self.pass.as_ref().is_none_or(|pass| pass.is_valid(row) && pass.value(row))
    }
}

impl Timelines {
    pub(super) fn new(per_key: PerKey) -> Self {
        Self {
            per_key,
            clocks: Vec::new(),
            closed: Vec::new(),
            moved: Vec::new(),
            dirty: Vec::new(),
            dirty_keys: Vec::new(),
        }
    }

    pub(super) fn ticks(&self, batch: &RecordBatch, operator: &str) -> Result<Ticks> {
        let candidates = column_or_null(&self.per_key.candidate, batch, operator)?;
        let pass = self.per_key.pass.as_ref();
        Ok(Ticks {
            candidates: Times::new(&candidates, operator)?,
            pass: pass.map(|pass| mask_or_null(pass, batch, operator)).transpose()?,
        })
    }

    /// Makes room for keys below `keys`.
    pub(super) fn resize(&mut self, keys: usize) {
        self.clocks.resize(keys, BEGINNING);
        self.closed.resize(keys, BEGINNING);
        self.dirty.resize(keys, false);
    }

    pub(super) fn clock(&self, key: u32) -> i64 {
        self.clocks[key as usize]
    }

    pub(super) fn closed(&self, key: u32) -> i64 {
        self.closed[key as usize]
    }

    pub(super) fn advance(&mut self, key: u32, candidate: Option<i64>) {
        let index = key as usize;
        let Some(candidate) = candidate.filter(|candidate| *candidate > self.clocks[index]) else { return };
        if self.clocks[index] == self.closed[index] {
            self.moved.push(key);
        }
        self.clocks[index] = candidate;
        if !self.dirty[index] {
            self.dirty[index] = true;
            self.dirty_keys.push(key);
        }
    }

    /// The keys whose windows must be looked at: those that have moved, or all if the common watermark has.
    pub(super) fn take_due(&mut self, all: bool) -> Vec<u32> {
        let moved = std::mem::take(&mut self.moved);
        if all { (0..self.clocks.len() as u32).collect() } else { moved }
    }

    pub(super) fn set_closed(&mut self, key: u32) {
        self.closed[key as usize] = self.clocks[key as usize];
    }

    /// Keeps these keys alone, renumbered from 0 in this order. Called when no key's windows are due.
    pub(super) fn retain(&mut self, keys: &[u32]) {
        let pick = |values: &[i64]| keys.iter().map(|key| values[*key as usize]).collect();
        self.clocks = pick(&self.clocks);
        self.closed = pick(&self.closed);
        self.dirty = keys.iter().map(|key| self.dirty[*key as usize]).collect();
        self.dirty_keys = (0..).zip(&self.dirty).filter(|(_, dirty)| **dirty).map(|(key, _)| key).collect();
    }

    /// Writes the table `clocks`: keys and `$clock`, of the keys that have moved since the last call, or of all.
    pub(super) fn snapshot(&mut self, full: bool, keys: &KeyTable, out: &mut Snapshot) -> Result<()> {
        let changed: Vec<u32> = if full {
            (0..self.clocks.len() as u32).filter(|key| self.clock(*key) != BEGINNING).collect()
        } else {
            self.dirty_keys.clone()
        };
        for key in self.dirty_keys.drain(..) {
            self.dirty[key as usize] = false;
        }
        let mut columns = keys.columns(&changed)?;
        let slots = slots(&columns, changed.len())?;
        let clocks = Int64Array::from_iter_values(changed.iter().map(|key| self.clock(*key)));
        columns.push(Arc::new(clocks));
        let mut fields: Vec<_> =
            keys.types().iter().map(|kind| Field::new("$key", kind.clone(), true)).collect();
        fields.push(Field::new("$clock", DataType::Int64, false));
        push_entries("clocks", RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?, slots, out);
        Ok(())
    }

    /// Takes back the clocks of keys. What was due then has been emitted.
    pub(super) fn restore(&mut self, keys: &[u32], clocks: &ArrayRef) {
        for (key, clock) in keys.iter().zip(clocks.as_primitive::<Int64Type>().values()) {
            self.clocks[*key as usize] = *clock;
            self.closed[*key as usize] = *clock;
        }
    }

    pub(super) fn size(&self) -> usize {
        self.clocks.capacity() * (2 * size_of::<i64>() + 1)
    }
}
