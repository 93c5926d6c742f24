//! What a pattern is made of.

use super::parse;
use crate::error::Result;
use crate::event::Event;

/// A pattern of events.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern {
    pub(super) parts: Vec<Part>,
    /// The conditions that it names: without all of them there is no match.
    pub(super) needs: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Part {
    /// The next event, for which this condition holds, from 0.
    Condition(u32),
    Any,
    AnyNumber,
    Apart(Comparison, i64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
}

impl Pattern {
    /// Reads a pattern over so many conditions, whose distances are times `unit`: how many units of an event's time one second has.
    pub fn parse(text: &str, conditions: usize, unit: i64) -> Result<Self> {
        parse::parse(text, conditions, unit)
    }

    /// Whether it occurs in events that are in order.
    pub fn matches(&self, events: &[Event]) -> bool {
        self.may_match(events) && self.first_match(events).is_some()
    }

    /// How often it occurs in events that are in order; occurrences do not overlap.
    pub fn count(&self, events: &[Event]) -> u64 {
        if !self.may_match(events) {
            return 0;
        }
        let (mut rest, mut count) = (events, 0);
        while !rest.is_empty() {
            let Some(end) = self.first_match(rest) else { break };
            // A match of no events takes one, or it would be found for ever.
            rest = &rest[end.max(1)..];
            count += 1;
        }
        count
    }

    fn may_match(&self, events: &[Event]) -> bool {
        let met = events.iter().fold(0, |met, event| met | event.conditions);
        met & self.needs == self.needs
    }
}
