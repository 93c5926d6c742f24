//! Tails of streams and of queries: where they begin, what time does in them, where they go on.

use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use headwater_core::{EventTime, Sequence, ShardId, World};
use headwater_run::{Engine, NoConnectors, Tail, TailBatch, TailFrom};

use crate::machine::{in_memory, text_of};

async fn engine(sql: &str) -> Engine {
    let engine = Engine::open(World::real(), in_memory(), Arc::new(NoConnectors)).unwrap();
    engine.execute(sql).await.unwrap();
    engine
}

/// Inserts readings of a device, each with its second as its value, in one append.
async fn insert(engine: &Engine, device: &str, seconds: &[i64]) {
    let value = |second: &i64| format!("('{device}', to_timestamp({second}), {second})");
    let values: Vec<String> = seconds.iter().map(value).collect();
    engine
        .execute(&format!("INSERT INTO readings (device, ts, value) VALUES {}", values.join(", ")))
        .await
        .unwrap();
}

async fn next(tail: &mut Tail) -> TailBatch {
    let next = tokio::time::timeout(Duration::from_secs(120), tail.try_next());
    next.await.expect("rows come").unwrap().expect("the tail goes on")
}

const READINGS: &str = "CREATE STREAM readings (device STRING, ts TIMESTAMP, value BIGINT, WATERMARK FOR ts AS ts) \
    PARTITIONED BY (device) WITH (shards = 4, 'clock.guard' = 'none', 'scan.watermark.idle-timeout' = '200 ms')";

const WINDOWS: &str = "SELECT window_end, COUNT(*) AS n FROM \
    TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '2' SECOND)) GROUP BY window_start, window_end";

