//! The names of objects, made and taken apart.

use headwater_core::time::nanos_per;

use crate::manifest::Span;
use crate::settings::Partition;

/// Whose archive this is.
pub(crate) const IDENTITY: &str = "_archive.json";
/// Where the entries of the manifest lie.
pub(crate) const MANIFEST: &str = "_manifest";
/// Where it is noted how far uploads are.
pub(crate) const UPLOADS: &str = "_uploads";

/// The column with the shard, after the stream's own.
pub const SHARD: &str = "_shard";
/// The column with the sequence number.
pub const SEQUENCE: &str = "_sequence";
/// The column with the time of arrival.
pub const ARRIVAL: &str = "_arrival";

/// The directory of rows without an event time, as Hive names it.
const NO_TIME: &str = "__HIVE_DEFAULT_PARTITION__";

/// The name of an entry of the manifest.
pub(crate) fn entry(number: u64) -> String {
    format!("{MANIFEST}/{number:020}.json")
}

/// The name of a snapshot of the manifest.
pub(crate) fn snapshot(number: u64) -> String {
    format!("{MANIFEST}/{number:020}.snapshot.json")
}

/// The number of an entry (`false`) or a snapshot (`true`) by its name within [`MANIFEST`].
pub(crate) fn number_of(name: &str) -> Option<(u64, bool)> {
    let stem = name.strip_suffix(".json")?;
    match stem.strip_suffix(".snapshot") {
        Some(number) => Some((number.parse().ok()?, true)),
        None => Some((stem.parse().ok()?, false)),
    }
}

/// The name of the file with a range's rows of one partition.
pub(crate) fn file(span: &Span, partition: &str) -> String {
    let name = format!("{:05}-{:020}-{:020}.parquet", span.shard, span.first, span.next);
    if partition.is_empty() { name } else { format!("{partition}/{name}") }
}

/// The range and the partition of a file by its name.
pub(crate) fn parse_file(path: &str) -> Option<(Span, String)> {
    let (partition, name) = path.rsplit_once('/').unwrap_or(("", path));
    let mut parts = name.strip_suffix(".parquet")?.split('-');
    let mut number = || parts.next()?.parse::<u64>().ok();
    let (shard, first, next) = (number()?, number()?, number()?);
    let span = Span { shard: u32::try_from(shard).ok()?, first, next };
    (parts.next().is_none() && file(&span, partition) == path).then(|| (span, partition.to_owned()))
}

/// The name of the note on an upload of a file.
pub(crate) fn upload(file: &str) -> String {
    format!("{UPLOADS}/{}.json", file.replace('/', ","))
}

/// The partition of an event time in nanoseconds.
pub(crate) fn partition(by: Partition, time: Option<i64>) -> String {
    if by == Partition::None {
        return String::new();
    }
    let Some(time) = time else {
        return match by {
            Partition::Hour => format!("day={NO_TIME}/hour={NO_TIME}"),
            _ => format!("day={NO_TIME}"),
        };
    };
    let seconds = time.div_euclid(nanos_per(arrow::datatypes::TimeUnit::Second));
    let shown = chrono::DateTime::from_timestamp(seconds, 0).unwrap_or_default();
    match by {
        Partition::Hour => shown.format("day=%Y-%m-%d/hour=%H").to_string(),
        _ => shown.format("day=%Y-%m-%d").to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart_again() {
        let span = Span { shard: 3, first: 0, next: 12_000 };
        for partition in ["", "day=2026-03-01", "day=2026-03-01/hour=05"] {
            let name = file(&span, partition);
            assert_eq!(parse_file(&name), Some((span, partition.to_owned())), "{name}");
        }
        assert_eq!(file(&span, "day=2026-03-01").len(), "day=2026-03-01/".len() + 5 + 21 + 21 + 8);
        for other in ["a.parquet", "1-2-3.parquet", "_manifest/00000000000000000001.json", ""] {
            assert_eq!(parse_file(other), None, "{other}");
        }
        assert_eq!(number_of("00000000000000000064.snapshot.json"), Some((64, true)));
        assert_eq!(number_of("00000000000000000064.json"), Some((64, false)));
        assert_eq!(number_of("x.json"), None);
    }

    #[test]
    fn times_have_a_day_and_an_hour() {
        assert_eq!(partition(Partition::Day, Some(-1)), "day=1969-12-31");
        assert_eq!(partition(Partition::Hour, Some(3_600_000_000_000)), "day=1970-01-01/hour=01");
        assert_eq!(partition(Partition::Day, None), "day=__HIVE_DEFAULT_PARTITION__");
        assert_eq!(partition(Partition::None, Some(5)), "");
    }
}
