//! Messages in other formats than text: records of Kinesis whose schema a registry has, messages of SQS in Base64.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use headwater_connectors::ConnectorDef;
use headwater_ingest::{Encoder, Format, FormatOptions};
use serde_json::{Value, json};

use crate::lab::{Lab, runtime};
use crate::peer::Peer;
use crate::work::{Running, lab, texts};
use crate::{kinesis, sqs};

const PROTO: &str = "syntax = \"proto3\"; message Event { int64 n = 1; optional string text = 2; }";

/// The rows `(n, text)` of these numbers as messages in Base64, and their schema, which has number 7.
fn messages(numbers: std::ops::Range<i64>, format: Format) -> (Vec<String>, String) {
    let text = StringArray::from_iter_values(numbers.clone().map(|n| format!("k{n}")));
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(numbers));
    // As the stream has them: without a registry the schema of Avro is made of its columns.
    let columns = [("n", numbers, false), ("text", Arc::new(text) as ArrayRef, true)];
    let rows = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let options = FormatOptions { protobuf_schema: Some(PROTO.to_owned()), ..FormatOptions::default() };
    let mut encoder = Encoder::new(format, rows.schema(), &options).unwrap();
    if format.is_registered() {
        encoder.set_schema_id(7);
    }
    let mut out = Vec::new();
    let places = encoder.encode_messages(&rows, &mut out).unwrap();
    let schema = encoder.schema_text().unwrap_or_default().to_owned();
    (places.into_iter().map(|(_, place)| STANDARD.encode(&out[place])).collect(), schema)
}

/// Asserts that the ten rows come, and that what is no message is put aside.
fn check(lab: &Lab, def: &ConnectorDef) {
    let running = Running::source(lab, def);
    running.until("ten rows and a dead letter are there", || {
        (texts(lab, "events", "n").len(), texts(lab, "system.dead_letters", "reason").len()) == (10, 1)
    });
    running.stop();
    let mut rows: Vec<_> = lab.numbers("events", "n").into_iter().zip(texts(lab, "events", "text")).collect();
    rows.sort_unstable();
    assert_eq!(rows, (0..10).map(|n| (n, format!("k{n}"))).collect::<Vec<_>>());
}

#[test]
fn records_of_kinesis_have_the_schema_that_a_registry_has() {
    let Some(mut peer) = Peer::of("kinesis", kinesis::KINESALITE) else { return };
    let server = runtime();
    for (format, family) in
        [(Format::AvroConfluent, "avro-confluent"), (Format::ProtobufConfluent, "protobuf-confluent")]
    {
        let (messages, schema) = messages(0..10, format);
        let url = server.block_on(async {
            let answer = get(move || async move { Json::<Value>(json!({"schema": schema})) });
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap());
            tokio::spawn(async move {
                axum::serve(listener, Router::new().route("/schemas/ids/7", answer)).await
            });
            url
        });
        let stream = kinesis::create(&mut peer, family, 2);
        let mut records: Vec<Value> = messages
            .iter()
            .enumerate()
            .map(|(at, message)| json!({"Data": {"$bytes": message}, "PartitionKey": format!("k{at}")}))
            .collect();
        records.push(json!({"Data": "nonsense", "PartitionKey": "k"}));
        let answer = peer.call("put_records", json!({"StreamName": stream, "Records": records}));
        assert_eq!(answer["FailedRecordCount"], 0);
        let option = format!("{family}.url");
        let more =
            [("source.init.position", "TRIM_HORIZON"), ("format", family), (option.as_str(), url.as_str())];
        let def = kinesis::source(&peer, &stream, &more);
        check(&lab(1, &[]), &def);
    }
}

#[test]
fn messages_of_sqs_in_avro_and_protobuf_are_base64() {
    let Some(mut peer) = Peer::of("sqs", sqs::ELASTICMQ) else { return };
    for format in [Format::Avro, Format::Protobuf] {
        let url = sqs::create(&mut peer, format.name(), json!({}));
        let (mut messages, _) = messages(0..10, format);
        messages.insert(3, "{\"n\":1}".to_owned());
        for body in messages {
            peer.call("send_message", json!({"QueueUrl": url, "MessageBody": body}));
        }
        let mut def = sqs::source(&peer, &url);
        for (name, value) in [("format", format.name()), ("protobuf.schema", PROTO)] {
            def.options.insert(name.to_owned(), value.to_owned());
        }
        let lab = lab(1, &[]);
        check(&lab, &def);
        assert!(texts(&lab, "system.dead_letters", "reason")[0].contains("no Base64"));
        peer.call("delete_queue", json!({"QueueUrl": url}));
    }
}
