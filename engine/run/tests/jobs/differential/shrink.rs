//! Makes a case that fails smaller, as long as it fails in the same way.

use super::by_time::{ByTime, What};
use super::case::{Body, Case, Strike};
use super::expressions::Expr;
use super::query::{Query, Sets, Source, columns_of};
use super::rows::Value;

/// How many smaller cases are tried.
const RUNS_MAX: usize = 800;

/// The smallest case that was found of those that fail, and how many were tried.
pub fn shrink(mut case: Case, fails: impl Fn(&Case) -> bool) -> (Case, usize) {
    let (mut runs, mut at, mut improved) = (0, 0, false);
    let mut all = smaller_cases(&case);
    loop {
        if at >= all.len() {
            if !improved {
                return (case, runs);
            }
            (at, improved) = (0, false);
            all = smaller_cases(&case);
            continue;
        }
        if runs == RUNS_MAX {
            return (case, runs);
        }
        runs += 1;
        if fails(&all[at]) {
            case = all.swap_remove(at);
            all = smaller_cases(&case);
            improved = true;
        } else {
            at += 1;
        }
    }
}

/// Cases with something less, the large steps first.
fn smaller_cases(case: &Case) -> Vec<Case> {
    let mut all = Vec::new();
    let mut with = |change: &dyn Fn(&mut Case)| {
        let mut smaller = case.clone();
        change(&mut smaller);
        all.push(smaller);
    };
    let rounds = case.rounds.len();
    if rounds > 1 {
        with(&|case| case.rounds.truncate(rounds / 2));
        with(&|case| drop(case.rounds.drain(..rounds / 2)));
    }
    for query in smaller_queries(&case.query, true) {
        with(&|case| case.query = query.clone());
    }
    for (nth, body) in case.bodies.iter().enumerate() {
        match body {
            Body::View(query) => {
                for query in smaller_queries(query, false) {
                    with(&|case| case.bodies[nth] = Body::View(Box::new(query.clone())));
                }
            }
            Body::Stream { shards: 1 } => {}
            Body::Stream { .. } => with(&|case| case.bodies[nth] = Body::Stream { shards: 1 }),
            Body::Changes { .. } => with(&|case| {
                case.rounds.iter_mut().for_each(|round| {
                    round.rows.retain(|row| row.relation != nth || row.weight > 0);
                });
                case.bodies[nth] = Body::Stream { shards: 1 };
            }),
        }
    }
    for nth in 0..rounds {
        if rounds > 1 {
            with(&|case| drop(case.rounds.remove(nth)));
        }
        let round = &case.rounds[nth];
        if round.strike != Strike::Nothing {
            with(&|case| case.rounds[nth].strike = Strike::Nothing);
        }
        if round.settles {
            with(&|case| case.rounds[nth].settles = false);
        }
        if round.turns > 0 {
            with(&|case| case.rounds[nth].turns = 0);
        }
        let half = round.rows.len() / 2;
        if half > 0 {
            with(&|case| case.rounds[nth].rows.truncate(half));
            with(&|case| drop(case.rounds[nth].rows.drain(..half)));
        }
        (0..round.rows.len()).for_each(|row| with(&|case| drop(case.rounds[nth].rows.remove(row))));
    }
    if !case.emit.is_empty() {
        with(&|case| case.emit = "");
    }
    if case.lateness.is_some() {
        with(&|case| case.lateness = None);
    }
    if case.between {
        with(&|case| case.between = false);
    }
    if case.workers > 1 {
        with(&|case| case.workers = 1);
    }
    if !case.is_narrow {
        with(&|case| case.is_narrow = true);
    }
    for (nth, round) in case.rounds.iter().enumerate() {
        for (row, values) in round.rows.iter().map(|row| &row.values).enumerate() {
            for column in (1..values.len()).filter(|column| values[*column] != Value::Null) {
                with(&|case| case.rounds[nth].rows[row].values[column] = Value::Null);
            }
        }
    }
    all
}

