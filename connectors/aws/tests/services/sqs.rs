//! SQS: ElasticMQ and moto.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::DataType;
use headwater_connectors::{Behind, ConnectorDef, State};
use serde_json::{Value, json};

use crate::lab::{Lab, assert_dense, def};
use crate::peer::Peer;
use crate::work::{LIVES, Running, lab, texts, time, with_metadata};

pub const ELASTICMQ: &str = "HEADWATER_TEST_ELASTICMQ";
const MOTO: &str = "HEADWATER_TEST_MOTO";

/// A queue of a name that no other run has.
pub fn create(peer: &mut Peer, name: &str, attributes: Value) -> String {
    let queue = format!("{}-{name}", std::process::id());
    let answer = peer.call("create_queue", json!({"QueueName": queue, "Attributes": attributes}));
    answer["QueueUrl"].as_str().unwrap().to_owned()
}

/// Sends `{"n": …}`; to a FIFO queue in one of three groups.
fn send(peer: &mut Peer, url: &str, numbers: std::ops::Range<i64>) {
    let numbers: Vec<i64> = numbers.collect();
    for numbers in numbers.chunks(10) {
        let entry = |n: &i64| {
            let body = format!("{{\"n\":{n},\"text\":\"g{}\"}}", n % 3);
            let mut entry = json!({"Id": n.to_string(), "MessageBody": body});
            if url.ends_with(".fifo") {
                entry["MessageGroupId"] = format!("g{}", n % 3).into();
                entry["MessageDeduplicationId"] = format!("d{n}").into();
            }
            entry
        };
        let entries: Vec<Value> = numbers.iter().map(entry).collect();
        let answer = peer.call("send_message_batch", json!({"QueueUrl": url, "Entries": entries}));
        assert!(answer["Failed"].as_array().is_none_or(Vec::is_empty), "{answer}");
    }
}

pub fn source(peer: &Peer, url: &str) -> ConnectorDef {
    let more = [("queue-url", url), ("source.wait-time", "1 s"), ("source.visibility-timeout", "2 s")];
    def("sqs", &peer.options(&more))
}

/// How many messages a queue still has, visible or not.
fn left(peer: &mut Peer, url: &str) -> i64 {
    let names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"];
    let answer = peer.call("get_queue_attributes", json!({"QueueUrl": url, "AttributeNames": names}));
    names.iter().map(|name| answer["Attributes"][name].as_str().unwrap().parse::<i64>().unwrap()).sum()
}

fn messages_come_once(variable: &str, queue: &str, attributes: Value) {
    let Some(mut peer) = Peer::of("sqs", variable) else { return };
    let url = create(&mut peer, queue, attributes);
    send(&mut peer, &url, 0..300);
    let lab = lab(1, &[]);
    let def = source(&peer, &url);
    for millis in LIVES {
        lab.source_life(&def, Some(millis));
    }
    // What a life has received and not deleted comes again when its time is over.
    let running = Running::source(&lab, &def);
    send(&mut peer, &url, 300..400);
    running.until("all messages are there", || texts(&lab, "events", "n").len() >= 400);
    running.until("all messages are deleted", || left(&mut peer, &url) == 0);
    running.stop();
    assert_dense(lab.numbers("events", "n"), 400);
    if url.ends_with(".fifo") {
        let mut last = BTreeMap::new();
        for (group, n) in texts(&lab, "events", "text").into_iter().zip(lab.numbers("events", "n")) {
            assert!(last.insert(group, n).is_none_or(|before| before < n), "{n} comes too early");
        }
    }
    peer.call("delete_queue", json!({"QueueUrl": url}));
}

#[test]
fn messages_of_elasticmq_come_once_through_deaths() {
    messages_come_once(ELASTICMQ, "plain", json!({}));
}

#[test]
fn messages_of_a_fifo_queue_of_elasticmq_come_once_and_in_order() {
    messages_come_once(ELASTICMQ, "ordered.fifo", json!({"FifoQueue": "true"}));
}

#[test]
fn messages_of_moto_come_once_through_deaths() {
    messages_come_once(MOTO, "plain", json!({}));
}

