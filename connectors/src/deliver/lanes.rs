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

/// The firings that are neither delivered nor parked. Times are those of the monotonic clock.
#[derive(Debug)]
pub(super) struct Lanes {
    grouping: Option<Grouping>,
    lanes: BTreeMap<String, Lane>,
    /// The sequence numbers of all that wait or are on their way.
    open: BTreeSet<u64>,
    /// The sequence number after the last that came in.
    next: u64,
}

#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<Firing>,
    /// When the oldest that waits came in.
    since: Duration,
    busy: bool,
}

impl Lanes {
    pub(super) fn new(grouping: Option<Grouping>, next: u64) -> Self {
        Self { grouping, lanes: BTreeMap::new(), open: BTreeSet::new(), next }
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
        self.open.insert(firing.sequence);
        self.next = self.next.max(firing.sequence + 1);
        let lane = self.lanes.entry(key).or_default();
        if lane.waiting.is_empty() {
            lane.since = now;
        }
        lane.waiting.push_back(firing);
    }

    /// Whether [`Lanes::take`] has something.
    pub(super) fn is_ready(&self, now: Duration) -> bool {
        self.lanes.values().any(|lane| lane.is_ready(self.grouping, now))
    }

    /// The next delivery: its key and its firings. They are on their way until [`Lanes::done`].
    pub(super) fn take(&mut self, now: Duration) -> Option<(String, Vec<Firing>)> {
        let grouping = self.grouping;
        let (key, lane) = self
            .lanes
            .iter_mut()
            .filter(|(_, lane)| lane.is_ready(grouping, now))
            .min_by_key(|(_, lane)| lane.waiting.front().map(|firing| firing.sequence))?;
        lane.busy = true;
        let most = grouping.map_or(1, |grouping| grouping.max).min(lane.waiting.len());
        let firings = lane.waiting.drain(..most).collect();
        lane.since = now;
        Some((key.clone(), firings))
    }

    /// A delivery is at its end, one way or the other.
    pub(super) fn done(&mut self, key: &str, sequences: &[u64]) {
        for sequence in sequences {
            self.open.remove(sequence);
        }
        if let Some(lane) = self.lanes.get_mut(key) {
            lane.busy = false;
            if lane.waiting.is_empty() {
                self.lanes.remove(key);
            }
        }
    }

    /// How long until a group that is open is closed by time.
    pub(super) fn wakes_in(&self, now: Duration) -> Option<Duration> {
        let grouping = self.grouping?;
        let open = self.lanes.values().filter(|lane| !lane.busy && !lane.waiting.is_empty());
        open.map(|lane| (lane.since + grouping.wait).saturating_sub(now)).min()
    }
}

impl Lane {
    fn is_ready(&self, grouping: Option<Grouping>, now: Duration) -> bool {
        let is_closed = grouping
            .is_none_or(|grouping| self.waiting.len() >= grouping.max || self.since + grouping.wait <= now);
        !self.busy && !self.waiting.is_empty() && is_closed
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
        Some((key, firings.iter().map(|firing| firing.sequence).collect()))
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
}
