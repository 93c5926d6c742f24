//! Funnels in which an event is at most one step of a chain.
//!
//! Only events of one moment can be confused: a chain takes its steps in the order of time. So of the chains of each length that
//! ended before a moment only the one that began last matters, and within the moment a chain that goes through the steps `a` to
//! `b` needs as many different events: a matching of steps with events, which is extended step by step. (ClickHouse writes down
//! all chains, which are exponentially many, and finds the same.)
//!
//! With `strict_deduplication` there are few chains: all of a length, but for those of the first step, end with the same event, since
//! the next one of that step ends the search. So those of a moment are written down, in the order of its events: which of them was
//! the first to take a step matters here.

use super::steps::Funnel;
use crate::event::Event;

pub(super) fn level(funnel: &Funnel, events: &[Event]) -> u32 {
    let mut search = Search { funnel, begun: vec![None; funnel.steps] };
    for moment in events.chunk_by(|a, b| a.time == b.time) {
        if funnel.mode.strict_order
            && search.begun[0].is_some()
            && moment.iter().any(|event| event.conditions == 0)
        {
            break;
        }
        let over = if funnel.mode.strict_deduplication {
            search.take_unrepeated(moment)
        } else {
            search.take(moment)
        };
        if let Some(level) = over {
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
        let before = self.begun.clone();
        let mut chains: Vec<Through> = Vec::new();
        for step in 0..self.funnel.steps {
            if !moment.iter().any(|event| event.has(step as u32)) {
                chains.clear();
                continue;
            }
            if step > 0 && self.begun[step - 1].is_none() {
                if self.ends_too_early() {
                    return Some(self.first_open());
                }
                chains.clear();
                continue;
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
        }
        None
    }

    /// The same where a step that is taken again ends the search.
    fn take_unrepeated(&mut self, moment: &[Event]) -> Option<u32> {
        let (mode, time) = (self.funnel.mode, moment[0].time);
        let before = self.begun.clone();
        // The chains that end in this moment, by their last step.
        let mut chains: Vec<Vec<Unrepeated>> = vec![Vec::new(); self.funnel.steps];
        for step in 0..self.funnel.steps {
            for event in (0..moment.len()).filter(|event| moment[*event].has(step as u32)) {
                let Some(last) = step.checked_sub(1) else {
                    self.begun[0] = Some(time);
                    chains[0].push(Unrepeated { begun: time, events: vec![event] });
                    continue;
                };
                if self.begun[step].is_some() {
                    return Some(self.longest());
                }
                if self.begun[last].is_none() {
                    if self.ends_too_early() {
                        return Some(self.first_open());
                    }
                    continue;
                }
                let older = before[last].map(|begun| Unrepeated { begun, events: Vec::new() });
                let of_moment = chains[last].iter().filter(|_| !mode.strict_increase).cloned();
                let longer: Vec<Unrepeated> = older
                    .into_iter()
                    .chain(of_moment)
                    .filter(|chain| {
                        self.funnel.is_within(chain.begun, time) && !chain.events.contains(&event)
                    })
                    .map(|chain| chain.with(event))
                    .collect();
                self.begun[step] = longer.iter().map(|chain| chain.begun).max();
                chains[step] = longer;
                if self.begun[step].is_some() && step + 1 == self.funnel.steps {
                    return Some(self.funnel.steps as u32);
                }
            }
        }
        None
    }

    /// Whether a step whose turn has not come ends the search.
    fn ends_too_early(&self) -> bool {
        let mode = self.funnel.mode;
        mode.strict_order && self.begun[0].is_some() && !mode.allow_reentry
    }

    fn longest(&self) -> u32 {
        self.begun.iter().rposition(Option::is_some).map_or(0, |step| step as u32 + 1)
    }

    fn first_open(&self) -> u32 {
        self.begun.iter().position(Option::is_none).unwrap_or(self.begun.len()) as u32
    }
}

/// A chain that ends in the moment at hand.
#[derive(Clone)]
struct Unrepeated {
    begun: i64,
    /// Its events of this moment.
    events: Vec<usize>,
}

impl Unrepeated {
    fn with(mut self, event: usize) -> Self {
        self.events.push(event);
        self
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
