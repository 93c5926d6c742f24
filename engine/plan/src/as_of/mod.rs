//! Joins with the version of a row that was valid at a time: `FOR SYSTEM_TIME AS OF`, and ASOF joins.
//!
//! ```text
//!  l JOIN r FOR SYSTEM_TIME AS OF l.ts ON l.k = r.k        Flink
//!  l ASOF [LEFT] JOIN r ON l.k = r.k AND r.ts <= l.ts       DuckDB, RisingWave
//!  l ASOF JOIN r MATCH_CONDITION (l.ts >= r.ts) ON l.k = r.k    Snowflake; rows without a version stay
//! ```
//!
//! An ASOF join whose comparison is the other way round (`l.ts <= r.ts`) looks ahead: to the first row of the right side at or
//! after the time.
//!
//! In the syntax tree, all become a join whose condition has one more part, a call of `$as_of` or another of the `MARKERS`
//! on the time that is asked for, the versions' time, and the versions' key if it is declared. So all else is
//! planned as for any join. In the logical plan:
//!
//! - over the rows so far, each version gets the time of the next one of its key by `LEAD`, or of the one before by `LAG`, and the
//!   call becomes a comparison with both;
//! - in a stream, a node [`Versions`] keeps conditions from being pushed below, which would leave versions out, and the
//!   call tells the join's operator what it is.

mod plan;
mod syntax;
mod tables;
mod versions;

pub(crate) use plan::{Parts, check_keys, functions, in_batch, in_stream, parts_of};
pub(crate) use syntax::{AsOfJoins, rewrite_versioned_tables};
pub(crate) use tables::{history_of, versions_name};
pub(crate) use versions::Versions;
