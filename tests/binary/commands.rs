//! Every command as its users call it: what it writes, and how it ends.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::process::{Process, Server, headwater, run, run_badly, run_well, write};

/// A data directory with a stream of two shards and some rows.
fn data_in(dir: &Path) -> String {
    let data = dir.join("data").to_str().unwrap().to_owned();
    let script = "CREATE STREAM readings (device STRING NOT NULL, temp DOUBLE) PARTITIONED BY (device) WITH (shards = 2);
                  INSERT INTO readings SELECT 'device ' || value, value * 0.5 FROM generate_series(1, 100);";
    assert_eq!(run_well(&["sql", "--data", &data, "--format", "json", "-c", script]), "");
    data
}

/// The file that holds the rows.
fn largest_file(data: &str) -> PathBuf {
    let mut files: Vec<PathBuf> = vec![PathBuf::from(data)];
    let mut found: Vec<(u64, PathBuf)> = Vec::new();
    while let Some(path) = files.pop() {
        match std::fs::read_dir(&path) {
            Ok(entries) => files.extend(entries.map(|entry| entry.unwrap().path())),
            Err(_) => found.push((std::fs::metadata(&path).unwrap().len(), path)),
        }
    }
    // The catalog and its copy are as long as there are streams; rows are elsewhere.
    found.into_iter().filter(|(_, path)| path.extension().is_none_or(|end| end != "hwc")).max().unwrap().1
}

