//! Updating queries by seed: a query made up at random over two streams, as a materialized view, under crashes and restarts with other
//! workers. Whenever the view has caught up, it holds what the same query gives as a batch over the same rows.
//!
//! `HEADWATER_SEEDS=from..to` runs other seeds than the usual ones.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray, TimestampMillisecondArray};
use headwater_core::world::sim::SimRandom;
use headwater_simulation::seeds;

use crate::machine::Machine;

/// Makes up queries of three columns: `k STRING, v BIGINT, w BIGINT`.
pub struct Queries<'a>(pub &'a SimRandom);

impl Queries<'_> {
    fn one_of<'b>(&self, choices: &[&'b str]) -> &'b str {
        choices[self.0.index(choices.len())]
    }

    pub fn any(&self, depth: u32) -> String {
        if depth == 0 {
            return self.base();
        }
        match self.0.below(10) {
            0..3 => self.join(depth - 1),
            3 => self.semi(depth - 1),
            4 | 5 => self.aggregate(depth - 1),
            6 => self.top_n(depth - 1),
            7 => format!("SELECT DISTINCT k, v, w FROM ({}) AS d", self.any(depth - 1)),
            _ => self.set(depth - 1),
        }
    }

    pub fn base(&self) -> String {
        let filter = self.one_of(&["", "", " WHERE v > 2", " WHERE k <> 'b'", " WHERE w IS NOT NULL"]);
        format!("SELECT k, v, w FROM {}{filter}", self.one_of(&["a", "b"]))
    }

    pub fn join(&self, depth: u32) -> String {
        let kind = self.one_of(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
        let more = self.one_of(&["", "", " AND l.v < r.v", " AND l.v = r.v", " AND l.w + r.w > 3"]);
        let columns =
            self.one_of(&["l.k, l.v, r.w", "r.k, l.v, r.v AS w", "coalesce(l.k, r.k) AS k, r.v, l.w"]);
        format!(
            "SELECT {columns} FROM ({}) AS l {kind} ({}) AS r ON l.k = r.k{more}",
            self.any(depth),
            self.any(depth)
        )
    }

    fn semi(&self, depth: u32) -> String {
        let (outer, inner) = (self.any(depth), self.any(depth));
        match self.0.below(5) {
            0 => format!("SELECT k, v, w FROM ({outer}) AS o WHERE k IN (SELECT k FROM ({inner}) AS i)"),
            4 => format!(
                "SELECT k, v, w FROM ({outer}) AS o WHERE w > 5 OR k IN (SELECT k FROM ({inner}) AS i WHERE i.v < o.v)"
            ),
            1 => format!("SELECT k, v, w FROM ({outer}) AS o WHERE w NOT IN (SELECT w FROM ({inner}) AS i)"),
            2 => format!(
                "SELECT k, v, w FROM ({outer}) AS o WHERE EXISTS (SELECT 1 FROM ({inner}) AS i WHERE i.k = o.k AND i.v > o.v)"
            ),
            _ => format!(
                "SELECT k, v, w FROM ({outer}) AS o WHERE NOT EXISTS (SELECT 1 FROM ({inner}) AS i WHERE i.v = o.v AND i.w <= o.w)"
            ),
        }
    }

    pub fn aggregate(&self, depth: u32) -> String {
        let v = self.one_of(&["sum(v)", "min(v)", "max(v)", "count(*)", "count(DISTINCT v)"]);
        let w = self.one_of(&["sum(w)", "max(w)", "min(w)", "count(w)", "sum(w) FILTER (WHERE v > 3)"]);
        let having = self.one_of(&["", "", " HAVING count(*) > 2", " HAVING max(v) > 5"]);
        format!("SELECT k, {v} AS v, {w} AS w FROM ({}) AS g GROUP BY k{having}", self.any(depth))
    }

    fn top_n(&self, depth: u32) -> String {
        let (by, which) = (self.one_of(&["k", "v"]), self.one_of(&["n = 1", "n <= 2", "n BETWEEN 2 AND 3"]));
        let shown = self.one_of(&["w", "CAST(n AS BIGINT) AS w"]);
        format!(
            "SELECT k, v, {shown} FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY {by} ORDER BY v DESC, w, k) AS n \
             FROM ({}) AS t) AS r WHERE {which}",
            self.any(depth)
        )
    }

    /// A function over the rows around each row of a query. Where it matters in which order equal rows come, all columns are in it.
    pub fn over(&self, query: &str) -> String {
        let by = self.one_of(&["PARTITION BY k ", "PARTITION BY k ", "PARTITION BY v % 3 ", ""]);
        let function = match self.0.below(3) {
            0 => {
                let order = self.one_of(&["v", "v DESC", "w"]);
                self.one_of(&[
                    "RANK() OVER (# ORDER BY @)",
                    "DENSE_RANK() OVER (# ORDER BY @)",
                    "SUM(w) OVER (# ORDER BY @)",
                    "COUNT(*) OVER (# ORDER BY @ RANGE BETWEEN 2 PRECEDING AND CURRENT ROW)",
                    "MAX(v) OVER (# ORDER BY @ RANGE BETWEEN 1 FOLLOWING AND 3 FOLLOWING)",
                    "SUM(v) OVER (#)",
                    "COUNT(w) OVER (# ORDER BY @ RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)",
                ])
                .replace('@', order)
            }
            _ => {
                let order = self.one_of(&["v DESC, w, k", "w, k DESC, v", "k, v, w"]);
                self.one_of(&[
                    "ROW_NUMBER() OVER (# ORDER BY @)",
                    "LAG(v) OVER (# ORDER BY @)",
                    "LEAD(w, 2, 0) OVER (# ORDER BY @)",
                    "SUM(w) OVER (# ORDER BY @ ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)",
                    "MIN(v) OVER (# ORDER BY @ ROWS BETWEEN 1 PRECEDING AND 2 FOLLOWING)",
                    "COUNT(v) OVER (# ORDER BY @ ROWS UNBOUNDED PRECEDING)",
                    "FIRST_VALUE(w) OVER (# ORDER BY @ ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING)",
                    "NTH_VALUE(v, 2) OVER (# ORDER BY @ ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)",
                ])
                .replace('@', order)
            }
        };
        let function = function.replace("# ", by).replace('#', by);
        format!("SELECT k, v, CAST({function} AS BIGINT) AS w FROM ({query}) AS o")
    }

    fn set(&self, depth: u32) -> String {
        let kind = self.one_of(&["UNION ALL", "UNION", "INTERSECT", "EXCEPT"]);
        format!("({}) {kind} ({})", self.any(depth), self.any(depth))
    }
}

