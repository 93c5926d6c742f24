//! Streams of changes as tables: what a query sees of them, what jobs make of them, and their versions.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use headwater_core::world::sim::SimRandom;
use headwater_ingest::{AppendRequest, Format, Payload};
use headwater_simulation::seeds;

use crate::machine::Machine;
use crate::simulation::strike;

/// Appends lines as a request over HTTP would.
pub fn send(machine: &Machine, stream: &str, format: Format, body: &str) -> u64 {
    let payload = Payload::Bytes { body: Bytes::from(body.to_owned()), format, options: None };
    let request = AppendRequest::new(stream, "http", payload);
    machine.engine().ingest().append(request).unwrap().wait().unwrap().dead_lettered
}

pub const DEVICES: &str = "CREATE STREAM devices (id STRING, site STRING NOT NULL, watts BIGINT, PRIMARY KEY (id) NOT ENFORCED) \
    WITH (format = 'debezium-json', shards = 3)";

#[test]
fn changes_are_the_rows_that_they_lead_to() {
    let machine = Machine::new(1);
    machine.sql(DEVICES);
    let body = r#"{"after":{"id":"a","site":"n","watts":1},"op":"c"}
{"after":{"id":"b","site":"n","watts":2},"op":"r"}
{"after":{"id":"a","site":"s","watts":3},"op":"u"}
{"before":{"id":"b"},"after":null,"op":"d"}
{"after":{"id":"c","site":"n","watts":4},"op":"c"}
"#;
    assert_eq!(send(&machine, "devices", Format::JsonLines, body), 0);
    assert_eq!(machine.query("SELECT * FROM devices"), ["a s 3", "c n 4"]);
    assert_eq!(machine.query("SELECT COUNT(*) FROM devices WHERE site = 'n'"), ["1"]);
    // One change as an application sends it, and several.
    let one = "{\n \"op\": \"u\",\n \"after\": {\"id\": \"c\", \"site\": \"x\"}\n}";
    assert_eq!(send(&machine, "devices", Format::JsonArray, one), 0);
    let several = r#"[{"op":"d","before":{"id":"a"}}, {"op":"c","after":{"id":"d","site":"y"}}, {"op":"q"}]"#;
    assert_eq!(send(&machine, "devices", Format::JsonArray, several), 1);
    assert_eq!(machine.query("SELECT * FROM devices"), ["c x null", "d y null"]);
    let error =
        machine.engine().define_here("CREATE STREAM x (a INT) WITH (format = 'debezium-json')").unwrap_err();
    assert!(error.to_string().contains("PRIMARY KEY (...) NOT ENFORCED names"), "{error}");
    let by_another = "CREATE STREAM x (a INT, b INT, PRIMARY KEY (a) NOT ENFORCED) PARTITIONED BY (b) WITH ('changelog.mode' = 'upsert')";
    let error = machine.engine().define_here(by_another).unwrap_err();
    assert!(error.to_string().contains("partitioned by 'b', which is not in its key"), "{error}");
}

#[test]
fn a_row_of_a_key_replaces_the_one_before() {
    let machine = Machine::new(2);
    machine.sql("CREATE STREAM t (k STRING, n BIGINT, PRIMARY KEY (k) NOT ENFORCED) WITH ('changelog.mode' = 'upsert')");
    machine.sql("CREATE MATERIALIZED VIEW total AS SELECT COUNT(*) AS rows, SUM(n) AS n FROM t");
    let body = "{\"k\":\"a\",\"n\":1}\n{\"k\":\"b\",\"n\":2}\n{\"k\":\"a\",\"n\":5}\n";
    send(&machine, "t", Format::JsonLines, body);
    machine.catch_up();
    assert_eq!(machine.query("SELECT * FROM total"), ["2 7"]);
    send(&machine, "t", Format::JsonLines, "{\"k\":\"b\",\"_weight\":-1}\n");
    machine.catch_up();
    assert_eq!(
        (machine.query("SELECT * FROM total"), machine.query("SELECT * FROM t")),
        (vec!["1 5".into()], vec!["a 5".into()])
    );
}

