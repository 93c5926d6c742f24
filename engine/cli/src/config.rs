//! The configuration file of `headwater serve`, in TOML, which other commands read, too, to find its data. What the command line says wins.
//!
//! ```toml
//! data = "/var/lib/headwater"
//! listen = "127.0.0.1:8585"
//! workers = 4
//! checkpoint_seconds = 10
//! state_memory_mib = 4096
//! query_memory_mib = 2048
//! keep_journals_days = 365                                                 # journals; as long as the rows of their steps unless given
//! keep_records_days = 30                                                   # dead letters and the like; 90 unless given, 0: for ever
//! idempotency_keys = 4096                                                  # how many a shard knows, the newest ones
//!
//! [log.kafka]                                                              # the log in topics; in the data directory unless given
//! "properties.bootstrap.servers" = "127.0.0.1:9092"
//!
//! [limits]
//! body_bytes_max = 67108864
//! append_bytes_max = 1073741824                                            # of all appends; an eighth of memory, at most 1 GiB
//! tails_max = 256
//!
//! [wamp]
//! listen = "127.0.0.1:8080"
//!
//! [mqtt]
//! listen = "127.0.0.1:1883"
//!
//! [triggers]
//! # Where they may go, webhooks of scaling groups, and tables of HTTP, which post or poll; anywhere unless given.
//! webhooks = ["https://hooks.example.org/", "https://*.example.net/fleet"]
//!
//! [triggers.commands]                                                      # what they may run; nothing unless given
//! siren = ["/usr/local/bin/siren", "--loud"]
//!
//! [scaling]
//! auto_scaling_groups = ["web"]                                            # what they may set at EC2; anything unless given
//!
//! [scaling.commands]                                                       # what scaling groups may start, and check health with
//! worker = ["/usr/local/bin/worker", "--queue", "orders"]
//!
//! [mapreduce.programs]                                                     # what MapReduce jobs may run; nothing unless given
//! words = ["/usr/local/bin/words.py"]
//! ```

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use headwater_connectors::Allowed;
use headwater_core::Code;
use headwater_mqtt::gateway::MqttConfig;
use headwater_serve::ServeOptions;
use headwater_wamp::gateway::WampConfig;
use serde::Deserialize;

use crate::log_place::LogConfig;

/// Why a configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// It is not there, or must not be read.
    #[error("the configuration file {} cannot be read: give --config a file that is there and readable, or leave it out", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// It says something that no configuration says.
    #[error("{} is not a configuration: correct the line, or take it out", path.display())]
    NoConfiguration {
        /// Which.
        path: PathBuf,
        /// What, and where.
        source: Box<toml::de::Error>,
    },
}

impl ConfigError {
    /// The code of the error.
    pub const fn code(&self) -> Code {
        match self {
            Self::Unreadable { .. } => Code::new("HW6101"),
            Self::NoConfiguration { .. } => Code::new("HW6102"),
        }
    }
}

/// What the file may say. Anything else in it is an error.
#[derive(Deserialize, Default, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub data: Option<PathBuf>,
    pub listen: Option<SocketAddr>,
    pub workers: Option<usize>,
    pub checkpoint_seconds: Option<u64>,
    pub checkpoints: Option<String>,
    pub state_memory_mib: Option<u64>,
    pub query_memory_mib: Option<u64>,
    pub keep_journals_days: Option<u64>,
    pub keep_records_days: Option<u64>,
    pub idempotency_keys: Option<usize>,
    /// Where the log is, if not in the data directory.
    #[serde(default)]
    pub log: LogConfig,
    #[serde(default)]
    pub limits: Limits,
    /// What it may say is in `connectors/wamp`.
    pub wamp: Option<WampConfig>,
    /// What it may say is in `connectors/mqtt`.
    pub mqtt: Option<MqttConfig>,
    #[serde(default)]
    pub triggers: Triggers,
    #[serde(default)]
    pub scaling: Scaling,
    #[serde(default)]
    pub mapreduce: MapReduce,
}

/// What MapReduce jobs may run; see [`Allowed`].
#[derive(Deserialize, Default, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct MapReduce {
    #[serde(default)]
    programs: BTreeMap<String, Vec<String>>,
}

