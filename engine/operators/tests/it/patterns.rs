//! Row patterns against a matcher that tries all ways in the order of preference, one after the other, as the standard
//! words it: random patterns, definitions and rows, with snapshots and restarts at another number of workers in
//! between.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::logical_expr::Operator as Op;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, Literal};
use datafusion::scalar::ScalarValue;
use headwater_operators::patterns::{
    Condition, Definition, Fold, Look, Measure, Pattern, RowsPerMatch, Semantics, Side, Skip,
};
use headwater_operators::{MatchRecognize, MatchRecognizeSpec, OperatorSpec, Rows};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::data::{Event, Scenario, rows, schema};
use crate::harness::{Between, Runner, Step, lines, run};

const TS: usize = 0;
const KEY: usize = 1;
const N: usize = 2;

/// Operand 0 is n, operand 1 is ts.
const OF_N: usize = 0;
const OF_TS: usize = 1;

/// What a definition says; all parts of one must hold.
#[derive(Clone, Debug)]
enum Part {
    /// A constant bound.
    Bound(Op, i64),
    /// n against the neighbour's.
    Neighbour(Op, i32),
    /// n against that of the last row but so many of a variable, or of the match.
    Last(Op, Option<u16>, u32),
    First(Op, Option<u16>, u32),
    /// An aggregate of n (COUNT: of rows) over a variable or the match, against a bound.
    Fold(Fold, Option<u16>, Op, i64),
}

impl Part {
    fn random(random: &mut SmallRng, variables: u16, runs: bool) -> Self {
        let ops = [Op::Lt, Op::GtEq, Op::Eq, Op::NotEq];
        let op = ops[random.random_range(0..ops.len())];
        let of = random.random_bool(0.7).then(|| random.random_range(0..variables));
        match random.random_range(0..if runs { 8 } else { 4 }) {
            0 | 1 => Self::Bound(op, random.random_range(-10..10)),
            2 => Self::Neighbour(op, -random.random_range(1..3)),
            3 => Self::Neighbour(op, random.random_range(1..3)),
            4 => Self::Last(op, of, random.random_range(0..3)),
            5 => Self::First(op, of, random.random_range(0..2)),
            6 => Self::Fold(Fold::Count, of, Op::Lt, random.random_range(1..5)),
            _ => {
                let folds = [Fold::Sum, Fold::Min, Fold::Max];
                Self::Fold(folds[random.random_range(0..3)], of, op, random.random_range(-10..20))
            }
        }
    }

    fn condition(&self) -> Condition {
        let column = |nth: usize| Arc::new(Column::new(&format!("${nth}"), nth)) as Arc<dyn PhysicalExpr>;
        let row = |of, side, offset, step| Look::Row { operand: OF_N, of, side, offset, step };
        let n = row(None, Side::Last, 0, 0);
        let compare = |left, op, right| Arc::new(BinaryExpr::new(left, op, right)) as Arc<dyn PhysicalExpr>;
        let literal = |value: i64| Arc::new(Literal::new(ScalarValue::from(value))) as Arc<dyn PhysicalExpr>;
        let (expr, looks) = match self {
            Self::Bound(op, bound) => (compare(column(0), *op, literal(*bound)), vec![n]),
            Self::Neighbour(op, step) => {
                (compare(column(0), *op, column(1)), vec![n, row(None, Side::Last, 0, *step)])
            }
            Self::Last(op, of, offset) => {
                (compare(column(0), *op, column(1)), vec![n, row(*of, Side::Last, *offset, 0)])
            }
            Self::First(op, of, offset) => {
                (compare(column(0), *op, column(1)), vec![n, row(*of, Side::First, *offset, 0)])
            }
            Self::Fold(fold, of, op, bound) => {
                let operand = (*fold != Fold::Count).then_some(OF_N);
                (compare(column(0), *op, literal(*bound)), vec![Look::Fold { fold: *fold, operand, of: *of }])
            }
        };
        Condition { expr, looks }
    }

