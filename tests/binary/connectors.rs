//! Files in, files out, and what a table is used as.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::ports::free_port;
use crate::process::{Process, Server, headwater, run_badly, run_well, until, write};

/// A directory with `in`, `out` and `data` in it.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["in", "out"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        Self(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Writes a script in which `DIR` stands for this directory, and answers where it is.
    fn script(&self, name: &str, sql: &str) -> String {
        write(&self.path(name), &sql.replace("DIR", self.0.path().to_str().unwrap()));
        self.text(name)
    }

    /// The rows of a query over what is in the data directory, whose jobs are at rest meanwhile.
    fn rows(&self, sql: &str) -> Vec<Value> {
        let shown = run_well(&["sql", "-c", sql, "--data", &self.text("data"), "--format", "json"]);
        shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn run(&self, script: &str) -> String {
        run_well(&["run", script, "--data", &self.text("data")])
    }
}

/// The rows of all files of JSON lines in a directory, sorted as text. Files that are being written have hidden names.
fn rows_in(dir: &Path) -> Vec<Value> {
    let mut lines: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if !path.file_name().unwrap().to_str().unwrap().starts_with('.') {
            lines.extend(std::fs::read_to_string(&path).unwrap().lines().map(str::to_owned));
        }
    }
    lines.sort();
    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

const READINGS: &str = "(device STRING NOT NULL, ts TIMESTAMP(3) NOT NULL, temp DOUBLE, \
                        WATERMARK FOR ts AS ts - INTERVAL '10' SECOND)";

/// Readings of a device, one each second from second `from` on, as JSON lines.
fn readings(device: &str, from: u64, count: u64) -> String {
    let line = |second: u64| {
        let (hour, minute, second) = (10 + second / 3600, second / 60 % 60, second % 60);
        format!(
            "{{\"device\":\"{device}\",\"ts\":\"2026-03-01T{hour:02}:{minute:02}:{second:02}Z\",\"temp\":{second}.5}}\n"
        )
    };
    (from..from + count).map(line).collect()
}

#[test]
fn a_job_with_windows_runs_over_files_to_its_end_and_writes_files() {
    let place = Place::new();
    write(&place.path("in/a.jsonl"), &readings("t1", 0, 120));
    // CSV beside it, with a bad line in the middle.
    write(
        &place.path("in/b.csv"),
        "device,ts,temp\nt2,2026-03-01T10:01:50Z,1.5\nt2,yesterday,2.5\nt2,2026-03-01T10:02:30Z,3.5\n",
    );
    let job = format!(
        "CREATE TABLE readings {READINGS} WITH (connector = 'filesystem', path = 'DIR/in');
         CREATE TABLE per_minute (device STRING, minute TIMESTAMP(3), n BIGINT, mean DOUBLE)
             WITH (connector = 'filesystem', path = 'DIR/out', format = 'json');
         CREATE JOB means AS INSERT INTO per_minute
         SELECT device, window_start, COUNT(*), AVG(temp)
         FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
         GROUP BY device, window_start, window_end;"
    );
    place.run(&place.script("job.sql", &job));
    let row = |device: &str, minute: &str, n: u64, mean: f64| json!({"device": device, "minute": minute, "n": n, "mean": mean});
    assert_eq!(
        rows_in(&place.path("out")),
        [
            row("t1", "2026-03-01T10:00:00", 60, 30.0),
            row("t1", "2026-03-01T10:01:00", 60, 30.0),
            row("t2", "2026-03-01T10:01:00", 1, 1.5),
            row("t2", "2026-03-01T10:02:00", 1, 3.5),
        ]
    );
    // What is at rest shows how far it was.
    let jobs = "SELECT state, rows_in, rows_out, lag, progress, workers FROM system.jobs";
    let job = json!({"state": "at rest", "rows_in": 122, "rows_out": 4, "lag": 0, "progress": 1.0, "workers": null});
    assert_eq!(place.rows(jobs), [job]);
    let sources = "SELECT state, bounded, position FROM system.connectors WHERE role = 'source'";
    let source = place.rows(sources).remove(0);
    assert_eq!((&source["state"], &source["bounded"]), (&json!("ended"), &json!(true)), "{source}");
    let position = source["position"].as_str().unwrap();
    assert!(position.contains("a.jsonl") && position.contains("b.csv"), "{position}");
    let dead = "SELECT source, payload, reason FROM system.dead_letters";
    let dead = run_well(&["sql", "-c", dead, "--data", &place.text("data"), "--format", "json"]);
    assert_eq!(dead.lines().count(), 1, "{dead}");
    assert!(dead.contains("yesterday") && dead.contains("readings"), "{dead}");
}