/// Runs SQL from standard input, and answers the exit code and what was written to both outputs.
fn pipe(arguments: &[&str], script: &str) -> (Option<i32>, String, String) {
    let mut command = headwater(arguments);
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_piped_in_is_a_script() {
    let dir = tempfile::tempdir().unwrap();
    let data = data_in(dir.path());
    // What is set in a script is so for the statements behind it, also for a server that gets them one by one.
    let good = "CREATE STREAM IF NOT EXISTS timed (device STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts);\n\
                SET 'ttl' = '1 hour';\nEXPLAIN SELECT device, COUNT(*) FROM timed\n  GROUP BY device;\nSELECT 1 AS a;\n";
    let bad = "SELECT 1 AS a;\nSELECT nothing FROM readings;\nSELECT 2 AS a;\n";
    let check = |place: [&str; 2]| {
        let arguments = ["sql", place[0], place[1], "--format", "json"];
        let (code, shown, errors) = pipe(&arguments, good);
        assert_eq!(code, Some(0), "{errors}");
        assert!(shown.contains("ttl=3600s") && shown.ends_with("{\"a\":1}\n"), "{shown}");
        let (code, shown, errors) = pipe(&arguments, bad);
        assert_eq!((code, shown.as_str()), (Some(1), "{\"a\":1}\n"), "{errors}");
        assert!(errors.contains("HW3003") && errors.contains("line 2, column 8"), "{errors}");
    };
    check(["--data", &data]);
    let server = Server::serve(Path::new(&data));
    check(["--url", &server.url]);
    assert_eq!(server.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_goes_into_a_stream_or_step_by_step() {
    let dir = tempfile::tempdir().unwrap();
    let data = data_in(dir.path());
    let server = Server::serve(Path::new(&data));
    server.rows("CREATE MATERIALIZED VIEW warm AS SELECT device, temp FROM readings WHERE temp > 49").await;
    server.wait_until("SELECT count(*) AS n FROM warm", |rows| rows == [json!({"n": 2})]).await;
    let into = ["replay", "warm", "--url", &server.url, "--into", "again"];
    assert_eq!(run_well(&into), "REPLAY 2 INTO again\n");
    let error = run_badly(&into, 1);
    assert!(error.contains("again has 2 rows") && error.contains("HW4015"), "{error}");
    let compared = |place: [&str; 2]| {
        let compare = [&["replay", "warm", "--diff"][..], &place].concat();
        let shown = run_well(&[&compare[..], &["--format", "table"]].concat());
        assert!(shown.ends_with("2 rows in both, 0 differences\n"), "{place:?}: {shown}");
        let output = run(&[&compare[..], &["--format", "json"]].concat());
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.stdout.is_empty() && told.contains("2 rows in both, 0 differences"),
            "{place:?}: {told}"
        );
    };
    compared(["--url", &server.url]);
    let stretch = ["replay", "warm", "--url", &server.url, "--from", "2026-03-02", "--to", "2026-03-02"];
    let error = run_badly(&stretch, 1);
    assert!(error.contains("HW4015") && error.contains("nothing lies from 2026-03-02T00:00:00Z"), "{error}");
    let error = run_badly(&["replay", "a/../b?c", "--url", &server.url], 1);
    assert!(error.contains("HW4011: there is no job a/../b?c;"), "{error}");
    let error = run_badly(&["replay", "warm", "--url", &format!("{}/below/", server.url)], 1);
    assert!(error.contains("there is no POST /below/v1/jobs/warm/replay"), "{error}");
    let steps = ["replay", "warm", "--url", &server.url, "--step"];
    let (code, shown, errors) = pipe(&steps, &"\n".repeat(100));
    assert_eq!(code, Some(0), "{errors}");
    let shows = |text: &str| {
        let first = text.starts_with("step 1: ")
            && text.contains(" rows in, watermark none yet\n  readings: shard 0 at ");
        first && text.contains("\"temp\":50.0}")
    };
    assert!(shows(&shown) && shown.ends_with("there are no more steps\n"), "{shown}");
    let (code, shown, _) = pipe(&steps, "q\n");
    assert_eq!((code, shown.matches("step ").count()), (Some(0), 1), "{shown}");
    server.wait_until("SELECT id FROM system.replays", |rows| rows.is_empty()).await;
    assert_eq!(server.terminate(), Some(0));
    // The same without a server. The stream that was made is there.
    compared(["--data", &data]);
    let steps = ["replay", "warm", "--data", &data, "--step"];
    let (code, shown, errors) = pipe(&steps, &"\n".repeat(100));
    assert_eq!(code, Some(0), "{errors}");
    assert!(shows(&shown) && shown.ends_with("there are no more steps\n"), "{shown}");
    let query = ["sql", "--data", &data, "--format", "json", "-c", "SELECT count(*) AS n FROM again"];
    assert_eq!(run_well(&query), "{\"n\":2}\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_answers_alike_from_a_server_and_from_a_directory_in_every_format() {
    let dir = tempfile::tempdir().unwrap();
    let data = data_in(dir.path());
    let query = "SELECT device, temp FROM readings WHERE temp < 2 ORDER BY temp";
    let local = |format: &str| run(&["sql", "--data", &data, "--format", format, "-c", query]).stdout;
    let formats = ["table", "json", "csv", "arrow"];
    let answers = formats.map(local);
    let text = |nth: usize| String::from_utf8(answers[nth].clone()).unwrap();
    assert!(text(0).contains("| device 1 | 0.5  |") && text(0).ends_with("3 rows\n"), "{}", text(0));
    let line = |n: u32| format!("{{\"device\":\"device {n}\",\"temp\":{:?}}}\n", f64::from(n) / 2.0);
    assert_eq!(text(1), (1..=3).map(line).collect::<String>());
    assert_eq!(text(2), "device,temp\ndevice 1,0.5\ndevice 2,1.0\ndevice 3,1.5\n");

    let server = Server::serve(Path::new(&data));
    for (format, answer) in formats.iter().zip(&answers) {
        let remote = run(&["sql", "--url", &server.url, "--format", format, "-c", query]).stdout;
        assert_eq!(String::from_utf8_lossy(&remote), String::from_utf8_lossy(answer), "{format}");
    }
    // The usual format of a pipe, several statements, and a mistake in the second one.
    let both = run_well(&["sql", "--url", &server.url, "-c", "SELECT 1 AS a; SELECT 2 AS b"]);
    assert_eq!(both, "{\"a\":1}\n{\"b\":2}\n");
    let error = run_badly(&["sql", "--url", &server.url, "-c", "SELECT 1;\n  SELECT x FROM readings"], 1);
    assert!(error.contains("HW3003") && error.contains("line 2, column 10"), "{error}");
    assert_eq!(server.terminate(), Some(0));
    let error = run_badly(&["sql", "--data", &data, "-c", "SELECT 1;\n  SELECT x FROM readings"], 1);
    assert!(error.contains("HW3003") && error.contains("line 2, column 10"), "{error}");

    // Arrow, read by another program: this one.
    let file = dir.path().join("rows.arrow");
    Write::write_all(&mut std::fs::File::create(&file).unwrap(), &answers[3]).unwrap();
    let table = format!(
        "CREATE TABLE back (device STRING, temp DOUBLE) WITH (connector = 'single_file', path = '{}'); SELECT SUM(temp) AS sum FROM back",
        file.display()
    );
    assert_eq!(run_well(&["sql", "--data", &data, "--format", "json", "-c", &table]), "{\"sum\":3.0}\n");
}

#[test]
fn statements_may_begin_with_a_comment_and_a_flag_wins_over_the_environment() {
    let dir = tempfile::tempdir().unwrap();
    let data = data_in(dir.path());
    let ask = |url: &str, arguments: &[&str]| {
        let mut command = headwater(&["sql", "--format", "json"]);
        let output = command.args(arguments).env("HEADWATER_URL", url).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), errors)
    };
    let commented = "-- how many\nSELECT COUNT(*) AS n FROM readings";
    let nobody = "http://127.0.0.1:1";
    for command in ["-c", "--command"] {
        let (code, rows, errors) = ask(nobody, &["--data", &data, command, commented]);
        assert_eq!((code, rows.as_str()), (Some(0), "{\"n\":100}\n"), "{errors}");
    }
    let (code, _, errors) = ask(nobody, &["-c", "SELECT 1"]);
    assert!(code == Some(1) && errors.contains("no answer from http://127.0.0.1:1"), "{errors}");
    let (code, _, errors) = ask(nobody, &["--url", "http://127.0.0.1:2", "-c", "SELECT 1"]);
    assert!(code == Some(1) && errors.contains("no answer from http://127.0.0.1:2"), "{errors}");
    // Said twice it is a contradiction.
    assert_eq!(ask(nobody, &["--data", &data, "--url", nobody, "-c", "SELECT 1"]).0, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_in_definitions_are_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    let data = data_in(dir.path());
    let create = "CREATE TABLE outside (a INT) WITH (connector = 'jdbc', url = 'jdbc:postgresql://127.0.0.1:1/x', \
                  username = 'fleet', password = 'hunter2')";
    run_well(&["sql", "--data", &data, "-c", create]);
    let shown = create.replace("hunter2", "(hidden)");
    let dumped = run_well(&["log", "dump", "system.catalog", "--data", &data, "--format", "json"]);
    assert!(dumped.contains("(hidden)") && !dumped.contains("hunter2"), "{dumped}");
    let server = Server::serve(Path::new(&data));
    let sql = "SELECT text FROM system.catalog WHERE name = 'outside'";
    assert_eq!(server.rows(sql).await, [json!({"text": shown})]);
    assert_eq!(server.rows(&format!("{sql} AND text LIKE '%hunter2%'")).await, [] as [Value; 0]);
    // Whoever follows the stream is not told either.
    let url = format!("{}/v1/streams/system.catalog/tail?from=earliest", server.url);
    let mut tail = reqwest::Client::builder().no_proxy().build().unwrap().get(url).send().await.unwrap();
    let mut heard = String::new();
    while !heard.contains("(hidden)") {
        heard.push_str(std::str::from_utf8(&tail.chunk().await.unwrap().unwrap()).unwrap());
        assert!(!heard.contains("hunter2"), "{heard}");
    }
}

#[test]
fn what_the_engine_has_not_written_to_yet_is_empty() {
    let dir = tempfile::tempdir().unwrap();
    let data = data_in(dir.path());
    for stream in [
        "alarm_history",
        "scaling_activities",
        "scaling_progress",
        "scaling_attempts",
        "trigger_deliveries",
        "job_metrics",
    ] {
        let sql = format!("SELECT COUNT(*) AS n FROM system.{stream}");
        let counted = run_well(&["sql", "--data", &data, "--format", "json", "-c", &sql]);
        assert_eq!(counted, "{\"n\":0}\n", "{stream}");
    }
}

#[test]
fn settings_are_refused_with_the_place_where_they_are_chosen() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data").to_str().unwrap().to_owned();
    let set = |sql: &str| run(&["sql", "--data", &data, "--format", "table", "-c", sql]);
    let taken = set("SET 'table.local-time-zone' = 'UTC'; SET 'execution.runtime-mode' = 'streaming'");
    assert_eq!(String::from_utf8_lossy(&taken.stdout), "SET\nSET\n");
    let passed_over = set("SET 'parallelism.default' = 4; SET 'execution.checkpointing.interval' = '10 s'");
    let told = String::from_utf8_lossy(&passed_over.stderr).into_owned();
    assert!(told.contains("--workers") && told.contains("--checkpoint-seconds"), "{told}");
    for (sql, told) in [
        ("SET timezone = 'Europe/Berlin'", "AT TIME ZONE"),
        ("SET 'table.exec.emit.early-fire.delay' = '5 s'", "EMIT EVERY"),
        ("SET 'execution.savepoint.path' = '/tmp/s'", "begins with the first row"),
        ("SET timezon = 'UTC'", "timezone"),
    ] {
        let error = run_badly(&["sql", "--data", &data, "-c", sql], 1);
        assert!(
            error.contains("HW3005") && error.contains(told) && error.contains("line 1, column 5"),
            "{error}"
        );
    }
}

#[test]
fn the_log_is_listed_checked_and_dumped() {
    let dir = tempfile::tempdir().unwrap();
    let data = data_in(dir.path());
    let listed = run_well(&["log", "ls", "--data", &data]);
    assert!(listed.contains("readings  2 shards, 100 rows, Disk"), "{listed}");
    let verified = run_well(&["log", "verify", "--data", &data]);
    assert!(verified.ends_with("; 0 damages\n"), "{verified}");
    let repaired = run_well(&["log", "repair", "--data", &data]);
    assert_eq!(repaired, "there is nothing to repair\n");
    let dumped = run_well(&["log", "dump", "readings", "--data", &data, "--format", "json"]);
    let mut temps: Vec<f64> = dumped
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["temp"].as_f64().unwrap())
        .collect();
    temps.sort_by(f64::total_cmp);
    assert_eq!(temps, (1..=100).map(|n| f64::from(n) / 2.0).collect::<Vec<_>>());
    let some = ["log", "dump", "readings", "--data", &data, "--shard", "1", "--from", "3", "--limit", "2"];
    assert_eq!(run_well(&[&some[..], &["--format", "csv"]].concat()).lines().count(), 3);
    let error = run_badly(&["log", "dump", "readigns", "--data", &data], 1);
    assert!(error.contains("HW1001") || error.contains("readigns"), "{error}");
    let error = run_badly(&["log", "ls", "--data", "/nowhere/at/all"], 1);
    assert!(error.contains("is not a directory"), "{error}");
}

