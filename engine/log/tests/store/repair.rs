//! Damage, found and repaired: what it costs is said exactly, and nothing else is lost.

use std::path::{Path, PathBuf};

use headwater_core::world::sim::SimWorld;
use headwater_core::{Sequence, ShardId, StreamId, StreamName};
use headwater_log::{
    Append, DiskLog, DiskLogOptions, From, Log, LogError, LostRows, ReadSpec, StreamSpec, dump, repair,
    verify,
};

use super::script::{read, rows, schema};

/// A log that was closed: shards 0 and 1 with 20 rows each, one batch a row, in turn.
struct Fixture {
    machine: SimWorld,
    options: DiskLogOptions,
    stream: StreamId,
}

impl Fixture {
    fn new(segment_bytes: u64) -> Self {
        let options =
            DiskLogOptions { segment_bytes, scrub_bytes_per_second: 0, ..DiskLogOptions::default() };
        let mut fixture = Self { machine: SimWorld::new(5), options, stream: StreamId(0) };
        let log = fixture.open().unwrap();
        let spec = StreamSpec { shards: 2, ..StreamSpec::new(StreamName::new("s").unwrap(), schema(false)) };
        fixture.stream = log.create_stream(spec).unwrap().id;
        for n in 0..40 {
            let one = Append::new(
                fixture.stream,
                ShardId(n % 2),
                rows(i64::from(n / 2)..i64::from(n / 2) + 1, false),
            );
            log.append(vec![one]).unwrap();
        }
        fixture.machine.tasks().settle();
        log.close().unwrap();
        fixture
    }

    fn open(&self) -> Result<std::sync::Arc<DiskLog>, LogError> {
        DiskLog::open(self.machine.world(), "/data".as_ref(), self.options.clone())
    }

    /// A file of the log, and where its batches start.
    fn batches_of(&self, name: &str) -> (PathBuf, Vec<u64>) {
        let path = PathBuf::from(format!("/data/log/{name}"));
        let mut places = Vec::new();
        dump(&self.machine.world(), "/data".as_ref(), &mut |batch| {
            if batch.file == path {
                places.push(batch.offset);
            }
        })
        .unwrap();
        (path, places)
    }

    fn damage(&self, path: &Path, at: u64) {
        self.machine.disk().corrupt(path, at, 0x10).unwrap();
    }

    fn findings(&self) -> usize {
        verify(&self.machine.world(), "/data".as_ref()).unwrap().damage.len()
    }

    /// Repairs, having said the same before; answers with the rows that were lost.
    fn repair(&self) -> Vec<LostRows> {
        let before = self.machine.disk().image();
        let planned = repair(&self.machine.world(), "/data".as_ref(), true).unwrap();
        assert_eq!(self.machine.disk().image(), before, "a dry run changes nothing");
        let done = repair(&self.machine.world(), "/data".as_ref(), false).unwrap();
        assert_eq!(done.lost, planned.lost);
        assert_eq!(self.findings(), 0);
        done.lost
    }

    /// What is left: every row but the lost ones, and an error that names those.
    fn check(&self, lost: &[LostRows]) {
        let log = self.open().unwrap();
        for shard in (0..2).map(ShardId) {
            let lost = lost.iter().filter(|one| one.shard == shard).map(|one| one.rows.clone());
            let mut next = 0;
            for gap in lost.chain([Sequence(20)..Sequence(20)]) {
                let spec = |from: u64, until: u64| ReadSpec {
                    from: From::Sequence(Sequence(from)),
                    until: Some(Sequence(until)),
                    ..ReadSpec::all(self.stream, shard)
                };
                let values = read(&*log, spec(next, gap.start.0)).unwrap();
                assert!(values.into_iter().eq(next as i64..gap.start.0 as i64));
                if gap.start < gap.end {
                    let error = read(&*log, spec(gap.start.0, 20)).unwrap_err();
                    assert!(error.to_string().contains("were lost"), "{error}");
                }
                next = gap.end.0;
            }
        }
        assert!(log.bounds(self.stream).unwrap().iter().all(|one| one.next == Sequence(20)));
        let more = Append::new(self.stream, ShardId(0), rows(20..21, false));
        assert_eq!(
            log.append(vec![more]).unwrap()[0].first,
            Sequence(20),
            "no sequence number is used twice"
        );
    }
}

fn lost(fixture: &Fixture, shard: u32, rows: std::ops::Range<u64>) -> LostRows {
    LostRows { stream: fixture.stream, shard: ShardId(shard), rows: Sequence(rows.start)..Sequence(rows.end) }
}

#[test]
fn a_whole_log_has_no_findings() {
    for segment_bytes in [1500, 128 << 20] {
        let fixture = Fixture::new(segment_bytes);
        let verified = verify(&fixture.machine.world(), "/data".as_ref()).unwrap();
        assert_eq!((verified.rows, &verified.damage, &verified.torn), (40, &vec![], &vec![]));
        assert_eq!(fixture.repair(), []);
        fixture.check(&[]);
    }
}

