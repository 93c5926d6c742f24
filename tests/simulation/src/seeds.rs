//! Which seeds are run, and what is said of one that fails.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex};

/// The variable that names other seeds: one, or `from..to`.
const SEEDS: &str = "HEADWATER_SEEDS";
/// The variable that, when set, has every story told to its end.
const STORY: &str = "HEADWATER_STORY";
/// How many lines of the story of a seed that fails are shown.
const LINES_SHOWN: usize = 40;

/// What happened in a run, line by line; shown when it fails.
#[derive(Clone, Default)]
pub struct Story(Arc<Mutex<Vec<String>>>);

impl Story {
    /// Notes what happens.
    pub fn note(&self, line: impl Into<String>) {
        self.0.lock().expect("no run panics while noting").push(line.into());
    }

    /// All of it.
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().expect("no run panics while noting").clone()
    }
}

/// Runs a test, given as `cargo test` names it, for each seed: those of the environment, or the usual ones. Stops at the first that fails.
pub fn each(test: &str, usual: Range<u64>, run: impl Fn(u64, &Story)) {
    let seeds = match std::env::var(SEEDS) {
        Ok(text) => parse(&text).unwrap_or_else(|| panic!("{SEEDS}={text}: give a number, or from..to")),
        Err(_) => usual,
    };
    let shown = if std::env::var_os(STORY).is_some() { usize::MAX } else { LINES_SHOWN };
    for seed in seeds {
        let story = Story::default();
        let result = catch_unwind(AssertUnwindSafe(|| run(seed, &story)));
        if result.is_err() || shown == usize::MAX {
            let lines = story.lines();
            eprintln!("seed {seed}, {} lines:", lines.len());
            lines.iter().skip(lines.len().saturating_sub(shown)).for_each(|line| eprintln!("  {line}"));
        }
        if let Err(panic) = result {
            eprintln!("seed {seed} fails; to see all of it again:");
            eprintln!("  {SEEDS}={seed} {STORY}=1 cargo test {test}");
            resume_unwind(panic);
        }
    }
}

/// Whether the usual seeds are run, and so everything must be met that they are known to meet.
pub fn are_usual() -> bool {
    std::env::var_os(SEEDS).is_none()
}

fn parse(text: &str) -> Option<Range<u64>> {
    match text.split_once("..") {
        Some((from, to)) => Some(from.trim().parse().ok()?..to.trim().parse().ok()?),
        None => text.trim().parse().ok().map(|seed| seed..seed + 1),
    }
}

#[test]
fn seeds_are_one_or_a_range() {
    assert_eq!(parse("7"), Some(7..8));
    assert_eq!(parse("200..1000"), Some(200..1000));
    assert_eq!(parse("all"), None);
}
