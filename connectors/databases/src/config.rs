//! The options of `jdbc`, `postgres` and `mysql`.
//!
//! | option | meaning |
//! |---|---|
//! | `url` | `jdbc:postgresql://host:port/database`, `jdbc:mysql://…`, `jdbc:mariadb://…`, also without `jdbc:` |
//! | `host`, `port`, `database` | the same in parts, for `postgres` and `mysql` |
//! | `table-name` | the table, or `schema.table`; the name of ours unless set |
//! | `username`, `password` | as whom; `{{ VARIABLE }}` is taken from the environment |
//! | `ssl.mode` | `disable`, `prefer` (unless set), `require`, `verify-ca` or `verify-full` |
//! | `ssl.root.cert`, `ssl.cert`, `ssl.key` | files: authorities (then `verify-full` unless set), our certificate, its key |
//! | `auto.create` | `true`: a table that is not there is created from our columns |
//! | `sink.buffer-flush.max-rows` | how many rows a transaction has at most; 8192 unless set |
//! | `sink.buffer-flush.interval` | how long rows wait for others; 200 ms unless set |
//! | `connection.max-retry-timeout` | how long a transaction may take before its connection is given up; 60 s unless set |
//!
//! Rows are inserted; with `PRIMARY KEY (…) NOT ENFORCED` they take the place of those with their key, and retractions delete. `driver`,
//! `sink.max-retries` and `sink.parallelism` are taken and mean nothing here: an outage is waited for however long it lasts.

use std::time::Duration;

use headwater_connectors::{Connector, Context, Result, Sink};
use headwater_ingest::Options;

use crate::address::{Address, System};
use crate::session::{Owner, Spec};
use crate::sink::{DatabaseSink, Pace};
use crate::table::{TableName, ours};

/// The last column of a changelog: how often its row is added or, below zero, retracted.
const WEIGHT: &str = "_weight";

/// All connectors of this crate, for the registry.
pub const CONNECTORS: [&Connector; 3] = [&JDBC, &POSTGRES, &MYSQL];

/// Whatever the URL says, as Flink has it.
pub const JDBC: Connector = Connector {
    name: "jdbc",
    summary: "inserts into or updates a table of PostgreSQL, MySQL or MariaDB",
    source: None,
    sink: Some(|context, options| sink(context, options, None)),
    gateway: None,
};

/// PostgreSQL, and what speaks its protocol.
pub const POSTGRES: Connector = Connector {
    name: "postgres",
    summary: "inserts into or updates a table of PostgreSQL",
    sink: Some(|context, options| sink(context, options, Some(System::Postgres))),
    ..JDBC
};

/// MySQL and MariaDB.
pub const MYSQL: Connector = Connector {
    name: "mysql",
    summary: "inserts into or updates a table of MySQL or MariaDB",
    sink: Some(|context, options| sink(context, options, Some(System::MySql))),
    ..JDBC
};

fn sink(context: Context, options: &mut Options, system: Option<System>) -> Result<Box<dyn Sink>> {
    let address = Address::take(options, system)?;
    let table = table_name(&context, options)?;
    let create = options.flag("auto.create")?.unwrap_or(false);
    let rows = options.parse::<usize>("sink.buffer-flush.max-rows")?.filter(|rows| *rows > 0);
    let interval = options.duration("sink.buffer-flush.interval")?.filter(|interval| !interval.is_zero());
    let patience = options.duration("connection.max-retry-timeout")?;
    for ignored in ["driver", "sink.max-retries", "sink.parallelism"] {
        options.get(ignored);
    }
    let pace = Pace {
        rows: rows.unwrap_or(8_192),
        linger: interval.unwrap_or(Duration::from_millis(200)),
        patience: patience.unwrap_or(Duration::from_secs(60)),
    };
    let mut schema = context.schema.clone();
    let weight = schema.fields().last().is_some_and(|field| field.name() == WEIGHT);
    if weight {
        let own: Vec<usize> = (0..schema.fields().len() - 1).collect();
        schema = std::sync::Arc::new(schema.project(&own).map_err(headwater_ingest::IngestError::from)?);
    }
    if weight && context.key.is_empty() {
        let reason = "changes are told by their key: add PRIMARY KEY (…) NOT ENFORCED";
        return Err(options.bad("format", "debezium_json", reason).into());
    }
    let spec = Spec { table, ours: ours(&schema, &context.key)?, key: context.key.clone(), create };
    let owner = Owner { sink: context.name.clone(), created: context.created.0 };
    Ok(Box::new(DatabaseSink::new(context.parking, address, spec, owner, weight, pace)))
}

fn table_name(context: &Context, options: &mut Options) -> Result<TableName> {
    let given = options.get_any(&["table-name", "table.name", "table"]);
    let name = given.unwrap_or_else(|| context.name.clone());
    TableName::parse(&name).map_err(|reason| options.bad("table-name", &name, reason).into())
}
