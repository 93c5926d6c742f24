//! Partitions of files that are told to be complete, with jobs behind them.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::process::{Server, run_well, until, write};

/// The folders of a day's minutes, such as `10:01`, and whether each is committed.
fn minutes_in(day: &Path) -> Vec<(String, bool)> {
    let Ok(folders) = std::fs::read_dir(day) else { return Vec::new() };
    let minute = |folder: std::fs::DirEntry| {
        let name = folder.file_name().into_string().unwrap();
        (name.strip_prefix("hm=").unwrap().replace("%3A", ":"), folder.path().join("_SUCCESS").exists())
    };
    let mut minutes: Vec<_> = folders.map(|folder| minute(folder.unwrap())).collect();
    minutes.sort();
    minutes
}

/// The lines of all files of a folder, but for headers.
fn lines_in(folder: &Path) -> usize {
    let texts = std::fs::read_dir(folder).unwrap().map(|file| std::fs::read_to_string(file.unwrap().path()));
    texts.map(|text| text.unwrap().lines().filter(|line| !line.starts_with("auction")).count()).sum()
}

/// The script of Nexmark's authors for q10, with other paths and shorter intervals, over an auction that ends: as a job and as a statement.
#[test]
fn all_partitions_are_committed_at_the_end_of_what_is_written() {
    for mode in ["streaming", "batch"] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_str().unwrap();
        let script = format!(
            "CREATE TABLE bid (auction BIGINT, bidder BIGINT, price BIGINT, channel VARCHAR, url VARCHAR, `dateTime` TIMESTAMP(3),
               extra VARCHAR, WATERMARK FOR `dateTime` AS `dateTime` - INTERVAL '4' SECOND)
             WITH ('connector' = 'nexmark', 'table' = 'bid', 'events.num' = '10000', 'first-event.rate' = '20',
               'start-time' = '2026-01-01T00:00:00Z');
             CREATE TABLE fs_sink (auction BIGINT, bidder BIGINT, price BIGINT, `dateTime` TIMESTAMP(3), extra VARCHAR,
               dt STRING, hm STRING)
             PARTITIONED BY (dt, hm) WITH (
               'connector' = 'filesystem',
               'path' = 'file://{path}/bid/',
               'format' = 'csv',
               'sink.partition-commit.trigger' = 'partition-time',
               'sink.partition-commit.delay' = '1 min',
               'sink.partition-commit.policy.kind' = 'success-file',
               'partition.time-extractor.timestamp-pattern' = '$dt $hm:00',
               'sink.rolling-policy.rollover-interval' = '1min',
               'sink.rolling-policy.check-interval' = '1min'
             );
             SET 'execution.runtime-mode' = '{mode}';
             INSERT INTO fs_sink
             SELECT auction, bidder, price, `dateTime`, extra, DATE_FORMAT(`dateTime`, 'yyyy-MM-dd'), DATE_FORMAT(`dateTime`, 'HH:mm')
             FROM bid;"
        );
        write(&dir.path().join("q10.sql"), &script);
        run_well(&["run", &format!("{path}/q10.sql"), "--data", &format!("{path}/data")]);
        let day = dir.path().join("bid/dt=2026-01-01");
        let minutes: Vec<(String, bool)> = (0..9).map(|minute| (format!("00:0{minute}"), true)).collect();
        assert_eq!(minutes_in(&day), minutes, "{mode}");
        let lines = minutes
            .iter()
            .map(|(minute, _)| lines_in(&day.join(format!("hm={}", minute.replace(':', "%3A")))));
        assert_eq!(lines.sum::<usize>(), 9_200, "{mode}");
    }
}

/// One reading each second of the day's eleventh hour.
fn readings(from: u64, to: u64) -> String {
    let line = |second: u64| {
        let (minute, second) = (second / 60, second % 60);
        format!("{{\"n\":{second},\"ts\":\"2026-03-01T10:{minute:02}:{second:02}Z\"}}\n")
    };
    (from..to).map(line).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_is_committed_as_the_watermark_of_a_job_passes_it_also_after_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let (data, day) = (dir.path().join("data"), dir.path().join("out/dt=2026-03-01"));
    std::fs::create_dir(dir.path().join("in")).unwrap();
    write(&dir.path().join("in/1.jsonl"), &readings(0, 125));
    let server = Server::serve(&data);
    for statement in [
        format!(
            "CREATE TABLE readings (n BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '10' SECOND)
             WITH (connector = 'filesystem', path = '{path}/in', 'source.monitor-interval' = '20 ms')"
        ),
        format!(
            "CREATE TABLE minutes (n BIGINT, dt STRING, hm STRING) PARTITIONED BY (dt, hm)
             WITH (connector = 'filesystem', path = '{path}/out', format = 'json', 'sink.rolling-policy.rollover-interval' = '50 ms',
               'sink.partition-commit.trigger' = 'partition-time', 'sink.partition-commit.delay' = '1 min',
               'sink.partition-commit.policy.kind' = 'success-file', 'partition.time-extractor.timestamp-pattern' = '$dt $hm:00')"
        ),
        "CREATE JOB by_minute AS INSERT INTO minutes
         SELECT n, DATE_FORMAT(ts, 'yyyy-MM-dd'), DATE_FORMAT(ts, 'HH:mm') FROM readings"
            .to_owned(),
    ] {
        server.sql(&statement).await;
    }
    let minutes = |of: [bool; 3]| {
        ["10:00", "10:01", "10:02"].map(str::to_owned).into_iter().zip(of).collect::<Vec<_>>()
    };
    let become_so = async |of: [bool; 3]| {
        let found = || match minutes_in(&day) {
            found if found == minutes(of) => Ok(()),
            found => Err(found),
        };
        until("partitions are committed", found).await;
        // The next one must not follow, and would within half a second.
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        assert_eq!(minutes_in(&day), minutes(of));
    };
    // Time has come to 10:01:54, and no more rows come.
    become_so([true, false, false]).await;
    assert_eq!(lines_in(&day.join("hm=10%3A00")), 60);
    let shown = server.rows("SELECT state, last_error FROM system.connectors WHERE role = 'sink'").await;
    assert_eq!(shown, [json!({"state": "running", "last_error": null})]);
    let shown = server.rows("SHOW CREATE TABLE minutes").await;
    assert!(shown[0].to_string().contains("sink.partition-commit.policy.kind"), "{shown:?}");
    server.kill();

    // 10:02:09, of which the process that died has heard nothing.
    write(&dir.path().join("in/2.jsonl"), &readings(125, 140));
    let server = Server::serve(&data);
    become_so([true, true, false]).await;
    assert_eq!(lines_in(&day.join("hm=10%3A01")), 60);

    // What a job that is gone wrote last is not whole.
    server.sql("DROP JOB by_minute").await;
    server.sql("INSERT INTO minutes VALUES (1, '2026-03-01', '10:02')").await;
    server
        .wait_until("SELECT lag FROM system.connectors WHERE role = 'sink'", |rows| {
            rows == [json!({"lag": 0})]
        })
        .await;
    become_so([true, true, false]).await;
    assert_eq!(server.terminate(), Some(0));
    assert_eq!(minutes_in(&day), minutes([true, true, false]));
    let server = Server::serve(&data);
    become_so([true, true, false]).await;
    assert_eq!(server.terminate(), Some(0));
}
