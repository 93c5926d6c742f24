//! A materialized view whose rows change: its stream is a changelog, and the view is the fold of it.
//!
//! Each read brings the fold up to date from where the last one left it, so that a query costs what has changed since, and
//! what it reads. So that the first one after a start need not fold all that ever changed, what the view had come to is noted down now
//! and then, as a checkpoint is:
//!
//! ```text
//!   changelog   | 0 ............ 4,999,999 | 5,000,000 ...... |
//!               '- its fold: one note -----'- folded by the first query
//! ```
//!
//! A note is written when the changelog has grown by as many rows as the view has: so notes cost no more than writing the changelog did,
//! and what a start has to read is bounded by the size of the view. The changelog stays as it is, since others read it. A note that is
//! damaged, or gone, costs time and nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{Int64Type, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{MemTable, Session, TableProvider};
use datafusion::datasource::TableType;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use headwater_core::{Sequence, ShardId};
use headwater_log::{From, Log, ReadSpec, StreamInfo};
use headwater_operators::{StateChange, StateEntries};
use parking_lot::Mutex;

use super::stream::external;
use crate::error::RunError;
use crate::job::{Blobs, Manifest, NEW_CLOCK, Place, StatePart, Writer, remove_all_but, restore};

/// How many rows of a view are written at a time.
const NOTE_ROWS: usize = 8_192;

/// How many notes are kept: the older one is for when the newer is damaged.
const NOTES: usize = 2;

/// The rows of a changelog so far, each with its weight; rows of weight zero are gone.
pub(crate) struct ViewFold {
    log: Arc<dyn Log>,
    info: Arc<StreamInfo>,
    schema: SchemaRef,
    /// Where notes lie; `None`: there are none.
    notes: Option<Arc<dyn Blobs>>,
    state: Mutex<FoldState>,
}

struct FoldState {
    /// Whether it has been looked for a note.
    has_begun: bool,
    next: Vec<Sequence>,
    converter: arrow_row::RowConverter,
    /// Encoded row to weight. Ordered, so that a view is read in the same order whenever it holds the same rows.
    weights: BTreeMap<Box<[u8]>, i64>,
}

impl ViewFold {
    /// The fold of a changelog, from its newest note on.
    pub fn new(log: Arc<dyn Log>, info: Arc<StreamInfo>, notes: Option<Arc<dyn Blobs>>) -> Result<Self> {
        let columns = info.spec.schema.fields().len() - 1;
        let fields: Vec<_> = info.spec.schema.fields()[..columns].to_vec();
        let sort = fields.iter().map(|field| arrow_row::SortField::new(field.data_type().clone())).collect();
        let converter = arrow_row::RowConverter::new(sort)?;
        let next = vec![Sequence::ZERO; info.spec.shards as usize];
        let state = Mutex::new(FoldState { has_begun: false, next, converter, weights: BTreeMap::new() });
        Ok(Self { log, info, schema: Arc::new(Schema::new(fields)), notes, state })
    }

    /// The columns.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// The rows as of now.
    pub fn rows(&self) -> Result<RecordBatch> {
        let mut state = self.state.lock();
        self.catch_up(&mut state, &|| true)?;
        let parser = state.converter.parser();
        let mut encoded = Vec::new();
        for (row, weight) in &state.weights {
            let times = usize::try_from(*weight).map_err(|_| {
                let stream = &self.info.spec.name;
                DataFusionError::Execution(format!(
                    "view {stream}: a row is retracted {} times too often",
                    -weight
                ))
            })?;
            encoded.extend(std::iter::repeat_n(parser.parse(row), times));
        }
        let columns = state.converter.convert_rows(encoded)?;
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }

    /// Folds as far as the changelog goes, as long as it may go on; `false`: it may not.
    fn catch_up(&self, state: &mut FoldState, may_go_on: &dyn Fn() -> bool) -> Result<bool> {
        if !std::mem::replace(&mut state.has_begun, true) {
            self.begin(state);
        }
        let bounds = self.log.bounds(self.info.id).map_err(external)?;
        for (shard, bounds) in bounds.iter().enumerate() {
            if state.next[shard] >= bounds.next {
                continue;
            }
            let mut reader = self
                .log
                .read(ReadSpec {
                    from: From::Sequence(state.next[shard]),
                    until: Some(bounds.next),
                    ..ReadSpec::all(self.info.id, ShardId(shard as u32))
                })
                .map_err(external)?;
            while let Some(read) = reader.next().map_err(external)? {
                state.apply(&read.rows)?;
                state.next[shard] = Sequence(read.first.0 + read.rows.num_rows() as u64);
                if !may_go_on() {
                    return Ok(false);
                }
            }
            state.next[shard] = bounds.next;
        }
        Ok(true)
    }

