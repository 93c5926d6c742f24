//! SQL text to a plan of streaming operators; catalog and EXPLAIN.
//!
//! Invariants:
//! - The planner reads and writes nothing: no log, no files, no clock. Tables come in as DataFusion providers.
//! - SQL that cannot run as a stream is refused with a reason and a place; it is never planned as something else.

pub mod dataflow;

pub use dataflow::Dataflow;
