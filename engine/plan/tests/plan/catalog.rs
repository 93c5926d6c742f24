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

#[test]
fn columns_get_wider_types() {
    let ddl = "CREATE STREAM w (k STRING NOT NULL, n INT NOT NULL, f FLOAT, d DECIMAL(10, 2), ts TIMESTAMP(3), m AS f * 2, \
               WATERMARK FOR ts AS ts) PARTITIONED BY (k);";
    let after = catalog(&format!(
        "{ddl} ALTER TABLE w MODIFY (n BIGINT NOT NULL, d DECIMAL(12, 2)); ALTER STREAM w ALTER COLUMN ts TYPE TIMESTAMP(6); \
         ALTER STREAM w ALTER n TYPE BIGINT"
    ));
    let stream = after.stream("w").unwrap();
    let columns = stream.schema.fields().iter();
    let columns: Vec<String> = columns
        .map(|field| format!("{} {} {}", field.name(), field.data_type(), field.is_nullable()))
        .collect();
    assert_eq!(
        columns,
        [
            "k Utf8 false",
            "n Int64 false",
            "f Float32 true",
            "d Decimal128(12, 2) true",
            "ts Timestamp(µs) true"
        ]
    );
    // As it is declared anew it may be NULL, as in Flink.
    let after = catalog(&format!("{ddl} ALTER TABLE w MODIFY n DOUBLE"));
    let field = after.stream("w").unwrap().schema.field(1).clone();
    assert_eq!((field.data_type(), field.is_nullable()), (&arrow::datatypes::DataType::Float64, true));
    for (change, told) in [
        ("MODIFY n SMALLINT", "'n' is INT and cannot become SMALLINT: rows that are there may have values"),
        ("MODIFY n FLOAT", "'n' is INT and cannot become FLOAT"),
        ("MODIFY n STRING", "or CAST this one in a view"),
        ("MODIFY d DECIMAL(12, 3)", "'d' is DECIMAL(10, 2) and cannot become DECIMAL(12, 3)"),
        ("MODIFY ts TIMESTAMP(9)", "nanoseconds reach from 1677 to 2262 alone"),
        ("MODIFY ts TIMESTAMP_LTZ(6)", "cannot become TIMESTAMP_LTZ(6)"),
        ("MODIFY d DECIMAL(12, 2) NOT NULL", "'d' may be NULL and must stay so"),
        ("MODIFY (n BIGINT, nn BIGINT)", "stream 'w' has no column 'nn' at line 1, column 34"),
        ("MODIFY m DOUBLE", "'m' of 'w' is computed from others"),
        ("MODIFY f DOUBLE", "'m' of 'w' is computed from 'f'"),
        ("ALTER COLUMN k TYPE STRING", "'w' is PARTITIONED BY 'k'"),
    ] {
        let error = apply(&catalog(ddl), &format!("ALTER STREAM w {change}")).unwrap_err();
        assert!(error.contains(told), "{change}: {error}");
    }
    let changes =
        "CREATE STREAM w (k STRING, n INT, PRIMARY KEY (k) NOT ENFORCED) WITH (format = 'debezium-json')";
    let error = apply(&catalog(changes), "ALTER STREAM w MODIFY n BIGINT").unwrap_err();
    assert!(error.contains("'w' holds changes, whose columns stay as they are"), "{error}");
    let unchanged = apply(&catalog(ddl), "ALTER STREAM w ALTER n TYPE INT").unwrap();
    assert!(matches!(&unchanged, Change::Unchanged(why) if why == "the columns of w are of these types"));
}

#[test]
fn a_connector_can_be_told_otherwise_but_not_be_another() {
    let ddl = "CREATE TABLE o (a INT) WITH (connector = 'kafka', bootstrap_servers = 'h:1', topic = 'o', format = 'json');";
    let altered = catalog(&format!("{ddl} ALTER TABLE o SET (topic = 'p', 'bootstrap-servers' = 'h:2')"));
    let options = &altered.stream("o").unwrap().options;
    assert_eq!(options.get("topic").map(String::as_str), Some("p"));
    assert_eq!(options.get("bootstrap-servers").map(String::as_str), Some("h:2"));
    assert_eq!(options.get("bootstrap_servers"), None, "it is the same option");
    for (change, told) in [
        ("SET (connector = 'mqtt')", "'connector' of a table cannot be changed"),
        ("SET (type = 'source')", "'type' of a table cannot be changed"),
        ("ADD COLUMN b INT", "'o' has the columns of what its connector reads or writes"),
        ("MODIFY a BIGINT", "'o' has the columns of what its connector reads or writes"),
    ] {
        let error = apply(&catalog(ddl), &format!("ALTER TABLE o {change}")).unwrap_err();
        assert!(error.contains(told), "{error}");
    }
}

