//! Calls of aggregates whose results do not depend on the order of rows.

use headwater_core::world::sim::SimRandom;

use super::expressions::Kind::{self, Bool, Date, Double, Int, Text, Time};
use super::expressions::{Column, Expr, fill};

#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    pub kind: Kind,
    text: &'static str,
    pub args: Vec<Expr>,
    pub filter: Option<Expr>,
}

/// The result's type, the text, and the arguments' types.
const CALLS: &[(Kind, &str, &[Kind])] = &[
    (Int, "count(*)", &[]),
    (Int, "count($0)", &[Text]),
    (Int, "count($0)", &[Double]),
    (Int, "count(DISTINCT $0)", &[Text]),
    (Int, "count(DISTINCT $0)", &[Int]),
    (Int, "count(DISTINCT $0)", &[Date]),
    (Int, "sum($0)", &[Int]),
    (Int, "sum(DISTINCT $0)", &[Int]),
    (Int, "min($0)", &[Int]),
    (Int, "max($0)", &[Int]),
    // A bare number there would be that of a column.
    (Int, "first_value($0 ORDER BY $1, ($0) + 0)", &[Int, Text]),
    (Int, "last_value($0 RESPECT NULLS ORDER BY $1 DESC, ($0) + 0)", &[Int, Time]),
    (Int, "bit_or($0)", &[Int]),
    (Double, "sum($0)", &[Double]),
    (Double, "min($0)", &[Double]),
    (Double, "max($0)", &[Double]),
    // Rounded down to quarters, of which sums are exact.
    (Double, "floor(avg($0) * 4) / 4", &[Int]),
    (Double, "floor(avg($0) * 4) / 4", &[Double]),
    (Text, "min($0)", &[Text]),
    (Text, "max($0)", &[Text]),
    (Text, "string_agg($0, ',' ORDER BY $0)", &[Text]),
    (Text, "last_value($0 ORDER BY ($1) + 0, $0)", &[Text, Int]),
    (Bool, "bool_and($0)", &[Bool]),
    (Bool, "bool_or($0)", &[Bool]),
    (Time, "min($0)", &[Time]),
    (Time, "max($0)", &[Time]),
    (Date, "min($0)", &[Date]),
    (Date, "max($0)", &[Date]),
];

impl Aggregate {
    /// Any, over columns of one relation.
    pub fn any(random: &SimRandom, columns: &[Column]) -> Self {
        let (kind, text, args) = CALLS[random.index(CALLS.len())];
        let args = args.iter().map(|kind| Expr::over_columns(random, *kind, columns, 1)).collect();
        let filtered = random.chance(1, 5) && !text.starts_with("floor");
        let filter = filtered.then(|| Expr::over_columns(random, Bool, columns, 2));
        Self { kind, text, args, filter }
    }

    /// How many rows there are.
    pub fn count() -> Self {
        Self { kind: Int, text: "count(*)", args: Vec::new(), filter: None }
    }

    pub fn text(&self, alias: &str) -> String {
        let call = fill(self.text, &self.args, &[alias]);
        match &self.filter {
            Some(filter) => format!("{call} FILTER (WHERE {})", filter.text(&[alias])),
            None => call,
        }
    }

    pub fn exprs_mut(&mut self) -> impl Iterator<Item = &mut Expr> {
        self.args.iter_mut().chain(&mut self.filter)
    }
}