#[test]
fn each_format_is_written_and_read_again() {
    for format in ["json", "csv", "parquet", "arrow"] {
        let place = Place::new();
        write(&place.path("in/a.jsonl"), &readings("t1", 0, 200));
        let there = format!(
            "CREATE TABLE readings {READINGS} WITH (connector = 'single_file', path = 'DIR/in/a.jsonl');
             CREATE TABLE copy {READINGS} WITH (connector = 'filesystem', path = 'DIR/out', format = '{format}');
             CREATE JOB copying AS INSERT INTO copy SELECT * FROM readings;"
        );
        place.run(&place.script("there.sql", &there));
        let back = format!(
            "CREATE TABLE copy_in {READINGS} WITH (connector = 'filesystem', path = 'DIR/out', format = '{format}');
             SELECT COUNT(*) AS n, MIN(ts) AS first, MAX(ts) AS last, SUM(temp) AS temp FROM copy_in;"
        );
        let found = place.run(&place.script("back.sql", &back));
        let found: Value = serde_json::from_str(&found).unwrap();
        let sum: f64 = (0..200).map(|second| f64::from(second % 60) + 0.5).sum();
        assert_eq!(
            found,
            json!({"n": 200, "first": "2026-03-01T10:00:00", "last": "2026-03-01T10:03:19", "temp": sum}),
            "{format}"
        );
    }
}

#[test]
fn generated_rows_go_to_the_black_hole_and_to_standard_output() {
    let place = Place::new();
    let script = "
        CREATE TABLE numbers (n BIGINT, text STRING)
            WITH (connector = 'datagen', number_of_rows = 1000, 'fields.n.kind' = 'sequence', 'fields.text.length' = 3);
        CREATE TABLE nowhere (n BIGINT) WITH (connector = 'blackhole');
        CREATE TABLE here WITH (connector = 'stdout');
        CREATE TABLE gone (digit BIGINT, n BIGINT) WITH (connector = 'blackhole');
        CREATE JOB away AS INSERT INTO nowhere SELECT n FROM numbers;
        CREATE JOB changing AS INSERT INTO gone SELECT n % 10, count(*) FROM numbers GROUP BY n % 10;
        CREATE JOB shown AS INSERT INTO here SELECT n, n * n AS square FROM numbers WHERE n % 250 = 0;";
    let shown = place.run(&place.script("job.sql", script));
    let lines: Vec<Value> = shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let row = |n: u64| json!({"n": n, "square": n * n});
    assert_eq!(lines, [row(0), row(250), row(500), row(750)]);
    // What jobs write there is counted and kept nowhere, changes as well as additions.
    let counted = "SELECT name, rows_out FROM system.jobs WHERE name IN ('away', 'changing') ORDER BY name";
    let counted = place.rows(counted);
    assert_eq!(counted[0], json!({"name": "away", "rows_out": 1000}));
    assert!(counted[1]["rows_out"].as_u64().unwrap() >= 10, "{counted:?}");
    // Whoever looks reads what there is of a table, also of one that nothing but its connector says the use of.
    assert_eq!(
        place.rows("SELECT count(*) AS n FROM (SELECT n FROM nowhere UNION ALL SELECT n FROM gone)"),
        [json!({"n": 0})]
    );
    assert_eq!(place.rows("SELECT count(*) AS n FROM numbers"), [json!({"n": 1000})]);
    let roles = place.rows("SELECT \"table\", role, state FROM system.connectors ORDER BY \"table\"");
    let row = |table: &str, role: &str, state: &str| json!({"table": table, "role": role, "state": state});
    assert_eq!(
        roles,
        [
            row("gone", "sink", "stopped"),
            row("here", "sink", "stopped"),
            row("nowhere", "sink", "stopped"),
            row("numbers", "source", "ended"),
        ]
    );
}

#[test]
fn mistakes_in_a_table_are_told_when_it_is_created() {
    let place = Place::new();
    for (table, told) in [
        ("(n BIGINT) WITH (connector = 'filesytem', path = 'x')", "did you mean \"filesystem\"?"),
        ("(n BIGINT) WITH (connector = 'filesystem')", "path"),
        ("(n BIGINT) WITH (connector = 'datagen', rows_per_secnd = 3)", "rows-per-second"),
        ("(n BIGINT) WITH (connector = 'blackhole', type = 'source')", "cannot be a source"),
        (
            "(n BIGINT) WITH (connector = 'single_file', path = 'DIR/x', type = 'sink', format = 'parquet')",
            "filesystem",
        ),
    ] {
        let script = place.script("bad.sql", &format!("CREATE TABLE t {table}"));
        let error = run_badly(&["run", &script, "--data", &place.text("data")], 1);
        assert!(error.contains(told), "{table}: {error}");
    }
}

