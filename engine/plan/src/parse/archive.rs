//! `CREATE ARCHIVE name FOR stream TO 'place' [WITH (...)]`.
//!
//! | option | meaning |
//! |---|---|
//! | `partition` | `day` or `hour`: directories by event time, UTC; `none` unless set |
//! | `sink.rolling-policy.file-size` | a range of rows ends when it takes so many bytes in the log; 128 MiB unless set |
//! | `sink.rolling-policy.row-count` | or when it has so many rows; 10,000,000 unless set |
//! | `sink.rolling-policy.rollover-interval` | or when its first row arrived so long ago; an hour unless set |
//! | `parquet.compression` | `zstd`, `zstd(1)` to `zstd(22)`, `snappy`, `lz4`, `none`; `zstd` unless set |
//! | `parquet.row-group.rows` | the most rows of a row group; 131,072 unless set |
//! | `parquet.bloom-filter.columns` | these columns have bloom filters |
//! | `parquet.page-index.columns` | the pages of these columns have statistics; all unless set |
//! | `sort` | the rows of a file are sorted by these columns |
//! | `attach` | `true`: the archive of a stream of this name that is gone is taken over; the stream goes on behind its rows |
//! | `upload.part-size` | larger files are uploaded in parts of this size, at least 5 MiB; 8 MiB unless set |

use super::create::new_name;
use super::options::{Given, bytes, duration, read_options};
use super::reader::Reader;
use crate::definition::{ArchiveCodec, ArchiveDef, ArchivePartition};
use crate::error::{Mistake, Result, SqlError, nearest};
use crate::statement::{CreateArchive, Statement};

const KNOWN: [&str; 14] = [
    "attach",
    "partition",
    "sink.rolling-policy.file-size",
    "target-file-size",
    "sink.rolling-policy.row-count",
    "sink.rolling-policy.rollover-interval",
    "rollover-seconds",
    "parquet.compression",
    "parquet_compression",
    "parquet.row-group.rows",
    "parquet.bloom-filter.columns",
    "parquet.page-index.columns",
    "sort",
    "upload.part-size",
];

/// The least size of a part that S3 takes.
const PART_BYTES_MIN: u64 = 5 << 20;

pub(super) fn read_archive(reader: &mut Reader) -> Result<Statement> {
    reader.expect_words("ARCHIVE")?;
    let if_not_exists = reader.take_words("IF NOT EXISTS");
    let name = new_name(reader, "a name")?;
    reader.expect_words("FOR")?;
    let stream = reader.name("a stream")?;
    reader.expect_words("TO")?;
    let address = reader.string("a place such as 's3://bucket/prefix'")?;
    let options = if reader.take_words("WITH") { read_options(reader)? } else { Vec::new() };
    let mut definition = ArchiveDef::new(name.value.clone(), stream.value.clone(), address);
    for option in &options {
        set(&mut definition, option, reader)?;
    }
    Ok(Statement::CreateArchive(CreateArchive { name, stream, definition, if_not_exists }))
}

fn set(archive: &mut ArchiveDef, (key, value, at): &Given, reader: &Reader) -> Result<()> {
    let bad = |expected: &str| {
        SqlError::new(Mistake::Option, format!("'{value}' is no value for the option '{}'", key.value))
            .at(*at, reader.script())
            .hint(expected)
    };
    let size = || bytes(value).filter(|bytes| *bytes > 0).ok_or_else(|| bad("a size, such as '128 MB'"));
    let count = || {
        value.parse::<u64>().ok().filter(|count| *count > 0).ok_or_else(|| bad("a whole number from 1 on"))
    };
    let length = || duration(value).ok_or_else(|| bad("a length of time, such as '1 hour'"));
    match key.value.as_str() {
        "attach" => {
            archive.attach = match value.to_lowercase().as_str() {
                "true" => true,
                "false" => false,
                _ => return Err(bad("true or false")),
            }
        }
        "partition" => {
            archive.partition = match value.to_lowercase().as_str() {
                "none" => ArchivePartition::None,
                "day" => ArchivePartition::Day,
                "hour" => ArchivePartition::Hour,
                _ => return Err(bad("none, day or hour")),
            }
        }
        "sink.rolling-policy.file-size" | "target-file-size" => archive.roll_bytes = size()?,
        "sink.rolling-policy.row-count" => archive.roll_rows = count()?,
        "sink.rolling-policy.rollover-interval" => archive.roll_age = length()?,
        "rollover-seconds" => archive.roll_age = std::time::Duration::from_secs(count()?),
        "parquet.compression" | "parquet_compression" => {
            archive.codec =
                codec(value).ok_or_else(|| bad("zstd, zstd(1) to zstd(22), snappy, lz4 or none"))?;
        }
        "parquet.row-group.rows" => archive.row_group_rows = count()?,
        "parquet.bloom-filter.columns" => archive.bloom = columns(value),
        "parquet.page-index.columns" => archive.page_index = Some(columns(value)),
        "sort" => archive.sort = columns(value),
        "upload.part-size" => {
            archive.part_bytes = size()?;
            if archive.part_bytes < PART_BYTES_MIN {
                return Err(bad("at least '5 MiB'"));
            }
        }
        other => {
            let hint = match nearest(other, KNOWN) {
                Some(near) => format!("did you mean '{near}'?"),
                None => format!("an archive has the options {}", KNOWN.join(", ")),
            };
            return Err(SqlError::new(Mistake::Option, format!("an archive has no option '{other}'"))
                .at(key.position, reader.script())
                .hint(hint));
        }
    }
    Ok(())
}

fn codec(text: &str) -> Option<ArchiveCodec> {
    Some(match text.to_lowercase().as_str() {
        "none" | "uncompressed" => ArchiveCodec::None,
        "snappy" => ArchiveCodec::Snappy,
        "lz4" | "lz4_raw" => ArchiveCodec::Lz4,
        "zstd" => ArchiveCodec::Zstd(3),
        other => {
            let level = other.strip_prefix("zstd(")?.strip_suffix(')')?.trim().parse().ok()?;
            (1..=22).contains(&level).then_some(ArchiveCodec::Zstd(level))?
        }
    })
}

fn columns(text: &str) -> Vec<String> {
    text.split(',').map(|column| column.trim().to_owned()).filter(|column| !column.is_empty()).collect()
}
