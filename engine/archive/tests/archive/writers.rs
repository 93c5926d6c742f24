//! Two who archive the same stream to the same place, their operations interleaved in every way that a seed gives.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use headwater_archive::{Partition, Settings, compact, verify};
use headwater_core::world::Random;
use object_store::memory::InMemory;

use super::bench_log::{Bench, assert_none_twice, every, lying, run};
use super::faulty::healthy;

type Work<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Gives turns to all until all are done.
fn interleave(random: &dyn Random, mut all: Vec<Work<'_>>) {
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..1_000_000 {
        if all.is_empty() {
            return;
        }
        let next = (random.next() % all.len() as u64) as usize;
        if let Poll::Ready(()) = all[next].as_mut().poll(&mut context) {
            drop(all.swap_remove(next));
        }
    }
    panic!("they do not end");
}

#[test]
fn several_writers_leave_each_row_once() {
    for seed in 0..40 {
        let bench = Bench::new(seed);
        bench.append(0, 0..50);
        bench.append(1, 1000..1030);
        let store = Arc::new(InMemory::new());
        let world = bench.sim.world();
        // They differ in when a range ends, and so in what they would write.
        let settings: Vec<Settings> = [7, 11, 13]
            .into_iter()
            .map(|rows| Settings { partition: Partition::Day, ..every(rows) })
            .collect();
        let archive = |settings: &Settings| -> Work<'_> {
            let (bench, place, settings) = (&bench, healthy(&store), settings.clone());
            Box::pin(async move { bench.archive(&place, &settings).await.unwrap() })
        };
        interleave(&*world.random, settings.iter().map(archive).collect());
        let place = healthy(&store);
        assert_none_twice(&place);
        run(bench.archive(&place, &every(1))).unwrap_err();
        run(bench.archive(&place, &Settings { partition: Partition::Day, ..every(1) })).unwrap();
        let all = lying(&place);
        assert_eq!((all[&0].len(), all[&1].len()), (50, 30), "seed {seed}");
        let verified = run(verify(&world, &place)).unwrap();
        assert!(verified.problems.is_empty() && verified.leftovers.is_empty(), "seed {seed}: {verified:?}");
    }
}

#[test]
fn archiving_and_compacting_at_once() {
    for seed in 0..40 {
        let bench = Bench::new(seed);
        bench.append(0, 0..30);
        bench.append(1, 1000..1030);
        let store = Arc::new(InMemory::new());
        let (world, settings) = (bench.sim.world(), every(4));
        run(bench.archive(&healthy(&store), &settings)).unwrap();
        bench.append(0, 30..60);
        let tidy = || -> Work<'_> {
            let (world, place) = (world.clone(), healthy(&store));
            Box::pin(async move {
                compact(&world, &place, 1 << 20, Duration::ZERO).await.unwrap();
            })
        };
        let archive: Work<'_> = {
            let (bench, place, settings) = (&bench, healthy(&store), settings.clone());
            Box::pin(async move { bench.archive(&place, &settings).await.unwrap() })
        };
        interleave(&*world.random, vec![tidy(), archive, tidy()]);
        let place = healthy(&store);
        let done = run(compact(&world, &place, 1 << 20, Duration::ZERO)).unwrap();
        assert_eq!(done.files_after, 2, "seed {seed}: {done:?}");
        assert_none_twice(&place);
        let all = lying(&place);
        assert_eq!((all[&0].len(), all[&1].len()), (60, 30), "seed {seed}");
        let verified = run(verify(&world, &place)).unwrap();
        assert!(verified.problems.is_empty() && verified.leftovers.is_empty(), "seed {seed}: {verified:?}");
    }
}
