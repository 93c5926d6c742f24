//! Keys, rules, types and credentials.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use headwater_connectors::State;
use headwater_core::{ShardId, StreamName, World};
use headwater_ingest::Ingest;
use headwater_log::{Log, MemoryLog, ReadSpec, StreamSpec};

use crate::lab::{Lab, until};
use crate::promise::{sink, to};
use crate::server::{Kind, Server};

/// A log with a stream `events` of these columns.
pub fn lab_of(fields: Vec<Field>) -> Lab {
    let world = World::real();
    let log = MemoryLog::new(world.clone());
    log.create_stream(StreamSpec::new(StreamName::new("events").unwrap(), Arc::new(Schema::new(fields))))
        .unwrap();
    Lab { ingest: Arc::new(Ingest::new(world, log).unwrap()) }
}

fn change(lab: &Lab, rows: &[(i64, &str, i64)]) {
    let rows = RecordBatch::try_from_iter([
        ("n", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0))) as ArrayRef),
        ("text", Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.1)))),
        ("_weight", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.2)))),
    ]);
    lab.ingest.append_batch("events", "test", rows.unwrap()).unwrap();
}

pub fn changes_are_folded_by_key(server: &Server) {
    let lab = lab_of(vec![
        Field::new("n", DataType::Int64, false),
        Field::new("text", DataType::Utf8, true),
        Field::new("_weight", DataType::Int64, false),
    ]);
    let def = sink(server, "kept", true);
    let rows = || server.ask("SELECT n, text FROM kept ORDER BY n");
    change(&lab, &[(1, "a", 1), (2, "b", 1), (3, "c", 1), (1, "a", -1), (1, "d", 1)]);
    lab.sink_life(&def, None).unwrap();
    assert_eq!(rows(), "1\td\n2\tb\n3\tc");
    // An update, new half first; one that goes; one that comes and goes.
    change(&lab, &[(2, "e", 1), (2, "b", -1), (3, "c", -1), (4, "f", 1), (4, "f", -1)]);
    lab.sink_life(&def, None).unwrap();
    assert_eq!(rows(), "1\td\n2\te");
    // Without a key a change cannot be told.
    let mut keyless = def.clone();
    keyless.key.clear();
    let supervisor_error = {
        let runtime = crate::lab::runtime();
        let supervisor =
            headwater_connectors::ConnectorSupervisor::new(Arc::clone(&lab.ingest), runtime.handle().clone())
                .unwrap();
        supervisor.start_sink(keyless).err().unwrap().to_string()
    };
    assert!(supervisor_error.contains("PRIMARY KEY"), "{supervisor_error}");
}

/// What lies in the dead letters: sequence number and reason.
fn letters(lab: &Lab) -> Vec<(i64, String, String)> {
    let log = lab.ingest.log();
    let info = log.stream_named("system.dead_letters").unwrap();
    let until = Some(log.bounds(info.id).unwrap()[0].next);
    let mut reader = log.read(ReadSpec { until, ..ReadSpec::all(info.id, ShardId(0)) }).unwrap();
    let mut all = Vec::new();
    while let Some(batch) = reader.next().unwrap() {
        let text = |name: &str| batch.rows.column_by_name(name).unwrap().as_string::<i32>().clone();
        let records = batch.rows.column_by_name("record").unwrap().as_primitive::<Int64Type>().clone();
        let payloads = batch.rows.column_by_name("payload").unwrap().as_binary::<i32>().clone();
        for row in 0..batch.rows.num_rows() {
            assert_eq!((text("code").value(row), text("source").is_valid(row)), ("HW2111", true));
            let payload = String::from_utf8(payloads.value(row).to_vec()).unwrap();
            all.push((records.value(row), text("reason").value(row).to_owned(), payload));
        }
    }
    all
}

pub fn rows_that_break_a_rule_are_parked_and_the_others_written(server: &Server) {
    let lab = Lab::new(1);
    server.ask("CREATE TABLE ruled (n bigint PRIMARY KEY, text varchar(7), CHECK (n <> 500))");
    server.ask("INSERT INTO ruled VALUES (17, 'there')");
    let def = to(server, "ruled");
    lab.fill(0, 1_002);
    let status = lab.sink_life(&def, None).unwrap();
    // 17 is there, 500 breaks the rule, 'row 1000' and 'row 1001' are too long.
    let found = letters(&lab);
    let numbers: Vec<i64> = found.iter().map(|letter| letter.0).collect();
    assert_eq!(numbers, [17, 500, 1_000, 1_001], "{found:?}");
    assert_eq!(found[1].2, "{\"n\":500,\"text\":\"row 500\"}");
    assert!(found[0].1.to_lowercase().contains("duplicate"), "{}", found[0].1);
    assert!(found[1].1.to_lowercase().contains("constraint"), "{}", found[1].1);
    assert_eq!((status.dead_letters, status.state), (4, State::Stopped), "{:?}", status.last_error);
    assert_eq!(server.ask("SELECT COUNT(*), MIN(text) FROM ruled WHERE n <> 17"), "998\trow 0");
    assert_eq!(server.ask("SELECT text FROM ruled WHERE n = 17"), "there");
}

