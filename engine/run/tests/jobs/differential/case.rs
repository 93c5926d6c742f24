//! A case: everything that is run, as it can be made smaller.

use std::collections::BTreeSet;

use headwater_core::world::sim::SimRandom;

use super::expressions::Kind;
use super::maker::{Maker, any_kinds};
use super::query::{Query, Relation};
use super::rows::{Clocks, DELAY, Row, Standing, Value};
use super::script::Event;
use super::text::Of;

/// What a relation is.
#[derive(Clone, Debug)]
pub enum Body {
    Stream {
        shards: u32,
    },
    /// Each row takes the place of the one before with its key, or deletes it.
    Changes {
        shards: u32,
    },
    /// A materialized view, whose changes the query reads.
    View(Box<Query>),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Strike {
    Nothing,
    Kill(usize),
    LosePower(usize),
    Restart(usize),
    /// So many milliseconds pass.
    Wait(u64),
}

#[derive(Clone, Debug)]
pub struct Round {
    pub rows: Vec<Row>,
    pub turns: usize,
    pub strike: Strike,
    /// Whether the jobs catch up, and results are compared, before the next.
    pub settles: bool,
}

#[derive(Clone, Debug)]
pub struct Case {
    pub seed: u64,
    pub step_rows: usize,
    pub checkpoint_millis: u64,
    pub workers: usize,
    /// Whether streams have watermarks and are read in windows.
    pub windowed: bool,
    pub relations: Vec<Relation>,
    pub bodies: Vec<Body>,
    pub query: Query,
    /// When results come out, if not by themselves.
    pub emit: &'static str,
    /// For how many seconds rows are taken that come too late.
    pub lateness: Option<i64>,
    /// Whether there are rows that are late for some of their windows, or for all but sessions: what they are in only arithmetic tells.
    pub between: bool,
    pub rounds: Vec<Round>,
    /// Whether columns that nothing reads are left out.
    pub is_narrow: bool,
}

impl Case {
    /// The case of a seed.
    pub fn any(seed: u64, attempt: u64, windowed: bool, depth: u32) -> Self {
        let random = SimRandom::new(seed).fork(&format!("case {attempt}"));
        let (mut relations, mut bodies) = (Vec::new(), Vec::new());
        for nth in 0..1 + random.index(3) {
            let mut kinds = any_kinds(&random);
            kinds.extend(windowed.then_some(Kind::Time));
            let name = |column: usize| match column {
                0 => "k".to_owned(),
                1 => "n".to_owned(),
                last if windowed && last + 1 == kinds.len() => "ts".to_owned(),
                other => format!("x{other}"),
            };
            let columns = kinds.iter().enumerate().map(|(column, kind)| (name(column), *kind)).collect();
            let keyed = windowed && random.chance(1, 2);
            relations.push(Relation { name: format!("s{nth}"), columns, keyed });
            let shards = 1 + random.index(3) as u32;
            bodies.push(match !windowed && random.chance(1, 4) {
                true => Body::Changes { shards },
                false => Body::Stream { shards },
            });
        }
        let grain = [1, 500][random.index(2)];
        let rounds =
            Rounds { random: &random, relations: &relations, bodies: &bodies, windowed, grain }.any();
        if !windowed && random.chance(1, 3) {
            let query = Maker { random: &random, relations: &relations, windowed }.any(1);
            let columns = query.kinds().into_iter().enumerate().map(|(nth, kind)| (format!("c{nth}"), kind));
            relations.push(Relation { name: "v0".to_owned(), columns: columns.collect(), keyed: false });
            bodies.push(Body::View(Box::new(query)));
        }
        let emit = match windowed && random.chance(1, 3) {
            true => [" EMIT CHANGES", " EMIT EVERY INTERVAL '20' SECOND"][random.index(2)],
            false => "",
        };
        let query = Maker { random: &random, relations: &relations, windowed }.any(depth);
        let is_lenient = windowed && query.takes_late() && random.chance(1, 2);
        Self {
            // The machine's own decides how much memory there is for state.
            seed: random.below(1_000),
            step_rows: 1 + random.index(30),
            checkpoint_millis: 1 + random.below(2_000),
            workers: 1 + random.index(4),
            windowed,
            relations,
            bodies,
            query,
            emit,
            lateness: is_lenient.then(|| 1 + random.below(12) as i64),
            between: windowed && random.chance(1, 2),
            rounds,
            is_narrow: false,
        }
    }

    /// What the query and the views that it reads read of each relation.
    fn reads(&self) -> BTreeSet<(usize, usize)> {
        let mut all: BTreeSet<(usize, usize)> = self.query.reads().into_iter().collect();
        for (nth, body) in self.bodies.iter().enumerate().rev() {
            if let Body::View(query) = body
                && all.iter().any(|(relation, _)| *relation == nth)
            {
                all.extend(query.reads());
            }
        }
        all
    }

