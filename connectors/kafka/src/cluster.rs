//! A cluster: how to reach it, and what its errors mean.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use headwater_connectors::{ConnectorError, Result, fill_from_environment};
use headwater_ingest::{OptionError, Options};
use headwater_log::TopicError;
use parking_lot::Mutex;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// How long a request to the cluster may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// How to reach a cluster.
#[derive(Clone)]
pub(crate) struct Cluster {
    config: ClientConfig,
    /// What is shown of it.
    servers: String,
}

impl Cluster {
    /// Takes `properties.*`, `client_configs.*` and the servers.
    pub fn take(options: &mut Options) -> Result<Self> {
        let mut given = BTreeMap::new();
        for prefix in ["client-configs.", "properties."] {
            for (name, value) in options.with_prefix(prefix) {
                let value = fill_from_environment(&value)
                    .map_err(|reason| options.bad(&format!("{prefix}{name}"), &value, reason))?;
                given.insert(name, value);
            }
        }
        if let Some(servers) = options.get("bootstrap-servers") {
            given.entry("bootstrap.servers".to_owned()).or_insert(servers);
        }
        let Some(servers) = given.get("bootstrap.servers").cloned() else {
            let (owner, name) = (options.owner().to_owned(), "properties.bootstrap.servers".to_owned());
            return Err(OptionError::Missing { owner, name }.into());
        };
        translate(&mut given).map_err(|(name, reason)| {
            options.bad(&format!("properties.{name}"), &given.get(&name).cloned().unwrap_or_default(), reason)
        })?;
        let mut config = ClientConfig::new();
        config.set("client.id", "headwater").set_log_level(RDKafkaLogLevel::Warning);
        for (name, value) in &given {
            config.set(name, value);
            config
                .create_native_config()
                .map_err(|error| options.bad(&format!("properties.{name}"), value, reason_of(&error)))?;
        }
        Ok(Self { config, servers })
    }

    /// The value of a property.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.config.get(name)
    }

    /// Whether messages become shorter on their way.
    pub fn compresses(&self) -> bool {
        ["compression.type", "compression.codec"]
            .iter()
            .any(|name| self.get(name).is_some_and(|kind| kind != "none"))
    }

    /// Sets a property, unless the user has.
    pub fn default(&mut self, name: &str, value: &str) {
        if self.config.get(name).is_none() {
            self.config.set(name, value);
        }
    }

    /// The settings of a client, with these on top.
    pub fn config(&self, own: &[(&str, &str)]) -> ClientConfig {
        let mut config = self.config.clone();
        for (name, value) in own {
            config.set(*name, *value);
        }
        config
    }

    /// The settings without those that only a consumer knows, so that a producer does not warn of them.
    pub fn producer_config(&self, own: &[(&str, &str)]) -> ClientConfig {
        let mut config = self.config(own);
        for name in [
            "group.id",
            "isolation.level",
            "auto.offset.reset",
            "enable.auto.commit",
            "fetch.queue.backoff.ms",
            "max.partition.fetch.bytes",
        ] {
            config.remove(name);
        }
        config
    }

    /// What an error means for a connector. What clients have noted besides says more than most errors do.
    pub fn failed(&self, what: &str, error: &KafkaError, notes: &Notes) -> ConnectorError {
        let what = format!("{what} at {}", self.servers);
        match judge(error, notes) {
            (reason, true) => ConnectorError::refused(what, reason),
            (reason, false) => ConnectorError::outage(what, reason),
        }
    }

    /// What an error means for a log.
    pub fn topic_error(&self, what: &str, error: &KafkaError, notes: &Notes) -> TopicError {
        let what = format!("{what} at {}", self.servers);
        match judge(error, notes) {
            (reason, true) => TopicError::Refused { what, reason },
            (reason, false) => TopicError::Outage { what, reason },
        }
    }

    /// A refusal for a log that is ours.
    pub fn topic_refused(&self, what: &str, reason: String) -> TopicError {
        TopicError::Refused { what: format!("{what} at {}", self.servers), reason }
    }

    /// A refusal that is ours.
    pub fn refused(&self, what: &str, reason: impl ToString) -> ConnectorError {
        ConnectorError::refused(format!("{what} at {}", self.servers), reason)
    }

    /// An outage that is ours.
    pub fn outage(&self, what: &str, reason: impl ToString) -> ConnectorError {
        ConnectorError::outage(format!("{what} at {}", self.servers), reason)
    }
}

/// The last thing that a client has noted about its connections: most errors say only that time was up.
#[derive(Clone, Default)]
pub(crate) struct Notes(Arc<Mutex<Option<(RDKafkaErrorCode, String)>>>);

impl Notes {
    /// Keeps a note. A refusal is not pushed aside by the outages that follow from it.
    pub fn keep(&self, error: &KafkaError, reason: &str) {
        let Some(code) = error.rdkafka_error_code() else { return };
        let mut newest = self.0.lock();
        // That brokers are down follows from something that was said before.
        let adds = code != RDKafkaErrorCode::AllBrokersDown;
        if newest.as_ref().is_none_or(|(kept, _)| adds && !is_final(*kept)) {
            *newest = Some((code, reason.to_owned()));
        }
    }

    /// Whether what was noted stays until somebody changes something.
    pub fn is_final(&self) -> bool {
        self.newest().is_some_and(|(code, _)| is_final(code))
    }

    fn newest(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.0.lock().clone()
    }
}

