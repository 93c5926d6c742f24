//! The archive of a stream whose data directory was lost is taken over by a stream of a new one.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use headwater_archive::{Archive, ArchiveError, History, Partition, Place, Settings, Stepped, verify};
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;

use super::bench_log::{Bench, assert_none_twice, every, lying, read_shard, run, schema, value_of};
use super::faulty::{Fault, Faulty, healthy};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

fn by_day() -> Settings {
    Settings { partition: Partition::Day, ..every(7) }
}

/// What `CREATE ARCHIVE … WITH (attach = 'true')` asks for.
fn attach(bench: &Bench, place: &Place, settings: Settings) -> headwater_archive::Result<()> {
    let settings = Settings { attach: true, ..settings };
    let (world, runtime) = (bench.sim.world(), runtime());
    Archive::claim(&world, &bench.log, &bench.info, place, &settings, runtime.handle().clone())
}

/// A machine that has archived 50 rows of one shard and 30 of the other.
fn archived(place: &Place) -> Bench {
    let bench = Bench::new(1);
    bench.append(0, 0..50);
    bench.append(1, 1000..1030);
    run(bench.archive(place, &by_day())).unwrap();
    bench
}

/// Goes on behind the rows of [`archived`], and looks at all of them.
fn go_on(bench: &Bench, place: &Place) {
    let bounds = bench.log.bounds(bench.info.id).unwrap();
    let bounds: Vec<_> = bounds.iter().map(|shard| (shard.first.0, shard.next.0)).collect();
    assert_eq!(bounds, [(50, 50), (30, 30)]);
    bench.append(0, 50..80);
    bench.append(1, 1030..1040);
    run(bench.archive(place, &by_day())).unwrap();
    assert_none_twice(place);
    let all = lying(place);
    assert_eq!((all[&0].len(), all[&1].len()), (80, 40));
    let verified = run(verify(&bench.sim.world(), place)).unwrap();
    assert_eq!((verified.problems.as_slice(), verified.rows), (&[][..], 120));
    assert_eq!((verified.leftovers.len(), verified.unfinished.len()), (0, 0), "{verified:?}");
}

#[test]
fn a_stream_goes_on_behind_the_rows_of_one_that_is_gone() {
    let place = healthy(&Arc::new(InMemory::new()));
    let lost = archived(&place);
    // When the machine was lost a range was planned, and half of a file was there.
    lost.append(0, 50..57);
    let mut old = run(lost.archiver(&place, &by_day())).unwrap();
    assert_eq!(run(old.step()).unwrap(), Stepped::Planned);
    let half = "day=1970-01-03/00000-00000000000000000050-00000000000000000057.parquet";
    run(async { place.store().put(&place.path(half), "half of it".into()).await }).unwrap();

    let new = Bench::later(1, schema());
    let told = run(new.archive(&place, &by_day())).unwrap_err();
    assert!(
        matches!(told, ArchiveError::Foreign { .. }) && told.to_string().contains("attach = 'true'"),
        "{told}"
    );
    attach(&new, &place, by_day()).unwrap();
    // The statement was not written down, and is said again.
    attach(&new, &place, by_day()).unwrap();
    go_on(&new, &place);

    let (world, runtime) = (new.sim.world(), runtime());
    let history = History::new(Arc::clone(&new.log));
    let (log, info) = (Arc::clone(&new.log), Arc::clone(&new.info));
    history.attach(Archive::start(&world, log, info, place.clone(), by_day(), runtime.handle().clone()));
    for (shard, rows) in [(0, 80), (1, 40)] {
        let expected: Vec<_> = (0..rows).map(|n| (n, value_of(shard as i32, n as i64))).collect();
        assert_eq!(read_shard(&*history, &new.info, shard), expected);
    }

    // Whoever had it before, and is not gone after all, adds nothing more.
    run(old.refresh()).unwrap();
    let told = run(old.step()).unwrap_err();
    assert!(matches!(told, ArchiveError::Foreign { .. }) && told.to_string().contains("has taken"), "{told}");
    run(lost.archive(&place, &by_day())).unwrap_err();

    // That one may be lost, too.
    let third = Bench::later(2, schema());
    attach(&third, &place, by_day()).unwrap();
    assert_eq!(third.log.bounds(third.info.id).unwrap()[0].next.0, 80);
    run(new.archive(&place, &by_day())).unwrap_err();
}

#[test]
fn what_cannot_be_read_as_one_table_is_refused() {
    let place = healthy(&Arc::new(InMemory::new()));
    archived(&place);
    let refused = |bench: &Bench, place: &Place, settings: Settings, why: &str| {
        let error = attach(bench, place, settings).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
        let bounds = bench.log.bounds(bench.info.id).unwrap();
        assert_eq!(bounds[1].first.0, 0, "nothing has happened");
    };
    let busy = Bench::later(1, schema());
    busy.append(0, 0..1);
    refused(&busy, &place, by_day(), "it has had rows of its own, up to 1");
    let new = Bench::later(1, schema());
    refused(&new, &place, every(7), "partitioned by day, not by none");
    refused(&new, &healthy(&Arc::new(InMemory::new())), by_day(), "there is no archive");
    let with = |change: fn(&mut Vec<Field>)| {
        let mut fields: Vec<Field> = schema().fields().iter().map(|field| field.as_ref().clone()).collect();
        change(&mut fields);
        Bench::later(1, Arc::new(Schema::new(fields)))
    };
    let other = with(|fields| fields[2] = Field::new("value", DataType::Utf8, true));
    refused(&other, &place, by_day(), "its column value is Int64, that of the stream is Utf8");
    let fewer = with(|fields| drop(fields.remove(0)));
    refused(&fewer, &place, by_day(), "the stream has no column device");
    let more = with(|fields| fields.push(Field::new("site", DataType::Utf8, false)));
    refused(&more, &place, by_day(), "no column site, which must not be NULL");
    // One more that may be NULL is as if it had been added later.
    let wider = with(|fields| fields.push(Field::new("site", DataType::Utf8, true)));
    attach(&wider, &place, by_day()).unwrap();
}

#[test]
fn whatever_fails_while_it_is_taken_over_each_row_is_there_once() {
    for fault in [Fault::Refused, Fault::AnswerLost, Fault::Ended] {
        let mut at = 0;
        loop {
            let store = Arc::new(InMemory::new());
            archived(&healthy(&store));
            let faulty = Faulty::new(&store, at, fault);
            let new = Bench::later(1, schema());
            let _ = attach(&new, &faulty.place(), by_day());
            attach(&new, &healthy(&store), by_day()).unwrap();
            go_on(&new, &healthy(&store));
            if faulty.count() <= at {
                assert!(at > 5, "there were only {at} operations");
                break;
            }
            at += 1;
        }
    }
}
