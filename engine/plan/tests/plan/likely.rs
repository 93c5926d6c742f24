//! The twenty most likely mistakes, each another one: what is said, at which place, and what to do.

use crate::fixture::{Case, check_cases};

const DDL: &str = "
CREATE STREAM weather (station STRING, ts TIMESTAMP(3), temp DOUBLE, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND);
CREATE STREAM raw (id BIGINT, value DOUBLE, at TIMESTAMP(3));
CREATE STREAM hourly (station STRING, started TIMESTAMP(3), highest DOUBLE);
CREATE TABLE alerts (station STRING, n BIGINT) WITH (connector = 'kafka', type = 'sink', topic = 'alerts');
";

const CASES: [Case; 22] = [
    // A name that is misspelt, or not there.
    Case("SELECT tmep FROM weather", "tmep", "there is no column 'tmep'", "did you mean 'temp'?"),
    Case(
        "SELECT temp FROM wether",
        "wether",
        "there is no stream, table or view 'wether'",
        "did you mean 'weather'?",
    ),
    Case(
        "SELECT station, maxx(temp) FROM weather",
        "maxx",
        "there is no function 'maxx'",
        "did you mean 'max'?",
    ),
    Case(
        "SELECT w.temp, station FROM weather w JOIN hourly h ON w.station = h.station",
        "station FROM",
        "a column of several tables",
        "table.column",
    ),
    // Text, types and calls.
    Case(
        "SELECT temp FROM weather WHERE station = \"JFK\"",
        "\"JFK\"",
        "there is no column 'JFK'",
        "a text is written 'JFK'",
    ),
    Case("SELECT station, temp + station FROM weather", "temp + ", "there is no DOUBLE + STRING", "CAST"),
    Case("SELECT round(station) FROM weather", "round", "round() does not take these arguments", "CAST"),
    // Aggregates.
    Case(
        "SELECT max(temp), station FROM weather",
        "station FROM",
        "neither grouped by nor inside an aggregate",
        "GROUP BY",
    ),
    Case("SELECT station FROM weather WHERE max(temp) > 3 GROUP BY station", "max", "an aggregate", "HAVING"),
    // Windows.
    Case(
        "SELECT count(*) FROM TUMBLE(TABLE raw, DESCRIPTOR(at), INTERVAL '1' HOUR) GROUP BY window_end",
        "TUMBLE",
        "'raw' has no watermark",
        "WATERMARK FOR at AS",
    ),
    Case(
        "SELECT count(*) FROM TUMBLE(TABLE weather, DESCRIPTOR(ts), 60) GROUP BY window_end",
        "TUMBLE",
        "SIZE of TUMBLE is '60', not a length of time",
        "INTERVAL '5' MINUTE",
    ),
    Case(
        "SELECT count(*) FROM TUMBLE(TABLE weather, DESCRIPTOR(station), INTERVAL '1' HOUR) GROUP BY window_end",
        "TUMBLE",
        "TUMBLE needs a timestamp, but 'station' is STRING",
        "CAST it to TIMESTAMP",
    ),
    Case(
        "SELECT count(*) FROM TUMBLE(TABLE (SELECT max(ts) AS ts FROM weather GROUP BY station), DESCRIPTOR(ts), INTERVAL '1' DAY) GROUP BY window_end",
        "TUMBLE",
        "rows that change",
        "above them, not below",
    ),
    // What has no end in a stream.
    Case(
        "SELECT * FROM weather ORDER BY temp",
        "temp",
        "ORDER BY has no end",
        "sort when reading the result",
    ),
    Case("SELECT * FROM weather LIMIT 10", "10", "LIMIT has no meaning", "limit when reading"),
    Case(
        "SELECT station, sum(temp) OVER (ORDER BY ts GROUPS BETWEEN 2 PRECEDING AND CURRENT ROW) FROM weather",
        "sum",
        "frames of GROUPS do not run as a stream",
        "ROWS or RANGE",
    ),
    // What is not the same on replay.
    Case(
        "SELECT station, count(*) FROM weather WHERE ts < now() GROUP BY station",
        "now",
        "now() depends on when",
        "_arrival",
    ),
    Case(
        "SELECT floor(random() * 3) AS k, count(*) FROM weather GROUP BY floor(random() * 3)",
        "random",
        "another value each time",
        "_sequence",
    ),
    // Into a target.
    Case(
        "INSERT INTO alerts SELECT station, count(*) FROM weather GROUP BY station",
        "SELECT",
        "'alerts' only takes additions",
        "aggregate over a window",
    ),
    Case(
        "INSERT INTO hourly SELECT station, temp, ts FROM weather",
        "temp, ts",
        "column 2 'temp': DOUBLE into started TIMESTAMP(3); column 3 'ts': TIMESTAMP(3) into highest DOUBLE",
        "by position",
    ),
    Case(
        "INSERT INTO hourly SELECT station, ts FROM weather",
        "SELECT",
        "'hourly' takes 3 columns",
        "INSERT INTO t (a, b)",
    ),
    // What has a length of time, over streams without time.
    Case(
        "SELECT /*+ STATE_TTL('v' = '1 day') */ r.id FROM raw r JOIN hourly h ON r.value = h.highest",
        "'v'",
        "STATE_TTL names 'v'",
        "there are r, h",
    ),
];

#[test]
fn each_says_what_and_where_and_what_to_do() {
    check_cases(DDL, &CASES);
}
