//! Options to a source or a sink. The table of them is in the module's own page.

use std::collections::BTreeMap;
use std::time::Duration;

use headwater_connectors::{Connector, Context, Result, Sink, Source};
use headwater_ingest::{Options, read_timestamp};

use super::position::Position;
use super::sink::Putting;
use super::source::{FIELDS, Reading};
use super::stream::StreamRef;
use crate::access::Access;
use crate::message::{Bodies, KeyColumns, MessageReader, column_for};

/// The entry of the registry.
pub const CONNECTOR: Connector = Connector {
    name: "kinesis",
    summary: "reads and writes Kinesis data streams",
    source: Some(source),
    sink: Some(sink),
    gateway: None,
};

/// Most records and most bytes of one request, by the service's limits.
const RECORDS_MAX: usize = 500;
const BYTES_MAX: usize = 5 << 20;

/// Where a source begins that has stored nothing.
pub(super) enum Initial {
    TrimHorizon,
    Latest,
    AtTimestamp(i64),
    /// By shard.
    Sequences(BTreeMap<String, Position>),
}

/// How records are read.
pub(super) enum Reader {
    Polling,
    FanOut { consumer: String, register: bool },
}

/// What a source's options say.
pub(super) struct SourceOptions {
    pub initial: Initial,
    pub reader: Reader,
    pub discovery: Duration,
    pub interval: Duration,
    pub records_max: i32,
}

/// What a row's partition key is.
pub(super) enum Partitioner {
    Random,
    Fixed,
    Columns(KeyColumns),
}

/// What a sink's options say.
pub(super) struct SinkOptions {
    pub partitioner: Partitioner,
    pub explicit_hash_key: Option<KeyColumns>,
    pub key_field: Option<String>,
    pub records_max: usize,
    pub bytes_max: usize,
    pub linger: Duration,
    pub aggregation: Option<Aggregation>,
}

/// How many rows go as one record.
#[derive(Clone, Copy)]
pub(super) struct Aggregation {
    pub count_max: usize,
    pub bytes_max: usize,
}

/// Unless set, and at most: rows and bytes of an aggregated record. A record may have 1 MiB, keys included.
const AGGREGATED_ROWS: usize = 10_000;
const AGGREGATED_BYTES: usize = 51_200;
const AGGREGATED_BYTES_MAX: usize = 1_000_000;

fn place(options: &mut Options) -> Result<(StreamRef, Access)> {
    let arn = options.parse_with("stream.arn", |text| match text.starts_with("arn:") {
        true => Ok(text.trim().to_owned()),
        false => Err("it begins with arn:".to_owned()),
    })?;
    let name = options.get_any(&["stream", "stream-name"]);
    let access = Access::take(options, arn.as_deref())?;
    let stream = match (arn, name) {
        (Some(arn), _) => StreamRef::Arn(arn),
        (None, Some(name)) => StreamRef::Name(name),
        (None, None) => StreamRef::Name(options.require("stream")?),
    };
    Ok((stream, access))
}

fn source(context: Context, options: &mut Options) -> Result<Box<dyn Source>> {
    let (stream, access) = place(options)?;
    let initial = initial(options)?;
    let reader = reader(options)?;
    let discovery = options.duration("source.shard.discovery.interval")?;
    let interval = options.duration("source.shard.get-records.interval")?;
    let records_max = at_most(options, &["source.shard.get-records.max-record-count"], 10_000)?;
    let messages = MessageReader::new(&context, FIELDS, Bodies::Bytes, options)?;
    let options = SourceOptions {
        initial,
        reader,
        discovery: discovery.unwrap_or(Duration::from_secs(10)),
        interval: interval.unwrap_or(Duration::from_millis(200)),
        records_max: i32::try_from(records_max).unwrap_or(i32::MAX),
    };
    Ok(Box::new(Reading::new(context.world, access, stream, options, messages)))
}

