//! What librdkafka answers to a producer.
//!
//! A poll of rdkafka takes as long as it may, whatever comes meanwhile, and spins through the last millisecond of it; its `flush` polls for
//! a tenth of a second at a time. So whoever delivers and commits takes answers without waiting, and rests in between. When nobody
//! delivers, what librdkafka has to say of its connections waits for the next one.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};

/// How long a rest is.
const REST: Duration = Duration::from_micros(500);

/// How long is listened after a failure.
const LISTEN: Duration = Duration::from_millis(1);

/// Takes the answers that are there.
pub(crate) fn take<C: ProducerContext>(producer: &BaseProducer<C>) {
    let mut waiting = producer.in_flight_count();
    while waiting > 0 {
        // One answer, to all messages of a request.
        producer.poll(Duration::ZERO);
        let left = producer.in_flight_count();
        if left >= waiting {
            return;
        }
        waiting = left;
    }
}

/// Lets a moment pass in which answers come.
pub(crate) fn rest() {
    // Nobody wakes it: this is where waiting is allowed.
    Condvar::new().wait_for(&mut Mutex::new(()).lock(), REST);
}

/// Waits until all messages are answered, but not for longer than `patience`.
pub(crate) fn wait_for_all<C: ProducerContext>(
    producer: &BaseProducer<C>,
    patience: Duration,
) -> KafkaResult<()> {
    for _ in 0..patience.as_micros() / REST.as_micros() {
        take(producer);
        if producer.in_flight_count() == 0 {
            return Ok(());
        }
        rest();
    }
    Err(KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut))
}

/// Hears why something failed: what is known of connections is told by events that nobody has taken yet.
pub(crate) fn listen<C: ProducerContext>(producer: &BaseProducer<C>) {
    producer.poll(LISTEN);
}
