//! `headwater archive`, from outside: an archive made by SQL is listed, checked, tidied, found damaged and put back.

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::process::{Server, headwater, write};

struct Shell;

impl Shell {
    fn run(&self, words: &[&str]) -> Output {
        headwater(words).env("HEADWATER_LOG_LEVEL", "warn").output().unwrap()
    }

    /// What a command says; it must succeed.
    #[track_caller]
    fn says(&self, words: &[&str]) -> String {
        let output = self.run(words);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{words:?}: {out}{err}");
        out.into_owned()
    }

    #[track_caller]
    fn sql(&self, data: &Path, sql: &str) -> String {
        self.says(&["sql", "--data", &data.to_string_lossy(), "--jobs", "--format", "csv", "-c", sql])
    }
}

const CREATE: &str = "CREATE STREAM readings (device STRING, ts TIMESTAMP, n BIGINT, WATERMARK FOR ts AS ts) \
     WITH (shards = 1, 'clock.guard' = 'none');";

#[test]
fn an_archive_is_listed_checked_tidied_and_put_back() {
    let shell = Shell;
    let dir = tempfile::tempdir().unwrap();
    let (data, place) = (dir.path().join("data"), dir.path().join("archive"));
    let place = place.to_string_lossy();
    shell.sql(&data, CREATE);
    let create = format!(
        "CREATE ARCHIVE old FOR readings TO '{place}' WITH ('sink.rolling-policy.row-count' = 2, partition = 'day')"
    );
    shell.sql(&data, &create);
    let values: Vec<String> =
        (0..10).map(|n| format!("('d{n}', to_timestamp({}), {n})", n * 20_000)).collect();
    shell.sql(&data, &format!("INSERT INTO readings VALUES {}", values.join(", ")));
    // The archiver works as long as a command has the data directory open.
    let archived = |_: &u32| {
        !shell.sql(&data, "SELECT lag FROM system.archives WHERE state = 'running'").contains("\n0\n")
    };
    let tries = (0..200).take_while(archived).count();
    assert!(tries < 200, "the archive does not get there");

    let listed = shell.says(&["archive", "ls", &place]);
    assert!(listed.starts_with("readings  1 shards, 5 ranges, 10 rows,"), "{listed}");
    let files = shell.says(&["archive", "ls", "--files", &place]);
    assert!(files.lines().count() >= 5 && files.lines().all(|file| Path::new(file).is_file()), "{files}");
    assert!(shell.says(&["archive", "verify", &place]).contains(", 10 rows; 0 problems"));
    assert!(shell.says(&["archive", "compact", &place, "--grace", "0"]).contains("files are 3 now"));
    assert!(shell.says(&["archive", "verify", &place]).contains("1 ranges, 3 files, 10 rows; 0 problems"));

    let other = dir.path().join("other");
    shell.sql(&other, CREATE);
    let restored = shell.says(&["archive", "restore", &place, "--data", &other.to_string_lossy()]);
    assert_eq!(restored, "10 rows restored into readings\n");
    let all = "SELECT device, n, _sequence FROM readings ORDER BY n";
    assert_eq!(shell.sql(&other, all), shell.sql(&data, all));

    let file = shell.says(&["archive", "ls", "--files", &place]).lines().next().unwrap().to_owned();
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[20] ^= 1;
    #[expect(clippy::disallowed_methods, reason = "a test that damages a file")]
    std::fs::write(&file, bytes).unwrap();
    let damaged = shell.run(&["archive", "verify", &place]);
    assert_eq!(damaged.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&damaged.stdout).contains("damaged: "));
    let missing = shell.run(&["archive", "ls", "/nowhere/at/all"]);
    assert_eq!(missing.status.code(), Some(1));
    let none = shell.run(&["archive", "ls", &dir.path().to_string_lossy()]);
    assert!(String::from_utf8_lossy(&none.stderr).contains("HW5102"));
}

