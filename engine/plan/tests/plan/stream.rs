//! The streaming plans of queries, as EXPLAIN shows them, with what comes out.

use std::fmt::Write;

use crate::fixture::{InMemory, catalog, check_snapshot};
use headwater_operators::Changes;
use headwater_plan::{Dataflow, Planner, Statement, Target, parse_one};

const DDL: &str = "
CREATE STREAM weather (station STRING, ts TIMESTAMP(3), temp DOUBLE, wind DOUBLE, hour INT,
    WATERMARK FOR ts AS ts - INTERVAL '5' SECOND);
CREATE STREAM fleet (device STRING, ts TIMESTAMP, load DOUBLE, ok BOOLEAN, WATERMARK FOR ts AS ts - INTERVAL '1' MINUTE PER device);
CREATE STREAM raw (id BIGINT, value DOUBLE, at TIMESTAMP);
CREATE TABLE clicks (user_id BIGINT, ts TIMESTAMP(3), url STRING, WATERMARK FOR ts AS ts) WITH (connector = 'kafka', type = 'source');
CREATE STREAM hourly (station STRING, started TIMESTAMP(3), highest DOUBLE, n BIGINT);
CREATE TABLE changes (station STRING, n BIGINT) WITH (connector = 'kafka', type = 'sink', format = 'debezium_json');
CREATE STREAM rates (currency STRING, ts TIMESTAMP(3), rate DOUBLE, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND,
    PRIMARY KEY (currency) NOT ENFORCED);
CREATE STREAM states (device STRING, ts TIMESTAMP(3), load DOUBLE, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND,
    PRIMARY KEY (device) NOT ENFORCED) WITH ('changelog.mode' = 'upsert');
CREATE STREAM tardy (station STRING, ts TIMESTAMP(3), wind DOUBLE, lateness BIGINT);
CREATE STREAM beats (device STRING, at AS PROCTIME());
CREATE TABLE places (station STRING, place STRING) WITH (connector = 'filesystem', path = '/places.csv');
CREATE TABLE drops (station STRING, place STRING) WITH (connector = 'filesystem', path = '/in', 'source.monitor-interval' = '1 s');
CREATE VIEW warm AS SELECT station, ts, temp * 9 / 5 + 32 AS fahrenheit FROM weather WHERE temp > 10;
CREATE VIEW hours AS SELECT * FROM TUMBLE(TABLE weather, DESCRIPTOR(ts), INTERVAL '1' HOUR);
CREATE VIEW newest_rows AS SELECT station, ts, temp FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY station ORDER BY ts DESC) AS n
    FROM weather) WHERE n = 1;
CREATE VIEW warm_hours AS SELECT window_time AS t, max(temp) AS temp FROM hours GROUP BY window_time;
CREATE VIEW busy AS SELECT device, ts, 100 / load AS spare FROM fleet WHERE load > 0;
CREATE MATERIALIZED VIEW newest AS SELECT station, LAST_VALUE(temp ORDER BY ts) AS temp FROM weather GROUP BY station;
";

