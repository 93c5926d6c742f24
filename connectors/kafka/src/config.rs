//! Options to a source or a sink.

use std::time::Duration;

use headwater_connectors::{Connector, Context, Result, SchemaRegistry, Sink, Source, take_subject};
use headwater_ingest::{Format, KeyFormat, MessageDecoder, Options};

use crate::about::AboutColumns;
use crate::cluster::Cluster;
use crate::encode::MessageEncoder;
use crate::offsets::Place;
use crate::producer::Spread;
use crate::sink::{KafkaSink, SinkSettings};
use crate::source::{KafkaSource, SourceSettings, Topics};

/// The entry of the registry.
pub const CONNECTOR: Connector = Connector {
    name: "kafka",
    summary: "reads topics of Kafka; writes to one by transactions",
    source: Some(source),
    sink: Some(sink),
    gateway: None,
};

/// The topics whose messages replace one another by their key.
pub const UPSERT: Connector = Connector {
    name: "upsert-kafka",
    summary: "reads the newest row of each key from a topic of Kafka; writes it to one",
    source: Some(upsert_source),
    sink: Some(upsert),
    gateway: None,
};

/// How often new partitions are looked for; as often as Flink does.
const DISCOVERY: Duration = Duration::from_secs(300);

/// Why changes cannot be told apart.
const NO_KEY: &str = "the table needs PRIMARY KEY (…) NOT ENFORCED";

/// How long rows wait for a commit.
const LINGER: Duration = Duration::from_millis(200);

fn source(context: Context, options: &mut Options) -> Result<Box<dyn Source>> {
    make_source(context, options, false)
}

fn upsert_source(context: Context, options: &mut Options) -> Result<Box<dyn Source>> {
    make_source(context, options, true)
}

fn make_source(context: Context, options: &mut Options, is_upsert: bool) -> Result<Box<dyn Source>> {
    let is_upsert = is_upsert || options.get("changelog.mode").is_some_and(|mode| mode == "upsert");
    let mut cluster = Cluster::take(options)?;
    let topics = take_topics(options)?;
    let start = Place::take(options, "scan.startup")?.unwrap_or(Place::Earliest);
    let end = Place::take(options, "scan.bounded")?;
    let discovery = options.duration("scan.topic-partition-discovery.interval")?.unwrap_or(DISCOVERY);
    let in_group = options.parse_with("scan.assignment", |text| match text.trim() {
        "all" => Ok(false),
        "group" => Ok(true),
        _ => Err("it is all or group".to_owned()),
    })?;
    let in_group = in_group.unwrap_or(false);
    take_group(&mut cluster, options)?;
    take_isolation(&mut cluster, options)?;
    fetch_much(&mut cluster);
    if (in_group || start == Place::Group || end == Some(Place::Group)) && cluster.get("group.id").is_none() {
        return Err(options
            .bad("properties.group.id", "", "offsets of a group need the group's name")
            .into());
    }
    check_together(&topics, in_group, end.is_some(), options)?;
    if in_group {
        cluster.default("partition.assignment.strategy", "cooperative-sticky");
    }
    let about = AboutColumns::new(&context.metadata, &context.schema, options)?;
    let format = take_format(&context, options)?;
    if format == Format::DebeziumJson && context.key.is_empty() {
        return Err(options.bad("format", format.name(), NO_KEY).into());
    }
    let key =
        if is_upsert { Some(upsert_key(&context, options)?) } else { take_key(&context, options, &about)? };
    let registry = SchemaRegistry::take_for(&formats_of(format, key.as_ref()), options)?;
    let value = (format, &context.format_options);
    let decoder = match &key {
        Some(key) if is_upsert => MessageDecoder::upsert(&context.schema, &about.names(), value, key)?,
        _ => MessageDecoder::new(&context.schema, &about.names(), value, key)?,
    };
    let discovery = (!discovery.is_zero()).then_some(discovery);
    let settings = SourceSettings {
        cluster,
        topics,
        start,
        end,
        in_group,
        discovery,
        about,
        registry,
        schemas: context.format_options.schemas.clone(),
    };
    Ok(Box::new(KafkaSource::new(context, settings, decoder)))
}

/// Which topics can be shared among a group's members, and which inputs can end.
fn check_together(topics: &Topics, in_group: bool, ends: bool, options: &Options) -> Result<()> {
    if in_group && ends {
        return Err(options
            .bad("scan.assignment", "group", "an input that ends is read by one alone")
            .into());
    }
    if ends && !matches!(topics, Topics::Named(names) if names.len() == 1) {
        return Err(options.bad("scan.bounded.mode", "", "an input that ends has one topic").into());
    }
    if in_group
        && let Topics::Like(pattern) = topics
        && !is_of_posix(pattern)
    {
        let reason = "a group's pattern is an extended regular expression of POSIX, without \\d and the like, (?…) and lazy repetition";
        return Err(options.bad("topic-pattern", pattern, reason).into());
    }
    Ok(())
}