/// What triggers may reach; see [`Allowed`].
#[derive(Deserialize, Default, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct Triggers {
    webhooks: Option<Vec<String>>,
    #[serde(default)]
    commands: BTreeMap<String, Vec<String>>,
}

/// What scaling groups may start; see [`Allowed`]. Their webhooks may go where those of triggers may.
#[derive(Deserialize, Default, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scaling {
    #[serde(default)]
    commands: BTreeMap<String, Vec<String>>,
    auto_scaling_groups: Option<Vec<String>>,
}

/// The bounds of the HTTP edge; see [`ServeOptions`].
#[derive(Deserialize, Default, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    body_bytes_max: Option<usize>,
    batch_records_max: Option<usize>,
    sql_bytes_max: Option<usize>,
    appends_max: Option<usize>,
    append_bytes_max: Option<usize>,
    queries_max: Option<usize>,
    tails_max: Option<usize>,
    request_timeout_seconds: Option<u64>,
}

impl Config {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        toml::from_str(&text)
            .map_err(|source| ConfigError::NoConfiguration { path: path.to_owned(), source: source.into() })
    }

    /// Reads the file that was given, if one was.
    pub fn read_if_given(path: Option<&Path>) -> Result<Self, ConfigError> {
        path.map(Self::read).transpose().map(Option::unwrap_or_default)
    }

    /// What statements may reach and run.
    pub fn allowed(&self) -> Allowed {
        Allowed {
            webhooks: self.triggers.webhooks.clone(),
            commands: self.triggers.commands.clone(),
            workers: self.scaling.commands.clone(),
            auto_scaling: self.scaling.auto_scaling_groups.clone(),
            programs: self.mapreduce.programs.clone(),
        }
    }
}

impl Limits {
    /// Puts what is given in the place of the defaults.
    pub fn apply(&self, options: &mut ServeOptions) {
        fn set<T: Copy>(given: Option<T>, option: &mut T) {
            *option = given.unwrap_or(*option);
        }
        set(self.body_bytes_max, &mut options.body_bytes_max);
        set(self.batch_records_max, &mut options.batch_records_max);
        set(self.sql_bytes_max, &mut options.sql_bytes_max);
        set(self.appends_max, &mut options.appends_max);
        set(self.append_bytes_max, &mut options.append_bytes_max);
        set(self.queries_max, &mut options.queries_max);
        set(self.tails_max, &mut options.tails_max);
        set(self.request_timeout_seconds.map(Duration::from_secs), &mut options.request_timeout);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_above_is_a_configuration_and_a_typing_error_is_not() {
        let text = "data = \"/x\"\nlisten = \"127.0.0.1:1\"\n[limits]\ntails_max = 7\n[wamp]\nlisten = \"127.0.0.1:2\"\n\
            [mqtt]\nlisten = \"127.0.0.1:3\"\n[triggers]\nwebhooks = [\"http://a/\"]\n[triggers.commands]\nsiren = [\"/bin/siren\"]\n\
            [scaling]\nauto_scaling_groups = [\"web\"]\n[scaling.commands]\nworker = [\"/bin/worker\", \"-v\"]\n\
            [mapreduce.programs]\nwords = [\"/bin/words\"]\n";
        let config: Config = toml::from_str(text).unwrap();
        let mut options = ServeOptions::new(config.listen.unwrap());
        config.limits.apply(&mut options);
        assert_eq!(options.tails_max, 7);
        assert_eq!(config.allowed().command("siren").unwrap(), ["/bin/siren"]);
        assert_eq!(config.allowed().worker("worker").unwrap(), ["/bin/worker", "-v"]);
        assert!(config.allowed().check_auto_scaling("web").is_ok());
        assert!(config.allowed().check_auto_scaling("db").is_err());
        assert!(config.allowed().worker("siren").is_err(), "what triggers may run is no worker");
        assert_eq!(config.allowed().program("words").unwrap(), ["/bin/words"]);
        assert!(config.allowed().program("siren").is_err());
        assert!(toml::from_str::<Config>("lsiten = \"127.0.0.1:1\"").is_err());
    }
}
