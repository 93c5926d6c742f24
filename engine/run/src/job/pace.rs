//! How much a live step takes: what the limits allow, and less where a row of input turns into many of output.
//!
//! A step is in memory as a whole, since it goes to the log as one atomic group. Its input is limited; its output follows
//! from the query, and a hop of an hour that slides by a second makes 3,600 windows of one row. So a job starts with
//! small steps, takes twice as much as long as little comes out, and half as much as soon as too much does. Where a step was cut
//! is in the journal, so that the pace of one run does not show in another.
//!
//! While other jobs wait for a thread a step is also limited to what the log keeps decoded several times over ([`CROWDED_BYTES`]): jobs
//! that read the same rows, a step each in turn, then find them decoded, and still in the processor's cache.
//!
//! What one row can close at once (all the windows that wait for it) is not limited: it follows from the state.

use super::pipeline::Limits;

/// A job starts with so small a part of what a step may take at most.
const FIRST_PART: usize = 64;

/// A step takes so many rows at least, whatever comes out; and one that took fewer says nothing about larger ones.
const ROWS_MIN: usize = 16;

/// The most bytes that a step takes while others wait for its thread.
const CROWDED_BYTES: usize = 8 << 20;

/// The pace of one job.
#[derive(Debug)]
pub(crate) struct Pace {
    limits: Limits,
    rows: usize,
}

impl Pace {
    /// A careful start within the limits.
    pub fn new(limits: Limits) -> Self {
        Self { limits, rows: (limits.rows / FIRST_PART).max(ROWS_MIN.min(limits.rows)) }
    }

    /// What the next step may take when so many threads have nothing to do, its own included.
    pub fn limits(&self, threads: usize) -> Limits {
        let bytes = if threads > 1 { self.limits.bytes } else { self.limits.bytes.min(CROWDED_BYTES) };
        Limits { rows: self.rows, bytes }
    }

    /// Learns from a step. As many rows may come out as may go in. A step may well take less than it is allowed to: each
    /// shard has its part of the limit, and some are quiet.
    pub fn note(&mut self, rows_in: u64, rows_out: u64) {
        let most = self.limits.rows as u64;
        let least = ROWS_MIN.min(self.limits.rows);
        if rows_out > most {
            self.rows = (self.rows.min(rows_in as usize) / 2).max(least);
        } else if rows_in >= least as u64 && rows_out <= most / 2 {
            self.rows = (self.rows * 2).min(self.limits.rows);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { rows: 1 << 20, bytes: 1 << 26 };

    /// Takes so many steps of a query of which each row gives `factor`, and says what the last step put out.
    fn run(pace: &mut Pace, steps: usize, factor: u64) -> u64 {
        let mut out = 0;
        for _ in 0..steps {
            let rows = pace.limits(2).rows as u64;
            out = rows * factor;
            pace.note(rows, out);
        }
        out
    }

    #[test]
    fn steps_grow_to_the_limit_when_little_comes_out() {
        let mut pace = Pace::new(LIMITS);
        assert_eq!(pace.limits(2).rows, LIMITS.rows / FIRST_PART);
        run(&mut pace, 10, 0);
        assert_eq!(pace.limits(2).rows, LIMITS.rows);
    }

    #[test]
    fn steps_shrink_until_what_comes_out_fits() {
        let mut pace = Pace::new(LIMITS);
        let out = run(&mut pace, 20, 3_600);
        assert!(out <= LIMITS.rows as u64, "{out} rows came out of a step");
        assert!(out > LIMITS.rows as u64 / 8, "a step of {out} rows is needlessly small");
    }

    #[test]
    fn a_step_that_takes_few_rows_says_nothing_about_larger_ones() {
        let mut pace = Pace::new(LIMITS);
        pace.note(1, 0);
        assert_eq!(pace.limits(2).rows, LIMITS.rows / FIRST_PART);
    }

    #[test]
    fn one_busy_shard_of_many_is_enough_to_grow() {
        let mut pace = Pace::new(LIMITS);
        for _ in 0..10 {
            pace.note(pace.limits(2).rows as u64 / 32, 0);
        }
        assert_eq!(pace.limits(2).rows, LIMITS.rows);
    }

    #[test]
    fn a_step_is_smaller_while_others_wait() {
        let pace = Pace::new(LIMITS);
        assert_eq!((pace.limits(2).bytes, pace.limits(1).bytes), (LIMITS.bytes, CROWDED_BYTES));
        let pace = Pace::new(Limits { bytes: 9, ..LIMITS });
        assert_eq!(pace.limits(1).bytes, 9);
    }

    #[test]
    fn a_burst_does_not_stop_the_job() {
        let mut pace = Pace::new(LIMITS);
        pace.note(1, u64::MAX);
        assert_eq!(pace.limits(2).rows, ROWS_MIN);
        let mut pace = Pace::new(Limits { rows: 10, ..LIMITS });
        pace.note(10, 11);
        assert!((1..=10).contains(&pace.limits(2).rows));
    }
}
