//! A log is looked at beside the process that writes it, which does not notice.

use std::sync::Arc;

use headwater_core::{Sequence, ShardId, World};
use headwater_log::{Log, LogError, ReadSpec, Retention, TopicError, TopicLog};

use crate::broker::Broker;
use crate::rows::{append, create, read_all};

fn look(broker: &Arc<Broker>) -> Arc<TopicLog> {
    TopicLog::look(World::real(), broker.connect(), "lab").unwrap()
}

fn is_refused<T>(result: Result<T, LogError>) -> bool {
    let Err(error) = result else { return false };
    assert_eq!(error.code().as_str(), "HW1019", "{error}");
    matches!(error, LogError::OnlyLooked { log } if log == "lab")
}

#[test]
fn what_is_there_is_read_and_the_writer_goes_on() {
    let broker = Arc::new(Broker::default());
    let writer = broker.open();
    let stream = create(&*writer, "events", 2);
    writer.append(vec![append(stream, 0, 0..3), append(stream, 1, 10..12)]).unwrap();
    let looked = look(&broker);
    writer.append(vec![append(stream, 0, 3..5)]).unwrap();
    assert_eq!(looked.streams(), writer.streams());
    assert_eq!(read_all(&*looked, stream, 0), [0, 1, 2], "what comes later is not seen");
    assert_eq!(read_all(&*looked, stream, 1), [10, 11]);
    looked.close().unwrap();
    let again = look(&broker);
    assert_eq!(read_all(&*again, stream, 0), [0, 1, 2, 3, 4]);
    assert_eq!(again.bounds(stream).unwrap(), writer.bounds(stream).unwrap());
    assert_eq!(again.segments(stream).unwrap(), writer.segments(stream).unwrap());
    drop(again);
    writer.append(vec![append(stream, 0, 5..6)]).unwrap();
    assert_eq!(read_all(&*writer, stream, 0), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn whatever_would_write_is_refused_and_leaves_no_trace() {
    let broker = Arc::new(Broker::default());
    let writer = broker.open();
    let stream = create(&*writer, "events", 1);
    writer.append(vec![append(stream, 0, 0..3)]).unwrap();
    let spec = writer.stream(stream).unwrap().spec.clone();
    let topics = broker.topics();
    let looked = look(&broker);
    assert!(is_refused(looked.append(vec![append(stream, 0, 3..5)])));
    let other = headwater_log::StreamSpec { name: headwater_core::StreamName::new("other").unwrap(), ..spec };
    assert!(is_refused(looked.create_stream(other)));
    assert!(is_refused(looked.drop_stream(stream)));
    assert!(is_refused(looked.set_retention(stream, Retention { age: None, bytes: Some(1) })));
    assert!(is_refused(looked.set_hold(stream, true)));
    assert!(is_refused(looked.trim(stream, ShardId(0), Sequence(2))));
    looked.close().unwrap();
    assert_eq!(broker.topics(), topics);
    let reopened = broker.open();
    assert_eq!(read_all(&*reopened, stream, 0), [0, 1, 2]);
    assert_eq!(reopened.stream(stream).unwrap(), writer.stream(stream).unwrap());
}

#[test]
fn rows_that_the_writer_removes_meanwhile_are_told_as_gone_and_not_as_damage() {
    let broker = Arc::new(Broker::default());
    let writer = broker.open();
    let stream = create(&*writer, "events", 1);
    for n in 0..150 {
        let rows = crate::rows::rows(10 * n..10 * n + 10, 4_000);
        writer.append(vec![headwater_log::Append::new(stream, ShardId(0), rows)]).unwrap();
    }
    let looked = look(&broker);
    writer.trim(stream, ShardId(0), Sequence(305)).unwrap();
    let mut reader = looked.read(ReadSpec::all(stream, ShardId(0))).unwrap();
    let error = loop {
        match reader.next() {
            Ok(batch) => assert!(batch.is_some(), "the rows that are gone were passed over"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, LogError::Trimmed { oldest: Sequence(300), .. }), "{error}");
}

#[test]
fn a_log_that_nobody_has_opened_is_not_made() {
    let broker = Arc::new(Broker::default());
    let error = TopicLog::look(World::real(), broker.connect(), "lab").err().unwrap();
    assert!(matches!(error, LogError::Topics(TopicError::Refused { .. })), "{error}");
    assert!(broker.topics().is_empty());
}
