//! The queries of `queries/nexmark` over a small auction, each twice: straight, and with kills and restarts at other numbers of workers
//! in between. Both give what the same query gives as a batch.
//!
//! Two are left out here, as they name files: q10 writes them, and q13 looks rows up in one. `cargo test -p headwater-cli --lib nexmark`
//! runs all of them over the connector's own events.

use std::path::{Path, PathBuf};
use std::time::Duration;

use headwater_core::world::sim::SimRandom;

use crate::growth::statements;
use crate::machine::Machine;

/// Blocks of events: a person, three auctions and 46 bids.
const BLOCKS: i64 = 12;

/// Milliseconds from one event to the next.
const PACE: i64 = 120;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../queries/nexmark")
}

/// A time in the first hour, as SQL.
fn time(millis: i64) -> String {
    format!("'2026-01-01 00:{:02}:{:02}.{:03}'", millis / 60_000 % 60, millis / 1_000 % 60, millis % 1_000)
}

/// The rows of a block, by table.
fn block(nth: i64, random: &SimRandom) -> [(&'static str, String); 3] {
    let at = |event: i64| 60_000 + (nth * 50 + event) * PACE;
    let one_of = |all: &[&str]| all[random.index(all.len())].to_owned();
    let state = one_of(&["OR", "ID", "CA", "WA"]);
    let person = format!(
        "({}, 'person {nth}', 'p{nth}@example.org', '1234', 'Boise', '{state}', {}, '')",
        1_000 + nth,
        time(at(0))
    );
    let seller = || 1_000 + random.below(nth as u64 + 1);
    let auctions = (1..=3).map(|event| {
        format!(
            "({}, 'item', 'an item', 10, {}, {}, {}, {}, {}, '')",
            1_100 + nth * 3 + event - 1,
            random.below(200),
            time(at(event)),
            time(at(event) + 4_000 + random.below(9_000) as i64),
            seller(),
            10 + random.below(5)
        )
    });
    let bids = (4..50).map(|event| {
        let channel = one_of(&["apple", "google", "facebook", "baidu", "channel-9", "channel-12"]);
        format!(
            "({}, {}, {}, '{channel}', 'https://www.nexmark.com/a{}/b/c/item.htm?query=1&channel_id={}', {}, '{}')",
            1_100 + random.below(nth as u64 * 3 + 3),
            seller(),
            1 + random.below(20_000) * 100,
            random.below(3),
            random.below(40),
            time(at(event) - random.below(3) as i64 * 1_000),
            one_of(&["cc", "abc", ""])
        )
    });
    let auctions = auctions.collect::<Vec<_>>().join(", ");
    [("person", person), ("auction", auctions), ("bid", bids.collect::<Vec<_>>().join(", "))]
}

/// What the view holds when the auction is over, and what the batch gives.
fn run(query: &str, between: &dyn Fn(&mut Machine)) -> (Vec<String>, Vec<String>) {
    let mut machine = Machine::new(6);
    machine.step_rows_max = 64;
    machine.checkpoint_interval = Duration::from_millis(1);
    machine.restart(2);
    let tables = std::fs::read_to_string(folder().join("tables.sql")).unwrap();
    let all = statements(&format!("{tables};{query}"));
    let (last, before) = all.split_last().unwrap();
    before.iter().for_each(|parsed| machine.sql(&parsed.text));
    machine.sql(&format!("CREATE MATERIALIZED VIEW result AS {}", last.text));
    let random = SimRandom::new(3);
    for nth in 0..BLOCKS {
        for (table, rows) in block(nth, &random) {
            machine.insert(table, &format!("VALUES {rows}"));
        }
        between(&mut machine);
    }
    machine.catch_up();
    machine.finish_streams(&["person", "auction", "bid"]);
    // Bids of one price come in the order of time; a batch puts them in any, unless told.
    let batch = last.text.replace("ORDER BY price DESC", "ORDER BY price DESC, `dateTime`");
    let both = (machine.query("SELECT * FROM result"), machine.query(&batch));
    machine.engine().close_here().unwrap();
    both
}

#[test]
fn every_query_gives_what_the_batch_gives_straight_and_with_kills_in_between() {
    let mut checked = 0;
    for nth in (0..23).filter(|nth| ![10, 13].contains(nth)) {
        let query = std::fs::read_to_string(folder().join(format!("q{nth}.sql"))).unwrap();
        let (straight, batch) = run(&query, &|machine| machine.catch_up());
        assert!(!batch.is_empty(), "q{nth} says nothing");
        assert_eq!(straight, batch, "q{nth}, straight");
        let random = SimRandom::new(nth);
        let (killed, batch) = run(&query, &|machine| {
            machine.turns(random.index(60));
            let workers = 1 + random.index(4);
            match random.below(3) {
                0 => machine.restart(workers),
                1 => machine.kill(workers),
                _ => {}
            }
        });
        assert_eq!(killed, batch, "q{nth}, with kills");
        checked += 1;
    }
    assert_eq!(checked, 21);
}
