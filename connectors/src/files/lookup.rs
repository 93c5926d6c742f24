//! Files as a table in which rows are looked up: all rows are read when the first key is asked for, and kept in memory. A record that is no
//! row is put aside, once for as long as it stands there, and those around it are read.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::{cast, concat_batches, take_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use async_trait::async_trait;
use headwater_core::causes;
use headwater_ingest::BadRecord;
use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::input::{Input, Place};
use super::listing::Place as Where;
use crate::connector::Context;
use crate::error::{ConnectorError, Result};
use crate::lookup::{Kept, Lookup, Wanted};
use crate::parking::Aside;

/// How many keys a job keeps the rows of; those of others it asks for again, and notes again in its journal.
const KEYS_MAX: usize = 100_000;

/// A table of files.
pub(super) struct FileLookup {
    context: Context,
    wanted: Wanted,
    path: Where,
    /// How often the files are read anew.
    reload: Option<Duration>,
    /// What was read, and when by the monotonic clock.
    table: Option<(Table, Duration)>,
    aside: Aside,
    /// The records that have been put aside when the files were last read, by their files.
    told: Arc<Mutex<Told>>,
}

type Told = HashMap<String, Vec<BadRecord>>;

/// Rows, and where those of each key are.
struct Table {
    rows: RecordBatch,
    converter: RowConverter,
    places: HashMap<Box<[u8]>, Vec<u32>>,
}

impl FileLookup {
    pub(super) fn new(context: Context, wanted: Wanted, path: Where, reload: Option<Duration>) -> Self {
        Self { context, wanted, path, reload, table: None, aside: Aside::default(), told: Arc::default() }
    }

    /// Reads the files, on a thread where that may wait.
    async fn read(&self, keys: SchemaRef) -> Result<Table> {
        let (context, wanted) = (self.context.clone(), self.wanted.clone());
        let (path, runtime) = (self.path.clone(), Handle::current());
        let (aside, told) = (self.aside.clone(), Arc::clone(&self.told));
        let read = tokio::task::spawn_blocking(move || {
            let (rows, bad) = read_rows(&context, &wanted, &path, &runtime)?;
            put_aside(&aside, &context, &mut told.lock(), bad)?;
            Table::new(rows, &wanted, &keys).map_err(|error| unfit(&path, error))
        });
        read.await.map_err(|error| match error.is_panic() {
            true => ConnectorError::refused("read files", "a file is damaged"),
            false => ConnectorError::outage("read files", error),
        })?
    }
}

fn unfit(path: &Where, error: ArrowError) -> ConnectorError {
    ConnectorError::refused(format!("look rows up in {path}"), error)
}

/// Puts records aside that are none of those which have been.
fn put_aside(aside: &Aside, context: &Context, told: &mut Told, bad: Told) -> Result<()> {
    for (file, bad) in &bad {
        let known = told.get(file);
        let new = bad.iter().filter(|record| !known.is_some_and(|known| known.contains(record)));
        aside.put(&context.name, file, &new.cloned().collect::<Vec<_>>())?;
    }
    *told = bad;
    Ok(())
}

/// The wanted columns of all rows, and the records that are none, by their files.
fn read_rows(
    context: &Context,
    wanted: &Wanted,
    path: &Where,
    runtime: &Handle,
) -> Result<(RecordBatch, Told)> {
    let disk = context.world.disk.as_ref();
    let (mut batches, mut bad) = (Vec::new(), Told::new());
    for found in path.list(disk, runtime)? {
        let shown = path.show(&found);
        let file = path.open(&found, disk, runtime);
        let file = file.map_err(|error| ConnectorError::outage(format!("open {shown}"), causes(&error)))?;
        let (format, options) = (context.format, &context.format_options);
        let mut input = Input::open(file, shown.clone(), format, options, &context.schema, Place::START)?;
        while let Some((decoded, _)) = input.next()? {
            if !decoded.bad.is_empty() {
                bad.entry(shown.clone()).or_default().extend(decoded.bad);
            }
            let columns =
                wanted.columns.fields().iter().map(|field| decoded.rows.schema().index_of(field.name()));
            let columns = columns.collect::<Result<Vec<_>, _>>();
            let batch = columns.and_then(|columns| decoded.rows.project(&columns));
            batches.push(batch.map_err(|error| unfit(path, error))?);
        }
    }
    let schema = batches.first().map_or_else(|| Arc::clone(&wanted.columns), RecordBatch::schema);
    let rows = concat_batches(&schema, &batches).map_err(|error| unfit(path, error))?;
    Ok((rows, bad))
}

impl Table {
    /// `keys`: what is asked for, column by column as [`Wanted::key`] names them.
    fn new(rows: RecordBatch, wanted: &Wanted, keys: &SchemaRef) -> Result<Self, ArrowError> {
        let kinds = keys.fields().iter().map(|field| field.data_type());
        let converter = RowConverter::new(kinds.clone().cloned().map(SortField::new).collect())?;
        let columns = wanted
            .key
            .iter()
            .zip(kinds)
            .map(|(name, kind)| cast(rows.column(rows.schema().index_of(name)?), kind));
        let encoded = converter.convert_columns(&columns.collect::<Result<Vec<ArrayRef>, _>>()?)?;
        let mut places: HashMap<Box<[u8]>, Vec<u32>> = HashMap::new();
        for (place, row) in (0..).zip(encoded.iter()) {
            places.entry(row.data().into()).or_default().push(place);
        }
        Ok(Self { rows, converter, places })
    }

    fn find(&self, keys: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let encoded = self.converter.convert_columns(keys.columns())?;
        let found = encoded.iter().filter_map(|key| self.places.get(key.data())).flatten().copied();
        take_record_batch(&self.rows, &UInt32Array::from_iter_values(found))
    }
}

#[async_trait]
impl Lookup for FileLookup {
    fn kept(&self) -> Kept {
        Kept { keys_max: KEYS_MAX, ttl: self.reload, keeps_missing: true }
    }

    fn put_aside_in(&mut self, aside: Aside) {
        self.aside = aside;
    }

    async fn fetch(&mut self, keys: &RecordBatch) -> Result<RecordBatch> {
        let now = self.context.world.clock.monotonic();
        let is_old = |read: Duration| self.reload.is_some_and(|reload| now.saturating_sub(read) >= reload);
        let table = match self.table.take() {
            Some((table, read)) if !is_old(read) => (table, read),
            _ => (self.read(keys.schema()).await?, now),
        };
        let (table, _) = self.table.insert(table);
        table.find(keys).map_err(|error| unfit(&self.path, error))
    }
}
