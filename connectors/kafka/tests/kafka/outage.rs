//! The broker is killed and started again under load: nothing is lost, nothing comes twice, and the outage is shown.

use std::sync::Arc;
use std::time::Duration;

use headwater_connectors::{ConnectorSupervisor, State, registry};
use headwater_kafka::CONNECTOR;

use crate::broker::{Broker, pause};
use crate::lab::{Lab, assert_dense, def, runtime};
use crate::topic::Topic;

#[test]
fn a_broker_that_is_killed_under_load_costs_and_repeats_nothing() {
    let Some(mut broker) = Broker::start() else { return };
    registry::add(&CONNECTOR);
    let topic = Topic::new(&broker.address, 2);
    let runtime = runtime();
    let (from, to) = (Lab::new(2), Lab::new(2));
    let supervisor =
        |lab: &Lab| ConnectorSupervisor::new(Arc::clone(&lab.ingest), runtime.handle().clone()).unwrap();
    // What one log delivers the other one reads.
    let sink = supervisor(&from)
        .start_sink(def("kafka", &topic.options(&[("sink.buffer-flush.interval", "50 ms")])))
        .unwrap();
    let source = supervisor(&to).start_source(def("kafka", &topic.options(&[])), |_| ()).unwrap();
    let mut shown = 0;
    for life in 0..3_i64 {
        for part in 0..10 {
            let first = (life * 10 + part) * 500;
            from.fill(first, first + 500);
            pause(Duration::from_millis(150));
            if part == 5 + life {
                broker.kill();
            }
        }
        for _ in 0..300 {
            shown = sink.status().failures.min(source.status().failures);
            if shown > life as u64 {
                break;
            }
            pause(Duration::from_millis(100));
        }
        broker.restart();
    }
    let rows = 15_000;
    for _ in 0..1_800 {
        if to.numbers("events", "n").len() >= rows {
            break;
        }
        pause(Duration::from_millis(100));
    }
    let (sink, source) = (runtime.block_on(sink.stop()), runtime.block_on(source.stop()));
    assert_eq!((sink.state, source.state), (State::Stopped, State::Stopped), "{sink:?} {source:?}");
    assert_dense(to.numbers("events", "n"), rows as i64);
    assert_dense(topic.numbers(), rows as i64);
    assert!(shown > 0, "the outage was shown: {sink:?} {source:?}");
}