    /// Whether it holds when row `at` of the partition is to be one of `variable`, `path` being the variables of the
    /// rows from `start`.
    fn holds(&self, events: &[Event], start: usize, path: &[u16], at: usize, variable: u16) -> bool {
        let value = |row: Option<usize>| row.and_then(|row| events.get(row)).and_then(|event| event.number);
        let n = events[at].number;
        let of_rows = |of: &Option<u16>| -> Vec<usize> {
            let mut rows: Vec<usize> = (0..path.len())
                .filter(|nth| of.is_none_or(|of| path[*nth] == of))
                .map(|nth| start + nth)
                .collect();
            if of.is_none_or(|of| of == variable) {
                rows.push(at);
            }
            rows
        };
        match self {
            Self::Bound(op, bound) => is(n, *op, Some(*bound)),
            Self::Neighbour(op, step) => is(n, *op, value(at.checked_add_signed(*step as isize))),
            Self::Last(op, of, offset) => {
                let rows = of_rows(of);
                let row = rows.len().checked_sub(1 + *offset as usize).map(|nth| rows[nth]);
                is(n, *op, value(row))
            }
            Self::First(op, of, offset) => is(n, *op, value(of_rows(of).get(*offset as usize).copied())),
            Self::Fold(fold, of, op, bound) => is(folded(*fold, &of_rows(of), events), *op, Some(*bound)),
        }
    }
}

fn folded(fold: Fold, rows: &[usize], events: &[Event]) -> Option<i64> {
    let values = rows.iter().filter_map(|row| events[*row].number);
    match fold {
        Fold::Count => Some(rows.len() as i64),
        Fold::Sum if values.clone().count() == 0 => None,
        Fold::Sum => Some(values.sum()),
        Fold::Min => values.min(),
        _ => values.max(),
    }
}

fn is(left: Option<i64>, op: Op, right: Option<i64>) -> bool {
    let (Some(left), Some(right)) = (left, right) else { return false };
    match op {
        Op::Lt => left < right,
        Op::GtEq => left >= right,
        Op::Eq => left == right,
        _ => left != right,
    }
}

/// A query made up at random.
#[derive(Clone, Debug)]
struct Query {
    pattern: Pattern,
    definitions: Vec<Vec<Part>>,
    within: Option<i64>,
    skip: Skip,
    rows: RowsPerMatch,
}

fn random_pattern(random: &mut SmallRng, variables: u16, depth: u32) -> Pattern {
    let parts = |random: &mut SmallRng| {
        let count = random.random_range(1..4);
        (0..count).map(|_| random_pattern(random, variables, depth - 1)).collect()
    };
    if depth == 0 {
        return Pattern::Variable(random.random_range(0..variables));
    }
    match random.random_range(0..6) {
        0 => Pattern::Variable(random.random_range(0..variables)),
        1 | 2 => Pattern::Concat(parts(random)),
        3 => Pattern::Alternation(parts(random)),
        _ => {
            let min = random.random_range(0..3);
            let max = random.random_bool(0.5).then(|| random.random_range(min.max(1)..min.max(1) + 2));
            let inner = Box::new(random_pattern(random, variables, depth - 1));
            Pattern::Repeat { inner, min, max, greedy: random.random_bool(0.6) }
        }
    }
}

impl Query {
    fn random(random: &mut SmallRng, runs: bool) -> Self {
        let variables = random.random_range(1..5);
        let skips = [
            Skip::PastLastRow,
            Skip::PastLastRow,
            Skip::ToNextRow,
            Skip::ToFirst(random.random_range(0..variables)),
            Skip::ToLast(random.random_range(0..variables)),
        ];
        Self {
            pattern: random_pattern(random, variables, 3),
            definitions: (0..variables)
                .map(|_| {
                    let parts = random.random_range(0..3);
                    (0..parts).map(|_| Part::random(random, variables, runs)).collect()
                })
                .collect(),
            within: random.random_bool(0.5).then(|| random.random_range(1..8_000) * 1_000_000),
            skip: skips[random.random_range(0..skips.len())],
            rows: if random.random_bool(0.5) { RowsPerMatch::One } else { RowsPerMatch::All },
        }
    }

