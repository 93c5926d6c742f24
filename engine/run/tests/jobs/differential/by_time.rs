//! What goes by event time besides windows: OVER in its order, joins by an interval, joins with versions. The first column, `c0`, is the
//! time of the first stream.

use headwater_core::world::sim::SimRandom;

use super::expressions::Kind::{self, Bool, Double, Int, Text, Time};
use super::expressions::{Column, Expr, fill};
use super::query::{Order, columns_of};

#[derive(Clone, Debug, PartialEq)]
pub struct ByTime {
    pub what: What,
    /// The streams that it reads, one or two, and all their columns; the last one is the time.
    pub reads: Vec<Read>,
    pub filter: Option<Expr>,
    /// The columns behind the time.
    pub items: Vec<Expr>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    pub relation: usize,
    pub kinds: Vec<Kind>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum What {
    Over {
        partition: Vec<usize>,
        /// What rows of one time are ordered by: all other columns.
        order: Vec<Order>,
        calls: Vec<Call>,
    },
    Interval {
        kind: &'static str,
        on: Vec<(usize, usize)>,
        /// From the left time to the right one, in seconds.
        least: i64,
        most: i64,
        /// Whether the bounds themselves are outside.
        strict: bool,
        more: Option<Expr>,
    },
    Versions {
        form: Form,
        /// Whether rows stay that find no version.
        outer: bool,
        on: Vec<(usize, usize)>,
        more: Option<Expr>,
    },
}

/// How a join with versions is spelled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Form {
    /// `FOR SYSTEM_TIME AS OF`, over a stream with a primary key.
    System,
    /// How the right time stands to the left one: `<=`, `<`, `>=`, `>`.
    AsOf(&'static str),
    /// The same in Snowflake's words.
    Match(&'static str),
}

impl Form {
    pub fn sign(self) -> &'static str {
        match self {
            Self::System => "<=",
            Self::AsOf(sign) | Self::Match(sign) => sign,
        }
    }

    /// One that need not keep rows without a match.
    pub fn unmatched(self) -> Self {
        match self {
            Self::Match(sign) => Self::AsOf(sign),
            other => other,
        }
    }

    /// One to which a row of the very time is what it is not to this one.
    pub fn turned(self) -> Self {
        let turn = |sign| match sign {
            "<=" => "<",
            "<" => "<=",
            ">=" => ">",
            _ => ">=",
        };
        match self {
            Self::System => Self::AsOf("<"),
            Self::AsOf(sign) => Self::AsOf(turn(sign)),
            Self::Match(sign) => Self::Match(turn(sign)),
        }
    }
}

/// A function over the rows around.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pub kind: Kind,
    text: &'static str,
    pub args: Vec<Expr>,
}

/// The result's type, the text, and the arguments' types. `@`: rows in an order in which no two are alike; `%`: rows of one time are peers.
const CALLS: &[(Kind, &str, &[Kind])] = &[
    (Int, "CAST(ROW_NUMBER() OVER (@) AS BIGINT) + 0", &[]),
    (Int, "LAG($0) OVER (@)", &[Int]),
    (Text, "LAG($0, 2, 'none') OVER (@)", &[Text]),
    (Int, "LEAD($0, 1, 0) OVER (@)", &[Int]),
    (Time, "LEAD($0) OVER (@)", &[Time]),
    (Int, "SUM($0) OVER (@ ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)", &[Int]),
    (Int, "COUNT($0) OVER (@ ROWS BETWEEN 1 PRECEDING AND 2 FOLLOWING)", &[Text]),
    (Int, "MIN($0) OVER (@ ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING)", &[Int]),
    (Double, "MAX($0) OVER (@ ROWS UNBOUNDED PRECEDING)", &[Double]),
    (Double, "SUM($0) OVER (@ ROWS BETWEEN 3 PRECEDING AND CURRENT ROW)", &[Double]),
    (Text, "FIRST_VALUE($0) OVER (@ ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING)", &[Text]),
    (Int, "LAST_VALUE($0) OVER (@ ROWS BETWEEN CURRENT ROW AND 1 FOLLOWING)", &[Int]),
    (Text, "NTH_VALUE($0, 2) OVER (@ ROWS BETWEEN 4 PRECEDING AND CURRENT ROW)", &[Text]),
    (Int, "COUNT(*) OVER (%)", &[]),
    (Int, "CAST(RANK() OVER (%) AS BIGINT) + 0", &[]),
    (Int, "CAST(DENSE_RANK() OVER (%) AS BIGINT) + 0", &[]),
    (Int, "SUM($0) OVER (% RANGE BETWEEN INTERVAL '5' SECOND PRECEDING AND CURRENT ROW)", &[Int]),
    (Int, "SUM($0) FILTER (WHERE $1) OVER (% RANGE UNBOUNDED PRECEDING)", &[Int, Bool]),
    (
        Text,
        "MAX($0) OVER (% RANGE BETWEEN INTERVAL '3' SECOND PRECEDING AND INTERVAL '2' SECOND FOLLOWING)",
        &[Text],
    ),
    (
        Int,
        "MIN($0) OVER (% RANGE BETWEEN INTERVAL '9' SECOND PRECEDING AND INTERVAL '1' SECOND PRECEDING)",
        &[Int],
    ),
    (Int, "COUNT($0) OVER (% RANGE BETWEEN CURRENT ROW AND INTERVAL '4' SECOND FOLLOWING)", &[Double]),
    (Bool, "BOOL_OR($0) OVER (% RANGE UNBOUNDED PRECEDING)", &[Bool]),
];

