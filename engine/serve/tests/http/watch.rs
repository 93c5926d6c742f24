//! Health, readiness, metrics and the API's document.

use std::net::{Ipv4Addr, SocketAddr};

use headwater_serve::{ServeOptions, Server};
use serde_json::{Value, json};

use crate::server::{TestServer, engine, engine_in, failure, json};

#[tokio::test(flavor = "multi_thread")]
async fn health_and_readiness_are_told() {
    let server = TestServer::start().await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(server.get(path).send().await.unwrap().text().await.unwrap(), "ok\n");
    }
    assert_eq!(failure(server.get("/nothing").send().await.unwrap()).await, (404, "HW6008".to_owned()));
    let wrong = server.http.delete(format!("{}/v1/streams", server.url)).send().await.unwrap();
    assert_eq!(failure(wrong).await, (405, "HW6008".to_owned()));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_log_is_open_the_process_is_alive_and_not_ready() {
    let options = ServeOptions::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let server = Server::listen(options).await.unwrap();
    let url = format!("http://{}", server.address());
    // One connection throughout.
    let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(1).build().unwrap();
    let get = async |path: &str| http.get(format!("{url}{path}")).send().await.unwrap();
    assert_eq!(get("/healthz").await.text().await.unwrap(), "ok\n");
    for path in ["/readyz", "/metrics", "/v1/streams", "/nothing"] {
        assert_eq!(failure(get(path).await).await, (503, "HW6015".to_owned()), "{path}");
    }
    server.waits_for("waiting for somebody");
    let told = get("/readyz").await;
    assert_eq!(told.headers()["retry-after"], "5");
    assert!(told.text().await.unwrap().contains("opening its log: waiting for somebody"));
    let foreign = http.get(format!("{url}/healthz")).header("origin", "http://elsewhere.example");
    assert_eq!(failure(foreign.send().await.unwrap()).await, (403, "HW6012".to_owned()));

    server.open(engine());
    assert_eq!(get("/readyz").await.text().await.unwrap(), "ok\n");
    assert_eq!(get("/v1/streams").await.status(), 200);
    server.run(std::future::ready(())).await.unwrap();
    assert!(http.get(&url).send().await.is_err(), "nobody listens");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_cannot_be_read_is_an_error_like_all_others() {
    let server = TestServer::with_readings().await;
    let query = "q=SELECT%20*%20FROM%20readings";
    for (path, reason) in [
        ("/v1/streams/%FF", "path: "),
        ("/v1/streams/readings/tail?form=earliest", "unknown field `form`, expected `from`"),
        ("/v1/streams/readings/tail?from=now&from=earliest", "duplicate field `from`"),
        ("/v1/sql/tail", "missing field `q`"),
        (&format!("/v1/sql/tail?{query}&start=earliest"), "unknown field `start`, expected `q` or `from`"),
    ] {
        let (status, body) = json(server.get(path).send().await.unwrap()).await;
        assert_eq!((status, &body["error"]["code"]), (400, &json!("HW6007")), "{path}");
        let message = body["error"]["message"].as_str().unwrap();
        assert!(message.contains(reason), "{message}");
    }
    let step = server.post("/v1/replays/first/step").send().await.unwrap();
    assert_eq!(failure(step).await, (400, "HW6007".to_owned()));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_what_was_done() {
    let server = TestServer::with_readings().await;
    server.append("{\"origin\":\"EWR\"}\n{\"origin\":\"JFK\"}\nrubbish\n").await;
    server
        .sql("CREATE MATERIALIZED VIEW newest AS SELECT origin, COUNT(*) AS n FROM readings GROUP BY origin")
        .await;
    let text = server.get("/metrics").send().await.unwrap().text().await.unwrap();
    for line in [
        "headwater_stream_rows_total{stream=\"readings\"} 2",
        "headwater_dead_letters_total 1",
        "headwater_log_poisoned 0",
        "headwater_log_damage 0",
        "headwater_log_scrubbed_bytes_total 0",
        "headwater_job_rows_late_total{job=\"newest\"} 0",
        "headwater_http_requests_total{method=\"POST\",route=\"/v1/streams/{name}\",status=\"200\"} 1",
        "headwater_log_sync_seconds_bucket{le=\"+Inf\"}",
        "headwater_job_step_seconds_bucket{le=\"+Inf\",job=\"newest\"}",
        "headwater_job_checkpoint_seconds_sum{job=\"newest\"}",
        "# TYPE headwater_http_request_seconds histogram",
    ] {
        assert!(text.contains(line), "no {line} in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
    server.stop().await;
}

/// Rows in memory are numbered on from far behind those of the life before, which must not count as rows.
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_stream_in_memory_are_counted_anew_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    for (life, rows, kept) in [(1, 3, 3), (2, 2, 5), (3, 4, 9)] {
        let server = TestServer::over(engine_in(folder.path()), |_| {}).await;
        if life == 1 {
            server.make_readings().await;
            let columns = "(origin STRING NOT NULL) PARTITIONED BY (origin)";
            server
                .sql(&format!("CREATE STREAM fleeting {columns} WITH (durability = 'memory', shards = 2)"))
                .await;
        }
        let lines: String = (0..rows).map(|n| format!("{{\"origin\":\"{n}\"}}\n")).collect();
        for stream in ["readings", "fleeting"] {
            let answer =
                server.post(&format!("/v1/streams/{stream}")).body(lines.clone()).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
        }
        let text = server.get("/metrics").send().await.unwrap().text().await.unwrap();
        for (stream, rows) in [("readings", kept), ("fleeting", rows)] {
            let line = format!("headwater_stream_rows_total{{stream=\"{stream}\"}} {rows}\n");
            assert!(text.contains(&line), "life {life}: no {line} in\n{text}");
        }
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_is_served() {
    let server = TestServer::start().await;
    let (status, document): (u16, Value) = json(server.get("/v1/openapi.json").send().await.unwrap()).await;
    assert_eq!(status, 200);
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.")));
    assert!(document["paths"]["/v1/streams/{name}"]["post"].is_object());
    server.stop().await;
}
