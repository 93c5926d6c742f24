//! Members of a group share the partitions of a topic, come and go under load, and each message is in one of their logs, once.

use std::sync::Arc;
use std::time::Duration;

use headwater_connectors::{ConnectorSupervisor, Handle, State, registry};
use headwater_kafka::CONNECTOR;
use tokio::runtime::Runtime;

use crate::broker;
use crate::lab::{Lab, assert_dense, def, eventually, runtime, until};
use crate::topic::Topic;

/// Rows of a part.
const ROWS: i64 = 4_000;

/// How many parts there are at least, and at most: on a busy machine a group takes its time to hand partitions over.
const PARTS: std::ops::Range<i64> = 10..100;

fn start(runtime: &Runtime, lab: &Lab, topic: &Topic) -> Handle {
    let supervisor = ConnectorSupervisor::new(Arc::clone(&lab.ingest), runtime.handle().clone()).unwrap();
    let options = topic.options(&[
        ("properties.group.id", &topic.name),
        ("scan.assignment", "group"),
        // Members hear of a change at their next heartbeat.
        ("properties.heartbeat.interval.ms", "100"),
    ]);
    supervisor.start_source(def("kafka", &options), |_| ()).unwrap()
}

#[test]
fn partitions_change_hands_without_loss_or_repeat() {
    let Some(address) = broker::shared() else { return };
    registry::add(&CONNECTOR);
    let topic = Topic::new(&address, 4);
    let producer = topic.producer(&[]);
    let labs = [Lab::new(2), Lab::new(2), Lab::new(2)];
    let runtime = runtime();
    let first = start(&runtime, &labs[0], &topic);
    let mut second = None;
    let mut third = None;
    let shares = || labs.each_ref().map(|lab| lab.numbers("events", "n").len());
    let mut rows = 0;
    for part in 0..PARTS.end {
        if part >= PARTS.start && shares().iter().all(|share| *share > 0) {
            break;
        }
        topic.fill(&producer, rows, rows + ROWS);
        rows += ROWS;
        broker::pause(Duration::from_millis(600));
        match part {
            1 => second = Some(start(&runtime, &labs[1], &topic)),
            3 => third = Some(start(&runtime, &labs[2], &topic)),
            // One leaves in the middle of it, and another one comes back.
            5 => drop(second.take().map(|handle| runtime.block_on(handle.stop()))),
            7 => second = Some(start(&runtime, &labs[1], &topic)),
            _ => {}
        }
    }
    Topic::flush(&producer);
    runtime.block_on(eventually("all rows are read", || {
        let read = shares();
        if read.iter().sum::<usize>() >= rows as usize { Ok(()) } else { Err(read) }
    }));
    for handle in [Some(first), second, third].into_iter().flatten() {
        let status = runtime.block_on(handle.stop());
        assert_eq!(status.state, State::Stopped, "{:?}", status.last_error);
    }
    assert_dense(labs.iter().flat_map(|lab| lab.numbers("events", "n")).collect(), rows);
    assert!(shares().iter().all(|share| *share > 0), "all had a share: {:?}", shares());
    let bad: usize = labs.iter().map(|lab| lab.numbers("system.dead_letters", "record").len()).sum();
    assert_eq!(bad, rows as usize / 1_000);
}

#[test]
fn a_pattern_names_whole_topics_alone_and_in_a_group() {
    let Some(address) = broker::shared() else { return };
    registry::add(&CONNECTOR);
    let topics = [Topic::new(&address, 1), Topic::new(&address, 1)];
    // Topics whose names begin or end like those that are meant.
    let others = [format!("{}-more", topics[0].name), format!("x-{}", topics[1].name)];
    let others = others.map(|name| Topic::named(&address, &name, 1, &[]));
    for (topic, first) in topics.iter().chain(&others).zip([0, 10, 1_000, 2_000]) {
        let producer = topic.producer(&[]);
        topic.fill(&producer, first, first + 10);
        Topic::flush(&producer);
    }
    let pattern = topics.each_ref().map(|topic| topic.name.as_str()).join("|");
    let runtime = runtime();
    for assignment in ["all", "group"] {
        let (lab, group) = (Lab::new(1), format!("{}-{assignment}", topics[0].name));
        let supervisor = ConnectorSupervisor::new(Arc::clone(&lab.ingest), runtime.handle().clone()).unwrap();
        let options = [
            ("properties.bootstrap.servers", address.as_str()),
            ("topic-pattern", pattern.as_str()),
            ("properties.group.id", group.as_str()),
            ("scan.assignment", assignment),
        ];
        let source = supervisor.start_source(def("kafka", &options), |_| ()).unwrap();
        runtime.block_on(until(&source, "both are read", |_| lab.numbers("events", "n").len() >= 20));
        let status = runtime.block_on(source.stop());
        assert_eq!(status.state, State::Stopped, "{:?}", status.last_error);
        let ends: Vec<_> = status.positions.values().collect();
        assert_eq!(ends, ["10", "10"], "{:?}", status.positions);
        assert_dense(lab.numbers("events", "n"), 20);
        if assignment == "all" {
            continue;
        }
        let schema = Arc::clone(&lab.ingest.log().stream_named("events").unwrap().spec.schema);
        for wrong in [r"t\d+", "(?:a|b)", "a+?"] {
            let wrong = [options[0], ("topic-pattern", wrong), options[2], options[3]];
            let error =
                supervisor.validate_source(&def("kafka", &wrong), &schema, None).unwrap_err().to_string();
            assert!(error.contains("topic-pattern") && error.contains("POSIX"), "{error}");
        }
    }
}