/// Each case: a query, or INSERT INTO.
const CASES: &[&str] = &[
    // Stateless.
    "SELECT * FROM raw",
    "SELECT id, value * 2 AS twice FROM raw WHERE value > 1.5 AND id <= 10 AND id > 3",
    "SELECT *, _shard, _sequence, _arrival FROM raw",
    "SELECT _sequence, temp FROM weather WHERE _sequence > 5",
    "SELECT * FROM warm WHERE station = 'EWR'",
    "SELECT temp FROM weather WHERE temp > 5",
    "SELECT station, ts FROM weather UNION ALL SELECT url, ts FROM clicks",
    "WITH w AS (SELECT station AS s, ts FROM weather) SELECT s FROM w WHERE s <> 'JFK'",
    // Windows, Flink's spelling.
    "SELECT station, window_start, window_end, MAX(temp), COUNT(*) FROM TABLE(TUMBLE(TABLE weather, DESCRIPTOR(ts), INTERVAL '1' HOUR)) \
     GROUP BY station, window_start, window_end",
    "SELECT window_end, AVG(temp) AS mean FROM HOP(TABLE weather, DESCRIPTOR(ts), INTERVAL '5' MINUTE, INTERVAL '1' HOUR) \
     WHERE station = 'EWR' GROUP BY window_end",
    "SELECT window_time, COUNT(DISTINCT station), SUM(temp) FILTER (WHERE temp > 0) FROM \
     CUMULATE(TABLE weather, DESCRIPTOR(ts), INTERVAL '1' HOUR, INTERVAL '1' DAY) GROUP BY window_start, window_end, window_time",
    "SELECT station, window_start, COUNT(*) FROM SESSION(TABLE weather PARTITION BY station, DESCRIPTOR(ts), INTERVAL '30' MINUTE) \
     GROUP BY station, window_start, window_end HAVING COUNT(*) > 3",
    "SELECT window_start, MIN(temp) FROM SESSION(TABLE (SELECT * FROM weather WHERE temp < 0), DESCRIPTOR(ts), INTERVAL '3' HOUR) \
     GROUP BY window_start, window_end",
    "SELECT upper(station) AS s, window_start, round(max(temp) - min(temp), 1) AS span FROM hours GROUP BY upper(station), window_start",
    "SELECT station, date_trunc('day', window_start) AS day, window_end, count(*) FROM hours \
     WHERE window_start >= TIMESTAMP '2013-01-01' AND temp > 0 GROUP BY station, date_trunc('day', window_start), window_end",
    "SELECT station, temp, window_start FROM TUMBLE(TABLE weather, DESCRIPTOR(ts), INTERVAL '1' HOUR)",
    "SELECT station, count(*) FROM hours GROUP BY station",
    "SELECT DISTINCT station, window_start FROM hours",
    "SELECT s, max(f) FROM (SELECT station AS s, fahrenheit AS f, window_end AS e FROM \
     TUMBLE(TABLE warm, DESCRIPTOR(ts), INTERVAL '1' DAY)) GROUP BY s, e",
    // Windows of rows in order.
    "SELECT station, window_start, avg(temp) FROM COUNT_WINDOW(TABLE weather PARTITION BY station, DESCRIPTOR(ts), 100) \
     WHERE station <> 'EWR' AND temp > 0 GROUP BY station, window_start, window_end, window_number",
    "SELECT window_end, max(temp) FROM COUNT_WINDOW(TABLE warm_hours, DESCRIPTOR(t), 10, 2) GROUP BY window_end, window_number",
    "SELECT station, window_time, count(*) FROM STATE_WINDOW(TABLE weather PARTITION BY station, DESCRIPTOR(ts), temp > 30, temp < 20) \
     GROUP BY station, window_time, window_number",
    "SELECT station, temp, window_number FROM STATE_WINDOW(TABLE weather PARTITION BY station, DESCRIPTOR(ts), BEGIN_CONDITION => hour = 0)",
    // Processing time.
    "SELECT device, window_end, count(*) FROM TUMBLE(TABLE beats, DESCRIPTOR(at), INTERVAL '1' MINUTE) GROUP BY device, window_end",
    "SELECT window_end, count(*) FROM TUMBLE(TABLE (SELECT id, PROCTIME() AS moment FROM raw WHERE id > 3), DESCRIPTOR(moment), INTERVAL '1' MINUTE) \
     GROUP BY window_end",
    "SELECT device, b.at FROM beats b",
    // RisingWave's.
    "SELECT window_start, count(*) AS n FROM TUMBLE(clicks, ts, INTERVAL '10 minutes', INTERVAL '1 minute') GROUP BY window_start",
    // Arroyo's.
    "SELECT station, tumble(INTERVAL '1 minute') AS w, count(*) AS n FROM weather GROUP BY station, w",
    "SELECT hop(INTERVAL '10 seconds', INTERVAL '1 minute') AS w, max(temp) FROM weather WHERE wind > 1 GROUP BY 1",
    "SELECT station, session(INTERVAL '30 seconds') AS w, count(*) FROM weather GROUP BY station, session(INTERVAL '30 seconds')",
    "SELECT station, w.start AS started, n FROM (SELECT station, tumble(INTERVAL '1 minute') AS w, count(*) n FROM weather GROUP BY station, w)",
    // Windows over windows.
    "SELECT window_end, max(n) FROM TUMBLE(TABLE (SELECT window_time AS t, count(*) AS n FROM \
     TUMBLE(TABLE weather, DESCRIPTOR(ts), INTERVAL '1' MINUTE) GROUP BY window_time), DESCRIPTOR(t), INTERVAL '1' HOUR) GROUP BY window_end",
    // Windows over rows that change.
    "SELECT device, window_start, window_end, max(load), count(*) FROM TUMBLE(TABLE states, DESCRIPTOR(ts), INTERVAL '1' HOUR) \
     WHERE load > 0 GROUP BY device, window_start, window_end",
    "SELECT window_time, sum(temp), count(DISTINCT station) FROM HOP(TABLE newest_rows, DESCRIPTOR(ts), INTERVAL '5' MINUTE, INTERVAL '1' HOUR) \
     WHERE window_start > TIMESTAMP '2013-01-01' GROUP BY window_time",
    "SELECT window_end, max(n) FROM CUMULATE(TABLE (SELECT ts, count(*) AS n FROM weather GROUP BY ts), DESCRIPTOR(ts), INTERVAL '1' HOUR, INTERVAL '1' DAY) \
     GROUP BY window_end EMIT CHANGES",
    "SELECT window_end, station, grouping(station) AS g, avg(temp) FROM TUMBLE(TABLE newest_rows, DESCRIPTOR(ts), INTERVAL '1' HOUR) \
     GROUP BY window_end, ROLLUP (station) ALLOW LATENESS INTERVAL '1' MINUTE",
    "SELECT window_start, max(n) FROM TUMBLE(TABLE (SELECT window_time AS t, count(*) AS n FROM TUMBLE(TABLE states, DESCRIPTOR(ts), INTERVAL '1' MINUTE) \
     GROUP BY window_time), DESCRIPTOR(t), INTERVAL '1' HOUR) GROUP BY window_start",
    "SELECT window_end, device, load FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY window_end ORDER BY load DESC) AS n FROM \
     TUMBLE(TABLE states, DESCRIPTOR(ts), INTERVAL '1' HOUR)) WHERE n <= 3",
    "SELECT window_end, device FROM TUMBLE(TABLE states, DESCRIPTOR(ts), INTERVAL '1' HOUR)",
    // The rows of sessions.
    "SELECT * FROM SESSION(TABLE clicks PARTITION BY user_id, DESCRIPTOR(ts), INTERVAL '5' MINUTE)",
    "SELECT window_end, temp FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY temp) AS n FROM \
     SESSION(TABLE weather, DESCRIPTOR(ts), INTERVAL '1' HOUR) WHERE wind > 1) WHERE n = 1",
    "SELECT station, window_start FROM SESSION(TABLE weather PARTITION BY station, DESCRIPTOR(ts), INTERVAL '1' HOUR) EMIT CHANGES",
    "SELECT station, window_end, count(*) FROM SESSION(TABLE weather, DESCRIPTOR(ts), INTERVAL '1' HOUR) WHERE temp > 1 GROUP BY station, window_end",
    "SELECT window_end, station, grouping(station) AS g, max(temp) FROM SESSION(TABLE weather PARTITION BY station, DESCRIPTOR(ts), INTERVAL '1' HOUR) \
     GROUP BY window_start, window_end, ROLLUP (station)",
    "SELECT device, load, window_end FROM SESSION(TABLE fleet PARTITION BY device, DESCRIPTOR(ts), INTERVAL '1' HOUR) WHERE ok",
    // A timeline per key.
    "SELECT device, window_end, max(load) FROM TUMBLE(TABLE fleet, DESCRIPTOR(ts), INTERVAL '1' HOUR) WHERE ok GROUP BY device, window_end",
    "SELECT device, window_end, min(spare) FROM TUMBLE(TABLE busy, DESCRIPTOR(ts), INTERVAL '1' HOUR) GROUP BY device, window_end",
    "SELECT device, window_start, count(*) FROM SESSION(TABLE fleet PARTITION BY device, DESCRIPTOR(ts), INTERVAL '1' HOUR) \
     GROUP BY device, window_start, window_end",
    "SELECT device, load FROM fleet WHERE ok",
    // Without windows.
    "SELECT station, count(*), avg(temp) FROM weather GROUP BY station",
    "SELECT count(*) FROM weather",
    "SELECT DISTINCT station FROM weather",
    "SELECT hour % 12 AS h, max(temp) AS m FROM weather GROUP BY hour % 12 HAVING max(temp) > 30",
    "SELECT m, count(*) FROM (SELECT station, max(hour) AS m FROM weather GROUP BY station) GROUP BY m",
    "SELECT * FROM newest",
    // Joins.
    "SELECT w.station, w.temp, r.value FROM weather w JOIN raw r ON w.hour = r.id WHERE r.value > 1 AND w.temp > r.value",
    "SELECT w.temp, r.value FROM weather w LEFT JOIN raw r ON w.hour % 3 = r.id % 3",
    "SELECT r.value, n.temp FROM raw r RIGHT JOIN newest n ON r.value = n.temp",
    "SELECT a.station, a.temp, b.m FROM newest a JOIN (SELECT station, max(temp) AS m FROM weather GROUP BY station) b ON a.station = b.station",
    "SELECT a.id, b.id FROM raw a CROSS JOIN raw b WHERE a.value < b.value",
    "SELECT w.station, c.url FROM weather w JOIN clicks c ON w.hour = c.user_id AND c.ts BETWEEN w.ts - INTERVAL '5' MINUTE AND w.ts",
    "SELECT w.station, c.url FROM weather w LEFT JOIN clicks c ON w.hour = c.user_id AND c.ts = w.ts + INTERVAL '5' MINUTE",
    "SELECT w.station, c.url FROM weather w LEFT JOIN clicks c ON w.hour = c.user_id AND w.ts >= c.ts AND w.ts < c.ts + INTERVAL '1' HOUR",
    "SELECT a.station, b.station, c.url FROM weather a, weather b, clicks c WHERE a.hour = b.hour AND b.hour = c.user_id \
     AND a.ts BETWEEN b.ts - INTERVAL '10' MINUTE AND b.ts AND c.ts BETWEEN a.ts AND a.ts + INTERVAL '1' MINUTE",
    "SELECT l.station, l.window_end, l.n, r.n FROM \
     (SELECT station, window_end, count(*) AS n FROM hours GROUP BY station, window_end) l FULL JOIN \
     (SELECT user_id, window_end, count(*) AS n \
     FROM TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '1' HOUR) GROUP BY user_id, window_end) r \
     ON l.n = r.user_id AND l.window_end = r.window_end",
    "SELECT h.station, h.temp FROM hours h WHERE EXISTS (SELECT * FROM TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '1' HOUR) c \
     WHERE c.user_id = h.hour AND c.window_end = h.window_end)",
    "SELECT station FROM weather WHERE hour IN (SELECT id FROM raw)",
    "SELECT station FROM weather w WHERE NOT EXISTS (SELECT 1 FROM raw r WHERE r.id = w.hour AND r.value > w.temp)",
    "SELECT station FROM weather w WHERE temp > (SELECT avg(value) FROM raw r WHERE r.id = w.hour)",
    "SELECT station FROM weather WHERE temp > (SELECT max(value) FROM raw)",
    "SELECT id, value - (SELECT avg(temp) FROM weather WHERE hour > 3) AS more FROM raw",
    "SELECT station, count(*) FROM weather GROUP BY station HAVING count(*) > (SELECT max(id) FROM raw)",
    "SELECT id FROM raw INTERSECT SELECT user_id FROM clicks",
    "SELECT id FROM raw EXCEPT SELECT user_id FROM clicks",
    // Top-N.
    "SELECT station, temp FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY station ORDER BY ts DESC) AS rn FROM weather) WHERE rn = 1",
    "SELECT station, temp, rn FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY station ORDER BY abs(temp)) AS rn FROM weather) WHERE rn BETWEEN 2 AND 4 AND temp > 0",
    "SELECT * FROM (SELECT station, ROW_NUMBER() OVER (ORDER BY n DESC) AS rn FROM (SELECT station, count(*) AS n FROM weather GROUP BY station)) WHERE rn < 4",
    "SELECT window_end, station, n FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY n DESC) AS rn FROM \
     (SELECT window_start, window_end, station, count(*) AS n FROM hours GROUP BY window_start, window_end, station)) WHERE rn <= 3",
    "SELECT station, temp FROM weather ORDER BY abs(temp) DESC, station LIMIT 5",
    "SELECT station, count(*) AS n FROM weather GROUP BY station ORDER BY n DESC LIMIT 3 OFFSET 2",
    "SELECT w.temp, r.id FROM weather AS w JOIN (SELECT id FROM raw ORDER BY value LIMIT 1) AS r ON w.hour = r.id",
    "SELECT station, temp FROM (SELECT /*+ STATE_TTL('w' = '1 day') */ *, ROW_NUMBER() OVER (PARTITION BY station ORDER BY temp) AS n \
     FROM weather AS w) WHERE n <= 3",
    "SELECT /*+ STATE_TTL('w' = '1 day') */ station, rank() OVER (PARTITION BY station ORDER BY temp) FROM weather AS w",
    // Windows over windows.
    "SELECT window_start, window_end, max(n) FROM (SELECT window_start, window_end, station, count(*) AS n FROM hours \
     GROUP BY window_start, window_end, station) GROUP BY window_start, window_end",
    // OVER.
    "SELECT station, avg(temp) OVER (PARTITION BY station ORDER BY ts ROWS 5 PRECEDING), \
     max(temp) OVER (PARTITION BY station ORDER BY ts RANGE INTERVAL '1' HOUR PRECEDING) FROM weather",
    "SELECT station, ts, count(*) OVER (PARTITION BY station ORDER BY ts RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND INTERVAL '1' MINUTE FOLLOWING) AS n FROM weather",
    "SELECT station, temp - lag(temp * 2, 3) OVER (PARTITION BY station ORDER BY ts, wind DESC), lead(ts) OVER (PARTITION BY station ORDER BY ts) FROM weather",
    "SELECT * FROM (SELECT station, rank() OVER (PARTITION BY hour % 3 ORDER BY ts) AS r FROM weather) WHERE r > 3",
    "SELECT window_end, n, sum(n) OVER (ORDER BY window_end) FROM (SELECT window_end, count(*) AS n FROM hours GROUP BY window_end)",
    // OVER rows that change, and in any order.
    "SELECT station, n, sum(n) OVER (ORDER BY n DESC, station ROWS BETWEEN 2 PRECEDING AND 1 FOLLOWING) FROM \
     (SELECT station, count(*) AS n FROM weather GROUP BY station)",
    "SELECT station, temp, avg(temp) OVER (PARTITION BY station) FROM weather",
    "SELECT station, lag(temp) OVER (PARTITION BY station ORDER BY ts DESC), rank() OVER (PARTITION BY station ORDER BY ts DESC) FROM weather",
    "SELECT id, lag(value) OVER (ORDER BY at) FROM raw",
    "SELECT station, sum(temp) OVER (ORDER BY ts RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND UNBOUNDED FOLLOWING) FROM weather",
    "SELECT station, count(*) OVER (PARTITION BY station ORDER BY hour RANGE BETWEEN 2 PRECEDING AND CURRENT ROW) FROM weather",
    "SELECT device, max(load) OVER (PARTITION BY device ORDER BY load ROWS 3 PRECEDING) FROM fleet",
    "SELECT count(*) OVER () FROM raw",
    "SET 'ttl' = '1 hour'; SELECT station, row_number() OVER (PARTITION BY station ORDER BY temp DESC) FROM weather",
    "SELECT window_start, max(rise) FROM TUMBLE(TABLE (SELECT ts, temp - lag(temp) OVER (PARTITION BY station ORDER BY ts) AS rise FROM weather), \
     DESCRIPTOR(ts), INTERVAL '1' HOUR) GROUP BY window_start, window_end",
    // Grouping sets.
    "SELECT station, hour, grouping(hour) AS g, count(*) FROM weather GROUP BY ROLLUP (station, hour)",
    "SELECT window_start, station, grouping_id(station, hour) AS g, avg(temp) FROM hours GROUP BY window_start, window_end, GROUPING SETS ((station), (hour), ())",
    // JSON of groups.
    "SELECT window_start, json_objectagg(KEY station VALUE temp ORDER BY ts) AS o FROM hours GROUP BY window_start, window_end",
    "SELECT hour, json_arrayagg(DISTINCT station) FILTER (WHERE temp > 3) AS a, json_arrayagg(temp NULL ON NULL) AS t FROM weather GROUP BY hour",
    // When rows come out.
    "SELECT station, window_start, count(*) FROM hours GROUP BY station, window_start, window_end EMIT CHANGES",
    "SELECT station, window_start, count(*) FROM hours GROUP BY station, window_start, window_end EMIT EVERY INTERVAL '5' MINUTE",
    "SELECT station, window_start, count(*) FROM hours GROUP BY station, window_start, window_end ALLOW LATENESS INTERVAL '1' MINUTE",
    "SELECT station, temp FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY station, window_end ORDER BY temp) AS n FROM hours) WHERE n = 1 EMIT CHANGES",
    "SELECT window_end, station, n FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY window_end ORDER BY n DESC) AS rn FROM \
     (SELECT window_end, station, count(*) AS n FROM hours GROUP BY window_end, station)) WHERE rn <= 3 EMIT CHANGES",
    "SELECT window_end, max(t) FROM (SELECT window_end, window_time AS t, station, ROW_NUMBER() OVER (PARTITION BY station, window_end, window_time \
     ORDER BY temp) AS n FROM hours) WHERE n = 1 GROUP BY window_end ALLOW LATENESS INTERVAL '1' MINUTE",
    "SELECT a.window_end, a.n, b.n FROM (SELECT window_end, count(*) AS n FROM hours GROUP BY window_end) a LEFT JOIN \
     (SELECT window_end, count(*) AS n FROM TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '1' HOUR) GROUP BY window_end) b \
     ON a.window_end = b.window_end EMIT EVERY INTERVAL '1' MINUTE",
    "SELECT a.temp, b.temp, a.window_end FROM hours a LEFT JOIN hours b ON a.window_end = b.window_end AND a.station = b.station AND b.temp > 30 \
     ALLOW LATENESS INTERVAL '1' MINUTE",
    "SELECT w.station, c.url FROM weather w JOIN clicks c ON w.hour = c.user_id AND c.ts BETWEEN w.ts - INTERVAL '5' MINUTE AND w.ts \
     ALLOW LATENESS INTERVAL '1' MINUTE",
    "SET 'ttl' = '1 hour'; SELECT station, count(*) FROM weather GROUP BY station",
    "INSERT INTO hourly SELECT station, window_start, max(temp), count(*) FROM hours GROUP BY station, window_start LATE DATA TO tardy",
    "SELECT /*+ STATE_TTL('w' = '1 d', 'c' = '20 s') */ w.temp, c.url FROM weather w JOIN clicks c ON w.hour = c.user_id WHERE w.temp > 3",
    "SET 'ttl' = '1 hour'; SELECT /*+ BROADCAST(weather), STATE_TTL('w' = '0 s') */ w.temp, c.url FROM weather AS w, clicks AS c \
     WHERE w.hour = c.user_id",
    "SELECT /*+ STATE_TTL(weather = '1 h') */ station, count(*) FROM weather WHERE temp > 3 GROUP BY station",
    "SELECT a.station, b.url, c.m FROM (SELECT /*+ STATE_TTL('w' = '5 m') */ w.station, w.hour FROM weather AS w JOIN clicks ON w.hour = user_id) AS a \
     JOIN clicks AS b ON a.hour = b.user_id JOIN (SELECT /*+ STATE_TTL('x' = '7 m') */ hour, max(temp) AS m FROM weather AS x \
     GROUP BY hour) AS c ON c.hour = a.hour",
    // UNNEST.
    "SELECT id, unnest(make_array(id, id + 1)) AS e FROM raw",
    "SELECT r.id, t.e, f.g FROM raw r CROSS JOIN UNNEST(make_array(id, id + 1)) AS t (e), UNNEST(make_array(t.e)) AS f (g) WHERE t.e > 3",
    "SELECT r.id, t.e, t.n FROM raw r LEFT JOIN UNNEST(make_array(id, id + 1)) WITH ORDINALITY AS t (e, n) ON TRUE WHERE t.n > 1",
    "SELECT r.id, t.k, t.v FROM raw r CROSS JOIN UNNEST(MAP(['a', 'b'], [id, id + 1])) AS t (k, v)",
    // Joins with versions.
    "SELECT w.station, r.rate FROM weather w JOIN rates FOR SYSTEM_TIME AS OF w.ts AS r ON w.station = r.currency WHERE r.rate > 1 AND w.temp > 2",
    "SELECT w.station, r.rate FROM weather w LEFT JOIN rates FOR SYSTEM_TIME AS OF w.ts AS r ON w.station = r.currency AND r.rate < w.temp",
    "SELECT w.station, c.url FROM weather w ASOF LEFT JOIN clicks c ON w.hour = c.user_id AND c.ts < w.ts",
    "SELECT w.station, c.url FROM weather w ASOF JOIN clicks c MATCH_CONDITION (w.ts >= c.ts) ON w.hour = c.user_id",
    "SELECT w.station, c.url FROM weather w ASOF LEFT JOIN clicks c ON w.hour = c.user_id AND c.ts > w.ts",
    "SELECT w.station, c.url, c.ts FROM weather w ASOF JOIN clicks c ON w.hour = c.user_id AND w.ts <= c.ts AND w.temp > 3",
    // Into streams.
    "INSERT INTO hourly SELECT station, window_start, max(temp), count(*) FROM hours GROUP BY station, window_start",
    "INSERT INTO hourly (n, station) SELECT count(*), station FROM hours GROUP BY station, window_end",
    "INSERT INTO hourly SELECT station, ts, hour, NULL FROM weather",
    "INSERT INTO changes SELECT station, count(*) FROM weather GROUP BY station",
    // A table of files that is read once.
    "SELECT w.station, w.ts, p.place FROM weather AS w LEFT JOIN (SELECT * FROM places WHERE place <> 'roof') AS p ON w.station = p.station",
    "SELECT place, window_end, COUNT(*) AS n FROM TUMBLE(TABLE (SELECT w.ts, p.place FROM places AS p JOIN weather AS w ON w.station = p.station \
     AND p.place < w.station), DESCRIPTOR(ts), INTERVAL '1' HOUR) GROUP BY place, window_start, window_end",
    "SELECT w.station, p.place FROM weather AS w FULL JOIN places AS p ON w.station = p.station",
    "SELECT w.station, p.place FROM weather AS w LEFT JOIN drops AS p ON w.station = p.station",
];

