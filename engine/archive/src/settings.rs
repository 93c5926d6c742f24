//! How an archive's files are made.

use std::time::Duration;

use arrow::datatypes::SchemaRef;

use crate::error::{ArchiveError, Result};

/// How files are laid into directories.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Partition {
    /// Not at all.
    #[default]
    None,
    /// By the day of event time, UTC.
    Day,
    /// By the day and the hour of event time, UTC.
    Hour,
}

/// When a range ends: at the first of these.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Roll {
    /// Bytes that the rows take in the log.
    pub bytes: u64,
    /// Rows.
    pub rows: u64,
    /// How long ago the first row arrived.
    pub age: Duration,
}

/// How pages are compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// Not at all.
    None,
    /// Snappy.
    Snappy,
    /// LZ4, raw.
    Lz4,
    /// Zstandard at this level.
    Zstd(i32),
}

/// How an archive's files are made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// How files are laid into directories.
    pub partition: Partition,
    /// When a range ends.
    pub roll: Roll,
    /// How pages are compressed.
    pub codec: Codec,
    /// The columns by which a file's rows are sorted; none: by sequence number.
    pub sort: Vec<String>,
    /// The columns that have bloom filters.
    pub bloom: Vec<String>,
    /// The columns whose pages have statistics; `None`: all.
    pub page_index: Option<Vec<String>>,
    /// The most rows of a row group.
    pub row_group_rows: usize,
    /// A file larger than two parts of this size is uploaded in parts.
    pub part_bytes: usize,
    /// Whether the archive of a stream that is gone is taken over, when the place is claimed.
    pub attach: bool,
}

/// What of the settings a file remembers, so that merged files are made like those they are merged from.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Remembered {
    codec: Codec,
    sort: Vec<String>,
    bloom: Vec<String>,
    page_index: Option<Vec<String>>,
    row_group_rows: usize,
}

impl Remembered {
    /// The columns by which rows are sorted.
    pub(crate) fn sorts(&self) -> &[String] {
        &self.sort
    }
}

impl Default for Settings {
    /// ZSTD, ranges of 128 MiB of log or an hour, in sequence order, without partitions.
    fn default() -> Self {
        Self {
            partition: Partition::None,
            roll: Roll { bytes: 128 << 20, rows: 10_000_000, age: Duration::from_secs(3600) },
            codec: Codec::Zstd(3),
            sort: Vec::new(),
            bloom: Vec::new(),
            page_index: None,
            row_group_rows: 131_072,
            part_bytes: 8 << 20,
            attach: false,
        }
    }
}

impl Settings {
    /// Refuses what does not fit a stream.
    pub fn check(&self, schema: &SchemaRef, event_time: Option<&str>) -> Result<()> {
        let columns = self.sort.iter().chain(&self.bloom).chain(self.page_index.iter().flatten());
        for column in columns {
            if schema.index_of(column).is_err() {
                return Err(ArchiveError::Invalid(format!("the stream has no column {column}")));
            }
        }
        if self.partition != Partition::None {
            if event_time.is_none() {
                let reason = "the stream has no event time by which its archive could be partitioned; leave `partition` out";
                return Err(ArchiveError::Invalid(reason.into()));
            }
            let taken = ["day", "hour"].into_iter().find(|name| schema.index_of(name).is_ok());
            if let Some(taken) = taken {
                return Err(ArchiveError::Invalid(format!(
                    "the stream has a column {taken}, which a directory of its partitioned archive would hide; \
                     leave `partition` out"
                )));
            }
        }
        // Some types of Arrow have no counterpart in Parquet.
        parquet::arrow::ArrowSchemaConverter::new().convert(schema)?;
        Ok(())
    }

    pub(crate) fn remembered(&self) -> Remembered {
        Remembered {
            codec: self.codec,
            sort: self.sort.clone(),
            bloom: self.bloom.clone(),
            page_index: self.page_index.clone(),
            row_group_rows: self.row_group_rows,
        }
    }

    /// The settings of files made before.
    pub(crate) fn recall(remembered: Remembered) -> Self {
        let Remembered { codec, sort, bloom, page_index, row_group_rows } = remembered;
        Self { codec, sort, bloom, page_index, row_group_rows, ..Self::default() }
    }
}
