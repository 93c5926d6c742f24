//! Tables, alarms, sinks and triggers with the connectors of this binary.

use std::time::Duration;

use futures::TryStreamExt;
use headwater_run::{Answer, Engine};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::open::Tuning;

type Bodies = Arc<Mutex<Vec<serde_json::Value>>>;

/// Takes requests of one connection each, answers 200, and keeps their bodies.
async fn receiver() -> (String, Bodies) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let bodies = Bodies::default();
    let got = Arc::clone(&bodies);
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = String::new();
            let mut part = [0; 4096];
            let body = loop {
                let read = socket.read(&mut part).await.unwrap();
                request.push_str(std::str::from_utf8(&part[..read]).unwrap());
                let body = request.split_once("\r\n\r\n").map(|(_, body)| body);
                if let Some(Ok(document)) = body.map(serde_json::from_str) {
                    break document;
                }
            };
            got.lock().push(body);
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            socket.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (url, bodies)
}

async fn run(engine: &Engine, sql: &str) -> String {
    let mut text = String::new();
    for answer in engine.execute(sql).await.unwrap_or_else(|error| panic!("{error}\n{sql}")) {
        match answer {
            Answer::Rows(rows) => {
                let batches: Vec<_> = rows.try_collect().await.unwrap();
                text += &arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string();
            }
            Answer::Done { tag, .. } => text += &tag,
        }
    }
    text
}

