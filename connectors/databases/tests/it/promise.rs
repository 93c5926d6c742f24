//! Each row once, whoever dies.

use std::sync::Arc;

use headwater_connectors::{ConnectorDef, ConnectorSupervisor, State};

use crate::lab::{LIVES, Lab, assert_dense, def, runtime, until};
use crate::server::{Server, pause};

/// A table `name (n, text)`, with `n` as its key if that is said, and the sink into it.
pub fn sink(server: &Server, name: &str, key: bool) -> ConnectorDef {
    let primary = if key { "PRIMARY KEY" } else { "" };
    server.ask(&format!("CREATE TABLE {name} (n bigint {primary}, text varchar(40))"));
    let mut def = to(server, name);
    if key {
        def.key = vec!["n".to_owned()];
    }
    def
}

/// The sink into a table.
pub fn to(server: &Server, table: &str) -> ConnectorDef {
    let url = server.url();
    let options = [
        ("url", url.as_str()),
        ("table-name", table),
        ("username", "tests"),
        ("password", crate::server::PASSWORD),
        ("sink.buffer-flush.max-rows", "700"),
        ("sink.buffer-flush.interval", "3 ms"),
        ("connection.max-retry-timeout", "30 s"),
    ];
    ConnectorDef { name: format!("the_{table}"), ..def("jdbc", &options) }
}

/// The numbers in a table; each text belongs to its number.
fn numbers(server: &Server, table: &str) -> Vec<i64> {
    let text = server.ask(&format!("SELECT n, text FROM {table}"));
    let number = |line: &str| {
        let (n, text) = line.split_once('\t').unwrap();
        assert_eq!(text, format!("row {n}"));
        n.parse().unwrap()
    };
    text.lines().map(number).collect()
}

pub fn each_row_once_through_many_lives(server: &Server) {
    for (table, shards, key) in [("inserted", 1, false), ("spread", 3, false), ("upserted", 2, true)] {
        let lab = Lab::new(shards);
        let def = sink(server, table, key);
        let each = 1_500;
        // A connection is made in some milliseconds, so that some lives are given more time than others' need.
        for (life, millis) in (0..).zip(LIVES) {
            lab.fill(life * each, (life + 1) * each);
            lab.sink_life(&def, Some(millis + if life % 2 == 0 { 0 } else { 60 }));
        }
        let rows = LIVES.len() as i64 * each + 10;
        lab.fill(rows - 10, rows);
        let status = lab.sink_life(&def, None).unwrap();
        assert_eq!(status.state, State::Stopped, "{:?}", status.last_error);
        assert_dense(numbers(server, table), rows);
    }
}

pub fn each_row_once_while_the_server_is_killed(server: &mut Server) {
    let lab = Lab::new(2);
    let def = sink(server, "survived", false);
    let runtime = runtime();
    let supervisor = ConnectorSupervisor::new(Arc::clone(&lab.ingest), runtime.handle().clone()).unwrap();
    let handle = supervisor.start_sink(def).unwrap();
    let mut rows = 0;
    for kill in 0..4 {
        for _ in 0..10 {
            lab.fill(rows, rows + 400);
            rows += 400;
            pause(13 + 7 * kill);
        }
        let before = handle.status().failures;
        server.kill();
        lab.fill(rows, rows + 1_000);
        rows += 1_000;
        runtime.block_on(until(&handle, "the outage is noticed", |status| status.failures > before));
        server.run();
    }
    runtime.block_on(until(&handle, "all is delivered", |status| status.lag == Some(0)));
    let status = runtime.block_on(handle.stop());
    assert_eq!(status.lag, Some(0), "{status:?}");
    assert!(status.last_error.unwrap().starts_with("HW5004"));
    assert_dense(numbers(server, "survived"), rows);
}

/// What a late commit of a former self, or a restored database, does to a sink that is at work.
pub fn a_position_that_somebody_else_moved_is_read_again(server: &Server) {
    let lab = Lab::new(1);
    let def = sink(server, "moved", false);
    lab.fill(0, 100);
    lab.sink_life(&def, None).unwrap();
    // The cursor that the supervisor has stored says 100; the database has lost the last forty rows together with the position.
    server.ask("DELETE FROM moved WHERE n >= 60");
    server.ask("UPDATE headwater_positions SET next = 60 WHERE sink = 'the_moved'");
    lab.fill(100, 150);
    lab.sink_life(&def, None).unwrap();
    assert_dense(numbers(server, "moved"), 150);

    // While one is at work, the position goes on by rows that it has not written.
    let runtime = runtime();
    let supervisor = ConnectorSupervisor::new(Arc::clone(&lab.ingest), runtime.handle().clone()).unwrap();
    let handle = supervisor.start_sink(def).unwrap();
    runtime.block_on(async {
        let settle = async |rows: i64| {
            until(&handle, "it has written all", |status| {
                status.lag == Some(0) && status.positions.get("0") == Some(&rows.to_string())
            })
            .await;
        };
        settle(150).await;
        server.ask("INSERT INTO moved VALUES (150, 'row 150')");
        server.ask("UPDATE headwater_positions SET next = 151 WHERE sink = 'the_moved'");
        lab.fill(150, 200);
        settle(200).await;
        assert!(handle.status().last_error.unwrap().contains("somebody else has moved it"));
        handle.stop().await;
    });
    assert_dense(numbers(server, "moved"), 200);
}
