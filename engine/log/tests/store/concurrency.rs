//! Real threads on a real disk: writers, followers and the sealer side by side.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use headwater_core::{ShardId, StreamId, StreamName, World};
use headwater_log::{Append, DiskLog, DiskLogOptions, From, Log, Pending, ReadSpec, StreamSpec};

use super::script::{rows, schema};

const WRITERS: i64 = 3;
const APPENDS: i64 = 150;

/// Follows a shard until it has seen all values; checks that none comes twice and that each writer's come in order.
fn follow(log: &dyn Log, stream: StreamId, shard: u32) {
    let spec = ReadSpec { from: From::Earliest, ..ReadSpec::all(stream, ShardId(shard)) };
    let mut reader = log.read(spec).unwrap();
    let mut next = vec![0; WRITERS as usize];
    let mut seen = 0;
    while seen < WRITERS * APPENDS {
        let Some(batch) = reader.next().unwrap() else {
            std::thread::yield_now();
            continue;
        };
        for value in batch.rows.column(0).as_primitive::<Int64Type>().values() {
            let (writer, number) = ((value / APPENDS) as usize, value % APPENDS);
            assert_eq!(next[writer], number, "each row comes once and in order");
            next[writer] += 1;
            seen += 1;
        }
    }
    assert!(reader.next().unwrap().is_none());
}

#[test]
fn followers_see_every_row_once_while_files_are_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let options = DiskLogOptions {
        segment_bytes: 16 << 10,
        scrub_bytes_per_second: 1 << 20,
        open_files: 2,
        ..DiskLogOptions::default()
    };
    let log: Arc<DiskLog> = DiskLog::open(World::real(), dir.path(), options).unwrap();
    let spec = StreamSpec::new(StreamName::new("s").unwrap(), schema(false));
    let stream = log.create_stream(StreamSpec { shards: 2, ..spec }).unwrap().id;
    std::thread::scope(|scope| {
        for shard in [0, 1, 0] {
            let log = &log;
            scope.spawn(move || follow(&**log, stream, shard));
        }
        for writer in 0..WRITERS {
            let log = &log;
            scope.spawn(move || {
                let mut waiting: Vec<Box<dyn Pending>> = Vec::new();
                for number in writer * APPENDS..(writer + 1) * APPENDS {
                    let one = |shard| Append::new(stream, ShardId(shard), rows(number..number + 1, false));
                    waiting.push(log.submit(vec![one(0), one(1)]));
                    if number % 10 == 9 {
                        waiting.drain(..).for_each(|pending| drop(pending.wait().unwrap()));
                    }
                }
            });
        }
    });
    assert!(log.segments(stream).unwrap().iter().any(|segment| segment.sealed));
    log.close().unwrap();
    assert_eq!(log.damage(), []);
}
