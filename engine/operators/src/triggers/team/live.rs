//! One trigger of a team: what it keeps for itself, what it sees of what was remembered, and what its conditions say of rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::take;
use hashbrown::HashMap;

use crate::error::Result;
use crate::narrow::Narrow;
use crate::triggers::ago::Ago;
use crate::triggers::guard::Guard;
use crate::triggers::machine::{Rearm, Rules, State};
use crate::triggers::memory::Seen;
use crate::triggers::roster::Member;
use crate::triggers::spec::{Memory, NAME};
use crate::uncomputed::{Unfit, mask_and_unfit};

/// A trigger and what it keeps for itself.
pub(in crate::triggers) struct Live {
    pub(in crate::triggers) member: Arc<Member>,
    pub(in crate::triggers) rules: Rules,
    pub(in crate::triggers) kind: Kind,
    /// Of silence: its state at every key.
    pub(in crate::triggers) silent: Vec<State>,
    pub(in crate::triggers) agos: Vec<Ago>,
    pub(super) looks: Vec<Look>,
    /// Equal conditions over the same columns have the same number.
    pub(super) condition: usize,
}

/// How much a trigger keeps in mind.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::triggers) enum Kind {
    /// Nothing: each row for which its condition is true fires. With `exact` its guard tells.
    Momentary { exact: bool },
    /// What it is doing at some keys.
    Stateful,
    /// How long each key has been silent.
    Silent,
}

/// Where a remembered column is.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Look {
    Slot(usize),
    Ago(usize),
}

/// What was remembered before each row of a batch.
pub(in crate::triggers) struct Remembered {
    pub(super) slots: Vec<Seen>,
    /// By trigger.
    pub(super) agos: HashMap<u32, Vec<ArrayRef>>,
    pub(super) epoch: u32,
    /// What conditions said of the whole batch, by their numbers.
    pub(super) said: Vec<Option<Said>>,
    pub(in crate::triggers) uncomputed: Uncomputed,
}

/// What a condition says of rows: NULL where it cannot be computed, which is at these places among them.
pub(in crate::triggers) type Said = (BooleanArray, Unfit);

/// Rows of a batch for which something of a trigger cannot be computed, by its id, and why.
pub(in crate::triggers) type Uncomputed = BTreeMap<(i64, usize), String>;

/// Which rows of a batch.
pub(in crate::triggers) enum Which {
    /// All of them, so many.
    All(usize),
    /// These, ascending.
    Some(UInt32Array),
}

impl Which {
    pub(in crate::triggers) fn len(&self) -> usize {
        match self {
            Self::All(rows) => *rows,
            Self::Some(rows) => rows.len(),
        }
    }

    pub(in crate::triggers) fn row(&self, nth: usize) -> usize {
        match self {
            Self::All(_) => nth,
            Self::Some(rows) => rows.value(nth) as usize,
        }
    }

    pub(super) fn indices(&self) -> Option<&UInt32Array> {
        match self {
            Self::All(_) => None,
            Self::Some(rows) => Some(rows),
        }
    }
}

/// A column that a condition looks at.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Column {
    Own(usize),
    Slot(usize),
    /// Of one trigger alone.
    Ago(i64, usize),
}

impl Live {
    pub(super) fn new(member: &Arc<Member>, keys: usize) -> Result<Self> {
        let rules = member.trigger.rules();
        let exact = match &member.guard {
            Guard::Level { exact, .. } | Guard::Crossing { exact, .. } | Guard::Point { exact, .. } => *exact,
            Guard::Unknown => false,
        };
        let kind = match (rules.silence, rules.hold, rules.rearm) {
            (true, ..) => Kind::Silent,
            (false, None, Rearm::Freely) => Kind::Momentary { exact },
            _ => Kind::Stateful,
        };
        let agos = member.trigger.remembered.iter().filter_map(|remembered| match remembered.memory {
            Memory::Ago(back) => Some((remembered, back)),
            Memory::Row | Memory::Value => None,
        });
        let agos = agos.map(|(remembered, back)| {
            let kind = remembered.expr.data_type(&member.trigger.input)?;
            Ago::new(Arc::clone(&remembered.expr), back, kind)
        });
        let agos = agos.collect::<Result<_>>()?;
        let member = Arc::clone(member);
        let mut live =
            Self { member, rules, kind, silent: Vec::new(), agos, looks: Vec::new(), condition: usize::MAX };
        live.resize(keys);
        Ok(live)
    }

    pub(super) fn resize(&mut self, keys: usize) {
        if self.kind == Kind::Silent {
            self.silent.resize(keys, State::NEW);
        }
        self.agos.iter_mut().for_each(|ago| ago.resize(keys));
    }

    pub(super) fn columns_of(&self, narrow: &Narrow) -> Vec<Column> {
        let own = self.member.trigger.input.fields().len();
        let column = |column: &usize| match column.checked_sub(own).map(|nth| self.looks[nth]) {
            None => Column::Own(*column),
            Some(Look::Slot(slot)) => Column::Slot(slot),
            Some(Look::Ago(nth)) => Column::Ago(self.member.id, nth),
        };
        narrow.columns.iter().map(column).collect()
    }

    /// Whether it may see all that was remembered, as every other trigger.
    pub(super) fn sees_all(&self, remembered: &Remembered) -> bool {
        self.looks.iter().all(|look| match look {
            Look::Slot(slot) => remembered.slots[*slot].oldest >= self.member.rank,
            Look::Ago(_) => true,
        })
    }

    /// What one of its conditions says of rows.
    pub(in crate::triggers) fn evaluate(
        &self,
        number: u32,
        narrow: &Narrow,
        which: &Which,
        batch: &RecordBatch,
        remembered: &Remembered,
    ) -> Result<Said> {
        let rows = which.indices();
        let at_rows = |column: &ArrayRef| -> Result<ArrayRef> {
            Ok(match rows {
                Some(rows) => take(column, rows, None)?,
                None => Arc::clone(column),
            })
        };
        let columns = self.columns_of(narrow).into_iter().map(|column| match column {
            Column::Own(column) => at_rows(batch.column(column)),
            Column::Slot(slot) => remembered.slots[slot].to(self.member.rank, rows),
            Column::Ago(_, nth) => at_rows(&remembered.agos[&number][nth]),
        });
        let narrowed = narrow.batch(columns.collect::<Result<_>>()?, which.len())?;
        mask_and_unfit(narrow.expr(), &narrowed, NAME)
    }
}

/// Notes rows for which something of a trigger cannot be computed, each once.
pub(in crate::triggers) fn note(
    uncomputed: &mut Uncomputed,
    id: i64,
    unfit: &[(usize, String)],
    row: impl Fn(usize) -> usize,
) {
    for (nth, reason) in unfit {
        uncomputed.entry((id, row(*nth))).or_insert_with(|| reason.clone());
    }
}
