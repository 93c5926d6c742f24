//! `SELECT /*+ STATE_TTL('a' = '1 day', 'b' = '20 s') */ ...`: how long a join, a GROUP BY or OVER keeps the rows of each table of FROM.
//!
//! In the syntax tree the parser keeps the hint; `parse/state_ttl.rs` reads it, and finds the table of FROM by the place of its name. As a
//! stream is planned, a node [`Hinted`] stands above that table, and goes through the optimiser with it. Then the join, the aggregate or
//! the OVER of the same SELECT that takes the table's rows is put into a node [`Keeps`], and all marks go. What keeps nothing by its hint
//! is a mistake.

mod hint;
mod node;
mod relation;
mod settle;

pub(crate) use hint::{Hint, named};
pub(crate) use node::Keeps;
pub(crate) use relation::HintedRelations;
pub(crate) use settle::settle;
