//! Where the log is: in the data directory, or in topics of Kafka.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use headwater_core::World;
use headwater_ingest::Options;
use headwater_kafka::KafkaTopics;
use headwater_log::{Log, TopicLog, TopicLogOptions};
use serde::Deserialize;

/// A log's name unless given.
const NAME: &str = "headwater";

/// What keeps the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Keeper {
    /// Files in the data directory
    Disk,
    /// Topics of Kafka
    Kafka,
}

/// Where the log is, as the command line says it.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct LogArgs {
    /// What keeps the log [default: disk, or kafka if the file says how]
    #[arg(long, value_enum)]
    log: Option<Keeper>,
    /// For kafka: what the names of the log's topics begin with [default: headwater]
    #[arg(long, value_name = "NAME")]
    log_name: Option<String>,
    /// For kafka: a setting of its client, such as bootstrap.servers=127.0.0.1:9092; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    log_property: Vec<String>,
}

impl LogArgs {
    /// Whether anything is said.
    pub fn is_given(&self) -> bool {
        self.log.is_some() || self.log_name.is_some() || !self.log_property.is_empty()
    }
}

/// Where the log is, as the file says it.
#[derive(Deserialize, Clone, Debug, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogConfig {
    kafka: Option<KafkaConfig>,
}

/// What of it is at Kafka. The options are those of `connectors/kafka`.
#[derive(Deserialize, Clone, Debug, Default)]
struct KafkaConfig {
    name: Option<String>,
    #[serde(flatten)]
    options: BTreeMap<String, toml::Value>,
}

/// Where the log is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) enum LogPlace {
    /// In the data directory.
    #[default]
    Disk,
    /// In topics of Kafka.
    Kafka {
        /// The log's name.
        name: String,
        /// Options by name.
        options: BTreeMap<String, String>,
    },
}

impl LogPlace {
    /// What the command line and the file come to.
    pub fn of(args: &LogArgs, config: LogConfig) -> Result<Self> {
        let is_kafka = match args.log {
            Some(keeper) => keeper == Keeper::Kafka,
            None => config.kafka.is_some(),
        };
        if !is_kafka {
            if args.log_name.is_some() || !args.log_property.is_empty() {
                bail!("--log-name and --log-property are for --log kafka");
            }
            return Ok(Self::Disk);
        }
        let given = config.kafka.unwrap_or_default();
        let text = |value: toml::Value| match value {
            toml::Value::String(text) => text,
            other => other.to_string(),
        };
        let mut options: BTreeMap<_, _> =
            given.options.into_iter().map(|(name, value)| (name, text(value))).collect();
        for property in &args.log_property {
            let (name, value) = property
                .split_once('=')
                .with_context(|| format!("--log-property {property}: it is NAME=VALUE"))?;
            options.insert(format!("properties.{name}"), value.to_owned());
        }
        let name = args.log_name.clone().or(given.name).unwrap_or_else(|| NAME.to_owned());
        Ok(Self::Kafka { name, options })
    }

    /// The brokers of a log on Kafka, as they were given.
    pub fn servers(&self) -> Option<&str> {
        let Self::Kafka { options, .. } = self else { return None };
        let is_servers = |name: &String| name.replace(['_', '-'], ".").ends_with("bootstrap.servers");
        options.iter().find(|(name, _)| is_servers(name)).map(|(_, servers)| servers.as_str())
    }

    /// Opens a log that is not in the data directory, as its writer.
    pub fn open(&self, world: &World) -> Result<Option<Arc<dyn Log>>> {
        let Some((name, topics)) = self.topics(world)? else { return Ok(None) };
        let log = TopicLog::open(world.clone(), topics, name, TopicLogOptions::default())
            .with_context(|| format!("cannot open log {name} on Kafka"))?;
        Ok(Some(log))
    }

    /// Opens a log that is not in the data directory to look at it, beside its writer.
    pub fn look(&self, world: &World) -> Result<Option<Arc<dyn Log>>> {
        let Some((name, topics)) = self.topics(world)? else { return Ok(None) };
        let log = TopicLog::look(world.clone(), topics, name).with_context(|| {
            format!("cannot look at log {name} on Kafka, where a server must have opened it before")
        })?;
        Ok(Some(log))
    }

    /// The name and the topics of a log that is not in the data directory.
    fn topics(&self, world: &World) -> Result<Option<(&str, Arc<KafkaTopics>)>> {
        let Self::Kafka { name, options } = self else { return Ok(None) };
        let pairs = options.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let mut options = Options::new("the log on Kafka", pairs);
        let topics = KafkaTopics::new(world.clone(), name, &mut options)?;
        Ok(Some((name, Arc::new(topics))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(args: LogArgs, file: &str) -> Result<LogPlace> {
        LogPlace::of(&args, toml::from_str(file).unwrap())
    }

    #[test]
    fn the_file_says_how_and_the_command_line_wins() {
        let file =
            "[kafka]\nname = \"fleet\"\n\"properties.bootstrap.servers\" = \"a:1\"\nreplication-factor = 3\n";
        let options = |servers: &str| {
            let pairs = [("properties.bootstrap.servers", servers), ("replication-factor", "3")];
            pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
        };
        let kafka =
            |name: &str, servers: &str| LogPlace::Kafka { name: name.to_owned(), options: options(servers) };
        assert_eq!(place(LogArgs::default(), file).unwrap(), kafka("fleet", "a:1"));
        let args = LogArgs {
            log: None,
            log_name: Some("other".to_owned()),
            log_property: vec!["bootstrap.servers=b:2".to_owned()],
        };
        assert_eq!(place(args.clone(), file).unwrap(), kafka("other", "b:2"));
        assert!(place(args, "").unwrap_err().to_string().contains("--log kafka"));
        let disk = LogArgs { log: Some(Keeper::Disk), ..LogArgs::default() };
        assert_eq!(place(disk, file).unwrap(), LogPlace::Disk);
        assert_eq!(place(LogArgs::default(), "").unwrap(), LogPlace::Disk);
    }
}
