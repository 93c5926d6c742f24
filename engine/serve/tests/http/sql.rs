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

/// Each append is a batch of its own, and only the last row of many cannot be computed.
#[tokio::test(flavor = "multi_thread")]
async fn a_small_answer_that_fails_at_its_end_is_an_error_with_its_reason() {
    let server = TestServer::with_readings().await;
    for temp in [4, 2, 1, 0] {
        server.append(&format!("{{\"origin\":\"EWR\",\"temp\":{temp}}}\n")).await;
    }
    let response =
        server.post("/v1/sql").body("SELECT 8 / CAST(temp AS INT) AS n FROM readings").send().await;
    assert_eq!(failure(response.unwrap()).await, (422, "HW4010".to_owned()));
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
    for _ in 0..12_000 {
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
    let text = replayed.text().await.unwrap();
    assert_eq!(text, "{\"origin\":\"EWR\",\"temp\":1.0}\n{\"origin\":\"JFK\",\"temp\":2.0}\n");
    let compared = json!({"query": "SELECT origin, temp FROM readings WHERE temp > 0", "diff": true});
    let compared = server.post("/v1/jobs/hot_job/replay").json(&compared).send().await.unwrap();
    assert_eq!(compared.headers()["headwater-rows-in"], "2");
    assert_eq!(compared.headers()["headwater-rows-in-both"], "1");
    assert_eq!(compared.text().await.unwrap(), "{\"_change\":\"+\",\"origin\":\"EWR\",\"temp\":1.0}\n");
    // What goes into a stream is not sent as well.
    let into = server.post("/v1/jobs/hot_job/replay").json(&json!({"into": "again"})).send().await.unwrap();
    assert_eq!(into.headers()["headwater-rows-in"], "2");
    assert_eq!(json(into).await.1["status"], "REPLAY 1 INTO again");
    assert_eq!(server.sql("SELECT temp FROM again").await, json!([{"temp": 2.0}]));
    let twice = server.post("/v1/jobs/hot_job/replay").json(&json!({"into": "again"})).send().await.unwrap();
    assert_eq!(failure(twice).await, (400, "HW4015".to_owned()));
    server.stop().await;
}

/// A stream in event time whose job has said all, and a request that replays it in real time, which takes ten minutes.
async fn with_events(server: &TestServer) {
    server
        .sql(
            "CREATE STREAM events (k BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ('clock.guard' = 'none'); \
             CREATE MATERIALIZED VIEW evens AS SELECT k, ts FROM events WHERE k % 2 = 0; \
             INSERT INTO events SELECT value, to_timestamp(1767225600 + value) FROM generate_series(0, 599)",
        )
        .await;
    for _ in 0..12_000 {
        if server.sql("SELECT count(*) AS n FROM evens").await == json!([{"n": 300}]) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the job says nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_long_is_not_given_up_until_its_client_is() {
    let limit = std::time::Duration::from_millis(500);
    let server = TestServer::start_with(|options| options.request_timeout = limit).await;
    with_events(&server).await;
    // A second and more.
    let slow = "REPLAY JOB evens INTO slowly AT SPEED 500";
    assert_eq!(server.sql(slow).await["status"], "REPLAY 300 INTO slowly");
    let body = json!({"speed": 500.0, "into": "again"});
    let (status, done) = json(server.post("/v1/jobs/evens/replay").json(&body).send().await.unwrap()).await;
    assert_eq!((status, &done["status"]), (200, &json!("REPLAY 300 INTO again")));
    // One whose client goes away is cancelled, wherever it is.
    let count = "SELECT count(*) AS n FROM system.replays";
    for body in [json!({"speed": 1.0}), json!({"speed": 1.0, "into": "never"})] {
        let request = server.post("/v1/jobs/evens/replay").json(&body);
        match body.get("into") {
            Some(_) => assert!(request.timeout(limit).send().await.is_err(), "it takes ten minutes"),
            None => drop(request.send().await.unwrap()),
        }
        for _ in 0..12_000 {
            if server.sql(count).await == json!([{"n": 0}]) {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        assert_eq!(server.sql(count).await, json!([{"n": 0}]), "{body}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_goes_step_by_step_over_http() {
    let server = TestServer::start().await;
    with_events(&server).await;
    let body = json!({"step": true, "query": "SELECT k FROM events WHERE k % 100 = 0"});
    let (_, begun) = json(server.post("/v1/jobs/evens/replay").json(&body).send().await.unwrap()).await;
    let path = format!("/v1/replays/{}/step", begun["replay"]);
    let step = async || json(server.post(&path).send().await.unwrap()).await;
    let (mut taken, mut rows) = (0, Vec::new());
    loop {
        let (status, step) = step().await;
        assert_eq!(status, 200, "{step}");
        if step["step"].is_null() {
            break;
        }
        taken += step["rows_in"].as_u64().unwrap();
        assert_eq!(step["position"], json!([{"stream": "events", "next": [taken]}]));
        rows.extend(step["rows"].as_array().unwrap().iter().map(|row| row["k"].as_i64().unwrap()));
    }
    assert_eq!((taken, rows), (600, vec![0, 100, 200, 300, 400, 500]));
    assert_eq!(step().await.0, 404);
    // One that is cancelled says so.
    let (_, begun) = json(server.post("/v1/jobs/evens/replay").json(&body).send().await.unwrap()).await;
    server.sql(&format!("CANCEL REPLAY {}", begun["replay"])).await;
    let path = format!("/v1/replays/{}/step", begun["replay"]);
    assert_eq!(failure(server.post(&path).send().await.unwrap()).await, (409, "HW4025".to_owned()));
    server.stop().await;
}
