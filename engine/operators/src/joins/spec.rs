//! What a join is.
//!
//! Without times a join keeps the rows of both sides for ever, and a row that turns out to match after all has its null row
//! retracted. With times (an interval between the sides' event times, or a common window) a row is kept until the watermark says that
//! no match can come any more; only then is it said to have none, so that rows are only ever added. Rows of a common window that change,
//! or are to be said before it has ended, are joined as without times, and forgotten when the window has ended.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::physical_expr::PhysicalExpr;

use super::operator::JoinOperator;
use crate::api::{Changes, Operator, OperatorSpec, StateBound};
use crate::error::{OperatorError, Result};

/// Which rows come out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JoinKind {
    /// Pairs that match.
    Inner,
    /// Those, and left rows without a match.
    Left,
    /// Those, and right rows without a match.
    Right,
    /// Those, and rows of either side without a match.
    Full,
    /// Left rows with a match.
    Semi,
    /// Left rows without a match.
    Anti,
    /// Left rows, each with whether it has a match.
    Mark,
}

/// The column by which a [`JoinKind::Mark`] says whether a row has a match.
const MARK: &str = "mark";

impl JoinKind {
    /// Whether pairs come out, and not left rows alone.
    pub fn gives_pairs(self) -> bool {
        !matches!(self, Self::Semi | Self::Anti | Self::Mark)
    }

    /// Whether a side's rows without a match come out, with nulls for the other side.
    pub(super) fn preserves(self, side: usize) -> bool {
        matches!((self, side), (Self::Left | Self::Full, 0) | (Self::Right | Self::Full, 1))
    }

    /// Whether it matters for a side's row if it has a match.
    pub fn tracks(self, side: usize) -> bool {
        self.preserves(side) || (!self.gives_pairs() && side == 0)
    }
}

/// One side of a join.
#[derive(Clone, Debug)]
pub struct JoinInput {
    /// The rows that come in.
    pub schema: SchemaRef,
    /// The columns that must equal the other side's, in this order.
    pub keys: Vec<usize>,
    /// How its rows change.
    pub changes: Changes,
    /// Until when a row can find a match, if there is an end to it.
    pub time: Option<JoinTime>,
    /// Whether all its rows are there when the other side's come. Then those are not kept beyond the step in which they come.
    pub complete: Option<Complete>,
}

/// How all rows of a side are there when the other side's come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Complete {
    /// The query brings them along: they come with the first step.
    Brought,
    /// They are read to their end before any row of the other side is, in steps of their own.
    ReadFirst,
}

/// Until when a row can find a match.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JoinTime {
    /// The column that holds the row's time.
    pub column: usize,
    /// The row is kept until the watermark is more than this many nanoseconds past its time.
    pub keep: i64,
    /// The row is late when its clock is more than this many nanoseconds past its time.
    pub late_after: i64,
}

/// When the rows of a key are forgotten.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JoinClosing {
    /// Which of the columns that are equal stands for a window.
    pub key: usize,
    /// The rows go when the watermark is more than this many nanoseconds past the window's column, and are late when their clock is.
    pub after: i64,
}

/// What a join is.
#[derive(Clone, Debug)]
pub struct Join {
    /// Which rows come out.
    pub kind: JoinKind,
    /// The left side.
    pub left: JoinInput,
    /// The right side; both sides have a time or none has.
    pub right: JoinInput,
    /// What else must hold, over the left columns and then the right ones.
    pub residual: Option<Arc<dyn PhysicalExpr>>,
    /// Whether NULL equals NULL, as it does for INTERSECT and EXCEPT.
    pub null_equals_null: bool,
    /// When rows of a common window end, whose sides have no time of their own: what is said of them changes until then, and stays
    /// said.
    pub closes: Option<JoinClosing>,
    /// After how many nanoseconds of event time without a change a row of the left and of the right side is forgotten, of a join whose
    /// rows have no end; what was said of it stays said.
    pub ttl: [Option<i64>; 2],
}

impl Join {
    pub(super) fn input(&self, side: usize) -> &JoinInput {
        if side == 0 { &self.left } else { &self.right }
    }

