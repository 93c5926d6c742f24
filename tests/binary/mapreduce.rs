//! MapReduce programs through the binary: by its command, and by SQL as far as the configuration allows it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::json;

use crate::process::{Server, run_badly, run_well, write};

/// Small files of a log, one an hour: more of them than a process may have open.
#[test]
fn there_may_be_more_files_of_input_than_a_process_may_open() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    std::fs::create_dir(at("in")).unwrap();
    for file in 0..300 {
        write(&dir.path().join(format!("in/{file}.txt")), &format!("w{}\t1\n", file % 10));
    }
    let script = "ulimit -n 256 && exec \"$0\" mapreduce --mapper cat --reducer 'uniq -c' --reducers 1 \
                  --input \"$1\" --output \"$2\"";
    let mut limited = std::process::Command::new("sh");
    limited.args(["-c", script, env!("CARGO_BIN_EXE_headwater"), &at("in"), &at("out")]);
    let output = limited.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let counted = std::fs::read_to_string(at("out/part-00000")).unwrap();
    let counted: Vec<Vec<&str>> = counted.lines().map(|line| line.split_whitespace().collect()).collect();
    let expect = (0..10).map(|word| vec!["30".to_owned(), format!("w{word}"), "1".to_owned()]);
    assert_eq!(counted, expect.collect::<Vec<_>>());
}

/// The most memory, in bytes, that the process had until its reducer had got all lines, which passed through `--memory`.
#[cfg(target_os = "linux")]
fn peak(memory: &str, input: &str, combiner: Option<&str>, output: &str) -> u64 {
    // Of the process that started the reducer.
    let measures = "sh -c 'cat > /dev/null && grep VmHWM /proc/$PPID/status'";
    let mut arguments =
        vec!["mapreduce", "--mapper", "cat", "--reducer", measures, "--reducers", "1", "--tasks", "1"];
    arguments.extend(["--split", "1GB", "--memory", memory, "--input", input, "--output", output]);
    arguments.extend(combiner.iter().flat_map(|combiner| ["--combiner", combiner]));
    run_well(&arguments);
    let measured = std::fs::read_to_string(Path::new(output).join("part-00000")).unwrap();
    let kilobytes = measured.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok());
    kilobytes.unwrap_or_else(|| panic!("{measured}")) << 10
}

