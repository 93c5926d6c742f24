//! The configuration of the gateway, as its file has it.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use headwater_connectors::fill_from_environment;
use headwater_core::World;
use serde::Deserialize;

use crate::broker::{Access, BrokerOptions, User};
use crate::connector::read_password;
use crate::net::ServerTls;
use crate::topic::check_filter;

/// What the file says about MQTT.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MqttConfig {
    /// Where to listen without TLS; nowhere if only [`MqttConfig::tls`] is given.
    pub listen: Option<SocketAddr>,
    /// Where to listen with TLS.
    pub tls: Option<TlsConfig>,
    /// Whether those may come in who do not say who they are; unless set, they may if there are no users.
    pub anonymous: Option<bool>,
    /// Who is known.
    #[serde(default)]
    pub users: Vec<UserConfig>,
    /// How long a packet may be, in bytes.
    pub packet_bytes_max: Option<u32>,
    /// How many publications of one client may wait for their acknowledgement.
    pub in_flight_max: Option<u16>,
    /// How many messages may wait for one client.
    pub queue_messages_max: Option<usize>,
    /// How many bytes may wait for one client.
    pub queue_bytes_max: Option<usize>,
    /// How long a session lives without a connection, at most, in seconds.
    pub session_expiry_seconds_max: Option<u64>,
    /// How many topics may hold a retained message.
    pub retained_max: Option<usize>,
    /// How long a client may be silent at most, in seconds.
    pub keep_alive_seconds_max: Option<u64>,
    /// How many connections there may be.
    pub connections_max: Option<usize>,
    /// Whether sessions and retained messages outlive the process; they do unless this is `false`.
    pub persistence: Option<bool>,
    /// How often the broker tells about itself under `$SYS/`, in seconds; 0 is not at all.
    pub sys_interval_seconds: Option<u64>,
}

/// A port with TLS.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The certificate, in PEM.
    pub certificate: PathBuf,
    /// Its key, in PEM.
    pub key: PathBuf,
    /// Who must have signed the certificates of clients, in PEM; without it they need none.
    pub client_ca: Option<PathBuf>,
}

/// Somebody who is known.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserConfig {
    /// The name.
    pub name: String,
    /// The password; `{{ VARIABLE }}` is taken from the environment.
    password: Option<String>,
    /// A file that holds the password.
    password_file: Option<String>,
    /// Filters of the topics that may be published to, all unless given; `%u` is the name and `%c` the client's id.
    pub publish: Option<Vec<String>>,
    /// Filters of what may be subscribed to, all unless given.
    pub subscribe: Option<Vec<String>>,
}

impl fmt::Debug for UserConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserConfig").field("name", &self.name).finish_non_exhaustive()
    }
}

impl MqttConfig {
    /// A broker on a port that is open to everybody.
    pub fn open(listen: SocketAddr) -> Self {
        Self {
            listen: Some(listen),
            tls: None,
            anonymous: None,
            users: Vec::new(),
            packet_bytes_max: None,
            in_flight_max: None,
            queue_messages_max: None,
            queue_bytes_max: None,
            session_expiry_seconds_max: None,
            retained_max: None,
            keep_alive_seconds_max: None,
            connections_max: None,
            persistence: None,
            sys_interval_seconds: None,
        }
    }

    /// Where to listen, and with what.
    pub(super) fn ports(&self) -> Result<Vec<(SocketAddr, Option<ServerTls>)>, String> {
        let mut ports: Vec<_> = self.listen.map(|listen| (listen, None)).into_iter().collect();
        ports.extend(self.tls.as_ref().map(|tls| {
            let (certificate, key) = (tls.certificate.clone(), tls.key.clone());
            (tls.listen, Some(ServerTls { certificate, key, client_ca: tls.client_ca.clone() }))
        }));
        if ports.is_empty() { Err("mqtt: give listen, or tls.listen".to_owned()) } else { Ok(ports) }
    }

