//! What a statement defines: streams, connector tables, views, jobs and archives, independent of their spelling.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{Schema, SchemaRef};

use crate::computed::ComputedColumn;
use crate::statement::Query;
use crate::user_functions::Functions;

/// A stream, or a table that a connector reads or writes (then `connector` is set).
#[derive(Debug, Clone)]
pub struct StreamDef {
    /// The name.
    pub name: String,
    /// The columns, without the metadata columns. Empty for a sink whose columns are those of what is written to it.
    pub schema: SchemaRef,
    /// Columns that a connector fills from a message's metadata, and the name of that: (`topic_name`, `topic`).
    pub metadata: BTreeMap<String, String>,
    /// Those of `metadata` that are only read (`VIRTUAL`): nothing is inserted into them.
    pub read_only: BTreeSet<String>,
    /// Columns that are computed from the others whenever rows are read. They are not in `schema`, and nothing is inserted into them.
    pub computed: Vec<ComputedColumn>,
    /// The functions of the user's that these call, as they were when the stream was made.
    pub functions: Functions,
    /// How event time is told.
    pub watermark: Option<WatermarkDef>,
    /// The columns whose hash chooses the shard.
    pub partition_by: Vec<String>,
    /// The key; not enforced.
    pub primary_key: Vec<String>,
    /// Names declared `AS PROCTIME()`: the time at which a row is processed. They are no columns; queries find `_arrival` under them.
    pub proctime: Vec<String>,
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

/// Connectors of databases, whose tables keep one row for each `PRIMARY KEY` and so take changes, and in which rows are looked up. Which
/// columns a table has must follow from its statement alone, as the catalog is folded from statements; therefore they are known by
/// name here.
const DATABASES: [&str; 3] = ["jdbc", "mysql", "postgres"];

/// The connector that keeps nothing, known by name for the same reason.
const BLACK_HOLE: &str = "blackhole";

/// Connectors of files, in whose tables rows are looked up, too.
const FILES: [&str; 2] = ["filesystem", "single_file"];

/// Their option by which they look for new files and never end.
const MONITOR: &str = "source.monitor-interval";

/// The last column of a changelog: how often its row is added or, below zero, retracted.
pub const WEIGHT: &str = "_weight";

/// The option that keeps the names of columns and of their fields as they were written, where they have capital letters and no quotes, with
/// `,` between them: records have them so.
pub(crate) const FIELD_NAMES: &str = "field-names";

impl StreamDef {
    /// The names of columns and of their fields that were written with capital letters and without quotes.
    pub(crate) fn written_names(&self) -> impl Iterator<Item = &str> {
        self.options.get(FIELD_NAMES).into_iter().flat_map(|names| names.split(','))
    }

    /// Keeps more of these.
    pub(crate) fn keep_names(&mut self, names: Vec<String>) {
        let mut all: Vec<String> = self.written_names().map(str::to_owned).collect();
        for name in names {
            if !all.contains(&name) {
                all.push(name);
            }
        }
        if !all.is_empty() {
            self.options.insert(FIELD_NAMES.to_owned(), all.join(","));
        }
    }

    /// Whether a column is computed from the others.
    pub fn is_computed(&self, name: &str) -> bool {
        self.computed.iter().any(|column| column.name == name)
    }

    /// The column of event time that the log has; none, if event time is computed.
    pub fn stored_event_time(&self) -> Option<&str> {
        let column = self.watermark.as_ref().map(|watermark| watermark.column.as_str());
        column.filter(|column| !self.is_computed(column))
    }

    /// The names of all columns that a query sees, in the order in which they were declared.
    pub fn column_names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.own_schema().fields().iter().map(|field| field.name().clone()).collect();
        for column in &self.computed {
            names.insert(column.place.min(names.len()), column.name.clone());
        }
        names
    }

    /// Whether it is a table of a database.
    pub fn is_database(&self) -> bool {
        self.is_of(&DATABASES)
    }

    /// Whether it is a table of files.
    pub fn is_files(&self) -> bool {
        self.is_of(&FILES)
    }

    /// Whether it is a table of files that are there already: where it is read from, it is read to its end once.
    pub(crate) fn is_read_once(&self) -> bool {
        self.is_files() && !self.options.contains_key(MONITOR)
    }

    fn is_of(&self, connectors: &[&str]) -> bool {
        let connector = self.connector.as_deref().unwrap_or_default();
        connectors.iter().any(|known| connector.eq_ignore_ascii_case(known))
    }

    /// Whether it is a black hole: what jobs write into it is counted and kept nowhere, so that it takes changes as well as additions.
    pub fn is_black_hole(&self) -> bool {
        self.is_of(&[BLACK_HOLE])
    }

