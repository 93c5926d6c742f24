//! One process writes. Whoever had the log before is told so, and does not take it back.

use std::sync::Arc;

use headwater_log::{Log, LogError, TopicError};

use crate::broker::Broker;
use crate::rows::{append, create, read_all};

fn is_fenced(error: &LogError) -> bool {
    match error {
        LogError::Poisoned { cause } => matches!(**cause, LogError::Topics(TopicError::Fenced { .. })),
        _ => false,
    }
}

#[test]
fn a_zombie_writes_nothing_and_what_it_reads_stays_true() {
    let broker = Arc::new(Broker::default());
    let zombie = broker.open();
    let stream = create(&*zombie, "events", 1);
    zombie.append(vec![append(stream, 0, 0..3)]).unwrap();
    let owner = broker.open();
    owner.append(vec![append(stream, 0, 3..5)]).unwrap();
    let error = zombie.append(vec![append(stream, 0, 90..95)]).unwrap_err();
    assert!(is_fenced(&error), "{error}");
    assert_eq!(error.code().as_str(), "HW1018");
    let again = zombie.append(vec![append(stream, 0, 90..95)]).unwrap_err();
    assert!(is_fenced(&again), "it stays so: {again}");
    assert!(zombie.set_hold(stream, true).is_err());
    assert!(zombie.metrics().poisoned.is_some());
    assert_eq!(read_all(&*zombie, stream, 0), [0, 1, 2]);
    owner.append(vec![append(stream, 0, 5..6)]).unwrap();
    assert_eq!(read_all(&*owner, stream, 0), [0, 1, 2, 3, 4, 5]);
}

/// The old process has no answer to its commit when the new one opens the log. It must not fence the new one off to find out.
#[test]
fn a_zombie_without_an_answer_does_not_take_the_log_back() {
    for others_write in [false, true] {
        let broker = Arc::new(Broker::default());
        let zombie = broker.open();
        let stream = create(&*zombie, "events", 2);
        zombie.append(vec![append(stream, 0, 0..3)]).unwrap();
        broker.gone_after(1);
        let lost = zombie.submit(vec![append(stream, 0, 3..5), append(stream, 1, 0..1)]);
        while !broker.struck().contains_key("bounds") {
            std::thread::yield_now();
        }
        // The broker is back for the new process first.
        broker.back();
        let (owner, answer) = loop {
            match headwater_log::TopicLog::open(
                headwater_core::World::real(),
                broker.connect(),
                "lab",
                Default::default(),
            ) {
                Ok(owner) => break (owner, lost.wait()),
                Err(LogError::Topics(TopicError::Fenced { .. })) => {}
                Err(other) => panic!("{other}"),
            }
        };
        // Either the old one had settled before the new one came, or it has lost the log.
        if let Err(error) = &answer {
            assert!(is_fenced(error), "{error}");
        }
        if others_write {
            owner.append(vec![append(stream, 0, 5..6)]).unwrap();
        }
        let error = zombie.append(vec![append(stream, 0, 90..91)]).unwrap_err();
        assert!(is_fenced(&error), "{error}");
        owner.append(vec![append(stream, 0, 6..7)]).unwrap();
        let rows: Vec<i64> = if others_write { (0..7).collect() } else { [0, 1, 2, 3, 4, 6].into() };
        assert_eq!(read_all(&*owner, stream, 0), rows);
        assert_eq!(read_all(&*owner, stream, 1), [0]);
    }
}
