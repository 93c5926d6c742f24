//! Finds the row over which the other side hangs up.
//!
//! Some receivers do not say which row they do not take: they end the connection, whatever else is on its way. Then rows go one at a time,
//! and the one that was alone when it has happened three times is to blame. It is parked, and the next have their turn. A receiver that
//! hangs up at each row has another reason: after some of them the sink stops.

use headwater_core::{Sequence, ShardId};

/// How many rows go one at a time after the other side has hung up.
const ROWS: u32 = 1_024;

/// How often it must hang up over the same row.
const TIMES: u32 = 3;

/// How many rows are parked with none between them that was taken.
const PARKED_MAX: u32 = 8;

/// What is to be done about a row over which the other side has hung up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// It may have been something else.
    Again,
    /// It is to blame.
    Park,
    /// No row is taken.
    Stop,
}

/// Rows go one at a time.
#[derive(Debug)]
pub(crate) struct Narrow {
    /// How many more.
    left: u32,
    /// The row that was on its way last time, and how often it was.
    suspect: Option<((ShardId, Sequence), u32)>,
    /// How many were parked since one was taken.
    parked: u32,
}

impl Default for Narrow {
    fn default() -> Self {
        Self { left: ROWS, suspect: None, parked: 0 }
    }
}

impl Narrow {
    /// A row was taken. Whether enough were, so that many may go at once again.
    pub fn taken(&mut self) -> bool {
        (self.suspect, self.parked) = (None, 0);
        self.left = self.left.saturating_sub(1);
        self.left == 0
    }

    /// The other side has hung up while this row alone was on its way.
    pub fn hung_up(&mut self, row: (ShardId, Sequence)) -> Verdict {
        let before = self.suspect.filter(|(known, _)| *known == row).map_or(0, |(_, times)| times);
        self.suspect = Some((row, before + 1));
        if before + 1 < TIMES {
            return Verdict::Again;
        }
        if self.parked == PARKED_MAX {
            return Verdict::Stop;
        }
        self.parked += 1;
        Verdict::Park
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: u64) -> (ShardId, Sequence) {
        (ShardId(0), Sequence(number))
    }

    #[test]
    fn the_row_that_is_alone_three_times_is_to_blame() {
        let mut narrow = Narrow::default();
        assert_eq!(narrow.hung_up(row(7)), Verdict::Again);
        assert_eq!(narrow.hung_up(row(7)), Verdict::Again);
        assert_eq!(narrow.hung_up(row(8)), Verdict::Again, "then it was not that one");
        assert!(!narrow.taken());
        let verdicts = [Verdict::Again, Verdict::Again, Verdict::Park];
        assert_eq!([9, 9, 9].map(|number| narrow.hung_up(row(number))), verdicts);
        let left = (0..ROWS).take_while(|_| !narrow.taken()).count();
        assert!(left < ROWS as usize, "in the end they go together again");
    }

    #[test]
    fn where_no_row_is_taken_the_sink_stops() {
        let mut narrow = Narrow::default();
        let mut verdict = |number| [0; 3].map(|_| narrow.hung_up(row(number)))[2];
        let parked = (0..).take_while(|number| verdict(*number) == Verdict::Park).count();
        assert_eq!(parked, PARKED_MAX as usize);
        assert_eq!(narrow.suspect.map(|(row, _)| row), Some(row(8)));
    }
}