fn initial(options: &mut Options) -> Result<Initial> {
    const POSITION: [&str; 3] = ["source.init.position", "scan.stream.initpos", "source.offset"];
    let given = options.get_any(&POSITION);
    let name = given.as_deref().unwrap_or("LATEST").trim().to_ascii_uppercase();
    let mut timestamp = None;
    for option in ["source.init.timestamp", "scan.stream.initpos-timestamp"] {
        timestamp = timestamp.or(options.parse_with(option, read_millis)?);
    }
    let sequences = options.parse_with("source.init.sequence-number", |text| {
        let pair = |pair: &str| {
            let (shard, sequence) =
                pair.trim().split_once(':').ok_or("it is SHARD-ID:NUMBER, with commas between")?;
            let is_number = !sequence.is_empty() && sequence.bytes().all(|byte| byte.is_ascii_digit());
            match is_number {
                true => Ok((shard.to_owned(), sequence.to_owned())),
                false => Err(format!("{sequence:?} is not a number")),
            }
        };
        text.split(',').map(pair).collect::<std::result::Result<BTreeMap<_, _>, String>>()
    })?;
    let needs = |option: &str, what: &str| options.bad(option, "", format!("{what} needs it"));
    let by_sequence = |position: fn(String) -> Position| match sequences {
        Some(sequences) => {
            let positions = sequences.into_iter().map(|(shard, sequence)| (shard, position(sequence)));
            Ok(Initial::Sequences(positions.collect()))
        }
        None => Err(needs("source.init.sequence-number", &name).into()),
    };
    match name.as_str() {
        "TRIM_HORIZON" | "EARLIEST" => Ok(Initial::TrimHorizon),
        "LATEST" => Ok(Initial::Latest),
        "AT_TIMESTAMP" => match timestamp {
            Some(millis) => Ok(Initial::AtTimestamp(millis)),
            None => Err(needs("source.init.timestamp", &name).into()),
        },
        "AT_SEQUENCE_NUMBER" => by_sequence(Position::At),
        "AFTER_SEQUENCE_NUMBER" => by_sequence(Position::After),
        _ => {
            let known =
                "it is TRIM_HORIZON, LATEST, AT_TIMESTAMP, AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER";
            Err(options.bad(POSITION[0], &name, known).into())
        }
    }
}

/// A time as RFC 3339, or as seconds since the epoch with a fraction, as Flink takes both.
fn read_millis(text: &str) -> std::result::Result<i64, String> {
    if let Ok(seconds) = text.trim().parse::<f64>()
        && seconds.is_finite()
    {
        return Ok((seconds * 1_000.0).round() as i64);
    }
    let time = read_timestamp(text).ok_or("it is a time as RFC 3339, or seconds since the epoch")?;
    Ok(time.0.div_euclid(1_000_000))
}

fn reader(options: &mut Options) -> Result<Reader> {
    let kind = options.get_any(&["source.reader.type", "scan.stream.recordpublisher"]);
    let consumer = options.get_any(&["source.efo.consumer.name", "scan.stream.efo.consumername"]);
    let register = options.parse_with("source.efo.lifecycle", |text| {
        match text.trim().to_ascii_uppercase().as_str() {
            "JOB_MANAGED" => Ok(true),
            "SELF_MANAGED" => Ok(false),
            _ => Err("it is JOB_MANAGED or SELF_MANAGED".to_owned()),
        }
    })?;
    match kind.as_deref().unwrap_or("POLLING").trim().to_ascii_uppercase().as_str() {
        "POLLING" => Ok(Reader::Polling),
        "EFO" => match consumer {
            Some(consumer) => Ok(Reader::FanOut { consumer, register: register.unwrap_or(true) }),
            None => Err(options.bad("source.efo.consumer.name", "", "EFO needs it").into()),
        },
        other => Err(options.bad("source.reader.type", other, "it is POLLING or EFO").into()),
    }
}

