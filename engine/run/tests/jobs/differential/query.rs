//! Queries as trees. Each has columns `c0`, `c1`, ... of known types, and reads the queries below it by these names.

use std::cell::Cell;

use super::aggregates::Aggregate;
use super::expressions::Kind::{self, Int, Time};
use super::expressions::{Column, Expr};
use super::windows::Window;

/// What a query can read.
#[derive(Clone, Debug)]
pub struct Relation {
    pub name: String,
    /// The names of its columns, and their types.
    pub columns: Vec<(String, Kind)>,
}

/// Which groupings there are of the keys.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sets {
    Plain,
    Rollup,
    Cube,
    /// The first key, the others, and none.
    Lists,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    pub column: usize,
    pub descending: bool,
    pub nulls_first: bool,
}

/// How rows are looked for in another query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Search {
    Exists,
    NotExists,
    In,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Query {
    Scan {
        relation: usize,
        columns: Vec<(usize, Kind)>,
    },
    Select {
        input: Box<Query>,
        filter: Option<Expr>,
        items: Vec<Expr>,
        distinct: bool,
    },
    Join {
        kind: &'static str,
        sides: Box<[Query; 2]>,
        on: Vec<(Expr, Expr)>,
        more: Option<Expr>,
        items: Vec<Expr>,
    },
    Semi {
        search: Search,
        sides: Box<[Query; 2]>,
        on: (Expr, Expr),
        more: Option<Expr>,
    },
    Group {
        input: Box<Query>,
        keys: Vec<Expr>,
        sets: Sets,
        calls: Vec<Aggregate>,
        having: Option<(Aggregate, String)>,
    },
    Windows {
        relation: usize,
        window: Window,
        key: (usize, Kind),
        calls: Vec<Aggregate>,
        filter: Option<Expr>,
        columns: Vec<(usize, Kind)>,
    },
    Set {
        kind: &'static str,
        sides: Box<[Query; 2]>,
    },
    First {
        input: Box<Query>,
        partition: Vec<usize>,
        order: Vec<Order>,
        numbers: (u32, u32),
        numbered: bool,
    },
}

/// The columns of a query as a side of another one.
pub fn columns_of(kinds: &[Kind], side: usize) -> Vec<Column> {
    kinds.iter().enumerate().map(|(index, kind)| Column { side, index, kind: *kind }).collect()
}

impl Query {
    pub fn kinds(&self) -> Vec<Kind> {
        match self {
            Self::Scan { columns, .. } => columns.iter().map(|(_, kind)| *kind).collect(),
            Self::Select { items, .. } | Self::Join { items, .. } => items.iter().map(Expr::kind).collect(),
            Self::Semi { sides, .. } | Self::Set { sides, .. } => sides[0].kinds(),
            Self::Group { keys, calls, .. } => {
                keys.iter().map(Expr::kind).chain(calls.iter().map(|call| call.kind)).collect()
            }
            Self::Windows { key, calls, .. } => {
                [Time, Time, key.1].into_iter().chain(calls.iter().map(|call| call.kind)).collect()
            }
            Self::First { input, numbered, .. } => {
                input.kinds().into_iter().chain(numbered.then_some(Int)).collect()
            }
        }
    }

    /// About how many rows it has, if each relation has this many.
    pub fn size(&self, rows: u64) -> u64 {
        match self {
            Self::Scan { .. } => rows,
            Self::Select { input, .. } | Self::First { input, .. } => input.size(rows),
            Self::Join { sides, on, .. } => {
                let [left, right] = [sides[0].size(rows), sides[1].size(rows)];
                (left * right / if on.is_empty() { 2 } else { 4 }).max(left + right)
            }
            Self::Semi { sides, .. } => sides[0].size(rows),
            Self::Group { input, .. } => input.size(rows) / 2 + 1,
            Self::Windows { .. } => rows * 2,
            Self::Set { sides, .. } => sides[0].size(rows) + sides[1].size(rows),
        }
    }

    pub fn children(&self) -> Vec<&Query> {
        match self {
            Self::Scan { .. } | Self::Windows { .. } => Vec::new(),
            Self::Select { input, .. } | Self::Group { input, .. } | Self::First { input, .. } => {
                vec![&**input]
            }
            Self::Join { sides, .. } | Self::Semi { sides, .. } | Self::Set { sides, .. } => {
                sides.iter().collect()
            }
        }
    }

    pub fn children_mut(&mut self) -> Vec<&mut Query> {
        match self {
            Self::Scan { .. } | Self::Windows { .. } => Vec::new(),
            Self::Select { input, .. } | Self::Group { input, .. } | Self::First { input, .. } => {
                vec![&mut **input]
            }
            Self::Join { sides, .. } | Self::Semi { sides, .. } | Self::Set { sides, .. } => {
                sides.iter_mut().collect()
            }
        }
    }

