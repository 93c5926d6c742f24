//! Cases by seed.

use headwater_simulation::seeds;

use super::case::Case;
use super::life::{Outcome, run};
use super::script::write;
use super::shrink::shrink;

/// How often another case is made up when a query is refused.
const ATTEMPTS: u64 = 40;

const TEST: &str = "a_view_of_a_query_made_up_holds_what_the_batch_gives";

/// Runs the first case of a seed that is not refused; answers how many were.
fn life(seed: u64, note: impl Fn(String)) -> u64 {
    for attempt in 0..ATTEMPTS {
        let case = Case::any(seed, attempt);
        match run(&case.events()) {
            Outcome::Agrees => {
                note(write(&case.events()));
                return attempt;
            }
            Outcome::Refused(reason) => note(format!("refused: {reason}")),
            Outcome::Wrong(fault, what) => {
                let (small, runs) = shrink(case, fault);
                let text = write(&small.events());
                let file = format!("{}/seed-{seed}.sql", env!("CARGO_TARGET_TMPDIR"));
                let comment = format!("-- Seed {seed}.\n");
                #[expect(clippy::disallowed_methods, reason = "a file for people, beside the test's world")]
                std::fs::write(&file, comment + &text).unwrap();
                let smaller = match run(&small.events()) {
                    Outcome::Wrong(_, what) => what,
                    other => format!("{other:?}"),
                };
                panic!(
                    "{fault:?}: {what}\n\nmade smaller in {runs} runs: {smaller}\n\n{text}\nThis is {file}; put into queries/differential it is \
                     run by `cargo test -p headwater-run --test jobs every_case_of_a_file_agrees`. From the seed:\n\
                     HEADWATER_SEEDS={seed} cargo test -p headwater-run --test jobs {TEST}"
                );
            }
        }
    }
    panic!("seed {seed}: {ATTEMPTS} queries were refused, one after the other");
}

/// The usual seeds.
const SEEDS: u64 = 40;

#[test]
fn a_view_of_a_query_made_up_holds_what_the_batch_gives() {
    let refused = std::cell::Cell::new(0);
    seeds::each(&format!("-p headwater-run {TEST}"), 0..SEEDS, |seed, story| {
        refused.set(refused.get() + life(seed, |line| story.note(line)));
    });
    let refused = refused.get();
    assert!(
        !seeds::are_usual() || refused < SEEDS,
        "{refused} queries were refused for {SEEDS} that were not"
    );
}

#[test]
fn the_same_seed_makes_the_same_case() {
    for seed in 0..20 {
        assert_eq!(write(&Case::any(seed, 0).events()), write(&Case::any(seed, 0).events()));
    }
}
