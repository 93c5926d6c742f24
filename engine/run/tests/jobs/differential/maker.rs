//! Makes up queries.

use headwater_core::world::sim::SimRandom;

use super::aggregates::Aggregate;
use super::by_time::{Read, TimeMaker};
use super::expressions::Expr;
use super::expressions::Kind::{self, Bool, Int, Text, Time};
use super::query::{Order, Query, Relation, Search, Sets, Source, columns_of};
use super::windows::Window;

/// About how many rows of a relation there are, and how many a query may come to.
const ROWS: u64 = 25;
const ROWS_MAX: u64 = 1_500;

pub struct Maker<'a> {
    pub random: &'a SimRandom,
    pub relations: &'a [Relation],
    /// Whether relations are read by their time.
    pub windowed: bool,
}

impl Maker<'_> {
    fn one_of<T: Copy>(&self, choices: &[T]) -> T {
        choices[self.random.index(choices.len())]
    }

    pub fn any(&self, depth: u32) -> Query {
        if depth == 0 {
            return if self.windowed { self.timed() } else { self.scan() };
        }
        match self.random.below(14) {
            0 | 1 => self.select(depth - 1),
            2..6 => self.join(depth - 1),
            6 | 7 => self.semi(depth - 1),
            8..11 => self.group(depth - 1),
            11 => self.first(depth - 1),
            _ => self.set(depth - 1),
        }
    }

    fn scan(&self) -> Query {
        let relation = self.random.index(self.relations.len());
        let all: Vec<(usize, Kind)> = self.relations[relation]
            .columns
            .iter()
            .enumerate()
            .map(|(nth, (_, kind))| (nth, *kind))
            .collect();
        let mut columns: Vec<_> = all.iter().copied().filter(|_| self.random.chance(3, 4)).collect();
        if columns.is_empty() {
            columns.push(all[0]);
        }
        let scan = Query::Scan { relation, columns };
        match self.random.chance(1, 3) {
            true => self.select_of(scan, 1),
            false => scan,
        }
    }

    /// Something that goes by event time: windows over a stream, or over something else, or that by itself.
    fn timed(&self) -> Query {
        let stream = |(relation, of): (usize, &Relation)| {
            let kinds = of.columns.iter().map(|(_, kind)| *kind).collect();
            Read { relation, kinds }
        };
        let streams: Vec<Read> = self.relations.iter().enumerate().map(stream).collect();
        let relation = self.random.index(streams.len());
        if self.random.chance(2, 5) {
            return self.windows(Source::Stream(relation), streams[relation].kinds.clone());
        }
        let keyed = self.relations.iter().map(|relation| relation.keyed).collect();
        let query = TimeMaker { random: self.random, streams, keyed }.any();
        match query.has_time() && self.random.chance(1, 3) {
            true => {
                let kinds = query.kinds();
                self.windows(Source::Query(query), kinds)
            }
            false => Query::ByTime(query),
        }
    }

    fn windows(&self, source: Source, kinds: Vec<Kind>) -> Query {
        let columns: Vec<(usize, Kind)> = kinds.iter().copied().enumerate().collect();
        let own = columns_of(&kinds, 0);
        let window = Window::any(self.random);
        let key = match source {
            // Sessions are those of the stream's own key.
            Source::Stream(_) if window.is_session() => columns[0],
            Source::Stream(_) => columns[self.random.index(2)],
            Source::Query(_) => columns[1 + self.random.index(columns.len() - 1)],
        };
        let calls = (0..1 + self.random.index(3)).map(|_| Aggregate::any(self.random, &own)).collect();
        let filtered = self.random.chance(1, 4) && !window.is_session();
        let filter = filtered.then(|| Expr::over_columns(self.random, Bool, &own, 2));
        Query::Windows { source, window, key, calls, filter, columns }
    }

    fn select(&self, depth: u32) -> Query {
        self.select_of(self.any(depth), 2)
    }

    fn select_of(&self, input: Query, depth: u32) -> Query {
        let columns = columns_of(&input.kinds(), 0);
        let filter = self.random.chance(2, 3).then(|| Expr::over_columns(self.random, Bool, &columns, depth));
        let mut items: Vec<Expr> = Vec::new();
        for column in &columns {
            match self.random.below(4) {
                0 => {}
                1 => items.push(Expr::any(self.random, Kind::any(self.random), &columns, depth)),
                _ => items.push(Expr::Column(*column)),
            }
        }
        if items.is_empty() {
            items.push(Expr::Column(columns[0]));
        }
        Query::Select { input: Box::new(input), filter, items, distinct: self.random.chance(1, 5) }
    }

    /// A query with columns of these types.
    fn of_kinds(&self, kinds: &[Kind], depth: u32) -> Query {
        let input = self.any(depth);
        let columns = columns_of(&input.kinds(), 0);
        let items = kinds.iter().map(|kind| Expr::over_columns(self.random, *kind, &columns, 1)).collect();
        Query::Select { input: Box::new(input), filter: None, items, distinct: false }
    }

    /// Two queries of which a join does not have too many rows.
    fn pair(&self, depth: u32) -> [Query; 2] {
        let left = self.any(depth);
        // Every now and then both sides read the same.
        let right = if self.random.chance(1, 6) { left.clone() } else { self.any(depth) };
        match left.size(ROWS) * right.size(ROWS) / 4 > ROWS_MAX {
            true => [left, self.any(0)],
            false => [left, right],
        }
    }

    /// Expressions of one type, one over each side.
    fn equal(&self, sides: &[Query; 2]) -> Option<(Expr, Expr)> {
        let columns = [0, 1].map(|side| columns_of(&sides[side].kinds(), side));
        let pairs: Vec<_> = columns[0]
            .iter()
            .flat_map(|left| columns[1].iter().map(move |right| (*left, *right)))
            .filter(|(left, right)| left.kind == right.kind && left.kind != Kind::Double)
            .collect();
        if pairs.is_empty() {
            return None;
        }
        // Bounds of windows tie windows to each other.
        let times: Vec<_> = pairs.iter().filter(|(left, _)| left.kind == Time).copied().collect();
        let from =
            if self.windowed && !times.is_empty() && self.random.chance(2, 3) { &times } else { &pairs };
        let (left, right) = self.one_of(from);
        let bare = (Expr::Column(left), Expr::Column(right));
        if self.windowed || self.random.chance(3, 4) {
            return Some(bare);
        }
        let left = Expr::over_columns(self.random, left.kind, &columns[0], 1);
        Some((left, Expr::over_columns(self.random, right.kind, &columns[1], 1)))
    }

    fn join(&self, depth: u32) -> Query {
        let sides = self.pair(depth);
        let kind = self.one_of(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
        let keys = self.one_of(&[1, 1, 1, 2, 2, 0]);
        let on: Vec<_> = (0..keys).filter_map(|_| self.equal(&sides)).collect();
        let mut both = columns_of(&sides[0].kinds(), 0);
        both.extend(columns_of(&sides[1].kinds(), 1));
        let more = (on.is_empty() || self.random.chance(2, 5))
            .then(|| Expr::over_columns(self.random, Bool, &both, 2));
        let mut items: Vec<Expr> =
            both.iter().filter(|_| self.random.chance(2, 3)).map(|column| Expr::Column(*column)).collect();
        if items.is_empty() || self.random.chance(1, 4) {
            items.push(Expr::any(self.random, Kind::any(self.random), &both, 2));
        }
        items.truncate(7);
        Query::Join { kind, sides: Box::new(sides), on, more, items }
    }

    fn semi(&self, depth: u32) -> Query {
        let sides = [self.any(depth), self.any(depth)];
        let Some(on) = self.equal(&sides) else { return sides.into_iter().next().expect("there are two") };
        let search = self.one_of(&[Search::Exists, Search::NotExists, Search::In]);
        let mut columns = columns_of(&sides[1].kinds(), 1);
        if search != Search::In {
            columns.extend(columns_of(&sides[0].kinds(), 0));
        }
        let more = self.random.chance(1, 2).then(|| Expr::over_columns(self.random, Bool, &columns, 2));
        Query::Semi { search, sides: Box::new(sides), on, more }
    }

    fn group(&self, depth: u32) -> Query {
        let input = self.any(depth);
        let columns = columns_of(&input.kinds(), 0);
        let count = self.one_of(&[1, 1, 1, 2, 2, 3, 0]);
        let keys = (0..count).map(|_| {
            let column = self.one_of(&columns);
            match self.random.chance(1, 4) {
                true => Expr::over_columns(self.random, column.kind, &columns, 1),
                false => Expr::Column(column),
            }
        });
        let mut keys: Vec<Expr> = keys.collect();
        // A literal would be the number of a column, and the same key twice is one.
        keys.retain(Expr::has_column);
        for nth in (1..keys.len()).rev() {
            if keys[..nth].contains(&keys[nth]) {
                keys.remove(nth);
            }
        }
        let sets =
            self.one_of(&[Sets::Plain, Sets::Plain, Sets::Plain, Sets::Rollup, Sets::Cube, Sets::Lists]);
        let calls = (0..1 + self.random.index(3)).map(|_| Aggregate::any(self.random, &columns)).collect();
        let having = self.random.chance(1, 4).then(|| match self.random.chance(1, 2) {
            true => (Aggregate::count(), self.one_of(&["> 1", "> 2", "<= 3", "= 2"]).to_owned()),
            false => (Aggregate::any(self.random, &columns), "IS NOT NULL".to_owned()),
        });
        Query::Group { input: Box::new(input), keys, sets, calls, having }
    }

    fn first(&self, depth: u32) -> Query {
        let input = self.any(depth);
        let width = input.kinds().len();
        let partition = match self.random.below(4) {
            0 => Vec::new(),
            1 if width > 1 => vec![0, 1],
            _ => vec![self.random.index(width)],
        };
        // Ordered by all columns: rows that are equal in all of them are the same.
        let mut columns: Vec<usize> = (0..width).collect();
        columns.rotate_left(self.random.index(width));
        let order = columns.into_iter().map(|column| Order {
            column,
            descending: self.random.chance(1, 2),
            nulls_first: self.random.chance(1, 2),
        });
        let numbers = self.one_of(&[(1, 1), (1, 1), (1, 2), (1, 3), (2, 3), (3, 3)]);
        let numbered = self.random.chance(1, 3);
        Query::First { input: Box::new(input), partition, order: order.collect(), numbers, numbered }
    }

    fn set(&self, depth: u32) -> Query {
        let kind =
            self.one_of(&["UNION ALL", "UNION", "INTERSECT", "EXCEPT", "INTERSECT", "EXCEPT", "EXCEPT ALL"]);
        let left = self.any(depth);
        let mut kinds = left.kinds();
        kinds.truncate(3);
        let left = match self.random.chance(1, 2) && kinds.len() == left.kinds().len() {
            true => left,
            false => Query::Select {
                items: columns_of(&kinds, 0).into_iter().map(Expr::Column).collect(),
                input: Box::new(left),
                filter: None,
                distinct: false,
            },
        };
        let right = self.of_kinds(&kinds, depth);
        Query::Set { kind, sides: Box::new([left, right]) }
    }
}

/// The types that streams have: a key, a number, and others.
pub fn any_kinds(random: &SimRandom) -> Vec<Kind> {
    let more = random.index(4);
    [Text, Int].into_iter().chain((0..more).map(|_| Kind::any(random))).collect()
}
