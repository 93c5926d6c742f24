//! Queries made up by seed over streams made up by seed: what a view of one holds, whatever strikes meanwhile, is what the same query gives
//! as a batch over the same rows.
//!
//! ```text
//!  seed ── case: streams, rows, a query, what strikes ── script ── run ── agrees
//!            ▲                                             │         └── differs ── shrink ── a file for queries/differential
//!            └────────────── smaller ──────────────────────┴──────────────────────────┘
//! ```
//!
//! A script is all that is run: so the file that a failure leaves behind is run in the same way.

mod aggregates;
mod case;
mod expressions;
mod files;
mod life;
mod maker;
mod query;
mod rows;
mod script;
mod seeds;
mod shrink;
mod windows;