#[test]
fn a_run_fails_when_its_input_or_output_does() {
    let place = Place::new();
    write(&place.path("in/a.parquet"), "this is no Parquet");
    let script = place.script(
        "bad.sql",
        "CREATE TABLE t (n BIGINT) WITH (connector = 'filesystem', path = 'DIR/in');
         CREATE TABLE o (n BIGINT) WITH (connector = 'blackhole');
         CREATE JOB j AS INSERT INTO o SELECT n FROM t;",
    );
    let error = run_badly(&["run", &script, "--data", &place.text("data")], 1);
    assert!(error.contains("HW4014") && error.contains("a.parquet"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_use_decides_and_dropping_forgets() {
    let place = Place::new();
    write(&place.path("in/a.jsonl"), "{\"n\":1}\n{\"n\":2}\n");
    let server = Server::serve(&place.path("data"));
    let files = |name: &str, dir: &str| {
        let path = place.text(dir);
        format!(
            "CREATE TABLE {name} (n BIGINT) WITH (connector = 'filesystem', path = '{path}', 'sink.rolling-policy.rollover-interval' = '50 ms')"
        )
    };
    let source = files("numbers", "in").replace(", 'sink.rolling-policy.rollover-interval' = '50 ms'", "");
    server.sql(&source).await;
    let role = "SELECT state, role FROM system.connectors WHERE \"table\" = 'numbers'";
    assert_eq!(server.rows(role).await, [json!({"state": "unused", "role": null})]);
    assert_eq!(server.rows("SELECT n FROM numbers ORDER BY n").await, [json!({"n": 1}), json!({"n": 2})]);
    server.wait_until(role, |rows| rows == [json!({"state": "ended", "role": "source"})]).await;
    let refusal = server.refusal("INSERT INTO numbers VALUES (3)").await;
    assert_eq!(refusal["code"], "HW4014", "{refusal}");
    let refusal = server.refusal("CREATE JOB back AS INSERT INTO numbers SELECT n FROM numbers").await;
    assert_eq!(refusal["code"], "HW4014", "{refusal}");
    assert_eq!(server.rows("SHOW JOBS").await, Vec::<Value>::new());
    let (status, refusal) = server.post_badly("/v1/streams/numbers", "{\"n\":3}").await;
    assert!((400..500).contains(&status) && refusal["code"] == "HW4014", "{status} {refusal}");

    // A table that is only inserted into needs no type.
    server.sql(&files("kept", "out")).await;
    server.post("/v1/streams/kept", "{\"n\":1}").await;
    server.sql("INSERT INTO kept SELECT n FROM numbers WHERE n > 1").await;
    let kept = "SELECT role, state, lag, \"rows\", position, last_error FROM system.connectors WHERE \"table\" = 'kept'";
    server
        .wait_until(kept, |rows| {
            rows == [json!({"role": "sink", "state": "running", "lag": 0, "rows": 2, "position": "{\"0\":\"2\"}", "last_error": null})]
        })
        .await;
    assert_eq!(rows_in(&place.path("out")), [json!({"n": 1}), json!({"n": 2})]);
    assert_eq!(
        server.rows("SELECT n FROM kept ORDER BY n").await.len(),
        2,
        "what went into a sink can be read"
    );

    // Dropped and made anew, both begin at the beginning.
    for table in ["kept", "numbers"] {
        server.sql(&format!("DROP TABLE {table}")).await;
    }
    assert_eq!(server.rows("SELECT * FROM system.connectors").await, Vec::<Value>::new());
    server.sql(&source).await;
    server.sql(&files("kept", "out")).await;
    server.sql("INSERT INTO kept SELECT n FROM numbers").await;
    server.wait_until(kept, |rows| rows[0]["position"] == "{\"0\":\"2\"}").await;
    assert_eq!(
        rows_in(&place.path("out")),
        [json!({"n": 1}), json!({"n": 1}), json!({"n": 2}), json!({"n": 2})]
    );
    assert_eq!(server.terminate(), Some(0));
    // At rest the log says where both stand.
    let shown = place.rows("SELECT state, position FROM system.connectors WHERE role = 'sink'");
    assert_eq!(shown, [json!({"state": "stopped", "position": "{\"0\":\"2\"}"})]);
    let shown = place.rows("SELECT position FROM system.connectors WHERE role = 'source'");
    assert!(shown[0]["position"].as_str().unwrap().contains(".jsonl"), "{shown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_each_row_comes_out_once() {
    let place = Place::new();
    let script = place.script(
        "job.sql",
        &format!(
            "CREATE TABLE IF NOT EXISTS readings {READINGS}
                 WITH (connector = 'filesystem', path = 'DIR/in', 'source.monitor-interval' = '20 ms');
             CREATE TABLE IF NOT EXISTS copy (device STRING, ts TIMESTAMP(3), temp DOUBLE)
                 WITH (connector = 'filesystem', path = 'DIR/out', 'sink.rolling-policy.rollover-interval' = '30 ms');
             CREATE TABLE IF NOT EXISTS one_file (device STRING, ts TIMESTAMP(3))
                 WITH (connector = 'single_file', path = 'DIR/one.jsonl');
             CREATE STREAM IF NOT EXISTS per_minute (device STRING, minute TIMESTAMP(3), n BIGINT);
             CREATE JOB IF NOT EXISTS copying AS INSERT INTO copy SELECT * FROM readings;
             CREATE JOB IF NOT EXISTS naming AS INSERT INTO one_file SELECT device, ts FROM readings;
             CREATE JOB IF NOT EXISTS counting AS INSERT INTO per_minute
             SELECT device, window_start, COUNT(*)
             FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
             GROUP BY device, window_start, window_end;"
        ),
    );
    let data = place.text("data");
    let (mut expected, mut name) = (String::new(), 0_u64);
    for life in 0..5 {
        let running = Process::spawn(headwater(&["run", &script, "--data", &data]));
        for _ in 0..4 {
            let lines = readings(&format!("t{}", name % 3), name * 500, 500);
            write(&place.path(&format!("in/{name:04}.jsonl")), &lines);
            expected.push_str(&lines);
            name += 1;
            tokio::time::sleep(std::time::Duration::from_millis(60 + 130 * life)).await;
        }
        // However slow the machine is, the first life comes so far that rows are written.
        until("rows are written", || {
            match std::fs::metadata(place.path("one.jsonl")).map(|file| file.len()) {
                Ok(1..) => Ok(()),
                other => Err(other),
            }
        })
        .await;
        running.kill();
    }
    let server = Server::serve(&place.path("data"));
    // What no life came to define.
    server.sql(&std::fs::read_to_string(&script).unwrap()).await;
    let all = expected.lines().count() as u64;
    server.wait_for_count("SELECT COUNT(*) FROM readings", all).await;
    for table in ["copy", "one_file"] {
        let position = format!("SELECT position FROM system.connectors WHERE \"table\" = '{table}'");
        let next = json!({ "0": all.to_string() }).to_string();
        server.wait_until(&position, |rows| rows[0]["position"] == next.as_str()).await;
    }
    let count = "SELECT COUNT(*) AS n, COUNT(DISTINCT (device, ts)) AS different FROM readings";
    assert_eq!(server.rows(count).await, [json!({"n": all, "different": all})]);
    // Windows that have closed, which are all but those of the last minute, hold each reading once.
    let parts = expected.lines().map(|line| line.split_once(",\"ts\":\"").unwrap());
    let of_devices: BTreeSet<(&str, &str)> = parts.map(|(device, rest)| (device, &rest[..16])).collect();
    let last = of_devices.iter().map(|(_, minute)| minute).max().unwrap();
    let closed = of_devices.iter().filter(|(_, minute)| minute != last).count() as u64;
    server.wait_for_count("SELECT COUNT(*) FROM per_minute", closed).await;
    let windows = server.rows("SELECT device, minute, n FROM per_minute").await;
    assert_eq!(windows.len() as u64, closed);
    for window in windows {
        let (device, minute) =
            (window["device"].as_str().unwrap(), &window["minute"].as_str().unwrap()[..16]);
        let of = format!("{{\"device\":\"{device}\",\"ts\":\"{minute}");
        let there = expected.lines().filter(|line| line.starts_with(&of)).count();
        assert_eq!(window["n"], there, "{window}");
    }
    assert_eq!(server.terminate(), Some(0));

    let names = |rows: Vec<Value>| {
        let mut names: Vec<String> = rows
            .iter()
            .map(|row| format!("{} {}", row["device"].as_str().unwrap(), &row["ts"].as_str().unwrap()[..19]))
            .collect();
        names.sort();
        names
    };
    let wanted = names(expected.lines().map(|line| serde_json::from_str(line).unwrap()).collect());
    assert_eq!(names(rows_in(&place.path("out"))), wanted);
    let one = std::fs::read_to_string(place.path("one.jsonl")).unwrap();
    assert_eq!(names(one.lines().map(|line| serde_json::from_str(line).unwrap()).collect()), wanted);
}

/// What `docs/sequences.md` says of lines in an archive, hourly and at once. An hour is 30 milliseconds here.
#[tokio::test(flavor = "multi_thread")]
async fn lines_of_an_archive_are_counted_as_objects_come_and_at_once() {
    let place = Place::new();
    let logs = place.text("in");
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/sequences.md");
    let docs = std::fs::read_to_string(docs).unwrap();
    let block = |holds: &str| {
        let found = docs.split("```sql\n").skip(1).find_map(|rest| {
            let block = rest.split("```").next()?;
            block.contains(holds).then(|| block.replace("s3://logs/web/2026-03-", &format!("{logs}/")))
        });
        found.unwrap().replace("s3://logs/web/", &logs).replace("'1 h'", "'30 ms'")
    };
    let (hourly, at_once) = (block("CREATE TABLE lines"), block("read_text('"));
    let put = |name: &str, lines: &str| {
        write(&place.path(name), lines);
        let pack = format!("cd '{logs}' && gzip -c '../{name}' > '.{name}' && mv '.{name}' '{name}.gz'");
        assert!(std::process::Command::new("sh").args(["-c", &pack]).status().unwrap().success());
    };

    let server = Server::serve(&place.path("data"));
    let nothing = server.refusal(&at_once).await;
    assert!(nothing["message"].as_str().unwrap().contains("nothing lies there"), "{nothing}");
    write(&place.path("in/1.log"), "an ERROR, and another ERROR\nfine\n");
    put("2.log", "fine\nERROR\nERROR");
    server.sql(&hourly).await;
    server.wait_until("SELECT n FROM errors", |rows| rows == [json!({"n": 3})]).await;
    put("3.log", "ERROR\n");
    server.wait_until("SELECT n FROM errors", |rows| rows == [json!({"n": 4})]).await;
    let counted = server.csv(&at_once).await;
    assert_eq!(counted.lines().nth(1), Some("3"), "of those that are packed");

    // A job over what is there comes to its end.
    let bounded = hourly.split(';').next().unwrap().replace("TABLE lines", "TABLE all_lines");
    let bounded = bounded.replace(", 'source.monitor-interval' = '30 ms'", "");
    let job = "CREATE STREAM found (line STRING);
               CREATE JOB find AS INSERT INTO found SELECT line FROM all_lines WHERE sequence_occurrences(line, 'ERROR') > 0";
    for statement in std::iter::once(bounded.as_str()).chain(job.split(';')) {
        server.sql(statement).await;
    }
    let state = "SELECT state, progress, rows_in, rows_out FROM system.jobs WHERE name = 'find'";
    let wanted = json!({"state": "completed", "progress": 1.0, "rows_in": 6, "rows_out": 4});
    server.wait_until(state, |rows| rows == [wanted.clone()]).await;
    assert_eq!(server.terminate(), Some(0));
}

/// Where objects cannot be reached the outermost error says that sending failed, and only the innermost why.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_store_that_is_away_is_told_with_the_cause() {
    let place = Place::new();
    let mut command = headwater(&["serve", "--listen", "127.0.0.1:0", "--data", &place.text("data")]);
    let endpoint = format!("http://127.0.0.1:{}", free_port());
    command.envs([
        ("AWS_ENDPOINT", endpoint.as_str()),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_REGION", "eu-west-1"),
    ]);
    command.envs([("AWS_ACCESS_KEY_ID", "someone"), ("AWS_SECRET_ACCESS_KEY", "hunter2")]);
    let server = Server::of(Process::spawn(command));
    server.sql("CREATE STREAM readings (n BIGINT)").await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let archive = "CREATE ARCHIVE old FOR readings TO 's3://bucket/readings'";
    let answer = client.post(format!("{}/v1/sql", server.url)).body(archive).send().await.unwrap();
    let (status, refusal) = (answer.status().as_u16(), answer.text().await.unwrap());
    assert!(status == 503 && refusal.contains("Connection refused"), "{status} {refusal}");
    server
        .sql("CREATE TABLE lines (line STRING) WITH (connector = 'filesystem', type = 'source', path = 's3://bucket/in/', format = 'raw')")
        .await;
    server.sql("CREATE MATERIALIZED VIEW found AS SELECT line FROM lines").await;
    let why = "SELECT last_error AS error FROM system.connectors";
    let is_told =
        |row: &Value| row["error"].as_str().is_some_and(|error| error.contains("Connection refused"));
    let rows = server.wait_until(why, |rows| rows.len() == 1 && rows.iter().all(is_told)).await;
    assert!(!rows[0]["error"].as_str().unwrap().contains("hunter2"), "{rows:?}");
    server.kill();
}