#[test]
fn what_looks_at_a_log_makes_none() {
    let dir = tempfile::tempdir().unwrap();
    let (other, missing) = (dir.path().join("other"), dir.path().join("missing"));
    std::fs::create_dir(&other).unwrap();
    let commands: [&[&str]; 5] = [
        &["log", "ls"],
        &["log", "verify"],
        &["log", "repair", "--yes"],
        &["log", "dump", "readings"],
        &["replay", "averages"],
    ];
    for command in commands {
        let at = |place: &Path| run_badly(&[command, &["--data", place.to_str().unwrap()]].concat(), 1);
        let error = at(&other);
        assert!(error.contains("other is no data directory: there is no log in it"), "{command:?}: {error}");
        let error = at(&missing);
        assert!(error.contains("missing is not a directory"), "{command:?}: {error}");
    }
    assert_eq!(std::fs::read_dir(&other).unwrap().count(), 0);
    assert!(!missing.exists());
}

#[test]
fn damage_is_found_named_and_repaired() {
    let dir = tempfile::tempdir().unwrap();
    let data = data_in(dir.path());
    let file = largest_file(&data);
    let mut bytes = std::fs::read(&file).unwrap();
    // In the rows: a byte of the last quarter of what is written.
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    let rows = "device 50".as_bytes();
    let at = bytes.windows(rows.len()).position(|window| window == rows).unwrap_or(end / 2);
    bytes[at] ^= 0x40;
    Write::write_all(&mut std::fs::File::create(&file).unwrap(), &bytes).unwrap();

    let verified = run(&["log", "verify", "--data", &data]);
    let said = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert_eq!(verified.status.code(), Some(3), "{said}");
    assert!(
        said.contains("damaged: ") && said.contains(" at byte ") && !said.contains("; 0 damages"),
        "{said}"
    );
    // Reading it fails, with a code of its own; nothing is passed over.
    let error = run(&["sql", "--data", &data, "-c", "SELECT SUM(temp), MAX(device) FROM readings"]);
    let told = String::from_utf8_lossy(&error.stderr).into_owned();
    assert_eq!(error.status.code(), Some(3), "{told}");
    assert!(told.contains("HW1012") && told.contains("damaged at byte"), "{told}");

    let planned = run_well(&["log", "repair", "--data", &data]);
    assert!(
        planned.contains("lost: stream ") && planned.ends_with("nothing was changed; --yes does it\n"),
        "{planned}"
    );
    assert_eq!(run(&["log", "verify", "--data", &data]).status.code(), Some(3), "it was not changed");
    let done = run_well(&["log", "repair", "--data", &data, "--yes"]);
    assert!(done.contains("lost: stream ") && done.ends_with("done\n"), "{done}");
    run_well(&["log", "verify", "--data", &data]);
    // What is lost stays a hole that is told of; the other shard is whole.
    for query in ["SELECT SUM(temp) FROM readings", "SELECT COUNT(*) FROM readings"] {
        let error = run_badly(&["sql", "--data", &data, "-c", query], 3);
        assert!(error.contains("HW1012") && error.contains("were lost"), "{query}: {error}");
    }
    let left = run_well(&["log", "dump", "readings", "--data", &data, "--shard", "1", "--format", "json"]);
    assert_eq!(left.lines().count(), 48, "{left}");
}

