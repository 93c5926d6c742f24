//! The expression of a composite alarm.

use std::collections::BTreeSet;
use std::fmt;

use super::parse::parse;
use crate::alarm::AlarmState;
use crate::error::Result;

/// An expression over the states of alarms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// `ALARM(name)`, `OK(name)`, `INSUFFICIENT_DATA(name)`.
    Is(AlarmState, String),
    /// `TRUE`, `FALSE`.
    Constant(bool),
    /// `NOT a`.
    Not(Box<Expression>),
    /// `a AND b`.
    And(Box<Expression>, Box<Expression>),
    /// `a OR b`.
    Or(Box<Expression>, Box<Expression>),
}

/// What an expression came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// ALARM if it is true, otherwise OK.
    pub state: AlarmState,
    /// The alarms that it names and their states, such as `high is ALARM, calm is OK`.
    pub because: String,
}

impl Expression {
    /// Reads `ALARM(a) AND NOT (OK(b) OR INSUFFICIENT_DATA(c))`. NOT binds before AND, and AND before OR.
    pub fn parse(text: &str) -> Result<Self> {
        parse(text)
    }

    /// The alarms that it names, in order.
    pub fn names(&self) -> BTreeSet<&str> {
        let mut names = BTreeSet::new();
        self.collect(&mut names);
        names
    }

    fn collect<'a>(&'a self, names: &mut BTreeSet<&'a str>) {
        match self {
            Self::Is(_, name) => {
                names.insert(name);
            }
            Self::Constant(_) => {}
            Self::Not(inner) => inner.collect(names),
            Self::And(a, b) | Self::Or(a, b) => {
                a.collect(names);
                b.collect(names);
            }
        }
    }

    /// Whether it holds, given the state of each alarm that it names.
    pub fn holds(&self, state: &impl Fn(&str) -> AlarmState) -> bool {
        match self {
            Self::Is(wanted, name) => state(name) == *wanted,
            Self::Constant(constant) => *constant,
            Self::Not(inner) => !inner.holds(state),
            Self::And(a, b) => a.holds(state) && b.holds(state),
            Self::Or(a, b) => a.holds(state) || b.holds(state),
        }
    }

    /// The composite alarm's state, and why.
    pub fn evaluate(&self, state: &impl Fn(&str) -> AlarmState) -> Outcome {
        let alarm = self.holds(state);
        let states: Vec<_> = self.names().iter().map(|name| format!("{name} is {}", state(name))).collect();
        Outcome { state: if alarm { AlarmState::Alarm } else { AlarmState::Ok }, because: states.join(", ") }
    }

    /// The expression with another one in the place of a composite alarm that it names: `ALARM(c)` is what `c` says, `OK(c)` its
    /// contrary; a composite alarm always has enough data.
    #[must_use]
    pub fn inline(&self, name: &str, composite: &Self) -> Self {
        let inline = |inner: &Self| Box::new(inner.inline(name, composite));
        match self {
            Self::Is(state, own) if own == name => match state {
                AlarmState::Alarm => composite.clone(),
                AlarmState::Ok => Self::Not(Box::new(composite.clone())),
                AlarmState::InsufficientData => Self::Constant(false),
            },
            Self::Is(..) | Self::Constant(_) => self.clone(),
            Self::Not(inner) => Self::Not(inline(inner)),
            Self::And(a, b) => Self::And(inline(a), inline(b)),
            Self::Or(a, b) => Self::Or(inline(a), inline(b)),
        }
    }
}

/// As it is read, with a pair of parentheses around each pair.
impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Is(state, name) => write!(f, "{state}(\"{name}\")"),
            Self::Constant(true) => f.write_str("TRUE"),
            Self::Constant(false) => f.write_str("FALSE"),
            Self::Not(inner) => write!(f, "NOT {inner}"),
            Self::And(a, b) => write!(f, "({a} AND {b})"),
            Self::Or(a, b) => write!(f, "({a} OR {b})"),
        }
    }
}
