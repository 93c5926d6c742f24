//! Replays: where their rows go, that they are seen and can be ended, that they go step by step, and what they leave alone.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use headwater_core::{EventTime, ShardId, World};
use headwater_log::ReadSpec;
use headwater_run::{Answer, Engine, NoConnectors, ReplayReport, ReplaySpec};

use crate::machine::{Machine, Reading, in_memory, text_of};

const QUERY: &str = "SELECT device, window_start, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) \
    GROUP BY device, window_start, window_end";

fn readings() -> Vec<Reading> {
    (0..600).map(|nth| (["a", "b", "c", "d"][(nth % 4) as usize], nth * 1_000, nth)).collect()
}

/// A machine whose job has said all that it will.
fn machine() -> Machine {
    let machine = Machine::new(3);
    machine.create_readings(2);
    machine.sql(&format!(
        "CREATE STREAM counts (device STRING, at TIMESTAMP(3), n BIGINT); CREATE JOB job AS INSERT INTO counts {QUERY}"
    ));
    for some in readings().chunks(100) {
        machine.append(some);
        machine.turns(30);
    }
    machine.finish();
    machine
}

fn into(machine: &Machine, target: &str) -> Result<ReplayReport, String> {
    let spec = ReplaySpec { job: "job".into(), into: Some(target.into()), ..ReplaySpec::default() };
    machine.engine().replay_here(&spec).map_err(|error| error.to_string())
}

fn sorted(mut rows: Vec<String>) -> Vec<String> {
    rows.sort();
    rows
}

#[test]
fn the_stream_that_a_replay_makes_is_one_like_any_other() {
    let mut machine = machine();
    let report = into(&machine, "again").unwrap();
    let said = sorted(machine.rows("counts"));
    assert_eq!((report.rows_out, report.rows.len()), (said.len() as u64, 0), "they are not kept in memory");
    assert_eq!(sorted(machine.rows("again")), said);
    for _ in 0..2 {
        machine.restart(2);
        assert_eq!(sorted(machine.rows("again")), said, "it is there after a start");
    }
    machine.sql("ALTER STREAM again ADD COLUMN note STRING");
    machine.sql(
        "CREATE MATERIALIZED VIEW total AS SELECT SUM(n) AS n FROM again; DROP MATERIALIZED VIEW total; DROP STREAM again",
    );
    // It can be made again under the same name.
    into(&machine, "again").unwrap();
    assert_eq!(sorted(machine.rows("again")), said);
}

#[test]
fn rows_go_where_their_keys_belong() {
    let machine = machine();
    machine.sql("CREATE STREAM spread (device STRING, at TIMESTAMP(3), n BIGINT) PARTITIONED BY (device) WITH (shards = 4)");
    into(&machine, "spread").unwrap();
    let info = machine.log().stream_named("spread").unwrap();
    let mut wanted = Vec::new();
    for row in machine.rows("counts") {
        let device: arrow::array::ArrayRef =
            Arc::new(arrow::array::StringArray::from(vec![row.split(' ').next().unwrap()]));
        let hash = headwater_core::hash::hash_rows(&[device]).unwrap()[0];
        wanted.push((headwater_core::hash::shard_of(hash, 4), row));
    }
    let mut found = Vec::new();
    for (shard, bounds) in (0..).map(ShardId).zip(machine.log().bounds(info.id).unwrap()) {
        let mut reader = machine
            .log()
            .read(ReadSpec { until: Some(bounds.next), ..ReadSpec::all(info.id, shard) })
            .unwrap();
        while let Some(read) = reader.next().unwrap() {
            found.extend(text_of(&read.rows).into_iter().map(|row| (shard, row)));
        }
    }
    wanted.sort();
    found.sort();
    assert_eq!(found, wanted);
    let shards: std::collections::BTreeSet<_> = found.iter().map(|(shard, _)| *shard).collect();
    assert!(shards.len() > 1, "{shards:?}");
}

#[test]
fn a_replay_does_not_mix_with_other_rows() {
    let machine = machine();
    machine.sql(
        "CREATE MATERIALIZED VIEW latest AS SELECT device, MAX(value) AS top FROM readings GROUP BY device; \
         CREATE STREAM narrow (device STRING, n BIGINT); CREATE VIEW shown AS SELECT * FROM counts",
    );
    into(&machine, "again").unwrap();
    for (target, reason) in [
        ("readings", "it would read its own results"),
        ("counts", "job job writes into counts"),
        ("latest", "latest is a materialized view"),
        ("shown", "shown is a view"),
        ("system.late_rows", "is the engine's own"),
        ("again", "those of the replay would be added to them"),
        ("narrow", "stream narrow has 2 columns, the results have 3"),
        ("job", "job is a job"),
    ] {
        let error = into(&machine, target).err().unwrap_or_else(|| panic!("{target} is taken"));
        assert!(error.contains(reason), "{target}: {error}");
    }
}

