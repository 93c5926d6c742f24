//! The suite that every log must pass.

use std::sync::Arc;

use headwater_core::World;
use headwater_log::{TopicLog, TopicLogOptions, conformance};

use crate::broker::Broker;

#[test]
fn topics() {
    for (name, case) in conformance::CASES {
        println!("{name}");
        case(&|| Arc::new(Broker::default()).open());
    }
}

/// A queue that takes one group at a time, and nothing kept of what was written: every read asks the broker.
#[test]
fn topics_with_everything_small() {
    let options = TopicLogOptions { queue_bytes: 1, recent_bytes: 0, ..TopicLogOptions::default() };
    for (name, case) in conformance::CASES {
        println!("{name}");
        case(&|| {
            let broker = Arc::new(Broker::default());
            TopicLog::open(World::real(), broker.connect(), "lab", options.clone()).unwrap()
        });
    }
}
