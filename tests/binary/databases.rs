//! A table of a real database follows a result that changes, through the death of the process; and a job looks rows up in one.

use std::path::Path;
use std::time::Duration;

use crate::process::{Server, until};
use crate::server::{Kind, PASSWORD, Server as Database};

fn script(database: &Database) -> String {
    let url = database.url();
    format!(
        "CREATE STREAM readings (device STRING NOT NULL, temp DOUBLE);
         CREATE TABLE counts (device STRING, n BIGINT, mean DOUBLE, PRIMARY KEY (device) NOT ENFORCED)
             WITH (connector = 'jdbc', url = '{url}', username = 'tests', password = '{PASSWORD}', \
                   'auto.create' = 'true', 'sink.buffer-flush.interval' = '10 ms');
         CREATE JOB count_all AS INSERT INTO counts SELECT device, COUNT(*), AVG(temp) FROM readings GROUP BY device;"
    )
}

async fn follow(kind: Kind) {
    let Some(database) = Database::start(kind) else { return };
    let dir = tempfile::tempdir().unwrap();
    let data: &Path = dir.path();
    let mut server = Server::serve(data);
    server.sql(&script(&database)).await;
    let rows = 40 * 25;
    for batch in 0..40 {
        let line = |n: u32| format!("{{\"device\":\"d{}\",\"temp\":{}}}\n", (batch * 25 + n) % 7, n % 5);
        server.post("/v1/streams/readings", &(0..25).map(line).collect::<String>()).await;
        if batch % 15 == 14 {
            server.kill();
            server = Server::serve(data);
        }
    }
    let settled = "SELECT state, lag FROM system.connectors WHERE \"table\" = 'counts'";
    let total = "SELECT SUM(n) FROM counts";
    // Only what is in the table counts, but then the sink must have nothing left to say either. The sink makes the table.
    until("all rows are counted", || match database.try_ask(total) {
        Ok(found) if found == rows.to_string() => Ok(()),
        other => Err(other),
    })
    .await;
    server.wait_until(settled, |shown| shown[0]["lag"] == 0).await;
    assert_eq!(database.ask(total), rows.to_string());
    let expected = (0..7).map(|device| {
        let own: Vec<f64> =
            (0..rows).filter(|row| row % 7 == device).map(|row| f64::from(row % 25 % 5)).collect();
        format!("d{device}\t{}\t{:.3}", own.len(), own.iter().sum::<f64>() / own.len() as f64)
    });
    let mean = match kind {
        Kind::Postgres => "ROUND(mean::numeric, 3)",
        Kind::MariaDb => "CAST(mean AS DECIMAL(10, 3))",
    };
    let found = database.ask(&format!("SELECT device, n, {mean} FROM counts ORDER BY device"));
    assert_eq!(found, expected.collect::<Vec<_>>().join("\n"));
    let tables = server.sql("SHOW TABLES").await;
    assert!(tables.contains("counts") && !tables.contains(PASSWORD), "{tables}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_of_postgres_follows_an_updating_query() {
    follow(Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_of_mariadb_follows_an_updating_query() {
    follow(Kind::MariaDb).await;
}

/// Several rows of the result may have the table's key: when one goes, another is there.
async fn keep_one(kind: Kind) {
    let Some(database) = Database::start(kind) else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::serve(dir.path());
    let url = database.url();
    server
        .sql(&format!(
            "CREATE STREAM moves (device STRING NOT NULL, site STRING, n BIGINT);
             CREATE TABLE occupied (site STRING, device STRING, PRIMARY KEY (site) NOT ENFORCED)
                 WITH (connector = 'jdbc', url = '{url}', username = 'tests', password = '{PASSWORD}', 'auto.create' = 'true');
             CREATE JOB occupying AS INSERT INTO occupied SELECT site, device FROM \
                 (SELECT *, ROW_NUMBER() OVER (PARTITION BY device ORDER BY n DESC) AS nth FROM moves) WHERE nth = 1"
        ))
        .await;
    for (moved, expect) in [
        ("d1 north 1,d2 north 2", "north\td1"),
        ("d1 south 3", "north\td2\nsouth\td1"),
        ("d2 south 4", "south\td1"),
        ("d1 west 5", "south\td2\nwest\td1"),
    ] {
        let line = |moved: &str| {
            let part: Vec<&str> = moved.split(' ').collect();
            format!("{{\"device\":\"{}\",\"site\":\"{}\",\"n\":{}}}\n", part[0], part[1], part[2])
        };
        server.post("/v1/streams/moves", &moved.split(',').map(line).collect::<String>()).await;
        let rows = "SELECT site, device FROM occupied ORDER BY site";
        until(moved, || match database.try_ask(rows) {
            Ok(found) if found == expect => Ok(()),
            other => Err(other),
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_keeps_a_row_while_the_result_has_one_of_its_key() {
    keep_one(Kind::Postgres).await;
}

/// A job looks rows up: the database dies and comes back, the process dies, the table changes; no row is left out.
async fn look_up(kind: Kind) {
    let Some(mut database) = Database::start(kind) else { return };
    database.ask("CREATE TABLE devices (id varchar(20) PRIMARY KEY, site varchar(20), floor int)");
    database.ask("INSERT INTO devices VALUES ('d0', 'north', 1), ('d1', 'south', 2)");
    let dir = tempfile::tempdir().unwrap();
    let server = Server::serve(dir.path());
    let url = database.url();
    server
        .sql(&format!(
            "CREATE STREAM readings (device STRING NOT NULL, n BIGINT, at AS PROCTIME());
             CREATE TABLE devices (id STRING, site STRING, floor INT, PRIMARY KEY (id) NOT ENFORCED)
                 WITH (connector = 'jdbc', url = '{url}', username = 'tests', password = '{PASSWORD}', \
                       'lookup.cache' = 'PARTIAL', 'lookup.partial-cache.max-rows' = '1000');
             CREATE STREAM placed (device STRING, n BIGINT, site STRING, floor BIGINT);
             CREATE JOB placing AS INSERT INTO placed SELECT r.device, r.n, d.site, d.floor FROM readings AS r \
                 LEFT JOIN devices FOR SYSTEM_TIME AS OF r.at AS d ON r.device = d.id AND d.floor > 0"
        ))
        .await;
    let post = async |server: &Server, numbers: std::ops::Range<u32>| {
        let line = |n: u32| format!("{{\"device\":\"d{}\",\"n\":{n}}}\n", n % 3);
        server.post("/v1/streams/readings", &numbers.map(line).collect::<String>()).await;
    };
    let count = "SELECT COUNT(*) AS n FROM placed";
    post(&server, 0..30).await;
    server.wait_for_count(count, 30).await;

    // What was answered once is kept, also over the death of the process, whatever the table says now.
    database.ask("UPDATE devices SET site = 'elsewhere'");
    server.kill();
    let server = Server::serve(dir.path());
    post(&server, 30..60).await;
    server.wait_for_count(count, 60).await;

    // While the database is away, a row with a new key holds the job back, and it says why.
    database.kill();
    server.post("/v1/streams/readings", "{\"device\":\"d9\",\"n\":60}\n").await;
    post(&server, 61..63).await;
    let jobs = "SELECT state, error FROM system.jobs WHERE name = 'placing'";
    let held = server.wait_until(jobs, |rows| rows[0]["error"].is_string()).await;
    let error = held[0]["error"].as_str().unwrap();
    assert!(
        held[0]["state"] == "running" && error.contains("HW4006") && !error.contains(PASSWORD),
        "{held:?}"
    );
    assert_eq!(server.rows(count).await[0]["n"], 60);
    database.run();
    database.ask("INSERT INTO devices VALUES ('d9', 'new', 9)");
    server.wait_for_count(count, 63).await;

    let found =
        server.csv("SELECT device, site, floor, COUNT(*) AS n FROM placed GROUP BY 1, 2, 3 ORDER BY 1").await;
    let new = found.lines().last().unwrap();
    assert!(
        ["d9,new,9,1", "d9,,,1"].contains(&new),
        "the row came before or after its answer was there: {found}"
    );
    let others: Vec<_> = found.lines().skip(1).take(3).collect();
    assert_eq!(others, ["d0,north,1,20", "d1,south,2,21", "d2,,,21"], "{found}");
    assert_eq!(server.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_looked_up_in_postgres() {
    look_up(Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_looked_up_in_mariadb() {
    look_up(Kind::MariaDb).await;
}

/// A job keeps a whole table in memory: the table changes, the database dies and comes back, the process dies; no row is left out.
async fn look_up_in_memory(kind: Kind) {
    const INTERVAL: Duration = Duration::from_millis(500);
    let Some(mut database) = Database::start(kind) else { return };
    database.ask("CREATE TABLE devices (id varchar(20) PRIMARY KEY, site varchar(20), floor int)");
    database.ask("INSERT INTO devices VALUES ('d0', 'north', 1), ('d1', 'south', 2)");
    let dir = tempfile::tempdir().unwrap();
    let server = Server::serve(dir.path());
    let url = database.url();
    server
        .sql(&format!(
            "CREATE STREAM readings (device STRING NOT NULL, n BIGINT);
             CREATE TABLE devices (id STRING, site STRING, floor INT, PRIMARY KEY (id) NOT ENFORCED)
                 WITH (connector = 'jdbc', url = '{url}', username = 'tests', password = '{PASSWORD}', 'lookup.cache' = 'FULL', \
                       'lookup.full-cache.periodic-reload.interval' = '{} ms');
             CREATE MATERIALIZED VIEW placed AS SELECT r.device, r.n, d.site FROM readings AS r \
                 LEFT JOIN devices FOR SYSTEM_TIME AS OF PROCTIME() AS d ON r.device = d.id",
            INTERVAL.as_millis()
        ))
        .await;
    let post = async |server: &Server, numbers: std::ops::Range<u32>| {
        let line = |n: u32| format!("{{\"device\":\"d{}\",\"n\":{n}}}\n", n % 3);
        server.post("/v1/streams/readings", &numbers.map(line).collect::<String>()).await;
    };
    let count = "SELECT COUNT(*) AS n FROM placed";
    post(&server, 0..30).await;
    server.wait_for_count(count, 30).await;

    // What is read again is what is said then, also of keys that were answered before.
    database.ask("UPDATE devices SET site = 'elsewhere'");
    tokio::time::sleep(INTERVAL).await;
    post(&server, 30..60).await;
    server.wait_for_count(count, 60).await;

    // While the database is away the job goes on with the rows that it has.
    database.kill();
    tokio::time::sleep(INTERVAL).await;
    post(&server, 60..90).await;
    server.wait_for_count(count, 90).await;
    let jobs = "SELECT state, error FROM system.jobs WHERE name = 'placed'";
    let job = server.rows(jobs).await;
    assert!(job[0]["state"] == "running" && job[0]["error"].is_null(), "{job:?}");

    // A new process has none: it waits for them.
    server.kill();
    let server = Server::serve(dir.path());
    post(&server, 90..120).await;
    let held = server.wait_until(jobs, |rows| rows[0]["error"].is_string()).await;
    let error = held[0]["error"].as_str().unwrap();
    assert!(error.contains("HW4006") && !error.contains(PASSWORD), "{held:?}");
    assert_eq!(server.rows(count).await[0]["n"], 90);
    database.run();
    database.ask("UPDATE devices SET site = 'back'");
    server.wait_for_count(count, 120).await;

    let found = "SELECT n / 30 AS part, site, COUNT(*) AS n FROM placed WHERE device <> 'd2' AND n < 90 GROUP BY 1, 2 ORDER BY 1, 2";
    let found = server.csv(found).await;
    let lines: Vec<_> = found.lines().skip(1).collect();
    assert_eq!(lines, ["0,north,10", "0,south,10", "1,elsewhere,20", "2,elsewhere,20"], "{found}");
    let missing = server.rows("SELECT COUNT(*) AS n FROM placed WHERE device = 'd2' AND site IS NULL").await;
    assert_eq!(missing[0]["n"], 40);
    assert_eq!(server.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_table_of_postgres_is_kept_in_memory() {
    look_up_in_memory(Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_table_of_mariadb_is_kept_in_memory() {
    look_up_in_memory(Kind::MariaDb).await;
}