#[test]
fn plans() {
    let catalog = catalog(DDL);
    let tables = InMemory::default().tables();
    let planner = Planner::new();
    let mut text = String::new();
    for case in CASES {
        let parsed = parse_one(case).unwrap_or_else(|error| panic!("{}", error.render()));
        let planned = match &parsed.statement {
            Statement::Query(query) => planner.stream(&catalog, &tables, query, Target::Anywhere),
            Statement::Insert(insert) => {
                let stream = catalog.stream(&insert.target.value).unwrap();
                let columns: Vec<_> = insert.columns.iter().map(|column| column.value.clone()).collect();
                planner.stream(&catalog, &tables, &insert.query, Target::Stream(stream, &columns))
            }
            other => panic!("{other:?}"),
        };
        let described = planned.map_or_else(|error| error.render(), |dataflow| describe(&dataflow));
        writeln!(text, "{case}\n{described}").unwrap();
    }
    check_snapshot("stream.txt", &text);
}

/// The same query in other words is the same dataflow, or is refused for the same reason.
#[test]
fn other_spellings_are_the_same_plans() {
    let (catalog, tables, planner) = (catalog(DDL), InMemory::default().tables(), Planner::new());
    let planned = |sql: &str| {
        let parsed = parse_one(sql).unwrap_or_else(|error| panic!("{}", error.render()));
        let Statement::Query(query) = &parsed.statement else { panic!("{sql}") };
        let planned = planner.stream(&catalog, &tables, query, Target::Anywhere);
        planned.map_or_else(|error| error.message().to_owned(), |dataflow| describe(&dataflow))
    };
    for (sql, other) in [
        (
            "SELECT station, temp FROM weather WHERE temp > 3",
            "FROM weather SELECT station, temp WHERE temp > 3",
        ),
        ("SELECT * FROM raw", "FROM raw"),
        ("SELECT * FROM raw", "TABLE raw"),
        ("SELECT id, value FROM raw WHERE value > 3", "FROM raw |> WHERE value > 3 |> SELECT id, value"),
        (
            "SELECT station, temp FROM weather ORDER BY temp DESC LIMIT 3 OFFSET 2",
            "SELECT station, temp FROM weather ORDER BY temp DESC LIMIT 2, 3",
        ),
        ("SELECT ts, temp AS h FROM weather", "SELECT ts, temp AS h, FROM weather"),
        ("SELECT id FROM raw ORDER BY id", "FROM raw |> SELECT id |> ORDER BY id"),
        ("SELECT id FROM raw LIMIT 3", "FROM raw |> SELECT id |> LIMIT 3"),
        (
            "SELECT station, LAST_VALUE(temp) IGNORE NULLS AS temp FROM weather GROUP BY station",
            "SELECT station, LAST_VALUE(temp) AS temp FROM weather GROUP BY station",
        ),
    ] {
        assert_eq!(planned(other), planned(sql), "{other}");
    }
    // An aggregate of a pipe is called by its alias in EXPLAIN.
    for (sql, other) in [
        (
            "SELECT count(*) AS n, station FROM weather GROUP BY station EMIT CHANGES",
            "FROM weather |> AGGREGATE count(*) AS n GROUP BY station |> SELECT n, station EMIT CHANGES",
        ),
        (
            "SELECT window_start, window_end, max(temp) AS m FROM hours GROUP BY window_start, window_end",
            "FROM TUMBLE(DATA := TABLE weather, TIMECOL := DESCRIPTOR(ts), SIZE := INTERVAL '1' HOUR) \
             |> AGGREGATE max(temp) AS m GROUP BY window_start, window_end |> SELECT window_start, window_end, m",
        ),
    ] {
        let result = |sql: &str| planned(sql).lines().last().map(str::to_owned);
        assert!(result(sql).is_some_and(|result| result.contains(" => ")), "{sql}");
        assert_eq!(result(other), result(sql), "{other}");
    }
}