/// Queries with something less. `is_whole`: nobody reads its columns, so that there may be others.
fn smaller_queries(query: &Query, is_whole: bool) -> Vec<Query> {
    let mut all: Vec<Query> = query.children().into_iter().map(|child| fit(child, query, is_whole)).collect();
    all.extend(less_of_node(query).into_iter().map(|(_, smaller)| smaller));
    all.extend(within_windows(query).map(|below| fit(&below, query, is_whole)));
    if is_whole {
        let outputs = query.kinds().len();
        all.extend((0..outputs).filter_map(|column| without(query, column)));
    }
    all.extend(less_below(query));
    let exprs = query.clone().exprs_mut().len();
    let keys = if let Query::Group { keys, .. } = query { keys.len() } else { 0 };
    for nth in 0..exprs {
        let simpler = query.clone().exprs_mut()[nth].simpler();
        // A literal to group by is the number of a column.
        for expr in simpler.into_iter().filter(|expr| nth >= keys || expr.has_column()) {
            let mut smaller = query.clone();
            *smaller.exprs_mut()[nth] = expr;
            all.push(smaller);
        }
    }
    for (nth, child) in query.children().into_iter().enumerate() {
        for smaller_child in smaller_queries(child, false) {
            let mut smaller = query.clone();
            *smaller.children_mut()[nth] = smaller_child;
            all.push(smaller);
        }
    }
    all.retain(|smaller| smaller != query);
    all
}

/// A child in the place of its parent, with columns of the same types.
fn fit(child: &Query, parent: &Query, is_whole: bool) -> Query {
    let (own, wanted) = (child.kinds(), parent.kinds());
    if is_whole || own == wanted {
        return child.clone();
    }
    let columns = columns_of(&own, 0);
    let item = |kind| {
        let found = columns.iter().find(|column| column.kind == kind);
        found.map_or_else(|| Expr::null(kind), |column| Expr::Column(*column))
    };
    let items = wanted.into_iter().map(item).collect();
    Query::Select { input: Box::new(child.clone()), filter: None, items, distinct: false }
}

/// What windows are over that are over no stream.
fn within_windows(query: &Query) -> Option<Query> {
    match query {
        Query::Windows { source: Source::Query(below), .. } => Some(Query::ByTime(below.clone())),
        _ => None,
    }
}

/// What a node can do without, by name.
const PARTS: &[(&str, fn(&mut Query))] = &[
    ("WHERE", |query| match query {
        Query::Select { filter, .. } | Query::Windows { filter, .. } => *filter = None,
        _ => {}
    }),
    ("WHERE of what goes by time", |query| {
        by_time_mut(query, |query| query.filter = None);
    }),
    ("a condition of a join", |query| match query {
        Query::Join { on, more, .. } if !on.is_empty() => *more = None,
        _ => {}
    }),
    ("a condition of a join by time", |query| {
        by_time_mut(query, |query| match &mut query.what {
            What::Interval { more, .. } | What::Versions { more, .. } => *more = None,
            What::Over { .. } => {}
        });
    }),
    ("a condition of what is looked for", |query| {
        if let Query::Semi { more, .. } = query {
            *more = None;
        }
    }),
    ("HAVING", |query| {
        if let Query::Group { having, .. } = query {
            *having = None;
        }
    }),
    ("DISTINCT", |query| {
        if let Query::Select { distinct, .. } = query {
            *distinct = false;
        }
    }),
    ("the row without a match of an outer join", |query| {
        if let Query::Join { kind, .. } = query {
            *kind = "JOIN";
        }
    }),
    ("the row without a match of an interval join", |query| {
        by_time_mut(query, |query| match &mut query.what {
            What::Interval { kind, .. } if kind.ends_with("JOIN") => *kind = "JOIN",
            _ => {}
        });
    }),
    ("the row without a version", |query| {
        by_time_mut(query, |query| {
            if let What::Versions { form, outer, .. } = &mut query.what {
                *outer = false;
                *form = form.unmatched();
            }
        });
    }),
    ("a key of an outer join", |query| match query {
        Query::Join { on, more, .. } if on.len() > usize::from(more.is_none()) => drop(on.pop()),
        _ => {}
    }),
    ("grouping sets", |query| {
        if let Query::Group { sets, .. } = query {
            *sets = Sets::Plain;
        }
    }),
    ("UNION, INTERSECT or EXCEPT", |query| {
        if let Query::Set { kind, .. } = query {
            *kind = "UNION ALL";
        }
    }),
    ("the numbers of a top-N", |query| {
        if let Query::First { numbers, .. } = query {
            *numbers = (1, 1);
        }
    }),
    ("the partition of a top-N", |query| {
        if let Query::First { partition, .. } = query {
            partition.clear();
        }
    }),
    ("FILTER", |query| match query {
        Query::Group { calls, .. } | Query::Windows { calls, .. } => {
            calls.iter_mut().for_each(|call| call.filter = None);
        }
        _ => {}
    }),
    ("the partition of OVER", |query| {
        by_time_mut(query, |query| {
            if let What::Over { partition, .. } = &mut query.what {
                partition.clear();
            }
        });
    }),
];

