//! The power goes while appends are under way: pages are lost, torn and out of order.

use std::path::Path;

use arrow::array::RecordBatch;
use headwater_core::ShardId;
use headwater_core::world::sim::SimWorld;
use headwater_log::{Append, Compression, DiskLog, Log};

use crate::sample::{DATA, Shard, options, read_shard, spec, weather};

const SEEDS: u64 = 150;

/// Appends groups of one row for each of three shards until the power goes; what was acknowledged must be there, and
/// what was not, as a whole or not at all.
fn life(seed: u64) -> usize {
    let machine = SimWorld::new(seed);
    let random = machine.random("power");
    let world = machine.world();
    let schema = weather(0..1, 0).schema();
    let log = DiskLog::open(world.clone(), Path::new(DATA), options()).unwrap();
    let stream = log.create_stream(spec("weather", schema.clone(), 3, Compression::None)).unwrap().id;
    let (mut submitted, mut acknowledged) = (0, 0);
    for _ in 0..random.below(30) {
        let mut pending = Vec::new();
        for _ in 0..=random.below(4) {
            let rows = weather(submitted..submitted + 1, 0);
            pending.push(
                log.submit((0..3).map(|shard| Append::new(stream, ShardId(shard), rows.clone())).collect()),
            );
            submitted += 1;
        }
        if random.chance(1, 6) {
            // Some turns, and then the power goes in the middle of whatever was being done.
            for _ in 0..random.below(6) {
                machine.tasks().turn();
            }
            break;
        }
        for one in pending {
            one.wait().unwrap();
            acknowledged += 1;
        }
    }
    machine.power_loss();
    drop(log);

    let log = DiskLog::open(world, Path::new(DATA), options())
        .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    let rows: Vec<RecordBatch> = (0..3)
        .map(|shard| {
            let shard = Shard { stream: "weather", shard: ShardId(shard), rows: weather(0..0, 0) };
            read_shard(&*log, &shard).unwrap_or_else(|error| panic!("seed {seed}: {error}"))
        })
        .collect();
    let count = rows[0].num_rows();
    for rows in rows {
        assert_eq!(rows, weather(0..count as i64, 0), "seed {seed}: groups are whole");
    }
    assert!(count as i64 >= acknowledged, "seed {seed}: {count} rows, {acknowledged} were acknowledged");
    assert!(count as i64 <= submitted, "seed {seed}: {count} rows, {submitted} were submitted");
    count
}

#[test]
fn nothing_acknowledged_is_lost_and_no_group_is_torn() {
    for seed in 0..SEEDS {
        assert_eq!(life(seed), life(seed), "seed {seed}: the same seed is the same life");
    }
}