#[test]
fn a_new_data_directory_takes_over_the_archive_of_a_lost_one() {
    let shell = Shell;
    let dir = tempfile::tempdir().unwrap();
    let (data, place) = (dir.path().join("data"), dir.path().join("archive"));
    let place = place.to_string_lossy();
    let create = |more: &str| {
        format!(
            "CREATE ARCHIVE old FOR readings TO '{place}'
             WITH ('sink.rolling-policy.row-count' = 2, partition = 'day'{more})"
        )
    };
    let insert = |numbers: std::ops::Range<u32>| {
        let values: Vec<_> =
            numbers.map(|n| format!("('d{n}', to_timestamp({}), {n})", n * 20_000)).collect();
        shell.sql(&data, &format!("INSERT INTO readings VALUES {}", values.join(", ")));
        // The archiver works as long as a command has the data directory open.
        let archived = |_: &u32| {
            !shell.sql(&data, "SELECT lag FROM system.archives WHERE state = 'running'").contains("\n0\n")
        };
        assert!((0..200).take_while(archived).count() < 200, "the archive does not get there");
    };
    shell.sql(&data, CREATE);
    shell.sql(&data, &create(""));
    insert(0..10);

    std::fs::remove_dir_all(&data).unwrap();
    shell.sql(&data, CREATE);
    let refused = shell.run(&["sql", "--data", &data.to_string_lossy(), "-c", &create("")]);
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && told.contains("HW5102") && told.contains("attach = 'true'"),
        "{told}"
    );
    shell.sql(&data, &create(", attach = 'true'"));
    // As many as make whole ranges: the rest would wait for an hour.
    insert(10..14);
    let rows = shell.sql(&data, "SELECT n, _sequence FROM readings ORDER BY n");
    let expected: String = (0..14).map(|n| format!("{n},{n}\n")).collect();
    assert_eq!(rows, format!("n,_sequence\n{expected}"));
    let count = "CREATE STREAM days (d BIGINT, n BIGINT);
        CREATE JOB counting AS INSERT INTO days SELECT n / 5, n FROM readings; SELECT COUNT(*) AS n FROM readings";
    assert_eq!(shell.sql(&data, count).lines().last(), Some("14"));
    let counted = |_: &u32| !shell.sql(&data, "SELECT COUNT(*) AS n FROM days").contains("\n14\n");
    assert!((0..200).take_while(counted).count() < 200, "a job over the stream reads all of it");
    assert!(shell.says(&["archive", "verify", &place]).contains(", 14 rows; 0 problems"));
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::disallowed_methods, reason = "a test of a process has no World")]
async fn why_an_archive_cannot_be_written_is_shown_until_it_can() {
    let dir = tempfile::tempdir().unwrap();
    let (place, away) = (dir.path().join("archive"), dir.path().join("away"));
    let server = Server::serve(&dir.path().join("data"));
    server.sql(CREATE).await;
    let create = format!(
        "CREATE ARCHIVE old FOR readings TO '{}' WITH ('sink.rolling-policy.row-count' = 1)",
        place.display()
    );
    server.sql(&create).await;
    let shown = "SELECT state, retries > 0 AS tried, \"rows\", lag, last_error FROM system.archives";
    let is_well =
        |rows| vec![json!({"state": "running", "tried": false, "rows": rows, "lag": 0, "last_error": null})];
    server.sql("INSERT INTO readings VALUES ('a', to_timestamp(0), 1)").await;
    server.wait_until(shown, |found| found == is_well(1)).await;

    // Nobody can write below what is a file, not even root.
    std::fs::rename(&place, &away).unwrap();
    write(&place, "");
    server.sql("INSERT INTO readings VALUES ('a', to_timestamp(60), 2)").await;
    let is_behind = |found: &[Value]| found[0]["last_error"].is_string() && found[0]["lag"] == 1;
    let failing = server.wait_until(shown, is_behind).await;
    assert_eq!(
        (&failing[0]["state"], &failing[0]["tried"]),
        (&json!("retrying"), &json!(true)),
        "{failing:?}"
    );
    assert_eq!(failing[0]["rows"], json!(1), "{failing:?}");
    let error = failing[0]["last_error"].as_str().unwrap();
    let (place_shown, cause) = (place.to_string_lossy(), "Not a directory (os error 20)");
    assert!(
        error.starts_with("HW5101 ") && error.contains(&*place_shown) && error.contains(cause),
        "{error}"
    );
    assert_eq!(server.rows("SHOW ARCHIVES").await[0]["error"], error);

    std::fs::remove_file(&place).unwrap();
    std::fs::rename(&away, &place).unwrap();
    server.wait_until(shown, |found| found == is_well(2)).await;
    assert!(server.rows("SHOW ARCHIVES").await[0]["error"].is_null());
    assert_eq!(server.terminate(), Some(0));
}
