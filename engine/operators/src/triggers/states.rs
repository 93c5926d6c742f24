//! What triggers are doing, key by key. Most are armed at most keys, and take no room.

use hashbrown::HashMap;

use super::machine::{Phase, State};

/// The states of triggers that are not armed, or have a timer.
#[derive(Default)]
pub(super) struct States {
    of_key: HashMap<u32, Vec<(u32, State)>>,
    len: usize,
}

impl States {
    /// The triggers that are not armed at a key.
    pub(super) fn at(&self, key: u32) -> &[(u32, State)] {
        self.of_key.get(&key).map_or(&[], Vec::as_slice)
    }

    pub(super) fn get(&self, key: u32, trigger: u32) -> Option<State> {
        let own = self.at(key);
        own.binary_search_by_key(&trigger, |(trigger, _)| *trigger).ok().map(|place| own[place].1)
    }

    /// Puts a state, or forgets it if the trigger is armed and no timer will ask for it.
    pub(super) fn put(&mut self, key: u32, trigger: u32, state: State) {
        let armed = state.phase == Phase::Armed && !state.timed;
        if armed && !self.of_key.contains_key(&key) {
            return;
        }
        let own = self.of_key.entry(key).or_default();
        match own.binary_search_by_key(&trigger, |(trigger, _)| *trigger) {
            Ok(place) if armed => {
                own.remove(place);
                self.len -= 1;
            }
            Ok(place) => own[place].1 = state,
            Err(_) if armed => {}
            Err(place) => {
                own.insert(place, (trigger, state));
                self.len += 1;
            }
        }
        if own.is_empty() {
            self.of_key.remove(&key);
        }
    }

    /// Forgets all states at a key.
    pub(super) fn clear(&mut self, key: u32) {
        self.len -= self.of_key.remove(&key).map_or(0, |own| own.len());
    }

    /// Forgets the states of triggers that are gone.
    pub(super) fn retain(&mut self, stays: impl Fn(u32) -> bool) {
        self.of_key.retain(|_, own| {
            own.retain(|(trigger, _)| stays(*trigger));
            !own.is_empty()
        });
        self.len = self.of_key.values().map(Vec::len).sum();
    }

    pub(super) fn holding(&self) -> usize {
        let all = self.of_key.values().flatten();
        all.filter(|(_, state)| state.phase == Phase::Holding).count()
    }

    pub(super) fn size(&self) -> usize {
        let entry = size_of::<u32>() + size_of::<Vec<(u32, State)>>();
        self.of_key.capacity() * entry + self.len * size_of::<(u32, State)>()
    }
}

/// The greatest event time of each key's rows, also of those alone that came after a trigger began: steps down to later epochs.
///
/// ```text
///   rows (epoch, time)   (1, 50)  (2, 40)  (3, 20)  (3, 30)
///   kept                 (1, 50)  (2, 40)  (3, 30)             who began at 2 sees 40
/// ```
#[derive(Default)]
pub(super) struct Latest {
    /// By key: the greatest of all.
    first: Vec<(u32, i64)>,
    /// The further steps of keys whose newest rows are not their latest.
    further: HashMap<u32, Vec<(u32, i64)>>,
}

impl Latest {
    const NONE: (u32, i64) = (0, i64::MIN);

    pub(super) fn resize(&mut self, keys: usize) {
        self.first.resize(keys, Self::NONE);
    }

    /// The greatest time of the key's rows of an epoch from this one on.
    pub(super) fn since(&self, key: u32, epoch: u32) -> i64 {
        let Some((own, time)) = self.first.get(key as usize).copied() else { return i64::MIN };
        if own >= epoch {
            return time;
        }
        let further = self.further.get(&key).and_then(|steps| steps.iter().find(|(own, _)| *own >= epoch));
        further.map_or(i64::MIN, |(_, time)| *time)
    }

    /// A row has come. Epochs never go back.
    pub(super) fn push(&mut self, key: u32, epoch: u32, time: i64) {
        let first = &mut self.first[key as usize];
        if time >= first.1 {
            *first = (epoch, time);
            self.further.remove(&key);
            return;
        }
        if first.0 >= epoch {
            return;
        }
        let steps = self.further.entry(key).or_default();
        steps.truncate(steps.partition_point(|(_, own)| *own > time));
        if steps.last().is_none_or(|(own, _)| *own < epoch) {
            steps.push((epoch, time));
        }
    }

    pub(super) fn clear(&mut self, key: u32) {
        if let Some(first) = self.first.get_mut(key as usize) {
            *first = Self::NONE;
        }
        self.further.remove(&key);
    }

    /// All steps of a key.
    pub(super) fn steps(&self, key: u32) -> impl Iterator<Item = (u32, i64)> + '_ {
        let first = self.first.get(key as usize).copied().filter(|first| *first != Self::NONE);
        first.into_iter().chain(self.further.get(&key).into_iter().flatten().copied())
    }

    pub(super) fn size(&self) -> usize {
        let steps = self.further.values().map(|steps| steps.capacity() * size_of::<(u32, i64)>());
        self.first.capacity() * size_of::<(u32, i64)>() + steps.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against all rows, looked at again.
        #[test]
        fn the_latest_since_an_epoch(rows in prop::collection::vec((0_u32..2, 0_i64..50), 1..40)) {
            let mut latest = Latest::default();
            latest.resize(1);
            let (mut all, mut epoch) = (Vec::new(), 0);
            for (more, time) in rows {
                epoch += more;
                latest.push(0, epoch, time);
                all.push((epoch, time));
                for since in 0..=epoch {
                    let expect = all.iter().filter(|(own, _)| *own >= since).map(|(_, time)| *time).max();
                    prop_assert_eq!(latest.since(0, since), expect.unwrap());
                }
            }
            let mut again = Latest::default();
            again.resize(1);
            latest.steps(0).for_each(|(epoch, time)| again.push(0, epoch, time));
            prop_assert_eq!(again.steps(0).collect::<Vec<_>>(), latest.steps(0).collect::<Vec<_>>());
        }
    }
}
