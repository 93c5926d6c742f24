//! DynamoDB: dynalite and moto; transactions in moto alone, as the other has none.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Decimal128Array, Int64Array, RecordBatch, StringArray,
    TimestampMillisecondArray,
};
use headwater_connectors::{ConnectorDef, State};
use headwater_core::{StreamName, World};
use headwater_ingest::Ingest;
use headwater_log::{Log, MemoryLog, StreamSpec};
use serde_json::{Value, json};

use crate::lab::{Lab, def};
use crate::peer::Peer;
use crate::work::LIVES;

const DYNALITE: &str = "HEADWATER_TEST_DYNALITE";
const MOTO: &str = "HEADWATER_TEST_MOTO";

/// A table whose hash key is `device`, and whose range key is `slot` if that is wanted; of a name that no other run has.
fn create(peer: &mut Peer, name: &str, with_range: bool) -> String {
    let table = format!("{name}-{}", std::process::id());
    let mut keys = vec![json!({"AttributeName": "device", "KeyType": "HASH"})];
    let mut attributes = vec![json!({"AttributeName": "device", "AttributeType": "S"})];
    if with_range {
        keys.push(json!({"AttributeName": "slot", "KeyType": "RANGE"}));
        attributes.push(json!({"AttributeName": "slot", "AttributeType": "N"}));
    }
    let ask = json!({"TableName": table, "KeySchema": keys, "AttributeDefinitions": attributes,
                     "BillingMode": "PAY_PER_REQUEST"});
    peer.call("create_table", ask);
    for _ in 0..3_000 {
        if peer.call("describe_table", json!({"TableName": table}))["Table"]["TableStatus"] == "ACTIVE" {
            return table;
        }
        std::thread::park_timeout(std::time::Duration::from_millis(20));
    }
    panic!("{table} does not become active");
}

/// All items, by device and slot.
fn items(peer: &mut Peer, table: &str) -> Vec<Value> {
    let mut items = peer.call("scan", json!({"TableName": table}))["Items"].as_array().unwrap().clone();
    items.sort_by_key(|item| (item["device"]["S"].to_string(), item["slot"]["N"].to_string()));
    items
}

/// The rows `range` of a sequence: device, slot, n, of four devices and two slots; and a log that they go to.
fn rows(range: std::ops::Range<i64>) -> RecordBatch {
    let devices = StringArray::from_iter_values(range.clone().map(|n| format!("d{}", n % 4)));
    RecordBatch::try_from_iter([
        ("device", Arc::new(devices) as ArrayRef),
        ("slot", Arc::new(Int64Array::from_iter_values(range.clone().map(|n| n / 4 % 2)))),
        ("n", Arc::new(Int64Array::from_iter_values(range.clone()))),
        ("total", Arc::new(Int64Array::from_iter_values(range.map(|_| 1)))),
    ])
    .unwrap()
}

fn lab(rows: &RecordBatch, shards: u32) -> Lab {
    headwater_aws::CONNECTORS.into_iter().for_each(headwater_connectors::registry::add);
    let mut spec = StreamSpec::new(StreamName::new("events").unwrap(), rows.schema());
    spec.shards = shards;
    let world = World::real();
    let log = MemoryLog::new(world.clone());
    log.create_stream(spec).unwrap();
    Lab { ingest: Arc::new(Ingest::new(world, log).unwrap()) }
}

/// Writes 400 rows through many lives, each life delivering from where the last was stored.
fn live(lab: &Lab, def: &ConnectorDef) {
    for (life, millis) in (0..).zip(LIVES) {
        lab.ingest.append_batch("events", "test", rows(life * 40..(life + 1) * 40)).unwrap();
        lab.sink_life(def, Some(millis));
    }
    lab.ingest.append_batch("events", "test", rows(280..400)).unwrap();
    let status = lab.sink_life(def, None).unwrap();
    assert_eq!(status.state, State::Stopped, "{:?}", status.last_error);
}

fn each_row_counts_once(variable: &str) {
    let Some(mut peer) = Peer::of("dynamodb", variable) else { return };
    let table = &create(&mut peer, "counted", true);
    // Two shards write the same items.
    let lab = lab(&rows(0..1), 2);
    live(&lab, &def("dynamodb", &peer.options(&[("table-name", table), ("sink.add", "total")])));
    let found = items(&mut peer, table);
    assert_eq!(found.len(), 8);
    for item in &found {
        // 400 rows over eight items; each counted once, however often it was written.
        assert_eq!(item["total"]["N"], "50", "{item}");
        let attributes = item.as_object().unwrap().keys();
        assert!(attributes.clone().any(|name| name.starts_with("_offset_")), "{item}");
    }
}