pub fn append(machine: &Machine, random: &SimRandom, time: &mut i64) {
    for stream in ["a", "b"] {
        let rows = random.index(8);
        if rows == 0 {
            continue;
        }
        let number = |below: u64| random.chance(9, 10).then(|| random.below(below) as i64);
        let keys: StringArray =
            (0..rows).map(|_| random.chance(9, 10).then(|| ["a", "b", "c", "d"][random.index(4)])).collect();
        let times = (0..rows).map(|_| {
            *time += random.below(500) as i64;
            *time
        });
        let columns: Vec<ArrayRef> = vec![
            Arc::new(keys),
            Arc::new((0..rows).map(|_| number(8)).collect::<Int64Array>()),
            Arc::new((0..rows).map(|_| number(5)).collect::<Int64Array>()),
            Arc::new(TimestampMillisecondArray::from_iter_values(times)),
        ];
        machine.append_to(stream, columns);
    }
}

/// Runs a query, or one made up at random, and compares.
pub fn life(seed: u64, query: Option<String>) {
    let (mut machine, random) = Machine::any(seed, 30);
    for stream in ["a", "b"] {
        machine.sql(&format!(
            "CREATE STREAM {stream} (k STRING, v BIGINT, w BIGINT, ts TIMESTAMP(3)) PARTITIONED BY (k) WITH (shards = 2)"
        ));
    }
    let query = query.unwrap_or_else(|| {
        format!("SELECT k, v, w FROM ({}) AS q", Queries(&random).any(1 + seed as u32 % 3))
    });
    machine.sql(&format!("CREATE MATERIALIZED VIEW result AS {query}"));
    let mut time = 0;
    for round in 0..8 {
        append(&machine, &random, &mut time);
        machine.turns(random.index(40));
        machine.strike(&random);
        if round % 3 == 1 {
            machine.catch_up();
            let (found, expected) = (machine.query("SELECT * FROM result"), machine.query(&query));
            assert_eq!(found, expected, "round {round}: {query}");
        }
    }
    machine.engine().close_here().unwrap();
}

#[test]
fn a_view_holds_what_the_batch_gives_whatever_strikes() {
    seeds::each(
        "-p headwater-run a_view_holds_what_the_batch_gives_whatever_strikes",
        0..60,
        |seed, _story| life(seed, None),
    );
}

/// One stream comes in three times, and a row without a match may find one from either side.
const NESTED: &str = "SELECT l.k, l.v, r.w FROM (SELECT k, v, w FROM b) AS l LEFT JOIN \
    (SELECT r.k, l.v, r.w FROM (SELECT k, v, w FROM b WHERE w IS NOT NULL) AS l RIGHT JOIN (SELECT k, v, w FROM b WHERE v > 2) AS r \
    ON l.k = r.k) AS r ON l.k = r.k AND l.w + r.w > 3";

#[test]
fn outer_joins_of_one_stream_within_each_other_hold_what_the_batch_gives() {
    seeds::each(
        "-p headwater-run outer_joins_of_one_stream_within_each_other_hold_what_the_batch_gives",
        0..10,
        |seed, _story| life(seed, Some(NESTED.to_owned())),
    );
}

/// Of the greatest values of each device those that were said first and last, of what still holds: neither the least nor the greatest.
#[test]
fn first_and_last_values_of_rows_that_change_are_by_arrival() {
    let mut machine = Machine::new(7);
    machine.create_readings(2);
    machine.sql(
        "CREATE MATERIALIZED VIEW ends AS SELECT FIRST_VALUE(top) AS oldest, LAST_VALUE(top) AS newest
         FROM (SELECT device, MAX(value) AS top FROM readings GROUP BY device)",
    );
    let steps = [
        ("a", 5, "5 5"),
        ("b", 3, "5 3"),
        ("a", 9, "3 9"),
        ("b", 4, "9 4"),
        ("c", 2, "9 2"),
        ("a", 7, "9 2"),
        ("c", 8, "9 8"),
        ("b", 6, "9 6"),
        ("a", 10, "8 10"),
    ];
    for (nth, (device, value, expect)) in steps.into_iter().enumerate() {
        machine.append(&[(device, 1_000_000 + nth as i64, value)]);
        machine.catch_up();
        assert_eq!(machine.query("SELECT oldest, newest FROM ends"), [expect], "{device} {value}");
        machine.kill(1 + nth % 3);
    }
    machine.engine().close_here().unwrap();
}
