//! What a statement defines: streams, connector tables, views and jobs, independent of their spelling.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow::datatypes::SchemaRef;

use crate::statement::Query;

/// A stream, or a table that a connector reads or writes (then `connector` is set).
#[derive(Debug, Clone)]
pub struct StreamDef {
    /// The name.
    pub name: String,
    /// The columns, without the metadata columns. Empty for a sink whose columns are those of what is written to it.
    pub schema: SchemaRef,
    /// Columns that a connector fills from a message's metadata, and the name of that: (`topic_name`, `topic`).
    pub metadata: BTreeMap<String, String>,
    /// How event time is told.
    pub watermark: Option<WatermarkDef>,
    /// The columns whose hash chooses the shard.
    pub partition_by: Vec<String>,
    /// The key; not enforced.
    pub primary_key: Vec<String>,
    /// How many shards.
    pub shards: u32,
    /// How long rows are kept.
    pub retention: RetentionDef,
    /// What an acknowledgement means.
    pub durability: Durability,
    /// How batches are compressed.
    pub compression: Compression,
    /// After how long without rows a shard no longer holds the watermark back.
    pub idle_timeout: Option<Duration>,
    /// How far in the future of its arrival a row's event time may lie; `None`: there is no guard.
    pub clock_guard: Option<Duration>,
    /// The format of records, such as `json`, if it was given.
    pub format: Option<String>,
    /// Who reads or writes it, if it is a table of a connector.
    pub connector: Option<String>,
    /// The options as they were written, those of the connector included.
    pub options: BTreeMap<String, String>,
}

/// `WATERMARK FOR column AS expr [PER keys]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatermarkDef {
    /// The event-time column.
    pub column: String,
    /// The expression as SQL, such as `ts - INTERVAL '5' SECOND`.
    pub expr: String,
    /// The columns that have a timeline each; empty: one timeline per shard.
    pub per: Vec<String>,
}

/// How long rows are kept; both open: for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RetentionDef {
    /// Rows that arrived longer ago than this may go.
    pub age: Option<Duration>,
    /// The oldest rows may go when the stream takes more bytes than this.
    pub bytes: Option<u64>,
}

/// Which fault an acknowledged row survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// A loss of power.
    #[default]
    Disk,
    /// A crash of the process.
    Process,
    /// Nothing.
    Memory,
}

/// How batches are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// LZ4.
    Lz4,
    /// Zstandard.
    Zstd,
}

/// A view, or a materialized one.
#[derive(Debug, Clone)]
pub struct ViewDef {
    /// The name.
    pub name: String,
    /// Other names for the query's columns; empty: the query's own.
    pub columns: Vec<String>,
    /// What it shows.
    pub query: Query,
}

/// A job: a query whose result goes on being appended to a stream or table.
#[derive(Debug, Clone)]
pub struct JobDef {
    /// The name.
    pub name: String,
    /// Where the result goes.
    pub target: String,
    /// The columns of the target that the query fills, in its order; empty: all.
    pub columns: Vec<String>,
    /// What is computed.
    pub query: Query,
}