/// What an error says, with what clients have noted besides, and whether it stays until somebody changes something.
fn judge(error: &KafkaError, notes: &Notes) -> (String, bool) {
    let note = notes.newest();
    let reason = match &note {
        Some((_, note)) => format!("{}; {note}", reason_of(error)),
        None => reason_of(error),
    };
    let codes = [error.rdkafka_error_code(), note.map(|(code, _)| code)];
    (reason, is_about_settings(error) || codes.into_iter().flatten().any(is_final))
}

/// Whether no client could be made of the settings: those that contradict each other, files that are not there.
fn is_about_settings(error: &KafkaError) -> bool {
    match error {
        KafkaError::ClientConfig(..) => true,
        // That there are no more threads or file handles for it passes.
        KafkaError::ClientCreation(reason) => {
            !reason.contains("thread") && !reason.contains("Too many open files")
        }
        _ => false,
    }
}

/// Whether an error stays until somebody changes something.
fn is_final(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::Authentication
            | RDKafkaErrorCode::SaslAuthenticationFailed
            | RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::TransactionalIdAuthorizationFailed
            | RDKafkaErrorCode::UnsupportedSASLMechanism
            | RDKafkaErrorCode::InvalidTopic
            | RDKafkaErrorCode::InvalidReplicationFactor
            | RDKafkaErrorCode::MessageSizeTooLarge
    )
}

/// What an error says, without the values of settings.
fn reason_of(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, reason, _, _) | KafkaError::ClientCreation(reason) => reason.clone(),
        KafkaError::Transaction(error) => error.string(),
        other => match other.rdkafka_error_code() {
            Some(code) => code.to_string(),
            None => other.to_string(),
        },
    }
}

/// Puts what only Java's clients know into the words of librdkafka.
fn translate(given: &mut BTreeMap<String, String>) -> std::result::Result<(), (String, String)> {
    if let Some(jaas) = given.get("sasl.jaas.config") {
        let field = |name: &str| {
            let (_, after) = jaas.split_once(&format!("{name}="))?;
            let quote = after.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
            Some(after[1..].split_once(quote)?.0.to_owned())
        };
        let (Some(user), Some(password)) = (field("username"), field("password")) else {
            let reason = "it holds no username=\"…\" and password=\"…\"; set properties.sasl.username and \
                          properties.sasl.password";
            return Err(("sasl.jaas.config".to_owned(), reason.to_owned()));
        };
        given.remove("sasl.jaas.config");
        given.insert("sasl.username".to_owned(), user);
        given.insert("sasl.password".to_owned(), password);
    }
    if let Some(store) = given.get("ssl.truststore.location").cloned() {
        if !given.get("ssl.truststore.type").is_some_and(|kind| kind.eq_ignore_ascii_case("pem")) {
            let reason = "it is read in PEM only: set properties.ssl.ca.location to a PEM file";
            return Err(("ssl.truststore.location".to_owned(), reason.to_owned()));
        }
        given.retain(|name, _| !name.starts_with("ssl.truststore."));
        given.insert("ssl.ca.location".to_owned(), store);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(given: &[(&str, &str)]) -> Result<Cluster> {
        Cluster::take(&mut Options::new("connector kafka", given.iter().copied()))
    }

    fn told(given: &[(&str, &str)]) -> String {
        take(given).err().unwrap().to_string()
    }

    #[test]
    fn properties_are_passed_on_and_checked() {
        let servers = ("bootstrap_servers", "a:9092");
        let cluster = take(&[servers, ("properties.fetch.min.bytes", "7")]).unwrap();
        assert_eq!(cluster.get("fetch.min.bytes"), Some("7"));
        assert_eq!(cluster.get("bootstrap.servers"), Some("a:9092"));
        assert_eq!(told(&[]), "connector kafka needs option 'properties.bootstrap.servers'");
        let text = told(&[servers, ("properties.fetch.min.byte", "7")]);
        assert!(text.contains("'properties.fetch.min.byte'"), "{text}");
        assert!(text.contains("No such configuration property"), "{text}");
    }

    #[test]
    fn settings_of_which_no_client_can_be_made_are_refused() {
        for (name, value) in [("acks", "1"), ("ssl.ca.location", "/no/such/file.pem")] {
            let property = format!("properties.{name}");
            let given = [("bootstrap_servers", "127.0.0.1:1"), ("properties.security.protocol", "ssl")];
            let cluster = take(&[given[0], given[1], (property.as_str(), value)]).unwrap();
            let made: rdkafka::error::KafkaResult<rdkafka::producer::BaseProducer> =
                cluster.producer_config(&[("enable.idempotence", "true")]).create();
            let error = cluster.failed("connect", &made.err().unwrap(), &Notes::default());
            assert!(!error.is_retryable() && error.to_string().contains(name), "{error}");
        }
        let cluster = take(&[("bootstrap_servers", "a:1")]).unwrap();
        let error = KafkaError::ClientCreation("Unable to create broker thread".to_owned());
        assert!(cluster.failed("connect", &error, &Notes::default()).is_retryable());
    }

    #[test]
    fn secrets_of_java_are_understood_and_never_shown() {
        let servers = ("bootstrap_servers", "a:9092");
        let login = "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"u\" \
                     password=\"hunter2\";";
        let cluster = take(&[servers, ("properties.sasl.jaas.config", login)]).unwrap();
        assert_eq!(
            (cluster.get("sasl.username"), cluster.get("sasl.password")),
            (Some("u"), Some("hunter2"))
        );
        let text = told(&[servers, ("properties.sasl.jaas.config", "password=hunter2")]);
        assert!(!text.contains("hunter2"), "{text}");
        let text = told(&[servers, ("properties.sasl.password", "{{ HEADWATER_NO_SUCH_VARIABLE }}")]);
        assert!(text.contains("the environment has no HEADWATER_NO_SUCH_VARIABLE"), "{text}");
    }
}