/// Rows of others in the job's stream cannot be told from its own. Of two definitions both sides are replayed, so they do not matter.
#[test]
fn two_definitions_are_compared_over_the_same_stretch() {
    let machine = machine();
    machine.insert("counts", "SELECT 'stranger', TIMESTAMP '1970-01-01 00:03:00', 7");
    let seconds = |second: i64| Some(EventTime(second * 1_000_000_000));
    let compare = |query: Option<String>| {
        let (from, to) = (seconds(120), seconds(360));
        let spec = ReplaySpec { job: "job".into(), from, to, diff: true, query, ..ReplaySpec::default() };
        machine.engine().replay_here(&spec).map(|report| {
            let text = |rows: &[arrow::array::RecordBatch]| rows.iter().flat_map(text_of).collect::<Vec<_>>();
            (text(&report.only_before), text(&report.only_now), report.in_both)
        })
    };
    let (before, now, both) = compare(None).unwrap();
    assert_eq!((before.len(), now.len(), both), (1, 0, 16), "{before:?}");
    assert!(before[0].starts_with("stranger"), "{before:?}");
    assert_eq!(compare(Some(QUERY.to_owned())).unwrap(), (Vec::new(), Vec::new(), 16));
    let other = QUERY.replace("COUNT(*)", "COUNT(*) + CASE device WHEN 'a' THEN 1 ELSE 0 END");
    let (before, now, both) = compare(Some(other)).unwrap();
    assert_eq!((before.len(), now.len(), both), (4, 4, 12), "{before:?} {now:?}");
    assert!(before.iter().chain(&now).all(|row| row.starts_with("a ")), "{before:?} {now:?}");
    // A second job that writes there is known, and refused with the way out.
    machine.sql(&format!("CREATE JOB second AS INSERT INTO counts {QUERY}"));
    let error = compare(None).err().unwrap().to_string();
    assert!(error.contains("job second writes into counts") && error.contains("--query"), "{error}");
    assert_eq!(compare(Some(QUERY.to_owned())).unwrap().2, 16);
}

async fn rows(engine: &Engine, sql: &str) -> Vec<String> {
    let answers = engine.execute(sql).await.unwrap_or_else(|error| panic!("{error}\n{sql}"));
    match answers.into_iter().last() {
        Some(Answer::Rows(rows)) => {
            let batches: Vec<_> = rows.try_collect().await.unwrap();
            batches.iter().flat_map(text_of).collect()
        }
        Some(Answer::Done { tag, .. }) => vec![tag],
        None => Vec::new(),
    }
}

