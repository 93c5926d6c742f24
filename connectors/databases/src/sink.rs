//! The sink: gathers rows, and writes them with the position in one transaction.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use async_trait::async_trait;
use headwater_connectors::{ConnectorError, Cursor, Delivery, Parking, Result, Sink};
use headwater_core::size::bytes_of_rows;
use headwater_core::{Sequence, ShardId};
use headwater_ingest::IngestError;

use crate::address::Address;
use crate::cells::Cells;
use crate::connection::connect;
use crate::fault::Fault;
use crate::fold::{fold, pick};
use crate::session::{Change, Owner, Session, Spec};

/// How many bytes wait for a flush at most.
const BYTES_MAX: usize = 16 << 20;

/// When rows are written, and how long that may take.
pub(crate) struct Pace {
    pub(crate) rows: usize,
    pub(crate) linger: Duration,
    pub(crate) patience: Duration,
}

/// Writes rows into a table.
pub(crate) struct DatabaseSink {
    parking: Parking,
    address: Address,
    spec: Spec,
    owner: Owner,
    /// Whether the last column of the stream says how often a row is added.
    weight: bool,
    pace: Pace,
    session: Option<Box<dyn Session>>,
    /// Where the table stands, by shard.
    committed: BTreeMap<ShardId, Sequence>,
    waiting: BTreeMap<ShardId, Waiting>,
}

/// Consecutive rows of a shard that wait for a flush.
struct Waiting {
    first: Sequence,
    next: Sequence,
    rows: Vec<RecordBatch>,
    bytes: usize,
}

/// Rows that the database refuses, as places in their batch, and what it said.
type Refused = Vec<(u32, String)>;

impl DatabaseSink {
    pub(crate) fn new(
        parking: Parking,
        address: Address,
        spec: Spec,
        owner: Owner,
        weight: bool,
        pace: Pace,
    ) -> Self {
        let (committed, waiting) = (BTreeMap::new(), BTreeMap::new());
        Self { parking, address, spec, owner, weight, pace, session: None, committed, waiting }
    }

    /// Waits for an answer of the database for as long as options say: for each by itself, as the search for rows that it refuses takes
    /// many.
    async fn within<T, E: From<ConnectorError>>(
        &self,
        answer: impl Future<Output = std::result::Result<T, E>>,
    ) -> std::result::Result<T, E> {
        let patience = self.pace.patience;
        let answer = tokio::time::timeout(patience, answer).await;
        answer.map_err(|_| ConnectorError::outage(self.what(), format!("no answer within {patience:?}")))?
    }

    fn what(&self) -> String {
        format!("write into table {} of {}", self.spec.table, self.address.shown())
    }

    async fn write_all(&mut self, session: &mut dyn Session) -> Result<()> {
        self.within(session.begin()).await?;
        let waiting = std::mem::take(&mut self.waiting);
        for (shard, waiting) in &waiting {
            let from = self.committed.get(shard).copied();
            if !self.within(session.advance(&self.owner, *shard, from, waiting.next)).await? {
                // An incarnation before this one has committed later than anybody thought, or somebody writes under the same name.
                let what = format!("move the position of shard {shard} in {}", self.address.shown());
                return Err(ConnectorError::outage(what, "somebody else has moved it; it is read again"));
            }
        }
        for (shard, waiting) in &waiting {
            self.write_shard(session, *shard, waiting).await?;
        }
        self.within(session.commit()).await?;
        self.committed.extend(waiting.iter().map(|(shard, waiting)| (*shard, waiting.next)));
        Ok(())
    }

    async fn write_shard(&self, session: &mut dyn Session, shard: ShardId, waiting: &Waiting) -> Result<()> {
        let Some(first) = waiting.rows.first() else { return Ok(()) };
        let rows = concat_batches(&first.schema(), &waiting.rows).map_err(IngestError::from)?;
        let refused = self.write(session, &rows).await?;
        if refused.is_empty() {
            return Ok(());
        }
        let places: Vec<u32> = refused.iter().map(|(row, _)| *row).collect();
        let parked = pick(&rows, &places).map_err(IngestError::from)?;
        let why = refused.into_iter().map(|(row, reason)| (waiting.first.plus(u64::from(row)), reason));
        self.parking.park(shard, parked, why.collect()).await
    }

