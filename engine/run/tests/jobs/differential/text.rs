//! The text of a query: as a stream runs it, or as a batch that says the same of rows by what their clocks were.

use std::cell::Cell;

use super::by_time::{ByTime, Form, What};
use super::expressions::Expr;
use super::query::{Query, Relation, Search, Sets, Source};

/// Of what rows a text is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Of {
    /// Those of the streams.
    Streams,
    /// Those that were on time, of streams that have no others.
    OnTime,
    /// Those that have their clock beside them, `met`, and are told apart by a number, `nr`. Nothing in the text goes by time but
    /// comparisons. Rows may be late by so many seconds.
    Clocked { lateness: i64 },
    /// The same, as if no row were late.
    Unclocked,
}

impl Query {
    /// Its text.
    pub fn sql(&self, relations: &[Relation], of: Of) -> String {
        Writer { relations, of, aliases: Cell::new(0) }.query(self)
    }
}

/// Writes a query, in which no two relations have one name.
struct Writer<'a> {
    relations: &'a [Relation],
    of: Of,
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
            Query::ByTime(query) => self.by_time(query),
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

    /// Expressions over columns by number, `t1.c2`, with the relation's own names.
    fn named(&self, text: String, alias: &str, relation: usize) -> String {
        let columns = self.relations[relation].columns.iter().enumerate().rev();
        columns.fold(text, |text, (nth, (name, _))| {
            text.replace(&format!("{alias}.c{nth}"), &format!("{alias}.{name}"))
        })
    }

    fn windows(&self, query: &Query) -> String {
        let Query::Windows { source, window, key, calls, filter, .. } = query else { unreachable!() };
        let alias = self.alias();
        let (from, key, named) = match source {
            Source::Stream(relation) => {
                let (name, key) = (&self.relations[*relation].name, self.column(*relation, key.0));
                let still_open = |lateness: i64| {
                    format!(" AND (r.met IS NULL OR w.window_end > r.met - INTERVAL '{lateness}' SECOND)")
                };
                let from = match self.of {
                    Of::Streams => window.relation(name, "ts", &key),
                    Of::OnTime => window.relation(&format!("on_time_{name}"), "ts", &key),
                    Of::Clocked { lateness } => {
                        window.plain(&format!("met_{name}"), "ts", &key, &still_open(lateness))
                    }
                    Of::Unclocked => window.plain(&format!("met_{name}"), "ts", &key, ""),
                };
                (from, key, Some(*relation))
            }
            Source::Query(below) => {
                let (table, key) = (format!("({})", self.by_time(below)), format!("c{}", key.0));
                let from = match self.of {
                    Of::Streams | Of::OnTime => window.relation(&table, "c0", &key),
                    Of::Clocked { .. } | Of::Unclocked => window.plain(&table, "c0", &key, ""),
                };
                (from, key, None)
            }
        };
        let named = |text: String| match named {
            Some(relation) => self.named(text, &alias, relation),
            None => text,
        };
        let bounds = ["window_start", "window_end"].map(|bound| format!("{alias}.{bound}"));
        let by = format!("{}, {}, {alias}.{key}", bounds[0], bounds[1]);
        let calls = calls.iter().map(|call| named(call.text(&alias)));
        let items = list(bounds.into_iter().chain([format!("{alias}.{key}")]).chain(calls));
        let filter = filter.as_ref().map(|filter| format!(" WHERE {}", named(filter.text(&[&alias]))));
        format!("SELECT {items} FROM {from} AS {alias}{} GROUP BY {by}", filter.unwrap_or_default())
    }

    /// A stream as one that goes by the order of time reads it.
    fn timed(&self, relation: usize) -> String {
        let name = &self.relations[relation].name;
        match self.of {
            Of::Streams => name.clone(),
            Of::OnTime => format!("on_time_{name}"),
            Of::Clocked { lateness } => format!(
                "(SELECT * FROM met_{name} WHERE ts IS NOT NULL AND (met IS NULL OR ts >= met - INTERVAL '{lateness}' SECOND))"
            ),
            Of::Unclocked => format!("(SELECT * FROM met_{name} WHERE ts IS NOT NULL)"),
        }
    }

    fn by_time(&self, query: &ByTime) -> String {
        let aliases: Vec<String> = query.reads.iter().map(|_| self.alias()).collect();
        let both: Vec<&str> = aliases.iter().map(String::as_str).collect();
        let named = |text: String| {
            let sides = aliases.iter().zip(&query.reads);
            sides.fold(text, |text, (alias, read)| self.named(text, alias, read.relation))
        };
        let tables: Vec<String> = query.reads.iter().map(|read| self.timed(read.relation)).collect();
        let (from, found) = match &query.what {
            What::Over { .. } => (format!("{} AS {}", tables[0], both[0]), None),
            What::Interval { .. } => interval(query, &tables, &both),
            What::Versions { .. } => (self.versions(query, &tables, &both), None),
        };
        let time = format!("{}.ts", both[0]);
        let mut items = vec![time.clone()];
        items.extend(query.items.iter().map(|item| item.text(&both)));
        if let What::Over { partition, order, calls } = &query.what {
            let columns: Vec<String> =
                partition.iter().map(|column| format!("{}.c{column}", both[0])).collect();
            let partition = match columns.is_empty() {
                true => String::new(),
                false => format!("PARTITION BY {} ", columns.join(", ")),
            };
            let order: String = order.iter().map(|order| format!(", {}", order.text(both[0]))).collect();
            items.extend(calls.iter().map(|call| call.text(both[0], &partition, &time, &order)));
        }
        let filter = query.filter.as_ref().map(|filter| format!("({})", filter.text(&both)));
        let filter = found.into_iter().chain(filter).collect::<Vec<_>>().join(" AND ");
        let filter = if filter.is_empty() { filter } else { format!(" WHERE {filter}") };
        named(format!("SELECT {} FROM {from}{filter}", list(items)))
    }

    /// A join with versions: in SQL without them, each left row with the nearest right one of its key.
    fn versions(&self, query: &ByTime, tables: &[String], both: &[&str]) -> String {
        let What::Versions { form, outer, on, more } = &query.what else { unreachable!() };
        let (l, r) = (both[0], both[1]);
        let equal = |l: &str| {
            on.iter().map(|(a, b)| format!("{l}.c{a} = {r}.c{b}")).collect::<Vec<_>>().join(" AND ")
        };
        let more = more.as_ref().map(|more| format!(" AND ({})", more.text(both))).unwrap_or_default();
        let (left, right) = (format!("{} AS {l}", tables[0]), &tables[1]);
        let sign = form.sign();
        if matches!(self.of, Of::Streams | Of::OnTime) {
            let outer = if *outer { "LEFT " } else { "" };
            let on = equal(l);
            return match form {
                Form::System => {
                    format!("{left} {outer}JOIN {right} FOR SYSTEM_TIME AS OF {l}.ts AS {r} ON {on}{more}")
                }
                Form::AsOf(_) => {
                    format!("{left} ASOF {outer}JOIN {right} AS {r} ON {on} AND {r}.ts {sign} {l}.ts{more}")
                }
                Form::Match(_) => {
                    let sign = sign.replace('<', "@").replace('>', "<").replace('@', ">");
                    format!(
                        "{left} ASOF JOIN {right} AS {r} MATCH_CONDITION ({l}.ts {sign} {r}.ts) ON {on}{more}"
                    )
                }
            };
        }
        let outer = if *outer { "LEFT " } else { "" };
        let nearest = if sign.starts_with('<') { "DESC" } else { "ASC" };
        let width = query.reads[1].kinds.len();
        // Of two of one time the greater by its columns is valid.
        let greatest: String = (0..width).map(|column| format!(", {r}.c{column} DESC NULLS LAST")).collect();
        let columns: String = (0..width).map(|column| format!(", {r}.c{column}")).collect();
        let asks = self.alias();
        let asking = self.named(equal(&asks), &asks, query.reads[0].relation);
        let versions = format!(
            "(SELECT * FROM (SELECT {asks}.nr AS asks{columns}, \
               ROW_NUMBER() OVER (PARTITION BY {asks}.nr ORDER BY {r}.ts {nearest}{greatest}) AS place \
             FROM {} AS {asks} JOIN {right} AS {r} ON {asking} AND {r}.ts {sign} {asks}.ts) WHERE place = 1)",
            tables[0]
        );
        format!("{left} {outer}JOIN {versions} AS {r} ON {r}.asks = {l}.nr{more}")
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
        let order = order.iter().map(|order| order.text(&alias)).collect::<Vec<_>>().join(", ");
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

/// Two streams joined by an interval, and what is asked for besides of rows that are only looked for.
fn interval(query: &ByTime, tables: &[String], both: &[&str]) -> (String, Option<String>) {
    let What::Interval { kind, on, least, most, strict, more } = &query.what else { unreachable!() };
    let (l, r) = (both[0], both[1]);
    let on = on.iter().map(|(a, b)| format!("{l}.c{a} = {r}.c{b}"));
    let shifted = |by: &i64| match by {
        0 => format!("{l}.ts"),
        _ => format!("{l}.ts + INTERVAL '{by}' SECOND"),
    };
    let within = match strict {
        true => format!("{r}.ts > {} AND {r}.ts < {}", shifted(least), shifted(most)),
        false => format!("{r}.ts BETWEEN {} AND {}", shifted(least), shifted(most)),
    };
    let more = more.iter().map(|more| format!("({})", more.text(both)));
    let on = on.chain([within]).chain(more).collect::<Vec<_>>().join(" AND ");
    match kind.strip_suffix("EXISTS") {
        Some(not) => {
            let found = format!("{not}EXISTS (SELECT 1 FROM {} AS {r} WHERE {on})", tables[1]);
            (format!("{} AS {l}", tables[0]), Some(found))
        }
        None => (format!("{} AS {l} {kind} {} AS {r} ON {on}", tables[0], tables[1]), None),
    }
}
