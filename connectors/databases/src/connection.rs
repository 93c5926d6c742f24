//! Connects, within a bound of time.

use std::time::Duration;

use headwater_connectors::ConnectorError;
use sqlx::Connection;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlSslMode};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};

use crate::address::{Address, System, Tls};
use crate::fault::{self, fault_of};
use crate::mysql::MySql;
use crate::postgres::Postgres;
use crate::session::Session;

/// How long connecting may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(15);

/// Connects to where an address says.
pub(crate) async fn connect(address: &Address) -> Result<Box<dyn Session>, ConnectorError> {
    let shown = address.shown();
    let what = format!("connect to {shown}");
    match address.system {
        System::Postgres => {
            let options = postgres(address);
            let connection = within(&what, PgConnection::connect_with(&options)).await?;
            let connection =
                connection.map_err(|error| fault_of(&what, error, fault::postgres).whole(&what))?;
            Ok(Box::new(Postgres::new(connection, shown)))
        }
        System::MySql => {
            let options = mysql(address);
            let connection = within(&what, MySqlConnection::connect_with(&options)).await?;
            let connection = connection.map_err(|error| fault_of(&what, error, fault::mysql).whole(&what))?;
            Ok(Box::new(MySql::new(connection, shown)))
        }
    }
}

async fn within<T>(what: &str, work: impl Future<Output = T>) -> Result<T, ConnectorError> {
    let late = |_| ConnectorError::outage(what, format!("no answer within {CONNECT_PATIENCE:?}"));
    tokio::time::timeout(CONNECT_PATIENCE, work).await.map_err(late)
}

fn postgres(address: &Address) -> PgConnectOptions {
    let mode = match address.tls {
        Tls::Disable => PgSslMode::Disable,
        Tls::Prefer => PgSslMode::Prefer,
        Tls::Require => PgSslMode::Require,
        Tls::VerifyCa => PgSslMode::VerifyCa,
        Tls::VerifyFull => PgSslMode::VerifyFull,
    };
    // Nothing is taken from variables and files that psql would read: what is not said is not so.
    let mut options = PgConnectOptions::new_without_pgpass()
        .host(&address.host)
        .port(address.port)
        .database(&address.database)
        .application_name("headwater")
        .ssl_mode(mode);
    if let Some(username) = &address.username {
        options = options.username(username);
    }
    if let Some(password) = &address.password {
        options = options.password(password);
    }
    if let Some(path) = &address.root_cert {
        options = options.ssl_root_cert(path);
    }
    if let (Some(certificate), Some(key)) = (&address.client_cert, &address.client_key) {
        options = options.ssl_client_cert(certificate).ssl_client_key(key);
    }
    options
}

fn mysql(address: &Address) -> MySqlConnectOptions {
    let mode = match address.tls {
        Tls::Disable => MySqlSslMode::Disabled,
        Tls::Prefer => MySqlSslMode::Preferred,
        Tls::Require => MySqlSslMode::Required,
        Tls::VerifyCa => MySqlSslMode::VerifyCa,
        Tls::VerifyFull => MySqlSslMode::VerifyIdentity,
    };
    let mut options = MySqlConnectOptions::new()
        .host(&address.host)
        .port(address.port)
        .database(&address.database)
        .charset("utf8mb4")
        .ssl_mode(mode);
    if let Some(username) = &address.username {
        options = options.username(username);
    }
    if let Some(password) = &address.password {
        options = options.password(password);
    }
    if let Some(path) = &address.root_cert {
        options = options.ssl_ca(path);
    }
    if let (Some(certificate), Some(key)) = (&address.client_cert, &address.client_key) {
        options = options.ssl_client_cert(certificate).ssl_client_key(key);
    }
    options
}
