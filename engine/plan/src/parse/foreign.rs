//! What Flink's SQL has and this has not: it is known by its words, and refused with the reason and what to say instead.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Query, Spanned, TableFactor, Visitor};

use super::reader::{Reader, name_of, position};
use crate::error::{Mistake, Result, SqlError};
use crate::script::Script;
use crate::walk::Walk;

/// First words, why there is no such statement, and what to say instead.
type Foreign = (&'static str, &'static str, &'static str);

const NO_REPLACE: &str = "a table is not replaced while others read it";
const REPLACE_HINT: &str = "DROP TABLE IF EXISTS name; CREATE TABLE name ...";
const NO_PLANS: &str = "plans are not kept in files: a job is planned from its text, and keeps its state";
const PLANS_HINT: &str = "CREATE JOB name AS INSERT INTO ...; EXPLAIN shows the plan";
const ONE_CATALOG: &str = "there is one catalog, without databases";

const STATEMENTS: [Foreign; 20] = [
    (
        "INSERT OVERWRITE",
        "there is no INSERT OVERWRITE: rows of a log do not change",
        "INSERT INTO; DROP the target and create it anew to begin with nothing",
    ),
    ("REPLACE TABLE", NO_REPLACE, REPLACE_HINT),
    ("CREATE OR REPLACE TABLE", NO_REPLACE, REPLACE_HINT),
    ("CREATE CATALOG", ONE_CATALOG, "CREATE TABLE ... WITH (connector = 'jdbc', ...) for each of its tables"),
    ("DROP CATALOG", ONE_CATALOG, "DROP TABLE name"),
    (
        "CREATE MODEL",
        "there are no models",
        "a model as a function: CREATE FUNCTION f(x DOUBLE) RETURNS DOUBLE LANGUAGE WASM USING FILE '...'",
    ),
    (
        "CREATE MATERIALIZED TABLE",
        "there are no materialized tables and no freshness: a view is kept up to date step by step",
        "CREATE MATERIALIZED VIEW name AS SELECT ...",
    ),
    ("COMPILE PLAN", NO_PLANS, PLANS_HINT),
    ("EXECUTE PLAN", NO_PLANS, PLANS_HINT),
    ("CALL", "there is no CALL", "a function: SELECT f(...), CREATE FUNCTION f(...) RETURNS ..."),
    (
        "STOP JOB",
        "there are no savepoints: the state of a job is in its checkpoints",
        "PAUSE JOB name, RESUME JOB name; DROP JOB name ends it",
    ),
    ("ALTER DATABASE", ONE_CATALOG, "leave it out: nothing depends on it"),
    ("ALTER VIEW", "a view is not altered", "CREATE OR REPLACE VIEW name AS SELECT ..."),
    ("SHOW COLUMNS", "columns are described", "DESCRIBE name"),
    (
        "SHOW PARTITIONS",
        "folders of files are not kept track of",
        "SELECT DISTINCT the columns of PARTITIONED BY",
    ),
    ("SHOW CATALOGS", ONE_CATALOG, "SHOW TABLES"),
    ("SHOW DATABASES", ONE_CATALOG, "SHOW TABLES"),
    ("SHOW CURRENT", ONE_CATALOG, "SHOW TABLES"),
    (
        "SHOW MODULES",
        "there are no modules: functions are built in, or made by CREATE FUNCTION",
        "SHOW FUNCTIONS",
    ),
    ("SHOW JARS", "there are no JARs: connectors and formats are built in", "SHOW USER FUNCTIONS"),
];

/// Refuses a statement that is none here.
pub(super) fn refuse_statement(reader: &Reader) -> Result<()> {
    refuse(reader, &STATEMENTS)
}

const ANEW: &str =
    "CREATE TABLE under another name, LIKE this one: EXCLUDING and OVERWRITING say what is different";
const IN_A_VIEW: &str = "CREATE VIEW name AS SELECT ... FROM t";
const NO_PARTITIONS: &str = "folders of files are made by the rows that go there";

/// Behind `ALTER TABLE name`.
const CHANGES: [Foreign; 11] = [
    ("ADD WATERMARK FOR", "a watermark is declared with the table: jobs have read it without", ANEW),
    (
        "ADD PRIMARY KEY",
        "a key is declared with the table: rows that are there were not told apart by it",
        ANEW,
    ),
    (
        "ADD CONSTRAINT",
        "a key is declared with the table: rows that are there were not told apart by it",
        ANEW,
    ),
    ("ADD DISTRIBUTION", "there are no buckets", "PARTITIONED BY in CREATE says which rows stay together"),
    ("ADD PARTITION", NO_PARTITIONS, "INSERT INTO t SELECT ..., value of the column"),
    ("DROP PARTITION", NO_PARTITIONS, "remove the folder where it lies"),
    ("RENAME TO", "a table keeps its name: jobs and sinks know it by that", IN_A_VIEW),
    ("RENAME", "a column keeps its name: jobs and connectors know it by that", IN_A_VIEW),
    ("DROP WATERMARK", "a watermark stays as it was declared: jobs tell time by it", ANEW),
    ("DROP", "a column or key stays: rows that are there have it", IN_A_VIEW),
    ("RESET", "an option goes back to what it was by being set", "ALTER TABLE t SET ('key' = 'value')"),
];

/// Behind `MODIFY`, where a column stands.
const COMPONENTS: [Foreign; 2] = [
    ("WATERMARK FOR", "a watermark stays as it was declared: jobs tell time by it", ANEW),
    ("PRIMARY KEY", "a key stays as it was declared: rows that are there are told apart by it", ANEW),
];

/// Refuses to change what is no column.
pub(super) fn refuse_component(reader: &Reader) -> Result<()> {
    refuse(reader, &COMPONENTS)
}

/// Refuses a change of a stream or table that is none here. What adds a column is none of these, whatever its name.
pub(super) fn refuse_change(reader: &Reader) -> Result<()> {
    let adds_column = reader.sees("ADD PARTITION") && reader.peek_word(2).is_some();
    if adds_column { Ok(()) } else { refuse(reader, &CHANGES) }
}

fn refuse(reader: &Reader, all: &[Foreign]) -> Result<()> {
    match all.iter().find(|(words, ..)| reader.sees(words)) {
        Some((_, message, hint)) => Err(mistake(reader, message, hint)),
        None => Ok(()),
    }
}

/// Refuses `DISTRIBUTED BY` in CREATE TABLE.
pub(super) fn refuse_buckets(reader: &Reader) -> Result<()> {
    if !reader.sees("DISTRIBUTED") {
        return Ok(());
    }
    let hint =
        "PARTITIONED BY (key) says which rows stay together; WITH (shards = 4) how many shards a stream has";
    Err(mistake(reader, "there are no buckets", hint))
}

/// Refuses a class of the JVM as a function: `CREATE FUNCTION f AS 'com.example.F'`.
pub(super) fn refuse_class(reader: &Reader) -> Result<()> {
    if !reader.sees("AS") {
        return Ok(());
    }
    let hint = "CREATE FUNCTION f(x BIGINT) RETURNS BIGINT AS 'x + 1', or LANGUAGE WASM USING FILE '...'";
    Err(mistake(reader, "a function is SQL or WebAssembly: classes of the JVM are not loaded", hint))
}

fn mistake(reader: &Reader, message: &str, hint: &str) -> SqlError {
    SqlError::new(Mistake::Syntax, message).at(reader.position(), reader.script()).hint(hint)
}

/// What to say instead of a LATERAL subquery.
pub(crate) const LATERAL_HINT: &str = "join all of it by the key: its first rows are ROW_NUMBER() OVER (PARTITION BY key ORDER BY x) <= n \
    in a subquery, its aggregates GROUP BY key";

/// What such a LATERAL subquery is that runs.
const FIRST_ROWS_HINT: &str = "LATERAL (SELECT x FROM t WHERE t.k = o.k ORDER BY x LIMIT n), with the other table's columns by its name; \
    or join by the key: ROW_NUMBER() OVER (PARTITION BY key ORDER BY x) <= n in a subquery, aggregates by GROUP BY key";

/// Refuses what the parser knows in a query and nobody would do.
pub(super) fn refuse_in_query(query: &Query, script: &Script) -> Result<()> {
    match query.walk(&mut InQuery { script }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct InQuery<'a> {
    script: &'a Script,
}

impl Visitor for InQuery<'_> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<SqlError> {
        let Some(fetch) = &query.fetch else { return ControlFlow::Continue(()) };
        let error = SqlError::new(Mistake::NotStreaming, format!("'{fetch}' does not run"));
        let error = error
            .hint("FETCH FIRST n ROWS ONLY, or LIMIT n; ties: RANK() OVER (ORDER BY x) <= n in a subquery");
        ControlFlow::Break(error.at(position(query.span().start), self.script))
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<SqlError> {
        let (message, hint) = match factor {
            TableFactor::Pivot { .. } => (
                "there is no PIVOT",
                "a column for each value: SELECT key, SUM(x) FILTER (WHERE kind = 'a') AS a, ... GROUP BY key",
            ),
            TableFactor::Unpivot { .. } => (
                "there is no UNPIVOT",
                "a row for each column: SELECT key, 'a' AS kind, a AS x FROM t UNION ALL SELECT key, 'b', b FROM t",
            ),
            TableFactor::Table { sample: Some(_), .. } | TableFactor::Derived { sample: Some(_), .. } => (
                "there is no TABLESAMPLE: a replay would read other rows",
                "choose rows by their values: WHERE _sequence % 10 = 0",
            ),
            TableFactor::Derived { lateral: true, subquery, .. }
                if subquery.limit_clause.is_some() || subquery.fetch.is_some() =>
            {
                ("a LATERAL subquery with LIMIT runs only if it is the first rows of a key", FIRST_ROWS_HINT)
            }
            TableFactor::Function { lateral: true, name, .. }
                if name_of(name).eq_ignore_ascii_case("table") =>
            {
                (
                    "there are no table functions of the user's",
                    "a function that gives an array: CROSS JOIN UNNEST(f(x)) AS t(column), or LEFT JOIN UNNEST(f(x)) AS t(column) ON TRUE",
                )
            }
            _ => return ControlFlow::Continue(()),
        };
        let error = SqlError::new(Mistake::NotStreaming, message).hint(hint);
        ControlFlow::Break(error.at(position(factor.span().start), self.script))
    }
}