    /// Everything that happens, in order.
    pub fn events(&self) -> Vec<Event> {
        let reads = self.reads();
        let is_read = |relation: usize| reads.iter().any(|(read, _)| *read == relation);
        let mut events = vec![Event::Machine {
            seed: self.seed,
            step_rows: self.step_rows,
            checkpoint_millis: self.checkpoint_millis,
            workers: self.workers,
        }];
        let used: Vec<usize> = (0..self.relations.len()).filter(|nth| is_read(*nth)).collect();
        for nth in &used {
            events.extend(self.definitions(*nth, &reads));
        }
        events.extend(self.view());
        let mut clocks: Vec<Clocks> = self.bodies.iter().map(|body| Clocks::new(shards_of(body))).collect();
        for round in &self.rounds {
            for nth in &used {
                let rows: Vec<&Row> = round.rows.iter().filter(|row| row.relation == *nth).collect();
                events.extend(self.inserts(*nth, &rows, &reads, &mut clocks[*nth]));
            }
            events.extend((round.turns > 0).then_some(Event::Turns(round.turns)));
            events.extend(match round.strike {
                Strike::Nothing => None,
                Strike::Kill(workers) => Some(Event::Kill(workers)),
                Strike::LosePower(workers) => Some(Event::LosePower(workers)),
                Strike::Restart(workers) => Some(Event::Restart(workers)),
                Strike::Wait(millis) => Some(Event::Wait(millis)),
            });
            if round.settles {
                events.push(if self.windowed { Event::CatchUp } else { Event::Compare });
            }
        }
        events.push(if self.windowed { Event::Finish } else { Event::Compare });
        events
    }

    /// The view, and what it is compared with, if it is not the query itself.
    fn view(&self) -> Vec<Event> {
        let text = |of| self.query.sql(&self.relations, of);
        let lateness = self.lateness.map(|seconds| format!(" ALLOW LATENESS INTERVAL '{seconds}' SECOND"));
        let (query, lateness) = (text(Of::Streams), lateness.unwrap_or_default());
        let view = Event::Sql(format!("CREATE MATERIALIZED VIEW result AS {query}{}{lateness}", self.emit));
        let batch = |of| Event::Batch { view: "result".to_owned(), sql: text(of) };
        let mut all = vec![view];
        all.extend(self.windowed.then(|| batch(self.clocked())));
        all.extend(self.has_on_time().then(|| batch(Of::OnTime)));
        all
    }

    /// What the rows are that a batch reads.
    pub fn clocked(&self) -> Of {
        match self.windowed {
            true => Of::Clocked { lateness: self.lateness.unwrap_or(0) },
            false => Of::Streams,
        }
    }

    /// Whether there are streams of the rows that are on time, and all others are late for everything.
    fn has_on_time(&self) -> bool {
        self.windowed && !self.between && self.lateness.is_none()
    }

    /// Whether a column of a relation is there.
    fn has(&self, relation: usize, column: usize, reads: &BTreeSet<(usize, usize)>) -> bool {
        let is_time = self.windowed && column + 1 == self.relations[relation].columns.len();
        !self.is_narrow || column == 0 || is_time || reads.contains(&(relation, column))
    }

    fn definitions(&self, nth: usize, reads: &BTreeSet<(usize, usize)>) -> Vec<Event> {
        let Relation { name, columns, keyed } = &self.relations[nth];
        let here = columns.iter().enumerate().filter(|(column, _)| self.has(nth, *column, reads));
        let columns: Vec<String> = here.map(|(_, (name, kind))| format!("{name} {}", kind.sql())).collect();
        let columns = columns.join(", ");
        match &self.bodies[nth] {
            Body::View(query) => {
                let query = query.sql(&self.relations, Of::Streams);
                vec![Event::Sql(format!("CREATE MATERIALIZED VIEW {name} AS {query}"))]
            }
            Body::Changes { shards } => vec![Event::Sql(format!(
                "CREATE STREAM {name} ({columns}, PRIMARY KEY (k) NOT ENFORCED) WITH ('changelog.mode' = 'upsert', shards = {shards})"
            ))],
            Body::Stream { shards } if self.windowed => {
                let key = if *keyed { ", PRIMARY KEY (k) NOT ENFORCED" } else { "" };
                let define = |name: &str| {
                    Event::Sql(format!(
                        "CREATE STREAM {name} ({columns}, WATERMARK FOR ts AS ts - INTERVAL '{}' SECOND{key}) PARTITIONED BY (k) \
                         WITH (shards = {shards}, 'scan.watermark.idle-timeout' = '1 day', 'clock.guard' = 'none')",
                        DELAY / 1_000
                    ))
                };
                let mut all = vec![define(name)];
                all.push(Event::Sql(format!(
                    "CREATE STREAM met_{name} ({columns}, met TIMESTAMP(3), nr BIGINT) WITH (shards = 1)"
                )));
                all.extend(self.has_on_time().then(|| define(&format!("on_time_{name}"))));
                all
            }
            Body::Stream { shards } => vec![Event::Sql(format!(
                "CREATE STREAM {name} ({columns}) PARTITIONED BY (k) WITH (shards = {shards})"
            ))],
        }
    }

