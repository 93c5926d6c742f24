//! Merging files, broken off anywhere; and putting rows back into a log.

use std::sync::Arc;
use std::time::Duration;

use headwater_archive::{Partition, Settings, compact, restore, verify};
use headwater_log::{LogError, MemoryLog};
use object_store::memory::InMemory;

use super::bench_log::{Bench, assert_none_twice, every, lying, read_shard, run};
use super::faulty::{Fault, Faulty, healthy};

#[test]
fn a_merge_may_end_anywhere() {
    for fault in [Fault::Refused, Fault::AnswerLost, Fault::Ended] {
        for at in 0.. {
            let bench = Bench::new(3);
            bench.append(0, 0..40);
            let store = Arc::new(InMemory::new());
            let settings = Settings { partition: Partition::Day, sort: vec!["device".into()], ..every(8) };
            run(bench.archive(&healthy(&store), &settings)).unwrap();
            let world = bench.sim.world();
            let faulty = Faulty::new(&store, at, fault);
            let broken = run(compact(&world, &faulty.place(), 1 << 20, Duration::ZERO));
            // By the manifest each row is there once at any time.
            let place = healthy(&store);
            let verified = run(verify(&world, &place)).unwrap();
            assert_eq!((verified.problems, verified.rows), (Vec::new(), 40), "{fault:?} at {at}");
            // Archiving goes on beside what was broken off.
            bench.append(0, 40..48);
            run(bench.archive(&place, &settings)).unwrap();
            let done = run(compact(&world, &place, 1 << 20, Duration::ZERO)).unwrap();
            assert_eq!(done.files_after, 2, "{fault:?} at {at}: a file for each of two days");
            assert_none_twice(&place);
            assert_eq!(lying(&place)[&0].len(), 48);
            if broken.is_ok() && faulty.count() <= at {
                assert!(at > 20, "there were only {at} operations");
                break;
            }
        }
    }
}

#[test]
fn merged_files_stay_for_a_while_for_those_who_read_them() {
    let bench = Bench::new(3);
    bench.append(0, 0..40);
    let place = healthy(&Arc::new(InMemory::new()));
    run(bench.archive(&place, &every(2))).unwrap();
    let world = bench.sim.world();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let merged = async {
        loop {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let verified = verify(&world, &place).await.unwrap();
            if verified.ranges == 1 {
                return verified.leftovers.len();
            }
        }
    };
    let compacting = compact(&world, &place, 1 << 20, Duration::from_secs(5));
    let (done, still_there) = runtime.block_on(async { tokio::join!(compacting, merged) });
    assert_eq!((still_there, done.unwrap().files_after), (20, 1));
    assert_none_twice(&place);
}

#[test]
fn a_manifest_of_many_entries_is_opened_by_its_snapshot() {
    let bench = Bench::new(3);
    bench.append(0, 0..300);
    let place = healthy(&Arc::new(InMemory::new()));
    run(bench.archive(&place, &every(2))).unwrap();
    let world = bench.sim.world();
    assert_eq!(run(verify(&world, &place)).unwrap().ranges, 150);
    let done = run(compact(&world, &place, 1 << 20, Duration::ZERO)).unwrap();
    assert!(done.removed > 150 + 100, "files and entries: {done:?}");
    let verified = run(verify(&world, &place)).unwrap();
    assert_eq!((verified.problems.len(), verified.ranges, verified.rows), (0, 1, 300));
    bench.append(0, 300..310);
    run(bench.archive(&place, &every(2))).unwrap();
    assert_eq!(run(verify(&world, &place)).unwrap().rows, 310);
}

#[test]
fn rows_are_restored_at_their_places() {
    let bench = Bench::new(3);
    bench.append(0, 0..40);
    bench.append(1, 1000..1020);
    let place = healthy(&Arc::new(InMemory::new()));
    let settings = Settings { partition: Partition::Day, sort: vec!["device".into()], ..every(9) };
    run(bench.archive(&place, &settings)).unwrap();
    let world = bench.sim.world();
    let log: Arc<dyn headwater_log::Log> = MemoryLog::new(world.clone());
    let error = run(restore(&world, &place, &log, "readings")).unwrap_err();
    assert!(matches!(error, headwater_archive::ArchiveError::Log(LogError::NoStream { .. })));
    let info = log.create_stream(bench.info.spec.clone()).unwrap();
    assert_eq!(run(restore(&world, &place, &log, "readings")).unwrap(), 60);
    for shard in 0..2 {
        assert_eq!(read_shard(&*log, &info, shard), read_shard(&*bench.log, &bench.info, shard));
    }
    // A restore that was broken off is gone on with, and done again does nothing.
    bench.append(0, 40..43);
    run(bench.archive(&place, &settings)).unwrap();
    assert_eq!(run(restore(&world, &place, &log, "readings")).unwrap(), 3);
    assert_eq!(run(restore(&world, &place, &log, "readings")).unwrap(), 0);
    let other = headwater_log::StreamSpec { shards: 1, ..bench.info.spec.clone() };
    let other =
        headwater_log::StreamSpec { name: headwater_core::StreamName::new("other").unwrap(), ..other };
    log.create_stream(other).unwrap();
    assert!(
        run(restore(&world, &place, &log, "other"))
            .unwrap_err()
            .to_string()
            .contains("create it with as many")
    );
}
