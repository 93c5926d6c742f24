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
        let text = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(page);
        let text = std::fs::read_to_string(text).unwrap();
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
                    .replace("path = 'hot/'", &format!("path = '{}'", at("hot")));
                server.sql(&statement).await;
                typed += 1;
            }
        }
        assert!(typed >= least, "{page}: {typed}");
        assert_eq!(server.terminate(), Some(0));
    }
}

fn statements(text: &str) -> impl Iterator<Item = &str> {
    text.split(';').map(str::trim).filter(|statement| !statement.is_empty())
}