/// Three shards have no rows, and nothing comes after the last row: windows close all the same, and once.
#[tokio::test(flavor = "multi_thread")]
async fn windows_of_a_tail_close_beside_silent_shards_and_when_all_is_quiet() {
    let engine = engine(READINGS).await;
    insert(&engine, "a", &[1, 3]).await;
    let mut tail = engine.tail_query(WINDOWS, TailFrom::Earliest).unwrap();
    assert_eq!(text_of(&next(&mut tail).await.rows), ["1970-01-01T00:00:02 1"], "three shards are idle");
    let second = next(&mut tail).await;
    assert_eq!(text_of(&second.rows), ["1970-01-01T00:00:04 1"], "time goes on by itself");
    drop(tail);
    // What time closed stays closed behind the place: the row of second 3 is late.
    insert(&engine, "a", &[3, 1_000, 1_003]).await;
    let mut tail = engine.tail_query(WINDOWS, TailFrom::Resume(second.resume)).unwrap();
    assert_eq!(text_of(&next(&mut tail).await.rows), ["1970-01-01T00:16:42 1"]);
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_of_processing_time_closes_by_the_clock() {
    let engine = engine(
        "CREATE STREAM readings (device STRING, ts TIMESTAMP, value BIGINT, at AS PROCTIME()) \
         PARTITIONED BY (device) WITH (shards = 2)",
    )
    .await;
    let query = "SELECT device, COUNT(*) AS n FROM TUMBLE(TABLE readings, DESCRIPTOR(at), INTERVAL '1' SECOND) \
                 GROUP BY device, window_start, window_end";
    let mut tail = engine.tail_query(query, TailFrom::Now).unwrap();
    insert(&engine, "a", &[7]).await;
    assert_eq!(text_of(&next(&mut tail).await.rows), ["a 1"]);
    engine.close().await.unwrap();
}

/// It was planned when the column was narrower: what fits is told, what does not is an error and never another value.
#[tokio::test(flavor = "multi_thread")]
async fn a_tail_never_tells_a_value_of_a_wider_column_as_another() {
    let engine = engine(&READINGS.replace("value BIGINT", "value INT")).await;
    let mut tail = engine.tail_query("SELECT value FROM readings", TailFrom::Now).unwrap();
    engine.execute("ALTER STREAM readings MODIFY value BIGINT").await.unwrap();
    insert(&engine, "a", &[5]).await;
    assert_eq!(text_of(&next(&mut tail).await.rows), ["5"]);
    insert(&engine, "a", &[3_000_000_000]).await;
    let error = tokio::time::timeout(Duration::from_secs(120), tail.try_next()).await.unwrap().unwrap_err();
    assert!(error.to_string().contains("3000000000"), "{error}");
    let mut tail = engine.tail_query("SELECT value FROM readings", TailFrom::Earliest).unwrap();
    let mut both = Vec::new();
    while both.len() < 2 {
        both.extend(text_of(&next(&mut tail).await.rows));
    }
    assert_eq!(both, ["5", "3000000000"]);
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_since_a_time_has_no_earlier_row() {
    let engine = engine(&READINGS.replace("shards = 4", "shards = 1")).await;
    // One batch, in which there are earlier rows, also between later ones.
    insert(&engine, "a", &[1, 2, 5, 3, 6, 7]).await;
    let since = || TailFrom::Time(EventTime(5_000_000_000));
    let values = |batch: &TailBatch| -> Vec<String> {
        text_of(&batch.rows).iter().map(|row| row.rsplit(' ').next().unwrap_or_default().to_owned()).collect()
    };
    let mut tail = engine.tail_stream("readings", since()).unwrap();
    let first = next(&mut tail).await;
    assert_eq!((values(&first), first.place), (vec!["5".to_owned()], Some((ShardId(0), Sequence(2)))));
    let second = next(&mut tail).await;
    assert_eq!(
        (values(&second), second.place.unwrap().1),
        (vec!["6".to_owned(), "7".to_owned()], Sequence(4))
    );
    drop(tail);
    // Resumed, it is still one since that time.
    insert(&engine, "a", &[4, 8]).await;
    let mut tail = engine.tail_stream("readings", TailFrom::Resume(first.resume)).unwrap();
    assert_eq!(values(&next(&mut tail).await), ["6", "7"]);
    assert_eq!(values(&next(&mut tail).await), ["8"]);

    let query = "SELECT value FROM readings";
    let mut tail = engine.tail_query(query, since()).unwrap();
    let mut seen = Vec::new();
    while seen.len() < 4 {
        seen.extend(values(&next(&mut tail).await));
    }
    assert_eq!(seen, ["5", "6", "7", "8"]);
    // Windows of a query hold no earlier row either, also when it is resumed.
    let sums = "SELECT window_end, COUNT(*) AS n FROM \
                TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end";
    let query = "SELECT value FROM readings WHERE value > 5";
    let mut tail = engine.tail_query(query, since()).unwrap();
    let place = next(&mut tail).await.resume;
    insert(&engine, "a", &[20]).await;
    let mut tail = engine.tail_query(sums, TailFrom::Resume(place)).unwrap();
    assert_eq!(text_of(&next(&mut tail).await.rows), ["1970-01-01T00:00:10 4"]);
    engine.close().await.unwrap();
}

/// What cannot be computed is told and passed over, and not told again behind the place.
#[tokio::test(flavor = "multi_thread")]
async fn a_tail_goes_on_behind_a_row_that_cannot_be_computed() {
    let engine = engine(&READINGS.replace("shards = 4", "shards = 1")).await;
    let query = "SELECT 100 / value AS share FROM readings";
    let mut tail = engine.tail_query(query, TailFrom::Earliest).unwrap();
    insert(&engine, "a", &[0]).await;
    let alone = next(&mut tail).await;
    assert_eq!(alone.rows.num_rows(), 0);
    let told = alone.uncomputed.unwrap();
    assert_eq!((told.rows, told.stream.as_str()), (1, "readings"));
    assert!(told.reason.starts_with("Project: ") && told.reason.contains("ivide by zero"), "{told:?}");
    assert!(told.payload.contains(r#""value":0"#), "{told:?}");
    insert(&engine, "a", &[5, 0, 20, 0]).await;
    let among = next(&mut tail).await;
    assert_eq!(text_of(&among.rows), ["20", "5"]);
    assert_eq!(among.uncomputed.map(|told| told.rows), Some(2));
    drop(tail);
    insert(&engine, "a", &[50]).await;
    let mut tail = engine.tail_query(query, TailFrom::Resume(alone.resume)).unwrap();
    let again = next(&mut tail).await;
    assert_eq!(
        (text_of(&again.rows).join(" "), again.uncomputed.map(|told| told.rows)),
        ("20 5 2".to_owned(), Some(2))
    );
    engine.close().await.unwrap();
}

/// A stream without event time goes by when its rows arrived.
#[tokio::test(flavor = "multi_thread")]
async fn a_tail_since_an_arrival_has_no_row_that_came_before() {
    let engine = engine("CREATE STREAM readings (device STRING, ts TIMESTAMP, value BIGINT)").await;
    insert(&engine, "a", &[1, 2]).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    let now = World::real().clock.now();
    tokio::time::sleep(Duration::from_millis(5)).await;
    insert(&engine, "a", &[3]).await;
    let mut tail = engine.tail_stream("readings", TailFrom::Time(now)).unwrap();
    assert_eq!(next(&mut tail).await.place, Some((ShardId(0), Sequence(2))));
    engine.close().await.unwrap();
}

/// A reader of a stream that was made anew is told so: at a place that is not there yet it would wait, and miss rows.
#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_the_stream_has_not_come_to_is_refused() {
    let stream = READINGS.replace("shards = 4", "shards = 1");
    let engine = engine(&stream).await;
    insert(&engine, "a", &[1, 2]).await;
    let query = "SELECT value FROM readings";
    let place = next(&mut engine.tail_stream("readings", TailFrom::Earliest).unwrap()).await.resume;
    let place_of_query = next(&mut engine.tail_query(query, TailFrom::Earliest).unwrap()).await.resume;
    engine.execute(&format!("DROP STREAM readings; {stream}")).await.unwrap();
    insert(&engine, "a", &[3]).await;
    let refused = [
        engine.tail_stream("readings", TailFrom::Resume(place.clone())).err().expect("row 1 is not there"),
        engine.tail_query(query, TailFrom::Resume(place_of_query.clone())).err().expect("row 1 is not there"),
    ];
    for error in refused {
        assert_eq!(error.code().as_str(), "HW4015", "{error}");
        let what = "no tail goes on before row 2 of shard 0 of stream readings: its next row is 1;";
        assert!(error.to_string().starts_with(what), "{error}");
    }
    insert(&engine, "a", &[4]).await;
    engine.tail_stream("readings", TailFrom::Resume(place)).unwrap();
    engine.tail_query(query, TailFrom::Resume(place_of_query)).unwrap();
    engine.close().await.unwrap();
}

/// Rows that are gone are not passed over in silence.
#[tokio::test(flavor = "multi_thread")]
async fn a_place_whose_rows_are_gone_is_refused() {
    let engine = engine(&READINGS.replace("shards = 4", "shards = 1")).await;
    insert(&engine, "a", &[1, 2]).await;
    let mut tail = engine.tail_stream("readings", TailFrom::Earliest).unwrap();
    let place = next(&mut tail).await.resume;
    let mut tail = engine.tail_query("SELECT value FROM readings", TailFrom::Earliest).unwrap();
    let place_of_query = next(&mut tail).await.resume;
    drop(tail);
    insert(&engine, "a", &[3]).await;
    insert(&engine, "a", &[4]).await;
    let stream = engine.log().stream_named("readings").unwrap().id;
    engine.log().trim(stream, ShardId(0), Sequence(3)).unwrap();
    let error = engine.tail_stream("readings", TailFrom::Resume(place)).err().expect("row 2 is gone");
    assert_eq!(error.code().as_str(), "HW1010", "{error}");
    let error = engine.tail_query("SELECT value FROM readings", TailFrom::Resume(place_of_query));
    assert_eq!(error.err().expect("rows 0 to 2 are gone").code().as_str(), "HW1010");
    let mut tail = engine.tail_stream("readings", TailFrom::Resume("3".to_owned())).unwrap();
    assert_eq!(next(&mut tail).await.place, Some((ShardId(0), Sequence(3))));
    engine.close().await.unwrap();
}
