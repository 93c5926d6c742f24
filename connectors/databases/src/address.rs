//! Where a database is: `jdbc:postgresql://host:port/database?sslmode=require`, as JDBC writes it, and without `jdbc:`.

use std::path::PathBuf;

use headwater_ingest::{OptionError, Options};
use url::Url;

/// What speaks at the other end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum System {
    /// PostgreSQL, and what speaks its protocol.
    Postgres,
    /// MySQL and MariaDB.
    MySql,
}

impl System {
    /// The name, for people.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::MySql => "MySQL",
        }
    }
}

/// How much of TLS is asked for; the names are those of libpq's `sslmode`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tls {
    /// None.
    Disable,
    /// If the server has it.
    Prefer,
    /// Without it there is no connection; whom we speak to is not checked.
    Require,
    /// The certificate must come from an authority that is known.
    VerifyCa,
    /// And be that of the host.
    VerifyFull,
}

/// Where a database is and as whom it is asked.
#[derive(Clone)]
pub(crate) struct Address {
    pub(crate) system: System,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) database: String,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) tls: Tls,
    pub(crate) root_cert: Option<PathBuf>,
    pub(crate) client_cert: Option<PathBuf>,
    pub(crate) client_key: Option<PathBuf>,
}

/// Parameters of JDBC's URLs that say how a driver of Java's works, or what is the case here anyway.
const WITHOUT_EFFECT: [&str; 9] = [
    "allowpublickeyretrieval",
    "applicationname",
    "autoreconnect",
    "characterencoding",
    "rewritebatchedinserts",
    "rewritebatchedstatements",
    "tinyint1isbit",
    "useunicode",
    "zerodatetimebehavior",
];

impl Address {
    /// Takes the options that say where. `system` is what the connector's name says, if it does.
    pub(crate) fn take(options: &mut Options, system: Option<System>) -> Result<Self, OptionError> {
        let url = options.get_any(&["url", "jdbc.url"]);
        let mut address = match &url {
            Some(url) => {
                let reason = |reason| options.bad("url", url, reason);
                read(url).map_err(reason)?
            }
            None => without_url(options, system)?,
        };
        if let (Some(system), Some(url)) = (system, &url)
            && system != address.system
        {
            let reason = format!("the connector is for {}", system.name());
            return Err(options.bad("url", url, reason));
        }
        let secret = headwater_connectors::fill_from_environment;
        let username = options.parse_with("username", secret)?;
        let user = options.parse_with("user", secret)?;
        address.username = username.or(user).or(address.username);
        address.password = options.parse_with("password", secret)?.or(address.password);
        for name in ["ssl.mode", "ssl-mode", "sslmode"] {
            address.tls = options.parse_with(name, tls)?.unwrap_or(address.tls);
        }
        let path = |options: &mut Options, names: [&str; 2]| options.get_any(&names).map(PathBuf::from);
        address.root_cert = path(options, ["ssl.root.cert", "ssl-root-cert"]).or(address.root_cert);
        address.client_cert = path(options, ["ssl.cert", "ssl-cert"]).or(address.client_cert);
        address.client_key = path(options, ["ssl.key", "ssl-key"]).or(address.client_key);
        if address.root_cert.is_some() && matches!(address.tls, Tls::Prefer | Tls::Disable) {
            address.tls = Tls::VerifyFull;
        }
        Ok(address)
    }

    /// What is shown of it: neither user nor password.
    pub(crate) fn shown(&self) -> String {
        format!("{} at {}:{}/{}", self.system.name(), self.host, self.port, self.database)
    }
}

fn without_url(options: &mut Options, system: Option<System>) -> Result<Address, OptionError> {
    let Some(system) = system else {
        options.require("url")?;
        unreachable!("require answers an error for what get does not have")
    };
    let mut address = new(system, options.require("host")?, None, options.require("database")?);
    if let Some(port) = options.parse("port")? {
        address.port = port;
    }
    Ok(address)
}

fn new(system: System, host: String, port: Option<u16>, database: String) -> Address {
    let usual = match system {
        System::Postgres => 5432,
        System::MySql => 3306,
    };
    Address {
        system,
        host,
        port: port.unwrap_or(usual),
        database,
        username: None,
        password: None,
        tls: Tls::Prefer,
        root_cert: None,
        client_cert: None,
        client_key: None,
    }
}

