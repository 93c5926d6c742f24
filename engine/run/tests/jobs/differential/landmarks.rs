//! What the usual seeds must meet between them, so that the cases cannot fall asleep unnoticed.
//!
//! Of a part of a query, such as a condition, a case is awake if the query without it gives other rows over the same input: a mutant.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::by_time::{ByTime, What};
use super::case::Case;
use super::query::{Query, Source};
use super::shrink::less_of_node;
use super::text::Of;

pub const KILL: &str = "a kill";
pub const LOSS_OF_POWER: &str = "a loss of power";
pub const RESTART: &str = "a restart";
pub const OTHER_WORKERS: &str = "a start with another number of workers";
pub const STATE_ON_DISK: &str = "state on the disk";
pub const ROWS: &str = "a row";
pub const RETRACTION: &str = "a row that is taken back";
pub const LATE_ROW: &str = "a late row";

/// A batch that gives something else if what it lacks matters.
pub struct Mutant {
    pub without: &'static str,
    pub sql: String,
}

/// The mutants of a case, but of these parts.
pub fn mutants(case: &Case, known: &BTreeSet<&'static str>) -> Vec<Mutant> {
    let is_new = |without: &&'static str| !known.contains(without);
    let others = everywhere(&case.query, &less_of_node).into_iter().chain(everywhere(&case.query, &changed));
    let others = others.filter(|(without, query)| is_new(without) && *query != case.query);
    let mut all: Vec<Mutant> = others
        .map(|(without, query)| Mutant { without, sql: query.sql(&case.relations, case.clocked()) })
        .collect();
    let mut of_late = |without, of| {
        if is_new(&without) {
            all.push(Mutant { without, sql: case.query.sql(&case.relations, of) });
        }
    };
    if case.windowed {
        of_late("leaving late rows out", Of::Unclocked);
    }
    if case.lateness.is_some() {
        of_late("ALLOW LATENESS", Of::Clocked { lateness: 0 });
    }
    all
}

/// A query with one of its nodes changed, for each node and each change.
fn everywhere(
    query: &Query,
    change: &dyn Fn(&Query) -> Vec<(&'static str, Query)>,
) -> Vec<(&'static str, Query)> {
    let mut all = change(query);
    for (nth, child) in query.children().into_iter().enumerate() {
        all.extend(everywhere(child, change).into_iter().map(|(without, child)| {
            let mut other = query.clone();
            *other.children_mut()[nth] = child;
            (without, other)
        }));
    }
    all
}

/// A node that goes by time a little differently.
fn changed(query: &Query) -> Vec<(&'static str, Query)> {
    let mut other = query.clone();
    let label = match &mut other {
        Query::Windows { window, .. } if window.offset != 0 => {
            window.offset = 0;
            "the offset of windows"
        }
        Query::Windows { source: Source::Query(query), .. } | Query::ByTime(query) => changed_by_time(query),
        _ => return Vec::new(),
    };
    vec![(label, other)]
}

fn changed_by_time(query: &mut ByTime) -> &'static str {
    match &mut query.what {
        What::Over { order, .. } => {
            order.iter_mut().for_each(|order| order.descending = !order.descending);
            "the order of rows of one time"
        }
        What::Interval { most, strict: false, .. } => {
            *most += 1;
            "a bound of an interval"
        }
        What::Interval { strict, .. } => {
            *strict = false;
            "a bound of an interval that is outside"
        }
        What::Versions { form, .. } => {
            let label = match form.sign() {
                "<=" => "a version of that very time",
                "<" => "a version from before",
                ">=" => "a row ahead of that very time",
                _ => "a row ahead",
            };
            *form = form.turned();
            label
        }
    }
}

/// What has been met so far.
#[derive(Default)]
pub struct Landmarks(RefCell<BTreeSet<&'static str>>);

impl Landmarks {
    pub fn known(&self) -> BTreeSet<&'static str> {
        self.0.borrow().clone()
    }

    pub fn add(&self, met: BTreeSet<&'static str>) {
        self.0.borrow_mut().extend(met);
    }

    /// Fails if one of these was never met.
    pub fn require(&self, all: &[&'static str]) {
        let met = self.0.borrow();
        let missing: Vec<_> = all.iter().filter(|landmark| !met.contains(*landmark)).collect();
        assert!(missing.is_empty(), "no case met {missing:?}; met were {met:?}");
    }
}