#[test]
fn an_open_log_is_left_alone() {
    let fixture = Fixture::new(1500);
    let _log = fixture.open().unwrap();
    assert!(matches!(verify(&fixture.machine.world(), "/data".as_ref()), Err(LogError::Locked { .. })));
    assert!(matches!(
        repair(&fixture.machine.world(), "/data".as_ref(), false),
        Err(LogError::Locked { .. })
    ));
}

#[test]
fn a_damaged_batch_of_a_sealed_file_costs_its_rows() {
    let fixture = Fixture::new(3000);
    let (path, places) = fixture.batches_of("0/1.hws");
    assert_eq!(places.len(), 2, "one merged batch for each shard");
    fixture.damage(&path, places[1] + 300);
    assert_eq!(fixture.findings(), 1);
    let gone = fixture.repair();
    assert!(
        gone.len() == 1 && gone[0].shard == ShardId(1) && gone[0].rows.start < gone[0].rows.end,
        "{gone:?}"
    );
    fixture.check(&gone);
    let kept = fixture.machine.disk().image();
    assert!(kept.files.contains_key(Path::new("/data/log/damaged/0-1.hws")));
}

#[test]
fn damage_to_headers_in_the_middle_of_an_active_file_is_refused_and_costs_its_rows() {
    let fixture = Fixture::new(128 << 20);
    let (path, places) = fixture.batches_of("active-0.hwl");
    assert_eq!(places.len(), 40);
    for place in [10, 13] {
        // Where the header says how many rows there are.
        fixture.damage(&path, places[place] + 20);
    }
    let error = fixture.open().err().unwrap();
    assert!(matches!(error, LogError::Corrupt { offset, .. } if offset < places[10]), "{error}");
    let gone = fixture.repair();
    assert_eq!(gone, [lost(&fixture, 0, 5..6), lost(&fixture, 1, 6..7)]);
    fixture.check(&gone);
}

#[test]
fn damage_to_bodies_in_the_middle_of_an_active_file_is_refused_when_read_and_costs_its_rows() {
    let fixture = Fixture::new(128 << 20);
    let (path, places) = fixture.batches_of("active-0.hwl");
    for place in [10, 13, 39] {
        // The first byte of the body.
        fixture.damage(&path, places[place] + 256);
    }
    let log = fixture.open().unwrap();
    let error = read(&*log, ReadSpec::all(fixture.stream, ShardId(0))).unwrap_err();
    assert!(matches!(error, LogError::Corrupt { offset, .. } if offset >= places[10]), "{error}");
    drop(log);
    assert_eq!(fixture.findings(), 1);
    let gone = fixture.repair();
    assert_eq!(gone, [lost(&fixture, 0, 5..6), lost(&fixture, 1, 6..7), lost(&fixture, 1, 19..20)]);
    fixture.check(&gone);
}

#[test]
fn a_garbled_footer_costs_nothing() {
    let fixture = Fixture::new(1500);
    let (path, _) = fixture.batches_of("0/1.hws");
    let len = fixture.machine.disk().image().files[&path].len() as u64;
    fixture.damage(&path, len - 100);
    assert_eq!(fixture.findings(), 1);
    assert_eq!(fixture.repair(), []);
    fixture.check(&[]);
}

#[test]
fn a_missing_file_costs_its_rows() {
    let fixture = Fixture::new(1500);
    let world = fixture.machine.world();
    world.disk.remove("/data/log/0/2.hws".as_ref()).unwrap();
    assert!(fixture.open().is_err(), "a file that the catalog names must be there");
    let gone = fixture.repair();
    assert_eq!(gone.iter().map(|one| one.shard.0).collect::<Vec<_>>(), [0, 1]);
    fixture.check(&gone);
}

#[test]
fn a_damaged_catalog_is_refused_until_it_is_repaired_from_its_copy() {
    let fixture = Fixture::new(1500);
    fixture.damage("/data/log/catalog.hwc".as_ref(), 100);
    assert_eq!(fixture.findings(), 1);
    assert!(matches!(fixture.open(), Err(LogError::Corrupt { offset: 64, .. })));
    assert_eq!(fixture.repair(), []);
    fixture.check(&[]);
    // Without either nothing says what the files are.
    for name in ["catalog.hwc", "catalog-copy.hwc"] {
        fixture.machine.world().disk.remove(&Path::new("/data/log").join(name)).unwrap();
    }
    assert!(matches!(fixture.open(), Err(LogError::Corrupt { offset: 0, .. })));
    assert!(repair(&fixture.machine.world(), "/data".as_ref(), false).is_err());
}