    /// Whether rows end with the watermark.
    pub(super) fn is_bounded(&self) -> bool {
        self.left.time.is_some()
    }

    /// Whether rows of a side are forgotten.
    pub(super) fn forgets(&self) -> bool {
        self.ttl.iter().any(Option::is_some)
    }

    /// Whether a side's rows are done with at the end of their step: they have met all rows that there will be of the other side, and
    /// none of these is said by itself.
    pub(super) fn passes(&self, side: usize) -> bool {
        self.input(1 - side).complete.is_some() && !self.kind.tracks(1 - side) && !self.is_bounded()
    }

    /// Whether matches are counted by row, and not by key: where they depend on more than the key, and where rows are forgotten that
    /// have been a match.
    pub(super) fn counts_by_row(&self) -> bool {
        let tracks = (0..2).any(|side| self.kind.tracks(side));
        self.residual.is_some() || (self.forgets() && tracks)
    }

    /// The columns of both sides, as the residual sees them.
    pub(super) fn pair_schema(&self) -> SchemaRef {
        let fields = self.left.schema.fields().iter().chain(self.right.schema.fields());
        Arc::new(Schema::new(fields.cloned().collect::<Vec<_>>()))
    }
}

/// Joins two inputs. Input 0 is the left one.
#[derive(Clone, Debug)]
pub struct JoinSpec {
    what: Arc<Join>,
    schema: SchemaRef,
    changes: Changes,
}

impl JoinSpec {
    /// Checks that the sides fit each other.
    pub fn try_new(what: Join) -> Result<Self> {
        let wrong = |reason: String| Err(OperatorError::unsupported("Join", reason));
        let (left, right) = (&what.left, &what.right);
        if left.keys.len() != right.keys.len() {
            return wrong(format!("{} keys cannot equal {}", left.keys.len(), right.keys.len()));
        }
        for (a, b) in left.keys.iter().zip(&right.keys) {
            let (a, b) = (left.schema.field(*a), right.schema.field(*b));
            if a.data_type() != b.data_type() {
                let (a, b) =
                    (format!("{} {}", a.name(), a.data_type()), format!("{} {}", b.name(), b.data_type()));
                return wrong(format!("the keys {a} and {b} are of different types"));
            }
        }
        if left.time.is_some() != right.time.is_some() {
            return wrong("one side ends with the watermark and the other does not".to_owned());
        }
        if (left.time.is_some() || what.closes.is_some()) && what.forgets() {
            return wrong("rows that end with the watermark are not forgotten before".to_owned());
        }
        if what.closes.is_some_and(|closing| left.time.is_some() || closing.key >= left.keys.len()) {
            return wrong("a window ends by one of the keys, or rows by times of their own".to_owned());
        }
        let updates = [left, right].iter().any(|side| side.changes != Changes::AppendOnly);
        if left.time.is_some() && updates {
            return wrong(
                "a join that ends with the watermark takes rows that are only ever added".to_owned(),
            );
        }
        let schema = output_schema(&what);
        let changes = changes_of(&what);
        Ok(Self { what: Arc::new(what), schema, changes })
    }

    /// The side that is read to its end before the other one's rows come, which are not kept.
    fn read_first(&self) -> Option<usize> {
        (0..2).find(|side| {
            self.what.input(*side).complete == Some(Complete::ReadFirst) && self.what.passes(1 - side)
        })
    }
}

fn output_schema(what: &Join) -> SchemaRef {
    let side = |side: &JoinInput, may_be_missing: bool| -> Vec<Field> {
        let fields = side.schema.fields().iter();
        fields.map(|f| f.as_ref().clone().with_nullable(f.is_nullable() || may_be_missing)).collect()
    };
    let mut fields = side(&what.left, what.kind.preserves(1));
    if what.kind.gives_pairs() {
        fields.extend(side(&what.right, what.kind.preserves(0)));
    }
    if what.kind == JoinKind::Mark {
        fields.push(Field::new(MARK, DataType::Boolean, false));
    }
    Arc::new(Schema::new(fields))
}