async fn wait_for(bodies: &Bodies, count: usize) {
    for _ in 0..12_000 {
        if bodies.lock().len() >= count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{count} deliveries do not come: {:?}", bodies.lock());
}

async fn wait_until(engine: &Engine, query: &str, shown: &str) {
    for _ in 0..12_000 {
        if run(engine, query).await.contains(shown) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{query}: not {shown:?} but {}", run(engine, query).await);
}

async fn wait_until_written_down(engine: &Engine, count: usize) {
    let query = "SELECT COUNT(*) FROM system.trigger_deliveries WHERE outcome = 'delivered'";
    wait_until(engine, query, &format!("| {count} ")).await;
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::disallowed_methods, reason = "a test makes its own files")]
async fn what_decides_over_a_table_starts_its_source() {
    let (url, bodies) = receiver().await;
    let dir = tempfile::tempdir().unwrap();
    let world = World::real();
    let connectors = Arc::new(Connectors::new(world.clone(), Allowed::default()));
    let mut options = Tuning::default().options(&world, std::path::PathBuf::new());
    options.data = None;
    let open = move || Engine::open(world, options, connectors);
    let engine = tokio::task::spawn_blocking(open).await.unwrap().unwrap();
    for name in ["alarmed", "triggered"] {
        let path = dir.path().join(name);
        std::fs::create_dir(&path).unwrap();
        let lines = "device,ts,temp\na,2026-01-01T00:00:00,31.0\na,2026-01-01T00:02:00,1.0\na,2026-01-01T00:04:00,1.0\n";
        std::fs::write(path.join("1.csv"), lines).unwrap();
        let columns = "device STRING, ts TIMESTAMP(3), temp DOUBLE, WATERMARK FOR ts AS ts";
        let with = format!("connector = 'filesystem', path = '{}', format = 'csv'", path.display());
        run(&engine, &format!("CREATE TABLE {name} ({columns}) WITH ({with})")).await;
    }
    run(&engine, &format!("CREATE TRIGGER hot ON triggered WHEN gt(temp, 30) EXECUTE WEBHOOK '{url}'")).await;
    wait_for(&bodies, 1).await;
    let alarm = "CREATE ALARM high ON alarmed STATISTIC maximum(temp) PERIOD '1 minute' \
                 WITH (comparison = '>', threshold = 30, evaluation_periods = 1)";
    let told = "CREATE TRIGGER raised ON system.alarm_history PARTITION BY (alarm, dimensions) \
                WHEN changed AND after = 'ALARM'";
    run(&engine, &format!("{told} EXECUTE WEBHOOK '{url}'")).await;
    run(&engine, alarm).await;
    // The trigger over what alarms say is told of it.
    wait_for(&bodies, 2).await;
    let firing = bodies.lock()[1]["firing"].clone();
    assert_eq!((firing["alarm"].as_str(), firing["after"].as_str()), (Some("high"), Some("ALARM")));
    engine.close().await.unwrap();
}

/// Somebody who lets the first row wait for its answer.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_sink_or_a_trigger_is_told_whatever_they_are_doing() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let world = World::real();
    let connectors = Arc::new(Connectors::new(world.clone(), Allowed::default()));
    let mut options = Tuning::default().options(&world, std::path::PathBuf::new());
    options.data = None;
    let open = move || Engine::open(world, options, connectors);
    let engine = tokio::task::spawn_blocking(open).await.unwrap().unwrap();
    let sql = format!(
        "CREATE TABLE silent (n BIGINT) WITH (connector = 'webhook', endpoint = '{url}', timeout = '1 h');
         CREATE STREAM numbers (n BIGINT);
         CREATE TRIGGER told ON numbers WHEN n > 0 EXECUTE WEBHOOK '{url}' WITH (timeout = '1 h')"
    );
    run(&engine, &sql).await;
    let undelivered = "SELECT undelivered FROM system.triggers";
    wait_until(&engine, undelivered, "| 0 ").await;
    let mut unanswered = Vec::new();
    for rows in 1..4 {
        run(&engine, "INSERT INTO silent VALUES (1); INSERT INTO numbers VALUES (1)").await;
        while unanswered.len() < 2 {
            // Both send what they have, and hear nothing.
            unanswered.push(listener.accept().await.unwrap());
        }
        let shown = format!("| {rows} ");
        let waiting = run(&engine, "SELECT lag FROM system.connectors").await;
        assert!(waiting.contains(&shown), "{rows}: {waiting}");
        wait_until(&engine, "SELECT COUNT(*) FROM told", &shown).await;
        let waiting = run(&engine, undelivered).await;
        assert!(waiting.contains(&shown), "{rows}: {waiting}");
    }
    unanswered.clear();
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_tells_its_receiver_and_a_replay_tells_nobody() {
    let (url, bodies) = receiver().await;
    let world = World::real();
    let allowed = Allowed { webhooks: Some(vec![url.clone()]), ..Allowed::default() };
    let connectors = Arc::new(Connectors::new(world.clone(), allowed));
    let mut options = Tuning::default().options(&world, std::path::PathBuf::new());
    options.data = None;
    let open = move || Engine::open(world, options, connectors);
    let engine = tokio::task::spawn_blocking(open).await.unwrap().unwrap();
    run(&engine, "CREATE STREAM readings (device STRING, ts TIMESTAMP(3), temp DOUBLE, WATERMARK FOR ts AS ts) PARTITIONED BY (device)").await;
    let other = "CREATE TRIGGER t ON readings WHEN gt(temp, 30) EXECUTE WEBHOOK 'http://example.org/'";
    let error = engine.execute(other).await.err().unwrap().to_string();
    assert!(error.contains("does not allow webhooks to http://example.org"), "{error}");
    run(&engine, &format!("CREATE TRIGGER hot ON readings WHEN gt(temp, 30) EXECUTE WEBHOOK '{url}hook'"))
        .await;
    run(&engine, "INSERT INTO readings VALUES ('a', '2026-01-01T00:00:00', 31.0)").await;
    wait_for(&bodies, 1).await;
    assert_eq!(bodies.lock()[0]["firing"]["temp"], 31.0);
    run(&engine, "TEST TRIGGER hot").await;
    wait_for(&bodies, 2).await;
    assert_eq!(bodies.lock()[1]["firing"]["cause"], "test");
    // What was cut off before it was written down would come again.
    wait_until_written_down(&engine, 2).await;
    // A pause keeps what fires; a replay fires without telling anybody.
    run(&engine, "PAUSE TRIGGER hot").await;
    run(&engine, "INSERT INTO readings VALUES ('b', '2026-01-01T00:00:01', 32.0)").await;
    let replayed = run(&engine, "REPLAY JOB hot FROM '2026-01-01' TO '2026-01-02'").await;
    assert!(replayed.contains("31.0") && replayed.contains("32.0"), "{replayed}");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(bodies.lock().len(), 2);
    run(&engine, "RESUME TRIGGER hot").await;
    wait_for(&bodies, 3).await;
    assert_eq!(bodies.lock()[2]["firing"]["device"], "b");
    let shown = run(&engine, "SHOW TRIGGERS").await;
    assert!(shown.contains("gt(temp, 30)") && shown.contains("2026-01-01T00:00:01"), "{shown}");
    wait_until_written_down(&engine, 3).await;
    run(&engine, "DROP TRIGGER hot").await;
    assert!(!run(&engine, "SELECT name FROM system.triggers").await.contains("hot"));
    engine.close().await.unwrap();
}