#[test]
fn rows_added_in_dynalite_count_once_through_deaths() {
    each_row_counts_once(DYNALITE);
}

#[test]
fn rows_added_in_moto_count_once_through_deaths() {
    each_row_counts_once(MOTO);
}

#[test]
fn the_newest_row_of_an_item_stays_in_either_mode() {
    let Some(mut peer) = Peer::of("dynamodb", DYNALITE) else { return };
    for mode in ["update", "batch"] {
        let table = &create(&mut peer, mode, true);
        let lab = lab(&rows(0..1), 1);
        live(&lab, &def("dynamodb", &peer.options(&[("table-name", table), ("sink.mode", mode)])));
        let found = items(&mut peer, table);
        let newest: Vec<_> = found.iter().map(|item| item["n"]["N"].as_str().unwrap()).collect();
        assert_eq!(newest, ["392", "396", "393", "397", "394", "398", "395", "399"], "{mode}");
    }
}

#[test]
fn values_keep_their_kind_and_null_is_no_attribute() {
    let Some(mut peer) = Peer::of("dynamodb", DYNALITE) else { return };
    let table = &create(&mut peer, "kinds", false);
    let decimal = Decimal128Array::from(vec![123_456_789_012_345_678_901_i128; 2]);
    let rows = RecordBatch::try_from_iter([
        ("device", Arc::new(StringArray::from(vec!["d", "d"])) as ArrayRef),
        ("amount", Arc::new(decimal.with_precision_and_scale(30, 3).unwrap())),
        ("is_on", Arc::new(BooleanArray::from(vec![true, false]))),
        ("raw", Arc::new(BinaryArray::from(vec![&b"bytes"[..], b"more"]))),
        ("at", Arc::new(TimestampMillisecondArray::from(vec![0, 1_500]))),
        ("note", Arc::new(StringArray::from(vec![Some("x"), None]))),
    ])
    .unwrap();
    let lab = lab(&rows, 1);
    // Somebody else's attribute stays.
    let theirs = json!({"device": {"S": "d"}, "theirs": {"N": "7"}, "note": {"S": "old"}});
    peer.call("put_item", json!({"TableName": table, "Item": theirs}));
    lab.ingest.append_batch("events", "test", rows).unwrap();
    let status = lab.sink_life(&def("dynamodb", &peer.options(&[("table-name", table)])), None).unwrap();
    assert_eq!(status.state, State::Stopped, "{:?}", status.last_error);
    let mut item = items(&mut peer, table).remove(0);
    item.as_object_mut().unwrap().retain(|name, _| !name.starts_with("_offset_"));
    let expected = json!({"device": {"S": "d"}, "theirs": {"N": "7"}, "amount": {"N": "123456789012345678.901"},
                          "is_on": {"BOOL": false}, "raw": {"B": "more"}, "at": {"S": "1970-01-01T00:00:01.5"}});
    assert_eq!(item, expected);
}

#[test]
fn a_row_that_is_no_item_is_parked_and_the_others_go_on() {
    let Some(mut peer) = Peer::of("dynamodb", DYNALITE) else { return };
    for mode in ["update", "batch"] {
        let table = &create(&mut peer, &format!("parked-{mode}"), false);
        // No key, and a key that the service does not take.
        let rows = RecordBatch::try_from_iter_with_nullable([
            (
                "device",
                Arc::new(StringArray::from(vec![Some("a"), None, Some(""), Some("b")])) as ArrayRef,
                true,
            ),
            ("n", Arc::new(Int64Array::from(vec![0, 1, 2, 3])), true),
        ])
        .unwrap();
        let lab = lab(&rows, 1);
        lab.ingest.append_batch("events", "test", rows).unwrap();
        let options = peer.options(&[("table-name", table), ("sink.mode", mode)]);
        let status = lab.sink_life(&def("dynamodb", &options), None).unwrap();
        assert_eq!((status.state, status.dead_letters), (State::Stopped, 2), "{:?}", status.last_error);
        let reasons = crate::work::texts(&lab, "system.dead_letters", "reason");
        assert!(reasons[0].contains("device is NULL"), "{reasons:?}");
        assert!(reasons[1].contains("ValidationException"), "{reasons:?}");
        let devices: Vec<_> =
            items(&mut peer, table).iter().map(|item| item["device"]["S"].clone()).collect();
        assert_eq!(devices, ["a", "b"]);
    }
}

