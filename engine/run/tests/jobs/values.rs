//! `VALUES` beside streams: whatever strikes, a view holds what the same query gives as a batch, and what is joined with it is not kept.

use headwater_simulation::seeds;

use crate::machine::Machine;
use crate::updating::life;

const TABLE: &str = "(VALUES ('a', 1, 10), ('b', 2, 20), ('a', 3, 30), (NULL, 4, NULL)) AS t (k, v, w)";

fn queries() -> Vec<String> {
    let mut queries = vec![
        format!("SELECT k, v, w FROM a UNION ALL SELECT k, v, w FROM {TABLE}"),
        "SELECT k, v, w FROM a UNION ALL SELECT 'x', 1 + 1, NULL".to_owned(),
        format!(
            "SELECT k, COUNT(*) AS n FROM (SELECT k FROM a UNION ALL SELECT k FROM {TABLE}) AS u GROUP BY k"
        ),
        format!("SELECT k, v FROM a WHERE k IN (SELECT k FROM {TABLE})"),
        format!("SELECT k, v FROM a WHERE NOT EXISTS (SELECT 1 FROM {TABLE} WHERE t.k = a.k AND t.v < a.v)"),
        format!("(SELECT k, v FROM a) EXCEPT (SELECT k, v FROM {TABLE})"),
        format!("SELECT a.k, a.v, t.w, b.v AS u FROM a JOIN {TABLE} ON a.k = t.k JOIN b ON b.v = t.v"),
    ];
    for kind in ["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"] {
        for more in ["", " AND a.v + t.v > 4"] {
            queries.push(format!("SELECT a.k, a.v, t.k AS o, t.w FROM a {kind} {TABLE} ON a.k = t.k{more}"));
        }
        queries.push(format!(
            "SELECT t.k, t.w, g.n FROM {TABLE} {kind} (SELECT k, COUNT(*) AS n FROM a GROUP BY k) AS g ON g.k = t.k"
        ));
    }
    queries
}

#[test]
fn a_view_over_values_and_streams_holds_what_the_batch_gives() {
    let queries = queries();
    seeds::each(
        "-p headwater-run a_view_over_values_and_streams_holds_what_the_batch_gives",
        0..queries.len() as u64 * 2,
        |seed, _story| life(seed, Some(queries[seed as usize % queries.len()].clone())),
    );
}

#[test]
fn rows_joined_with_values_are_not_kept_and_their_time_goes_on() {
    let machine = Machine::new(5);
    machine.create_readings(2);
    machine.sql(
        "CREATE MATERIALIZED VIEW result AS SELECT window_end, place, SUM(value) AS total FROM TUMBLE(TABLE \
         (SELECT r.ts, r.value, t.place FROM readings r JOIN (VALUES ('a', 'north'), ('b', 'south')) AS t (device, place) \
         ON r.device = t.device), DESCRIPTOR(ts), INTERVAL '10' SECOND) GROUP BY window_start, window_end, place",
    );
    for round in 0..20 {
        machine.append(&[
            ("a", round * 10_000 + 1_000, 1),
            ("b", round * 10_000 + 2_000, 2),
            ("c", round * 10_000, 3),
        ]);
        machine.catch_up();
    }
    assert!(machine.engine().jobs()[0].state_entries < 12, "{:?}", machine.engine().jobs());
    let totals =
        machine.query("SELECT place, COUNT(*), SUM(total) FROM result WHERE total > 0 GROUP BY place");
    let count =
        |line: &String| line.split(' ').nth(1).and_then(|n| n.parse::<u64>().ok()).unwrap_or_default();
    assert!(totals.len() == 2 && totals.iter().all(|line| count(line) > 15), "{totals:?}");
    machine.engine().close_here().unwrap();
}