    /// The expressions of this node alone.
    pub fn exprs_mut(&mut self) -> Vec<&mut Expr> {
        match self {
            Self::Scan { .. } | Self::Set { .. } | Self::First { .. } => Vec::new(),
            Self::Select { filter, items, .. } => filter.iter_mut().chain(items).collect(),
            Self::Join { on, more, items, .. } => {
                let on = on.iter_mut().flat_map(|(left, right)| [left, right]);
                on.chain(more).chain(items).collect()
            }
            Self::Semi { on: (left, right), more, .. } => [left, right].into_iter().chain(more).collect(),
            Self::Group { keys, calls, having, .. } => {
                let having = having.iter_mut().flat_map(|(call, _)| call.exprs_mut());
                keys.iter_mut().chain(calls.iter_mut().flat_map(Aggregate::exprs_mut)).chain(having).collect()
            }
            Self::Windows { calls, filter, .. } => {
                calls.iter_mut().flat_map(Aggregate::exprs_mut).chain(filter).collect()
            }
        }
    }

    /// The columns of relations that it reads.
    pub fn reads(&self) -> Vec<(usize, usize)> {
        let mut all: Vec<(usize, usize)> = match self {
            Self::Scan { relation, columns } | Self::Windows { relation, columns, .. } => {
                columns.iter().map(|(column, _)| (*relation, *column)).collect()
            }
            _ => Vec::new(),
        };
        all.extend(self.children().into_iter().flat_map(Self::reads));
        all
    }

    /// Whether there are windows of sessions in it.
    pub fn has_sessions(&self) -> bool {
        let own = matches!(self, Self::Windows { window, .. } if window.is_session());
        own || self.children().into_iter().any(Self::has_sessions)
    }

    /// Its text.
    pub fn sql(&self, relations: &[Relation]) -> String {
        Writer { relations, aliases: Cell::new(0) }.query(self)
    }
}

/// Writes a query, in which no two relations have one name.
struct Writer<'a> {
    relations: &'a [Relation],
    aliases: Cell<u32>,
}

/// Expressions as the columns `c0`, `c1`, ...
fn list(items: impl IntoIterator<Item = String>) -> String {
    let items = items.into_iter().enumerate().map(|(nth, item)| format!("{item} AS c{nth}"));
    items.collect::<Vec<_>>().join(", ")
}

fn plain(alias: &str, width: usize) -> String {
    (0..width).map(|nth| format!("{alias}.c{nth}")).collect::<Vec<_>>().join(", ")
}

