//! Queries as trees. Each has columns `c0`, `c1`, ... of known types, and reads the queries below it by these names.

use super::aggregates::Aggregate;
use super::by_time::ByTime;
use super::expressions::Kind::{self, Int, Time};
use super::expressions::{Column, Expr};
use super::windows::Window;

/// What a query can read.
#[derive(Clone, Debug)]
pub struct Relation {
    pub name: String,
    /// The names of its columns, and their types.
    pub columns: Vec<(String, Kind)>,
    /// Whether the first is declared as its primary key, so that it has versions.
    pub keyed: bool,
}

/// What windows are over.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    Stream(usize),
    /// By its first column.
    Query(ByTime),
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

impl Order {
    /// Its text, over a relation of this name.
    pub fn text(&self, alias: &str) -> String {
        let direction = if self.descending { "DESC" } else { "ASC" };
        let nulls = if self.nulls_first { "FIRST" } else { "LAST" };
        format!("{alias}.c{} {direction} NULLS {nulls}", self.column)
    }
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
    ByTime(ByTime),
    Windows {
        source: Source,
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
            Self::ByTime(query) => query.kinds(),
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
            Self::Windows { .. } | Self::ByTime(_) => rows * 2,
            Self::Set { sides, .. } => sides[0].size(rows) + sides[1].size(rows),
        }
    }

    pub fn children(&self) -> Vec<&Query> {
        match self {
            Self::Scan { .. } | Self::ByTime(_) | Self::Windows { .. } => Vec::new(),
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
            Self::Scan { .. } | Self::ByTime(_) | Self::Windows { .. } => Vec::new(),
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
            Self::ByTime(query) => query.exprs_mut(),
            Self::Windows { source, calls, filter, .. } => {
                let below = match source {
                    Source::Stream(_) => Vec::new(),
                    Source::Query(query) => query.exprs_mut(),
                };
                below
                    .into_iter()
                    .chain(calls.iter_mut().flat_map(Aggregate::exprs_mut))
                    .chain(filter)
                    .collect()
            }
        }
    }

    /// The columns of relations that it reads.
    pub fn reads(&self) -> Vec<(usize, usize)> {
        let mut all: Vec<(usize, usize)> = match self {
            Self::Scan { relation, columns } => {
                columns.iter().map(|(column, _)| (*relation, *column)).collect()
            }
            Self::Windows { source: Source::Stream(relation), columns, .. } => {
                columns.iter().map(|(column, _)| (*relation, *column)).collect()
            }
            Self::ByTime(query) | Self::Windows { source: Source::Query(query), .. } => query.reads(),
            _ => Vec::new(),
        };
        all.extend(self.children().into_iter().flat_map(Self::reads));
        all
    }

    /// Whether there are windows of sessions over a stream in it.
    pub fn has_sessions(&self) -> bool {
        let own =
            matches!(self, Self::Windows { source: Source::Stream(_), window, .. } if window.is_session());
        own || self.children().into_iter().any(Self::has_sessions)
    }

    /// Whether late rows may be allowed for, and are: some of it goes by windows or by an interval, and nothing by order.
    pub fn takes_late(&self) -> bool {
        let own = match self {
            Self::Scan { .. } => false,
            Self::ByTime(query) => query.takes_late(),
            Self::Windows { source, window, .. } => {
                !window.is_session()
                    && match source {
                        Source::Stream(_) => true,
                        Source::Query(query) => query.takes_late(),
                    }
            }
            _ => true,
        };
        own && self.children().into_iter().all(Self::takes_late)
    }
}
