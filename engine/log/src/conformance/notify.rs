//! Those who wait are told.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use headwater_core::{Sequence, ShardId, StreamId};

use super::Make;
use super::fixture::{Fixture, create, rows};
use crate::api::{Append, CommitGuard, Log};

pub(super) fn commits_wake(make: Make<'_>) {
    let fixture = Fixture::new(make, 1);
    let other = create(&*fixture.log, "others", 1).id;
    let (calls, guard) = counting(&fixture, &[fixture.stream]);
    let (calls_of_both, _guard) = counting(&fixture, &[other, fixture.stream]);
    let before = fixture.log.version();
    fixture.append(0, 0..1);
    assert!(fixture.log.version() > before, "the version has grown when the append is acknowledged");
    wait_until(&*fixture.log, || {
        calls.load(Ordering::SeqCst) > 0 && calls_of_both.load(Ordering::SeqCst) > 0
    });
    let seen = (calls.load(Ordering::SeqCst), calls_of_both.load(Ordering::SeqCst));
    fixture.log.append(vec![Append::new(other, ShardId(0), rows(1..2))]).unwrap();
    wait_until(&*fixture.log, || calls_of_both.load(Ordering::SeqCst) > seen.1);
    assert_eq!(calls.load(Ordering::SeqCst), seen.0, "another stream's commit wakes nobody else");
    drop(guard);
    fixture.append(0, 1..2);
    // That commit may wake who waits for both a moment later.
    wait_until(&*fixture.log, || calls_of_both.load(Ordering::SeqCst) > seen.1 + 1);
    let (seen_of_both, version) = (calls_of_both.load(Ordering::SeqCst), fixture.log.version());
    fixture.log.drop_stream(other).unwrap();
    wait_until(&*fixture.log, || calls_of_both.load(Ordering::SeqCst) > seen_of_both);
    assert_eq!(fixture.log.version(), version, "no row is new");
    fixture.log.close().unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), seen.0, "a dropped guard ends the calls");
}

/// Counts the commits to some streams.
fn counting(fixture: &Fixture, streams: &[StreamId]) -> (Arc<AtomicU64>, CommitGuard) {
    let calls = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&calls);
    let count = move || {
        counted.fetch_add(1, Ordering::SeqCst);
    };
    let guard = fixture.log.on_commit(streams, Arc::new(count));
    (calls, guard)
}

/// A wake may come a moment after the answer, and later on a busy machine.
fn wait_until(_log: &dyn Log, met: impl Fn() -> bool) {
    for _ in 0..60_000 {
        if met() {
            return;
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
    panic!("nobody was woken");
}

struct Woken(AtomicU64);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

pub(super) fn an_answer_can_be_awaited(make: Make<'_>) {
    let fixture = Fixture::new(make, 1);
    let mut pending = fixture.log.submit(vec![fixture.append_of(0, 0..2)]);
    let woken = Arc::new(Woken(AtomicU64::new(0)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut context = Context::from_waker(&waker);
    let answer = match Pin::new(&mut pending).poll(&mut context) {
        Poll::Ready(answer) => answer,
        Poll::Pending => {
            // Appends are answered in order, so when this one is, that one was.
            fixture.append(0, 2..3);
            assert_eq!(woken.0.load(Ordering::SeqCst), 1);
            match Pin::new(&mut pending).poll(&mut context) {
                Poll::Ready(answer) => answer,
                Poll::Pending => panic!("woken without an answer"),
            }
        }
    };
    assert_eq!(answer.unwrap()[0].next, Sequence(2));
}

pub(super) fn metrics_count(make: Make<'_>) {
    let fixture = Fixture::new(make, 1);
    for n in 0..5 {
        fixture.append(0, n..n + 2);
    }
    let metrics = fixture.log.metrics();
    assert_eq!((metrics.rows, metrics.duplicates, metrics.poisoned), (10, 0, None));
    assert!((1..=5).contains(&metrics.commits));
}
