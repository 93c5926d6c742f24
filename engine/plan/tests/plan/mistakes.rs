//! The most likely mistakes, and what is said about each: message, place, hint.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use headwater_plan::statement::Statement;
use headwater_plan::{Mistake, Planner, SqlError, Target, parse_one};

use crate::fixture::{InMemory, catalog, check_snapshot};

const DDL: &str = "
CREATE STREAM weather (station STRING, ts TIMESTAMP(3), temp DOUBLE, wind DOUBLE, hour INT,
    WATERMARK FOR ts AS ts - INTERVAL '5' SECOND);
CREATE STREAM fleet (device STRING, ts TIMESTAMP, load DOUBLE, WATERMARK FOR ts AS ts - INTERVAL '1' MINUTE PER device);
CREATE STREAM raw (id BIGINT, value DOUBLE, at TIMESTAMP, label STRING);
CREATE STREAM hourly (station STRING, started TIMESTAMP(3), highest DOUBLE, n INT);
CREATE STREAM rates (currency STRING, ts TIMESTAMP(3), rate DOUBLE, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND, 
    PRIMARY KEY (currency) NOT ENFORCED);
CREATE STREAM states (device STRING, ts TIMESTAMP(3), load DOUBLE, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND,
    PRIMARY KEY (device) NOT ENFORCED) WITH ('changelog.mode' = 'upsert');
CREATE STREAM strict (a INT NOT NULL, b INT);
CREATE STREAM costs (label STRING, price DOUBLE, cost AS price * 2);
CREATE STREAM tardy (station STRING, temp BIGINT, lateness BIGINT);
CREATE TABLE out WITH (connector = 'kafka', type = 'sink');
CREATE JOB j AS INSERT INTO hourly SELECT station, ts, temp, hour FROM weather;
";