#[test]
fn exit_codes_and_help() {
    let dir = tempfile::tempdir().unwrap();
    let data = data_in(dir.path());
    assert_eq!(run(&["nonsense"]).status.code(), Some(2));
    assert_eq!(run(&["sql", "--format", "xml", "-c", "SELECT 1"]).status.code(), Some(2));
    assert_eq!(run(&["replay", "j", "--from", "someday"]).status.code(), Some(2));
    for speed in ["nan", "0", "-1", "inf", "fast"] {
        let error = run_badly(&["replay", "j", "--speed", speed], 2);
        assert!(error.contains("60 lets a minute pass in a second"), "{error}");
    }
    for address in ["localhost:8585", "8585", ":8585", "127.0.0.1", "127.0.0.1:99999"] {
        let error = run_badly(&["serve", "--listen", address], 2);
        assert!(error.contains("an IP address and a port, such as 127.0.0.1:8585"), "{error}");
    }
    for url in ["localhost:8585", "127.0.0.1:8585", "nonsense", "ftp://127.0.0.1"] {
        let error = run_badly(&["sql", "--url", url, "-c", "SELECT 1"], 1);
        assert!(error.contains("is not a URL") && error.contains("http://127.0.0.1:8585"), "{error}");
    }
    let help = run_well(&["--help"]);
    assert!(help.contains("Exit codes") && help.contains("headwater demo"), "{help}");
    for command in ["serve", "run", "sql", "replay", "log", "bench", "demo", "completions"] {
        let help = run_well(&[command, "--help"]);
        assert!(
            help.contains("Example") && help.contains(&format!("headwater {command}")),
            "{command}: {help}"
        );
    }
    let error = run_badly(&["run", "no-such-file.sql", "--data", &data], 1);
    assert!(error.contains("no-such-file.sql"), "{error}");
    let error = run_badly(&["sql", "--url", "http://127.0.0.1:1", "-c", "SELECT 1"], 1);
    assert!(error.contains("is a server running?"), "{error}");
    // A reader that has seen enough is no failure.
    let many = "SELECT value FROM generate_series(1, 300000)";
    let pipe = format!(
        "'{}' sql --data '{data}' --format json -c '{many}' | head -n 1",
        headwater(&[]).get_program().to_str().unwrap()
    );
    let output = Command::new("bash").args(["-o", "pipefail", "-c", &pipe]).output().unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b"{\"value\":1}\n"[..]));
}

