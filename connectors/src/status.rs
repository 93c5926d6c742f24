//! How a connector fares, for those who watch.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use headwater_core::{World, causes};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::connector::Behind;
use crate::error::ConnectorError;

/// What a connector does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum State {
    /// Not yet connected.
    #[default]
    Starting,
    /// At work.
    Running,
    /// Waiting after a failure, to try again.
    Retrying,
    /// A bounded source at its end.
    Ended,
    /// Told to stop.
    Stopped,
    /// Refused for a reason that trying again does not cure.
    Failed,
}

impl State {
    /// The name, as `system.connectors` shows it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Ended => "ended",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }

    /// Whether nothing more will come.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Ended | Self::Stopped | Self::Failed)
    }
}

/// How a connector fares, as `system.connectors` shows it.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// The name under which it runs.
    pub name: String,
    /// The connector's name.
    pub connector: String,
    /// `source` or `sink`.
    pub role: &'static str,
    /// The stream.
    pub stream: String,
    /// What it does.
    pub state: State,
    /// Rows that wait: outside for a source if it can tell, in the log for a sink.
    pub lag: Option<u64>,
    /// Of a source: since when the oldest of them waits.
    pub behind: Behind,
    /// Rows moved since the start.
    pub rows: u64,
    /// Records that went to the dead letters since the start.
    pub dead_letters: u64,
    /// Rows a second, over the last ten seconds.
    pub rows_per_second: f64,
    /// Failures since the start.
    pub failures: u64,
    /// The last failure, with its code.
    pub last_error: Option<String>,
    /// Where it stands: a source's position in each partition that it has touched lately, a sink's next row of each shard.
    pub positions: BTreeMap<String, String>,
    /// Of a sink, or of what tells of a trigger's firings: how many rows of its stream it has taken, those before its start included.
    pub reached: u64,
}

/// The status of one connector, shared by its task and those who watch it.
pub(crate) struct Board {
    world: World,
    status: watch::Sender<Status>,
    /// When rows were moved, and how many, over the last while.
    recent: Mutex<VecDeque<(Duration, u64)>>,
    /// The partitions whose positions are shown, in the order in which they came.
    lately: Mutex<VecDeque<String>>,
}

/// How many positions are shown.
const POSITIONS_MAX: usize = 256;

const WINDOW: Duration = Duration::from_secs(10);

impl Board {
    pub(crate) fn new(world: World, status: Status) -> Self {
        Self { world, status: watch::Sender::new(status), recent: Mutex::default(), lately: Mutex::default() }
    }

    pub(crate) fn status(&self) -> Status {
        let now = self.world.clock.monotonic();
        let mut recent = self.recent.lock();
        while recent.front().is_some_and(|(at, _)| *at + WINDOW < now) {
            recent.pop_front();
        }
        let rows: u64 = recent.iter().map(|(_, rows)| rows).sum();
        // Shortly after the start the window is not yet full.
        let span =
            recent.front().map_or(WINDOW, |(at, _)| now.saturating_sub(*at)).max(Duration::from_secs(1));
        Status { rows_per_second: rows as f64 / span.as_secs_f64(), ..self.status.borrow().clone() }
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    pub(crate) fn state(&self, state: State) {
        self.status.send_if_modified(|status| std::mem::replace(&mut status.state, state) != state);
    }

    /// Notes how far behind a source says it is. Records that it has given and that are not in the log yet, since
    /// `in_hand`, are part of that: most sources count what they have read.
    pub(crate) fn measure(&self, lag: Option<u64>, behind: Behind, in_hand: Option<Instant>) {
        let (lag, behind) = match in_hand {
            None => (lag, behind),
            Some(since) => {
                (lag.map(|lag| lag.max(1)), if behind == Behind::Not { Behind::Since(since) } else { behind })
            }
        };
        self.lag(lag);
        self.status.send_if_modified(|status| std::mem::replace(&mut status.behind, behind) != behind);
    }

    pub(crate) fn lag(&self, lag: Option<u64>) {
        self.status.send_if_modified(|status| std::mem::replace(&mut status.lag, lag) != lag);
    }

    /// Notes where partitions are now. There may be a partition for each of very many files: the ones that moved last are kept.
    pub(crate) fn positions<'a>(&self, marks: impl IntoIterator<Item = (&'a String, &'a String)>) {
        let mut lately = self.lately.lock();
        self.status.send_modify(|status| {
            for (partition, position) in marks {
                if status.positions.insert(partition.clone(), position.clone()).is_none() {
                    lately.push_back(partition.clone());
                }
                if lately.len() > POSITIONS_MAX
                    && let Some(oldest) = lately.pop_front()
                {
                    status.positions.remove(&oldest);
                }
            }
        });
    }

    /// Notes how many rows of its stream are taken, and how many wait.
    pub(crate) fn reached(&self, rows: u64, lag: u64) {
        self.status.send_if_modified(|status| {
            let changed = (status.reached, status.lag) != (rows, Some(lag));
            (status.reached, status.lag) = (rows, Some(lag));
            changed
        });
    }

    pub(crate) fn moved(&self, rows: u64, dead_letters: u64) {
        self.status.send_modify(|status| {
            status.rows += rows;
            status.dead_letters += dead_letters;
        });
        let now = self.world.clock.monotonic();
        let mut recent = self.recent.lock();
        match recent.back_mut() {
            // A quarter of a second in one entry bounds their number.
            Some((at, sum)) if now.saturating_sub(*at) < Duration::from_millis(250) => *sum += rows,
            _ => recent.push_back((now, rows)),
        }
        if recent.len() > 64 {
            recent.pop_front();
        }
    }

    pub(crate) fn failed(&self, error: &ConnectorError, state: State) {
        self.status.send_modify(|status| {
            status.failures += 1;
            status.last_error = Some(format!("{}: {}", error.code(), causes(error)));
            status.state = state;
        });
        let status = self.status.borrow().clone();
        tracing::warn!(
            connector = status.connector,
            name = status.name,
            code = error.code().as_str(),
            state = state.name(),
            "{error}"
        );
    }
}
