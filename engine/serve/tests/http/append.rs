//! `POST /v1/streams/NAME`.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use arrow::ipc::writer::StreamWriter;
use serde_json::json;

use crate::server::{TestServer, failure, json};

const COUNT: &str = "SELECT COUNT(*) AS n, SUM(temp) AS t FROM readings";

#[tokio::test(flavor = "multi_thread")]
async fn every_format_and_compression_makes_the_same_rows() {
    let server = TestServer::with_readings().await;
    let lines = b"{\"origin\":\"EWR\",\"temp\":1.5,\"at\":\"2013-01-01T06:00:00Z\"}\n{\"origin\":\"JFK\",\"temp\":2}\n";
    let array = br#"[{"origin":"EWR","temp":1.5},{"origin":"JFK","temp":2}]"#;
    let csv = b"origin,temp\nEWR,1.5\nJFK,2\n";
    let gzip = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(lines).unwrap();
        encoder.finish().unwrap()
    };
    let bodies: [(&str, Option<&str>, Vec<u8>); 6] = [
        ("application/x-ndjson", None, lines.to_vec()),
        ("application/json", None, array.to_vec()),
        ("text/csv", None, csv.to_vec()),
        ("application/vnd.apache.arrow.stream", None, arrow_stream()),
        ("application/x-ndjson", Some("gzip"), gzip),
        ("application/x-ndjson", Some("zstd"), zstd::encode_all(&lines[..], 3).unwrap()),
    ];
    for (nth, (content_type, encoding, body)) in bodies.into_iter().enumerate() {
        let mut request = server.post("/v1/streams/readings").header("content-type", content_type);
        if let Some(encoding) = encoding {
            request = request.header("content-encoding", encoding);
        }
        let (status, answer) = json(request.body(body).send().await.unwrap()).await;
        let last = 2 * nth as u64 + 1;
        let expected = json!({
            "accepted": 2, "dead_lettered": 0, "duplicate": false,
            "shards": [{"shard": 0, "last_sequence": last}], "errors": [],
        });
        assert_eq!((status, answer), (200, expected), "{content_type} {encoding:?}");
    }
    assert_eq!(server.sql(COUNT).await, json!([{"n": 12, "t": 21.0}]));
    server.stop().await;
}

fn arrow_stream() -> Vec<u8> {
    let origins: ArrayRef = Arc::new(StringArray::from(vec!["EWR", "JFK"]));
    let temps: ArrayRef = Arc::new(Float64Array::from(vec![1.5, 2.0]));
    let batch = RecordBatch::try_from_iter([("origin", origins), ("temp", temps)]).unwrap();
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_records_are_named_and_kept_and_their_neighbours_accepted() {
    let server = TestServer::with_readings().await;
    let lines =
        "{\"origin\":\"EWR\",\"temp\":\"warm\"}\n{\"origin\":\"JFK\",\"temp\":2}\n{\"temp\":3}\nrubbish\n";
    let (status, answer) = json(server.append(lines).await).await;
    assert_eq!((status, &answer["accepted"], &answer["dead_lettered"]), (200, &json!(1), &json!(3)));
    let errors = answer["errors"].as_array().unwrap();
    let told: Vec<_> =
        errors.iter().map(|error| (error["record"].as_u64(), error["field"].as_str())).collect();
    assert_eq!(told, [(Some(1), Some("temp")), (Some(3), Some("origin")), (Some(4), None)]);
    assert!(errors.iter().all(|error| error["line"] == error["record"]), "{errors:?}");
    assert!(errors.iter().all(|error| error["code"].as_str().is_some_and(|code| code.starts_with("HW21"))));
    let dead = server.sql("SELECT COUNT(*) AS n FROM system.dead_letters").await;
    assert_eq!(dead, json!([{"n": 3}]));

    let (status, answer) = json(server.append("rubbish\n").await).await;
    assert_eq!((status, &answer["accepted"], &answer["dead_lettered"]), (422, &json!(0), &json!(1)));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_appended_to_what_a_view_says() {
    let server = TestServer::with_readings().await;
    server
        .sql("CREATE MATERIALIZED VIEW newest AS SELECT origin, COUNT(*) AS n FROM readings GROUP BY origin")
        .await;
    let made_up = server.post("/v1/streams/newest").body("{\"origin\":\"LGA\",\"n\":7,\"_weight\":1}\n");
    let (status, answer) = json(made_up.send().await.unwrap()).await;
    assert_eq!((status, &answer["error"]["code"]), (400, &json!("HW4015")));
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.starts_with("newest is a materialized view, "), "{message}");
    let inserted = server.post("/v1/sql").body("INSERT INTO newest VALUES ('LGA', 7)").send().await.unwrap();
    let (status, answer) = json(inserted).await;
    let message = answer["error"]["message"].as_str().unwrap();
    assert_eq!((status, message), (400, "'newest' is a materialized view, not a stream"));
    assert_eq!(server.sql("SELECT * FROM newest").await, json!([]));
    server.stop().await;
}

/// A header counts as a line, and elements of an array have none.
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_record_is_told_by_its_line_where_there_are_lines() {
    let server = TestServer::with_readings().await;
    let post =
        |media, body| server.post("/v1/streams/readings").header("content-type", media).body(body).send();
    let csv = json(post("text/csv", "origin,temp\n\nEWR,warm\nJFK,2\n").await.unwrap()).await.1;
    let array = json(post("application/json", r#"[{"origin":"JFK"},{"temp":2}]"#).await.unwrap()).await.1;
    let told = |answer: &serde_json::Value| {
        let error = &answer["errors"][0];
        (error["record"].as_u64(), error["line"].as_u64(), answer["dead_lettered"].as_u64())
    };
    assert_eq!((told(&csv), told(&array)), ((Some(3), Some(3), Some(1)), (Some(2), None, Some(1))));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_with_the_same_key_appends_nothing() {
    let server = TestServer::with_readings().await;
    let mut duplicates = Vec::new();
    for _ in 0..3 {
        let request =
            server.post("/v1/streams/readings").header("idempotency-key", "a").body("{\"origin\":\"EWR\"}");
        let (status, answer) = json(request.send().await.unwrap()).await;
        assert_eq!((status, &answer["accepted"]), (200, &json!(1)));
        assert_eq!(answer["shards"], json!([{"shard": 0, "last_sequence": 0}]));
        duplicates.push(answer["duplicate"].as_bool().unwrap());
    }
    assert_eq!(duplicates, [false, true, true]);
    assert_eq!(server.sql(COUNT).await[0]["n"], 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_taken_is_refused_with_the_right_status() {
    let server = TestServer::with_readings().await;
    let (status, answer) = json(server.post("/v1/streams/raedings").body("{}").send().await.unwrap()).await;
    assert_eq!((status, &answer["error"]["hint"]), (404, &json!("did you mean 'readings'?")));
    let post = |name, value| server.post("/v1/streams/readings").header(name, value).body("{}");
    assert_eq!(
        failure(post("content-type", "image/png").send().await.unwrap()).await,
        (415, "HW6005".to_owned())
    );
    assert_eq!(
        failure(post("content-encoding", "br").send().await.unwrap()).await,
        (415, "HW6005".to_owned())
    );
    assert_eq!(
        failure(post("content-encoding", "gzip").send().await.unwrap()).await,
        (400, "HW6004".to_owned())
    );
    let system = server.post("/v1/streams/system.dead_letters").body("{}").send().await.unwrap();
    assert_eq!(failure(system).await.0, 403);
    server.stop().await;
}
