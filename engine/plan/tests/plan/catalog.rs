//! The catalog: what refers to what, and that the same statements give the same catalog.

use headwater_plan::{Catalog, Change, Entry, parse_one};

use crate::fixture::catalog;

const DDL: &str = "
CREATE STREAM s (a INT, ts TIMESTAMP);
CREATE STREAM t (a INT);
CREATE VIEW v AS SELECT a FROM s;
CREATE JOB j AS INSERT INTO t SELECT a FROM v WHERE a > (SELECT 1);
";

fn apply(catalog: &Catalog, sql: &str) -> Result<Change, String> {
    let parsed = parse_one(sql).unwrap();
    catalog.apply(&parsed).map(|(_, change)| change).map_err(|error| error.to_string())
}

#[track_caller]
fn refused(sql: &str, expect: &str) {
    assert_eq!(apply(&catalog(DDL), sql).unwrap_err(), expect, "{sql}");
}

#[test]
fn nothing_goes_while_it_is_used() {
    refused("DROP STREAM s", "stream 's' is used by view v at line 1, column 13; drop what uses it first");
    refused("DROP VIEW v", "view 'v' is used by job j at line 1, column 11; drop what uses it first");
    refused("DROP STREAM t", "stream 't' is used by job j at line 1, column 13; drop what uses it first");
    assert!(matches!(apply(&catalog(DDL), "DROP JOB j"), Ok(Change::Dropped(Entry::Job(_)))));
    let without = catalog(&format!("{DDL} DROP JOB j; DROP VIEW v; DROP STREAM s;"));
    assert_eq!(without.names().collect::<Vec<_>>(), ["t"]);
}

#[test]
fn windows_count_as_uses() {
    let script = "CREATE STREAM s (ts TIMESTAMP, WATERMARK FOR ts AS ts);
        CREATE VIEW w AS SELECT * FROM TUMBLE(s, ts, INTERVAL '1' HOUR);";
    assert!(apply(&catalog(script), "DROP STREAM s").unwrap_err().contains("used by view w"));
}

#[test]
fn names_clash() {
    refused(
        "CREATE VIEW s AS SELECT 1",
        "the name 's' is taken by a stream at line 1, column 13; choose another name, or DROP STREAM s first",
    );
    assert!(matches!(
        apply(&catalog(DDL), "CREATE STREAM IF NOT EXISTS s (b INT)"),
        Ok(Change::Unchanged(_))
    ));
    assert!(matches!(
        apply(&catalog(DDL), "CREATE OR REPLACE VIEW v AS SELECT 2 AS a"),
        Ok(Change::Replaced(_))
    ));
    refused(
        "CREATE OR REPLACE VIEW v AS SELECT * FROM v",
        "the view 'v' would refer to itself at line 1, column 1",
    );
    assert!(matches!(apply(&catalog(DDL), "DROP VIEW IF EXISTS x"), Ok(Change::Unchanged(_))));
}

#[test]
fn drops_say_what_there_is() {
    refused("DROP STREAM v", "'v' is a view, not a stream at line 1, column 13; DROP VIEW v");
    refused("DROP STREAM tt", "there is no stream 'tt' at line 1, column 13; did you mean 't'?");
    refused(
        "CREATE JOB k AS INSERT INTO v SELECT 1",
        "a job cannot write into the view 'v' at line 1, column 29; write into a stream: CREATE STREAM",
    );
}

#[test]
fn streams_change() {
    let grown = catalog(&format!(
        "{DDL} ALTER STREAM s ADD COLUMN c DOUBLE; ALTER STREAM s SET (retention = '1 day');"
    ));
    let stream = grown.stream("s").unwrap();
    assert_eq!(stream.schema.fields().len(), 3);
    assert_eq!(stream.retention.age.map(|age| age.as_secs()), Some(86_400));
    refused("ALTER STREAM s ADD COLUMN a INT", "stream 's' has a column 'a' already at line 1, column 14");
    refused(
        "ALTER STREAM s ADD COLUMN c INT NOT NULL",
        "a column added to a stream cannot be NOT NULL: its old rows have no 'c' at line 1, column 14; leave NOT NULL out",
    );
    assert!(
        apply(&catalog(DDL), "ALTER STREAM s SET (shards = 3)").unwrap_err().contains("cannot be changed")
    );
}