const CASES: &[&str] = &[
    // Syntax.
    "SELEC 1",
    "SELECT 1 FROM",
    "SELECT (1",
    "CREATE STREM s (a INT)",
    "CREATE STREAM s (a INT b INT)",
    "CREATE STREAM s",
    "SELECT 'abc",
    "SHOW STREMS",
    "SELECT 1 SELECT 2",
    "CREATE ALARM a ON weather STATISTIC avg(temp) WITH (comparison = '>', threshold = 1)",
    "CREATE ALARM a ON weather STATISTIC avg(temp) PERIOD '90 s' WITH (comparison = '>', threshold = 1)",
    "CREATE ALARM a ON weather STATISTIC median(temp) PERIOD '1 minute' WITH (comparison = '>', threshold = 1)",
    "CREATE ALARM a ON weather STATISTIC avg(temp) PERIOD '1 minute' WITH (threshold = 1)",
    "CREATE ALARM a ON weather STATISTIC avg(temp) PERIOD '1 minute' WITH (comparison = '=', threshold = 1)",
    "CREATE ALARM a ON weather STATISTIC avg(temp) PERIOD '1 minute' WITH (comparison = '>', treshold = 1, threshold = 2)",
    "CREATE ALARM a ON weather STATISTIC avg(temp) PERIOD '1 minute' WITH (comparison = '>', threshold = 1, datapoints_to_alarm = 2)",
    "CREATE ALARM a ON weather STATISTIC avg(temp) PERIOD '1 hour' WITH (comparison = '>', threshold = 1, evaluation_periods = 200)",
    "CREATE ALARM a ON weather STATISTIC avg(tmep) PERIOD '1 minute' WITH (comparison = '>', threshold = 1)",
    "CREATE ALARM a ON raw STATISTIC avg(value) PERIOD '1 minute' WITH (comparison = '>', threshold = 1)",
    "CREATE ALARM a ON fleet STATISTIC avg(load) PERIOD '1 minute' DIMENSIONS (device) WITH (comparison = '>', threshold = 1)",
    "CREATE ALARM a ON (SELECT id, value FROM raw) WITH (period = '1 minute', comparison = '>', threshold = 1)",
    "CREATE ALARM a ON (SELECT ts, temp FROM weather) WITH (period = '1 minute', comparison = '>', threshold = 1)",
    "CREATE COMPOSITE ALARM a AS ALARM(b",
    "CREATE COMPOSITE ALARM a AS ALARM(b) XOR OK(c)",
    "CREATE COMPOSITE ALARM a AS ALARM(b)",
    "CREATE COMPOSITE ALARM a AS TRUE",
    "CREATE SCALING POLICY p ON ALARM a WITH (type = step)",
    "CREATE SCALING POLICY p ON weather STATISTIC avg(temp) PERIOD '1 minute' WITH (target = 0)",
    "CREATE SCALING POLICY p SCHEDULE '0 25 * * *' WITH (min = 1)",
    "CREATE SCALING POLICY p SCHEDULE '0 8 * * *' WITH (min = 1, time_zone = 'Berlin')",
    "CREATE SCALING POLICY p SCHEDULE '0 8 * * *' WITH (min = 1, start_time = 'soon')",
    "CREATE SCALING POLICY p SCHEDULE '0 8 * * *' WITH (min = 1, start_time = '2026-03-02', end_time = '2026-03-01')",
    "CREATE SCALING POLICY p SCHEDULE AT 'noon' WITH (min = 1)",
    "CREATE SCALING POLICY p SCHEDULE AT '2026-03-01' WITH (min = 1, time_zone = 'Europe/Berlin')",
    "CREATE SCALING GROUP g POLICIES (nothing) WITH (min = 1, max = 2)",
    "CREATE SCALING GROUP g POLICIES (nothing) WITH (min = 3, max = 2)",
    "ALTER ALARM a SET STATE 'LOUD' REASON 'x'",
    "ALTER ALARM a SET STATE 'OK'",
    "ALTER ALARM a SET (threshold = 3)",
    "ALTER TRIGGER t SET (rate = '1 per minute')",
    "ALTER SCALING POLICY p SET (by = 2)",
    "ALTER ARCHIVE a SET (x = 1)",
    "CREATE ALARM a ON weather STATISTIC max(temp) PERIOD '1 minute' WITH (comparison = '>', threshold = 1) EXECUTE WEBHOOK 'x'",
    "ALTER SCALING GROUP g SET (size = 1)",
    "ALTER SCALING GROUP g SET (min = -1)",
    "ALTER SCALING GROUP g SET (honor_cooldown = true)",
    "DELETE FROM raw",
    "CREATE SINK s FROM raw WITH (connector = 'kafka')",
    "CREATE JOB k AS SELECT * FROM raw",
    // Definitions.
    "CREATE STREAM s (a INTT)",
    "CREATE STREAM s (a STRNG)",
    "CREATE STREAM s (a INT, a INT)",
    "CREATE STREAM s (a INT, _shard INT)",
    "CREATE STREAM S-1 (a INT)",
    "CREATE STREAM system.x (a INT)",
    "CREATE STREAM s (a INT) WITH (shard = 3)",
    "CREATE STREAM s (a INT) WITH (shards = 0)",
    "CREATE STREAM s (a INT) WITH (retention = 'a week')",
    "CREATE STREAM s (a INT) WITH (durability = 'paper')",
    "CREATE STREAM s (a INT) WITH (shards = 1, shards = 2)",
    "CREATE STREAM s (a INT, WATERMARK FOR a AS a)",
    "CREATE STREAM s (ts TIMESTAMP, WATERMARK FOR tz AS ts)",
    "CREATE STREAM s (ts TIMESTAMP, WATERMARK FOR ts AS tss - INTERVAL '1' SECOND)",
    "CREATE STREAM s (a INT) PARTITIONED BY (b)",
    "CREATE STREAM s (a INT, b AS c + 1)",
    "CREATE STREAM s (a INT, b AS a + 1, c AS b * 2)",
    "CREATE STREAM s (a INT, b AS max(a))",
    "CREATE STREAM s (a INT, b AS (SELECT max(id) FROM raw))",
    "CREATE STREAM s (a INT, b AS uuid())",
    "CREATE STREAM s (a INT, b AS a + 1, PRIMARY KEY (b) NOT ENFORCED)",
    "CREATE STREAM s (a INT, b AS a + 1) PARTITIONED BY (b)",
    "CREATE STREAM s (a BIGINT, ts AS a / 1000, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND)",
    "CREATE STREAM s (a INT, at AS PROCTIME(), WATERMARK FOR at AS at)",
    "CREATE STREAM s (a INT, ms BIGINT, ts AS TO_TIMESTAMP_LTZ(ms, 3), PRIMARY KEY (a) NOT ENFORCED, WATERMARK FOR ts AS ts) \
     WITH (format = 'debezium-json')",
    "CREATE STREAM s LIKE hurly",
    "CREATE STREAM s (rate INT) LIKE rates",
    "INSERT INTO costs (label, cost) SELECT label, value FROM raw",
    "EXECUTE STATEMENT SET BEGIN SELECT 1; END",
    "CREATE STREAM s (a INT) WITH (connector = 'kafka', type = 'sink')",
    "CREATE TABLE s (a INT)",
    // Names.
    "SELECT tmep FROM weather",
    "SELECT w.humidity FROM weather AS w",
    "SELECT station FROM wether",
    "SELECT * FROM j",
    "SELECT a.station FROM weather AS a, weather AS b WHERE station = 'x'",
    "SELECT maxx(temp) FROM weather",
    "SELECT station, max(temp) FROM weather",
    "SELECT temp + station FROM weather",
    "SELECT abs(station) FROM weather",
    // Windows.
    "SELECT count(*) FROM TUMBLE(TABLE raw, DESCRIPTOR(at), INTERVAL '1' HOUR) GROUP BY window_end",
    "SELECT count(*) FROM TUMBLE(TABLE weather, DESCRIPTOR(temp), INTERVAL '1' HOUR) GROUP BY window_end",
    "SELECT count(*) FROM TUMBLE(TABLE weather, DESCRIPTOR(tss), INTERVAL '1' HOUR) GROUP BY window_end",
    "SELECT count(*) FROM TUMBLE(TABLE weather, DESCRIPTOR(ts)) GROUP BY window_end",
    "SELECT count(*) FROM TUMBLE(TABLE weather, DESCRIPTOR(ts), 60) GROUP BY window_end",
    "SELECT count(*) FROM TUMBLE(TABLE weather, DESCRIPTOR(ts), INTERVAL '1' MONTH) GROUP BY window_end",
    "SELECT count(*) FROM TUMBEL(TABLE weather, DESCRIPTOR(ts), INTERVAL '1' HOUR) GROUP BY window_end",
    "SELECT count(*) FROM HOP(TABLE weather, DESCRIPTOR(ts), SIZE => INTERVAL '1' HOUR, SLYDE => INTERVAL '1' HOUR) GROUP BY window_end",
    "SELECT count(*) FROM CUMULATE(TABLE weather, DESCRIPTOR(ts), INTERVAL '1' DAY, INTERVAL '1' HOUR) GROUP BY window_end",
    "SELECT count(*) FROM TUMBLE(TABLE fleet, DESCRIPTOR(ts), INTERVAL '1' HOUR) GROUP BY window_end",
    "SELECT device, count(*) FROM SESSION(TABLE fleet PARTITION BY device, DESCRIPTOR(ts), INTERVAL '1' HOUR) WHERE load > 1 GROUP BY device, window_end",
    "SELECT tumble(INTERVAL '1 hour'), count(*) FROM raw GROUP BY 1",
    "SELECT TUMBLE_START(at, INTERVAL '1' HOUR), count(*) FROM raw GROUP BY TUMBLE(at, INTERVAL '1' HOUR)",
    "SELECT count(*) FROM weather GROUP BY TUMBLE(ts + INTERVAL '1' DAY, INTERVAL '1' HOUR)",
    "SELECT * FROM raw /*+ OPTIONS('csv.ignore-parse-errors' = 'true') */",
    "SELECT * FROM raw /*+ OPTIONS('scan.startup.mode' = 'latest') */",
    "SELECT * FROM raw /*+ OPTIONS('scan.startup.mode' = 'group-offsets') */",
    "SELECT * FROM raw /*+ OPTIONS('scan.startup.mode' = 'timestamp') */",
    "SELECT * FROM raw /*+ OPTIONS('scan.startup.timestamp-millis' = '17') */",
    "SELECT * FROM raw /*+ OPTIONS('scan.startup.mode' = 'latest-offset') LOOKUP('t' = 'u') */",
    "SELECT * FROM raw AS r /*+ OPTIONS('scan.startup.mode' = 'latest-offset') */",
    "INSERT INTO hourly /*+ OPTIONS('scan.startup.mode' = 'latest-offset') */ SELECT station, ts, temp, hour FROM weather",
    "CREATE VIEW v AS SELECT * FROM raw /*+ OPTIONS('scan.startup.mode' = 'latest-offset') */",
    "WITH r AS (SELECT * FROM raw) SELECT * FROM r /*+ OPTIONS('scan.startup.mode' = 'latest-offset') */",
    // Two columns that differ in capital letters alone.
    "SELECT userid FROM (SELECT id AS `userId`, value AS `USERID` FROM raw) AS x",
    // The watermark of a row.
    "SELECT count(*) FILTER (WHERE ts > CURRENT_WATERMARK(ts)) FROM weather",
    "SELECT label, CURRENT_WATERMARK(at) FROM raw",
    "SELECT CURRENT_WATERMARK(ts + INTERVAL '1' SECOND) FROM weather",
    "SELECT CURRENT_WATERMARK(ts) FROM fleet",
    "SELECT CURRENT_WATERMARK(window_time) FROM (SELECT window_time FROM TUMBLE(TABLE weather, DESCRIPTOR(ts), INTERVAL '1' HOUR) GROUP BY window_start, window_end, window_time)",
    "SELECT tumble(INTERVAL '1 hour') AS w, temp FROM weather",
    "SELECT hop(INTERVAL '1 hour') AS w, count(*) FROM weather GROUP BY w",
    "SELECT count(*) FROM TUMBLE(TABLE (SELECT max(ts) AS ts FROM weather GROUP BY station), DESCRIPTOR(ts), INTERVAL '1' DAY) GROUP BY window_end",
    "SELECT window_end, count(*) FROM SESSION(TABLE states, DESCRIPTOR(ts), INTERVAL '1' HOUR) GROUP BY window_start, window_end",
    "SELECT count(*) FROM TUMBLE(TABLE (SELECT a.ts FROM weather a JOIN raw b ON a.hour = b.id LEFT JOIN raw c ON b.id = c.id), \
     DESCRIPTOR(ts), INTERVAL '1' HOUR) GROUP BY window_end",
    "INSERT INTO hourly SELECT device, window_end, max(load), CAST(count(*) AS INT) FROM TUMBLE(TABLE states, DESCRIPTOR(ts), INTERVAL '1' HOUR) \
     GROUP BY device, window_end LATE DATA TO tardy",
    // Not as a stream.
    "SELECT * FROM weather ORDER BY ts",
    "SELECT * FROM weather LIMIT 10",
    "SELECT /*+ STATE_TTL('w' = '1 day') */ station, count(*) OVER (PARTITION BY station ORDER BY ts) FROM weather AS w",
    "SELECT station FROM (SELECT /*+ STATE_TTL('w' = '1 day') */ *, ROW_NUMBER() OVER (ORDER BY temp) AS n FROM weather AS w) WHERE n <= 3",
    "SELECT * FROM weather WHERE temp > 5 OR hour NOT IN (SELECT id FROM raw)",
    "SELECT station, hour IN (SELECT id FROM raw) AS is_raw FROM weather",
    "SELECT * FROM weather WHERE hour NOT IN (SELECT id FROM raw WHERE raw.id < weather.hour)",
    "SELECT * FROM weather WHERE temp > (SELECT value FROM raw)",
    "SELECT station, (SELECT value FROM raw GROUP BY value) AS v FROM weather",
    "SELECT station, ntile(4) OVER (PARTITION BY station ORDER BY ts) FROM weather",
    "SELECT station, sum(temp) OVER (ORDER BY ts RANGE INTERVAL '1' MONTH PRECEDING) FROM weather",
    "SELECT station, sum(temp) OVER (ORDER BY temp RANGE BETWEEN 0.5 PRECEDING AND CURRENT ROW) FROM weather",
    "SELECT station, sum(temp) OVER (ORDER BY ts GROUPS BETWEEN 2 PRECEDING AND CURRENT ROW) FROM weather",
    "SELECT station, sum(temp) OVER (ORDER BY ts ROWS BETWEEN 2 PRECEDING AND CURRENT ROW EXCLUDE CURRENT ROW) FROM weather",
    "SELECT station, lag(temp) IGNORE NULLS OVER (ORDER BY temp) FROM weather",
    "SELECT station, array_agg(temp) OVER (ORDER BY temp ROWS 2 PRECEDING) FROM weather",
    "SELECT device, sum(load) OVER (PARTITION BY device ORDER BY ts) FROM fleet",
    "SET 'ttl' = '1 hour'; SELECT id, lag(value) OVER (PARTITION BY id ORDER BY value) FROM raw",
    "SELECT station, window_start FROM TUMBLE(TABLE weather, DESCRIPTOR(ts), INTERVAL '1' HOUR) GROUP BY station, window_start EMIT DAILY",
    "SELECT station, window_start, count(*) FROM TUMBLE(TABLE weather, DESCRIPTOR(ts), INTERVAL '1' HOUR) GROUP BY station, window_start \
     EMIT EVERY INTERVAL '0' SECOND",
    "SELECT a.window_end FROM (SELECT window_end FROM TUMBLE(TABLE weather, DESCRIPTOR(_arrival), INTERVAL '1' HOUR) GROUP BY window_end) a \
     JOIN rates r ON a.window_end = r.ts",
    "SELECT window_end, count(*) FROM COUNT_WINDOW(TABLE weather, DESCRIPTOR(ts)) GROUP BY window_end",
    "SELECT window_end, count(*) FROM COUNT_WINDOW(TABLE weather, DESCRIPTOR(ts), INTERVAL '1' HOUR) GROUP BY window_end",
    "SELECT window_end, count(*) FROM COUNT_WINDOW(TABLE weather, DESCRIPTOR(ts), 5, 6) GROUP BY window_end",
    "SELECT window_end, count(*) FROM COUNT_WINDOW(TABLE raw, DESCRIPTOR(at), 5) GROUP BY window_end",
    "SELECT window_end, count(*) FROM COUNT_WINDOW(TABLE fleet PARTITION BY device, DESCRIPTOR(ts), 5) GROUP BY window_end",
    "SELECT window_end, count(*) FROM STATE_WINDOW(TABLE weather, DESCRIPTOR(ts), temp) GROUP BY window_end",
    "SELECT window_end, count(*) FROM STATE_WINDOW(TABLE weather, DESCRIPTOR(ts), max(temp) > 3) GROUP BY window_end",
    "SELECT window_end, count(*) FROM STATE_WINDOW(TABLE weather, DESCRIPTOR(ts), temp > 30, random() > 0.5) GROUP BY window_end",
    "SELECT window_end, count(*) FROM SESSION(TABLE weather, DESCRIPTOR(ts), INTERVAL '1' HOUR) GROUP BY window_start, window_end \
     ALLOW LATENESS INTERVAL '1' MINUTE",
    "SELECT id, e FROM raw LEFT JOIN UNNEST(make_array(id)) AS t (e) ON id > 3",
    "SELECT id, e FROM raw CROSS JOIN UNNEST(make_array(id), make_array(value)) AS t (e, f)",
    "SELECT id, e FROM raw CROSS JOIN UNNEST(make_array(id)) AS t (e, n)",
    "SELECT id, e FROM raw CROSS JOIN UNNEST(id) WITH ORDINALITY AS t (e, n)",
    "SELECT station, temp FROM weather EMIT EVERY INTERVAL '10' SECOND",
    "SELECT id, count(*) FROM raw GROUP BY id EMIT EVERY INTERVAL '10' SECOND",
    "SET 'ttl' = 'soon'; SELECT id, count(*) FROM raw GROUP BY id",
    "SET 'ttl' = '1 hour'",
    "SET 'ttl' = '1 hour'; SELECT id, count(*) FROM raw GROUP BY id",
    "SELECT /*+ STATE_TTL('w' = '1 day', 'rate' = '20 s') */ w.temp FROM weather w JOIN rates ON w.station = rates.currency",
    "SELECT /*+ STATE_TTL('x' = '1 day') */ w.temp FROM weather w JOIN rates ON w.station = rates.currency",
    "SELECT /*+ STATE_TLL('w' = '1 day') */ w.temp FROM weather w JOIN rates ON w.station = rates.currency",
    "SELECT /*+ STATE_TTL('w' = 'a while') */ w.temp FROM weather w JOIN rates ON w.station = rates.currency",
    "SELECT /*+ STATE_TTL('w') */ w.temp FROM weather w JOIN rates ON w.station = rates.currency",
    "SELECT\n  /*+ STATE_TTL('w' = '1 day') */ w.temp FROM weather w",
    "SELECT /*+ STATE_TTL('w' = '1 day') */ w.temp FROM weather w JOIN rates r ON w.station = r.currency AND w.ts = r.ts",
    "SELECT /*+ STATE_TTL('w' = '1 day') */ window_end, count(*) FROM TUMBLE(TABLE weather, DESCRIPTOR(ts), INTERVAL '1' HOUR) AS w GROUP BY window_end",
    "SELECT /*+ STATE_TTL('raw' = '1 day') */ id, count(*) FROM raw GROUP BY id",
    "SELECT w.station FROM weather w JOIN raw FOR SYSTEM_TIME AS OF w.ts AS r ON w.hour = r.id",
    "SELECT w.station FROM weather w JOIN rates FOR SYSTEM_TIME AS OF w.ts AS r ON w.temp = r.rate",
    "SELECT f.value FROM raw f LEFT JOIN rates FOR SYSTEM_TIME AS OF f.at AS r ON f.label = r.currency",
    "SELECT w.station FROM weather w RIGHT JOIN rates FOR SYSTEM_TIME AS OF w.ts AS r ON w.station = r.currency",
    "SELECT w.station FROM weather w ASOF JOIN rates r ON w.station = r.currency",
    "SELECT w.station FROM weather w ASOF JOIN rates r ON w.station = r.currency AND r.rate <= w.temp",
    "SELECT w.station FROM weather w ASOF JOIN raw r MATCH_CONDITION (w.ts <= r.at) ON w.station = r.label",
    "SELECT w.station FROM weather w ASOF JOIN rates r MATCH_CONDITION (w.ts = r.ts) ON w.station = r.currency",
    "SELECT station, count(*) FROM TUMBLE(TABLE weather, DESCRIPTOR(ts), INTERVAL '1' HOUR) GROUP BY ROLLUP (window_start, station)",
    "SELECT station, count(*) FROM SESSION(TABLE weather PARTITION BY station, DESCRIPTOR(ts), INTERVAL '1' HOUR) \
     GROUP BY ROLLUP (window_end, station)",
    // Late rows, where nothing takes them.
    "SELECT station, temp FROM weather ALLOW LATENESS INTERVAL '1' MINUTE",
    "SELECT station, avg(temp) OVER (PARTITION BY station ORDER BY ts) FROM weather ALLOW LATENESS INTERVAL '1' MINUTE",
    "SELECT w.station FROM weather w JOIN rates FOR SYSTEM_TIME AS OF w.ts AS r ON w.station = r.currency ALLOW LATENESS INTERVAL '1' MINUTE",
    "SELECT window_end, count(*) FROM COUNT_WINDOW(TABLE weather, DESCRIPTOR(ts), 5) GROUP BY window_end ALLOW LATENESS INTERVAL '1' MINUTE",
    // Timelines per key, where one watermark is asked for.
    "SELECT f.device, w.temp FROM fleet f JOIN weather w ON f.device = w.station AND w.ts BETWEEN f.ts AND f.ts + INTERVAL '1' HOUR",
    "SELECT a.device, b.window_end FROM (SELECT device, window_end FROM TUMBLE(TABLE fleet, DESCRIPTOR(ts), INTERVAL '1' HOUR) \
     GROUP BY device, window_end) a JOIN (SELECT device, window_end FROM TUMBLE(TABLE fleet, DESCRIPTOR(ts), INTERVAL '1' HOUR) \
     GROUP BY device, window_end) b ON a.window_end = b.window_end",
    "SELECT device, window_end, load FROM TUMBLE(TABLE fleet, DESCRIPTOR(ts), INTERVAL '1' HOUR)",
    "SELECT device, load FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY device, window_end ORDER BY load) AS n FROM \
     TUMBLE(TABLE fleet, DESCRIPTOR(ts), INTERVAL '1' HOUR)) WHERE n = 1",
    "SELECT device, c FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY window_end ORDER BY c) AS n FROM (SELECT device, window_end, count(*) AS c \
     FROM TUMBLE(TABLE fleet, DESCRIPTOR(ts), INTERVAL '1' HOUR) GROUP BY device, window_end)) WHERE n <= 3",
    "SELECT device, window_end, count(*) FROM TUMBLE(TABLE fleet, DESCRIPTOR(ts), INTERVAL '1' HOUR) GROUP BY device, window_end EMIT CHANGES",
    "SELECT device, window_end, count(*) FROM TUMBLE(TABLE fleet, DESCRIPTOR(ts), INTERVAL '1' HOUR) GROUP BY device, window_end \
     ALLOW LATENESS INTERVAL '1' MINUTE",
    "SELECT device, window_end, count(*) FROM TUMBLE(TABLE (SELECT device, ts FROM fleet UNION ALL SELECT device, ts FROM fleet WHERE load > 3), \
     DESCRIPTOR(ts), INTERVAL '1' HOUR) GROUP BY device, window_end",
    "SELECT device, window_end, count(*) FROM TUMBLE(TABLE (SELECT device, window_time AS t FROM TUMBLE(TABLE fleet, DESCRIPTOR(ts), INTERVAL '1' HOUR) \
     GROUP BY device, window_start, window_end, window_time), DESCRIPTOR(t), INTERVAL '1' DAY) GROUP BY device, window_end",
    "SELECT device, window_end, count(*) FROM TUMBLE(TABLE (SELECT device, ts, unnest(make_array(load)) AS e FROM fleet), \
     DESCRIPTOR(ts), INTERVAL '1' HOUR) GROUP BY device, window_end",
    "SELECT device, window_end, count(*) FROM TUMBLE(TABLE (SELECT f.device, f.ts FROM fleet f JOIN (VALUES ('a'), ('b')) AS v (k) ON f.device = v.k), \
     DESCRIPTOR(ts), INTERVAL '1' HOUR) GROUP BY device, window_end",
    "SELECT now() - w.ts FROM weather AS w JOIN hourly AS h ON w.station = h.station",
    "SELECT random() FROM weather",
    "SELECT 1",
    "VALUES (1)",
    "SELECT value FROM generate_series(1, 3)",
    "SELECT * FROM out",
    "SELECT * FROM files",
    // Into a target.
    "INSERT INTO hourly SELECT station, count(*) FROM weather GROUP BY station",
    "INSERT INTO hourly SELECT station, ts, temp, count(*) FROM weather GROUP BY station, ts, temp",
    "INSERT INTO hourly SELECT station, window_start, max(temp), count(*) FROM TUMBLE(TABLE weather, DESCRIPTOR(ts), INTERVAL '1' HOUR) GROUP BY station, window_start",
    "INSERT INTO hourly SELECT ts, station, temp, hour FROM weather",
    "INSERT INTO hourly SELECT station, ts, temp FROM weather",
    "INSERT INTO hourly (station, nn) SELECT station, hour FROM weather",
    "INSERT INTO strict (b) SELECT hour FROM weather",
    "INSERT INTO strict SELECT hour AS b, 3000000000 AS a FROM weather",
    // Late rows.
    "SELECT station, temp FROM weather LATE DATA TO tardy",
    "INSERT INTO hourly SELECT station, ts, temp, hour FROM weather LATE DATA TO tardi",
    "INSERT INTO hourly SELECT station, ts, temp, hour FROM weather LATE DATA TO out",
    "INSERT INTO hourly SELECT station, ts, temp, hour FROM weather LATE DATA TO hourly",
    "INSERT INTO hourly SELECT station, ts, temp, hour FROM weather LATE DATA TO weather",
    "INSERT INTO hourly SELECT station, ts, temp, hour FROM weather LATE DATA TO strict",
    "INSERT INTO hourly SELECT station, ts, temp, hour FROM weather LATE DATA TO rates",
    "INSERT INTO hourly SELECT station, ts, temp, hour FROM weather LATE DATA TO tardy",
];

