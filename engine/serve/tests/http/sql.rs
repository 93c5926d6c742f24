//! `POST /v1/sql` and what streams and jobs look like.

use arrow::ipc::reader::StreamReader;
use serde_json::json;

use crate::server::{TestServer, failure, json};

#[tokio::test(flavor = "multi_thread")]
async fn rows_come_in_the_format_that_is_accepted() {
    let server = TestServer::start().await;
    let query = "SELECT 1 AS a, 'x' AS b UNION ALL SELECT 2, NULL ORDER BY a";
    let ask = |accept: &str| server.post("/v1/sql").header("accept", accept).body(query);
    let text = async |accept| ask(accept).send().await.unwrap().text().await.unwrap();
    assert_eq!(text("application/x-ndjson").await, "{\"a\":1,\"b\":\"x\"}\n{\"a\":2,\"b\":null}\n");
    assert_eq!(text("*/*").await, text("application/x-ndjson").await);
    let array: serde_json::Value = serde_json::from_str(&text("application/json").await).unwrap();
    assert_eq!(array, json!([{"a": 1, "b": "x"}, {"a": 2, "b": null}]));
    assert_eq!(text("text/csv").await, "a,b\n1,x\n2,\n");
    let bytes = ask("application/vnd.apache.arrow.stream").send().await.unwrap().bytes().await.unwrap();
    let rows: usize =
        StreamReader::try_new(&bytes[..], None).unwrap().map(|batch| batch.unwrap().num_rows()).sum();
    assert_eq!(rows, 2);
    assert_eq!(failure(ask("image/png").send().await.unwrap()).await, (406, "HW6006".to_owned()));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_result_is_whole_in_every_format() {
    let server = TestServer::start().await;
    let query = "SELECT 1 AS a WHERE 1 = 2";
    let ask = async |accept: &str| {
        let request = server.post("/v1/sql").header("accept", accept).body(query);
        request.send().await.unwrap().bytes().await.unwrap()
    };
    assert_eq!(ask("application/x-ndjson").await, "");
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&ask("application/json").await).unwrap(),
        json!([])
    );
    let arrow = ask("application/vnd.apache.arrow.stream").await;
    assert_eq!(StreamReader::try_new(&arrow[..], None).unwrap().schema().field(0).name(), "a");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_statements_answer_with_the_last() {
    let server = TestServer::start().await;
    let sql = "CREATE STREAM s (n BIGINT); INSERT INTO s VALUES (1), (2); SELECT SUM(n) AS sum FROM s";
    let request = server.post("/v1/sql").json(&json!({ "sql": sql }));
    assert_eq!(request.send().await.unwrap().text().await.unwrap(), "{\"sum\":3}\n");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_is_shown_with_its_place_and_a_hint() {
    let server = TestServer::with_readings().await;
    let response = server.post("/v1/sql").body("SELECT origin,\n  tmep FROM readings").send().await.unwrap();
    let (status, body) = json(response).await;
    let error = &body["error"];
    assert_eq!((status, &error["line"], &error["column"]), (400, &json!(2), &json!(3)), "{body}");
    assert!(error["hint"].as_str().is_some_and(|hint| hint.contains("temp")), "{body}");
    assert_eq!(
        failure(server.post("/v1/sql").body("CREATE STREAM readings (n INT)").send().await.unwrap()).await.0,
        409
    );
    assert_eq!(failure(server.post("/v1/sql").body("SELECT 1 / 0").send().await.unwrap()).await.0, 422);
    assert_eq!(failure(server.post("/v1/sql").body("").send().await.unwrap()).await.0, 400);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_listed_and_described() {
    let server = TestServer::with_readings().await;
    let (_, list) = json(server.get("/v1/streams").send().await.unwrap()).await;
    assert!(list.as_array().unwrap().iter().any(|stream| stream["name"] == "readings"), "{list}");
    let (status, stream) = json(server.get("/v1/streams/readings").send().await.unwrap()).await;
    assert_eq!(status, 200);
    assert_eq!(stream["columns"][0], json!({"name": "origin", "type": "Utf8", "nullable": false}));
    assert_eq!((&stream["event_time"], &stream["partition_by"]), (&json!(null), &json!(["origin"])));
    assert_eq!(failure(server.get("/v1/streams/nothing").send().await.unwrap()).await.0, 404);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_shown_paused_resumed_and_replayed() {
    let server = TestServer::with_readings().await;
    server.sql("CREATE STREAM hot (origin STRING, temp DOUBLE)").await;
    server
        .sql("CREATE JOB hot_job AS INSERT INTO hot SELECT origin, temp FROM readings WHERE temp > 1")
        .await;
    server.append("{\"origin\":\"EWR\",\"temp\":1}\n{\"origin\":\"JFK\",\"temp\":2}\n").await;
    let state = async |path: &str, post: bool| {
        let request = if post { server.post(path) } else { server.get(path) };
        json(request.send().await.unwrap()).await.1["state"].clone()
    };
    // It is pending until its first step, which the rows lead to.
    for _ in 0..3_000 {
        if state("/v1/jobs/hot_job", false).await != "pending" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    // Each answers when it is so.
    for (verb, wanted) in
        [("resume", "running"), ("pause", "paused"), ("resume", "running"), ("pause", "paused")]
    {
        assert_eq!(state(&format!("/v1/jobs/hot_job/{verb}"), true).await, wanted);
        assert_eq!(state("/v1/jobs/hot_job", false).await, wanted);
    }
    assert_eq!(state("/v1/jobs/hot_job/resume", true).await, "running");
    let (_, list) = json(server.get("/v1/jobs").send().await.unwrap()).await;
    assert_eq!(list.as_array().unwrap().len(), 1);
    let missing = server.get("/v1/jobs/hot_jbo").send().await.unwrap();
    let (status, body) = json(missing).await;
    assert_eq!((status, &body["error"]["hint"]), (404, &json!("did you mean 'hot_job'?")));

    let again = json!({"query": "SELECT origin, temp FROM readings WHERE temp > 0"});
    let replayed = server.post("/v1/jobs/hot_job/replay").json(&again).send().await.unwrap();
    assert_eq!(replayed.headers()["headwater-rows-in"], "2");
    let text = replayed.text().await.unwrap();
    assert_eq!(text, "{\"origin\":\"EWR\",\"temp\":1.0}\n{\"origin\":\"JFK\",\"temp\":2.0}\n");
    server.stop().await;
}
