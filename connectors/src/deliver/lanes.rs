//! Which firing is next: a lane for each key, in order, one delivery at a time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::firing::Firing;

/// How firings are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grouping {
    /// How long a delivery is kept open for more firings.
    pub(super) wait: Duration,
    /// How many firings it has at most.
    pub(super) max: usize,
}

/// How many firings of a key are kept in memory, and of all keys. Of the others, the log is asked again when their turn comes: a receiver
/// that does not want those of one key must not keep the others' from being read.
const HELD_OF_KEY_MAX: usize = 256;
const HELD_MAX: usize = 4_096;

/// A firing that waits.
#[derive(Debug, PartialEq)]
pub(super) enum Waiting {
    Here(Firing),
    /// Its sequence number in the trigger's stream.
    InLog(u64),
}

impl Waiting {
    pub(super) const fn sequence(&self) -> u64 {
        match self {
            Self::Here(firing) => firing.sequence,
            Self::InLog(sequence) => *sequence,
        }
    }
}

/// The firings that are neither delivered nor parked. Times are those of the monotonic clock.
#[derive(Debug)]
pub(super) struct Lanes {
    grouping: Option<Grouping>,
    lanes: BTreeMap<String, Lane>,
    /// The keys of which firings wait and none is on its way, by the first that waits.
    idle: BTreeMap<u64, String>,
    /// The sequence numbers of all that wait or are on their way.
    open: BTreeSet<u64>,
    /// How many of those that wait are in memory.
    held: usize,
    /// The sequence number after the last that came in.
    next: u64,
}

#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<Waiting>,
    /// When the oldest that waits came in.
    since: Duration,
    busy: bool,
}

impl Lanes {
    pub(super) fn new(grouping: Option<Grouping>, next: u64) -> Self {
        let (lanes, idle, open) = Default::default();
        Self { grouping, lanes, idle, open, held: 0, next }
    }

    /// How many firings wait or are on their way.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// The first firing that is neither delivered nor parked: where to go on after a crash.
    pub(super) fn cursor(&self) -> u64 {
        self.open.first().copied().unwrap_or(self.next)
    }

    pub(super) fn push(&mut self, key: String, firing: Firing, now: Duration) {
        let sequence = firing.sequence;
        self.open.insert(sequence);
        self.next = self.next.max(sequence + 1);
        let lane = self.lanes.entry(key.clone()).or_default();
        if lane.waiting.is_empty() {
            lane.since = now;
            if !lane.busy {
                self.idle.insert(sequence, key);
            }
        }
        let waiting = if lane.waiting.len() < HELD_OF_KEY_MAX && self.held < HELD_MAX {
            self.held += 1;
            Waiting::Here(firing)
        } else {
            Waiting::InLog(sequence)
        };
        lane.waiting.push_back(waiting);
    }

    /// A firing came in that is at its end already.
    pub(super) fn skip(&mut self, sequence: u64) {
        self.next = self.next.max(sequence + 1);
    }

    /// Whether [`Lanes::take`] has something.
    pub(super) fn is_ready(&self, now: Duration) -> bool {
        self.first_closed(now).is_some()
    }

    fn first_closed(&self, now: Duration) -> Option<u64> {
        let is_closed =
            |key: &String| self.lanes.get(key).is_some_and(|lane| lane.is_closed(self.grouping, now));
        self.idle.iter().find(|(_, key)| is_closed(key)).map(|(sequence, _)| *sequence)
    }

    /// The next delivery: its key and its firings. They are on their way until [`Lanes::done`].
    pub(super) fn take(&mut self, now: Duration) -> Option<(String, Vec<Waiting>)> {
        let first = self.first_closed(now)?;
        let key = self.idle.remove(&first)?;
        let lane = self.lanes.get_mut(&key)?;
        lane.busy = true;
        lane.since = now;
        let most = self.grouping.map_or(1, |grouping| grouping.max).min(lane.waiting.len());
        let firings: Vec<Waiting> = lane.waiting.drain(..most).collect();
        self.held -= firings.iter().filter(|one| matches!(one, Waiting::Here(_))).count();
        Some((key, firings))
    }

