//! A hierarchical timing wheel over nanoseconds: eight levels of 256 slots, one for each byte of the time.
//!
//! ```text
//!   now    = 00 00 00 00 07 A1 33 10
//!   timer  = 00 00 00 00 07 A4 00 02     the highest byte that differs is the sixth: level 2, slot A4
//! ```
//!
//! A timer lies in the level of the highest byte in which it differs from now, in the slot of that byte. When now comes to
//! a slot's beginning, its timers move down to lower levels; those of level 0 are due. So a timer is pushed once, moves at most
//! seven times and takes 16 bytes, however many there are.

/// Timers that name a key and a trigger by their numbers. Time never moves back.
pub(super) struct Wheel {
    now: u64,
    slots: Vec<Vec<Timer>>,
    len: usize,
}

/// When, the key, the trigger: 16 bytes.
type Timer = (u64, u32, u32);

const LEVELS: usize = 8;
const SLOTS: usize = 256;

impl Wheel {
    pub(super) fn new() -> Self {
        Self { now: 0, slots: vec![Vec::new(); LEVELS * SLOTS], len: 0 }
    }

    /// Sets a timer. One whose time has come is due at the next [`Wheel::advance`].
    pub(super) fn push(&mut self, time: i64, key: u32, trigger: u32) {
        self.place((unsigned(time).max(self.now), key, trigger));
        self.len += 1;
    }

    /// Puts time forward and takes out the keys and triggers whose timers are due, in order of time.
    pub(super) fn advance(&mut self, to: i64, due: &mut Vec<(u32, u32)>) {
        let to = unsigned(to);
        while let Some((level, slot, start)) = self.next().filter(|(_, _, start)| *start <= to) {
            self.now = self.now.max(start);
            let timers = std::mem::take(&mut self.slots[level * SLOTS + slot]);
            if level == 0 {
                self.len -= timers.len();
                due.extend(timers.iter().map(|(_, key, trigger)| (*key, *trigger)));
            } else {
                timers.into_iter().for_each(|timer| self.place(timer));
            }
        }
        self.now = self.now.max(to);
    }

    pub(super) fn size(&self) -> usize {
        self.slots.iter().map(|slot| slot.capacity() * size_of::<Timer>()).sum::<usize>()
            + self.slots.capacity() * size_of::<Vec<Timer>>()
    }

    fn place(&mut self, timer: Timer) {
        let level = (63 - ((timer.0 ^ self.now) | 1).leading_zeros() as usize) / 8;
        self.slots[level * SLOTS + digit(timer.0, level)].push(timer);
    }

    /// The first slot with timers: its level, its number, the time at which it begins.
    fn next(&self) -> Option<(usize, usize, u64)> {
        if self.len == 0 {
            return None;
        }
        (0..LEVELS).find_map(|level| {
            // Lower slots of this level are in the past: their timers are gone.
            let first = digit(self.now, level);
            let slot = (first..SLOTS).find(|slot| !self.slots[level * SLOTS + slot].is_empty())?;
            let above =
                if level + 1 == LEVELS { 0 } else { self.now >> (8 * (level + 1)) << (8 * (level + 1)) };
            Some((level, slot, above | ((slot as u64) << (8 * level))))
        })
    }
}

fn digit(time: u64, level: usize) -> usize {
    (time >> (8 * level)) as usize & (SLOTS - 1)
}

/// Keeps the order of signed times.
fn unsigned(time: i64) -> u64 {
    (time as u64) ^ (1 << 63)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a list that is searched.
        #[test]
        fn timers_are_due_when_their_time_has_come(
            moves in prop::collection::vec((prop::collection::vec(-10_i64..100_000, 0..8), 0_i64..30_000, 0_u32..40), 1..30),
        ) {
            let mut wheel = Wheel::new();
            let mut list: Vec<(i64, u32)> = Vec::new();
            let mut now = i64::MIN;
            for (number, (pushed, step, scale)) in moves.into_iter().enumerate() {
                for after in pushed {
                    let time = now.saturating_add(after.saturating_mul(1 << scale));
                    wheel.push(time, number as u32, 7);
                    list.push((time, number as u32));
                }
                now = if now == i64::MIN { -1_000 } else { now.saturating_add(step << scale) };
                let mut due = Vec::new();
                wheel.advance(now, &mut due);
                let mut expect: Vec<u32> = list.iter().filter(|(time, _)| *time <= now).map(|(_, key)| *key).collect();
                list.retain(|(time, _)| *time > now);
                let mut due: Vec<u32> = due.iter().map(|(key, _)| *key).collect();
                due.sort_unstable();
                expect.sort_unstable();
                prop_assert_eq!(due, expect);
                prop_assert_eq!(wheel.len, list.len());
            }
        }
    }

    #[test]
    fn a_million_timers_take_less_than_a_hundred_bytes_each() {
        let mut wheel = Wheel::new();
        for key in 0..1_000_000_u32 {
            wheel.push(1_700_000_000_000_000_000 + i64::from(key % 1_000) * 60_000_000_000, key, 0);
        }
        assert!(wheel.size() < 100 * 1_000_000, "{}", wheel.size());
        let mut due = Vec::new();
        wheel.advance(1_700_000_000_000_000_000 + 499 * 60_000_000_000, &mut due);
        assert_eq!(due.len(), 500_000);
    }
}