#[test]
fn a_run_that_goes_on_is_ended_by_a_signal() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data").to_str().unwrap().to_owned();
    let script = dir.path().join("endless.sql");
    write(
        &script,
        "CREATE TABLE t (n BIGINT) WITH (connector = 'datagen', rows_per_second = 100, 'fields.n.kind' = 'sequence');
         CREATE TABLE o (n BIGINT) WITH (connector = 'stdout');
         CREATE JOB j AS INSERT INTO o SELECT n FROM t;",
    );
    let mut process = Process::start(&["run", script.to_str().unwrap(), "--data", &data]);
    process.wait_for("{\"n\":5}");
    // A second engine on the same directory is told why it cannot be.
    let error = run_badly(&["sql", "--data", &data, "-c", "SELECT 1"], 1);
    assert!(error.contains("HW10") && error.contains("data"), "{error}");
    process.signal("INT");
    assert_eq!(process.end().0, Some(130));
}

#[test]
fn shells_complete() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run_well(&["completions", shell]);
        assert!(script.contains("headwater") && script.contains("checkpoint-seconds"), "{shell}");
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("headwater.bash");
    write(&file, &run_well(&["completions", "bash"]));
    let complete = "source \"$1\"; COMP_WORDS=(headwater se); COMP_CWORD=1; _headwater headwater se headwater; echo \"${COMPREPLY[@]}\"";
    let output = Command::new("bash").args(["-c", complete, "-", file.to_str().unwrap()]).output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "serve\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Runs a bench once, and answers with what it measured.
