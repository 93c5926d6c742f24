//! Cases by seed.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use headwater_simulation::seeds;

use super::case::Case;
use super::landmarks::{self, Landmarks, mutants};
use super::life::{Fault, Outcome, run, run_and_look};
use super::script::write;
use super::shrink::shrink;

/// How often another case is made up when a query is refused.
const ATTEMPTS: u64 = 40;

/// Writes a case that fails where people find it.
pub fn keep(name: &str, comment: &str, case: &Case) -> PathBuf {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.sql"));
    let text = format!("-- {comment}\n{}", write(&case.events()));
    #[expect(clippy::disallowed_methods, reason = "a file for people, beside the test's world")]
    std::fs::write(&file, text).unwrap();
    file
}

/// The cases of a test.
struct Cases {
    test: &'static str,
    /// How many seeds are usual.
    seeds: u64,
    of: fn(seed: u64, attempt: u64) -> Case,
    /// What they meet between them.
    landmarks: &'static [&'static str],
}

impl Cases {
    fn run(&self) {
        let (refused, landmarks) = (Cell::new(0), Landmarks::default());
        seeds::each(&format!("-p headwater-run {}", self.test), 0..self.seeds, |seed, story| {
            let attempts = self.life(seed, &landmarks, |line| story.note(line));
            refused.set(refused.get() + attempts);
        });
        if seeds::are_usual() {
            let (refused, all) = (refused.get(), self.seeds);
            assert!(refused < all, "{refused} queries were refused for {all} that were not");
            landmarks.require(self.landmarks);
        }
    }

    /// Runs the first case of a seed that is not refused; answers how many were.
    fn life(&self, seed: u64, landmarks: &Landmarks, note: impl Fn(String)) -> u64 {
        for attempt in 0..ATTEMPTS {
            let case = (self.of)(seed, attempt);
            let (outcome, met) = run_and_look(&case.events(), &mutants(&case, &landmarks.known()));
            match outcome {
                Outcome::Agrees => {
                    note(write(&case.events()));
                    note(format!("met: {met:?}"));
                    landmarks.add(met);
                    return attempt;
                }
                Outcome::Refused(reason) => note(format!("refused: {reason}")),
                Outcome::Wrong(fault, what) => self.fail(seed, case, fault, &what),
            }
        }
        panic!("seed {seed}: {ATTEMPTS} queries were refused, one after the other");
    }

    fn fail(&self, seed: u64, case: Case, fault: Fault, what: &str) -> ! {
        let fails = |case: &Case| matches!(run(&case.events()), Outcome::Wrong(found, _) if found == fault);
        let (small, runs) = shrink(case, fails);
        let file = keep(&format!("seed-{seed}"), &format!("Seed {seed} of {}.", self.test), &small);
        let smaller = match run(&small.events()) {
            Outcome::Wrong(_, what) => what,
            other => format!("{other:?}"),
        };
        panic!(
            "{fault:?}: {what}\n\nmade smaller in {runs} runs: {smaller}\n\n{}\nThis is {}; put into queries/differential it is \
             run by `cargo test -p headwater-run --test jobs every_case_of_a_file_agrees`. From the seed:\n\
             HEADWATER_SEEDS={seed} cargo test -p headwater-run --test jobs {}",
            write(&small.events()),
            file.display(),
            self.test
        );
    }
}

const MADE_UP: Cases = Cases {
    test: "a_view_of_a_query_made_up_holds_what_the_batch_gives",
    seeds: 40,
    // Every third goes by time.
    of: |seed, attempt| Case::any(seed, attempt, seed % 3 == 2, 1 + (seed / 3 % 3) as u32),
    landmarks: &[
        landmarks::KILL,
        landmarks::LOSS_OF_POWER,
        landmarks::RESTART,
        landmarks::OTHER_WORKERS,
        landmarks::STATE_ON_DISK,
        landmarks::ROWS,
        landmarks::RETRACTION,
        "WHERE",
        "a condition of a join",
        "a condition of what is looked for",
        "HAVING",
        "FILTER",
        "the row without a match of an outer join",
        "grouping sets",
        "UNION, INTERSECT or EXCEPT",
        "the numbers of a top-N",
        "the partition of a top-N",
    ],
};

const BY_TIME: Cases = Cases {
    test: "a_view_by_time_holds_what_arithmetic_gives",
    seeds: 60,
    of: |seed, attempt| Case::any(seed, attempt, true, (seed % 4 / 2) as u32),
    landmarks: &[
        landmarks::KILL,
        landmarks::LOSS_OF_POWER,
        landmarks::RESTART,
        landmarks::OTHER_WORKERS,
        landmarks::STATE_ON_DISK,
        landmarks::ROWS,
        landmarks::RETRACTION,
        landmarks::LATE_ROW,
        "leaving late rows out",
        "ALLOW LATENESS",
        "the offset of windows",
        "WHERE",
        "WHERE of what goes by time",
        "FILTER",
        "the order of rows of one time",
        "the partition of OVER",
        "a bound of an interval",
        "a condition of a join by time",
        "the row without a match of an interval join",
        "a version of that very time",
        "a row ahead of that very time",
        "a row ahead",
        "the row without a version",
    ],
};

#[test]
fn a_view_of_a_query_made_up_holds_what_the_batch_gives() {
    MADE_UP.run();
}

#[test]
fn a_view_by_time_holds_what_arithmetic_gives() {
    BY_TIME.run();
}

#[test]
fn the_same_seed_makes_the_same_case() {
    for seed in 0..20 {
        for cases in [MADE_UP, BY_TIME] {
            assert_eq!(write(&(cases.of)(seed, 0).events()), write(&(cases.of)(seed, 0).events()));
        }
    }
}

#[test]
#[should_panic(expected = "no case met [\"a kill\"]")]
fn a_landmark_that_was_never_met_is_told() {
    let landmarks = Landmarks::default();
    landmarks.add([landmarks::ROWS].into());
    landmarks.require(&[landmarks::ROWS, landmarks::KILL]);
}
