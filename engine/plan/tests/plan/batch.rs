//! Bounded queries over the rows so far: windows against rows computed by hand, metadata columns, inserts.

use std::sync::Arc;

use arrow::array::{Float64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::util::pretty::pretty_format_batches;
use headwater_plan::{Explained, Planner, Statement, Tables, parse_one};

use crate::fixture::{InMemory, catalog, millis, seconds};

const DDL: &str = "
CREATE STREAM readings (device STRING, ts TIMESTAMP(3), value DOUBLE, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND);
CREATE STREAM target (device STRING NOT NULL, n BIGINT, at TIMESTAMP(3));
CREATE VIEW big (who, what) AS SELECT device, value FROM readings WHERE value >= 3;
";

fn tables() -> Arc<dyn Tables> {
    let rows = [("a", 0, 1.0), ("b", 10, 2.0), ("a", 55, 3.0), ("a", 60, 4.0), ("b", 125, 5.0)];
    let fields = vec![
        Field::new("device", DataType::Utf8, true),
        Field::new("ts", millis(), true),
        Field::new("value", DataType::Float64, true),
    ];
    let devices = StringArray::from_iter_values(rows.iter().map(|row| row.0));
    let times = seconds(&rows.map(|row| row.1));
    let values = Float64Array::from_iter_values(rows.iter().map(|row| row.2));
    let batch =
        RecordBatch::try_new(Arc::new(Schema::new(fields)), vec![Arc::new(devices), times, Arc::new(values)])
            .unwrap();
    InMemory::default().with_stream("readings", batch).tables()
}

/// Runs a statement; the rows as a table.
fn run(sql: &str) -> String {
    let (catalog, tables, planner) = (catalog(DDL), tables(), Planner::new());
    let parsed = parse_one(sql).unwrap_or_else(|error| panic!("{}", error.render()));
    let plan = match &parsed.statement {
        Statement::Query(query) => planner.batch(&catalog, &tables, query),
        Statement::Insert(insert) => {
            let target = catalog.stream(&insert.target.value).unwrap();
            planner.insert(&catalog, &tables, insert, target).map(|insertion| insertion.plan)
        }
        other => panic!("{other:?}"),
    };
    let plan = plan.unwrap_or_else(|error| panic!("{}", error.render()));
    let session = planner.session();
    let rows = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(async { session.execute_logical_plan(plan).await?.collect().await })
        .unwrap();
    pretty_format_batches(&rows).unwrap().to_string()
}

/// Checks the body of the table, cells separated by single spaces.
#[track_caller]
fn check(sql: &str, expect: &[&str]) {
    let table = run(sql);
    let body: Vec<String> = table
        .lines()
        .filter(|line| line.starts_with('|'))
        .skip(1)
        .map(|line| {
            line.split('|').map(str::trim).filter(|cell| !cell.is_empty()).collect::<Vec<_>>().join(" ")
        })
        .map(|line| line.replace("1970-01-01T00:", ""))
        .collect();
    assert_eq!(body, expect, "{sql}\n{table}");
}

#[test]
fn tumble() {
    check(
        "SELECT device, window_start, window_end, window_time, count(*), sum(value) \
         FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) \
         GROUP BY device, window_start, window_end, window_time ORDER BY 2, 1",
        &[
            "a 00:00 01:00 00:59.999 2 4.0",
            "b 00:00 01:00 00:59.999 1 2.0",
            "a 01:00 02:00 01:59.999 1 4.0",
            "b 02:00 03:00 02:59.999 1 5.0",
        ],
    );
    check(
        "SELECT window_start, count(*) FROM TUMBLE(readings, ts, INTERVAL '1 minute', INTERVAL '50 seconds') \
         GROUP BY window_start ORDER BY 1",
        &["1969-12-31T23:59:50 2", "00:50 2", "01:50 1"],
    );
}

#[test]
fn table_functions_of_the_library() {
    check("SELECT value FROM generate_series(1, 1 + 2) ORDER BY 1", &["1", "2", "3"]);
    check("SELECT count(*) FROM range(0, 1000)", &["1000"]);
}

#[test]
fn hop_repeats_rows() {
    check(
        "SELECT window_start, window_end, count(*) FROM HOP(TABLE readings, DESCRIPTOR(ts), INTERVAL '30' SECOND, INTERVAL '1' MINUTE) \
         GROUP BY window_start, window_end ORDER BY 1",
        &[
            "1969-12-31T23:59:30 00:30 2",
            "00:00 01:00 3",
            "00:30 01:30 2",
            "01:00 02:00 1",
            "01:30 02:30 1",
            "02:00 03:00 1",
        ],
    );
    // A slide that does not divide the size.
    check(
        "SELECT value, window_start FROM HOP(TABLE readings, DESCRIPTOR(ts), INTERVAL '40' SECOND, INTERVAL '1' MINUTE) \
         WHERE value = 4 ORDER BY 2",
        &["4.0 00:40"],
    );
}

#[test]
fn cumulate_grows() {
    check(
        "SELECT window_start, window_end, sum(value) FROM CUMULATE(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' MINUTE, INTERVAL '3' MINUTE) \
         GROUP BY window_start, window_end ORDER BY 2",
        &["00:00 01:00 6.0", "00:00 02:00 10.0", "00:00 03:00 15.0"],
    );
}

#[test]
fn sessions_end_a_gap_after_their_last_row() {
    check(
        "SELECT device, window_start, window_end, count(*) FROM \
         SESSION(TABLE readings PARTITION BY device, DESCRIPTOR(ts), INTERVAL '55' SECOND) \
         GROUP BY device, window_start, window_end ORDER BY 1, 2",
        // Rows exactly a gap apart belong together.
        &["a 00:00 01:55 3", "b 00:10 01:05 1", "b 02:05 03:00 1"],
    );
    check(
        "SELECT window_start, window_end, count(*) FROM SESSION(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' MINUTE) \
         GROUP BY window_start, window_end ORDER BY 1",
        &["00:00 02:00 4", "02:05 03:05 1"],
    );
    // A condition above the window does not change the sessions.
    check(
        "SELECT window_start, count(*) FROM SESSION(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' MINUTE) \
         WHERE device = 'b' GROUP BY window_start ORDER BY 1",
        &["00:00 1", "02:05 1"],
    );
}

#[test]
fn arroyos_spelling_gives_the_same() {
    check(
        "SELECT device, tumble(INTERVAL '1 minute') AS w, count(*) AS n FROM readings GROUP BY device, w ORDER BY n DESC, w",
        &[
            "a {start: 00:00, end: 01:00} 2",
            "b {start: 00:00, end: 01:00} 1",
            "a {start: 01:00, end: 02:00} 1",
            "b {start: 02:00, end: 03:00} 1",
        ],
    );
    check(
        "SELECT device, w['end'] FROM (SELECT device, session(INTERVAL '1 minute') AS w FROM readings GROUP BY 1, 2) ORDER BY 1, 2",
        &["a 02:00", "b 01:10", "b 03:05"],
    );
}

#[test]
fn flinks_windows_in_group_by_give_the_same() {
    check(
        "SELECT device, TUMBLE_START(ts, INTERVAL '1' MINUTE) AS s, TUMBLE_END(ts, INTERVAL '1' MINUTE) AS e, count(*) AS n FROM readings \
         GROUP BY device, TUMBLE(ts, INTERVAL '1' MINUTE) ORDER BY n DESC, s, device",
        &["a 00:00 01:00 2", "b 00:00 01:00 1", "a 01:00 02:00 1", "b 02:00 03:00 1"],
    );
    check(
        "SELECT r.device, SESSION_END(r.ts, INTERVAL '1' MINUTE) AS e FROM readings AS r \
         GROUP BY r.device, SESSION(r.ts, INTERVAL '1' MINUTE) ORDER BY 1, 2",
        &["a 02:00", "b 01:10", "b 03:05"],
    );
}

#[test]
fn windows_go_with_any_sql() {
    check(
        "WITH w AS (SELECT device, window_end, sum(value) AS total FROM TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' MINUTE) \
         GROUP BY device, window_end) \
         SELECT a.device, a.total, b.total FROM w AS a JOIN w AS b ON a.window_end = b.window_end AND a.device < b.device",
        &["a 4.0 2.0"],
    );
}

#[test]
fn metadata_columns_show_when_named() {
    check("SELECT * FROM readings LIMIT 1", &["a 00:00 1.0"]);
    check(
        "SELECT *, _sequence FROM readings WHERE _sequence >= 3 ORDER BY _sequence",
        &["a 01:00 4.0 3", "b 02:05 5.0 4"],
    );
    check("SELECT r.*, r._shard FROM readings AS r ORDER BY _arrival DESC LIMIT 1", &["b 02:05 5.0 0"]);
    check("SELECT * FROM (SELECT value, _sequence FROM readings) WHERE _sequence = 1", &["2.0 1"]);
    check("WITH readings AS (SELECT 7 AS _sequence) SELECT *, _sequence + 1 AS next FROM readings", &["7 8"]);
    check("SELECT count(*), max(_sequence) FROM readings", &["5 4"]);
    check(
        "SELECT max(_sequence) FROM TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' DAY) GROUP BY window_end",
        &["4"],
    );
}

#[test]
fn views_rename_columns() {
    check("SELECT who, sum(what) FROM big GROUP BY who ORDER BY 1", &["a 7.0", "b 5.0"]);
}

#[test]
fn inserts_fit_their_target() {
    check("INSERT INTO target VALUES ('x', 1, '1970-01-01 00:00:05')", &["x 1 00:05"]);
    check(
        "INSERT INTO target (n, device) SELECT count(*), device FROM readings GROUP BY device ORDER BY 2",
        &["a 3", "b 2"],
    );
}

#[test]
fn explain_tells_batch_from_stream() {
    let explain = |sql: &str| {
        let parsed = parse_one(sql).unwrap();
        let Statement::Explain(explain) = &parsed.statement else { panic!("{sql}") };
        Planner::new().explain(&catalog(DDL), &tables(), explain).unwrap()
    };
    let Explained::Text(text) = explain("EXPLAIN SELECT * FROM readings ORDER BY ts") else { panic!() };
    assert!(text.starts_with("batch plan, over the rows so far; no stream: ORDER BY has no end"), "{text}");
    assert!(text.contains("Sort: readings.ts"), "{text}");
    let Explained::Text(text) = explain("EXPLAIN SELECT device FROM readings") else { panic!() };
    assert!(
        text.starts_with("streaming plan\nProject: device [append-only; no state]\n  StreamScan: readings"),
        "{text}"
    );
    assert!(matches!(explain("EXPLAIN BATCH SELECT * FROM readings"), Explained::Run(_)));
    assert!(matches!(explain("EXPLAIN ANALYZE SELECT * FROM readings"), Explained::Run(_)));
}

#[test]
fn definitions_are_checked_when_they_are_made() {
    let check = |sql: &str| Planner::new().check(&catalog(DDL), &tables(), &parse_one(sql).unwrap());
    check("CREATE VIEW v AS SELECT device FROM readings ORDER BY ts").unwrap();
    check("CREATE MATERIALIZED VIEW m AS SELECT device, count(*) FROM readings GROUP BY device").unwrap();
    check("CREATE JOB j AS INSERT INTO target SELECT device, 1, ts FROM readings").unwrap();
    check("SHOW JOBS").unwrap();
    for bad in [
        "CREATE VIEW v AS SELECT devise FROM readings",
        "CREATE VIEW v (a, b) AS SELECT device FROM readings",
        "CREATE MATERIALIZED VIEW m AS SELECT device FROM readings ORDER BY ts",
        "CREATE JOB j AS INSERT INTO target SELECT device, count(*) FROM readings GROUP BY device",
    ] {
        assert!(check(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_static_partition_is_a_column_that_is_the_same_in_all_rows() {
    check(
        "INSERT INTO target PARTITION (device = 'z') SELECT count(*), NULL FROM readings WHERE device = 'a'",
        &["z 3"],
    );
    check(
        "INSERT INTO target PARTITION (device = 'z', n = -7) (at) SELECT ts FROM readings WHERE value > 4",
        &["z -7 02:05"],
    );
    check(
        "INSERT INTO target PARTITION (n = 3000000000) VALUES ('a', NULL), ('b', NULL)",
        &["a 3000000000", "b 3000000000"],
    );
    check(
        "INSERT INTO target PARTITION (n = 5) (device) (SELECT device FROM readings WHERE value = 2) UNION ALL SELECT 'c'",
        &["b 5", "c 5"],
    );
}

#[test]
fn the_first_rows_of_each_key_are_joined_from_a_lateral_subquery() {
    let firsts = [
        "SELECT k.device, f.value FROM (SELECT DISTINCT device FROM readings) AS k \
         CROSS JOIN LATERAL (SELECT value FROM readings r WHERE r.device = k.device ORDER BY value DESC LIMIT 2) AS f \
         ORDER BY 1, 2 DESC",
        // Without a name, in the words of Flink's documentation, and as `*`.
        "SELECT kind, value FROM (SELECT DISTINCT device AS kind FROM readings) keys, \
         LATERAL (SELECT value FROM readings WHERE device = keys.kind ORDER BY value DESC FETCH FIRST 2 ROWS ONLY) ORDER BY 1, 2 DESC",
        "SELECT * FROM (SELECT DISTINCT device FROM readings) AS k LEFT JOIN LATERAL \
         (SELECT value * 1 AS worth FROM readings r WHERE (k.device = r.device AND r.value > 0) ORDER BY worth DESC LIMIT 2) AS f (w) \
         ON TRUE ORDER BY 1, 2 DESC",
    ];
    for first in firsts {
        check(first, &["a 4.0", "a 3.0", "b 5.0", "b 2.0"]);
    }
    // Rows that are not distinct have theirs each; a row without any stays in a LEFT JOIN.
    check(
        "SELECT k.d, f.* FROM (VALUES ('b'), ('b'), ('x')) AS k (d) LEFT JOIN LATERAL \
         (SELECT r.device, value FROM readings r WHERE r.device = k.d ORDER BY 2 LIMIT 1) AS f ON TRUE ORDER BY 1",
        &["b b 2.0", "b b 2.0", "x"],
    );
}

#[test]
fn names_of_the_default_catalog_and_fetch_are_read_as_in_flink() {
    for from in [
        "default_catalog.default_database.readings",
        "default_database.readings",
        "`default_catalog`.`default_database`.`readings`",
    ] {
        check(
            &format!("SELECT value FROM {from} ORDER BY value DESC FETCH FIRST 2 ROWS ONLY"),
            &["5.0", "4.0"],
        );
    }
    check("SELECT value FROM readings ORDER BY value OFFSET 1 ROWS FETCH NEXT ROW ONLY", &["2.0"]);
    check(
        "INSERT INTO default_catalog.default_database.target (device) \
         SELECT default_database.readings.device FROM default_database.readings WHERE value = 2",
        &["b"],
    );
    let parsed = parse_one("CREATE STREAM default_catalog.default_database.s (a INT)").unwrap();
    let Statement::CreateStream(create) = &parsed.statement else { panic!("{:?}", parsed.statement) };
    assert_eq!(create.name.value, "s");
}

/// SQL of DataFusion's generic dialect that is neither standard SQL nor Flink's.
#[test]
fn queries_are_spelled_as_datafusion_reads_them() {
    let cases: &[(&str, &[&str])] = &[
        // FROM first, and TABLE.
        ("FROM readings SELECT value WHERE value > 3 ORDER BY value DESC", &["5.0", "4.0"]),
        ("FROM readings ORDER BY value LIMIT 1", &["a 00:00 1.0"]),
        ("TABLE big", &["a 3.0", "a 4.0", "b 5.0"]),
        ("SELECT count(*) FROM (FROM readings) AS r JOIN (FROM big) AS b ON r.device = b.who", &["8"]),
        ("WITH r AS (FROM readings SELECT value) FROM r SELECT max(value)", &["5.0"]),
        (
            "FROM TUMBLE(readings, ts, INTERVAL '1' DAY) SELECT window_end, count(*) GROUP BY window_end",
            &["1970-01-02T00:00:00 5"],
        ),
        // Pipes.
        (
            "FROM readings |> WHERE value > 1 |> SELECT device, value |> ORDER BY value DESC |> LIMIT 2",
            &["b 5.0", "a 4.0"],
        ),
        (
            "FROM readings |> AGGREGATE count(*) AS n, max(value) GROUP BY device |> ORDER BY n",
            &["b 2 5.0", "a 3 4.0"],
        ),
        (
            "SELECT device, value FROM readings |> EXTEND value * 2 AS twice |> WHERE twice > 8 |> AS r |> SELECT r.twice",
            &["10.0"],
        ),
        ("FROM readings AS r |> WHERE r.value > 3 |> ORDER BY r.value DESC", &["b 02:05 5.0", "a 01:00 4.0"]),
        (
            "FROM readings AS r |> JOIN big AS b ON r.value = b.what |> WHERE r.device = 'a' |> SELECT b.who, r.value |> ORDER BY value",
            &["a 3.0", "a 4.0"],
        ),
        ("SELECT max(v) FROM (FROM readings |> WHERE device = 'a' |> SELECT value AS v) AS x", &["4.0"]),
        (
            "SELECT value FROM readings |> UNION ALL (SELECT 9.0) |> WHERE value > 4 |> ORDER BY value",
            &["5.0", "9.0"],
        ),
        // Others.
        ("SELECT value FROM readings ORDER BY value LIMIT 1, 2", &["2.0", "3.0"]),
        (
            "SELECT EXTRACT('second' FROM ts), EXTRACT('year' FROM ts) FROM readings WHERE value = 3",
            &["55 1970"],
        ),
        (
            "SELECT round(corr(y := value, x := value), 3) AS a, round(corr(x => -value, y => value), 3) AS b FROM readings",
            &["1.0 -1.0"],
        ),
        (
            "SELECT count(*) FROM TUMBLE(DATA := TABLE readings, TIMECOL := DESCRIPTOR(ts), SIZE := INTERVAL '1' DAY)",
            &["5"],
        ),
        ("SELECT device, value, FROM readings WHERE value = 2", &["b 2.0"]),
        ("SELECT count(*), FROM readings", &["5"]),
        ("SELECT 1, 2,", &["1 2"]),
        // What is not the end of a list.
        (
            "SELECT value, offset, view FROM (SELECT value, 7 AS offset, 8 AS view FROM readings WHERE value = 2)",
            &["2.0 7 8"],
        ),
        ("WITH r (SELECT value FROM readings) SELECT sum(value) FROM r", &["15.0"]),
        ("WITH r (v) AS (SELECT value FROM readings) SELECT sum(v) FROM r", &["15.0"]),
    ];
    for (sql, expect) in cases {
        check(sql, expect);
    }
}

#[test]
fn first_and_last_values_leave_nulls_out_as_in_flink() {
    // Rows in order of arrival, and by n.
    let rows = "(VALUES (1, NULL), (2, 4), (3, -99), (4, 3), (5, NULL)) AS t (n, x)";
    for (ends, expect) in [
        ("first_value(x), last_value(x)", "4 3"),
        ("FIRST_VALUE(x ORDER BY n), LAST_VALUE(x ORDER BY n), LAST_VALUE(x ORDER BY n DESC)", "4 3 4"),
        ("last_value(x ORDER BY n) IGNORE NULLS AS a, last_value(x IGNORE NULLS ORDER BY n) AS b", "3 3"),
        (
            "coalesce(last_value(x ORDER BY n) RESPECT NULLS, 7) AS a, coalesce(last_value(x RESPECT NULLS ORDER BY n), 7) AS b",
            "7 7",
        ),
        ("last_value(x ORDER BY n) FILTER (WHERE x < 0)", "-99"),
        ("coalesce(last_value(x ORDER BY n) FILTER (WHERE n = 5), 7)", "7"),
    ] {
        check(&format!("SELECT {ends} FROM {rows}"), &[expect]);
    }
    // With OVER they are what standard SQL says.
    check(
        &format!(
            "SELECT coalesce(last_value(x) OVER (ORDER BY n), 7), coalesce(last_value(x) IGNORE NULLS OVER (ORDER BY n), 7) \
             FROM {rows} ORDER BY n"
        ),
        &["7 7", "4 4", "-99 -99", "3 3", "7 3"],
    );
}

#[test]
fn a_column_is_found_by_a_name_that_differs_in_capital_letters_alone() {
    check(
        "SELECT userId, `userId` + 1, x.USERID AS again, `Other` FROM (SELECT 1 AS `userId`, 2 AS other) AS x \
         WHERE x.userid = 1 GROUP BY userId, other",
        &["1 2 1 2"],
    );
    // A name that is there is what it says.
    check("SELECT userid, `userId` FROM (SELECT 1 AS `userId`, 2 AS userid) AS x", &["2 1"]);
}

#[test]
fn of_columns_with_one_name_the_second_gets_another() {
    let header = |sql: &str| {
        let table = run(sql);
        let line = table.lines().find(|line| line.starts_with('|')).unwrap();
        line.split_whitespace().filter(|cell| *cell != "|").collect::<Vec<_>>().join(" ")
    };
    for (sql, expect) in [
        ("SELECT device, device, DEVICE FROM readings", "device device0 device1"),
        ("SELECT x.device, y.device FROM readings x JOIN readings y ON x.value = y.value", "device device0"),
        ("SELECT device, value AS device, 1 AS device0 FROM readings", "device device1 device0"),
        ("SELECT 1 AS n, 1 AS n", "n n0"),
        ("SELECT device, CAST(device AS STRING) FROM readings", "device EXPR$1"),
        ("SELECT t.device0 FROM (SELECT device, device FROM readings) AS t", "device0"),
    ] {
        assert_eq!(header(sql), expect, "{sql}");
    }
    check("SELECT COUNT(*), COUNT(*), 7, 7 FROM readings", &["5 5 7 7"]);
    check("INSERT INTO target SELECT 'x', 1, NULL", &["x 1"]);
}