    /// `None` if the operator refuses it.
    fn spec(&self) -> Option<Arc<dyn OperatorSpec>> {
        let input = schema();
        let operand = |column: usize| Arc::new(Column::new(input.field(column).name(), column)) as _;
        let definitions = (0..).zip(&self.definitions).map(|(variable, parts)| {
            let conditions: Vec<Condition> = parts.iter().map(Part::condition).collect();
            let local = |condition: &Condition| condition.looks.iter().all(|look| look.is_local(variable));
            let (row, run): (Vec<_>, Vec<_>) = conditions.into_iter().partition(local);
            Definition { row: all(row), run: all(run) }
        });
        let row = |side, offset| Look::Row { operand: OF_N, of: Some(0), side, offset, step: 0 };
        let of_all = |operand, side| Look::Row { operand, of: None, side, offset: 0, step: 0 };
        let sum = Look::Fold { fold: Fold::Sum, operand: Some(OF_N), of: None };
        let count = Look::Fold { fold: Fold::Count, operand: None, of: Some(0) };
        let measured = vec![
            (of_all(OF_TS, Side::First), Semantics::Running),
            (of_all(OF_TS, Side::Last), Semantics::Final),
            (row(Side::Last, 0), Semantics::Running),
            (row(Side::First, 1), Semantics::Final),
            (sum, Semantics::Running),
            (count, Semantics::Final),
            (Look::Classifier, Semantics::Running),
            (Look::Number, Semantics::Running),
        ];
        let measures = (0..measured.len()).map(|nth| Measure {
            expr: Arc::new(Column::new(&format!("${nth}"), nth)),
            name: format!("m{nth}"),
        });
        MatchRecognizeSpec::try_new(MatchRecognize {
            keys: vec![KEY],
            time: TS,
            order: Vec::new(),
            operands: vec![operand(N), operand(TS)],
            variables: (0..self.definitions.len()).map(|nth| format!("v{nth}")).collect(),
            pattern: self.pattern.clone(),
            definitions: definitions.collect(),
            within: self.within,
            skip: self.skip,
            rows: self.rows,
            measures: measures.collect(),
            measured,
            leading: vec![KEY],
            trailing: if self.rows == RowsPerMatch::All { vec![N] } else { Vec::new() },
            input,
        })
        .ok()
        .map(|spec| Arc::new(spec) as Arc<dyn OperatorSpec>)
    }

    /// The variables of the preferred match from a start.
    fn best(&self, events: &[Event], start: usize) -> Option<Vec<u16>> {
        let mut steps = 0;
        let search = Search { query: self, events, start };
        let mut found = None;
        search.go(&self.pattern, &mut Vec::new(), &mut steps, &mut |path, _| {
            found = Some(path.clone());
            true
        });
        found.filter(|path| !path.is_empty())
    }

    /// The lines that come out for a partition's rows, in order.
    fn answer(&self, events: &[Event]) -> Vec<String> {
        let (mut start, mut number, mut said) = (0, 0, Vec::new());
        while start < events.len() {
            let Some(path) = self.best(events, start) else {
                start += 1;
                continue;
            };
            number += 1;
            let shown = match self.rows {
                RowsPerMatch::One => path.len() - 1..path.len(),
                RowsPerMatch::All => 0..path.len(),
            };
            said.extend(shown.map(|nth| self.line(events, start, &path, nth, number)));
            let of = |wanted: u16| path.iter().position(|variable| *variable == wanted);
            let last_of = |wanted: u16| path.iter().rposition(|variable| *variable == wanted);
            start = match self.skip {
                Skip::PastLastRow => start + path.len(),
                Skip::ToNextRow => start + 1,
                Skip::ToFirst(to) => start + of(to).unwrap_or(0).max(1),
                Skip::ToLast(to) => start + last_of(to).unwrap_or(0).max(1),
            };
        }
        said
    }

    /// The line of the nth row of a match.
    fn line(&self, events: &[Event], start: usize, path: &[u16], nth: usize, number: i64) -> String {
        let of_first = |upto: usize| -> Vec<usize> {
            (0..upto).filter(|row| path[*row] == 0).map(|row| start + row).collect()
        };
        let running = of_first(nth + 1);
        let all = of_first(path.len());
        let value = |row: Option<&usize>| number_text(row.and_then(|row| events[*row].number));
        let rows: Vec<usize> = (start..=start + nth).collect();
        let mut fields = vec![
            events[start].key.clone().unwrap_or_else(|| "NULL".to_owned()),
            time_text(&events[start]),
            time_text(&events[start + path.len() - 1]),
            value(running.last()),
            value(all.get(1)),
            number_text(folded(Fold::Sum, &rows, events)),
            all.len().to_string(),
            format!("v{}", path[nth]),
            number.to_string(),
        ];
        if self.rows == RowsPerMatch::All {
            fields.push(number_text(events[start + nth].number));
        }
        fields.join(" | ")
    }
}

