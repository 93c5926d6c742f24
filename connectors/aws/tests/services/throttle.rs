//! A service that is short of capacity: a proxy before an emulator that turns away what it likes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

const EXCEEDED: &str = "ProvisionedThroughputExceededException";

struct Proxy {
    behind: String,
    client: reqwest::Client,
    asked: AtomicU64,
}

/// Starts a proxy before a Kinesis endpoint: of records that are put every third is refused, of other requests for records every second.
pub fn start(runtime: &Runtime, behind: &str) -> String {
    let proxy = Arc::new(Proxy {
        behind: behind.to_owned(),
        client: reqwest::Client::new(),
        asked: AtomicU64::new(0),
    });
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(pass).with_state(proxy);
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}")
    })
}

async fn pass(State(proxy): State<Arc<Proxy>>, headers: HeaderMap, body: Bytes) -> Response {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let asked = proxy.asked.fetch_add(1, Ordering::SeqCst);
    if target.ends_with("GetRecords") && asked.is_multiple_of(2) {
        let error = json!({"__type": EXCEEDED, "message": "too much"}).to_string();
        return (StatusCode::BAD_REQUEST, [("content-type", "application/x-amz-json-1.1")], error)
            .into_response();
    }
    if !target.ends_with("PutRecords") {
        return proxy.ask(&headers, body).await.into_response();
    }
    // What is refused does not reach the emulator; the answer has a place for each record, in order.
    let mut ask: Value = serde_json::from_slice(&body).unwrap();
    let records = ask["Records"].as_array().unwrap().clone();
    let is_kept = |at: usize| !(asked as usize + at).is_multiple_of(3);
    let kept: Vec<_> = (0..records.len()).filter(|at| is_kept(*at)).map(|at| records[at].clone()).collect();
    let mut arrived = Vec::new();
    if !kept.is_empty() {
        ask["Records"] = Value::Array(kept);
        let (status, _, answer) = proxy.ask(&headers, Bytes::from(ask.to_string())).await;
        assert_eq!(status, StatusCode::OK);
        arrived = serde_json::from_slice::<Value>(&answer).unwrap()["Records"].as_array().unwrap().clone();
    }
    let mut arrived = arrived.into_iter();
    let refused = || json!({"ErrorCode": EXCEEDED, "ErrorMessage": "too much"});
    let all = (0..records.len()).map(|at| if is_kept(at) { arrived.next().unwrap() } else { refused() });
    let answer = json!({"Records": all.collect::<Vec<_>>(), "FailedRecordCount": 1}).to_string();
    ([("content-type", "application/x-amz-json-1.1")], answer).into_response()
}

impl Proxy {
    async fn ask(&self, headers: &HeaderMap, body: Bytes) -> (StatusCode, HeaderMap, Bytes) {
        let mut headers = headers.clone();
        for own in ["host", "content-length"] {
            headers.remove(own);
        }
        let answer = self.client.post(&self.behind).headers(headers).body(body).send().await.unwrap();
        let (status, mut headers) = (answer.status(), answer.headers().clone());
        headers.remove("transfer-encoding");
        (status, headers, answer.bytes().await.unwrap())
    }
}
