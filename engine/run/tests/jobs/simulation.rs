//! Whole jobs by seed: readings come in, power goes and comes, processes die, workers and step sizes change; in the end the job has
//! said what a straight computation over the acknowledged readings says, and counted as late what it counts as late.
//!
//! `HEADWATER_SEEDS=from..to` runs other seeds than the usual ones.

use std::collections::BTreeMap;
use std::time::Duration;

use headwater_core::hash::{hash_rows, shard_of};
use headwater_core::world::sim::{DiskImage, SimRandom};
use headwater_simulation::seeds;

use crate::machine::{Machine, Reading};

pub const SHARDS: u32 = 3;
const DELAY: i64 = 2_000;
pub const DEVICES: [&str; 5] = ["ewr", "jfk", "lga", "sea", "ord"];

/// What a job computes: windows of `size` every `slide` milliseconds, per device.
#[derive(Clone, Copy)]
pub struct Windows {
    pub size: i64,
    pub slide: i64,
}

impl Windows {
    pub fn any(random: &SimRandom) -> Self {
        let slide = [1_000, 3_000, 4_000, 10_000][random.index(4)];
        let size = if random.chance(1, 2) { slide } else { slide + [500, 1_000, 7_000][random.index(3)] };
        Self { size, slide }
    }

    /// The windows as a table in FROM.
    pub fn table(self) -> String {
        let seconds = |millis: i64| format!("INTERVAL '{}.{:03}' SECOND", millis / 1_000, millis % 1_000);
        if self.size == self.slide {
            format!("TABLE(TUMBLE(TABLE readings, DESCRIPTOR(ts), {}))", seconds(self.size))
        } else {
            let (slide, size) = (seconds(self.slide), seconds(self.size));
            format!("TABLE(HOP(TABLE readings, DESCRIPTOR(ts), {slide}, {size}))")
        }
    }

    pub fn query(self) -> String {
        let table = self.table();
        format!(
            "CREATE MATERIALIZED VIEW result AS SELECT device, window_end, COUNT(*) AS n, SUM(value) AS total, \
             MIN(value) AS low FROM {table} GROUP BY window_start, window_end, device"
        )
    }

    /// The ends of the windows that a time belongs to.
    fn ends(self, time: i64) -> impl Iterator<Item = i64> {
        let last_start = time.div_euclid(self.slide) * self.slide;
        let starts = (0..).map(move |nth| last_start - nth * self.slide);
        starts.take_while(move |start| start + self.size > time).map(move |start| start + self.size)
    }

    /// The results and the number of late readings, straight from the readings of each shard in their order.
    pub fn over(self, shards: &BTreeMap<u32, Vec<Reading>>) -> (Vec<String>, u64) {
        let mut windows: BTreeMap<(i64, &str), (i64, i64, i64)> = BTreeMap::new();
        let mut late = 0;
        for readings in shards.values() {
            let mut clock = i64::MIN;
            for (device, time, value) in readings {
                let open: Vec<i64> = self.ends(*time).filter(|end| *end > clock).collect();
                // A hop larger than its window leaves times without any window; nothing is late about those.
                late += u64::from(open.is_empty() && self.ends(*time).next().is_some());
                for end in open {
                    let window = windows.entry((end, device)).or_insert((0, 0, i64::MAX));
                    *window = (window.0 + 1, window.1 + value, window.2.min(*value));
                }
                clock = clock.max(time - DELAY);
            }
        }
        let text = |((end, device), (n, total, low)): (&(i64, &str), &(i64, i64, i64))| {
            let fraction = if end % 1_000 == 0 { String::new() } else { format!(".{:03}", end % 1_000) };
            format!(
                "{device} 1970-01-01T00:{:02}:{:02}{fraction} {n} {total} {low}",
                end / 60_000,
                end / 1_000 % 60
            )
        };
        (windows.iter().map(text).collect(), late)
    }
}

pub fn shard_of_device(device: &str) -> u32 {
    let key: arrow::array::ArrayRef = std::sync::Arc::new(arrow::array::StringArray::from(vec![device]));
    shard_of(hash_rows(&[key]).unwrap()[0], SHARDS).0
}

fn life(seed: u64, threads: bool) -> DiskImage {
    let mut machine = Machine::new(seed);
    if threads {
        machine.use_threads();
    }
    let random = machine.sim.random("life");
    let windows = Windows::any(&random);
    machine.workers = 1 + random.index(4);
    machine.step_rows_max = 1 + random.index(60);
    machine.checkpoint_interval = Duration::from_millis(1 + random.below(3_000));
    machine.restart(machine.workers);
    machine.create_readings(SHARDS);
    machine.sql(&windows.query());
    let mut shards: BTreeMap<u32, Vec<Reading>> = BTreeMap::new();
    let mut time = 5_000;
    for _ in 0..25 {
        let readings = any_readings(&random, &mut time);
        machine.append(&readings);
        for reading in readings {
            shards.entry(shard_of_device(reading.0)).or_default().push(reading);
        }
        machine.turns(random.index(40));
        strike(&mut machine, &random);
    }
    machine.finish();
    let (rows, late) = windows.over(&shards);
    assert_eq!(machine.rows("result"), rows);
    assert_eq!(machine.rows("system.late_rows").len() as u64, late);
    machine.engine().close_here().unwrap();
    machine.sim.disk().image()
}

/// Some readings of a time that goes on, a few of them late.
pub fn any_readings(random: &SimRandom, time: &mut i64) -> Vec<Reading> {
    let reading = |_| {
        *time += random.below(900) as i64;
        let back = if random.chance(1, 4) { random.below(9_000) as i64 } else { 0 };
        let device = DEVICES[random.index(DEVICES.len())];
        (device, (*time - back).max(0), random.below(1_000) as i64 - 500)
    };
    (0..random.below(12)).map(reading).collect()
}

/// Something happens to the machine, or nothing.
pub fn strike(machine: &mut Machine, random: &SimRandom) {
    let workers = 1 + random.index(4);
    machine.step_rows_max = 1 + random.index(60);
    match random.below(16) {
        0 => machine.kill(workers),
        1 => machine.lose_power(workers),
        2 => machine.restart(workers),
        3 => machine.sim.clock().advance(Duration::from_millis(random.below(5_000))),
        4 => {
            let now = machine.sim.world().clock.now();
            machine.sim.clock().set_wall(now.minus(Duration::from_secs(3_600)));
        }
        _ => {}
    }
}

#[test]
fn a_job_says_what_the_batch_says_whatever_strikes() {
    seeds::each(
        "-p headwater-run a_job_says_what_the_batch_says_whatever_strikes",
        0..200,
        |seed, _story| {
            life(seed, seed % 2 == 1);
        },
    );
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    seeds::each("-p headwater-run the_same_seed_gives_the_same_bytes", 0..5, |seed, _story| {
        assert!(life(seed, false) == life(seed, false), "the bytes differ");
    });
}

/// Threads put state away when they come to it: only where all of it is in memory is the disk touched in one order.
#[test]
fn with_threads_it_gives_the_same_bytes_as_without() {
    let all_in_memory = |seed: &u64| seed % 3 != 1;
    for seed in (0..9).filter(all_in_memory) {
        assert!(life(seed, false) == life(seed, true), "seed {seed}: the bytes differ");
    }
}