fn describe(dataflow: &Dataflow) -> String {
    check_shape(dataflow);
    let mut text: String = dataflow.explain().lines().map(|line| format!("    {line}\n")).collect();
    let result = &dataflow.result;
    let fields: Vec<_> = result
        .schema
        .fields()
        .iter()
        .map(|field| format!("{} {}", field.name(), field.data_type()))
        .collect();
    let time = result.event_time.map_or("none", |column| result.schema.field(column).name());
    writeln!(text, "    => {} | event time: {time}", fields.join(", ")).unwrap();
    text
}

/// What the runner relies on.
fn check_shape(dataflow: &Dataflow) {
    use headwater_plan::dataflow::{Exchange, Upstream};
    assert!(!dataflow.stages.is_empty());
    for (nth, stage) in dataflow.stages.iter().enumerate() {
        assert!(!stage.inputs.is_empty());
        for input in &stage.inputs {
            if let Upstream::Stage(before) = input.from {
                assert!(before < nth, "stages are in topological order");
            }
            if input.exchange != Exchange::Forward {
                assert_eq!(stage.operators.len(), 1, "an operator with state is alone");
                assert!(stage.inputs.iter().all(|input| input.exchange != Exchange::Forward));
            }
            if let Exchange::Hash(columns) = &input.exchange {
                let width = dataflow.schema_of(input.from).fields().len();
                assert!(!columns.is_empty() && columns.iter().all(|column| *column < width));
            }
        }
        if let Some(last) = stage.operators.last() {
            assert_eq!(last.schema(), stage.schema);
        }
    }
    let last = dataflow.stages.last().unwrap();
    assert_eq!(last.schema, dataflow.result.schema);
    if let Changes::Updating { key } = &dataflow.result.changes {
        assert!(key.iter().all(|column| *column < last.schema.fields().len()));
    }
    for source in &dataflow.sources {
        if source.watermark.is_some() {
            assert!(source.bounds.is_empty(), "a batch left out would hold the watermark back");
        }
    }
}

