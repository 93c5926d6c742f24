//! Tails: `GET /v1/streams/NAME/tail` and `GET /v1/sql/tail?q=`.

use std::time::Duration;

use reqwest::Response;
use serde_json::{Value, json};

use crate::server::{TestServer, failure};

/// An event of a tail.
#[derive(Debug, PartialEq)]
struct Event {
    name: String,
    id: Option<String>,
    data: Value,
}

/// Reads events one by one.
struct Events {
    response: Response,
    buffer: String,
}

impl Events {
    async fn of(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200, "{}", response.text().await.unwrap());
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, buffer: String::new() }
    }

    /// The next block of the stream, comments included; `None` at the end.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.buffer.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.buffer = rest;
                return Some(block);
            }
            let chunk = tokio::time::timeout(Duration::from_secs(120), self.response.chunk())
                .await
                .expect("an event");
            self.buffer.push_str(std::str::from_utf8(&chunk.unwrap()?).unwrap());
        }
    }

    /// The next event; comments are passed over.
    async fn next(&mut self) -> Option<Event> {
        loop {
            let block = self.block().await?;
            let field =
                |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
            if let Some(name) = field("event: ") {
                let data = serde_json::from_str(&field("data: ").unwrap()).unwrap();
                return Some(Event { name, id: field("id: "), data });
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_ends_with_the_stream_that_it_reads_and_says_so() {
    let server = TestServer::with_readings().await;
    server.append("{\"origin\":\"EWR\",\"temp\":1}\n").await;
    let query = "/v1/sql/tail?from=earliest&q=SELECT%20origin%20FROM%20readings";
    let mut tails = [
        Events::of(server.get("/v1/streams/readings/tail?from=earliest")).await,
        Events::of(server.get(query)).await,
    ];
    for tail in &mut tails {
        assert_eq!(tail.next().await.unwrap().data["origin"], "EWR");
    }
    server.sql("DROP STREAM readings").await;
    server.make_readings().await;
    for tail in &mut tails {
        let last = tail.next().await.expect("a word of farewell");
        assert_eq!((last.name.as_str(), &last.data["error"]["code"]), ("error", &json!("HW1002")));
        assert_eq!(last.data["error"]["message"], "there is no stream readings");
        assert_eq!(tail.next().await, None);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_goes_on_where_it_was_broken_off() {
    let server = TestServer::with_readings().await;
    server.append("{\"origin\":\"EWR\",\"temp\":1}\n{\"origin\":\"JFK\",\"temp\":2}\n").await;
    let path = "/v1/streams/readings/tail";
    let mut events = Events::of(server.get(&format!("{path}?from=earliest"))).await;
    let (first, second) = (events.next().await.unwrap(), events.next().await.unwrap());
    assert_eq!((first.name.as_str(), &first.data["origin"], &first.id), ("row", &json!("EWR"), &None));
    assert_eq!(second.data["origin"], "JFK");
    let id = second.id.expect("the last row of a batch has an id");

    server.append("{\"origin\":\"LGA\",\"temp\":3}\n").await;
    assert_eq!(events.next().await.unwrap().data["origin"], "LGA");
    drop(events);
    let mut events = Events::of(server.get(path).header("last-event-id", id)).await;
    assert_eq!(events.next().await.unwrap().data["origin"], "LGA");

    let mut events = Events::of(server.get(&format!("{path}?from=1"))).await;
    assert_eq!(events.next().await.unwrap().data["origin"], "JFK");
    assert_eq!(failure(server.get(&format!("{path}?from=soon")).send().await.unwrap()).await.0, 400);
    assert_eq!(failure(server.get("/v1/streams/nothing/tail").send().await.unwrap()).await.0, 404);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_is_tailed_as_its_rows_come() {
    let server = TestServer::with_readings().await;
    let query =
        [("q", "SELECT origin, temp * 10 AS tenfold FROM readings WHERE temp > 1"), ("from", "earliest")];
    let mut events = Events::of(server.get("/v1/sql/tail").query(&query)).await;
    server.append("{\"origin\":\"EWR\",\"temp\":1}\n{\"origin\":\"JFK\",\"temp\":2}\n").await;
    assert_eq!(events.next().await.unwrap().data, json!({"origin": "JFK", "tenfold": 20.0}));
    let wrong =
        server.get("/v1/sql/tail").query(&[("q", "SELECT nothing FROM readings")]).send().await.unwrap();
    assert_eq!(failure(wrong).await.0, 400);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_tail_says_that_it_is_alive() {
    let server = TestServer::start_with(|options| options.tail_heartbeat = Duration::from_millis(50)).await;
    server.make_readings().await;
    let mut events = Events::of(server.get("/v1/streams/readings/tail")).await;
    assert_eq!(events.block().await.unwrap(), ": tail");
    assert_eq!(events.block().await.unwrap(), ":");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_says_so_to_its_tails() {
    let server = TestServer::with_readings().await;
    let mut events = Events::of(server.get("/v1/streams/readings/tail")).await;
    assert_eq!(events.block().await.unwrap(), ": tail");
    let stopping = tokio::spawn(server.stop());
    let event = events.next().await.unwrap();
    assert_eq!((event.name.as_str(), event.data), ("cut", json!({"reason": "the server is stopping"})));
    assert_eq!(events.block().await, None);
    stopping.await.unwrap();
}
