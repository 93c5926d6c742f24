//! Archives read by DuckDB and pyarrow as they lie, without a line of ours in between.
//!
//! `tests/run` fetches both from PyPI and names the Python that has them in `HEADWATER_TEST_READERS`; without it there is nothing to
//! test with, and the test says so.

use std::process::Command;
use std::sync::Arc;

use headwater_archive::{Archiver, Codec, Partition, Place, Settings, Stepped};
use headwater_core::{ShardId, StreamName, World};
use headwater_log::{Append, DiskLog, DiskLogOptions, Log, StreamSpec};

use super::bench_log::{every, rows, run, schema};

/// Prints what each reader finds: rows, distinct (shard, sequence), the sum of `value`, rows of one device on one day.
const SCRIPT: &str = r#"
import sys, duckdb, pyarrow.dataset as dataset, pyarrow.compute as compute
place, by_day = sys.argv[1], sys.argv[2] == "day"
table = f"read_parquet('{place}/**/*.parquet', hive_partitioning = {str(by_day).lower()})"
found = duckdb.sql(f"SELECT count(*), count(DISTINCT (_shard, _sequence)), sum(value), "
                   f"count(*) FILTER (device = 'd1' AND ts >= TIMESTAMP '1970-01-02' AND ts < TIMESTAMP '1970-01-03') FROM {table}")
print("duckdb", *found.fetchall()[0])
if by_day:
    print("duckdb", *duckdb.sql(f"SELECT count(*) FROM {table} WHERE day = '1970-01-02'").fetchall()[0])
table = dataset.dataset(place, format="parquet", partitioning="hive").to_table()
keys = set(zip(table["_shard"].to_pylist(), table["_sequence"].to_pylist()))
print("pyarrow", table.num_rows, len(keys), compute.sum(table["value"]).as_py(), table.schema.field("_arrival").type)
"#;

fn check(python: &str, settings: Settings, by: &str) {
    let dir = tempfile::tempdir().unwrap();
    let world = World::real();
    let log: Arc<dyn Log> =
        DiskLog::open(world.clone(), &dir.path().join("log"), DiskLogOptions::default()).unwrap();
    let spec = StreamSpec {
        shards: 2,
        event_time: Some("ts".into()),
        ..StreamSpec::new(StreamName::new("readings").unwrap(), schema())
    };
    let info = Arc::new(log.create_stream(spec).unwrap());
    log.append(vec![Append::new(info.id, ShardId(0), rows(0..60))]).unwrap();
    log.append(vec![Append::new(info.id, ShardId(1), rows(1000..1040))]).unwrap();
    let address = dir.path().join("archive");
    let place = Place::open(&world, &address.to_string_lossy()).unwrap();
    run(async {
        let mut archiver = Archiver::open(world, log, info, place, settings, Arc::default()).await.unwrap();
        while !matches!(archiver.step().await.unwrap(), Stepped::Idle(_)) {}
    });
    let said = Command::new(python).args(["-c", SCRIPT]).arg(&address).arg(by).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    let sum: i64 = (0..60).chain(1000..1040).sum();
    let mut expected = vec![format!("duckdb 100 100 {sum} 8")];
    expected.extend((by == "day").then(|| "duckdb 24".to_owned()));
    expected.push(format!("pyarrow 100 100 {sum} timestamp[ns, tz=UTC]"));
    assert_eq!(out.lines().collect::<Vec<_>>(), expected, "{err}");
}

#[test]
fn by_day_with_zstd_and_bloom_filters() {
    let Ok(python) = std::env::var("HEADWATER_TEST_READERS") else {
        println!("left out: HEADWATER_TEST_READERS names no Python with DuckDB and pyarrow");
        return;
    };
    let settings = Settings { partition: Partition::Day, bloom: vec!["device".into()], ..every(25) };
    check(&python, settings, "day");
}

#[test]
fn sorted_with_other_codecs() {
    let Ok(python) = std::env::var("HEADWATER_TEST_READERS") else {
        println!("left out: HEADWATER_TEST_READERS names no Python with DuckDB and pyarrow");
        return;
    };
    for codec in [Codec::None, Codec::Snappy, Codec::Lz4] {
        check(&python, Settings { sort: vec!["device".into(), "ts".into()], codec, ..every(7) }, "none");
    }
}