fn sink(context: Context, options: &mut Options) -> Result<Box<dyn Sink>> {
    let (stream, access) = place(options)?;
    let delimiter = options.get("sink.partitioner-field-delimiter").unwrap_or_else(|| "|".to_owned());
    let columns = |names: &str| KeyColumns::find(&context.schema, names, &delimiter);
    let about = |part: &str| match column_for(&context, part, &["partition-key", "explicit-hash-key"])? {
        Some(column) => KeyColumns::of(&context.schema, &[column], &delimiter).map(Some),
        None => Ok(None),
    };
    let key = options.parse_with("sink.partition-key", columns)?.or(about("partition-key")?);
    let explicit_hash_key =
        options.parse_with("sink.explicit-hash-key", columns)?.or(about("explicit-hash-key")?);
    let kind = options.get("sink.partitioner").map(|kind| kind.trim().to_ascii_lowercase());
    let partitioner = match (kind.as_deref(), key) {
        (None, Some(columns)) => Partitioner::Columns(columns),
        (None, None) if !context.key.is_empty() => {
            Partitioner::Columns(KeyColumns::of(&context.schema, &context.key, &delimiter)?)
        }
        (None | Some("random"), None) => Partitioner::Random,
        (Some("fixed"), None) => Partitioner::Fixed,
        (Some(kind), Some(_)) => {
            return Err(options.bad("sink.partitioner", kind, "sink.partition-key says it already").into());
        }
        (Some(kind), None) => {
            return Err(options.bad("sink.partitioner", kind, "it is random or fixed").into());
        }
    };
    let key_field = options.get("sink.key-field").unwrap_or_else(|| "_key".to_owned());
    let records_max = at_most(options, &["sink.batch.max-size", "records-per-batch"], RECORDS_MAX)?;
    let bytes_max = at_most(options, &["sink.batch.max-size-in-bytes", "batch-max-buffer-size"], BYTES_MAX)?;
    let mut linger = None;
    for option in ["sink.flush-buffer.timeout", "batch-flush-interval-millis"] {
        linger = linger.or(options.parse::<u64>(option)?);
    }
    let aggregation = aggregation(options)?;
    let options = SinkOptions {
        aggregation,
        partitioner,
        explicit_hash_key,
        key_field: (!key_field.is_empty()).then_some(key_field),
        records_max,
        bytes_max,
        linger: Duration::from_millis(linger.unwrap_or(200)),
    };
    Ok(Box::new(Putting::new(context, access, stream, options)?))
}

fn aggregation(options: &mut Options) -> Result<Option<Aggregation>> {
    const SIZE: &str = "sink.producer.aggregation-max-size";
    let count_max = at_most(options, &["sink.producer.aggregation-max-count"], AGGREGATED_ROWS)?;
    let given = options.parse_with(SIZE, |text| match text.trim().parse::<usize>() {
        Ok(bytes) if (1..=AGGREGATED_BYTES_MAX).contains(&bytes) => Ok(bytes),
        _ => Err(format!("it is a number of bytes from 1 to {AGGREGATED_BYTES_MAX}")),
    })?;
    let mut enabled = None;
    for option in ["sink.producer.aggregation-enabled", "sink.aggregation-enabled"] {
        enabled = enabled.or(options.flag(option)?);
    }
    if given.is_some() && enabled != Some(true) {
        return Err(options.bad(SIZE, "", "it needs sink.producer.aggregation-enabled").into());
    }
    let bytes_max = given.unwrap_or(AGGREGATED_BYTES);
    Ok((enabled == Some(true)).then_some(Aggregation { count_max, bytes_max }))
}

/// A number from 1 to `most`, which it is unless set.
fn at_most(options: &mut Options, names: &[&str], most: usize) -> Result<usize> {
    let mut given = None;
    for name in names {
        given = given.or(options.parse_with(name, |text| match text.trim().parse::<usize>() {
            Ok(number) if (1..=most).contains(&number) => Ok(number),
            _ => Err(format!("it is a number from 1 to {most}")),
        })?);
    }
    Ok(given.unwrap_or(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_or_a_number_of_seconds() {
        assert_eq!(read_millis("2026-03-01T10:00:07Z"), Ok(1_772_359_207_000));
        assert_eq!(read_millis("1772359207.25"), Ok(1_772_359_207_250));
        for bad in ["soon", "NaN", "inf", ""] {
            assert!(read_millis(bad).is_err(), "{bad}");
        }
    }
}