fn sink(context: Context, options: &mut Options) -> Result<Box<dyn Sink>> {
    let about = AboutColumns::new(&context.metadata, &context.schema, options)?;
    let key = take_key(&context, options, &about)?;
    make_sink(context, options, about, key, false)
}

fn upsert(context: Context, options: &mut Options) -> Result<Box<dyn Sink>> {
    let about = AboutColumns::new(&context.metadata, &context.schema, options)?;
    let key = upsert_key(&context, options)?;
    make_sink(context, options, about, Some(key), true)
}

/// The key of a table whose rows replace one another by it.
fn upsert_key(context: &Context, options: &mut Options) -> Result<KeyFormat> {
    if context.key.is_empty() {
        return Err(options.bad("connector", "upsert-kafka", NO_KEY).into());
    }
    let format = read_format(options, "key.format")?.unwrap_or(Format::JsonLines);
    let prefix = options.get("key.fields-prefix").unwrap_or_default();
    let also_in_value = take_also_in_value(options)?;
    let (fields, options_of) = (context.key.clone(), context.format_options.clone());
    Ok(KeyFormat { format, options: options_of, fields, prefix, also_in_value })
}

fn make_sink(
    context: Context,
    options: &mut Options,
    about: AboutColumns,
    key: Option<KeyFormat>,
    is_upsert: bool,
) -> Result<Box<dyn Sink>> {
    let cluster = Cluster::take(options)?;
    let topic = options.require("topic")?;
    let exactly_once = options.parse_with("sink.delivery-guarantee", |text| {
        match text.trim().to_ascii_lowercase().as_str() {
            "exactly-once" => Ok(true),
            "at-least-once" => Ok(false),
            _ => Err("it is exactly-once or at-least-once".to_owned()),
        }
    })?;
    let as_arroyo = options.parse_with("sink.commit-mode", |text| match text.trim() {
        "exactly_once" => Ok(true),
        "at_least_once" => Ok(false),
        _ => Err("it is exactly_once or at_least_once".to_owned()),
    })?;
    let spread =
        options.parse_with("sink.partitioner", |text| match text.trim().to_ascii_lowercase().as_str() {
            "default" => Ok(Spread::Default),
            "fixed" => Ok(Spread::Fixed),
            "round-robin" => Ok(Spread::RoundRobin),
            _ => Err("it is default, fixed or round-robin".to_owned()),
        })?;
    if is_upsert && spread.is_some_and(|spread| spread != Spread::Default) {
        return Err(options.bad("sink.partitioner", "", "rows of one key stay in one partition").into());
    }
    // Ids are the cluster's: another installation may have a stream of the same name and number.
    let prefix = options
        .get("sink.transactional-id-prefix")
        .unwrap_or_else(|| format!("headwater-{:x}", context.created.0));
    let linger = options.duration("sink.buffer-flush.interval")?.unwrap_or(LINGER);
    let format = take_format(&context, options)?;
    let registry = SchemaRegistry::take_for(&formats_of(format, key.as_ref()), options)?;
    let subjects = [
        (format, take_subject(options, &topic, "value")),
        (key.as_ref().map_or(Format::JsonLines, |key| key.format), take_subject(options, &topic, "key")),
    ];
    let encoder =
        MessageEncoder::new(&context.schema, about, (format, &context.format_options), key, is_upsert)?;
    let settings = SinkSettings {
        cluster,
        topic,
        writer: format!("{prefix}-{}-{}", context.stream, context.stream_id),
        exactly_once: exactly_once.or(as_arroyo).unwrap_or(true),
        spread: spread.unwrap_or(Spread::Default),
        linger,
        registry,
        subjects,
    };
    Ok(Box::new(KafkaSink::new(context, settings, encoder)))
}

fn take_topics(options: &mut Options) -> Result<Topics> {
    if let Some(pattern) = options.get("topic-pattern") {
        regex::Regex::new(&pattern)
            .map_err(|error| options.bad("topic-pattern", &pattern, error.to_string()))?;
        return Ok(Topics::Like(pattern));
    }
    let names = list(&options.require("topic")?);
    if names.is_empty() {
        return Err(options.bad("topic", "", "it is the name of a topic").into());
    }
    Ok(Topics::Named(names))
}