/// Looking for rows that are refused takes longer than one answer may.
pub fn any_number_of_rows_may_be_refused(server: &Server) {
    let lab = Lab::new(1);
    server.ask("CREATE TABLE closed (n bigint, text varchar(40), CHECK (n < 0))");
    lab.fill(0, 1_500);
    let mut def = to(server, "closed");
    def.options.insert("connection.max-retry-timeout".into(), "400 ms".into());
    def.options.insert("sink.buffer-flush.max-rows".into(), "1500".into());
    def.options.insert("sink.buffer-flush.interval".into(), "1 s".into());
    let runtime = crate::lab::runtime();
    let supervisor =
        headwater_connectors::ConnectorSupervisor::new(Arc::clone(&lab.ingest), runtime.handle().clone())
            .unwrap();
    let handle = supervisor.start_sink(def).unwrap();
    runtime.block_on(until(&handle, "all are refused", |status| {
        status.positions.get("0").is_some_and(|next| next == "1500")
    }));
    let status = runtime.block_on(handle.stop());
    assert_eq!(status.lag, Some(0), "{:?}", status.last_error);
    let found: Vec<i64> = letters(&lab).into_iter().map(|letter| letter.0).collect();
    assert_eq!(found, (0..1_500).collect::<Vec<_>>(), "each of them once");
}

/// Runs a sink that must fail, and answers why.
fn failure(lab: &Lab, def: &headwater_connectors::ConnectorDef) -> String {
    let status = lab.sink_life(def, None).unwrap();
    assert_eq!(status.state, State::Failed, "{status:?}");
    status.last_error.unwrap()
}

pub fn what_does_not_fit_is_said_before_a_row_is_written(server: &Server) {
    let lab = Lab::new(1);
    lab.fill(0, 10);
    server.ask("CREATE TABLE misfit (n smallint, test varchar(10), must integer NOT NULL)");
    let error = failure(&lab, &to(server, "misfit"));
    assert!(error.starts_with("HW5005"), "{error}");
    for part in [
        "column 'n' is smallint",
        "does not hold an integer of 64 bits",
        "there is no column 'text', did you mean 'test'?",
        "column 'must' is NOT NULL without a default",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert_eq!(server.ask("SELECT COUNT(*) FROM misfit"), "0");
    let error = failure(&lab, &to(server, "nowhere"));
    assert!(error.contains("there is no such table; 'auto.create' = 'true' creates it"), "{error}");
    let mut keyed = to(server, "survived");
    keyed.key = vec!["n".to_owned()];
    let error = failure(&lab, &keyed);
    assert!(error.contains("no primary key or unique index over exactly these columns"), "{error}");
    if server.kind == Kind::MariaDb {
        server.ask("CREATE TABLE rough (n bigint, text varchar(40)) ENGINE = MyISAM");
        let error = failure(&lab, &to(server, "rough"));
        assert!(error.contains("MyISAM has no transactions"), "{error}");
        server.ask("CREATE TABLE twice (n bigint PRIMARY KEY, text varchar(40) UNIQUE)");
        let twice = headwater_connectors::ConnectorDef { key: vec!["n".to_owned()], ..to(server, "twice") };
        let error = failure(&lab, &twice);
        assert!(error.contains("(text) is unique, too"), "{error}");
    }
}

pub fn secrets_are_not_shown_and_certificates_are_checked(server: &Server) {
    let lab = Lab::new(1);
    lab.fill(0, 10);
    let mut def = sink(server, "sealed", false);
    def.options.insert("password".into(), "wrong and secret".into());
    let error = failure(&lab, &def);
    assert!(error.starts_with("HW5005") && !error.contains("secret"), "{error}");

    let [authority, other] = server.authorities();
    let with = |mode: &str, authority: &str| {
        let mut def = to(server, "sealed");
        def.options.insert("ssl.mode".into(), mode.into());
        def.options.insert("ssl.root.cert".into(), authority.into());
        def
    };
    let status = lab.sink_life(&with("verify-full", &authority), None).unwrap();
    assert_eq!((status.state, status.rows), (State::Stopped, 10), "{:?}", status.last_error);
    lab.fill(10, 20);
    // Whether the other side will be trusted later nobody can know: it is tried again, and said why.
    let runtime = crate::lab::runtime();
    let supervisor =
        headwater_connectors::ConnectorSupervisor::new(Arc::clone(&lab.ingest), runtime.handle().clone())
            .unwrap();
    let handle = supervisor.start_sink(with("verify-ca", &other)).unwrap();
    let status = runtime.block_on(until(&handle, "it fails", |status| status.last_error.is_some()));
    let error = status.last_error.unwrap();
    assert!(error.to_lowercase().contains("certificate"), "{error}");
    assert_eq!(server.ask("SELECT COUNT(*) FROM sealed"), "10");
}
