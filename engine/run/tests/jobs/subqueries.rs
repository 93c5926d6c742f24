//! Subqueries that stand for a value, and ORDER BY with LIMIT: whatever strikes, a view holds what the same query gives as a batch.

use headwater_simulation::seeds;

use crate::updating::life;

/// Orders are by all columns, so that only one set of rows comes first.
const QUERIES: &[&str] = &[
    "SELECT k, v, w FROM a WHERE v > (SELECT AVG(v) FROM b)",
    "SELECT k, v, w FROM a WHERE v = (SELECT MAX(v) FROM a) OR w IS NULL",
    "SELECT k, v - (SELECT MIN(v) FROM b WHERE w > 1) AS d FROM a",
    "SELECT k, SUM(v) AS v FROM a GROUP BY k HAVING SUM(v) > (SELECT MAX(n) FROM (SELECT SUM(w) AS n FROM b GROUP BY k) AS s)",
    "SELECT k, v FROM a WHERE v < (SELECT MAX(v) FROM b) AND w >= (SELECT MIN(w) FROM b)",
    "SELECT k, v FROM a WHERE v <= (SELECT AVG(v) FROM b WHERE b.k = a.k)",
    "SELECT k, v, (SELECT SUM(w) FROM b WHERE b.k = a.k) AS s FROM a",
    "SELECT k, v FROM a WHERE v NOT IN (SELECT w FROM b)",
    "SELECT k, w FROM a WHERE w NOT IN (SELECT w FROM b WHERE v > 3)",
    "SELECT k, v FROM a WHERE v + 1 NOT IN (SELECT v FROM b WHERE v > 2 AND w IS NOT NULL)",
    "SELECT k, COUNT(*) AS n FROM a WHERE w NOT IN (SELECT MAX(w) FROM b GROUP BY k) GROUP BY k",
    "SELECT k, v FROM a WHERE v > 6 OR k IN (SELECT k FROM b WHERE w > 2)",
    "SELECT k, v, w FROM a WHERE w IS NULL OR NOT EXISTS (SELECT 1 FROM b WHERE b.k = a.k AND b.v >= a.v)",
    "SELECT k, COUNT(*) AS n FROM a WHERE (v IN (SELECT v FROM b) AND w < 4) OR EXISTS (SELECT 1 FROM b WHERE b.w = a.v) GROUP BY k",
    "SELECT k, v, w FROM a ORDER BY v DESC, w, k LIMIT 3",
    "SELECT k, v, w FROM a ORDER BY w, v, k DESC LIMIT 4 OFFSET 2",
    "SELECT k FROM a ORDER BY v DESC, k, w LIMIT 5",
    "SELECT k, COUNT(*) AS n, SUM(v) AS v FROM a GROUP BY k ORDER BY n DESC, v DESC, k LIMIT 2",
    "SELECT a.k, a.v, t.w FROM a JOIN (SELECT k, v, w FROM b ORDER BY v, k, w LIMIT 3) AS t ON a.k = t.k",
    "SELECT COUNT(*) AS n, SUM(v) AS v FROM (SELECT k, v, w FROM a ORDER BY v DESC, k, w LIMIT 6) AS t GROUP BY k",
    "SELECT t.k, f.v, f.w FROM (SELECT DISTINCT k FROM a) AS t CROSS JOIN LATERAL (SELECT v, w FROM b WHERE b.k = t.k ORDER BY v DESC, w LIMIT 2) AS f",
    "SELECT a.k, a.v, f.* FROM a LEFT JOIN LATERAL (SELECT b.v AS bv, b.w AS bw FROM b WHERE a.k = b.k ORDER BY bw, bv DESC LIMIT 1) AS f ON TRUE",
    "(SELECT k, v FROM a ORDER BY v, k LIMIT 2) UNION ALL (SELECT k, v FROM b ORDER BY v DESC, k LIMIT 2)",
];

#[test]
fn over_subqueries_and_first_rows_a_view_holds_what_the_batch_gives() {
    seeds::each(
        "-p headwater-run over_subqueries_and_first_rows_a_view_holds_what_the_batch_gives",
        0..QUERIES.len() as u64 * 2,
        |seed, _story| life(seed, Some(QUERIES[seed as usize % QUERIES.len()].to_owned())),
    );
}