impl Writer<'_> {
    fn alias(&self) -> String {
        self.aliases.set(self.aliases.get() + 1);
        format!("t{}", self.aliases.get())
    }

    /// A query in FROM, and its name.
    fn from(&self, query: &Query) -> (String, String) {
        let alias = self.alias();
        (format!("({}) AS {alias}", self.query(query)), alias)
    }

    fn column(&self, relation: usize, column: usize) -> String {
        self.relations[relation].columns[column].0.clone()
    }

    fn query(&self, query: &Query) -> String {
        match query {
            Query::Scan { relation, columns } => {
                let columns = list(columns.iter().map(|(column, _)| self.column(*relation, *column)));
                format!("SELECT {columns} FROM {}", self.relations[*relation].name)
            }
            Query::Select { input, filter, items, distinct } => {
                let (from, alias) = self.from(input);
                let items = list(items.iter().map(|item| item.text(&[&alias])));
                let filter = filter.as_ref().map(|filter| format!(" WHERE {}", filter.text(&[&alias])));
                let distinct = if *distinct { "DISTINCT " } else { "" };
                format!("SELECT {distinct}{items} FROM {from}{}", filter.unwrap_or_default())
            }
            Query::Join { kind, sides, on, more, items } => {
                let (left, l) = self.from(&sides[0]);
                let (right, r) = self.from(&sides[1]);
                let both = [l.as_str(), r.as_str()];
                let items = list(items.iter().map(|item| item.text(&both)));
                let equal =
                    |(left, right): &(Expr, Expr)| format!("{} = {}", left.text(&both), right.text(&both));
                let on =
                    on.iter().map(equal).chain(more.iter().map(|more| format!("({})", more.text(&both))));
                let on = on.collect::<Vec<_>>().join(" AND ");
                let on = if on.is_empty() { "true".to_owned() } else { on };
                format!("SELECT {items} FROM {left} {kind} {right} ON {on}")
            }
            Query::Semi { .. } => self.semi(query),
            Query::Group { .. } => self.group(query),
            Query::Windows { .. } => self.windows(query),
            Query::Set { kind, sides } => {
                format!("({}) {kind} ({})", self.query(&sides[0]), self.query(&sides[1]))
            }
            Query::First { .. } => self.first(query),
        }
    }

    fn semi(&self, query: &Query) -> String {
        let Query::Semi { search, sides, on: (left, right), more } = query else { unreachable!() };
        let (outer, o) = self.from(&sides[0]);
        let (inner, i) = self.from(&sides[1]);
        let both = [o.as_str(), i.as_str()];
        let (left, right) = (left.text(&both), right.text(&both));
        let more = more.as_ref().map(|more| format!("({})", more.text(&both)));
        let columns = list(plain(&o, sides[0].kinds().len()).split(", ").map(str::to_owned));
        let found = match search {
            Search::In => {
                let filter = more.map(|more| format!(" WHERE {more}")).unwrap_or_default();
                format!("{left} IN (SELECT {right} FROM {inner}{filter})")
            }
            Search::Exists | Search::NotExists => {
                let more = more.map(|more| format!(" AND {more}")).unwrap_or_default();
                let not = if *search == Search::NotExists { "NOT " } else { "" };
                format!("{not}EXISTS (SELECT 1 FROM {inner} WHERE {left} = {right}{more})")
            }
        };
        format!("SELECT {columns} FROM {outer} WHERE {found}")
    }

    fn group(&self, query: &Query) -> String {
        let Query::Group { input, keys, sets, calls, having } = query else { unreachable!() };
        let (from, alias) = self.from(input);
        let keys: Vec<String> = keys.iter().map(|key| key.text(&[&alias])).collect();
        let items = list(keys.iter().cloned().chain(calls.iter().map(|call| call.text(&alias))));
        let by = match (sets, keys.split_first()) {
            (_, None) => String::new(),
            (Sets::Plain, _) => format!(" GROUP BY {}", keys.join(", ")),
            (Sets::Rollup, _) => format!(" GROUP BY ROLLUP ({})", keys.join(", ")),
            (Sets::Cube, _) => format!(" GROUP BY CUBE ({})", keys.join(", ")),
            (Sets::Lists, Some((first, [_, ..]))) => {
                format!(" GROUP BY GROUPING SETS (({first}), ({}), ())", keys[1..].join(", "))
            }
            (Sets::Lists, Some((first, []))) => format!(" GROUP BY GROUPING SETS (({first}), ())"),
        };
        let having = having.as_ref().map(|(call, test)| format!("{} {test}", call.text(&alias)));
        // Before its first row a group of all rows says nothing, and the batch gives a row of it. Of the sets some group by nothing.
        let begun = (keys.is_empty() || *sets != Sets::Plain).then(|| "count(*) > 0".to_owned());
        let having = having.into_iter().chain(begun).collect::<Vec<_>>().join(" AND ");
        let having = if having.is_empty() { having } else { format!(" HAVING {having}") };
        format!("SELECT {items} FROM {from}{by}{having}")
    }

    fn windows(&self, query: &Query) -> String {
        let Query::Windows { relation, window, key, calls, filter, columns } = query else { unreachable!() };
        // Calls and filters are over columns by number; here they stand for the relation's own.
        let alias = self.alias();
        let named = |text: String| {
            columns.iter().enumerate().rev().fold(text, |text, (nth, (column, _))| {
                text.replace(
                    &format!("{alias}.c{nth}"),
                    &format!("{alias}.{}", self.column(*relation, *column)),
                )
            })
        };
        let key = self.column(*relation, key.0);
        let from = window.relation(&self.relations[*relation].name, &key);
        let bounds = ["window_start", "window_end"].map(|bound| format!("{alias}.{bound}"));
        let by = format!("{}, {}, {alias}.{key}", bounds[0], bounds[1]);
        let calls = calls.iter().map(|call| named(call.text(&alias)));
        let items = list(bounds.into_iter().chain([format!("{alias}.{key}")]).chain(calls));
        let filter = filter.as_ref().map(|filter| format!(" WHERE {}", named(filter.text(&[&alias]))));
        format!("SELECT {items} FROM {from} AS {alias}{} GROUP BY {by}", filter.unwrap_or_default())
    }

    fn first(&self, query: &Query) -> String {
        let Query::First { input, partition, order, numbers: (first, last), numbered } = query else {
            unreachable!()
        };
        let (from, alias) = self.from(input);
        let width = input.kinds().len();
        let partition =
            partition.iter().map(|column| format!("{alias}.c{column}")).collect::<Vec<_>>().join(", ");
        let partition = if partition.is_empty() { partition } else { format!("PARTITION BY {partition} ") };
        let order = order.iter().map(|order| {
            let direction = if order.descending { "DESC" } else { "ASC" };
            let nulls = if order.nulls_first { "FIRST" } else { "LAST" };
            format!("{alias}.c{} {direction} NULLS {nulls}", order.column)
        });
        let order = order.collect::<Vec<_>>().join(", ");
        let which = if first == last { format!("= {first}") } else { format!("BETWEEN {first} AND {last}") };
        let outer = self.alias();
        let mut items = plain(&outer, width);
        if *numbered {
            items.push_str(&format!(", CAST({outer}.n AS BIGINT) AS c{width}"));
        }
        let columns = plain(&alias, width);
        format!(
            "SELECT {items} FROM (SELECT {columns}, ROW_NUMBER() OVER ({partition}ORDER BY {order}) AS n FROM {from}) AS {outer} \
             WHERE {outer}.n {which}"
        )
    }
}
