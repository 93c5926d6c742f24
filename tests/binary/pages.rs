//! What the README and the pages of `docs/` show can be typed at a server, one statement after the other.

use std::path::Path;

use crate::process::{Server, write};

/// A page; what it takes for granted; how many of its statements can be typed where there is neither S3 nor a database.
const PAGES: [(&str, &str, usize); 5] = [
    ("README.md", "", 20),
    (
        "docs/triggers.md",
        "CREATE STREAM readings (device STRING, ts TIMESTAMP(3), temp DOUBLE, WATERMARK FOR ts AS ts)",
        3,
    ),
    (
        "docs/alarms.md",
        "CREATE STREAM cpu (host STRING, ts TIMESTAMP(3), value DOUBLE, WATERMARK FOR ts AS ts);
         CREATE STREAM counted (n BIGINT); CREATE JOB averages AS INSERT INTO counted SELECT 1 FROM cpu",
        20,
    ),
    (
        "docs/sequences.md",
        "CREATE STREAM log_lines (ts TIMESTAMP(3), line STRING, WATERMARK FOR ts AS ts);
         CREATE STREAM visits (who STRING, ts TIMESTAMP(3), page STRING, WATERMARK FOR ts AS ts)",
        2,
    ),
    (
        "docs/replay.md",
        "CREATE STREAM observations (station STRING, ts TIMESTAMP(3), temp DOUBLE, WATERMARK FOR ts AS ts);
         CREATE TRIGGER freeze_alert ON observations WHEN temp <= 32",
        1,
    ),
];

/// What names something that a test does not have, or what comes of it.
const OUTSIDE: [&str; 4] = ["s3://", "jdbc:", "INTO counts", "FROM lines"];

#[tokio::test(flavor = "multi_thread")]
async fn what_the_pages_show_can_be_typed() {
    for (page, taken_for_granted, least) in PAGES {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        write(Path::new(&at("headwater.toml")), "[scaling.commands]\ncruncher = [\"true\"]\n");
        let (data, config) = (at("data"), at("headwater.toml"));
        let server =
            Server::start(&["serve", "--listen", "127.0.0.1:0", "--data", &data, "--config", &config]);
        for statement in statements(taken_for_granted) {
            server.sql(statement).await;
        }
        let typed = type_page(&server, page, dir.path()).await;
        assert!(typed >= least, "{page}: {typed}");
        assert_eq!(server.terminate(), Some(0));
    }
}

/// Types what a page shows, from the root of the repository; how many statements that were.
async fn type_page(server: &Server, page: &str, dir: &Path) -> usize {
    let at = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = std::fs::read_to_string(root.join(page)).unwrap();
    let fixtures = format!("path = '{}/", root.join("fixtures").to_str().unwrap());
    let mut typed = 0;
    for block in text.split("```sql\n").skip(1).filter_map(|rest| rest.split("```").next()) {
        for statement in statements(block) {
            if OUTSIDE.iter().any(|outside| statement.contains(outside)) {
                continue;
            }
            let statement = statement
                .replace("{{ HOOK_SECRET }}", "a secret")
                .replace("https://hooks.example.org", "http://127.0.0.1:9")
                .replace("path = 'may/'", &format!("path = '{}'", at("may")))
                .replace("path = 'hot/'", &format!("path = '{}'", at("hot")))
                .replace("path = 'fixtures/", &fixtures);
            server.sql(&statement).await;
            typed += 1;
        }
    }
    typed
}

/// Ready jobs, typed as their pages say; how many rows are there then. Of what ends with the year's last hour nothing is there yet.
const READY: [(&str, &[(&str, u64)]); 5] = [
    (
        "alerts",
        &[
            ("freeze_alerts", 111),
            ("stuck_sensors", 2),
            ("missing_stations", 12),
            ("returned_stations", 12),
            ("sudden_drops", 6),
        ],
    ),
    ("cpu", &[("system.scaling_activities WHERE scaled", 3), ("system.alarm_history WHERE changed", 8)]),
    ("machines", &[("drifts", 4)]),
    ("sequences", &[("sequence_alerts", 19), ("fronts", 36)]),
    ("stations", &[("hottest_stations", 363)]),
];

#[tokio::test(flavor = "multi_thread")]
async fn ready_jobs_can_be_tried_as_their_pages_say() {
    for (folder, expected) in READY {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::serve(&dir.path().join("data"));
        let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../queries").join(folder);
        let mut files: Vec<_> = std::fs::read_dir(&place).unwrap().map(|file| file.unwrap().path()).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "sql"));
        files.sort();
        for file in files {
            server.sql(&std::fs::read_to_string(file).unwrap()).await;
        }
        let typed = type_page(&server, &format!("queries/{folder}/README.md"), dir.path()).await;
        assert!(typed >= 3, "{folder}: {typed}");
        for (rows, count) in expected {
            let counted = format!("SELECT count(*) AS n FROM {rows}");
            let wanted = [serde_json::json!({ "n": count })];
            server.wait_until(&counted, |rows| rows == wanted).await;
        }
        assert_eq!(
            server.rows("SELECT record FROM system.dead_letters").await,
            Vec::<serde_json::Value>::new()
        );
        assert_eq!(server.rows("SELECT job FROM system.late_rows").await, Vec::<serde_json::Value>::new());
        assert_eq!(server.terminate(), Some(0));
    }
}

fn statements(text: &str) -> impl Iterator<Item = &str> {
    text.split(';').map(str::trim).filter(|statement| !statement.is_empty())
}