fn measured(bench: &[&str]) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let common = ["--runs", "1", "--json", "--dir", dir.path().to_str().unwrap()];
    let measured: Value = serde_json::from_str(&run_well(&[&["bench"], bench, &common].concat())).unwrap();
    assert_eq!(measured["bench"], bench[0]);
    assert!(
        measured["setup"]["processors"].is_string() && measured["setup"]["version"].is_string(),
        "{measured}"
    );
    for figure in measured["figures"].as_array().unwrap() {
        assert!(figure["value"].as_f64().unwrap() > 0.0, "{figure}");
        assert!(figure["name"].is_string() && figure["unit"].is_string(), "{figure}");
    }
    assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none(), "it clears up behind it");
    measured
}

/// The names of what was measured, and where there is an aim.
fn names(measured: &Value) -> Vec<(&str, bool)> {
    let figures = measured["figures"].as_array().unwrap().iter();
    figures.map(|figure| (figure["name"].as_str().unwrap(), figure["aim"].is_string())).collect()
}

#[test]
fn a_bench_writes_what_it_measured() {
    assert!(!names(&measured(&["json"])).is_empty());

    let append = measured(&["append", "--batches", "3"]);
    let rows = append["setup"]["rows"].as_str().unwrap();
    assert!(rows.starts_with("3 batches of 1000 rows of 1 KiB"), "{rows}");
    assert_eq!(
        names(&append),
        [
            ("one shard", false),
            ("syncs, one shard", false),
            ("plain write, as many bytes and syncs", false),
            ("one shard / plain write", true),
            ("1000 shards", false),
            ("1000 shards / one shard", true),
            ("one row to each of 1000 shards / one shard", false),
        ]
    );
    // What waits together is committed together, and the file that is begun is synced, too.
    let syncs = append["figures"][1]["value"].as_f64().unwrap();
    assert!((1.0..=8.0).contains(&syncs), "{syncs}");

    let replay = measured(&["replay", "--batches", "2"]);
    let rows = replay["setup"]["rows"].as_str().unwrap();
    assert!(rows.starts_with("131072 of 10 BIGINT columns"), "{rows}");
    assert_eq!(
        names(&replay),
        [
            ("two of ten columns, filter and sum", true),
            ("all ten columns, filter and sum", false),
            ("two columns / all ten", true),
            ("two columns / all ten, read and verified alone", false),
            ("COUNT(*) from headers", false),
        ]
    );
}

#[test]
fn log_lines_are_json_if_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let data = data_in(dir.path());
    let arguments = [
        "sql",
        "--data",
        &data,
        "--format",
        "json",
        "--log-format",
        "json",
        "-c",
        "CREATE STREAM s (n BIGINT)",
    ];
    let output = run(&arguments);
    let lines: Vec<Value> = String::from_utf8(output.stderr)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
        .collect();
    let done = lines.iter().find(|line| line["message"] == "CREATE STREAM").unwrap();
    assert_eq!(done["level"], json!("INFO"));
    assert!(done["timestamp"].is_string());
    let quiet =
        run(&[&arguments[..7], &["--log-level", "error", "-c", "CREATE STREAM t (n BIGINT)"]].concat());
    assert_eq!(String::from_utf8_lossy(&quiet.stderr), "");
}

#[test]
fn a_script_shows_what_came_before_an_error_and_in_which_file_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (data, file) = (dir.path().join("data"), dir.path().join("wrong.sql"));
    write(&file, "SELECT 41 + 1 AS answer;\nSELECT nope;\n");
    let file = file.to_str().unwrap();
    let output = run(&["run", file, "--data", data.to_str().unwrap(), "--format", "json"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "{\"answer\":42}\n");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("at line 2, column 8") && error.contains(&format!("in {file}")), "{error}");
}
