//! What an error of a database means: the row's fault, an outage, or a refusal that stays.

use headwater_connectors::ConnectorError;

/// Why a statement failed.
#[derive(Debug)]
pub(crate) enum Fault {
    /// A row breaks a rule of the database's; without it the others would be taken.
    Row(String),
    /// Everything else.
    Connector(ConnectorError),
}

impl From<ConnectorError> for Fault {
    fn from(error: ConnectorError) -> Self {
        Self::Connector(error)
    }
}

impl Fault {
    /// The fault as the connector's error, where no single row can be to blame.
    pub(crate) fn whole(self, what: &str) -> ConnectorError {
        match self {
            Self::Row(reason) => ConnectorError::refused(what, reason),
            Self::Connector(error) => error,
        }
    }
}

/// What kind of trouble a code of a database's means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Meaning {
    Row,
    Outage,
    Refused,
}

/// What an error means, `judge` says it of a database's own codes.
pub(crate) fn fault_of(
    what: &str,
    error: sqlx::Error,
    judge: fn(&dyn sqlx::error::DatabaseError) -> Meaning,
) -> Fault {
    let reason = match &error {
        sqlx::Error::Database(error) => said(&**error),
        other => headwater_core::causes(other),
    };
    match &error {
        sqlx::Error::Database(error) => match judge(&**error) {
            Meaning::Row => Fault::Row(reason),
            Meaning::Outage => ConnectorError::outage(what, reason).into(),
            Meaning::Refused => ConnectorError::refused(what, reason).into(),
        },
        // A value that the driver cannot write.
        sqlx::Error::Encode(_) => Fault::Row(reason),
        sqlx::Error::Configuration(_) => ConnectorError::refused(what, reason).into(),
        _ => ConnectorError::outage(what, reason).into(),
    }
}

fn said(error: &dyn sqlx::error::DatabaseError) -> String {
    let detail = error
        .try_downcast_ref::<sqlx::postgres::PgDatabaseError>()
        .and_then(|error| error.detail())
        .map(|detail| format!(": {detail}"))
        .unwrap_or_default();
    let code = error.code().map(|code| format!(" ({code})")).unwrap_or_default();
    format!("{}{detail}{code}", error.message())
}

/// PostgreSQL's classes of SQLSTATE, <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
pub(crate) fn postgres(error: &dyn sqlx::error::DatabaseError) -> Meaning {
    let code = error.code().unwrap_or_default().into_owned();
    match code.get(..2).unwrap_or_default() {
        // Bad values, broken constraints, two rows of one key by the database's own ideas of equality, views' checks, triggers' refusals,
        // rows that are too large.
        "22" | "23" | "21" | "44" | "P0" => Meaning::Row,
        "54" => Meaning::Row,
        // Who we are, what there is, what we may.
        "28" | "3D" | "3F" | "0A" => Meaning::Refused,
        "42" => Meaning::Refused,
        _ => Meaning::Outage,
    }
}

/// MySQL's and MariaDB's numbers; those of the class 23 of SQLSTATE and these are a row's fault.
pub(crate) fn mysql(error: &dyn sqlx::error::DatabaseError) -> Meaning {
    let number =
        error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>().map_or(0, |error| error.number());
    let code = error.code().unwrap_or_default().into_owned();
    match number {
        // Locks that were not to be had.
        1205 | 1213 | 3572 => Meaning::Outage,
        // Out of range, cut off, wrong, too long, no number, signalled, a broken CHECK, bad JSON, a packet that is too large.
        1264 | 1265 | 1292 | 1366 | 1367 | 1406 | 1411 | 1425 | 1644 | 1690 | 3140 | 3819 | 4025 | 1153 => {
            Meaning::Row
        }
        // No rights, no such user, database, table or column; a statement that is not understood; read-only.
        1044 | 1045 | 1049 | 1054 | 1064 | 1142 | 1143 | 1146 | 1698 => Meaning::Refused,
        _ => match code.get(..2).unwrap_or_default() {
            "22" | "23" | "45" => Meaning::Row,
            "42" | "28" => Meaning::Refused,
            _ => Meaning::Outage,
        },
    }
}
