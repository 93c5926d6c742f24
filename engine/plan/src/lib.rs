//! SQL text to a plan of streaming operators; catalog and EXPLAIN.
//!
//! ```text
//!  text ── parse ──> Parsed ──┬── Catalog::apply ──> Catalog, Change
//!                             └── Planner ──┬── batch  ──> LogicalPlan, run by DataFusion over the rows so far
//!                                           └── stream ──> Dataflow, run in steps for ever
//! ```
//!
//! Invariants:
//! - The planner reads and writes nothing: no log, no files, no clock. Tables come in as DataFusion providers.
//! - SQL that cannot run as a stream is refused with a reason and a place; it is never planned as something else.

mod as_of;
pub mod catalog;
mod changelog;
mod column_names;
mod computed;
mod constants;
pub mod dataflow;
pub mod decision;
pub mod definition;
pub mod error;
mod job_metrics;
mod lookup;
mod metadata;
mod moments;
mod names;
mod own_streams;
mod parameters;
pub mod parse;
mod patterns;
mod physical;
pub mod planner;
mod planning;
mod proctime;
mod row_columns;
pub mod scaling;
pub mod script;
mod session;
mod spelling;
mod startup;
mod state_ttl;
pub mod statement;
mod stream;
pub mod succession;
mod table_sources;
mod translate;
mod trigger;
pub mod user_functions;
mod view_arrivals;
mod walk;
mod window;
mod written;

pub use catalog::{Catalog, Change, Entry};
pub use computed::ComputedColumn;
pub use dataflow::Dataflow;
pub use decision::{ALARM_HISTORY, AlarmDef};
pub use definition::{
    ArchiveCodec, ArchiveDef, ArchivePartition, Compression, Durability, JobDef, MapReduceDef, RetentionDef,
    StreamDef, ViewDef, WatermarkDef,
};
pub use error::{Mistake, SqlError};
pub use headwater_functions::sql_type;
pub use job_metrics::{JOB_METRICS, JOB_METRICS_INTERVAL, job_metrics_schema};
pub use lookup::looked_up;
pub use own_streams::{check_own_streams, own_streams};
pub use parse::{check_altered_options, create_stream_of, parse, parse_one, without_secrets};
pub use planner::{Explained, Planner, Tables, Target};
pub use scaling::{Actuator, GroupDef, PolicyDef, SCALING_ACTIVITIES, SCALING_PROGRESS};
pub use script::{Position, Script};
pub use startup::Startup;
pub use statement::{Parsed, Query, Statement};
pub use stream::{Insertion, LATENESS};
pub use succession::{Fate, Succession};
pub use trigger::{Action, Condition, FIRING_COLUMNS, Partition, RearmDef, StartAt, TriggerDef, TriggerPlan};
pub use user_functions::{FunctionDef, Functions, Procedure};

/// The columns that every stream has besides its own: shown when named, never by `*`. In this order after the stream's own columns
/// in the schema of a provider: Int32, Int64, Timestamp(ns, UTC); none is nullable.
pub const METADATA_COLUMNS: [&str; 3] = ["_shard", "_sequence", "_arrival"];
