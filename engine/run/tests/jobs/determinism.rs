//! The same rows in the same order: however shards are interleaved, with any number of workers, killed at any moment.

use headwater_core::world::sim::SimRandom;
use headwater_run::ReplaySpec;

use crate::machine::{Machine, Reading, text_of};

const DEVICES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

const TUMBLE: &str = "SELECT window_start, device, COUNT(*) AS n, SUM(value) AS total, MAX(value) AS top \
    FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '10' SECOND)) \
    GROUP BY window_start, window_end, device";
const HOP: &str = "SELECT window_start, window_end, COUNT(*) AS n, COUNT(DISTINCT device) AS devices, MIN(value) AS low \
    FROM TABLE(HOP(TABLE readings, DESCRIPTOR(ts), INTERVAL '4' SECOND, INTERVAL '10' SECOND)) \
    GROUP BY window_start, window_end";
const SESSION: &str = "SELECT window_start, window_end, device, SUM(value) FILTER (WHERE value > 10) AS total \
    FROM TABLE(SESSION(TABLE readings PARTITION BY device, DESCRIPTOR(ts), INTERVAL '1' SECOND)) \
    GROUP BY window_start, window_end, device";
const FLOATS: &str = "SELECT window_end, device, AVG(value / 7.0) AS mean \
    FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '10' SECOND)) \
    GROUP BY window_start, window_end, device";
const NUMBERS: &str = "SELECT window_end, value, COUNT(*) AS n, MAX(device) AS last \
    FROM TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), INTERVAL '10' SECOND)) \
    GROUP BY window_start, window_end, value";
const STATELESS: &str = "SELECT device, value * 2 AS twice, ts FROM readings WHERE value % 3 = 0";

/// Readings in the order of time, but for some that come up to four seconds late.
fn readings(random: &SimRandom, count: usize) -> Vec<Reading> {
    let mut time = 1_000_000;
    let reading = |_| {
        time += random.below(200) as i64;
        let late = if random.chance(1, 5) { random.below(4_000) as i64 } else { 0 };
        (DEVICES[random.index(DEVICES.len())], time - late, random.below(100) as i64)
    };
    (0..count).map(reading).collect()
}

/// Splits readings into appends. Each device keeps its order; devices overtake each other by up to a few appends.
fn interleave(random: &SimRandom, readings: &[Reading]) -> Vec<Vec<Reading>> {
    let mut queues: Vec<(&str, Vec<Reading>)> = DEVICES
        .iter()
        .map(|device| {
            (*device, readings.iter().rev().filter(|reading| reading.0 == *device).copied().collect())
        })
        .collect();
    let mut appends = Vec::new();
    while queues.iter().any(|(_, queue)| !queue.is_empty()) {
        let mut append = Vec::new();
        for _ in 0..=random.below(30) {
            let queue = &mut queues[random.index(DEVICES.len())].1;
            append.extend(queue.pop());
        }
        if !append.is_empty() {
            appends.push(append);
        }
    }
    appends
}

fn job(query: &str) -> String {
    format!("CREATE MATERIALIZED VIEW result AS {query}")
}

/// One life of a machine: what the job says in the end. Every other machine gives workers threads of their own.
fn live(seed: u64, query: &str, readings: &[Reading], workers: usize, kills: bool) -> (Machine, Vec<String>) {
    let mut machine = Machine::new(seed);
    machine.workers = workers;
    if seed % 2 == 1 {
        machine.use_threads();
    }
    machine.restart(workers);
    machine.create_readings(3);
    machine.sql(&job(query));
    let random = machine.sim.random("test");
    for append in interleave(&random, readings) {
        machine.append(&append);
        machine.turns(random.index(12));
        if kills && random.chance(1, 12) {
            let workers = 1 + random.index(4);
            if random.chance(1, 2) { machine.kill(workers) } else { machine.lose_power(workers) }
        }
    }
    machine.finish();
    let rows = machine.rows("result");
    (machine, rows)
}

fn check_windows(query: &str) {
    for seed in 0..6 {
        let random = SimRandom::new(seed).fork("readings");
        // One device per shard order is all that must be kept, since shards are read on their own.
        let readings = by_shard(readings(&random, 400));
        let (_, expect) = live(seed, query, &readings, 1, false);
        assert!(expect.len() > 3, "the test says something");
        for (nth, workers) in [1, 2, 2, 3, 4, 4].into_iter().enumerate() {
            let life = seed * 100 + nth as u64;
            let (_, rows) = live(life, query, &readings, workers, true);
            assert_eq!(rows, expect, "seed {seed}, life {life}, {workers} workers");
        }
    }
}

/// Makes the rows of each shard the same whatever the interleaving of devices: every device's lateness is its own only
/// if devices of one shard do not move each other's clock, so each shard gets one device.
fn by_shard(readings: Vec<Reading>) -> Vec<Reading> {
    let mut seen: Vec<(headwater_core::ShardId, &str)> = Vec::new();
    let mut one_per_shard = |device: &'static str| {
        let key: arrow::array::ArrayRef = std::sync::Arc::new(arrow::array::StringArray::from(vec![device]));
        let shard = headwater_core::hash::shard_of(headwater_core::hash::hash_rows(&[key]).unwrap()[0], 3);
        match seen.iter().find(|(known, _)| *known == shard) {
            Some((_, first)) => *first == device,
            None => {
                seen.push((shard, device));
                true
            }
        }
    };
    readings.into_iter().filter(|reading| one_per_shard(reading.0)).collect()
}

#[test]
fn tumbling_windows() {
    check_windows(TUMBLE);
}

#[test]
fn tumbling_windows_by_a_number() {
    check_windows(NUMBERS);
}

#[test]
fn hopping_windows() {
    check_windows(HOP);
}

#[test]
fn session_windows() {
    check_windows(SESSION);
}

/// What depends on where steps were cut is in the journal: a replay gives the very rows that came out under kills, at another
/// number of workers.
#[test]
fn a_replay_gives_the_same_rows_in_the_same_order() {
    for query in [FLOATS, NUMBERS, STATELESS, HOP, SESSION] {
        for seed in 0..4 {
            let random = SimRandom::new(seed).fork("readings");
            let (mut machine, rows) = live(seed, query, &readings(&random, 300), 2, true);
            assert!(rows.len() > 3, "the test says something");
            for workers in [1, 3] {
                machine.restart(workers);
                let spec = ReplaySpec { job: "result".into(), ..ReplaySpec::default() };
                let report = machine.engine().replay_here(&spec).unwrap();
                let again: Vec<String> = report.rows.iter().flat_map(text_of).collect();
                assert_eq!(again, rows, "seed {seed}, {workers} workers, {query}");
                let report = machine.engine().replay_here(&ReplaySpec { diff: true, ..spec }).unwrap();
                assert_eq!(report.in_both, rows.len() as u64);
                assert!(report.only_before.is_empty() && report.only_now.is_empty());
            }
        }
    }
}
