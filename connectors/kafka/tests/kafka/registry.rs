//! Messages whose schemas a registry has: one that others wrote, whose address is `HEADWATER_TEST_REGISTRY` (`tests/run` starts
//! Apicurio), and a small one in this process that asks for a password and knows the requests that are made, and nothing else.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use arrow::array::{Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use headwater_connectors::{ConnectorDef, State as Running, registry};
use headwater_kafka::CONNECTOR;
use parking_lot::Mutex;
use rdkafka::message::Message;
use rdkafka::producer::BaseRecord;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::broker;
use crate::found::Keys;
use crate::lab::{Lab, def, runtime};
use crate::sinks::deliver;
use crate::sources::read_columns;
use crate::topic::Topic;

/// The schemas that were registered, numbered from 1.
type Schemas = Arc<Mutex<Vec<Value>>>;

type Answer = (StatusCode, Json<Value>);

/// What was sent with the right user, or a refusal.
fn check(headers: &HeaderMap) -> Result<(), Answer> {
    // fleet:hunter2
    let is_known = headers.get("authorization").is_some_and(|value| value == "Basic ZmxlZXQ6aHVudGVyMg==");
    let refusal = json!({"error_code": 40101, "message": "who are you"});
    if is_known { Ok(()) } else { Err((StatusCode::UNAUTHORIZED, Json(refusal))) }
}

async fn register(
    State(schemas): State<Schemas>,
    Path(subject): Path<String>,
    headers: HeaderMap,
    Json(mut schema): Json<Value>,
) -> Result<Json<Value>, Answer> {
    check(&headers)?;
    schema["subject"] = subject.into();
    let mut schemas = schemas.lock();
    let at = schemas.iter().position(|known| *known == schema).unwrap_or_else(|| {
        schemas.push(schema);
        schemas.len() - 1
    });
    Ok(Json(json!({"id": at + 1})))
}

async fn by_id(
    State(schemas): State<Schemas>,
    Path(id): Path<usize>,
    headers: HeaderMap,
) -> Result<Json<Value>, Answer> {
    check(&headers)?;
    let found = schemas.lock().get(id.wrapping_sub(1)).cloned();
    found.map(Json).ok_or((StatusCode::NOT_FOUND, Json(json!({"error_code": 40403}))))
}

/// A registry in this process, and what it knows.
fn serve(runtime: &Runtime) -> (String, Schemas) {
    let schemas = Schemas::default();
    let router = Router::new()
        .route("/subjects/{subject}/versions", post(register))
        .route("/schemas/ids/{id}", get(by_id))
        .with_state(Arc::clone(&schemas));
    let address = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    });
    (format!("http://{address}"), schemas)
}

fn rows() -> RecordBatch {
    RecordBatch::try_from_iter([
        ("device", Arc::new(StringArray::from(vec!["a", "b"])) as _),
        ("n", Arc::new(Int64Array::from(vec![1, 2])) as _),
        ("temp", Arc::new(Float64Array::from(vec![Some(21.5), None])) as _),
    ])
    .unwrap()
}

const PROTO: &str =
    "syntax = \"proto3\"; message Reading { string device = 1; int64 n = 2; optional double temp = 3; }";

#[test]
fn rows_go_out_and_come_in_with_numbered_schemas() {
    let Some(address) = broker::shared() else { return };
    registry::add(&CONNECTOR);
    let server = runtime();
    let (own, schemas) = serve(&server);
    let mut registries = vec![own];
    match std::env::var("HEADWATER_TEST_REGISTRY") {
        Ok(url) => registries.push(url),
        Err(_) => println!("left out: HEADWATER_TEST_REGISTRY is not set (tests/run sets it)"),
    }
    for url in &registries {
        for format in ["avro-confluent", "protobuf-confluent"] {
            let topic = Topic::new(&address, 1);
            check_registered(&topic, url, format, &[]);
            let subject = Value::from(format!("{}-value", topic.name));
            let knows = schemas.lock().iter().any(|schema| schema["subject"] == subject);
            assert_eq!(knows, *url == registries[0], "{url} {format}");
        }
    }
}

