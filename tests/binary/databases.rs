//! A table of a real database follows a result that changes, through the death of the process.

use std::path::Path;

use crate::process::Server;
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
    for _ in 0..600 {
        // Only what is in the table counts, but then the sink must have nothing left to say either.
        let shown = server.rows(settled).await;
        if database.ask(total) == rows.to_string() && shown[0]["lag"] == 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(
        database.ask(total),
        rows.to_string(),
        "{:?}",
        server.rows("SELECT * FROM system.connectors").await
    );
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
