//! Every operation of archiving fails, loses its answer, or is the last one before the end: each row is there once.

use std::sync::Arc;

use headwater_archive::{Codec, Partition, Settings, verify};
use object_store::memory::InMemory;

use super::bench_log::{Bench, assert_none_twice, every, lying, run};
use super::faulty::{Fault, Faulty, healthy};

/// Archives with one fault, then without, for every place at which the fault can be.
fn check(settings: &Settings, fault: Fault) {
    let bench = Bench::new(7);
    bench.append(0, 0..40);
    bench.append(1, 1000..1024);
    let mut at = 0;
    loop {
        let store = Arc::new(InMemory::new());
        let faulty = Faulty::new(&store, at, fault);
        let place = faulty.place();
        for _ in 0..3 {
            // An error is what a fault looks like from here; it may come when the archive is opened.
            if run(bench.archive(&place, settings)).is_ok() {
                break;
            }
            assert_none_twice(&healthy(&store));
        }
        let place = healthy(&store);
        assert_none_twice(&place);
        run(bench.archive(&place, settings)).unwrap();
        let all = lying(&place);
        assert_eq!((all[&0].len(), all[&1].len()), (40, 24), "{fault:?} at {at}");
        assert_none_twice(&place);
        let verified = run(verify(&bench.sim.world(), &place)).unwrap();
        assert_eq!(verified.problems, Vec::<String>::new(), "{fault:?} at {at}");
        assert_eq!((verified.rows, verified.leftovers.len(), verified.unfinished.len()), (64, 0, 0));
        if faulty.count() <= at {
            assert!(at > 10, "there were only {at} operations");
            return;
        }
        at += 1;
    }
}

#[test]
fn an_operation_that_is_refused() {
    check(&every(8), Fault::Refused);
}

#[test]
fn an_answer_that_is_lost() {
    check(&every(8), Fault::AnswerLost);
}

#[test]
fn an_end_after_any_operation() {
    check(&every(8), Fault::Ended);
}

#[test]
fn files_of_several_days_and_an_end_between_them() {
    check(&Settings { partition: Partition::Day, ..every(40) }, Fault::Ended);
    check(&Settings { partition: Partition::Hour, sort: vec!["device".into()], ..every(8) }, Fault::Ended);
}

#[test]
fn uploads_in_parts() {
    let settings = Settings { part_bytes: 700, codec: Codec::None, ..every(8) };
    for fault in [Fault::Refused, Fault::AnswerLost, Fault::Ended] {
        check(&settings, fault);
    }
}

#[test]
fn an_upload_goes_on_behind_the_parts_that_are_there() {
    let settings = Settings { part_bytes: 700, codec: Codec::None, ..every(40) };
    let bench = Bench::new(7);
    bench.append(0, 0..40);
    let store = Arc::new(InMemory::new());
    let mut resumed = 0;
    for at in 0..40 {
        let faulty = Faulty::new(&store, at, Fault::Ended);
        let progress = Arc::<headwater_archive::Progress>::default();
        let done = run(async {
            let (log, info) = (Arc::clone(&bench.log), Arc::clone(&bench.info));
            let world = bench.sim.world();
            let mut archiver = headwater_archive::Archiver::open(
                world,
                log,
                info,
                faulty.place(),
                settings.clone(),
                Arc::clone(&progress),
            )
            .await?;
            while !matches!(archiver.step().await?, headwater_archive::Stepped::Idle(_)) {}
            Ok::<_, headwater_archive::ArchiveError>(())
        });
        resumed = resumed.max(progress.parts_resumed());
        if done.is_ok() {
            break;
        }
    }
    assert!(resumed >= 3, "only {resumed} parts were found there");
    assert_eq!(lying(&healthy(&store))[&0].len(), 40);
}
