//! Whether what finds faults would find one: a fault is planted, shows, is made small, and becomes a file that shows it again.

use super::case::{Case, Strike};
use super::life::{Fault, Outcome, run};
use super::rows::Value;
use super::script::{Event, read};
use super::seeds::keep;
use super::shrink::shrink;

/// Behind a kill, rows whose number is 3 do not reach their streams.
fn with_fault(events: &[Event]) -> Vec<Event> {
    let mut killed = false;
    let lose = |event: &Event| {
        killed |= matches!(event, Event::Kill(_));
        let Event::Insert { stream, rows } = event else { return Some(event.clone()) };
        if !killed || stream.contains('_') {
            return Some(event.clone());
        }
        let rows = rows.trim_start_matches('(').trim_end_matches(')').split("), (");
        let kept: Vec<&str> = rows.filter(|row| row.split(", ").nth(1) != Some("3")).collect();
        let rows = format!("({})", kept.join("), ("));
        (!kept.is_empty()).then(|| Event::Insert { stream: stream.clone(), rows })
    };
    events.iter().filter_map(lose).collect()
}

fn is_wrong(events: &[Event]) -> bool {
    matches!(run(&with_fault(events)), Outcome::Wrong(Fault::Rows, _))
}

#[test]
fn a_fault_that_is_planted_is_found_and_made_small_and_its_file_shows_it_again() {
    let cases = (0..100).map(|seed| Case::any(seed, 0, true, 1));
    let found =
        cases.into_iter().find(|case| run(&case.events()) == Outcome::Agrees && is_wrong(&case.events()));
    let large = found.expect("one of a hundred cases has such a row behind a kill");
    let (small, _) = shrink(large.clone(), |case| is_wrong(&case.events()));

    let rows: Vec<_> = small.rounds.iter().flat_map(|round| &round.rows).collect();
    assert_eq!(rows.len(), 1, "{rows:?}");
    let values = &rows[0].values;
    assert_eq!(values[1], Value::Int(3));
    assert!(values[2..values.len() - 1].iter().all(|value| *value == Value::Null), "{values:?}");
    let strikes: Vec<_> = small.rounds.iter().map(|round| &round.strike).collect();
    assert!(matches!(strikes[..], [Strike::Kill(_), Strike::Nothing]), "{strikes:?}");
    assert!(small.query.children().is_empty(), "{:?}", small.query);
    assert!(small.events().len() * 2 < large.events().len(), "{:?}", small.events());

    let file = keep("planted", "A fault that a test planted.", &small);
    let again = read(&std::fs::read_to_string(file).unwrap());
    assert_eq!(again, small.events());
    assert!(is_wrong(&again), "with the fault");
    assert_eq!(run(&again), Outcome::Agrees, "without it");
}