    /// Whether its rows are what a procedure answers: there are none but for a key, for which it is asked.
    pub fn is_procedure(&self) -> bool {
        self.connector.is_some() && self.options.contains_key("procedure")
    }

    /// Whether jobs can look rows up in it.
    pub fn can_be_asked(&self) -> bool {
        self.is_database() || self.is_procedure() || self.is_files()
    }

    /// Whether a query sees not its changes but the rows that they lead to: of each key the newest one, unless that was deleted.
    pub fn is_updating_table(&self) -> bool {
        self.is_changelog() && !self.primary_key.is_empty() && !self.is_database()
    }

    /// The columns without [`WEIGHT`].
    pub fn own_schema(&self) -> SchemaRef {
        let own = self.schema.fields().len() - usize::from(self.is_changelog());
        Arc::new(Schema::new(self.schema.fields()[..own].to_vec()))
    }

    /// Whether it holds changes, and not only additions. Its last column is [`WEIGHT`], which the runner fills.
    pub fn is_changelog(&self) -> bool {
        self.schema.fields().last().is_some_and(|field| field.name() == WEIGHT)
    }
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

/// A MapReduce job: programs of the host over files or objects. Programs are named as the operator's configuration names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapReduceDef {
    /// The name.
    pub name: String,
    /// Where the input lies.
    pub inputs: Vec<String>,
    /// Where the output goes.
    pub output: String,
    /// The mapper.
    pub mapper: String,
    /// The reducer; without one the sorted lines are the output.
    pub reducer: Option<String>,
    /// A reducer over what one mapper gave.
    pub combiner: Option<String>,
    /// Into how many parts keys are divided.
    pub reducers: Option<usize>,
    /// How many times a task is tried.
    pub attempts: u32,
    /// How long a program may neither read nor say anything; zero: for ever.
    pub timeout: Option<Duration>,
    /// Bytes of memory for lines that are being sorted.
    pub memory: Option<u64>,
}

impl MapReduceDef {
    /// A job with what is chosen unless something else is said, and without a mapper yet.
    pub fn new(name: String, inputs: Vec<String>, output: String) -> Self {
        Self {
            name,
            inputs,
            output,
            mapper: String::new(),
            reducer: None,
            combiner: None,
            reducers: None,
            attempts: 4,
            timeout: None,
            memory: None,
        }
    }
}

/// An archive: a stream as Parquet in object storage or a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveDef {
    /// The name.
    pub name: String,
    /// The stream that is archived.
    pub stream: String,
    /// Where to: `s3://bucket/prefix` or a directory.
    pub address: String,
    /// How files are laid into directories.
    pub partition: ArchivePartition,
    /// A range of rows ends when it takes so many bytes in the log.
    pub roll_bytes: u64,
    /// Or when it has so many rows.
    pub roll_rows: u64,
    /// Or when its first row arrived so long ago.
    pub roll_age: Duration,
    /// How pages are compressed.
    pub codec: ArchiveCodec,
    /// The most rows of a row group.
    pub row_group_rows: u64,
    /// The columns that have bloom filters.
    pub bloom: Vec<String>,
    /// The columns whose pages have statistics; `None`: all.
    pub page_index: Option<Vec<String>>,
    /// The columns by which a file's rows are sorted.
    pub sort: Vec<String>,
    /// The size of the parts in which large files are uploaded.
    pub part_bytes: u64,
    /// Whether the archive of a stream of this name that is gone is taken over.
    pub attach: bool,
}

/// How an archive's files are laid into directories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchivePartition {
    /// Not at all.
    None,
    /// By the day of event time.
    Day,
    /// By the day and the hour of event time.
    Hour,
}

/// How an archive's pages are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveCodec {
    /// Not at all.
    None,
    /// Snappy.
    Snappy,
    /// LZ4, raw.
    Lz4,
    /// Zstandard at this level.
    Zstd(i32),
}

impl ArchiveDef {
    /// An archive with what is chosen unless something else is said.
    pub fn new(name: String, stream: String, address: String) -> Self {
        Self {
            name,
            stream,
            address,
            partition: ArchivePartition::None,
            roll_bytes: 128 << 20,
            roll_rows: 10_000_000,
            roll_age: Duration::from_secs(3600),
            codec: ArchiveCodec::Zstd(3),
            row_group_rows: 131_072,
            bloom: Vec::new(),
            page_index: None,
            sort: Vec::new(),
            part_bytes: 8 << 20,
            attach: false,
        }
    }
}