impl Call {
    fn any(random: &SimRandom, columns: &[Column]) -> Self {
        let (kind, text, args) = CALLS[random.index(CALLS.len())];
        let args = args.iter().map(|kind| Expr::over_columns(random, *kind, columns, 1)).collect();
        Self { kind, text, args }
    }

    /// Its text over the rows of a name, in the order of a time and of other columns.
    pub fn text(&self, alias: &str, partition: &str, time: &str, order: &str) -> String {
        let peers = format!("{partition}ORDER BY {time}");
        let text = self.text.replace('@', &format!("{peers}{order}")).replace('%', &peers);
        fill(&text, &self.args, &[alias])
    }
}

impl ByTime {
    pub fn kinds(&self) -> Vec<Kind> {
        let calls: Vec<Kind> = match &self.what {
            What::Over { calls, .. } => calls.iter().map(|call| call.kind).collect(),
            What::Interval { .. } | What::Versions { .. } => Vec::new(),
        };
        [Time].into_iter().chain(self.items.iter().map(Expr::kind)).chain(calls).collect()
    }

    /// Whether each row that comes out has a time by which it may be put into windows.
    pub fn has_time(&self) -> bool {
        match &self.what {
            What::Over { calls, .. } => !calls.iter().any(|call| call.text.contains("FOLLOWING")),
            What::Interval { kind, .. } => matches!(*kind, "JOIN" | "LEFT JOIN"),
            What::Versions { form, .. } => form.sign().starts_with('<'),
        }
    }

    /// Whether `ALLOW LATENESS` holds for it.
    pub fn takes_late(&self) -> bool {
        matches!(self.what, What::Interval { .. })
    }

    pub fn exprs_mut(&mut self) -> Vec<&mut Expr> {
        let own: Vec<&mut Expr> = match &mut self.what {
            What::Over { calls, .. } => calls.iter_mut().flat_map(|call| &mut call.args).collect(),
            What::Interval { more, .. } | What::Versions { more, .. } => more.iter_mut().collect(),
        };
        own.into_iter().chain(&mut self.filter).chain(&mut self.items).collect()
    }

    /// The columns of relations that it reads.
    pub fn reads(&self) -> Vec<(usize, usize)> {
        let mut all = Vec::new();
        self.clone().exprs_mut().into_iter().for_each(|expr| expr.columns(&mut all));
        match &self.what {
            What::Over { partition, order, .. } => {
                all.extend(partition.iter().map(|column| (0, *column)));
                all.extend(order.iter().map(|order| (0, order.column)));
            }
            What::Interval { on, .. } | What::Versions { on, .. } => {
                all.extend(on.iter().flat_map(|(left, right)| [(0, *left), (1, *right)]));
            }
        }
        if let What::Versions { .. } = self.what {
            // Which of two versions of one time is the greater.
            all.extend((0..self.reads[1].kinds.len()).map(|column| (1, column)));
        }
        all.extend(self.reads.iter().enumerate().map(|(side, read)| (side, read.kinds.len() - 1)));
        all.into_iter().map(|(side, column)| (self.reads[side].relation, column)).collect()
    }
}

/// Makes them up over streams of these columns; the last of each is its time, the first its key, by which those of `keyed` have versions.
pub struct TimeMaker<'a> {
    pub random: &'a SimRandom,
    pub streams: Vec<Read>,
    pub keyed: Vec<bool>,
}