/// Asks until the answer is as expected, at most for a while.
async fn eventually(engine: &Engine, sql: &str, expect: &[&str]) {
    for _ in 0..12_000 {
        if rows(engine, sql).await == expect {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(rows(engine, sql).await, expect, "{sql}");
}

/// An engine in real time, with a view over ten minutes of events.
async fn engine() -> Engine {
    let engine = Engine::open(World::real(), in_memory(), Arc::new(NoConnectors)).unwrap();
    engine
        .execute(
            "CREATE STREAM events (k BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ('clock.guard' = 'none');
             INSERT INTO events SELECT value, to_timestamp(1767225600 + value) FROM generate_series(0, 599);
             CREATE MATERIALIZED VIEW evens AS SELECT k, ts FROM events WHERE k % 2 = 0",
        )
        .await
        .unwrap();
    eventually(&engine, "SELECT count(*) FROM evens", &["300"]).await;
    engine
}

const UNDER_WAY: &str = "SELECT id, job, target, speed, rows_out > 0 FROM system.replays";

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_is_seen_and_can_be_cancelled() {
    let engine = engine().await;
    // In real time this takes ten minutes.
    let replaying = {
        let engine = engine.clone();
        tokio::spawn(async move {
            engine.execute("REPLAY JOB evens INTO again AT SPEED 1").await.map(drop).unwrap_err()
        })
    };
    eventually(&engine, UNDER_WAY, &["1 evens again 1.0 true"]).await;
    let error =
        engine.execute("REPLAY JOB evens INTO again AT SPEED 1").await.map(drop).unwrap_err().to_string();
    assert!(error.contains("would be added") || error.contains("writes into again already"), "{error}");
    let error = engine.execute("CANCEL REPLAY 7").await.map(drop).unwrap_err().to_string();
    assert!(error.contains("there is no replay 7"), "{error}");
    assert_eq!(rows(&engine, "CANCEL REPLAY 1").await, ["CANCEL REPLAY"]);
    let error = replaying.await.unwrap();
    assert_eq!(error.code().to_string(), "HW4025");
    assert!(error.to_string().contains("again keeps what it has written"), "{error}");
    eventually(&engine, UNDER_WAY, &[]).await;
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_bound_is_tried_in_sql_before_it_is_let_loose() {
    let engine = engine().await;
    engine
        .execute(
            "CREATE TRIGGER hundreds ON events PARTITION BY () WHEN k % 100 = 0 WITH (start = 'earliest');
             CREATE ALARM high ON events STATISTIC maximum(k) PERIOD '1 minute'
             WITH (comparison = '>', threshold = 1000, history = changes)",
        )
        .await
        .unwrap();
    eventually(&engine, "SELECT k FROM hundreds ORDER BY k", &["0", "100", "200", "300", "400", "500"]).await;
    let fired = async |sql: &str| -> Vec<String> {
        let all = rows(&engine, sql).await;
        all.iter().map(|row| row.split(' ').nth(3).unwrap().to_owned()).collect()
    };
    let stretch = "REPLAY TRIGGER hundreds FROM '2026-01-01 00:02:00' TO '2026-01-01 00:06:00'";
    assert_eq!(fired(stretch).await, ["200", "300"]);
    let other = "CREATE TRIGGER fifties ON events PARTITION BY () WHEN k % 50 = 0";
    assert_eq!(fired(&format!("{stretch} AS {other}")).await, ["150", "200", "250", "300", "350"]);
    let lower = "REPLAY ALARM high AS CREATE ALARM high ON events STATISTIC maximum(k) PERIOD '1 minute' \
                 WITH (comparison = '>', threshold = 100, history = changes)";
    let said = rows(&engine, lower).await;
    let states = [" high  INSUFFICIENT_DATA OK true", " high  OK ALARM true"];
    assert_eq!(said.len(), 2, "{said:?}");
    for (row, states) in said.iter().zip(states) {
        assert!(row.contains(states), "{row}");
    }
    // Nothing of it is there, nor has it changed what is.
    eventually(&engine, "SELECT count(*) FROM hundreds", &["6"]).await;
    assert!(engine.catalog().get("fifties").is_none());
    let error =
        engine.execute("REPLAY TRIGGER hundreds AS SELEKT 1").await.map(drop).unwrap_err().to_string();
    assert!(error.contains("SELECT"), "{error}");
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_ends_when_nobody_wants_it_any_more() {
    let engine = engine().await;
    let spec = ReplaySpec { job: "evens".into(), speed: Some(1.0), ..ReplaySpec::default() };
    let waited = tokio::time::timeout(Duration::from_millis(300), engine.replay(spec.clone())).await;
    assert!(waited.is_err(), "it takes ten minutes");
    eventually(&engine, UNDER_WAY, &[]).await;
    let mut rows = engine.replay_rows(spec.clone()).await.unwrap();
    assert!(rows.next().await.unwrap().unwrap().num_rows() > 0);
    let seen = "SELECT job, target, rows_out > 0 FROM system.replays";
    eventually(&engine, seen, &["evens null true"]).await;
    drop(rows);
    eventually(&engine, UNDER_WAY, &[]).await;
    // One that is wanted comes to its end.
    let all = engine.replay_rows(ReplaySpec { speed: None, ..spec.clone() }).await.unwrap();
    let all: Vec<_> = all.try_collect().await.unwrap();
    assert_eq!(all.iter().map(|batch| batch.num_rows()).sum::<usize>(), 300);
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_another_definition_cannot_compute_are_counted_and_go_to_the_dead_letters() {
    let engine = engine().await;
    let query = Some("SELECT 100 / (k - 300) AS k, ts FROM events".to_owned());
    let spec = ReplaySpec { job: "evens".into(), query, ..ReplaySpec::default() };
    let said: Vec<_> = engine.replay_rows(spec.clone()).await.unwrap().try_collect().await.unwrap();
    assert_eq!(said.iter().map(|batch| batch.num_rows()).sum::<usize>(), 599);
    let letters = "SELECT source, stream, code, reason, CAST(payload AS STRING) FROM system.dead_letters";
    let found = rows(&engine, letters).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("replay 1 of job evens events HW4001 Project: "), "{found:?}");
    assert!(found[0].contains("ivide by zero") && found[0].contains(r#""k":300"#), "{found:?}");

    let report = engine.replay(ReplaySpec { diff: true, ..spec.clone() }).await.unwrap();
    assert_eq!((report.rows_in, report.rows_out, report.uncomputed), (600, 599, 1));
    let into = "REPLAY JOB evens INTO quotients AS SELECT 100 / (k - 300) AS k, ts FROM events";
    let done = engine.execute(into).await.unwrap().pop();
    let Some(Answer::Done { tag, notes }) = done else { panic!("it answers no rows") };
    assert_eq!(tag, "REPLAY 599 INTO quotients");
    assert_eq!(notes, ["1 rows could not be computed: see system.dead_letters"]);
    // All are counted; of a definition that is wrong for all rows not all are kept.
    let query = Some(
        "SELECT CAST('x' || k AS BIGINT) AS k FROM events UNION ALL SELECT 1 / (k - k) FROM events"
            .to_owned(),
    );
    let report = engine.replay(ReplaySpec { query, ..spec.clone() }).await.unwrap();
    assert_eq!((report.rows_out, report.uncomputed), (0, 1_200));
    let of_last = "SELECT COUNT(*) FROM system.dead_letters WHERE source = 'replay 4 of job evens'";
    assert_eq!(rows(&engine, of_last).await, ["1000"]);

    let mut steps = engine.replay_steps(spec).await.unwrap();
    let mut uncomputed = 0;
    while let Some(step) = steps.next().await.unwrap() {
        uncomputed += step.uncomputed;
    }
    assert_eq!(uncomputed, 1);
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_goes_step_by_step() {
    let engine = engine().await;
    let query = Some("SELECT k FROM events WHERE k % 100 = 0".to_owned());
    let into = Some("hundreds".to_owned());
    let spec = ReplaySpec { job: "evens".into(), query, into, ..ReplaySpec::default() };
    let mut steps = engine.replay_steps(spec).await.unwrap();
    let hundreds = "SELECT count(*) FROM hundreds";
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(rows(&engine, hundreds).await, ["0"], "nothing is done that was not asked for");
    let (mut taken, mut said, mut watermark) = (0, 0, EventTime::MIN);
    while let Some(step) = steps.next().await.unwrap() {
        taken += step.rows_in;
        said += step.rows.iter().map(|batch| batch.num_rows()).sum::<usize>();
        assert!(step.rows_in <= 64 && step.watermark >= watermark);
        watermark = step.watermark;
        let [(stream, next)] = &step.position[..] else { panic!("{:?}", step.position) };
        assert_eq!((stream.as_str(), next[0].0), ("events", taken));
        assert_eq!(rows(&engine, hundreds).await, [said.to_string()]);
    }
    assert_eq!((taken, said, watermark), (600, 6, EventTime::MAX));
    assert!(steps.next().await.unwrap().is_none());

    // Its own definition takes the steps that it took; those before a stretch are passed over.
    let own = ReplaySpec { job: "evens".into(), ..ReplaySpec::default() };
    let mut steps = engine.replay_steps(own.clone()).await.unwrap();
    let first = steps.next().await.unwrap().unwrap();
    assert_eq!(first.step, 1);
    drop(steps);
    eventually(&engine, UNDER_WAY, &[]).await;
    let from = EventTime(1_767_225_600_000_000_000 + 500_000_000_000);
    let mut steps = engine.replay_steps(ReplaySpec { from: Some(from), ..own.clone() }).await.unwrap();
    let step = steps.next().await.unwrap().unwrap();
    assert!(step.watermark >= from || !step.rows.is_empty());
    drop(steps);
    eventually(&engine, UNDER_WAY, &[]).await;
    // One that waits to be asked can be cancelled, too.
    let mut steps = engine.replay_steps(own).await.unwrap();
    engine.cancel_replay(steps.id()).unwrap();
    eventually(&engine, UNDER_WAY, &[]).await;
    assert_eq!(steps.next().await.unwrap_err().code().to_string(), "HW4025");
    engine.close().await.unwrap();
}

/// Whoever asked for a definition may go away before it is built.
#[tokio::test(flavor = "multi_thread")]
async fn a_definition_that_has_begun_comes_to_its_end() {
    let engine = engine().await;
    let counts = "MATERIALIZED VIEW halves AS SELECT k % 2 AS half, COUNT(*) AS n FROM events GROUP BY k % 2";
    engine.execute(&format!("CREATE {counts}")).await.unwrap();
    eventually(&engine, "SELECT sum(n) FROM halves", &["600"]).await;
    let replace = format!("CREATE OR REPLACE {}", counts.replace("COUNT(*)", "COUNT(*) + 1"));
    {
        let mut asked = Box::pin(engine.execute(&replace));
        // It has begun, and hardly ever is it over by now.
        let _ = futures::poll!(&mut asked);
    }
    eventually(&engine, "SELECT sum(n) FROM halves", &["602"]).await;
    engine.close().await.unwrap();
}
