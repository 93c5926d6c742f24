//! `system.connectors`: how sources and sinks do, those that do not run among them.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{BooleanArray, Float64Array};
use headwater_ingest::{CURSORS, Marks};
use headwater_plan::{Entry, StreamDef};

use super::{Columns, number, text};
use crate::engine::Inner;
use crate::options::{ConnectorStatus, Role, RunningConnector};

/// | column | |
/// |---|---|
/// | table, connector | the table's name, and its connector's |
/// | role | `source` or `sink`; NULL until the first use decides |
/// | state | `starting`, `running`, `retrying` after a failure, `ended` (a bounded source), `stopped`, `failed`, `unused` |
/// | bounded | whether its input ends by itself |
/// | lag | rows that wait: outside for a source (NULL if it cannot tell), in the log for a sink |
/// | lag_ms | for a source: for how long the oldest of them has waited (NULL if it cannot tell) |
/// | rows, dead_letters, failures | since the process started |
/// | rows_per_second | over the last ten seconds |
/// | last_error | the last failure, with its code |
/// | position | where it stands, as JSON: a source's in each partition, a sink's next row of each shard; of one at rest as the log has it |
pub(super) fn connectors(inner: &Arc<Inner>) -> Columns {
    let all = Row::all(inner);
    let stored = Stored::new(inner);
    Columns(vec![
        ("table", text(&all, |row| Some(row.def.name.clone()))),
        ("connector", text(&all, |row| row.def.connector.clone())),
        ("role", text(&all, |row| row.role.map(Role::as_str))),
        ("state", text(&all, |row| Some(row.status.as_ref().map_or(row.unstarted(), |status| status.state)))),
        ("bounded", Arc::new(all.iter().map(Row::is_bounded).collect::<BooleanArray>())),
        ("lag", number(&all, |row| row.status.as_ref()?.lag)),
        ("lag_ms", number(&all, |row| row.status.as_ref()?.lag_ms)),
        ("rows", number(&all, |row| Some(row.status.as_ref()?.rows))),
        ("rows_per_second", Arc::new(all.iter().map(Row::rate).collect::<Float64Array>())),
        ("dead_letters", number(&all, |row| Some(row.status.as_ref()?.dead_letters))),
        ("failures", number(&all, |row| Some(row.status.as_ref()?.failures))),
        (
            "last_error",
            text(&all, |row| match &row.status {
                Some(status) => status.last_error.clone(),
                None => row.failure.clone(),
            }),
        ),
        (
            "position",
            text(&all, |row| match &row.status {
                Some(status) => Some(status.position.clone()),
                None => stored.position(&row.def.name, row.role?),
            }),
        ),
    ])
}

struct Row {
    def: Arc<StreamDef>,
    role: Option<Role>,
    running: Option<Arc<dyn RunningConnector>>,
    /// How it does if it runs.
    status: Option<ConnectorStatus>,
    /// Whether its stream has come to its end.
    has_ended: bool,
    /// Why it could not start.
    failure: Option<String>,
}

impl Row {
    fn all(inner: &Inner) -> Vec<Self> {
        let mut all: Vec<Self> = {
            let state = inner.state.lock();
            let tables = state.catalog.entries().filter_map(|entry| match entry {
                Entry::Table(def) => Some(def),
                _ => None,
            });
            let row = |def: &Arc<StreamDef>| Self {
                def: Arc::clone(def),
                role: state.roles.get(&def.name).copied(),
                running: state.connectors.get(&def.name).map(Arc::clone),
                status: None,
                has_ended: state.ends.contains_key(&def.name),
                failure: state.unstarted.get(&def.name).cloned(),
            };
            tables.map(row).collect()
        };
        // Nobody waits for the engine's state while connectors are asked.
        for row in &mut all {
            row.status = row.running.as_ref().map(|running| running.status());
        }
        all
    }

    fn is_bounded(&self) -> Option<bool> {
        match &self.running {
            Some(running) => Some(running.is_bounded()),
            None => self.has_ended.then_some(true),
        }
    }

    fn rate(&self) -> Option<f64> {
        self.status.as_ref().map(|status| status.rows_per_second)
    }

    /// Its state if it does not run.
    fn unstarted(&self) -> &'static str {
        if self.has_ended {
            "ended"
        } else if self.failure.is_some() {
            "failed"
        } else if self.role.is_some() {
            "stopped"
        } else {
            "unused"
        }
    }
}

/// How many partitions of a source that does not run are shown: there may be one for each of very many files.
const POSITIONS_MAX: usize = 100;

/// Where those go on that do not run, as the log has it.
struct Stored<'a> {
    inner: &'a Inner,
    /// Of sinks; read when it is first asked for.
    cursors: OnceCell<Option<Marks>>,
}

impl<'a> Stored<'a> {
    fn new(inner: &'a Inner) -> Self {
        Self { inner, cursors: OnceCell::new() }
    }

    /// The places of sinks, if there has been one: looking makes no stream.
    fn cursors(&self) -> Option<&Marks> {
        let open = || {
            let log = &self.inner.log;
            log.stream_named(CURSORS).ok()?;
            Marks::open(Arc::clone(log), CURSORS).ok()
        };
        self.cursors.get_or_init(open).as_ref()
    }

    /// Where a table's connector goes on; `None`: it has delivered nothing.
    fn position(&self, table: &str, role: Role) -> Option<String> {
        let place = match role {
            Role::Source => self.inner.ingest.positions().place(table),
            Role::Sink => self.cursors()?.place(table),
        };
        // What a sink notes beside its shards is nobody's to read.
        let is_shown = |partition: &String| role == Role::Source || partition.parse::<u32>().is_ok();
        let all = place.ok()?.positions.into_iter().filter(|(partition, _)| is_shown(partition));
        let shown: BTreeMap<_, _> = all.rev().take(POSITIONS_MAX).collect();
        if shown.is_empty() { None } else { serde_json::to_string(&shown).ok() }
    }
}
