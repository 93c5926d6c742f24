//! Random rows with disorder, lateness and nulls, cut into steps and batches.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
    TimestampNanosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use headwater_operators::{Clocks, Rows};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::harness::Step;

pub const SECOND: i64 = 1_000_000_000;

/// One row: time in milliseconds, a key, values.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub ts: Option<i64>,
    pub key: Option<String>,
    pub number: Option<i64>,
    pub float: Option<f64>,
    pub text: Option<String>,
    pub flag: Option<bool>,
    /// The watermark of its shard before it, in nanoseconds.
    pub clock: i64,
}

impl Event {
    pub fn nanos(&self) -> Option<i64> {
        self.ts.map(|ts| ts * 1_000_000)
    }
}

/// ts, k, n, f, s, b.
pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), true),
        Field::new("k", DataType::Utf8, true),
        Field::new("n", DataType::Int64, true),
        Field::new("f", DataType::Float64, true),
        Field::new("s", DataType::Utf8, true),
        Field::new("b", DataType::Boolean, true),
    ]))
}

pub fn batch(events: &[Event]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(events.iter().map(|event| event.ts).collect::<TimestampMillisecondArray>()),
        Arc::new(events.iter().map(|event| event.key.clone()).collect::<StringArray>()),
        Arc::new(events.iter().map(|event| event.number).collect::<Int64Array>()),
        Arc::new(events.iter().map(|event| event.float).collect::<Float64Array>()),
        Arc::new(events.iter().map(|event| event.text.clone()).collect::<StringArray>()),
        Arc::new(events.iter().map(|event| event.flag).collect::<BooleanArray>()),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

pub fn rows(events: &[Event]) -> Rows {
    let clocks = TimestampNanosecondArray::from_iter_values(events.iter().map(|event| event.clock));
    Rows { batch: batch(events), weights: None, clocks: Clocks::PerRow(clocks) }
}

/// Rows in steps, each with the watermark after it. The last watermark is the end of time.
pub struct Scenario {
    pub steps: Vec<(Vec<Event>, i64)>,
}

impl Scenario {
    /// `spread`: how far a row may lie behind or before its shard, in milliseconds; half of it is late.
    pub fn random(seed: u64, count: usize, spread: i64) -> Self {
        let mut random = SmallRng::seed_from_u64(seed);
        let shards = random.random_range(1..4);
        let delay = random.random_range(0..=spread) * 1_000_000;
        let keys = random.random_range(1..12);
        let mut now = random.random_range(-50_000..50_000);
        let mut clocks = vec![i64::MIN; shards];
        let mut steps = Vec::new();
        let mut left = count;
        while left > 0 {
            let mut rows = Vec::new();
            for clock in &mut clocks {
                for _ in 0..random.random_range(0..=left.min(40)) {
                    left = left.saturating_sub(1);
                    now += random.random_range(0..400);
                    let mut event = random_event(&mut random, now, spread, keys);
                    event.clock = *clock;
                    if let Some(time) = event.nanos() {
                        *clock = (*clock).max(time - delay);
                    }
                    rows.push(event);
                }
            }
            if random.random_bool(0.1) {
                now += random.random_range(0..60_000);
            }
            let watermark = *clocks.iter().min().unwrap();
            steps.push((rows, watermark));
        }
        steps.push((Vec::new(), i64::MAX));
        Self { steps }
    }

    pub fn events(&self) -> Vec<Event> {
        self.steps.iter().flat_map(|(events, _)| events.clone()).collect()
    }

    /// The steps, with batches cut at random.
    pub fn cut(&self, seed: u64) -> Vec<Step> {
        let mut random = SmallRng::seed_from_u64(seed);
        let cut = |(events, watermark): &(Vec<Event>, i64)| {
            let mut batches = Vec::new();
            let mut rest = events.as_slice();
            while !rest.is_empty() {
                let (head, tail) = rest.split_at(random.random_range(1..=rest.len()));
                batches.push(rows(head));
                rest = tail;
            }
            Step { batches, watermark: *watermark }
        };
        self.steps.iter().map(cut).collect()
    }
}

fn random_event(random: &mut SmallRng, now: i64, spread: i64, keys: i32) -> Event {
    let mut maybe = |chance: f64| random.random_bool(chance);
    let (has_ts, has_key, has_number, has_float) = (maybe(0.98), maybe(0.95), maybe(0.8), maybe(0.8));
    let (has_text, has_flag) = (maybe(0.8), maybe(0.8));
    Event {
        ts: has_ts.then(|| now - random.random_range(0..=spread)),
        key: has_key.then(|| format!("key {}", random.random_range(0..keys))),
        number: has_number.then(|| random.random_range(-20..20)),
        // Eighths add up without rounding.
        float: has_float.then(|| f64::from(random.random_range(-100..100)) / 8.0),
        text: has_text.then(|| format!("text {}", random.random_range(0..9))),
        flag: has_flag.then(|| random.random_bool(0.7)),
        clock: i64::MIN,
    }
}