/// A target has one row for each of its own keys, whatever the query's key is. When the row that is shown goes, another one is.
#[test]
fn a_target_with_another_key_than_the_query_has_one_row_for_each() {
    let mut machine = Machine::new(4);
    machine.sql(DEVICES);
    machine.sql(
        "CREATE STREAM by_site (site STRING, id STRING, watts BIGINT, PRIMARY KEY (site) NOT ENFORCED) WITH ('changelog.mode' = 'upsert');
         CREATE JOB placing AS INSERT INTO by_site SELECT site, id, watts FROM devices",
    );
    let step = |machine: &Machine, body: &str, expected: &[&str]| {
        assert_eq!(send(machine, "devices", Format::JsonLines, body), 0);
        machine.catch_up();
        assert_eq!(machine.query("SELECT * FROM by_site"), expected, "{body}");
    };
    let put = |id: &str, site: &str, watts: i64| {
        format!("{{\"after\":{{\"id\":\"{id}\",\"site\":\"{site}\",\"watts\":{watts}}},\"op\":\"u\"}}\n")
    };
    let delete = |id: &str| format!("{{\"before\":{{\"id\":\"{id}\"}},\"after\":null,\"op\":\"d\"}}\n");
    step(&machine, &(put("b", "n", 2) + &put("a", "n", 1) + &put("c", "s", 3)), &["n a 1", "s c 3"]);
    machine.kill(3);
    step(&machine, &delete("a"), &["n b 2", "s c 3"]);
    step(&machine, &put("b", "s", 9), &["s b 9"]);
    machine.kill(2);
    step(&machine, &delete("b"), &["s c 3"]);
    step(&machine, &delete("c"), &[]);
    machine.engine().close_here().unwrap();
}

