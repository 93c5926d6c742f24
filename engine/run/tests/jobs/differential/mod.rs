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
//!
//! What goes by time is compared with SQL in which nothing does but comparisons (`text`): it reads the same rows, each with its number and
//! with the watermark that it met, by which it is late or not. A fault that is planted shows that all this finds one (`planted`), and the
//! usual seeds meet a list of landmarks between them (`landmarks`).

mod aggregates;
mod by_time;
mod case;
mod expressions;
mod files;
mod landmarks;
mod life;
mod maker;
mod planted;
mod query;
mod rows;
mod script;
mod seeds;
mod shrink;
mod text;
mod windows;
