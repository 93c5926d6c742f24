//! OVER rows that change, and in any order, as materialized views: over groups, joins and tables of changes, whatever strikes, a view holds
//! what the same query gives as a batch.

use std::collections::BTreeMap;
use std::time::Duration;

use headwater_core::world::sim::SimRandom;
use headwater_ingest::Format;
use headwater_simulation::seeds;

use crate::changes::{DEVICES, any_change, send};
use crate::machine::Machine;
use crate::simulation::strike;
use crate::updating::{self, Queries};

#[test]
fn over_groups_and_joins_a_view_holds_what_the_batch_gives() {
    seeds::each(
        "-p headwater-run over_groups_and_joins_a_view_holds_what_the_batch_gives",
        0..60,
        |seed, _story| {
            let random = SimRandom::new(seed);
            let queries = Queries(&random);
            let below = match seed % 4 {
                0 => queries.aggregate(0),
                1 => queries.join(0),
                2 => queries.aggregate(1),
                _ => queries.base(),
            };
            updating::life(seed, Some(queries.over(&below)));
        },
    );
}

const OVER_DEVICES: [&str; 4] = [
    "SELECT id, site, watts, SUM(watts) OVER (PARTITION BY site ORDER BY watts DESC, id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS n \
     FROM devices",
    "SELECT id, watts - LAG(watts, 1, 0) OVER (ORDER BY watts, id) AS n FROM devices",
    "SELECT id, RANK() OVER (PARTITION BY site ORDER BY watts DESC) AS n FROM devices",
    "SELECT site, n, SUM(n) OVER (ORDER BY n, site ROWS UNBOUNDED PRECEDING) AS so_far, \
       COUNT(*) OVER (ORDER BY watts RANGE BETWEEN 20 PRECEDING AND CURRENT ROW) AS near \
     FROM (SELECT site, COUNT(*) AS n, SUM(watts) AS watts FROM devices GROUP BY site) AS sites",
];

#[test]
fn over_a_table_of_changes_a_view_holds_what_the_batch_gives() {
    seeds::each(
        "-p headwater-run over_a_table_of_changes_a_view_holds_what_the_batch_gives",
        0..16,
        |seed, _story| {
            let mut machine = Machine::new(seed);
            let random = machine.sim.random("life");
            machine.step_rows_max = 1 + random.index(30);
            machine.checkpoint_interval = Duration::from_millis(1 + random.below(2_000));
            machine.restart(1 + random.index(4));
            machine.sql(DEVICES);
            for (nth, query) in OVER_DEVICES.iter().enumerate() {
                machine.sql(&format!("CREATE MATERIALIZED VIEW over_{nth} AS {query}"));
            }
            let mut table = BTreeMap::new();
            for _ in 0..12 {
                let body: String = (0..random.below(10)).map(|_| any_change(&random, &mut table)).collect();
                assert_eq!(send(&machine, "devices", Format::JsonLines, &body), 0);
                machine.turns(random.index(60));
                strike(&mut machine, &random);
                if random.chance(1, 3) {
                    check(&machine);
                }
            }
            check(&machine);
            machine.engine().close_here().unwrap();
        },
    );
}

fn check(machine: &Machine) {
    machine.catch_up();
    for (nth, query) in OVER_DEVICES.iter().enumerate() {
        assert_eq!(machine.query(&format!("SELECT * FROM over_{nth}")), machine.query(query), "{query}");
    }
}

/// A row of a view with a key is retracted before the one that takes its place is added, and only if that is another one.
#[test]
fn a_table_of_changes_takes_what_has_changed_alone() {
    let machine = Machine::new(2);
    machine.sql(
        "CREATE STREAM scores (who STRING, n BIGINT, PRIMARY KEY (who) NOT ENFORCED) WITH ('changelog.mode' = 'upsert', shards = 1);
         CREATE STREAM places (who STRING, n BIGINT, place BIGINT, PRIMARY KEY (who) NOT ENFORCED)
           WITH (format = 'debezium-json', shards = 1);
         CREATE JOB placing AS INSERT INTO places SELECT who, n, CAST(ROW_NUMBER() OVER (ORDER BY n DESC) AS BIGINT) FROM scores",
    );
    let score = |who: &str, n: i64| {
        send(&machine, "scores", Format::JsonLines, &format!("{{\"who\":\"{who}\",\"n\":{n}}}\n"));
        machine.catch_up();
    };
    for (who, n) in [("a", 50), ("b", 40), ("c", 30), ("d", 20)] {
        score(who, n);
    }
    assert_eq!(machine.query("SELECT * FROM places"), ["a 50 1", "b 40 2", "c 30 3", "d 20 4"]);
    let before = machine.rows("places").len();
    score("d", 35);
    assert_eq!(machine.query("SELECT * FROM places"), ["a 50 1", "b 40 2", "c 30 4", "d 35 3"]);
    let said = machine.rows("places").len() - before;
    assert!(said <= 4, "two rows have changed, and {said} changes were said");
}