/// A change as JSON, and what it does to the table.
pub fn any_change(random: &SimRandom, table: &mut BTreeMap<&'static str, (&'static str, i64)>) -> String {
    let id = ["a", "b", "c", "d", "e", "f"][random.index(6)];
    let (site, watts) = (["n", "s", "w"][random.index(3)], random.below(50) as i64);
    let row = |(site, watts): (&str, i64)| format!(r#"{{"id":"{id}","site":"{site}","watts":{watts}}}"#);
    match (table.get(id).copied(), random.chance(1, 3)) {
        (Some(_), true) => {
            table.remove(id);
            // As a database says it whose log holds only the key of what was there before.
            format!("{{\"before\":{{\"id\":\"{id}\"}},\"after\":null,\"op\":\"d\"}}\n")
        }
        (before, _) => {
            table.insert(id, (site, watts));
            let (before, op) = before.map_or(("null".to_owned(), "c"), |before| (row(before), "u"));
            format!("{{\"before\":{before},\"after\":{},\"op\":\"{op}\"}}\n", row((site, watts)))
        }
    }
}

fn life(seed: u64) {
    let mut machine = Machine::new(seed);
    if seed % 2 == 1 {
        machine.use_threads();
    }
    let random = machine.sim.random("life");
    machine.step_rows_max = 1 + random.index(30);
    machine.checkpoint_interval = Duration::from_millis(1 + random.below(2_000));
    machine.restart(1 + random.index(4));
    machine.sql(DEVICES);
    let query =
        "SELECT site, COUNT(*) AS n, SUM(watts) AS watts, MAX(watts) AS most FROM devices GROUP BY site";
    machine.sql(&format!("CREATE MATERIALIZED VIEW sites AS {query}"));
    machine.sql("CREATE MATERIALIZED VIEW pairs AS SELECT l.id, r.id AS other FROM devices l JOIN devices r ON l.site = r.site AND l.watts < r.watts");
    // What a job writes into a stream of changes is read back as the same rows, by another job.
    machine.sql(
        "CREATE STREAM copy (site STRING, n BIGINT, watts BIGINT, most BIGINT, PRIMARY KEY (site) NOT ENFORCED) \
         WITH (format = 'debezium-json', shards = 2)",
    );
    machine.sql(&format!("CREATE JOB copying AS INSERT INTO copy {query}"));
    machine.sql("CREATE MATERIALIZED VIEW busiest AS SELECT MAX(n) AS n, SUM(watts) AS watts FROM copy");
    let mut table = BTreeMap::new();
    for _ in 0..12 {
        let body: String = (0..random.below(10)).map(|_| any_change(&random, &mut table)).collect();
        assert_eq!(send(&machine, "devices", Format::JsonLines, &body), 0);
        machine.turns(random.index(60));
        strike(&mut machine, &random);
        if random.chance(1, 3) {
            machine.catch_up();
            check(&machine, &table, query);
        }
    }
    machine.catch_up();
    check(&machine, &table, query);
    machine.engine().close_here().unwrap();
}

fn check(machine: &Machine, table: &BTreeMap<&'static str, (&'static str, i64)>, query: &str) {
    let rows: Vec<String> = table.iter().map(|(id, (site, watts))| format!("{id} {site} {watts}")).collect();
    assert_eq!(machine.query("SELECT * FROM devices"), rows);
    let mut sites: BTreeMap<&str, (i64, i64, i64)> = BTreeMap::new();
    for (site, watts) in table.values() {
        let (n, sum, most) = sites.get(site).copied().unwrap_or((0, 0, i64::MIN));
        sites.insert(site, (n + 1, sum + watts, most.max(*watts)));
    }
    let expected: Vec<String> =
        sites.iter().map(|(site, (n, sum, most))| format!("{site} {n} {sum} {most}")).collect();
    assert_eq!(machine.query("SELECT * FROM sites"), expected);
    assert_eq!(machine.query(query), expected);
    assert_eq!(machine.query("SELECT * FROM copy"), expected);
    let (most, sum) =
        (sites.values().map(|site| site.0).max(), sites.values().map(|site| site.1).sum::<i64>());
    let busiest = most.map_or("null null".to_owned(), |most| format!("{most} {sum}"));
    assert_eq!(machine.query("SELECT * FROM busiest"), [busiest]);
    let mut pairs: Vec<String> = Vec::new();
    for (id, (site, watts)) in table {
        let others = table.iter().filter(|(_, (s, w))| s == site && watts < w);
        pairs.extend(others.map(|(other, _)| format!("{id} {other}")));
    }
    pairs.sort();
    assert_eq!(machine.query("SELECT * FROM pairs"), pairs);
}

#[test]
fn what_is_made_of_changes_follows_them_whatever_strikes() {
    seeds::each(
        "-p headwater-run what_is_made_of_changes_follows_them_whatever_strikes",
        0..20,
        |seed, _story| life(seed),
    );
}

