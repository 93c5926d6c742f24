//! MATCH_RECOGNIZE as a node of DataFusion's logical plans, and how DataFusion runs it over the rows so far.
//!
//! ```text
//!  syntax tree ── relation: variables, pattern, clauses
//!                    └── looks: each A.x, PREV(..), LAST(..), SUM(..) becomes a column $n, and a `Look` that says what it is
//!  node ── stream: an operator of a dataflow;  batch: the same operator over all rows, to their end
//! ```

mod exec;
mod grammar;
mod looks;
mod node;
mod relation;

pub(crate) use exec::PatternPlanner;
pub(crate) use node::MatchNode;
pub(crate) use relation::PatternRelations;
