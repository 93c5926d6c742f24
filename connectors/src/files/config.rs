//! The options of `filesystem` and `single_file`.
//!
//! | option | meaning |
//! |---|---|
//! | `path` | source: a file, a directory, or a pattern (`*`, `?`), or `s3://bucket/prefix`; sink: a directory, or the file |
//! | `format` | as the extension says, if not set; a name that ends with `.gz` is that of a compressed file |
//! | `source.monitor-interval` | look for new files this often, and never end |
//! | `sink.rolling-policy.file-size` | end a file at this size; 128 MiB unless set |
//! | `sink.rolling-policy.rollover-interval` | end a file after this long; a minute unless set |
//! | `sink.rolling-policy.check-interval` | taken as Flink's, and without effect: a file ends when its time has come |
//! | `partition-by` | sink: folders by these columns; those of `PARTITIONED BY` unless set |
//! | `lookup.full-cache.periodic-reload.interval` | rows that are looked up: read the files anew this often; once unless set |
//! | `lookup.cache` | `FULL` alone: all rows are kept in memory |

use std::path::PathBuf;
use std::time::Duration;

use headwater_ingest::{Format, Options};

use super::listing::Place;
use super::lookup::FileLookup;
use super::partitions::Partitions;
use super::rolled_sink::RolledSink;
use super::single_sink::SingleSink;
use super::source::FileSource;
use crate::connector::{Context, Sink, Source};
use crate::error::Result;
use crate::lookup::{Lookup, Wanted};
use crate::registry::Connector;

/// The entry of the registry for directories.
pub(crate) const FILESYSTEM: Connector = Connector {
    name: "filesystem",
    summary: "reads files in the order of their names; writes rolled files",
    source: Some(source),
    sink: Some(rolled_sink),
    gateway: None,
};

/// The entry of the registry for one file.
pub(crate) const SINGLE_FILE: Connector = Connector {
    name: "single_file",
    summary: "reads one file; writes one growing file",
    source: Some(source),
    sink: Some(single_sink),
    gateway: None,
};

/// When a rolled file ends.
pub(super) struct Rolling {
    pub(super) bytes_max: u64,
    pub(super) age_max: Duration,
}

fn source(context: Context, options: &mut Options) -> Result<Box<dyn Source>> {
    let given = options.require("path")?;
    // What a sink does with it.
    let _ = options.get("partition-by");
    let path = Place::parse(&given).map_err(|reason| options.bad("path", &given, reason))?;
    let monitor = options.duration("source.monitor-interval")?;
    Ok(Box::new(FileSource::new(context, path, monitor)?))
}

/// Makes a table of files in which rows are looked up.
pub(crate) fn lookup(context: Context, wanted: Wanted, options: &mut Options) -> Result<Box<dyn Lookup>> {
    let given = options.require("path")?;
    let path = Place::parse(&given).map_err(|reason| options.bad("path", &given, reason))?;
    options.parse_with("lookup.cache", |text| match text.trim().eq_ignore_ascii_case("full") {
        true => Ok(()),
        false => Err("files are read as a whole, and kept: FULL".to_owned()),
    })?;
    let _ = options.get("partition-by");
    let reload = options.duration("lookup.full-cache.periodic-reload.interval")?;
    Ok(Box::new(FileLookup::new(context, wanted, path, reload)))
}

fn rolled_sink(context: Context, options: &mut Options) -> Result<Box<dyn Sink>> {
    let path = path(options)?;
    let bytes = options.size("sink.rolling-policy.file-size")?;
    let age = options.duration("sink.rolling-policy.rollover-interval")?;
    options.duration("sink.rolling-policy.check-interval")?;
    let arroyo_bytes = options.size("target-file-size")?;
    let arroyo_age = options.parse::<u64>("rollover-seconds")?.map(Duration::from_secs);
    let rolling = Rolling {
        bytes_max: bytes.or(arroyo_bytes).unwrap_or(128 << 20),
        age_max: age.or(arroyo_age).unwrap_or(Duration::from_secs(60)),
    };
    let format = context.format.unwrap_or(Format::JsonLines);
    let partitions = options.parse_with("partition-by", |names| {
        let names = names.split(',').map(|name| name.trim().to_owned()).collect();
        Partitions::new(&context.schema, names)
    })?;
    Ok(Box::new(RolledSink::new(context, path, format, rolling, partitions)?))
}

fn single_sink(context: Context, options: &mut Options) -> Result<Box<dyn Sink>> {
    let path = path(options)?;
    let told = Format::from_path(&path.to_string_lossy());
    let format = context.format.or(told).unwrap_or(Format::JsonLines);
    if !format.is_lines() {
        let reason = "a growing file takes json, csv or raw; filesystem takes the others";
        return Err(options.bad("format", format.name(), reason).into());
    }
    Ok(Box::new(SingleSink::new(context, path, format)?))
}

fn path(options: &mut Options) -> Result<PathBuf> {
    let given = options.require("path")?;
    match given.strip_prefix("file://") {
        Some(local) => Ok(PathBuf::from(local)),
        None if given.contains("://") => Err(options
            .bad("path", &given, "rows are written to local paths, with or without file://; CREATE ARCHIVE writes to object stores")
            .into()),
        None => Ok(PathBuf::from(given)),
    }
}