    /// Who may come in; the error says what cannot be used.
    pub(super) fn access(&self, world: &World) -> Result<Access, String> {
        let mut access =
            Access { anonymous: self.anonymous.unwrap_or(self.users.is_empty()), ..Access::default() };
        for user in &self.users {
            let wrong = |why: String| format!("mqtt: user {}: {why}", user.name);
            if access.users.insert(user.name.clone(), user.user(world).map_err(wrong)?).is_some() {
                return Err(wrong("there are two of that name".to_owned()));
            }
        }
        Ok(access)
    }

    /// The bounds.
    pub(super) fn options(&self) -> BrokerOptions {
        fn set<T: Copy>(given: Option<T>, option: &mut T) {
            *option = given.unwrap_or(*option);
        }
        let mut options = BrokerOptions::default();
        set(self.packet_bytes_max, &mut options.packet_bytes_max);
        set(self.in_flight_max, &mut options.in_flight_max);
        set(self.queue_messages_max, &mut options.queue_messages_max);
        set(self.queue_bytes_max, &mut options.queue_bytes_max);
        set(self.retained_max, &mut options.retained_max);
        set(self.connections_max, &mut options.connections_max);
        set(self.session_expiry_seconds_max.map(Duration::from_secs), &mut options.session_expiry_max);
        if let Some(seconds) = self.sys_interval_seconds {
            options.figures_interval = (seconds > 0).then(|| Duration::from_secs(seconds));
        }
        options.keep_alive_max = self.keep_alive_seconds_max.map(Duration::from_secs);
        // A broker that takes nothing would be none.
        options.in_flight_max = options.in_flight_max.max(1);
        options.packet_bytes_max = options.packet_bytes_max.clamp(128, 268_435_455);
        options
    }
}

impl UserConfig {
    fn user(&self, world: &World) -> Result<User, String> {
        let password = match (&self.password, &self.password_file) {
            (Some(password), None) => fill_from_environment(password)?.into_bytes().into(),
            (None, Some(path)) => read_password(path)?,
            _ => return Err("give either password or password_file".to_owned()),
        };
        for filter in [&self.publish, &self.subscribe].into_iter().flatten().flatten() {
            check_filter(filter).map_err(|why| format!("{filter:?}: {why}"))?;
        }
        let mut user = User::new(&password, world.random.next());
        user.publish.clone_from(&self.publish);
        user.subscribe.clone_from(&self.subscribe);
        Ok(user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Access, String> {
        let config = toml::from_str::<MqttConfig>(text).map_err(|error| error.to_string())?;
        config.ports()?;
        config.access(&World::real())
    }

    #[test]
    fn a_configuration_becomes_ports_users_and_bounds() {
        let text = r#"
            listen = "127.0.0.1:1883"
            packet_bytes_max = 1
            [tls]
            listen = "127.0.0.1:8883"
            certificate = "a"
            key = "b"
            [[users]]
            name = "t7"
            password = "abc"
            publish = ["plant/%u/#"]
        "#;
        let config: MqttConfig = toml::from_str(text).unwrap();
        assert_eq!(config.ports().unwrap().len(), 2);
        assert_eq!(config.options().packet_bytes_max, 128);
        assert!(!format!("{config:?}").contains("abc"), "secrets are not shown");
        let access = read(text).unwrap();
        assert!(!access.anonymous && access.users.contains_key("t7"));
        assert!(read("listen = \"127.0.0.1:1\"").unwrap().anonymous);
    }

    #[test]
    fn mistakes_are_told() {
        let told = |text: &str, what: &str| {
            let why = read(text).map(|_| ()).unwrap_err();
            assert!(why.contains(what), "{why}");
        };
        let user = |rest: &str| format!("listen = \"127.0.0.1:1\"\n[[users]]\nname = \"a\"\n{rest}");
        told("", "give listen");
        told("lsiten = \"127.0.0.1:1\"", "lsiten");
        told(&user(""), "password_file");
        told(&user("password = \"{{ NO_SUCH_VARIABLE_7 }}\""), "NO_SUCH");
        told(&user("password_file = \"/no/such/file\""), "/no/such/file");
        told(&user("password = \"x\"\npublish = [\"a#\"]"), "a level by itself");
    }
}