    /// A delivery is at its end, one way or the other.
    pub(super) fn done(&mut self, key: &str, sequences: &[u64]) {
        for sequence in sequences {
            self.open.remove(sequence);
        }
        let Some(lane) = self.lanes.get_mut(key) else { return };
        lane.busy = false;
        match lane.waiting.front() {
            Some(first) => drop(self.idle.insert(first.sequence(), key.to_owned())),
            None => drop(self.lanes.remove(key)),
        }
    }

    /// How long until a group that is open is closed by time.
    pub(super) fn wakes_in(&self, now: Duration) -> Option<Duration> {
        let grouping = self.grouping?;
        let open = self.idle.values().filter_map(|key| self.lanes.get(key));
        open.map(|lane| (lane.since + grouping.wait).saturating_sub(now)).min()
    }
}

impl Lane {
    fn is_closed(&self, grouping: Option<Grouping>, now: Duration) -> bool {
        grouping
            .is_none_or(|grouping| self.waiting.len() >= grouping.max || self.since + grouping.wait <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn firing(sequence: u64) -> Firing {
        Firing { sequence, columns: serde_json::Map::new() }
    }

    const NOW: Duration = Duration::ZERO;

    fn taken(lanes: &mut Lanes, now: Duration) -> Option<(String, Vec<u64>)> {
        let (key, firings) = lanes.take(now)?;
        Some((key, firings.iter().map(Waiting::sequence).collect()))
    }

    #[test]
    fn a_key_waits_for_itself_and_for_nobody_else() {
        let mut lanes = Lanes::new(None, 5);
        assert_eq!(lanes.cursor(), 5);
        for (key, sequence) in [("a", 5), ("a", 6), ("b", 7)] {
            lanes.push(key.into(), firing(sequence), NOW);
        }
        assert_eq!(taken(&mut lanes, NOW), Some(("a".into(), vec![5])));
        assert_eq!(taken(&mut lanes, NOW), Some(("b".into(), vec![7])));
        assert_eq!(taken(&mut lanes, NOW), None);
        lanes.done("b", &[7]);
        assert_eq!((lanes.cursor(), lanes.len()), (5, 2), "7 is done, but 5 is not");
        lanes.done("a", &[5]);
        assert_eq!(taken(&mut lanes, NOW), Some(("a".into(), vec![6])));
        lanes.done("a", &[6]);
        assert_eq!((lanes.cursor(), lanes.len(), lanes.lanes.len()), (8, 0, 0));
    }

    #[test]
    fn a_group_is_closed_by_time_or_by_its_size() {
        let seconds = Duration::from_secs;
        let mut lanes = Lanes::new(Some(Grouping { wait: seconds(30), max: 3 }), 0);
        lanes.push(String::new(), firing(0), seconds(1));
        lanes.push(String::new(), firing(1), seconds(20));
        assert_eq!(taken(&mut lanes, seconds(30)), None);
        assert_eq!(lanes.wakes_in(seconds(30)), Some(seconds(1)));
        assert_eq!(taken(&mut lanes, seconds(31)), Some((String::new(), vec![0, 1])));
        for sequence in 2..6 {
            lanes.push(String::new(), firing(sequence), seconds(40));
        }
        assert_eq!(taken(&mut lanes, seconds(40)), None, "the group before is on its way");
        lanes.done("", &[0, 1]);
        assert_eq!(taken(&mut lanes, seconds(40)), Some((String::new(), vec![2, 3, 4])));
    }
    #[test]
    fn a_key_that_is_stuck_takes_no_memory_from_the_others() {
        let mut lanes = Lanes::new(None, 0);
        let count = 10 * HELD_MAX as u64;
        for sequence in 0..count {
            lanes.push("stuck".into(), firing(sequence), NOW);
        }
        assert_eq!(taken(&mut lanes, NOW), Some(("stuck".into(), vec![0])));
        lanes.push("b".into(), firing(count), NOW);
        assert_eq!(lanes.take(NOW), Some(("b".into(), vec![Waiting::Here(firing(count))])));
        assert!(lanes.held < HELD_OF_KEY_MAX);
        // They come in order, from memory and from the log.
        for sequence in 1..count {
            lanes.done("stuck", &[sequence - 1]);
            assert_eq!(taken(&mut lanes, NOW), Some(("stuck".into(), vec![sequence])));
        }
        assert_eq!(lanes.held, 0);
    }
}
