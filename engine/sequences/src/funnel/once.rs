//! Funnels in which an event is at most one step of a chain.
//!
//! Only events of one moment can be confused: a chain takes its steps in the order of time. So of the chains of each length that
//! ended before a moment only the one that began last matters, and within the moment a chain that goes through the steps `a` to
//! `b` needs as many different events: a matching of steps with events, which is extended step by step. (ClickHouse writes down
//! all chains, which are exponentially many, and finds the same.)

use super::steps::Funnel;
use crate::event::Event;

pub(super) fn level(funnel: &Funnel, events: &[Event]) -> u32 {
    let mut search = Search { funnel, begun: vec![None; funnel.steps] };
    for moment in events.chunk_by(|a, b| a.time == b.time) {
        if let Some(level) = search.take(moment) {
            return level;
        }
    }
    search.longest()
}

struct Search<'a> {
    funnel: &'a Funnel,
    /// For each length, when the chain that began last did so.
    begun: Vec<Option<i64>>,
}

/// A chain that goes through steps of the moment at hand.
struct Through {
    begun: i64,
    /// For each event of the moment, the step that it is.
    steps: Vec<Option<usize>>,
}

impl Search<'_> {
    /// Takes the events of a moment, or says the level if the search is over.
    fn take(&mut self, moment: &[Event]) -> Option<u32> {
        let (mode, time) = (self.funnel.mode, moment[0].time);
        if mode.strict_order && self.begun[0].is_some() && moment.iter().any(|event| event.conditions == 0) {
            return Some(self.longest());
        }
        let before = self.begun.clone();
        let mut chains: Vec<Through> = Vec::new();
        for step in 0..self.funnel.steps {
            let taken = moment.iter().filter(|event| event.has(step as u32)).count();
            if taken == 0 {
                chains.clear();
                continue;
            }
            if step > 0 {
                if mode.strict_deduplication && self.begun[step].is_some() {
                    return Some(self.longest());
                }
                if self.begun[step - 1].is_none() {
                    if mode.strict_order && self.begun[0].is_some() && !mode.allow_reentry {
                        return Some(self.first_open());
                    }
                    chains.clear();
                    continue;
                }
            }
            chains.retain_mut(|chain| {
                !mode.strict_increase
                    && self.funnel.is_within(chain.begun, time)
                    && chain.extend(step, moment, &mut vec![false; moment.len()])
            });
            let from = if step == 0 { Some(time) } else { before[step - 1] };
            if let Some(begun) = from.filter(|begun| self.funnel.is_within(*begun, time)) {
                let mut chain = Through { begun, steps: vec![None; moment.len()] };
                chain.extend(step, moment, &mut vec![false; moment.len()]);
                chains.push(chain);
            }
            let newest = chains.iter().map(|chain| chain.begun).max();
            self.begun[step] = self.begun[step].max(newest);
            if newest.is_some() && step + 1 == self.funnel.steps {
                return Some(self.funnel.steps as u32);
            }
            if step > 0 && taken > 1 && mode.strict_deduplication && self.begun[step].is_some() {
                // The second of them finds the step taken.
                return Some(self.longest());
            }
        }
        None
    }

    fn longest(&self) -> u32 {
        self.begun.iter().rposition(Option::is_some).map_or(0, |step| step as u32 + 1)
    }

    fn first_open(&self) -> u32 {
        self.begun.iter().position(Option::is_none).unwrap_or(self.begun.len()) as u32
    }
}

impl Through {
    /// Gives a step an event of its own, moving other steps to other events if need be.
    fn extend(&mut self, step: usize, moment: &[Event], seen: &mut [bool]) -> bool {
        for event in 0..moment.len() {
            if seen[event] || !moment[event].has(step as u32) {
                continue;
            }
            seen[event] = true;
            let is_free = match self.steps[event] {
                None => true,
                Some(other) => self.extend(other, moment, seen),
            };
            if is_free {
                self.steps[event] = Some(step);
                return true;
            }
        }
        false
    }
}