fn number_text(value: Option<i64>) -> String {
    value.map_or_else(|| "NULL".to_owned(), |value| value.to_string())
}

fn time_text(event: &Event) -> String {
    lines(&rows(std::slice::from_ref(event)).batch.project(&[TS]).unwrap()).remove(0)
}

fn all(conditions: Vec<Condition>) -> Option<Condition> {
    let mut conditions = conditions.into_iter();
    let mut all = conditions.next()?;
    for condition in conditions {
        let shift = all.looks.len();
        let moved = datafusion::common::tree_node::TreeNode::transform_up(condition.expr, |part| {
            use datafusion::common::tree_node::Transformed;
            Ok(match part.downcast_ref::<Column>() {
                Some(column) => {
                    let nth = column.index() + shift;
                    Transformed::yes(Arc::new(Column::new(&format!("${nth}"), nth)) as Arc<dyn PhysicalExpr>)
                }
                None => Transformed::no(part),
            })
        });
        all.expr = Arc::new(BinaryExpr::new(all.expr, Op::And, moved.unwrap().data));
        all.looks.extend(condition.looks);
    }
    Some(all)
}

/// Tries ways in the order of preference, until one is taken.
struct Search<'a> {
    query: &'a Query,
    events: &'a [Event],
    start: usize,
}

type Then<'a> = &'a mut dyn FnMut(&mut Vec<u16>, &mut u32) -> bool;

impl Search<'_> {
    fn go(&self, pattern: &Pattern, path: &mut Vec<u16>, steps: &mut u32, then: Then<'_>) -> bool {
        *steps += 1;
        assert!(*steps < 3_000_000, "a case that the naive way does not get through");
        match pattern {
            Pattern::Variable(variable) => {
                if !self.may_take(path, *variable) {
                    return false;
                }
                path.push(*variable);
                let done = then(path, steps);
                path.pop();
                done
            }
            Pattern::Concat(parts) => self.sequence(parts, path, steps, then),
            Pattern::Alternation(parts) => parts.iter().any(|part| self.go(part, path, steps, then)),
            Pattern::Repeat { inner, min, max, greedy } => {
                self.repeat((inner, *min, *max, *greedy), 0, path, steps, then)
            }
        }
    }

    fn may_take(&self, path: &[u16], variable: u16) -> bool {
        let at = self.start + path.len();
        let Some(event) = self.events.get(at) else { return false };
        let in_time = self
            .query
            .within
            .is_none_or(|within| event.nanos().unwrap() - self.events[self.start].nanos().unwrap() <= within);
        let parts = &self.query.definitions[usize::from(variable)];
        in_time && parts.iter().all(|part| part.holds(self.events, self.start, path, at, variable))
    }

    fn sequence(&self, parts: &[Pattern], path: &mut Vec<u16>, steps: &mut u32, then: Then<'_>) -> bool {
        match parts {
            [] => then(path, steps),
            [first, rest @ ..] => {
                self.go(first, path, steps, &mut |path, steps| self.sequence(rest, path, steps, then))
            }
        }
    }

    fn repeat(
        &self,
        what: (&Pattern, u32, Option<u32>, bool),
        count: u32,
        path: &mut Vec<u16>,
        steps: &mut u32,
        then: Then<'_>,
    ) -> bool {
        let (inner, min, max, greedy) = what;
        let before = path.len();
        let once_more = |path: &mut Vec<u16>, steps: &mut u32, then: Then<'_>| {
            max.is_none_or(|max| count < max)
                && self.go(inner, path, steps, &mut |path, steps| {
                    // Where there is no bound, going round for nothing leads nowhere.
                    let idle = max.is_none() && count >= min && path.len() == before;
                    !idle && self.repeat(what, count + 1, path, steps, then)
                })
        };
        if count < min {
            return once_more(path, steps, then);
        }
        // A greedy one goes round first and on only then, a reluctant one the other way about.
        if !greedy && then(path, steps) {
            return true;
        }
        once_more(path, steps, then) || (greedy && then(path, steps))
    }
}

