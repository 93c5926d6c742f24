//! Files as a table in which rows are looked up, which is kept in memory as a whole. A record that is no row is put aside, once for as long
//! as it stands there, and those around it are read.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use async_trait::async_trait;
use headwater_core::causes;
use headwater_ingest::BadRecord;
use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::input::{Input, Place};
use super::listing::Place as Where;
use crate::connector::Context;
use crate::error::{ConnectorError, Result};
use crate::full_cache::WholeTable;
use crate::lookup::Wanted;
use crate::parking::Aside;

/// A table of files.
pub(super) struct FileTable {
    context: Context,
    wanted: Wanted,
    path: Where,
    aside: Aside,
    /// The records that have been put aside when the files were last read, by their files.
    told: Arc<Mutex<Told>>,
}

type Told = HashMap<String, Vec<BadRecord>>;

impl FileTable {
    pub(super) fn new(context: Context, wanted: Wanted, path: Where) -> Self {
        Self { context, wanted, path, aside: Aside::default(), told: Arc::default() }
    }
}

#[async_trait]
impl WholeTable for FileTable {
    fn shown(&self) -> String {
        self.path.to_string()
    }

    fn put_aside_in(&mut self, aside: Aside) {
        self.aside = aside;
    }

    /// Reads the files, on a thread where that may wait.
    async fn read(&mut self) -> Result<Vec<RecordBatch>> {
        let (context, wanted) = (self.context.clone(), self.wanted.clone());
        let (path, runtime) = (self.path.clone(), Handle::current());
        let (aside, told) = (self.aside.clone(), Arc::clone(&self.told));
        let read = tokio::task::spawn_blocking(move || {
            let (rows, bad) = read_rows(&context, &wanted, &path, &runtime)?;
            put_aside(&aside, &context, &mut told.lock(), bad)?;
            Ok(rows)
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
) -> Result<(Vec<RecordBatch>, Told)> {
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
    Ok((batches, bad))
}
