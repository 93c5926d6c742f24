//! What conditions and measures look at, and what must be remembered of a way for them: the first and the last rows of
//! a variable, and aggregates. Rows are counted from the start of the match.

use arrow::datatypes::DataType;

use super::accumulator::{Accumulator, Fold};
use super::buffer::{Buffer, Place};
use crate::error::Result;

/// No such row.
const NONE: u32 = u32::MAX;

/// From which end rows of a variable are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd)]
pub enum Side {
    /// `FIRST`.
    First,
    /// `LAST`, and a column without any of these functions.
    Last,
}

/// What an expression looks at.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd)]
pub enum Look {
    /// A value of one row; NULL if there is no such row.
    Row {
        /// Which of [`super::MatchRecognize::operands`].
        operand: usize,
        /// The variable among whose rows is counted; none: all rows of the match.
        of: Option<u16>,
        /// From which end.
        side: Side,
        /// How many rows after the first, or before the last.
        offset: u32,
        /// How many rows of the partition after that one (`NEXT`), or before it (`PREV`: negative).
        step: i32,
    },
    /// An aggregate.
    Fold {
        /// Which.
        fold: Fold,
        /// Over which of [`super::MatchRecognize::operands`]; none: over rows.
        operand: Option<usize>,
        /// Over the rows of which variable; none: of the whole match.
        of: Option<u16>,
    },
    /// The name of the variable that the row belongs to. In measures alone.
    Classifier,
    /// Which match of the partition it is, from 1. In measures alone.
    Number,
}

impl Look {
    /// The type of what it sees; `operands` are the types of the operands.
    pub(super) fn data_type(&self, operands: &[DataType]) -> Option<DataType> {
        match self {
            Self::Row { operand, .. } => operands.get(*operand).cloned(),
            Self::Fold { fold, operand, .. } => {
                fold.return_type(operand.and_then(|operand| operands.get(operand)))
            }
            Self::Classifier => Some(DataType::Utf8),
            Self::Number => Some(DataType::Int64),
        }
    }

    /// Whether all that it looks at is the row itself and its neighbours, when the row is to be one of `variable`.
    pub fn is_local(&self, variable: u16) -> bool {
        match self {
            Self::Row { of, side: Side::Last, offset: 0, .. } => belongs(*of, variable),
            _ => false,
        }
    }
}

fn belongs(of: Option<u16>, variable: u16) -> bool {
    of.is_none_or(|of| of == variable)
}

/// Rows of one variable that are remembered.
#[derive(Debug, Clone)]
struct Track {
    of: Option<u16>,
    side: Side,
    at: usize,
    len: usize,
}

#[derive(Debug, Clone)]
struct Folded {
    fold: Fold,
    operand: Option<usize>,
    of: Option<u16>,
    none: Accumulator,
}

/// What is remembered, and where.
#[derive(Debug, Clone, Default)]
pub(super) struct Layout {
    tracks: Vec<Track>,
    width: usize,
    folds: Vec<Folded>,
}

/// What is remembered of one way.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Registers {
    rows: Box<[u32]>,
    folds: Box<[Accumulator]>,
}

