//! How many digits a result has.
//!
//! | of `DECIMAL(p1, s1)` and `DECIMAL(p2, s2)` | digits behind the point | all digits |
//! |---|---|---|
//! | `+`, `-` | the more of both | those before the point of the larger, one more, and those behind |
//! | `*` | of both | of both |
//! | `/` | `s1 + p2 + 1`, 6 at least | `p1 - s1 + s2`, and those behind |
//!
//! If these are more than 38, digits behind the point go first, down to 6; then those before it, so that a value may not fit.

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType};

/// What is done with two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Op {
    Add,
    Subtract,
    Multiply,
    Divide,
}

/// Digits in all, and those behind the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Digits {
    pub(super) all: i32,
    pub(super) behind: i32,
}

const MOST: i32 = DECIMAL128_MAX_PRECISION as i32;

/// How many digits behind the point are kept at least, if there were as many.
const BEHIND_LEAST: i32 = 6;

impl Digits {
    /// Of a type of exact numbers; `None`: it is another.
    pub(super) fn of(kind: &DataType) -> Option<Self> {
        let all = match kind {
            DataType::Decimal128(all, behind) => {
                return Some(Self { all: i32::from(*all), behind: i32::from(*behind) });
            }
            DataType::Int8 | DataType::UInt8 => 3,
            DataType::Int16 | DataType::UInt16 => 5,
            DataType::Int32 | DataType::UInt32 => 10,
            DataType::Int64 | DataType::UInt64 => 20,
            _ => return None,
        };
        Some(Self { all, behind: 0 })
    }

    pub(super) fn before(self) -> i32 {
        self.all - self.behind
    }

    /// Of a result, however many they are.
    fn exact(op: Op, left: Self, right: Self) -> Self {
        match op {
            Op::Add | Op::Subtract => {
                let behind = left.behind.max(right.behind);
                Self { all: left.before().max(right.before()) + behind + 1, behind }
            }
            Op::Multiply => Self { all: left.all + right.all, behind: left.behind + right.behind },
            Op::Divide => {
                let behind = BEHIND_LEAST.max(left.behind + right.all + 1);
                Self { all: left.before() + right.behind + behind, behind }
            }
        }
    }

    /// Of a result, as many as there is room for.
    pub(super) fn result(op: Op, left: Self, right: Self) -> Self {
        let exact = Self::exact(op, left, right);
        if exact.all <= MOST {
            return exact;
        }
        let behind = (MOST - exact.before()).max(exact.behind.min(BEHIND_LEAST));
        Self { all: MOST, behind }
    }

    pub(super) fn kind(self) -> DataType {
        DataType::Decimal128(self.all.clamp(1, MOST) as u8, self.behind.clamp(0, MOST) as i8)
    }

    /// Whether DataFusion's own arithmetic gives a type without room for every result.
    pub(super) fn may_not_fit(op: Op, left: Self, right: Self) -> bool {
        // Its kernels count one digit more in a product, and give a quotient four behind the point of the dividend.
        let all = match op {
            Op::Multiply => left.all + right.all + 1,
            Op::Divide => (left.behind + 4).min(MOST) - left.behind + right.behind + left.all,
            Op::Add | Op::Subtract => Self::exact(op, left, right).all,
        };
        all > MOST
    }
}
