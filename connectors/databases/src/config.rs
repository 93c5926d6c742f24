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
//! | `connection.max-retry-timeout` | how long an answer, or its next rows, may take before the connection is given up; 60 s unless set |
//!
//! | `lookup.cache` | `NONE` (unless set): a table is asked in each step; `PARTIAL`: what it said is kept; `FULL`: all its rows are |
//! | `lookup.partial-cache.max-rows` | of how many keys at most; 10,000 unless set |
//! | `lookup.partial-cache.expire-after-write` | for how long; as long as there is room, unless set |
//! | `lookup.partial-cache.cache-missing-key` | whether it is kept that a key has no rows; `true` unless set |
//! | `lookup.full-cache.reload-strategy` | `PERIODIC` (unless set) or `TIMED`: when all rows are read again; without these options never |
//! | `lookup.full-cache.periodic-reload.interval` | this long after they were read |
//! | `lookup.full-cache.periodic-reload.schedule-mode` | `FIXED_DELAY` (unless set), or `FIXED_RATE`: intervals from the first reading on |
//! | `lookup.full-cache.timed-reload.iso-time` | at a time of day: `10:15`, `10:15:00Z`, `10:15+02:00`; in UTC unless it says otherwise |
//! | `lookup.full-cache.timed-reload.interval-in-days` | every so many days; 1 unless set |
//! | `lookup.max-retries` | how often a question is asked again before the job fails; for as long as it takes, unless set |
//!
//! Rows are inserted; with `PRIMARY KEY (…) NOT ENFORCED` they take the place of those with their key, and retractions delete. Of
//! Flink's other options `driver` is taken and names nothing here, `sink.parallelism` can only be 1 and `lookup.async` only `false`,
//! and `sink.max-retries` is refused: an outage is waited for however long it lasts, and no row is given up.

use std::time::Duration;

use headwater_connectors::registry::MakeLookup;
use headwater_connectors::{Caching, Connector, Context, FullCache, Lookup, Result, Retries, Sink, Wanted};
use headwater_ingest::Options;

use crate::address::{Address, System};
use crate::lookup::{DatabaseLookup, DatabaseTable};
use crate::session::{Owner, Spec};
use crate::sink::{DatabaseSink, Pace};
use crate::table::{TableName, ours};

/// The last column of a changelog: how often its row is added or, below zero, retracted.
const WEIGHT: &str = "_weight";

/// Options of Flink's of which only one value is true here, if any is, and why.
const FIXED: [(&str, Option<&str>, &str); 3] = [
    ("sink.parallelism", Some("1"), "one connection writes rows and positions in one transaction"),
    (
        "sink.max-retries",
        None,
        "an outage is waited for however long it lasts, and no row is given up; leave it out",
    ),
    ("lookup.async", Some("false"), "a step asks for all its keys in one query, and waits for the answer"),
];

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
const POSTGRES: Connector = Connector {
    name: "postgres",
    summary: "inserts into or updates a table of PostgreSQL",
    sink: Some(|context, options| sink(context, options, Some(System::Postgres))),
    ..JDBC
};

/// MySQL and MariaDB.
const MYSQL: Connector = Connector {
    name: "mysql",
    summary: "inserts into or updates a table of MySQL or MariaDB",
    sink: Some(|context, options| sink(context, options, Some(System::MySql))),
    ..JDBC
};

/// Adds all of this crate to the registry.
pub fn add() {
    CONNECTORS.into_iter().for_each(headwater_connectors::registry::add);
    let makes: [(&Connector, MakeLookup); 3] = [
        (&JDBC, |context, wanted, options| lookup(&context, wanted, options, None)),
        (&POSTGRES, |context, wanted, options| lookup(&context, wanted, options, Some(System::Postgres))),
        (&MYSQL, |context, wanted, options| lookup(&context, wanted, options, Some(System::MySql))),
    ];
    for (connector, make) in makes {
        headwater_connectors::registry::add_lookup(connector.name, make);
    }
}

/// What the options say, whatever the table is used as.
struct Settings {
    address: Address,
    table: TableName,
    create: bool,
    pace: Pace,
    caching: Caching,
    retries: Retries,
}

impl Settings {
    fn take(context: &Context, options: &mut Options, system: Option<System>) -> Result<Self> {
        let address = Address::take(options, system)?;
        let table = table_name(context, options)?;
        let create = options.flag("auto.create")?.unwrap_or(false);
        let rows = options.parse::<usize>("sink.buffer-flush.max-rows")?.filter(|rows| *rows > 0);
        let interval = options.duration("sink.buffer-flush.interval")?.filter(|interval| !interval.is_zero());
        let patience = options.duration("connection.max-retry-timeout")?;
        // The class of a driver, which nobody loads here.
        options.get("driver");
        take_fixed(options)?;
        let retries = Retries::take(options)?;
        let pace = Pace {
            rows: rows.unwrap_or(8_192),
            linger: interval.unwrap_or(Duration::from_millis(200)),
            patience: patience.unwrap_or(Duration::from_secs(60)),
        };
        Ok(Self { address, table, create, pace, caching: Caching::take(options)?, retries })
    }
}

fn take_fixed(options: &mut Options) -> Result<()> {
    for (name, only, why) in FIXED {
        let is_true = |text: &str| only.is_some_and(|only| text.trim().eq_ignore_ascii_case(only));
        let wrong = || only.map_or_else(|| why.to_owned(), |only| format!("it is {only}: {why}"));
        options.parse_with(name, |text| if is_true(text) { Ok(()) } else { Err(wrong()) })?;
    }
    Ok(())
}

fn lookup(
    context: &Context,
    wanted: Wanted,
    options: &mut Options,
    system: Option<System>,
) -> Result<Box<dyn Lookup>> {
    let settings = Settings::take(context, options, system)?;
    let Settings { address, table, pace: Pace { patience, .. }, caching, retries, .. } = settings;
    Ok(match caching {
        Caching::Answers(kept) => {
            Box::new(DatabaseLookup::new(address, table, wanted, kept, patience, retries)?)
        }
        Caching::Full(reload) => {
            let table = DatabaseTable::new(address, table, &wanted, patience)?;
            Box::new(FullCache::new(table, wanted, context.world.clone(), reload, retries))
        }
    })
}

fn sink(context: Context, options: &mut Options, system: Option<System>) -> Result<Box<dyn Sink>> {
    let Settings { address, table, create, pace, .. } = Settings::take(&context, options, system)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_kept_is_refused() {
        let take = |name: &str, value: &str| {
            take_fixed(&mut Options::new("connector jdbc", [(name, value)]))
                .map_err(|error| error.to_string())
        };
        assert_eq!(take("sink.parallelism", "1"), Ok(()));
        assert_eq!(take("lookup.async", "FALSE"), Ok(()));
        for (name, value, why) in [
            ("sink.parallelism", "4", "one connection"),
            ("sink.max-retries", "3", "however long"),
            ("lookup.async", "true", "in one query"),
        ] {
            let error = take(name, value).unwrap_err();
            assert!(error.contains(name) && error.contains(why), "{error}");
        }
    }
}
