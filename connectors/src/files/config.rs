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
//! | `sink.partition-commit.policy.kind` | sink: how a partition is committed: `success-file`; it is not unless set |
//! | `sink.partition-commit.trigger` | `process-time` or `partition-time` (see [`super`]); `process-time` unless set |
//! | `sink.partition-commit.delay` | how long after that; at once unless set |
//! | `sink.partition-commit.success-file.name` | the name of the file; `_SUCCESS` unless set |
//! | `sink.partition-commit.watermark-time-zone` | by whose clock partitions are named: `Europe/Berlin`, `GMT+08:00`; `UTC` unless set |
//! | `partition.time-extractor.timestamp-pattern` | the time of a partition, such as `$dt $hm:00`; its first value unless set |
//! | `partition.time-extractor.timestamp-formatter` | how, as Java has it; `yyyy-MM-dd HH:mm:ss` or `yyyy-MM-dd` unless set |
//! | `partition.time-extractor.kind` | `default` alone |
//! | `partition-by` | sink: folders by these columns; those of `PARTITIONED BY` unless set |
//! | `lookup.cache` | rows that are looked up: `FULL` alone, all are kept in memory |
//! | `lookup.full-cache.periodic-reload.interval` | read the files anew this often; once unless set |
//! | `lookup.full-cache.periodic-reload.schedule-mode` | `FIXED_DELAY` (unless set): so long after they were read; `FIXED_RATE` |
//! | `lookup.full-cache.reload-strategy` | `PERIODIC` (unless set), or `TIMED`: read them anew at a time of day |
//! | `lookup.full-cache.timed-reload.iso-time` | at which: `10:15`, `10:15:00Z`, `10:15+02:00`; in UTC unless it says otherwise |
//! | `lookup.full-cache.timed-reload.interval-in-days` | every so many days; 1 unless set |

use std::path::PathBuf;
use std::time::Duration;

use headwater_ingest::{Format, Options};

use super::commit::{Rules, Trigger};
use super::listing::Place;
use super::lookup::FileTable;
use super::partition_time::{Formatter, PartitionTime, Pattern, parse_zone};
use super::partitions::Partitions;
use super::rolled_sink::RolledSink;
use super::single_sink::SingleSink;
use super::source::FileSource;
use crate::connector::{Context, Sink, Source};
use crate::error::Result;
use crate::full_cache::FullCache;
use crate::lookup::{Lookup, Retries, Wanted};
use crate::registry::Connector;
use crate::reload::Reload;

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
    let reload = Reload::take(options)?;
    let world = context.world.clone();
    let table = FileTable::new(context, wanted.clone(), path);
    Ok(Box::new(FullCache::new(table, wanted, world, reload, Retries::default())))
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
    let rules = commit_rules(options, partitions.as_ref())?;
    Ok(Box::new(RolledSink::new(context, path, format, rolling, partitions)?.committing(rules)))
}

/// By which rules partitions are committed; `None`: they are not. What is said beside a policy is checked also without one.
fn commit_rules(options: &mut Options, partitions: Option<&Partitions>) -> Result<Option<Rules>> {
    const KIND: &str = "sink.partition-commit.policy.kind";
    let policy = options.parse_with(KIND, |text| text.split(',').try_for_each(policy))?;
    let by_time = options.parse_with("sink.partition-commit.trigger", |text| {
        match text.trim().to_ascii_lowercase().as_str() {
            "process-time" => Ok(false),
            "partition-time" => Ok(true),
            _ => Err("there are process-time and partition-time".to_owned()),
        }
    })?;
    let delay = options.duration("sink.partition-commit.delay")?.unwrap_or_default();
    let success_file = options.parse_with("sink.partition-commit.success-file.name", file_name)?;
    let zone = options.parse_with("sink.partition-commit.watermark-time-zone", parse_zone)?;
    options.parse_with("partition.time-extractor.kind", |text| match text.trim() {
        "default" => Ok(()),
        _ => Err("there is 'default' alone: no classes are run here; say it by a pattern and a formatter"
            .to_owned()),
    })?;
    let names = partitions.map(Partitions::names).unwrap_or_default();
    let pattern = options
        .parse_with("partition.time-extractor.timestamp-pattern", |text| Pattern::parse(text, names))?;
    let formatter = options.parse_with("partition.time-extractor.timestamp-formatter", Formatter::parse)?;
    if policy.is_none() {
        return Ok(None);
    }
    if partitions.is_none() {
        let reason = "only partitions are committed, and the table has none: PARTITIONED BY (column, ...)";
        return Err(options.bad(KIND, "success-file", reason).into());
    }
    let trigger = match by_time {
        Some(true) => Trigger::PartitionTime(PartitionTime::new(pattern, formatter, zone)),
        _ => Trigger::ProcessTime,
    };
    Ok(Some(Rules { trigger, delay, success_file: success_file.unwrap_or_else(|| "_SUCCESS".to_owned()) }))
}

/// Checks one of the ways in which a partition is committed.
fn policy(kind: &str) -> Result<(), String> {
    match kind.trim().to_ascii_lowercase().as_str() {
        "success-file" => Ok(()),
        "metastore" => Err("there is no metastore here that would be told; there is success-file".to_owned()),
        "custom" => Err("no classes are run here; there is success-file".to_owned()),
        _ => Err("there is success-file".to_owned()),
    }
}

/// Checks the name of a file within a folder.
fn file_name(given: &str) -> Result<String, String> {
    let is_name = !given.is_empty() && !given.contains(['/', '\0']) && given != "." && given != "..";
    if is_name { Ok(given.to_owned()) } else { Err("it is the name of a file, without a folder".to_owned()) }
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
