//! Appends that are made only once, or only if.

use headwater_core::{Epoch, ProducerId, Sequence, ShardId};

use super::Make;
use super::fixture::Fixture;
use crate::api::{Append, Appended, Producer};
use crate::error::LogError;

fn by(epoch: u32, sequence: u64, append: Append) -> Append {
    let producer = Producer { id: ProducerId(42), epoch: Epoch(epoch), sequence };
    Append { producer: Some(producer), ..append }
}

pub(super) fn repeats_append_nothing(make: Make<'_>) {
    let fixture = Fixture::new(make, 2);
    let (stream, shard) = (fixture.stream, ShardId(0));
    assert_eq!(fixture.log.last_of(stream, shard, ProducerId(42)).unwrap(), None);
    for n in 0..4 {
        fixture.log.append(vec![by(1, n, fixture.append_of(0, [n as i64, n as i64]))]).unwrap();
    }
    fixture.append(0, 50..51);
    for n in 0..4 {
        let again =
            fixture.log.append(vec![by(1, n, fixture.append_of(0, [n as i64, n as i64]))]).unwrap()[0];
        let original = Appended { first: Sequence(2 * n), next: Sequence(2 * n + 2), duplicate: true };
        assert_eq!(again, original);
    }
    let half = vec![by(1, 3, fixture.append_of(0, [3, 3])), by(1, 3, fixture.append_of(1, [3]))];
    let answers = fixture.log.append(half).unwrap();
    assert!(answers[0].duplicate);
    assert!(!answers[1].duplicate, "a producer's memory is per shard");
    assert_eq!(fixture.read_all(0), [0, 0, 1, 1, 2, 2, 3, 3, 50]);
    assert_eq!(fixture.read_all(1), [3]);
    let (last, appended) = fixture.log.last_of(stream, shard, ProducerId(42)).unwrap().unwrap();
    assert_eq!((last.sequence, appended.first, appended.next), (3, Sequence(6), Sequence(8)));
    assert_eq!(fixture.log.metrics().duplicates, 5);
}

pub(super) fn old_producers_are_refused(make: Make<'_>) {
    let fixture = Fixture::new(make, 1);
    for n in 0..20 {
        fixture.log.append(vec![by(3, 10 * n, fixture.append_of(0, 0..1))]).unwrap();
    }
    let too_old = fixture.log.append(vec![by(3, 0, fixture.append_of(0, 0..1))]).unwrap_err();
    assert!(matches!(too_old, LogError::ProducerTooOld { given: 0, .. }), "{too_old}");
    let stale = fixture.log.append(vec![by(2, 1000, fixture.append_of(0, 0..1))]).unwrap_err();
    assert!(matches!(stale, LogError::StaleEpoch { actual: Epoch(3), given: Epoch(2), .. }), "{stale}");
    assert!(!fixture.log.append(vec![by(4, 0, fixture.append_of(0, 0..1))]).unwrap()[0].duplicate);
    assert_eq!(fixture.next(0), Sequence(21));
}

pub(super) fn an_expected_sequence_must_be_next(make: Make<'_>) {
    let fixture = Fixture::new(make, 1);
    let expect = |at, append| Append { expect_next: Some(Sequence(at)), ..append };
    fixture.log.append(vec![expect(0, fixture.append_of(0, 0..3))]).unwrap();
    let error = fixture.log.append(vec![expect(0, fixture.append_of(0, 0..1))]).unwrap_err();
    let actual = Sequence(3);
    assert!(matches!(error, LogError::WrongSequence { actual: is, .. } if is == actual), "{error}");
    let pair = vec![expect(3, fixture.append_of(0, 3..4)), expect(4, fixture.append_of(0, 4..5))];
    fixture.log.append(pair).unwrap();
    let once = || by(0, 1, expect(5, fixture.append_of(0, 5..6)));
    assert!(!fixture.log.append(vec![once()]).unwrap()[0].duplicate);
    assert!(
        fixture.log.append(vec![once()]).unwrap()[0].duplicate,
        "a repeat met its condition when it was new"
    );
    assert_eq!(fixture.read_all(0), [0, 1, 2, 3, 4, 5]);
}

pub(super) fn a_fence_keeps_others_out(make: Make<'_>) {
    let fixture = Fixture::new(make, 1);
    let with = |token, append| Append { fence: Some(token), ..append };
    let refused = |append| match fixture.log.append(vec![append]) {
        Err(LogError::Fenced { .. }) => true,
        Ok(_) => false,
        Err(other) => panic!("{other}"),
    };
    assert!(refused(with(7, fixture.append_of(0, 0..1))), "no token is set yet");
    fixture.log.set_fence(fixture.stream, ShardId(0), Some(7)).unwrap();
    assert!(!refused(with(7, fixture.append_of(0, 0..1))));
    fixture.log.set_fence(fixture.stream, ShardId(0), Some(8)).unwrap();
    assert!(refused(with(7, fixture.append_of(0, 1..2))));
    assert!(!refused(fixture.append_of(0, 1..2)), "who carries no token is not fenced");
    fixture.log.set_fence(fixture.stream, ShardId(0), None).unwrap();
    assert!(refused(with(8, fixture.append_of(0, 1..2))));
    assert!(matches!(fixture.log.set_fence(fixture.stream, ShardId(1), None), Err(LogError::NoShard { .. })));
    assert_eq!(fixture.next(0), Sequence(2));
}