#[test]
fn envelopes_fill_columns_and_bad_messages_are_dead_letters_and_deleted() {
    let Some(mut peer) = Peer::of("sqs", ELASTICMQ) else { return };
    let url = create(&mut peer, "envelopes.fifo", json!({"FifoQueue": "true"}));
    let message = |n: &str, dedup: &str| {
        json!({"QueueUrl": url, "MessageBody": n, "MessageGroupId": "g", "MessageDeduplicationId": dedup,
               "MessageAttributes": {"kind": {"DataType": "String", "StringValue": "warm"}}})
    };
    let sent = peer.call("send_message", message("{\"n\":1}", "d1"));
    peer.call("send_message", message("nonsense", "d2"));
    let about = [
        ("message_id", DataType::Utf8),
        ("message_group_id", DataType::Utf8),
        ("message_deduplication_id", DataType::Utf8),
        ("timestamp", time()),
        ("receive_count", DataType::Int64),
        ("attributes", DataType::Utf8),
    ];
    let lab = lab(1, &about);
    let mut def = with_metadata(source(&peer, &url), &about);
    // By name instead.
    def.options.remove("queue-url");
    def.options.insert("queue".to_owned(), url.rsplit('/').next().unwrap().to_owned());
    let running = Running::source(&lab, &def);
    running.until("both are taken", || {
        texts(&lab, "events", "n").len() + texts(&lab, "system.dead_letters", "source").len() == 2
    });
    running.until("both are deleted", || left(&mut peer, &url) == 0);
    running.until("it is known that nothing waits", || {
        (running.status().lag, running.status().behind) == (Some(0), Behind::Not)
    });
    running.stop();
    let one = |column: &str| texts(&lab, "events", column).remove(0);
    assert_eq!(one("message_id"), sent["MessageId"].as_str().unwrap());
    assert_eq!((one("message_group_id"), one("message_deduplication_id")), ("g".into(), "d1".into()));
    assert_eq!((one("receive_count"), one("attributes")), ("1".into(), r#"{"kind":"warm"}"#.into()));
    assert!(one("timestamp").starts_with("20"));
    assert!(texts(&lab, "system.dead_letters", "reason")[0].contains("(message "));
    peer.call("delete_queue", json!({"QueueUrl": url}));
}

/// Appends rows `n` with a text of three.
fn fill(lab: &Lab, range: std::ops::Range<i64>) {
    let groups = StringArray::from_iter_values(range.clone().map(|n| format!("g{}", n % 3)));
    let rows = RecordBatch::try_from_iter([
        ("n", Arc::new(Int64Array::from_iter_values(range)) as ArrayRef),
        ("text", Arc::new(groups)),
    ]);
    lab.ingest.append_batch("events", "test", rows.unwrap()).unwrap();
}

/// Receives all messages of a queue: key and number, in order.
fn receive(peer: &mut Peer, url: &str) -> Vec<(String, i64)> {
    let mut all = Vec::new();
    loop {
        let ask = json!({"QueueUrl": url, "MaxNumberOfMessages": 10, "MessageAttributeNames": ["All"], "WaitTimeSeconds": 1});
        let answer = peer.call("receive_message", ask);
        let Some(messages) = answer["Messages"].as_array().filter(|messages| !messages.is_empty()) else {
            return all;
        };
        for message in messages {
            let key = message["MessageAttributes"]["idempotency-key"]["StringValue"].as_str().unwrap();
            let body: Value = serde_json::from_str(message["Body"].as_str().unwrap()).unwrap();
            all.push((key.to_owned(), body["n"].as_i64().unwrap()));
            peer.call("delete_message", json!({"QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"]}));
        }
    }
}

fn rows_are_sent(queue: &str, attributes: Value, more: &[(&str, &str)]) -> Option<Vec<i64>> {
    let mut peer = Peer::of("sqs", ELASTICMQ)?;
    let url = create(&mut peer, queue, attributes);
    let lab = lab(1, &[]);
    let mut options = peer.options(&[("queue-url", &url)]);
    options.extend(more);
    let def = def("sqs", &options);
    for (life, millis) in (0..).zip(LIVES) {
        fill(&lab, life * 20..(life + 1) * 20);
        lab.sink_life(&def, Some(millis));
    }
    fill(&lab, 140..200);
    let status = lab.sink_life(&def, None).unwrap();
    assert_eq!(status.state, State::Stopped, "{:?}", status.last_error);
    let received = receive(&mut peer, &url);
    let by_key: BTreeMap<&String, i64> = received.iter().map(|(key, n)| (key, *n)).collect();
    assert_dense(by_key.into_values().collect(), 200);
    peer.call("delete_queue", json!({"QueueUrl": url}));
    Some(received.into_iter().map(|(_, n)| n).collect())
}

#[test]
fn rows_are_sent_with_a_key_through_deaths() {
    rows_are_sent("sent", json!({}), &[]);
}

#[test]
fn rows_are_in_a_fifo_queue_once_and_in_order() {
    let fifo = json!({"FifoQueue": "true"});
    let Some(numbers) = rows_are_sent("sent.fifo", fifo, &[("sink.message-group-id", "text")]) else {
        return;
    };
    assert_eq!(numbers.len(), 200, "the queue dropped what came twice");
    for group in 0..3 {
        assert!(numbers.iter().filter(|n| *n % 3 == group).is_sorted(), "group {group}");
    }
}

#[test]
fn what_takes_long_stays_hidden_and_is_how_far_behind_the_source_is() {
    let Some(mut peer) = Peer::of("sqs", ELASTICMQ) else { return };
    let url = create(&mut peer, "slow", json!({}));
    send(&mut peer, &url, 0..1);
    // A source that nobody tells that its message is durable: it goes on being received, by it alone.
    let context = crate::work::context(&lab(1, &[]));
    let mut def = source(&peer, &url);
    def.options.insert("source.visibility-timeout".to_owned(), "10 s".to_owned());
    let options = headwater_ingest::Options::new("test", def.options);
    let mut source = headwater_connectors::registry::make_source("sqs", context, options).unwrap();
    crate::lab::runtime().block_on(async {
        source.open(BTreeMap::new()).await.unwrap();
        let first = loop {
            if let headwater_connectors::Pulled::Records { marks, .. } = source.pull().await.unwrap() {
                break marks;
            }
        };
        tokio::time::sleep(Duration::from_secs(13)).await;
        let ask = json!({"QueueUrl": url, "MaxNumberOfMessages": 10});
        assert!(peer.call("receive_message", ask)["Messages"].as_array().is_none_or(Vec::is_empty));
        let behind = source.behind().millis().unwrap();
        assert!((5_000..60_000).contains(&behind), "{behind} ms since it was sent");
        assert!(source.lag().is_some_and(|lag| lag >= 1), "{:?}: pulled is not durable", source.lag());
        source.committed(&first).await.unwrap();
        assert!(!matches!(source.behind(), Behind::Since(_)), "nothing that was received waits");
        assert_eq!(left(&mut peer, &url), 0);
        source.close().await.unwrap();
    });
    peer.call("delete_queue", json!({"QueueUrl": url}));
}
