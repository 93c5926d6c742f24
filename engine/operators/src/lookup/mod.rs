//! Joins with a table that lies outside and is asked for the rows of each key.
//!
//! ```text
//!  rows ─┬─ keys that are not in the cache ──> asked outside, all at once ──> the answer ─┐
//!        │                                      (a redone step gets the answer from the journal)
//!        └────────────────────────────────────────────> join <──────── cache <────────────┘
//! ```
//!
//! What a table outside says depends on when it is asked. So whoever runs the operator writes each answer down with the step that
//! asked, and hands it in again when the step is redone: operator and cache are a function of rows and answers. The cache is state;
//! entries go by number, in the order in which they were asked for. That an entry is too old to be used is found where the table is
//! asked, and shows in its being asked again.

mod answer;
mod cache;
mod operator;
mod spec;

pub use operator::LookupOperator;
pub use spec::{Lookup, LookupCache, LookupRetry, LookupSpec};