#[test]
fn a_row_that_is_deleted_has_no_version_from_then_on() {
    let machine = Machine::new(3);
    machine.sql(
        "CREATE STREAM prices (item STRING, price BIGINT, at TIMESTAMP(3) METADATA FROM 'value.source.timestamp' VIRTUAL, \
           WATERMARK FOR at AS at, PRIMARY KEY (item) NOT ENFORCED) WITH (format = 'debezium-json', 'clock.guard' = 'none');
         CREATE STREAM orders (id BIGINT, item STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ('clock.guard' = 'none')",
    );
    let join = |kind: &str, columns: &str| {
        format!(
            "SELECT {columns} FROM orders AS o {kind} prices FOR SYSTEM_TIME AS OF o.ts AS p ON o.item = p.item"
        )
    };
    let (inner, left) = (join("JOIN", "o.id, p.price"), join("LEFT JOIN", "o.id, p.*"));
    machine
        .sql(&format!("CREATE MATERIALIZED VIEW found AS {inner}; CREATE MATERIALIZED VIEW every AS {left}"));
    // A row that is updated, deleted, and comes again; an update as a deletion and an addition at one time.
    let body = r#"{"after":{"item":"a","price":9},"op":"c","source":{"ts_ms":1000}}
{"after":{"item":"a","price":2},"op":"u","source":{"ts_ms":3000}}
{"before":{"item":"a"},"op":"d","source":{"ts_ms":5000}}
{"after":{"item":"a","price":3},"op":"c","source":{"ts_ms":7000}}
{"before":{"item":"a","price":3},"op":"d","source":{"ts_ms":9000}}
{"after":{"item":"a","price":1},"op":"c","source":{"ts_ms":9000}}
"#;
    assert_eq!(send(&machine, "prices", Format::JsonLines, body), 0);
    let orders: Vec<String> = (0..11)
        .map(|second| {
            format!("{{\"id\":{second},\"item\":\"a\",\"ts\":\"1970-01-01T00:00:{second:02}Z\"}}\n")
        })
        .collect();
    assert_eq!(send(&machine, "orders", Format::JsonLines, &orders.concat()), 0);
    machine.finish_streams(&["prices", "orders"]);
    let price = |second: i64| match second {
        1 | 2 => Some(9),
        3 | 4 => Some(2),
        7 | 8 => Some(3),
        9 | 10 => Some(1),
        _ => None,
    };
    let mut expected: Vec<String> =
        (0..11).filter_map(|second| Some(format!("{second} {}", price(second)?))).collect();
    expected.sort();
    assert_eq!(machine.query("SELECT * FROM found"), expected);
    assert_eq!(machine.query(&inner), expected);
    let every = machine.query("SELECT * FROM every");
    assert_eq!((every.len(), every.iter().filter(|row| row.ends_with("null null null")).count()), (11, 3));
    assert_eq!(machine.query(&left), every);
}

#[test]
fn a_view_of_the_newest_rows_has_versions() {
    let machine = Machine::new(4);
    machine.sql(
        "CREATE STREAM history (item STRING, price BIGINT, at TIMESTAMP(3), WATERMARK FOR at AS at) WITH ('clock.guard' = 'none');
         CREATE STREAM orders (id BIGINT, item STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ('clock.guard' = 'none');
         CREATE VIEW prices AS SELECT item, price, at FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY item ORDER BY at DESC) AS n \
           FROM history WHERE price > 0) WHERE n = 1;
         CREATE VIEW others AS SELECT item, at FROM history",
    );
    let join = |view: &str| {
        format!(
            "SELECT o.id, p.price FROM orders AS o JOIN {view} FOR SYSTEM_TIME AS OF o.ts AS p ON o.item = p.item"
        )
    };
    machine.sql(&format!("CREATE MATERIALIZED VIEW found AS {}", join("prices")));
    let error = machine
        .engine()
        .define_here(&format!("CREATE MATERIALIZED VIEW x AS {}", join("others")))
        .unwrap_err();
    assert!(error.to_string().contains("a view, but not of the newest row of each key"), "{error}");
    let prices = [(1, 5), (3, -1), (4, 6)];
    let lines = prices.map(|(at, price)| {
        format!("{{\"item\":\"a\",\"price\":{price},\"at\":\"1970-01-01T00:00:0{at}Z\"}}\n")
    });
    send(&machine, "history", Format::JsonLines, &lines.concat());
    let orders: Vec<String> = (0..6)
        .map(|second| format!("{{\"id\":{second},\"item\":\"a\",\"ts\":\"1970-01-01T00:00:0{second}Z\"}}\n"))
        .collect();
    send(&machine, "orders", Format::JsonLines, &orders.concat());
    machine.finish_streams(&["history", "orders"]);
    let expected = ["1 5", "2 5", "3 5", "4 6", "5 6"];
    assert_eq!(machine.query("SELECT * FROM found"), expected);
    assert_eq!(machine.query(&join("prices")), expected);
    assert_eq!(machine.query("SELECT item, price FROM prices"), ["a 6"]);
}
