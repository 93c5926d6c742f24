//! The funnel, and its search in general.

use super::once;
use crate::error::{Result, SequenceError};
use crate::event::Event;

/// What a funnel asks besides, under ClickHouse's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FunnelMode {
    /// A step that was taken before ends the search (`strict_deduplication`).
    pub strict_deduplication: bool,
    /// An event of no step, or of a step whose turn has not come, ends the search (`strict_order`).
    pub strict_order: bool,
    /// Each step is later than the one before, not of the same moment (`strict_increase`).
    pub strict_increase: bool,
    /// An event is at most one step of a chain, though it meets several conditions (`strict_once`).
    pub strict_once: bool,
    /// With `strict_order`: a step whose turn has not come is passed over (`allow_reentry`).
    pub allow_reentry: bool,
}

impl FunnelMode {
    /// Adds a mode by its name.
    pub fn add(&mut self, name: &str) -> Result<()> {
        match name {
            "strict_deduplication" => self.strict_deduplication = true,
            "strict_order" => self.strict_order = true,
            "strict_increase" => self.strict_increase = true,
            "strict_once" => self.strict_once = true,
            "allow_reentry" => self.allow_reentry = true,
            _ => {
                return Err(SequenceError::Mode(format!(
                    "a funnel has no mode '{name}'; there are strict_deduplication, strict_order, strict_increase, \
                     strict_once and allow_reentry"
                )));
            }
        }
        Ok(())
    }
}

/// A funnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Funnel {
    window: i64,
    pub(super) steps: usize,
    pub(super) mode: FunnelMode,
}

impl Funnel {
    /// A funnel of so many steps within a window, in the unit of the events' times.
    pub fn new(window: i64, steps: usize, mode: FunnelMode) -> Result<Self> {
        if mode.allow_reentry && !mode.strict_order {
            return Err(SequenceError::Mode("the mode allow_reentry goes with strict_order only".to_owned()));
        }
        Ok(Self { window, steps, mode })
    }

    /// Whether events that meet no condition count, too.
    pub fn needs_all_events(&self) -> bool {
        self.mode.strict_order
    }

    /// The level that events in their order reach.
    pub fn level(&self, events: &[Event]) -> u32 {
        if events.is_empty() {
            0
        } else if self.mode.strict_once {
            once::level(self, events)
        } else {
            self.level_by_steps(events)
        }
    }

    pub(super) fn is_within(&self, first: i64, time: i64) -> bool {
        time <= first.saturating_add(self.window)
    }

    fn level_by_steps(&self, events: &[Event]) -> u32 {
        let mut taken = Taken { chains: [None; crate::CONDITIONS_MAX], steps: self.steps };
        for moment in events.chunk_by(|a, b| a.time == b.time) {
            let time = moment[0].time;
            if let [event] = moment {
                // The usual case: straight through the conditions that hold.
                if event.conditions == 0 && self.ends_without_step(&taken) {
                    return taken.level();
                }
                let mut conditions = event.conditions;
                while conditions != 0 {
                    let step = conditions.trailing_zeros() as usize;
                    conditions &= conditions - 1;
                    if let Some(level) = self.take(&mut taken, step, time) {
                        return level;
                    }
                }
                continue;
            }
            // Of what is of one moment, events of no step come first, then those of the first, and so on.
            if moment.iter().any(|event| event.conditions == 0) && self.ends_without_step(&taken) {
                return taken.level();
            }
            for step in 0..self.steps {
                for _ in moment.iter().filter(|event| event.has(step as u32)) {
                    if let Some(level) = self.take(&mut taken, step, time) {
                        return level;
                    }
                }
            }
        }
        taken.level()
    }

    /// Whether an event that meets no condition ends the search.
    fn ends_without_step(&self, taken: &Taken) -> bool {
        self.mode.strict_order && taken.chains[0].is_some()
    }

    /// Takes a step, or says the level if the search is over.
    fn take(&self, taken: &mut Taken, step: usize, time: i64) -> Option<u32> {
        let Some(before) = step.checked_sub(1) else {
            taken.chains[0] = Some(Chain { first: time, last: time });
            return (self.steps == 1).then_some(1);
        };
        if self.mode.strict_deduplication && taken.chains[step].is_some() {
            return Some(taken.level());
        }
        let Some(chain) = taken.chains[before] else {
            let ends = self.mode.strict_order && taken.chains[0].is_some() && !self.mode.allow_reentry;
            return ends.then(|| taken.first_open());
        };
        let is_later = !self.mode.strict_increase || chain.last < time;
        if is_later && self.is_within(chain.first, time) {
            taken.chains[step] = Some(Chain { first: chain.first, last: time });
            if step + 1 == self.steps {
                return Some(self.steps as u32);
            }
        }
        None
    }
}

/// The newest chain of each length.
struct Taken {
    chains: [Option<Chain>; crate::CONDITIONS_MAX],
    steps: usize,
}

/// When a chain began, and when its last step was taken.
#[derive(Clone, Copy)]
struct Chain {
    first: i64,
    last: i64,
}

impl Taken {
    /// The longest chain.
    fn level(&self) -> u32 {
        let chains = &self.chains[..self.steps];
        chains.iter().rposition(Option::is_some).map_or(0, |step| step as u32 + 1)
    }

    /// The first step that was not taken.
    fn first_open(&self) -> u32 {
        let chains = &self.chains[..self.steps];
        chains.iter().position(Option::is_none).unwrap_or(self.steps) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(modes: &str, window: i64, text: &str) -> u32 {
        let mut mode = FunnelMode::default();
        modes.split_whitespace().for_each(|name| mode.add(name).unwrap());
        // `2@5` is an event of step 2 at 5, `-@5` one of no step.
        let event = |word: &str| {
            let (steps, time) = word.split_once('@').unwrap();
            let bits = steps.bytes().filter(u8::is_ascii_digit);
            let conditions = bits.fold(0, |bits, digit| bits | 1 << (digit - b'1'));
            Event { time: time.parse().unwrap(), conditions }
        };
        let mut events: Vec<_> = text.split(' ').map(event).collect();
        crate::sort(&mut events);
        Funnel::new(window, 4, mode).unwrap().level(&events)
    }

    #[test]
    fn levels() {
        for (modes, window, text, expect) in [
            ("", 10, "1@0 2@1 3@2 4@3", 4),
            ("", 2, "1@0 2@1 3@2 4@3", 3),
            ("", 10, "2@0 3@1", 0),
            ("", 10, "3@2 1@0 2@1", 3),
            ("", 10, "12@0 3@1", 3),
            ("strict_increase", 10, "12@0 3@1", 1),
            ("strict_once", 10, "12@0 3@1", 1),
            ("strict_once", 10, "12@0 12@0 3@1", 3),
            ("strict_order", 10, "1@0 2@1 4@2 3@3", 2),
            ("strict_order allow_reentry", 10, "1@0 2@1 4@2 3@3", 3),
            ("strict_order", 10, "1@0 2@1 -@2 3@3", 2),
            ("strict_order", 10, "-@0 1@1 2@2", 2),
            ("strict_deduplication", 10, "1@0 2@1 2@2 3@3", 2),
            ("", 10, "1@0 2@1 2@2 3@3", 3),
        ] {
            assert_eq!(level(modes, window, text), expect, "{modes} {window} {text}");
        }
    }

    #[test]
    fn modes_are_checked() {
        assert!(FunnelMode::default().add("strict").is_err());
        let reentry = FunnelMode { allow_reentry: true, ..FunnelMode::default() };
        assert!(Funnel::new(1, 2, reentry).is_err());
    }
}