/// Seventeen times as many lines as the memory for them holds: they are sorted on disk, so that the process needs no more than with a few
/// lines but for what it reads and writes ahead. With room for them it has all in memory, which the measurement sees.
#[cfg(target_os = "linux")]
#[test]
fn memory_is_bounded_however_much_there_is_to_sort() {
    const LINES: u64 = 900_000;
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let lines = |lines: u64| {
        let line = |n: u64| format!("{:020}\t{n:060}\n", n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        (0..lines).map(line).collect::<String>()
    };
    write(&dir.path().join("few"), &lines(1000));
    write(&dir.path().join("many"), &lines(LINES));
    let bytes = std::fs::metadata(at("many")).unwrap().len();
    assert!(bytes > 17 * (4 << 20), "{bytes}");

    let few = peak("4MB", &at("few"), None, &at("out0"));
    let bounded = peak("4MB", &at("many"), None, &at("out1"));
    let combined = peak("4MB", &at("many"), Some("cat"), &at("out2"));
    let all = peak("1GB", &at("many"), None, &at("out3"));
    let more = [bounded, combined, all].map(|peak| peak.saturating_sub(few));
    assert!(more[0] < bytes && more[1] < bytes, "{more:?} of {bytes}");
    assert!(more[2] > 2 * bytes, "{more:?} of {bytes}");
}

const MAP: &str = "#!/usr/bin/env python3
import sys
for line in sys.stdin:
    for word in line.split():
        print(f'{word}\\t1')
";

const REDUCE: &str = "#!/usr/bin/env python3
import itertools, sys
pairs = (line.rstrip('\\n').split('\\t') for line in sys.stdin)
for key, group in itertools.groupby(pairs, key=lambda pair: pair[0]):
    print(f'{key}\\t{sum(int(value) for _, value in group)}')
";

fn program(path: &Path, text: &str) -> String {
    write(path, text);
    let mut rights = std::fs::metadata(path).unwrap().permissions();
    rights.set_mode(0o755);
    std::fs::set_permissions(path, rights).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_run_by_command_and_by_statement() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (map, reduce) =
        (program(&dir.path().join("map.py"), MAP), program(&dir.path().join("reduce.py"), REDUCE));
    write(&dir.path().join("words.txt"), "to be or not\nto be\n");
    let counted = "be\t2\nnot\t1\nor\t1\nto\t2\n";
    let arguments = |output: &str| {
        [
            "mapreduce",
            "--mapper",
            &map,
            "--reducer",
            &reduce,
            "--input",
            &at("words.txt"),
            "--reducers",
            "1",
            "--output",
            output,
        ]
        .map(str::to_owned)
    };
    let words = arguments(&at("out"));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    assert_eq!(run_well(&words), "");
    assert_eq!(std::fs::read_to_string(at("out/part-00000")).unwrap(), counted);
    assert!(std::fs::exists(at("out/_SUCCESS")).unwrap());
    let error = run_badly(&words, 1);
    assert!(error.contains("is not empty"), "{error}");

    // By statement only what the configuration names.
    let config = dir.path().join("headwater.toml");
    write(&config, &format!("[mapreduce.programs]\nmap = [\"{map}\"]\nreduce = [\"{reduce}\"]\n"));
    let data = at("data");
    let server = Server::start(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--data",
        &data,
        "--config",
        config.to_str().unwrap(),
    ]);
    let create = |mapper: &str| {
        format!(
            "CREATE MAPREDUCE JOB words FROM '{}' TO '{}' WITH (mapper = '{mapper}', reducer = 'reduce', reducers = 1)",
            at("words.txt"),
            at("again")
        )
    };
    let error = run_badly(&["sql", "--url", &server.url, "-c", &create("/bin/sh")], 1);
    assert!(error.contains("allows no program '/bin/sh'"), "{error}");
    run_well(&["sql", "--url", &server.url, "-c", &create("map")]);
    let state = "SELECT state, progress, rows_in, rows_out FROM system.jobs WHERE name = 'words'";
    let wanted = json!({"state": "completed", "progress": 1.0, "rows_in": 6, "rows_out": 4});
    server.wait_until(state, |rows| rows == [wanted.clone()]).await;
    assert_eq!(std::fs::read_to_string(at("again/part-00000")).unwrap(), counted);
    run_well(&["sql", "--url", &server.url, "-c", "DROP JOB words"]);
    let left =
        run_well(&["sql", "--url", &server.url, "--format", "json", "-c", "SELECT name FROM system.jobs"]);
    assert_eq!(left, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_has_failed_does_not_run_again_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let fails = format!("#!/bin/sh\necho tried >> {}\nexit 3\n", at("tries"));
    let fails = program(&dir.path().join("fails.sh"), &fails);
    write(&dir.path().join("words.txt"), "to be\n");
    let config = dir.path().join("headwater.toml");
    write(&config, &format!("[mapreduce.programs]\nfails = [\"{fails}\"]\n"));
    let data = at("data");
    let serve = || {
        let config = config.to_str().unwrap();
        Server::start(&["serve", "--listen", "127.0.0.1:0", "--data", &data, "--config", config])
    };
    let tries = || std::fs::read_to_string(at("tries")).unwrap().lines().count();
    let state = "SELECT state, error FROM system.jobs WHERE name = 'words'";
    let is_failed = |rows: &[serde_json::Value]| rows.iter().any(|row| row["state"] == "failed");

    let server = serve();
    let create = format!(
        "CREATE MAPREDUCE JOB words FROM '{}' TO '{}' WITH (mapper = 'fails', attempts = 2)",
        at("words.txt"),
        at("out")
    );
    server.sql(&create).await;
    let failed = server.wait_until(state, is_failed).await;
    assert_eq!(tries(), 2);
    let noted = "SELECT name FROM system.catalog WHERE kind = 'failed'";
    server.wait_until(noted, |rows| rows == [json!({"name": "words"})]).await;
    server.kill();

    let server = serve();
    assert_eq!(server.rows(state).await, failed, "and it says why");
    server.sql("DROP JOB words").await;
    server.sql(&create.replace("/out", "/out2")).await;
    server.wait_until(state, is_failed).await;
    assert_eq!(tries(), 4, "made anew, it is tried anew");
}