    /// Takes the newest note that is whole, if there is one.
    fn begin(&self, state: &mut FoldState) {
        let Some(notes) = &self.notes else { return };
        let view = &self.info.spec.name;
        let failed = |reason: &dyn std::fmt::Display| {
            tracing::warn!(%view, %reason, "a note of what the view had come to is of no use: more of its changelog is read");
        };
        match restore(&**notes, &self.plan(), 0) {
            Ok((found, passed_over)) => {
                passed_over.iter().for_each(|reason| failed(reason));
                let Some(found) = found else { return };
                if let Err(error) = self.take(state, &found, &**notes) {
                    failed(&error);
                    state.weights.clear();
                    state.next.fill(Sequence::ZERO);
                }
            }
            Err(reason) => failed(&reason),
        }
    }

    fn take(
        &self,
        state: &mut FoldState,
        found: &crate::job::Restored,
        notes: &dyn Blobs,
    ) -> std::result::Result<(), RunError> {
        let next: Vec<Sequence> = found.manifest.places.iter().flatten().map(|place| place.get().0).collect();
        let bounds = self.log.bounds(self.info.id)?;
        if next.len() != bounds.len() || next.iter().zip(&bounds).any(|(next, bounds)| *next > bounds.next) {
            return Err(RunError::Invalid("it is not one of this changelog".to_owned()));
        }
        found.each(notes, |_, entries| Ok(state.apply(&entries.rows)?))?;
        state.next = next;
        Ok(())
    }

    /// What a note is of: a stream's number is never used again.
    fn plan(&self) -> String {
        format!("fold of stream {}, schema {}", self.info.id, self.info.schema_id)
    }

    /// Folds the changelog and notes down what the view has come to; how many rows of the changelog are in that, and how many the view has.
    /// `None`: it was told not to go on.
    pub fn note(&self, may_go_on: &dyn Fn() -> bool) -> std::result::Result<Option<(u64, u64)>, RunError> {
        let Some(notes) = &self.notes else { return Ok(None) };
        let mut state = self.state.lock();
        if !self.catch_up(&mut state, may_go_on)? {
            return Ok(None);
        }
        let view = self.info.spec.name.to_string();
        let bad = |reason| RunError::Checkpoint { job: view.clone(), reason };
        let folded: u64 = state.next.iter().map(|next| next.0).sum();
        let mut manifest = Manifest::after(folded, &view, self.plan(), 0);
        manifest.places = vec![state.next.iter().map(|next| Place::new(*next, NEW_CLOCK)).collect()];
        let mut writer = Writer::new(Arc::clone(notes), manifest);
        let all: Vec<(&[u8], i64)> = state.weights.iter().map(|(row, weight)| (&**row, *weight)).collect();
        for some in all.chunks(NOTE_ROWS) {
            let parser = state.converter.parser();
            let rows = some.iter().map(|(row, _)| parser.parse(row));
            let mut columns = state.converter.convert_rows(rows)?;
            let weights: ArrayRef =
                Arc::new(Int64Array::from_iter_values(some.iter().map(|(_, weight)| *weight)));
            columns.push(weights);
            let rows = RecordBatch::try_new(Arc::clone(&self.info.spec.schema), columns)?;
            let (table, slots) = ("rows".to_owned(), Vec::new());
            let entries = StateEntries { table, change: StateChange::Put, rows, slots };
            writer.add(0, &StatePart::Here(entries)).map_err(bad)?;
            if !may_go_on() {
                return Ok(None);
            }
        }
        writer.finish().map_err(bad)?;
        remove_all_but(&**notes, NOTES).map_err(bad)?;
        Ok(Some((folded, all.len() as u64)))
    }
}

impl FoldState {
    fn apply(&mut self, changes: &RecordBatch) -> Result<()> {
        let columns = changes.num_columns() - 1;
        let weights = changes.column(columns).as_primitive::<Int64Type>();
        let rows = self.converter.convert_columns(&changes.columns()[..columns])?;
        for (row, weight) in rows.iter().zip(weights.values()) {
            let row: &[u8] = row.as_ref();
            match self.weights.get_mut(row) {
                Some(sum) => {
                    *sum += weight;
                    if *sum == 0 {
                        self.weights.remove(row);
                    }
                }
                None => {
                    self.weights.insert(row.into(), *weight);
                }
            }
        }
        Ok(())
    }
}

/// A changing view as a table.
pub(crate) struct ViewTable(pub Arc<ViewFold>);

impl std::fmt::Debug for ViewTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ViewTable({})", self.0.info.spec.name)
    }
}

#[async_trait]
impl TableProvider for ViewTable {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let fold = Arc::clone(&self.0);
        let rows = tokio::task::spawn_blocking(move || fold.rows())
            .await
            .map_err(|error| DataFusionError::External(Box::new(error)))??;
        MemTable::try_new(rows.schema(), vec![vec![rows]])?.scan(state, projection, filters, limit).await
    }
}