/// Whether a regular expression means to POSIX what it means to us.
fn is_of_posix(pattern: &str) -> bool {
    let is_escape = |at: usize| pattern[at + 1..].starts_with(|letter: char| letter.is_ascii_alphanumeric());
    let escapes = pattern.match_indices('\\').any(|(at, _)| is_escape(at));
    !escapes && !["(?", "*?", "+?", "??", "}?"].iter().any(|own| pattern.contains(own))
}

fn take_group(cluster: &mut Cluster, options: &mut Options) -> Result<()> {
    if let Some(group) = options.get("source.group-id") {
        cluster.default("group.id", &group);
    }
    Ok(())
}

fn take_isolation(cluster: &mut Cluster, options: &mut Options) -> Result<()> {
    let level = options.parse_with("source.read-mode", |text| match text.trim() {
        level @ ("read_committed" | "read_uncommitted") => Ok(level.to_owned()),
        _ => Err("it is read_committed or read_uncommitted".to_owned()),
    })?;
    cluster.default("isolation.level", level.as_deref().unwrap_or("read_committed"));
    Ok(())
}

/// What one answer of a broker has of a partition: librdkafka asks for the next one only when it has this one, and each costs a way
/// to the broker and back, and an append of its own. Its default is an eighth.
const FETCH_BYTES: &str = "8388608";

/// Lets much come at a time, unless the user has said how much.
fn fetch_much(cluster: &mut Cluster) {
    // A queue that was full asks for more as soon as it is not, rather than a second later: it is emptied in less.
    cluster.default("fetch.queue.backoff.ms", "10");
    // Both are names of the same property.
    if cluster.get("fetch.message.max.bytes").is_none() {
        cluster.default("max.partition.fetch.bytes", FETCH_BYTES);
    }
}

/// The format of values.
fn take_format(context: &Context, options: &mut Options) -> Result<Format> {
    let value = read_format(options, "value.format")?;
    Ok(context.format.or(value).unwrap_or(Format::JsonLines))
}

fn read_format(options: &mut Options, name: &str) -> Result<Option<Format>> {
    Ok(options.parse_with(name, |text| Format::from_name(text).map_err(|error| error.to_string()))?)
}

/// The formats of values and of keys.
fn formats_of(value: Format, key: Option<&KeyFormat>) -> Vec<Format> {
    key.map(|key| key.format).into_iter().chain([value]).collect()
}

/// The format of keys and the columns that they hold, if there are any.
fn take_key(context: &Context, options: &mut Options, about: &AboutColumns) -> Result<Option<KeyFormat>> {
    let format = read_format(options, "key.format")?;
    let fields = options.get("key.fields");
    let prefix = options.get("key.fields-prefix").unwrap_or_default();
    let also_in_value = take_also_in_value(options)?;
    let Some(fields) = fields else {
        return match format {
            Some(_) => Err(options.bad("key.format", "", "it needs option 'key.fields'").into()),
            None => Ok(None),
        };
    };
    let names = list(&fields);
    for name in &names {
        let is_column =
            context.schema.field_with_name(name).is_ok() && !about.names().contains(&name.as_str());
        if !is_column || !name.starts_with(&prefix) {
            let reason = format!("{name:?} is no column of the table that begins with {prefix:?}");
            return Err(options.bad("key.fields", &fields, reason).into());
        }
    }
    Ok(Some(KeyFormat {
        format: format.unwrap_or(Format::JsonLines),
        options: context.format_options.clone(),
        fields: names,
        prefix,
        also_in_value,
    }))
}

/// Whether the value holds the columns of the key, too.
fn take_also_in_value(options: &mut Options) -> Result<bool> {
    let given = options.parse_with("value.fields-include", |text| {
        match text.trim().to_ascii_uppercase().replace('-', "_").as_str() {
            "ALL" => Ok(true),
            "EXCEPT_KEY" => Ok(false),
            _ => Err("it is ALL or EXCEPT_KEY".to_owned()),
        }
    })?;
    Ok(given.unwrap_or(true))
}

/// Names with `;` between them.
fn list(text: &str) -> Vec<String> {
    text.split(';').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn much_is_fetched_unless_the_user_says_otherwise() {
        let fetches = |given: &[(&str, &str)]| {
            let servers = ("bootstrap_servers", "a:9092");
            let mut options = Options::new("connector kafka", given.iter().copied().chain([servers]));
            let mut cluster = Cluster::take(&mut options).unwrap();
            fetch_much(&mut cluster);
            let names = ["fetch.message.max.bytes", "max.partition.fetch.bytes"];
            names.map(|name| cluster.get(name).map(str::to_owned))
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(fetches(&[]), [None, some("8388608")]);
        assert_eq!(fetches(&[("properties.max.partition.fetch.bytes", "7")]), [None, some("7")]);
        assert_eq!(fetches(&[("properties.fetch.message.max.bytes", "7")]), [some("7"), None]);
    }
}