#[test]
fn an_archive_is_of_one_stream_and_keeps_it() {
    let ddl =
        format!("{DDL} CREATE ARCHIVE a FOR s TO 's3://bucket/s' WITH (partition = 'day', sort = 'a');");
    let expect =
        |sql: &str, expect: &str| assert_eq!(apply(&catalog(&ddl), sql).unwrap_err(), expect, "{sql}");
    expect(
        "DROP STREAM s",
        "stream 's' is used by archive a, view v at line 1, column 13; drop what uses it first",
    );
    expect("CREATE ARCHIVE b FOR s TO '/x'", "stream 's' has the archive a already at line 1, column 22");
    expect(
        "CREATE ARCHIVE b FOR v TO '/x'",
        "the view 'v' has no rows of its own to archive at line 1, column 22",
    );
    expect("CREATE ARCHIVE b FOR x TO '/x'", "there is no stream 'x' at line 1, column 22");
    assert!(matches!(apply(&catalog(&ddl), "DROP ARCHIVE a"), Ok(Change::Dropped(Entry::Archive(_)))));
}

#[test]
fn an_archives_options_are_checked() {
    let refused = |options: &str| {
        let sql = format!("CREATE ARCHIVE a FOR s TO '/x' WITH ({options})");
        parse_one(&sql).unwrap_err().to_string()
    };
    assert!(refused("partitoin = 'day'").contains("did you mean 'partition'?"));
    assert!(refused("partition = 'week'").contains("none, day or hour"));
    assert!(refused("'parquet.compression' = 'zstd(40)'").contains("zstd(22)"));
    assert!(refused("'upload.part-size' = '1 MiB'").contains("at least '5 MiB'"));
    assert!(refused("'sink.rolling-policy.row-count' = 0").contains("from 1 on"));
    let parsed = parse_one(
        "CREATE ARCHIVE IF NOT EXISTS a FOR s TO '/x' WITH ('target-file-size' = '1 MiB', 'rollover-seconds' = 30, \
         'parquet.compression' = 'zstd(9)', 'parquet.bloom-filter.columns' = 'a, ts', 'parquet.page-index.columns' = 'ts')",
    );
    let headwater_plan::Statement::CreateArchive(create) = parsed.unwrap().statement else {
        panic!("not an archive")
    };
    let archive = create.definition;
    assert_eq!((archive.roll_bytes, archive.roll_age.as_secs()), (1 << 20, 30));
    assert_eq!(archive.codec, headwater_plan::ArchiveCodec::Zstd(9));
    assert_eq!((archive.bloom, archive.page_index), (vec!["a".into(), "ts".into()], Some(vec!["ts".into()])));
}

#[test]
fn a_replay_has_a_speed() {
    let speed = |sql: &str| match parse_one(sql).unwrap().statement {
        headwater_plan::Statement::Replay(replay) => replay.speed,
        other => panic!("{other:?}"),
    };
    assert_eq!(speed("REPLAY JOB j AT SPEED 60 FROM '2026-01-01'"), Some(60.0));
    assert_eq!(speed("REPLAY JOB j INTO x AT SPEED 0.5"), Some(0.5));
    assert_eq!(speed("REPLAY JOB j AT FULL SPEED"), None);
    assert!(parse_one("REPLAY JOB j AT SPEED 0").unwrap_err().to_string().contains("'0' is no speed"));
}

#[test]
fn names_without_quotes_are_kept_as_they_were_written_for_records() {
    let catalog = catalog(
        "CREATE STREAM s (userId INT, `orderId` INT, plain INT, at ROW<placeName STRING, `inQuotes` INT>, total AS userId + 1);
         CREATE STREAM l (Other INT) LIKE s;
         ALTER STREAM s ADD COLUMN lastOne INT;
         CREATE STREAM none (plain INT)",
    );
    let kept =
        |name: &str| catalog.stream(name).unwrap().options.get("field-names").cloned().unwrap_or_default();
    assert_eq!(kept("s"), "userId,placeName,lastOne");
    assert_eq!(kept("l"), "userId,placeName,Other");
    assert_eq!(kept("none"), "");
    let columns: Vec<_> =
        catalog.stream("s").unwrap().schema.fields().iter().map(|field| field.name()).collect();
    assert_eq!(columns, ["userid", "orderId", "plain", "at", "lastone"]);
}
