//! A server for one test.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use headwater_core::World;
use headwater_run::{Engine, EngineOptions, NoConnectors};
use headwater_serve::{ServeOptions, Server};
use reqwest::{Response, StatusCode};
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// An engine in memory.
pub fn engine() -> Engine {
    let options = EngineOptions::in_memory();
    Engine::open(World::real(), options, Arc::new(NoConnectors)).unwrap()
}

/// An engine whose log is in a folder.
pub fn engine_in(folder: &Path) -> Engine {
    let options = EngineOptions { data: Some(folder.to_owned()), ..EngineOptions::in_memory() };
    Engine::open(World::real(), options, Arc::new(NoConnectors)).unwrap()
}

/// A running server and a client of it.
pub struct TestServer {
    pub url: String,
    pub http: reqwest::Client,
    pub engine: Engine,
    pub address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl TestServer {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// A server whose bounds are changed by `change`.
    pub async fn start_with(change: impl FnOnce(&mut ServeOptions)) -> Self {
        Self::over(engine(), change).await
    }

    /// A server of another engine.
    pub async fn over(engine: Engine, change: impl FnOnce(&mut ServeOptions)) -> Self {
        let mut options = ServeOptions::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        change(&mut options);
        let server = Server::bind(engine.clone(), options).await.unwrap();
        let address = server.address();
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(async move {
            let stop = async {
                let _ = stopped.await;
            };
            server.run(stop).await.unwrap();
        });
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { url: format!("http://{address}"), http, engine, address, stop, serving }
    }

    /// A server with the stream `readings (origin, temp, at)`.
    pub async fn with_readings() -> Self {
        let server = Self::start().await;
        server.make_readings().await;
        server
    }

    pub async fn make_readings(&self) {
        let sql = "CREATE STREAM readings (origin STRING NOT NULL, temp DOUBLE, at TIMESTAMP(3)) \
                   PARTITIONED BY (origin)";
        let done = self.sql(sql).await;
        assert_eq!(done["status"], "CREATE STREAM");
    }

    pub fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.http.get(format!("{}{path}", self.url))
    }

    pub fn post(&self, path: &str) -> reqwest::RequestBuilder {
        self.http.post(format!("{}{path}", self.url))
    }

    /// Runs SQL that is expected to succeed and answers with JSON.
    pub async fn sql(&self, sql: &str) -> Value {
        let request = self.post("/v1/sql").header("accept", "application/json").body(sql.to_owned());
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{}", response.text().await.unwrap());
        response.json().await.unwrap()
    }

    /// Appends JSON lines.
    pub async fn append(&self, lines: &str) -> Response {
        self.post("/v1/streams/readings").body(lines.to_owned()).send().await.unwrap()
    }

    /// Stops the server and the engine, and waits for both.
    pub async fn stop(self) {
        self.begin_stop().await;
    }

    async fn begin_stop(self) {
        drop(self.stop);
        self.serving.await.unwrap();
        self.engine.close().await.unwrap();
    }
}

/// The status and body of an answer that is JSON.
pub async fn json(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    let value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    (status, value)
}

/// The status and code of an answer that is an error.
pub async fn failure(response: Response) -> (u16, String) {
    let (status, body) = json(response).await;
    let code = body["error"]["code"].as_str().unwrap_or_else(|| panic!("no code in {body}")).to_owned();
    assert_eq!(body["error"]["help"], format!("docs/errors/{code}.md"));
    (status, code)
}