#[test]
fn a_table_that_does_not_fit_is_told() {
    let Some(mut peer) = Peer::of("dynamodb", DYNALITE) else { return };
    let table = &create(&mut peer, "narrow", true);
    let lab = crate::work::lab(1, &[]);
    lab.fill(0, 1);
    let told = |table: &str| {
        let running =
            crate::work::Running::sink(&lab, &def("dynamodb", &peer.options(&[("table-name", table)])));
        let handle = running.handle.as_ref().unwrap();
        running.until_failed();
        let error = handle.status().last_error.unwrap();
        running.stop();
        error
    };
    let error = told(table);
    assert!(error.contains("its key has the attribute device, for which there is no column"), "{error}");
    let error = told("nowhere");
    assert!(error.contains("ResourceNotFoundException"), "{error}");
}

/// Rows of one `slot` belong together: of each slot all devices have the same `n`, whenever somebody looks.
/// What is found once it is as it should be. A request outlives the sink that sent it, and Moto shows a transaction that it is in the
/// middle of; but nobody finishes what was left half done.
#[expect(clippy::disallowed_methods, reason = "an emulator's clock is the real one")]
fn settled<T, E: std::fmt::Debug>(mut look: impl FnMut() -> Result<T, E>) -> T {
    for _ in 0..1_200 {
        if let Ok(found) = look() {
            return found;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    look().unwrap()
}

#[test]
fn rows_that_belong_together_are_written_whole_through_deaths() {
    let Some(mut peer) = Peer::of("dynamodb", MOTO) else { return };
    let table = &create(&mut peer, "whole", false);
    // A step is a batch: three devices, the same n.
    let step = |n: i64| {
        RecordBatch::try_from_iter([
            ("device", Arc::new(StringArray::from(vec!["a", "b", "c"])) as ArrayRef),
            ("n", Arc::new(Int64Array::from(vec![n; 3]))),
        ])
        .unwrap()
    };
    let lab = lab(&step(0), 1);
    let options =
        peer.options(&[("table-name", table), ("sink.mode", "transaction"), ("sink.transaction-by", "n")]);
    let def = def("dynamodb", &options);
    let mut n = 0;
    for millis in LIVES.iter().map(|millis| Some(*millis)).chain([None]) {
        for _ in 0..20 {
            lab.ingest.append_batch("events", "test", step(n)).unwrap();
            n += 1;
        }
        let status = lab.sink_life(&def, millis);
        let values = settled(|| {
            let found = items(&mut peer, table);
            let values: Vec<_> = found.iter().map(|item| item["n"]["N"].clone()).collect();
            let whole = values.is_empty() || (values.len() == 3 && values.iter().all(|n| *n == values[0]));
            if whole { Ok(values) } else { Err(values) }
        });
        if millis.is_none() {
            assert_eq!((status.unwrap().state, &values[0]), (State::Stopped, &json!((n - 1).to_string())));
        }
    }
}

#[test]
fn what_cannot_be_written_whole_is_parked_whole() {
    let Some(mut peer) = Peer::of("dynamodb", MOTO) else { return };
    let table = &create(&mut peer, "whole-parked", false);
    let rows = |devices: Vec<String>, n: i64| {
        let ns = Int64Array::from(vec![n; devices.len()]);
        RecordBatch::try_from_iter([
            ("device", Arc::new(StringArray::from(devices)) as ArrayRef),
            ("n", Arc::new(ns)),
        ])
        .unwrap()
    };
    let named = |count: usize| (0..count).map(|nth| format!("d{nth:03}")).collect::<Vec<_>>();
    let lab = lab(&rows(named(1), 0), 1);
    // A hundred are as many as there may be; one more is too many. Of rows of one item the last counts.
    for (devices, n) in [(named(100), 1), (named(101), 2), ([named(2), named(2)].concat(), 3)] {
        lab.ingest.append_batch("events", "test", rows(devices, n)).unwrap();
    }
    let options =
        peer.options(&[("table-name", table), ("sink.mode", "transaction"), ("sink.transaction-by", "n")]);
    let status = lab.sink_life(&def("dynamodb", &options), None).unwrap();
    assert_eq!((status.state, status.dead_letters), (State::Stopped, 101), "{:?}", status.last_error);
    let reasons = crate::work::texts(&lab, "system.dead_letters", "reason");
    assert!(
        reasons[0].contains("101 items belong together with it, a transaction takes 100"),
        "{}",
        reasons[0]
    );
    let found = items(&mut peer, table);
    let of = |n: &str| found.iter().filter(|item| item["n"]["N"] == n).count();
    assert_eq!((of("1"), of("2"), of("3")), (98, 0, 2));
}