impl Layout {
    pub(super) fn new<'a>(looks: impl Iterator<Item = &'a Look>, operands: &[DataType]) -> Result<Self> {
        let mut layout = Self::default();
        for look in looks {
            match look {
                Look::Row { of, side, offset, .. } => layout.track(*of, *side, *offset as usize + 1),
                Look::Fold { fold, operand, of } if layout.find(*fold, *operand, *of).is_none() => {
                    let none = fold.none(operand.and_then(|operand| operands.get(operand)))?;
                    layout.folds.push(Folded { fold: *fold, operand: *operand, of: *of, none });
                }
                Look::Fold { .. } | Look::Classifier | Look::Number => {}
            }
        }
        for track in &mut layout.tracks {
            track.at = layout.width;
            layout.width += track.len;
        }
        Ok(layout)
    }

    fn track(&mut self, of: Option<u16>, side: Side, len: usize) {
        match self.tracks.iter_mut().find(|track| track.of == of && track.side == side) {
            Some(track) => track.len = track.len.max(len),
            None => self.tracks.push(Track { of, side, at: 0, len }),
        }
    }

    fn find(&self, fold: Fold, operand: Option<usize>, of: Option<u16>) -> Option<usize> {
        self.folds.iter().position(|known| known.fold == fold && known.operand == operand && known.of == of)
    }

    /// What is remembered before the first row.
    pub(super) fn empty(&self) -> Registers {
        Registers {
            rows: vec![NONE; self.width].into_boxed_slice(),
            folds: self.folds.iter().map(|folded| folded.none.clone()).collect(),
        }
    }

    /// Takes a row in as one of a variable: the nth of the match, which lies at a place of the buffer.
    pub(super) fn take(
        &self,
        registers: &mut Registers,
        nth: u32,
        variable: u16,
        place: Place,
        buffer: &Buffer,
    ) -> Result<()> {
        for track in self.tracks.iter().filter(|track| belongs(track.of, variable)) {
            let rows = &mut registers.rows[track.at..track.at + track.len];
            match track.side {
                Side::Last => {
                    rows.rotate_right(1);
                    rows[0] = nth;
                }
                Side::First => {
                    if let Some(free) = rows.iter_mut().find(|row| **row == NONE) {
                        *free = nth;
                    }
                }
            }
        }
        for (folded, accumulator) in self.folds.iter().zip(&mut registers.folds) {
            if belongs(folded.of, variable) {
                accumulator.add(folded.operand.map(|operand| buffer.value(operand, place)))?;
            }
        }
        Ok(())
    }

    /// Which row of the match a look means, before it steps to a neighbour. `current`: a row that is about to be one
    /// of a variable.
    pub(super) fn row(
        &self,
        registers: &Registers,
        of: Option<u16>,
        side: Side,
        offset: u32,
        current: Option<(u16, u32)>,
    ) -> Option<u32> {
        let track = self.tracks.iter().find(|track| track.of == of && track.side == side)?;
        let rows = &registers.rows[track.at..track.at + track.len];
        let known = |nth: usize| rows.get(nth).copied().filter(|row| *row != NONE);
        let current = current.filter(|(variable, _)| belongs(of, *variable)).map(|(_, row)| row);
        let offset = offset as usize;
        match (side, current) {
            (Side::Last, Some(current)) if offset == 0 => Some(current),
            (Side::Last, Some(_)) => known(offset - 1),
            (Side::Last, None) => known(offset),
            (Side::First, Some(current)) => {
                let count = rows.iter().filter(|row| **row != NONE).count();
                if offset == count { Some(current) } else { known(offset) }
            }
            (Side::First, None) => known(offset),
        }
    }

    /// An aggregate. `current`: a row that is about to be one of a variable.
    pub(super) fn fold(
        &self,
        registers: &Registers,
        fold: Fold,
        operand: Option<usize>,
        of: Option<u16>,
        current: Option<(u16, Place)>,
        buffer: &Buffer,
    ) -> Result<datafusion::scalar::ScalarValue> {
        let nth = self.find(fold, operand, of).expect("all aggregates of the looks are in the layout");
        match current {
            Some((variable, place)) if belongs(of, variable) => {
                let mut accumulator = registers.folds[nth].clone();
                accumulator.add(operand.map(|operand| buffer.value(operand, place)))?;
                Ok(accumulator.value())
            }
            _ => Ok(registers.folds[nth].value()),
        }
    }
}

impl Registers {
    /// Whether conditions will see the same in both, as long as the same rows are taken.
    pub(super) fn same(&self, other: &Self) -> bool {
        self.rows == other.rows && self.folds.iter().zip(&other.folds).all(|(a, b)| a.same(b))
    }

    /// A hash that is equal for those that are the same.
    pub(super) fn hash(&self) -> u64 {
        let rows = self.rows.iter().fold(0x51_7c_c1_b7_27_22_0a_95, |hash: u64, row| {
            (hash ^ u64::from(*row)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
        });
        self.folds.iter().fold(rows, |hash, fold| fold.mix(hash))
    }
}
