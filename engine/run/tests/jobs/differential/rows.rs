//! Rows: with NULLs, twice, out of order, too late, and changes of rows that were there.

use arrow::array::{ArrayRef, StringArray};
use headwater_core::hash::{hash_rows, shard_of};
use headwater_core::world::sim::SimRandom;

use super::expressions::Kind::{self, Bool, Date, Double, Int, Text, Time};
use super::windows::LONGEST;

/// How far behind the greatest time of its shard a row may be, in milliseconds: the watermark's delay.
pub const DELAY: i64 = 2_000;

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Text(String),
    Int(i64),
    Double(f64),
    Bool(bool),
    /// Milliseconds.
    Time(i64),
    /// A day of March 2026.
    Day(u64),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub relation: usize,
    pub values: Vec<Value>,
    /// Of a change: -1 if it deletes the row of its key.
    pub weight: i64,
}

impl Value {
    pub fn any(random: &SimRandom, kind: Kind) -> Self {
        if random.chance(1, 9) {
            return Self::Null;
        }
        match kind {
            Text => Self::Text(["a", "b", "ab", "c", "a-b", "", " a"][random.index(7)].to_owned()),
            Int => Self::Int(random.below(8) as i64 - 1),
            Double => Self::Double((random.below(16) as f64 - 6.0) / 4.0),
            Bool => Self::Bool(random.chance(1, 2)),
            Time => Self::Time(random.below(240) as i64 * 500),
            Date => Self::Day(1 + random.below(4)),
        }
    }

    /// A key: few values, so that rows meet.
    pub fn any_key(random: &SimRandom) -> Self {
        Self::Text(["a", "b", "c", "ab"][random.index(4)].to_owned())
    }

    /// As it stands in VALUES.
    pub fn literal(&self) -> String {
        match self {
            Self::Null => "NULL".to_owned(),
            Self::Text(text) => format!("'{text}'"),
            Self::Int(number) => number.to_string(),
            Self::Double(number) => format!("{number:?}"),
            Self::Bool(value) => value.to_string(),
            Self::Time(millis) => {
                let time = chrono::DateTime::from_timestamp_millis(*millis).expect("a time of this century");
                format!("'{}'", time.format("%Y-%m-%d %H:%M:%S%.3f"))
            }
            Self::Day(day) => format!("'2026-03-{day:02}'"),
        }
    }
}

/// The clocks of a stream's shards: how far each has come.
pub struct Clocks {
    shards: Vec<Clock>,
    rows: usize,
}

/// The watermark of a shard, in milliseconds, once it has a row with a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clock(Option<i64>);

/// How a row stands to its shard's clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Standing {
    /// All windows that it belongs to are open.
    OnTime,
    /// All of them have closed.
    Late,
    /// Some have, or it depends on the window.
    Between,
}

impl Clock {
    /// How a row of this time stands.
    pub fn standing(self, time: &Value) -> Standing {
        let (Value::Time(time), Self(Some(clock))) = (time, self) else { return Standing::OnTime };
        if *time >= clock {
            Standing::OnTime
        } else if time + LONGEST <= clock {
            Standing::Late
        } else {
            Standing::Between
        }
    }

    pub fn value(self) -> Value {
        self.0.map_or(Value::Null, Value::Time)
    }
}

impl Clocks {
    pub fn new(shards: u32) -> Self {
        Self { shards: vec![Clock(None); shards as usize], rows: 0 }
    }

    /// What a row of this key meets.
    pub fn clock(&self, key: &Value) -> Clock {
        self.shards[self.shard(key)]
    }

    /// The row is appended. Gives its number.
    pub fn pass(&mut self, key: &Value, time: &Value) -> usize {
        let shard = self.shard(key);
        if let Value::Time(time) = time {
            self.shards[shard] = Clock(self.shards[shard].0.max(Some(time - DELAY)));
        }
        self.rows += 1;
        self.rows
    }

    fn shard(&self, key: &Value) -> usize {
        let key = match key {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        };
        let key: ArrayRef = std::sync::Arc::new(StringArray::from(vec![key]));
        shard_of(hash_rows(&[key]).unwrap()[0], self.shards.len() as u32).0 as usize
    }
}
