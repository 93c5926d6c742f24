//! What must stay in order, and what may go together.
//!
//! Items of one key go one at a time, in their order: the next only after the one before has arrived. So whatever part of a
//! request the other side refuses, nothing overtakes it. Items of different keys fill requests together.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

/// Items that wait, a lane for each key.
pub(crate) struct Lanes<T> {
    lanes: HashMap<Bytes, VecDeque<T>>,
    /// Keys whose first item may go, longest waiting first.
    ready: VecDeque<Bytes>,
    len: usize,
}

impl<T> Default for Lanes<T> {
    fn default() -> Self {
        Self { lanes: HashMap::new(), ready: VecDeque::new(), len: 0 }
    }
}

impl<T> Lanes<T> {
    /// Adds an item behind the others of its key.
    pub(crate) fn push(&mut self, key: Bytes, item: T) {
        // A lane that is there and empty has its item under way.
        let ready = &mut self.ready;
        let lane = self.lanes.entry(key.clone()).or_insert_with(|| {
            ready.push_back(key);
            VecDeque::new()
        });
        lane.push_back(item);
        self.len += 1;
    }

    /// How many items wait.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The first items of different keys, no more than `most`, and no more than fit: `size` measures an item, and together they have
    /// at most `size_max`, except that one item always goes. Each must come back through [`Lanes::arrived`] or [`Lanes::refused`].
    pub(crate) fn take(
        &mut self,
        most: usize,
        size_max: usize,
        size: impl Fn(&T) -> usize,
    ) -> Vec<(Bytes, T)> {
        let (mut taken, mut total) = (Vec::new(), 0);
        while taken.len() < most
            && let Some(key) = self.ready.front()
        {
            let Some(item) = self.lanes.get(key).and_then(VecDeque::front) else { break };
            total += size(item);
            if total > size_max && !taken.is_empty() {
                break;
            }
            let Some(key) = self.ready.pop_front() else { break };
            if let Some(item) = self.lanes.get_mut(&key).and_then(VecDeque::pop_front) {
                self.len -= 1;
                taken.push((key, item));
            }
        }
        taken
    }

    /// An item has arrived: the next of its key may go.
    pub(crate) fn arrived(&mut self, key: Bytes) {
        match self.lanes.get(&key) {
            Some(lane) if !lane.is_empty() => self.ready.push_back(key),
            _ => {
                self.lanes.remove(&key);
            }
        }
    }

    /// An item has not arrived: it goes again, before all others of its key.
    pub(crate) fn refused(&mut self, key: Bytes, item: T) {
        self.lanes.entry(key.clone()).or_default().push_front(item);
        self.ready.push_back(key);
        self.len += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(taken: &[(Bytes, u32)]) -> Vec<u32> {
        taken.iter().map(|(_, item)| *item).collect()
    }

    #[test]
    fn a_key_goes_one_at_a_time_and_what_is_refused_goes_first() {
        let mut lanes = Lanes::default();
        for (key, item) in [("a", 1), ("a", 2), ("b", 3), ("c", 4), ("a", 5)] {
            lanes.push(Bytes::from_static(key.as_bytes()), item);
        }
        let mut first = lanes.take(10, 100, |_| 1);
        assert_eq!(keys(&first), [1, 3, 4]);
        lanes.push(Bytes::from_static(b"b"), 6);
        assert!(lanes.take(10, 100, |_| 1).is_empty(), "the rest waits for those");
        let (key, item) = first.remove(0);
        lanes.refused(key, item);
        first.into_iter().for_each(|(key, _)| lanes.arrived(key));
        assert_eq!(lanes.len(), 4);
        for expected in [&[1, 6][..], &[2], &[5]] {
            let taken = lanes.take(10, 100, |_| 1);
            assert_eq!(keys(&taken), expected);
            taken.into_iter().for_each(|(key, _)| lanes.arrived(key));
        }
        assert!(lanes.len() == 0 && lanes.lanes.is_empty());
    }

    #[test]
    fn a_request_is_bounded_by_number_and_size_but_one_always_goes() {
        let mut lanes = Lanes::default();
        for item in [5_u32, 3, 3, 9] {
            lanes.push(Bytes::from(vec![item as u8, lanes.len() as u8]), item);
        }
        assert_eq!(keys(&lanes.take(10, 8, |item| *item as usize)), [5, 3]);
        assert_eq!(keys(&lanes.take(1, 8, |item| *item as usize)), [3]);
        assert_eq!(keys(&lanes.take(10, 8, |item| *item as usize)), [9]);
    }
}
