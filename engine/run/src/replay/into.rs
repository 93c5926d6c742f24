//! `INTO`: the stream that takes a replay's results. It is a stream like any other, in the catalog, and nothing else is in it: rows of an
//! earlier replay would be there twice, and those of others could not be told apart.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::can_cast_types;
use arrow::datatypes::{Schema, SchemaRef};
use headwater_core::StreamName;
use headwater_log::Log;
use headwater_plan::{Catalog, Dataflow, Entry, Parsed, create_stream_of};

use super::asked::not_named;
use crate::ReplaySpec;
use crate::engine::{Inner, writes_into};
use crate::error::{Result, RunError};
use crate::job::Sink;
use crate::options::Role;

/// What is to be done before a stream can take the results.
pub(super) enum Target {
    /// It is there.
    Ready,
    /// It is made by this statement.
    New(Box<Parsed>),
    /// It is a table, whose connector delivers what is written into it.
    Table(SchemaRef),
}

impl Target {
    /// Checks what the results of a replay are to go into.
    pub fn of(
        inner: &Inner,
        catalog: &Catalog,
        spec: &ReplaySpec,
        dataflow: &Dataflow,
        schema: &Schema,
    ) -> Result<Option<Self>> {
        let Some(name) = spec.into.as_deref() else { return Ok(None) };
        let refused =
            |reason: String| Err(RunError::Invalid(format!("{reason}: replay into another stream")));
        let stream = StreamName::new(name).map_err(|error| RunError::Invalid(error.to_string()))?;
        if stream.is_system() {
            return refused(format!("{name} is the engine's own"));
        }
        let nullable = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
        let nullable = Schema::new(nullable.collect::<Vec<_>>());
        let def = match catalog.get(name) {
            None => return Ok(Some(Self::New(Box::new(create_stream_of(name, &nullable)?)))),
            Some(Entry::Stream(def) | Entry::Table(def)) => def,
            Some(other) => {
                let kind = other.kind().with_article();
                return refused(format!("{name} is {kind}, and what is in it comes from its definition"));
            }
        };
        if dataflow.sources.iter().any(|source| source.stream.as_str() == name) {
            return refused(format!("{name} is what is replayed: it would read its own results"));
        }
        if let Some(writer) = catalog.entries().find(|entry| writes_into(entry, name)) {
            return refused(format!("{} {} writes into {name}", writer.kind(), writer.name()));
        }
        let target = match def.connector.is_some() {
            true if !spec.effects.iter().any(|table| table == name) => {
                return Err(not_named(&[name], "writes into"));
            }
            true => Self::Table(Arc::new(nullable)),
            false => Self::Ready,
        };
        if !def.schema.fields().is_empty() {
            fits(name, &def.schema, schema)?;
        }
        let info = inner.log.stream_named(name)?;
        let rows: u64 = inner.log.bounds(info.id)?.iter().map(|shard| shard.next.0 - shard.first.0).sum();
        if rows > 0 {
            return refused(format!(
                "{name} has {rows} rows, and those of the replay would be added to them"
            ));
        }
        Ok(Some(target))
    }

    /// Makes it ready, on this thread. A statement is run by the caller.
    pub fn prepare_here(&self, inner: &Arc<Inner>, name: &str) -> Result<()> {
        match self {
            Self::Ready => Ok(()),
            Self::New(statement) => inner.define_here(statement).map(drop),
            Self::Table(columns) => {
                inner.give_columns(name, columns)?;
                inner.use_table(name, Role::Sink)
            }
        }
    }

    /// Makes it ready.
    pub async fn prepare(&self, inner: &Arc<Inner>, name: &str) -> Result<()> {
        match self {
            Self::Ready => Ok(()),
            Self::New(statement) => inner.define(statement.as_ref().clone()).await.map(drop),
            Self::Table(columns) => inner.write_to(name, columns).await,
        }
    }
}

fn fits(name: &str, there: &Schema, wanted: &Schema) -> Result<()> {
    let count = (there.fields().len(), wanted.fields().len());
    if count.0 != count.1 {
        let message = format!("stream {name} has {} columns, the results have {}", count.0, count.1);
        return Err(RunError::Invalid(message));
    }
    let pairs = there.fields().iter().zip(wanted.fields());
    let mut unfit = pairs.filter(|(there, wanted)| !can_cast_types(wanted.data_type(), there.data_type()));
    unfit.next().map_or(Ok(()), |(there, wanted)| {
        Err(RunError::Invalid(format!(
            "column {} of stream {name} is {}, column {} of the results {}",
            there.name(),
            there.data_type(),
            wanted.name(),
            wanted.data_type()
        )))
    })
}

/// The stream that takes the results as they come.
pub(super) struct Taker {
    sink: Sink,
    log: Arc<dyn Log>,
}

impl Taker {
    pub fn open(inner: &Inner, name: &str) -> Result<Self> {
        Ok(Self { sink: Sink::new(inner.log.stream_named(name)?)?, log: Arc::clone(&inner.log) })
    }

    /// Appends what a step says, as one group, each row to the shard of its key.
    pub fn append(&self, rows: &[RecordBatch]) -> Result<()> {
        let appends: Vec<_> = rows.iter().map(|batch| self.sink.spread(batch)).collect::<Result<_>>()?;
        if !appends.is_empty() {
            self.log.append(appends.into_iter().flatten().collect())?;
        }
        Ok(())
    }
}