impl TimeMaker<'_> {
    fn one_of<T: Copy>(&self, choices: &[T]) -> T {
        choices[self.random.index(choices.len())]
    }

    pub fn any(&self) -> ByTime {
        match self.random.below(3) {
            0 => self.over(),
            1 => self.interval(),
            _ => self.versions(),
        }
    }

    fn stream(&self) -> Read {
        self.streams[self.random.index(self.streams.len())].clone()
    }

    /// Some of these columns, and something that is computed of them.
    fn items(&self, columns: &[Column]) -> Vec<Expr> {
        let mut items: Vec<Expr> =
            columns.iter().filter(|_| self.random.chance(1, 2)).map(|column| Expr::Column(*column)).collect();
        if items.is_empty() || self.random.chance(1, 4) {
            items.push(Expr::any(self.random, Kind::any(self.random), columns, 2));
        }
        items.truncate(5);
        items
    }

    fn filter(&self, columns: &[Column]) -> Option<Expr> {
        self.random.chance(1, 5).then(|| Expr::over_columns(self.random, Bool, columns, 2))
    }

    fn over(&self) -> ByTime {
        let read = self.stream();
        let columns = columns_of(&read.kinds, 0);
        let partition = self.one_of(&[&[0][..], &[0], &[0, 1], &[1], &[]]).to_vec();
        // The time comes first.
        let order = (0..read.kinds.len() - 1).map(|column| Order {
            column,
            descending: self.random.chance(1, 2),
            nulls_first: self.random.chance(1, 2),
        });
        let what = What::Over {
            partition,
            order: order.collect(),
            calls: (0..1 + self.random.index(3)).map(|_| Call::any(self.random, &columns)).collect(),
        };
        let (filter, items) = (self.filter(&columns), self.items(&columns));
        ByTime { what, reads: vec![read], filter, items }
    }

    fn interval(&self) -> ByTime {
        let reads = [self.stream(), self.stream()];
        let kind = self.one_of(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "EXISTS", "NOT EXISTS"]);
        let (least, most) = self.one_of(&[(-2, 1), (0, 3), (-4, 0), (1, 4), (-5, -2), (0, 0), (-10, 10)]);
        let left = columns_of(&reads[0].kinds, 0);
        let both: Vec<Column> = left.iter().copied().chain(columns_of(&reads[1].kinds, 1)).collect();
        let on = self.one_of(&[&[(0, 0)][..], &[(0, 0)], &[(0, 0), (1, 1)], &[(1, 1)]]).to_vec();
        let more = self.random.chance(1, 3).then(|| Expr::over_columns(self.random, Bool, &both, 2));
        let seen = if kind.ends_with("JOIN") { &both } else { &left };
        let (filter, items) = (self.filter(seen), self.items(seen));
        let strict = least < most && self.random.chance(1, 3);
        let what = What::Interval { kind, on, least, most, strict, more };
        ByTime { what, reads: reads.to_vec(), filter, items }
    }

    fn versions(&self) -> ByTime {
        let left = self.stream();
        let versioned = self.streams.iter().filter(|read| self.keyed[read.relation]).cloned();
        let versioned: Vec<Read> = versioned.collect();
        let sign = self.one_of(&["<=", "<=", "<", ">=", ">"]);
        let form = match self.random.below(4) {
            0 | 1 if !versioned.is_empty() => Form::System,
            0 => Form::Match(sign),
            _ => Form::AsOf(sign),
        };
        let (right, on) = match form {
            Form::System => (versioned[self.random.index(versioned.len())].clone(), vec![(0, 0)]),
            _ => (self.stream(), self.one_of(&[&[(0, 0)][..], &[(0, 0)], &[(0, 0), (1, 1)]]).to_vec()),
        };
        let both: Vec<Column> =
            columns_of(&left.kinds, 0).into_iter().chain(columns_of(&right.kinds, 1)).collect();
        // An equality of both sides would be one of the key.
        let more = Expr::over_columns(self.random, Bool, &both, 1);
        let is_equality = ["=", "<>", "DISTINCT"].iter().any(|sign| more.text(&["l", "r"]).contains(sign));
        let more = (self.random.chance(1, 3) && !is_equality).then_some(more);
        let outer = matches!(form, Form::Match(_)) || self.random.chance(1, 2);
        let (filter, items) = (self.filter(&both), self.items(&both));
        ByTime { what: What::Versions { form, outer, on, more }, reads: vec![left, right], filter, items }
    }
}