fn by_time_mut(query: &mut Query, change: impl Fn(&mut ByTime)) {
    match query {
        Query::ByTime(query) | Query::Windows { source: Source::Query(query), .. } => change(query),
        _ => {}
    }
}

/// A node that does less, over the same, and what it lacks.
pub fn less_of_node(query: &Query) -> Vec<(&'static str, Query)> {
    let without = |(name, change): &(&'static str, fn(&mut Query))| {
        let mut smaller = query.clone();
        change(&mut smaller);
        (*name, smaller)
    };
    PARTS.iter().map(without).filter(|(_, smaller)| smaller != query).collect()
}

/// A query without one of its columns, if something is left and the column may go.
fn without(query: &Query, column: usize) -> Option<Query> {
    let width = query.kinds().len();
    if width < 2 {
        return None;
    }
    let mut smaller = query.clone();
    match &mut smaller {
        Query::Scan { columns, .. } => drop(columns.remove(column)),
        Query::Select { items, .. } | Query::Join { items, .. } => drop(items.remove(column)),
        Query::Group { keys, calls, .. } => match column.checked_sub(keys.len()) {
            Some(call) => drop(calls.remove(call)),
            None => drop(keys.remove(column)),
        },
        Query::Windows { calls, .. } => drop(calls.remove(column.checked_sub(3)?)),
        Query::ByTime(query) => {
            let column = column.checked_sub(1)?;
            match (&mut query.what, column.checked_sub(query.items.len())) {
                (What::Over { calls, .. }, Some(call)) => drop(calls.remove(call)),
                _ => drop(query.items.remove(column)),
            }
        }
        Query::First { numbered, .. } if *numbered && column + 1 == width => *numbered = false,
        Query::Set { sides, .. } => {
            for side in sides.iter_mut() {
                *side = without(side, column)?;
            }
        }
        Query::Semi { .. } | Query::First { .. } => return None,
    }
    Some(smaller)
}

/// The query over children that lack a column which it does not use.
fn less_below(query: &Query) -> Vec<Query> {
    // The columns of these are those of their children.
    let own: &[usize] = match query {
        Query::Select { .. } | Query::Group { .. } => &[0],
        Query::Join { .. } => &[0, 1],
        Query::Semi { .. } => &[1],
        _ => return Vec::new(),
    };
    let mut all = Vec::new();
    for side in own {
        for column in 0..query.children()[*side].kinds().len() {
            let mut smaller = query.clone();
            let is_used = smaller.exprs_mut().into_iter().any(|expr| uses(expr, *side, column));
            let Some(child) = without(query.children()[*side], column).filter(|_| !is_used) else { continue };
            *smaller.children_mut()[*side] = child;
            smaller.exprs_mut().into_iter().for_each(|expr| shift(expr, *side, column));
            all.push(smaller);
        }
    }
    all
}

fn uses(expr: &Expr, side: usize, index: usize) -> bool {
    match expr {
        Expr::Column(column) => column.side == side && column.index == index,
        Expr::Literal(..) => false,
        Expr::Form { args, .. } => args.iter().any(|arg| uses(arg, side, index)),
    }
}

/// Counts the columns behind one that is gone.
fn shift(expr: &mut Expr, side: usize, gone: usize) {
    match expr {
        Expr::Column(column) if column.side == side && column.index > gone => column.index -= 1,
        Expr::Column(_) | Expr::Literal(..) => {}
        Expr::Form { args, .. } => args.iter_mut().for_each(|arg| shift(arg, side, gone)),
    }
}
