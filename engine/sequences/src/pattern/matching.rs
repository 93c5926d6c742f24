//! Holding a pattern against events: backtracking, as ClickHouse does it, but nothing is tried twice.
//!
//! A *choice* is a part that passes over events (`.*` or a condition on time) with the event at which the parts after it are being
//! tried. What follows depends on the next part and the next event alone. So what has failed from some part and event on fails
//! whenever it is reached again; once a match has taken many steps, failures are written down, and the whole costs at most
//! parts × events.

use super::parts::{Comparison, Part, Pattern};
use crate::event::Event;

/// How many times an event is gone back to before failures are written down.
const PATIENCE: usize = 512;

/// A part that passes over events.
struct Choice {
    part: usize,
    /// The event at which the parts after it are tried.
    event: usize,
    /// The event that distances are measured from.
    base: usize,
}

/// Which part and event are known to fail, a bit for each.
struct Failures {
    bits: Vec<u64>,
    events: usize,
}

impl Failures {
    fn new(parts: usize, events: usize) -> Self {
        Self { bits: vec![0; (parts * events).div_ceil(64)], events }
    }

    fn add(&mut self, part: usize, event: usize) {
        let at = part * self.events + event;
        self.bits[at / 64] |= 1 << (at % 64);
    }

    fn has(&self, part: usize, event: usize) -> bool {
        let at = part * self.events + event;
        self.bits[at / 64] >> (at % 64) & 1 == 1
    }
}

impl Pattern {
    /// The end of the first match, behind its last event.
    pub(super) fn first_match(&self, events: &[Event]) -> Option<usize> {
        let mut choices: Vec<Choice> = Vec::with_capacity(self.parts.len());
        let mut failures: Option<Failures> = None;
        let (mut part, mut event, mut base, mut retries) = (0, 0, 0, 0_usize);
        while part < self.parts.len() && event < events.len() {
            let goes_on = match self.parts[part] {
                Part::Condition(condition) if !events[event].has(condition) => false,
                Part::Condition(_) | Part::Any => {
                    (base, part, event) = (event, part + 1, event + 1);
                    true
                }
                Part::AnyNumber | Part::Apart(..) => match self.passes(part, event, base, events) {
                    Some(at) if failures.as_ref().is_some_and(|known| known.has(part + 1, at)) => {
                        // As if it were tried again: on to the next event.
                        if at + 1 < events.len() {
                            event = at + 1;
                            continue;
                        }
                        false
                    }
                    Some(at) => {
                        choices.push(Choice { part, event: at, base });
                        (part, event, base) = (part + 1, at, at);
                        true
                    }
                    None => false,
                },
            };
            if goes_on {
                continue;
            }
            retries += 1;
            if retries == PATIENCE {
                failures = Some(Failures::new(self.parts.len() + 1, events.len()));
            }
            loop {
                let choice = choices.pop()?;
                if let Some(known) = &mut failures {
                    known.add(choice.part + 1, choice.event);
                }
                if choice.event + 1 < events.len() {
                    (part, event, base) = (choice.part, choice.event + 1, choice.base);
                    break;
                }
            }
        }
        self.parts[part..].iter().all(Part::takes_nothing).then_some(event)
    }

    /// The first event from `event` on at which the parts after a choice can be tried.
    fn passes(&self, part: usize, event: usize, base: usize, events: &[Event]) -> Option<usize> {
        let mut at = match self.parts[part] {
            Part::Apart(comparison, distance) => {
                let apart = |event: &Event| event.time.saturating_sub(events[base].time);
                match comparison {
                    Comparison::LessOrEqual => (apart(&events[event]) <= distance).then_some(event)?,
                    Comparison::Less => (apart(&events[event]) < distance).then_some(event)?,
                    Comparison::GreaterOrEqual => {
                        event + events[event..].iter().position(|event| apart(event) >= distance)?
                    }
                    Comparison::Greater => {
                        event + events[event..].iter().position(|event| apart(event) > distance)?
                    }
                    Comparison::Equal => {
                        event + events[event..].iter().position(|event| apart(event) == distance)?
                    }
                }
            }
            _ => event,
        };
        // Straight to the next event that the part after it takes, unless that must be within a distance.
        if let (Part::AnyNumber, Some(Part::Condition(condition))) =
            (self.parts[part], self.parts.get(part + 1))
        {
            at += events[at..].iter().position(|event| event.has(*condition))?;
        }
        Some(at)
    }
}

impl Part {
    /// Whether it may stand for no events at all.
    fn takes_nothing(&self) -> bool {
        match self {
            Self::AnyNumber | Self::Apart(Comparison::Less | Comparison::LessOrEqual, _) => true,
            Self::Apart(Comparison::GreaterOrEqual, distance) => *distance == 0,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Events a second apart, each a string of the conditions that hold.
    fn events(text: &str) -> Vec<Event> {
        let event = |(time, word): (usize, &str)| Event {
            time: time as i64,
            conditions: word
                .bytes()
                .filter(u8::is_ascii_digit)
                .fold(0, |bits, digit| bits | 1 << (digit - b'1')),
        };
        text.split(' ').enumerate().map(event).collect()
    }

    #[test]
    fn patterns() {
        for (pattern, text, expect) in [
            ("(?1)(?2)", "1 2 1 2", 2),
            ("(?1)(?2)", "1 3 2", 0),
            ("(?1).*(?2)", "1 3 2", 1),
            ("(?1).*(?2)", "1 1 2 2 1 2", 2),
            ("(?1)(?2)(?3)", "1 2 1 2 3", 1),
            ("(?1).(?3)", "1 2 3 1 1 3", 2),
            ("(?1)(?1)", "1 1 1 1 1", 2),
            ("(?1)(?t<=2)(?2)", "1 3 2", 1),
            ("(?1)(?t<=1)(?2)", "1 3 2", 0),
            ("(?1)(?t>=3)(?2)", "1 2 2 2 2", 1),
            ("(?1)(?t==2)(?2)", "1 2 2", 1),
            ("(?1)(?t>2)(?2)", "1 2 2", 0),
            ("(?1)(?t<2)(?2)", "1 1 3 2", 0),
            ("(?1)", "12 1 12", 3),
            (".", "1 2 3", 3),
            ("", "1 2 3", 3),
        ] {
            let pattern = Pattern::parse(pattern, 3, 1).unwrap();
            let events = events(text);
            assert_eq!(pattern.count(&events), expect, "{pattern:?} {text}");
            assert_eq!(pattern.matches(&events), expect > 0, "{pattern:?} {text}");
        }
    }

    #[test]
    fn a_pattern_that_nearly_matches_everywhere_ends() {
        let pattern = Pattern::parse("(?1).*(?1).*(?1).*(?1).*(?2)(?2)", 2, 1).unwrap();
        let mut events = events(&["1"; 3000].join(" "));
        events.push(Event { time: 4000, conditions: 2 });
        assert_eq!(pattern.count(&events), 0);
        events.push(Event { time: 4001, conditions: 2 });
        assert_eq!(pattern.count(&events), 1);
    }
}