fn check_registered(topic: &Topic, url: &str, format: &str, more: &[(&str, &str)]) {
    let names = ["url", "basic-auth.user-info", "schema"].map(|name| format!("{format}.{name}"));
    let mut options = vec![
        ("format", format),
        (names[0].as_str(), url),
        (names[1].as_str(), "fleet:hunter2"),
        ("sink.transactional-id-prefix", topic.name.as_str()),
    ];
    options.extend(more);
    if format == "protobuf-confluent" {
        options.push((names[2].as_str(), PROTO));
    }
    deliver(&rows(), def("kafka", &topic.options(&options)));
    let messages = topic.committed();
    let begins = messages[0].payload().unwrap()[..5].to_vec();
    assert_eq!(begins[0], 0, "{format}");
    assert!(messages.iter().all(|message| message.payload().unwrap().starts_with(&begins)), "{format}");
    // Beside them one of a schema that nobody has.
    let producer = topic.producer(&[]);
    let unknown = String::from_utf8(vec![0, 1, 1, 1, 99, 1]).unwrap();
    topic.send(&producer, BaseRecord::to(&topic.name).partition(0).payload(&unknown));
    Topic::flush(&producer);
    let fields = vec![
        Field::new("device", DataType::Utf8, false),
        Field::new("n", DataType::Int64, false),
        Field::new("temp", DataType::Float64, true),
    ];
    options.retain(|(name, _)| !name.starts_with("sink.") && *name != names[2]);
    let read = read_columns(topic, fields, &[], &options);
    assert_eq!(read.columns(), rows().columns(), "{format}");
}

/// Python's HTTPS, which asks for a certificate. Killed when dropped.
struct Secure(Child);

impl Drop for Secure {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_registry_may_have_a_private_authority_and_ask_for_a_certificate() {
    let Some(address) = broker::shared() else { return };
    let Some(keys) = Keys::make() else { return };
    registry::add(&CONNECTOR);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/conformance/secure.py");
    let mut command = Command::new("python3");
    let mut server = Secure(
        command.arg(script).arg(keys.path(".")).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap(),
    );
    let mut said = BufReader::new(server.0.stdout.take().unwrap());
    let mut port = String::new();
    said.read_line(&mut port).unwrap();
    let url = format!("https://127.0.0.1:{}", port.trim());
    let path = |name: &str| keys.path(name).to_str().unwrap().to_owned();
    let (ca, certificate, key) = (path("ca.crt"), path("client.crt"), path("client.key"));
    let topic = Topic::new(&address, 1);
    let trust = ("avro-confluent.tls.ca", ca.as_str());
    let proof = [("avro-confluent.tls.cert", certificate.as_str()), ("avro-confluent.tls.key", key.as_str())];
    check_registered(&topic, &url, "avro-confluent", &[trust, proof[0], proof[1]]);

    for (more, told) in [
        (
            vec![trust, proof[0], ("avro-confluent.tls.key", "/no/such/file.pem")],
            "cannot use /no/such/file.pem",
        ),
        (vec![trust, proof[0], ("avro-confluent.tls.key", ca.as_str())], "cannot use "),
    ] {
        let mut options = vec![("format", "avro-confluent"), ("avro-confluent.url", url.as_str())];
        options.extend(more);
        let status = Lab::new(1).sink_life(&def("kafka", &topic.options(&options)), None).unwrap();
        let error = status.last_error.unwrap();
        assert!(status.state == Running::Failed && error.contains(told), "{error}");
    }
}

#[test]
fn a_refusal_of_the_registry_is_final_and_shows_no_password() {
    let Some(address) = broker::shared() else { return };
    registry::add(&CONNECTOR);
    let server = runtime();
    let (url, _) = serve(&server);
    let topic = Topic::new(&address, 1);
    let options = [
        ("format", "avro-confluent"),
        ("avro-confluent.url", url.as_str()),
        ("avro-confluent.basic-auth.user-info", "fleet:wrong"),
    ];
    let lab = Lab::new(1);
    let def = ConnectorDef { metadata: BTreeMap::new(), ..def("kafka", &topic.options(&options)) };
    let status = lab.sink_life(&def, None).unwrap();
    assert_eq!(status.state, Running::Failed);
    let told = status.last_error.unwrap();
    assert!(told.contains("401") && told.contains("who are you") && !told.contains("wrong"), "{told}");
}