/// EXPLAIN, in all its modes.
#[test]
fn explain() {
    let catalog = catalog(DDL);
    let tables = InMemory::default().tables();
    let planner = Planner::new();
    let cases = [
        "EXPLAIN SELECT station, count(*) AS n FROM weather GROUP BY station HAVING count(*) > 1",
        "EXPLAIN SELECT id FROM raw WHERE id > 3 AND id <= 10 AND value = 1.5",
        "EXPLAIN CREATE JOB j AS INSERT INTO hourly SELECT station, window_start, max(temp), count(*) FROM hours \
         GROUP BY station, window_start",
        "EXPLAIN INSERT INTO hourly (station, n) SELECT station, hour FROM weather",
        "EXPLAIN INSERT INTO hourly (station) SELECT w.station FROM weather /*+ OPTIONS('scan.startup.mode' = 'latest-offset') */ AS w \
         JOIN raw /*+ OPTIONS('scan.startup.mode' = 'timestamp', 'scan.startup.timestamp-millis' = '1772323207000') */ ON raw.id = w.hour",
        "EXPLAIN SELECT station, CURRENT_WATERMARK(ts) AS w FROM (SELECT * FROM weather WHERE ts > CURRENT_WATERMARK(ts)) WHERE temp > 3",
        "EXPLAIN CREATE MATERIALIZED VIEW m (s, n) AS SELECT station, count(*) FROM weather GROUP BY station",
    ];
    let mut text = String::new();
    for case in cases {
        let parsed = parse_one(case).unwrap();
        let Statement::Explain(explain) = &parsed.statement else { panic!("{case}") };
        match planner.explain(&catalog, &tables, explain).unwrap_or_else(|error| panic!("{}", error.render()))
        {
            headwater_plan::Explained::Text(plan) => writeln!(text, "{case}\n{plan}").unwrap(),
            headwater_plan::Explained::Run(plan) => panic!("{plan}"),
        }
    }
    check_snapshot("explain.txt", &text);
}
