//! Windows over event time, and the same as plain SQL: rows joined with a list of windows, or counted off where a gap lies between them.

use headwater_core::world::sim::SimRandom;

/// No window is longer, in milliseconds; a row is late for all windows if time has passed it by so much.
pub const LONGEST: i64 = 40_000;

/// No row is later, in seconds.
const LATEST: i64 = 800;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// Its size in seconds.
    Tumble(i64),
    /// Slide and size.
    Hop(i64, i64),
    /// Step and size.
    Cumulate(i64, i64),
    /// Its gap, for each key.
    Session(i64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    pub shape: Shape,
    /// By how many seconds they are moved.
    pub offset: i64,
}

use Shape::{Cumulate, Hop, Session, Tumble};

fn seconds(seconds: i64) -> String {
    format!("INTERVAL '{seconds}' SECOND")
}

impl Window {
    pub fn any(random: &SimRandom) -> Self {
        let shape = match random.below(5) {
            0 | 1 => Tumble([5, 10, 30][random.index(3)]),
            2 => [Hop(5, 10), Hop(10, 30), Hop(10, 5), Hop(4, 10)][random.index(4)],
            3 => [Cumulate(5, 20), Cumulate(10, 30)][random.index(2)],
            _ => Session([1, 3, 7][random.index(3)]),
        };
        let is_moved = !matches!(shape, Session(_)) && random.chance(1, 3);
        let offset = if is_moved { [1, 3, -2, 17][random.index(4)] } else { 0 };
        Self { shape, offset }
    }

    pub fn is_session(self) -> bool {
        matches!(self.shape, Session(_))
    }

    /// The windows of a table, as a relation. Of sessions each key has its own.
    pub fn relation(self, table: &str, time: &str, key: &str) -> String {
        let offset = if self.offset == 0 { String::new() } else { format!(", {}", seconds(self.offset)) };
        let of = |name: &str, a: i64, b: i64| {
            format!("{name}(TABLE {table}, DESCRIPTOR({time}), {}, {}{offset})", seconds(a), seconds(b))
        };
        match self.shape {
            Tumble(size) => {
                format!("TUMBLE(TABLE {table}, DESCRIPTOR({time}), {}{offset})", seconds(size))
            }
            Hop(slide, size) => of("HOP", slide, size),
            Cumulate(step, size) => of("CUMULATE", step, size),
            Session(gap) => {
                format!("SESSION(TABLE {table} PARTITION BY {key}, DESCRIPTOR({time}), {})", seconds(gap))
            }
        }
    }

    /// The same without a window function: each row once for each of its windows. `open`: what else is asked of rows `r` and windows `w`.
    pub fn plain(self, rows: &str, time: &str, key: &str, open: &str) -> String {
        match self.shape {
            Session(gap) => sessions(rows, time, key, gap),
            _ => format!(
                "(SELECT r.*, w.window_start, w.window_end FROM {rows} AS r JOIN ({}) AS w \
                 ON r.{time} >= w.window_start AND r.{time} < w.window_end{open})",
                self.bounds()
            ),
        }
    }

    /// All windows that there may be.
    fn bounds(self) -> String {
        let (slide, size) = match self.shape {
            Tumble(size) | Session(size) => (size, size),
            Hop(slide, size) => (slide, size),
            Cumulate(_, size) => (size, size),
        };
        let begin = format!("value * {slide}000 + ({}000)", self.offset);
        let series = format!("generate_series(-20, {})", LATEST / slide);
        match self.shape {
            Cumulate(step, size) => format!(
                "SELECT to_timestamp_millis(b.base) AS window_start, to_timestamp_millis(b.base + s.span) AS window_end \
                 FROM (SELECT {begin} AS base FROM {series}) AS b CROSS JOIN \
                 (SELECT value * {step}000 AS span FROM generate_series(1, {})) AS s",
                size / step
            ),
            _ => format!(
                "SELECT to_timestamp_millis({begin}) AS window_start, to_timestamp_millis({begin} + {size}000) AS window_end FROM {series}"
            ),
        }
    }
}

/// A row begins a session if it is more than the gap behind the one before it.
fn sessions(rows: &str, time: &str, key: &str, gap: i64) -> String {
    let gap = seconds(gap);
    format!(
        "(SELECT i.*, min({time}) OVER (PARTITION BY {key}, nth) AS window_start, \
           max({time}) OVER (PARTITION BY {key}, nth) + {gap} AS window_end \
         FROM (SELECT b.*, sum(CASE WHEN before IS NULL OR {time} > before + {gap} THEN 1 ELSE 0 END) \
           OVER (PARTITION BY {key} ORDER BY {time}) AS nth \
         FROM (SELECT r.*, lag({time}) OVER (PARTITION BY {key} ORDER BY {time}) AS before FROM {rows} AS r \
           WHERE r.{time} IS NOT NULL) AS b) AS i)"
    )
}
