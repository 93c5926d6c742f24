//! Views that live through kills and restarts with other workers, and show in the end what their queries give as batches.

use headwater_core::world::sim::SimRandom;

use crate::machine::Machine;

/// Between the times from which on rows are appended.
const STEP_MILLIS: i64 = 12_000;

/// Makes a view of each query, appends rows while things happen, and compares. `append` adds rows from a time on, none of them late: so a
/// window holds what the batch holds.
pub fn live(
    machine: &mut Machine,
    random: &SimRandom,
    queries: &[(&str, String)],
    append: impl Fn(&Machine, &SimRandom, i64),
) {
    for (name, query) in queries {
        machine.sql(&format!("CREATE MATERIALIZED VIEW {name} AS {query}"));
    }
    for step in 0..5 {
        append(machine, random, step * STEP_MILLIS);
        machine.turns(random.index(40));
        match random.below(3) {
            0 => machine.kill(1 + random.index(3)),
            1 => machine.restart(1 + random.index(3)),
            _ => {}
        }
    }
    machine.finish();
    for (name, query) in queries {
        let shown = machine.query(&format!("SELECT * FROM {name}"));
        assert!(!shown.is_empty(), "{name} is empty");
        assert_eq!(shown, machine.query(query), "{name}");
    }
}