/// What kind of changes come out: keys of the inputs make keys of the pairs.
fn changes_of(what: &Join) -> Changes {
    use Changes::{AppendOnly, Retracting, Updating};
    let only_added = what.left.changes == AppendOnly && what.right.changes == AppendOnly;
    // What is said of a row before the other side's rows have come is taken back in the same step.
    if only_added && (0..2).any(|side| what.passes(side)) {
        return AppendOnly;
    }
    if what.is_bounded() || (only_added && matches!(what.kind, JoinKind::Inner | JoinKind::Semi)) {
        return AppendOnly;
    }
    if !what.kind.gives_pairs() {
        return match &what.left.changes {
            AppendOnly => Retracting,
            other => other.clone(),
        };
    }
    // At most one row of a side can match if its key is among the columns that it is joined by.
    let at_most_one = |side: &JoinInput| match &side.changes {
        Updating { key } => key.iter().all(|column| side.keys.contains(column)),
        _ => false,
    };
    let width = what.left.schema.fields().len();
    let key_of = |side: &JoinInput, offset: usize| match &side.changes {
        Updating { key } => Some(key.iter().map(|column| column + offset).collect::<Vec<_>>()),
        _ => None,
    };
    let (left, right) = (key_of(&what.left, 0), key_of(&what.right, width));
    match (left, right) {
        (Some(left), _) if at_most_one(&what.right) && !what.kind.preserves(1) => Updating { key: left },
        (_, Some(right)) if at_most_one(&what.left) && !what.kind.preserves(0) => Updating { key: right },
        (Some(left), Some(right)) => Updating { key: [left, right].concat() },
        _ => Retracting,
    }
}

impl OperatorSpec for JoinSpec {
    fn name(&self) -> &'static str {
        match self.what.left.time {
            None if self.what.closes.is_some() => "WindowJoin",
            None => "Join",
            Some(time) if time.keep == time.late_after && time.keep != 0 => "WindowJoin",
            Some(_) => "IntervalJoin",
        }
    }

    fn describe(&self) -> String {
        let Join { kind, left, right, .. } = &*self.what;
        let name = |side: &JoinInput, key: usize| side.schema.field(key).name().clone();
        let keys = left.keys.iter().zip(&right.keys);
        let keys: Vec<_> = keys.map(|(a, b)| format!("{} = {}", name(left, *a), name(right, *b))).collect();
        let mut text = format!("{}, keys=[{}]", format!("{kind:?}").to_lowercase(), keys.join(", "));
        if let Some(residual) = &self.what.residual {
            text.push_str(&format!(", where {residual}"));
        }
        let length = |ttl: Option<i64>| match ttl {
            Some(ttl) => format!("{:?}", std::time::Duration::from_nanos(ttl.unsigned_abs())),
            None => "none".to_owned(),
        };
        match self.what.ttl {
            [None, None] => {}
            [left, right] if left == right => text.push_str(&format!(", ttl={}", length(left))),
            [left, right] => {
                text.push_str(&format!(", ttl=[left {}, right {}]", length(left), length(right)));
            }
        }
        if self.what.closes.is_some() {
            text.push_str(", emit=changes");
        }
        if let Some(side) = self.read_first() {
            text.push_str(&format!(", {} is read first", ["left", "right"][side]));
        }
        if self.name() == "IntervalJoin"
            && let (Some(a), Some(b)) = (left.time, right.time)
        {
            let seconds = |nanos: i64| nanos as f64 / 1e9;
            let (a, b) = (seconds(a.keep), seconds(b.keep));
            text.push_str(&format!(", keeps left {a}s, right {b}s past the watermark"));
        }
        text
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn changes(&self) -> Changes {
        self.changes.clone()
    }

    fn state_bound(&self) -> StateBound {
        let ends = self.what.is_bounded() || self.what.closes.is_some();
        if ends || self.what.ttl.iter().all(Option::is_some) {
            StateBound::Watermark
        } else if self.read_first().is_some() {
            StateBound::Table
        } else if (0..2).any(|side| self.what.passes(side)) {
            StateBound::None
        } else {
            StateBound::GrowsWithRows
        }
    }

    fn instantiate(&self) -> Result<Box<dyn Operator>> {
        Ok(Box::new(JoinOperator::try_new(self.name(), &self.what, &self.schema)?))
    }
}