    /// Appends the rows of a round, and again, for the batch, with their clocks and numbers; and those that are not late.
    fn inserts(
        &self,
        nth: usize,
        rows: &[&Row],
        reads: &BTreeSet<(usize, usize)>,
        clocks: &mut Clocks,
    ) -> Vec<Event> {
        let (mut all, mut met, mut on_time) = (Vec::new(), Vec::new(), Vec::new());
        let sessions = self.query.has_sessions();
        for row in rows {
            let here = row.values.iter().enumerate().filter(|(column, _)| self.has(nth, *column, reads));
            let mut values: Vec<String> = here.map(|(_, value)| value.literal()).collect();
            if matches!(self.bodies[nth], Body::Changes { .. }) {
                values.push(row.weight.to_string());
            }
            if self.windowed {
                let (key, time) = (&row.values[0], &row.values[row.values.len() - 1]);
                let clock = clocks.clock(key);
                let standing = clock.standing(time);
                let skipped = match standing {
                    Standing::OnTime => false,
                    // A session that is open may reach back to a row that is late otherwise.
                    Standing::Late => sessions,
                    Standing::Between => sessions || !self.between,
                };
                if skipped {
                    continue;
                }
                if standing == Standing::OnTime && *time != Value::Null {
                    on_time.push(format!("({})", values.join(", ")));
                }
                let number = clocks.pass(key, time);
                met.push(format!("({}, {}, {number})", values.join(", "), clock.value().literal()));
            }
            all.push(format!("({})", values.join(", ")));
        }
        if !self.has_on_time() {
            on_time.clear();
        }
        let insert = |stream: String, rows: Vec<String>| {
            (!rows.is_empty()).then(|| Event::Insert { stream, rows: rows.join(", ") })
        };
        let name = &self.relations[nth].name;
        let others = [("met_", met), ("on_time_", on_time)];
        let others = others.into_iter().filter_map(|(of, rows)| insert(format!("{of}{name}"), rows));
        insert(name.clone(), all).into_iter().chain(others).collect()
    }
}

fn shards_of(body: &Body) -> u32 {
    match body {
        Body::Stream { shards } | Body::Changes { shards } => *shards,
        Body::View(_) => 1,
    }
}

/// Makes up what happens.
struct Rounds<'a> {
    random: &'a SimRandom,
    relations: &'a [Relation],
    bodies: &'a [Body],
    windowed: bool,
    /// What times are multiples of, in milliseconds.
    grain: i64,
}

impl Rounds<'_> {
    fn any(&self) -> Vec<Round> {
        let mut time = 100_000;
        let round = |_| Round {
            rows: self.rows(&mut time),
            turns: self.random.index(40),
            strike: self.strike(),
            settles: self.random.chance(1, 4),
        };
        (0..4 + self.random.index(4)).map(round).collect()
    }

    fn strike(&self) -> Strike {
        let workers = 1 + self.random.index(4);
        match self.random.below(7) {
            0 => Strike::Kill(workers),
            1 => Strike::LosePower(workers),
            2 => Strike::Restart(workers),
            3 => Strike::Wait(self.random.below(3_000)),
            _ => Strike::Nothing,
        }
    }

    fn rows(&self, time: &mut i64) -> Vec<Row> {
        let mut rows: Vec<Row> = Vec::new();
        for relation in 0..self.relations.len() {
            for _ in 0..self.random.index(8) {
                let again = rows.last().filter(|last| last.relation == relation && self.random.chance(1, 8));
                let row = again.cloned().unwrap_or_else(|| self.row(relation, time));
                rows.push(row);
            }
        }
        rows
    }

    fn row(&self, relation: usize, time: &mut i64) -> Row {
        let is_change = matches!(self.bodies[relation], Body::Changes { .. });
        let kinds = self.relations[relation].columns.iter().map(|(_, kind)| *kind);
        let mut values: Vec<Value> = kinds.map(|kind| Value::any(self.random, kind)).collect();
        if is_change || self.relations[relation].keyed || self.random.chance(9, 10) {
            values[0] = Value::any_key(self.random);
        }
        if self.windowed {
            *time += self.random.below(3_000) as i64;
            let back = match self.random.below(12) {
                0 => 60_000 + self.random.below(30_000),
                1..5 => self.random.below(2_500),
                _ => 0,
            };
            let last = values.len() - 1;
            if values[last] != Value::Null || self.random.chance(2, 3) {
                values[last] = Value::Time((*time - back as i64) / self.grain * self.grain);
            }
        }
        let weight = if is_change && self.random.chance(1, 4) { -1 } else { 1 };
        Row { relation, values, weight }
    }
}