    /// Writes rows; answers those that the database refuses, in order.
    async fn write(&self, session: &mut dyn Session, rows: &RecordBatch) -> Result<Refused> {
        let columns = self.spec.ours.len();
        let all: Vec<u32> = (0..u32::try_from(rows.num_rows()).unwrap_or(u32::MAX)).collect();
        if self.spec.key.is_empty() {
            return self.change(session, Change::Write, rows, &all).await;
        }
        let key: Vec<usize> = (0..columns).filter(|column| self.spec.ours[*column].is_key).collect();
        let folded = fold(rows, &key, self.weight.then_some(columns)).map_err(IngestError::from)?;
        let mut refused = self.change(session, Change::Delete, rows, &folded.deletes).await?;
        refused.extend(self.change(session, Change::Write, rows, &folded.upserts).await?);
        refused.sort_unstable_by_key(|(row, _)| *row);
        Ok(refused)
    }

    /// Writes the rows at `places`. If the database refuses one, its halves are tried, until the row is found that is to blame.
    async fn change(
        &self,
        session: &mut dyn Session,
        change: Change,
        rows: &RecordBatch,
        places: &[u32],
    ) -> Result<Refused> {
        let mut refused = Refused::new();
        let mut open = vec![places];
        while let Some(places) = open.pop() {
            let [first, ..] = places else { continue };
            let done = match self.cells(change, rows, places)? {
                Ok(cells) => self.within(session.change(change, &cells)).await,
                Err(reason) => Err(Fault::Row(reason)),
            };
            match done {
                Ok(()) => {}
                Err(Fault::Row(reason)) if places.len() == 1 => refused.push((*first, reason)),
                Err(Fault::Row(_)) => {
                    let (front, back) = places.split_at(places.len() / 2);
                    open.extend([back, front]);
                }
                Err(Fault::Connector(error)) => return Err(error),
            }
        }
        Ok(refused)
    }

    /// Rows as the driver takes them, of those to be deleted the key alone; or why they cannot be sent.
    fn cells(
        &self,
        change: Change,
        rows: &RecordBatch,
        places: &[u32],
    ) -> Result<std::result::Result<Vec<Cells>, String>> {
        let rows = pick(rows, places).map_err(IngestError::from)?;
        let wanted = self.spec.ours.iter().zip(rows.columns());
        let wanted = wanted.filter(|(our, _)| change == Change::Write || our.is_key);
        Ok(wanted.map(|(our, column)| Cells::of(column, our.kind)).collect())
    }
}

#[async_trait]
impl Sink for DatabaseSink {
    async fn open(&mut self, stored: Cursor) -> Result<Cursor> {
        let mut session = connect(&self.address).await?;
        session.prepare(&self.spec).await?;
        self.committed = session.positions(&self.owner).await?;
        self.session = Some(session);
        let mut next = stored.next;
        next.extend(self.committed.iter().map(|(shard, next)| (*shard, *next)));
        Ok(Cursor { next, note: stored.note })
    }

    async fn deliver(&mut self, delivery: Delivery) -> Result<()> {
        let next = delivery.next();
        let new = || Waiting { first: delivery.first, next, rows: Vec::new(), bytes: 0 };
        let waiting = self.waiting.entry(delivery.shard).or_insert_with(new);
        waiting.next = next;
        waiting.bytes += bytes_of_rows(&delivery.rows);
        waiting.rows.push(delivery.rows);
        Ok(())
    }

    async fn flush(&mut self) -> Result<String> {
        // Taken out: a session in which something went wrong is not used again.
        let Some(mut session) = self.session.take() else {
            return Err(ConnectorError::outage(self.what(), "the connection is lost"));
        };
        self.write_all(&mut *session).await?;
        self.session = Some(session);
        Ok(String::new())
    }

    fn rows_max(&self) -> usize {
        self.pace.rows.min(8_192)
    }

    fn is_full(&self) -> bool {
        let rows: usize =
            self.waiting.values().flat_map(|waiting| &waiting.rows).map(RecordBatch::num_rows).sum();
        rows >= self.pace.rows
            || self.waiting.values().map(|waiting| waiting.bytes).sum::<usize>() >= BYTES_MAX
    }

    fn linger(&self) -> Duration {
        self.pace.linger
    }

    async fn close(&mut self) -> Result<()> {
        if let Some(session) = self.session.take() {
            session.close().await;
        }
        Ok(())
    }
}