/// What must come out, all partitions together, sorted, and the late rows.
fn expected(query: &Query, scenario: &Scenario) -> Vec<String> {
    let mut partitions: BTreeMap<Option<String>, Vec<Event>> = BTreeMap::new();
    for event in scenario.events() {
        if event.nanos().is_some_and(|time| time >= event.clock) {
            partitions.entry(event.key.clone()).or_default().push(event);
        }
    }
    let mut said = Vec::new();
    for events in partitions.values_mut() {
        events.sort_by_key(|event| event.ts);
        said.extend(query.answer(events));
    }
    said.sort();
    said
}

fn texts(said: &[Rows]) -> Vec<String> {
    said.iter().flat_map(|rows| lines(&rows.batch)).collect()
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

/// How many lines came out; `None` if the operator does not take the query.
fn check(seed: u64, runs: bool) -> Option<usize> {
    let mut random = SmallRng::seed_from_u64(seed);
    let query = Query::random(&mut random, runs);
    let spec = query.spec()?;
    let count = if runs { 60 } else { 150 };
    let scenario = Scenario::random(seed, count, 3_000);
    let steps = scenario.cut(seed);
    let (straight, late) = run(&spec, &[KEY], &steps, 1, |_| Between::Nothing);
    assert_eq!(sorted(texts(&straight)), expected(&query, &scenario), "seed {seed}: {query:?}");
    let (others, _) = run(&spec, &[KEY], &scenario.cut(seed + 1), 3, |_| Between::Nothing);
    assert_eq!(texts(&others), texts(&straight), "seed {seed}, three workers: {query:?}");
    let restarts = |step: usize| match (step as u64 + seed) % 5 {
        0 => Between::Restart { full: step.is_multiple_of(2), workers: 1 + (step as u32 + seed as u32) % 4 },
        2 => Between::Snapshot { full: false },
        _ => Between::Nothing,
    };
    let (restarted, late_again) = run(&spec, &[KEY], &steps, 2, restarts);
    assert_eq!(texts(&restarted), texts(&straight), "seed {seed}, restarted: {query:?}");
    assert_eq!(late_again, late, "seed {seed}: {query:?}");
    Some(texts(&straight).len())
}

/// Checks many seeds, and that they are not in vain.
fn check_all(seeds: std::ops::Range<u64>, runs: bool) {
    let count = seeds.end - seeds.start;
    let lines: Vec<usize> = seeds.filter_map(|seed| check(seed, runs)).collect();
    assert!(lines.len() as u64 > count / 3, "{} of {count} queries were taken", lines.len());
    let said = lines.iter().filter(|lines| **lines > 0).count();
    assert!(said > lines.len() / 2, "{said} of {} queries said something", lines.len());
}

#[test]
fn matches_are_those_that_the_standard_prefers() {
    check_all(0..400, false);
}

#[test]
fn definitions_that_look_back_choose_as_the_standard_prefers() {
    check_all(10_000..10_300, true);
}

fn event(second: i64, key: &str, number: i64) -> Event {
    Event {
        ts: Some(second * 1_000),
        key: Some(key.to_owned()),
        number: Some(number),
        float: None,
        text: None,
        flag: None,
        clock: i64::MIN,
    }
}

/// A hundred thousand rows of one partition, in a hundred steps; the time that it takes and the most entries of state.
fn pathological(query: &Query, number: impl Fn(i64) -> i64) -> (f64, u64, usize) {
    let spec = query.spec().unwrap();
    let mut runner = Runner::new(spec, &[KEY], 1);
    let (mut entries, mut said) = (0, 0);
    let clock = headwater_core::World::real().clock;
    let begun = clock.monotonic();
    for step in 0..=100 {
        let seconds = step * 1_000..(step + 1) * 1_000;
        let events: Vec<Event> = seconds.clone().map(|second| event(second, "k", number(second))).collect();
        let batches = if step < 100 { vec![rows(&events)] } else { Vec::new() };
        let watermark = if step < 100 { seconds.end * 1_000_000_000 } else { i64::MAX };
        said += runner.step(&Step { batches, watermark }).map_or(0, |rows| rows.len());
        entries = entries.max(runner.state_size().entries);
    }
    ((clock.monotonic() - begun).as_secs_f64(), entries, said)
}

fn star(inner: Pattern) -> Pattern {
    Pattern::Repeat { inner: Box::new(inner), min: 0, max: None, greedy: true }
}

#[test]
fn patterns_that_can_be_taken_in_many_ways_take_time_in_proportion_to_the_rows() {
    let variable = Pattern::Variable;
    let either = Pattern::Alternation(vec![variable(0), variable(1)]);
    let patterns = [
        Pattern::Concat(vec![star(either), variable(2)]),
        Pattern::Concat(vec![star(variable(0)), star(variable(0)), star(variable(0)), variable(2)]),
        // Fails at the very end, from every start.
        Pattern::Concat(vec![variable(0), star(variable(0)), variable(2)]),
    ];
    for pattern in patterns {
        for within in [None, Some(3_600_000_000_000)] {
            let query = Query {
                pattern: pattern.clone(),
                definitions: vec![
                    vec![Part::Bound(Op::GtEq, 0)],
                    vec![Part::Bound(Op::GtEq, 0)],
                    vec![Part::Bound(Op::Eq, -1)],
                ],
                within,
                skip: Skip::PastLastRow,
                rows: RowsPerMatch::One,
            };
            // Once in ten thousand rows a match ends.
            let (_, entries, said) =
                pathological(&query, |second| if second % 10_000 == 9_999 { -1 } else { second });
            assert_eq!(said, 10, "{query:?}");
            let bound = if within.is_some() { 3_602 + 1_000 } else { 10_000 + 1_000 };
            assert!(entries <= bound, "{entries} entries: {query:?}");
            // Never: what has been tried need not be tried again.
            let (seconds, entries, said) = pathological(&query, |second| second);
            assert_eq!(said, 0, "{query:?}");
            assert!(within.is_none() || entries <= bound, "{entries} entries: {query:?}");
            assert!(seconds < 60.0, "{seconds} s: {query:?}");
        }
    }
}

#[test]
fn state_ends_with_the_time_of_the_pattern() {
    let query = Query {
        pattern: Pattern::Concat(vec![
            Pattern::Variable(0),
            star(Pattern::Variable(1)),
            Pattern::Variable(2),
        ]),
        definitions: vec![vec![Part::Bound(Op::GtEq, 5)], Vec::new(), vec![Part::Bound(Op::Eq, -1)]],
        within: Some(10_000_000_000),
        skip: Skip::PastLastRow,
        rows: RowsPerMatch::All,
    };
    let spec = query.spec().unwrap();
    let mut runner = Runner::new(spec, &[KEY], 1);
    let mut sizes = Vec::new();
    for step in 0..200 {
        let at = step * 100;
        let events = [event(at, "a", 7), event(at + 1, "b", 7), event(at + 2, "a", 0)];
        runner.step(&Step { batches: vec![rows(&events)], watermark: (at + 50) * 1_000_000_000 });
        sizes.push(runner.state_size());
    }
    assert!(sizes.iter().all(|size| size.entries == 0), "{sizes:?}");
    assert!(sizes[199].bytes <= sizes[9].bytes, "{} bytes after {}", sizes[199].bytes, sizes[9].bytes);
}

#[test]
fn ways_that_cannot_be_merged_are_limited() {
    // Each row may be one of two variables, and the definitions look at the first rows of each.
    let looks_back =
        |of| vec![Part::First(Op::NotEq, Some(of), 0), Part::Fold(Fold::Sum, Some(of), Op::GtEq, -1)];
    let query = Query {
        pattern: Pattern::Concat(vec![
            star(Pattern::Alternation(vec![Pattern::Variable(0), Pattern::Variable(1)])),
            Pattern::Variable(2),
        ]),
        definitions: vec![
            vec![Part::Fold(Fold::Sum, Some(0), Op::GtEq, -1)],
            looks_back(0),
            vec![Part::Bound(Op::Eq, -1)],
        ],
        within: None,
        skip: Skip::PastLastRow,
        rows: RowsPerMatch::One,
    };
    let spec = query.spec().unwrap();
    let mut instance = spec.instantiate().unwrap();
    let mut out = headwater_operators::Output::default();
    let events: Vec<Event> = (0..40).map(|second| event(second, "k", 1 << second)).collect();
    instance.on_batch(0, rows(&events), &mut out).unwrap();
    let error = instance.on_watermark(headwater_core::EventTime::MAX, &mut out).unwrap_err();
    assert!(error.to_string().contains("more than 10000 ways"), "{error}");
    assert_eq!(error.code().to_string(), "HW4004");
}