fn read(text: &str) -> Result<Address, String> {
    let text = text.trim();
    let url = Url::parse(text.strip_prefix("jdbc:").unwrap_or(text)).map_err(|error| error.to_string())?;
    let system = match url.scheme() {
        "postgresql" | "postgres" => System::Postgres,
        "mysql" | "mariadb" => System::MySql,
        _ => return Err("it begins with jdbc:postgresql://, jdbc:mysql:// or jdbc:mariadb://".to_owned()),
    };
    if url.password().is_some() {
        return Err("a password in a URL would be shown: say it as password = '{{ VARIABLE }}'".to_owned());
    }
    let host = url.host_str().ok_or("it names no host")?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let database = url.path().trim_start_matches('/').to_owned();
    if database.is_empty() || database.contains('/') {
        return Err("it ends with one database, as in postgresql://host:5432/database".to_owned());
    }
    let mut address = new(system, host, url.port(), database);
    address.username = Some(url.username().to_owned()).filter(|user| !user.is_empty());
    for (name, value) in url.query_pairs() {
        parameter(&mut address, &name, &value)?;
    }
    Ok(address)
}

fn parameter(address: &mut Address, name: &str, value: &str) -> Result<(), String> {
    match name.to_ascii_lowercase().as_str() {
        "user" => address.username = Some(value.to_owned()),
        "password" => {
            return Err(
                "a password in a URL would be shown: say it as password = '{{ VARIABLE }}'".to_owned()
            );
        }
        "sslmode" | "ssl-mode" => address.tls = tls(value)?,
        "ssl" | "usessl" => {
            address.tls = if value.eq_ignore_ascii_case("true") { Tls::Require } else { Tls::Disable };
        }
        "sslrootcert" | "serversslcert" | "ssl-ca" => address.root_cert = Some(value.into()),
        "sslcert" => address.client_cert = Some(value.into()),
        "sslkey" => address.client_key = Some(value.into()),
        "servertimezone" | "connectiontimezone" if matches!(value, "UTC" | "GMT" | "Z" | "+00:00") => {}
        "servertimezone" | "connectiontimezone" => {
            return Err(format!("times are written in UTC, so {name} can only be UTC"));
        }
        name if WITHOUT_EFFECT.contains(&name) => {}
        _ => return Err(format!("the parameter {name} is not known")),
    }
    Ok(())
}

fn tls(text: &str) -> Result<Tls, String> {
    match text.trim().to_ascii_lowercase().replace('_', "-").as_str() {
        "disable" | "disabled" => Ok(Tls::Disable),
        "allow" | "prefer" | "preferred" => Ok(Tls::Prefer),
        "require" | "required" | "trust" => Ok(Tls::Require),
        "verify-ca" => Ok(Tls::VerifyCa),
        "verify-full" | "verify-identity" => Ok(Tls::VerifyFull),
        _ => Err("it is disable, prefer, require, verify-ca or verify-full".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(entries: &[(&str, &str)], system: Option<System>) -> Result<Address, String> {
        let mut options = Options::new("connector jdbc", entries.iter().copied());
        let address = Address::take(&mut options, system).map_err(|error| error.to_string())?;
        options.finish().map_err(|error| error.to_string())?;
        Ok(address)
    }

    #[test]
    fn urls_are_read_as_jdbc_writes_them() {
        let url = "jdbc:postgresql://db.example.org:6432/fleet?sslmode=verify-full&user=ana";
        let address = take(&[("url", url), ("password", "secret")], None).unwrap();
        assert_eq!(address.shown(), "PostgreSQL at db.example.org:6432/fleet");
        assert_eq!((address.username.as_deref(), address.tls), (Some("ana"), Tls::VerifyFull));
        let url =
            "jdbc:mysql://localhost/fleet?useSSL=false&serverTimezone=UTC&rewriteBatchedStatements=true";
        let address = take(&[("url", url), ("username", "bo")], None).unwrap();
        assert_eq!((address.shown().as_str(), address.tls), ("MySQL at localhost:3306/fleet", Tls::Disable));
        let parts = [("host", "::1"), ("port", "7"), ("database", "d"), ("ssl_root_cert", "/ca.pem")];
        let address = take(&parts, Some(System::Postgres)).unwrap();
        assert_eq!((address.shown().as_str(), address.tls), ("PostgreSQL at ::1:7/d", Tls::VerifyFull));
    }

    #[test]
    fn what_is_wrong_is_said_without_secrets() {
        let error = |url: &str| take(&[("url", url)], Some(System::MySql)).err().unwrap();
        assert!(error("jdbc:oracle://h/d").contains("jdbc:postgresql://"));
        assert!(error("jdbc:postgresql://h/d").contains("the connector is for MySQL"));
        assert!(error("mysql://h").contains("ends with one database"));
        assert!(error("mysql://h/d?serverTimezone=Europe/Paris").contains("only be UTC"));
        assert!(error("mysql://h/d?sslMode=maybe").contains("verify-full"));
        assert_eq!(take(&[], None).err().unwrap(), "connector jdbc needs option 'url'");
        let address = take(&[("url", "mysql://h/d"), ("password", "{{ HEADWATER_NONE }}")], None);
        let error = address.err().unwrap();
        assert!(error.contains("(hidden)") && error.contains("no HEADWATER_NONE"), "{error}");
    }
}