#[test]
fn mistakes_are_explained() {
    let mut text = String::new();
    let mut told = BTreeSet::new();
    for case in CASES {
        let Err(error) = plan(case) else { panic!("no error: {case}") };
        assert!(
            error.position().is_some() || matches!(error.mistake(), Mistake::Query),
            "no place: {case}\n{error}"
        );
        assert!(!error.message().ends_with('.') && !error.message().contains('\n'), "{error}");
        told.insert(error.code());
        writeln!(text, "{}\n", error.render()).unwrap();
    }
    check_snapshot("mistakes.txt", &text);
    assert!(told.len() >= 12, "{told:?}");
}

fn plan(sql: &str) -> Result<(), SqlError> {
    let catalog = catalog(DDL);
    let rows = arrow::array::RecordBatch::new_empty(std::sync::Arc::new(arrow::datatypes::Schema::empty()));
    let tables = InMemory::default().with("files", rows).tables();
    let planner = Planner::new();
    let parsed = parse_one(sql)?;
    match &parsed.statement {
        Statement::Query(query) => planner.stream(&catalog, &tables, query, Target::Anywhere).map(drop),
        Statement::Insert(insert) => {
            let stream = catalog.stream(&insert.target.value).unwrap();
            let columns: Vec<_> = insert.columns.iter().map(|column| column.value.clone()).collect();
            planner.stream(&catalog, &tables, &insert.query, Target::Stream(stream, &columns)).map(drop)
        }
        _ => catalog.apply(&parsed).and_then(|(after, _)| planner.check(&after, &tables, &parsed)),
    }
}

#[test]
fn every_code_has_a_page() {
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors");
    for mistake in Mistake::ALL {
        let page = pages.join(format!("{}.md", mistake.code()));
        let text = std::fs::read_to_string(&page).unwrap_or_default();
        assert!(text.contains(mistake.code().as_str()), "{} is missing", page.display());
    }
}
