//! Tables that are kept in memory as a whole: rows by their keys, read when the first key is asked for and again when that is due.
//!
//! Invariants:
//! - Rows are answered from one reading, never from two: those of the last take the place of those before when all of them are there. Until
//!   then both are in memory.
//! - A reading that fails leaves the rows as they are, is told as a warning, and is tried again after a pause. Only while there are no rows
//!   its error is that of the question.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::{cast, interleave_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use async_trait::async_trait;
use headwater_core::{EventTime, World};

use crate::backoff::Backoff;
use crate::blocking::on_thread;
use crate::error::{ConnectorError, Result};
use crate::lookup::{Kept, Lookup, Retries, Wanted};
use crate::parking::Aside;
use crate::reload::{Due, Moment, Reload};

/// How many keys a job keeps the rows of; those of others it asks for again, and notes again in its journal.
const KEYS_MAX: usize = 100_000;

/// A table outside that can be read as a whole.
#[async_trait]
pub trait WholeTable: Send {
    /// The table as messages name it.
    fn shown(&self) -> String;

    /// Says where records go that are no rows of the table, for those tables that can have any.
    fn put_aside_in(&mut self, _aside: Aside) {}

    /// Reads all rows, as any number of batches, all with the columns that are wanted and in their order.
    async fn read(&mut self) -> Result<Vec<RecordBatch>>;
}

/// A table that is kept in memory, and answers from there.
pub struct FullCache<T> {
    table: T,
    wanted: Wanted,
    world: World,
    reload: Reload,
    retries: Retries,
    loaded: Option<Loaded>,
    backoff: Backoff,
}

/// What was read.
struct Loaded {
    rows: Rows,
    /// When reading began: what changed later may not be among the rows.
    began: EventTime,
    due: Due,
    /// When a reading that has failed since is tried again, by the monotonic clock.
    again: Option<Duration>,
}

impl Loaded {
    fn is_due(&self, now: Moment) -> bool {
        self.due.is_past(now) && self.again.is_none_or(|again| now.passed >= again)
    }
}

impl<T: WholeTable> FullCache<T> {
    /// Keeps what is wanted of a table. `retries` are those of its first reading.
    pub fn new(table: T, wanted: Wanted, world: World, reload: Reload, retries: Retries) -> Self {
        Self { table, wanted, world, reload, retries, loaded: None, backoff: Backoff::default() }
    }

    /// Reads the table. `keys`: what is asked for, column by column as [`Wanted::key`] names them.
    async fn read(&mut self, keys: SchemaRef) -> Result<Rows> {
        let batches = self.table.read().await?;
        let wanted = self.wanted.clone();
        let rows = on_thread(move || Rows::new(batches, &wanted, &keys)).await?;
        rows.map_err(|error| self.unfit(error))
    }

    async fn load(&mut self, keys: SchemaRef) -> Result<()> {
        let began = Moment::now(&self.world);
        let read = self.read(keys).await;
        let ended = Moment::now(&self.world);
        match (read, &mut self.loaded) {
            (Ok(rows), loaded) => {
                let due = self.reload.next(loaded.as_ref().map(|loaded| loaded.due), began, ended);
                *loaded = Some(Loaded { rows, began: began.wall, due, again: None });
                self.backoff.reset();
                self.retries.count(Ok(()))
            }
            (Err(error), Some(loaded)) => {
                let pause = self.backoff.next(&self.world);
                loaded.again = Some(ended.passed.saturating_add(pause));
                let (shown, since) = (self.table.shown(), loaded.began);
                tracing::warn!("{shown} is not read anew, its rows of {since} are used on: {error}");
                Ok(())
            }
            (Err(error), None) => self.retries.count(Err(error)),
        }
    }

    fn unfit(&self, error: ArrowError) -> ConnectorError {
        ConnectorError::refused(format!("look rows up in {}", self.table.shown()), error)
    }
}

#[async_trait]
impl<T: WholeTable> Lookup for FullCache<T> {
    fn kept(&self) -> Kept {
        Kept { keys_max: KEYS_MAX, ttl: None, keeps_missing: true }
    }

    /// Answers are good until the table is read anew, wherever they are kept. After a restart that is when the first key is asked for.
    fn fresh_from(&self) -> Option<EventTime> {
        match &self.loaded {
            _ if self.reload == Reload::Never => None,
            Some(loaded) if !loaded.is_due(Moment::now(&self.world)) => Some(loaded.began),
            _ => Some(EventTime::MAX),
        }
    }

    fn put_aside_in(&mut self, aside: Aside) {
        self.table.put_aside_in(aside);
    }

    async fn fetch(&mut self, keys: &RecordBatch) -> Result<RecordBatch> {
        let now = Moment::now(&self.world);
        if self.loaded.as_ref().is_none_or(|loaded| loaded.is_due(now)) {
            self.load(keys.schema()).await?;
        }
        let Some(loaded) = &self.loaded else {
            let what = format!("look rows up in {}", self.table.shown());
            return Err(ConnectorError::outage(what, "it has not been read"));
        };
        loaded.rows.find(keys).map_err(|error| self.unfit(error))
    }
}

/// Rows, and where those of each key are.
struct Rows {
    batches: Vec<RecordBatch>,
    /// The columns of an answer without rows.
    schema: SchemaRef,
    converter: RowConverter,
    /// By the key as the converter writes it: batch and row.
    places: HashMap<Box<[u8]>, Vec<(u32, u32)>>,
}

impl Rows {
    fn new(batches: Vec<RecordBatch>, wanted: &Wanted, keys: &SchemaRef) -> Result<Self, ArrowError> {
        let kinds: Vec<_> = keys.fields().iter().map(|field| field.data_type()).collect();
        let converter =
            RowConverter::new(kinds.iter().map(|kind| SortField::new((*kind).clone())).collect())?;
        let mut places: HashMap<Box<[u8]>, Vec<(u32, u32)>> = HashMap::new();
        for (nth, batch) in (0..).zip(&batches) {
            let columns = wanted.key.iter().zip(&kinds).map(|(name, kind)| {
                let column = batch.column(batch.schema().index_of(name)?);
                cast(column, kind)
            });
            let encoded = converter.convert_columns(&columns.collect::<Result<Vec<ArrayRef>, _>>()?)?;
            for (row, key) in (0..).zip(encoded.iter()) {
                places.entry(key.data().into()).or_default().push((nth, row));
            }
        }
        let schema = batches.first().map_or_else(|| Arc::clone(&wanted.columns), RecordBatch::schema);
        Ok(Self { batches, schema, converter, places })
    }

    fn find(&self, keys: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let encoded = self.converter.convert_columns(keys.columns())?;
        let found = encoded.iter().filter_map(|key| self.places.get(key.data())).flatten();
        let found: Vec<_> = found.map(|(batch, row)| (*batch as usize, *row as usize)).collect();
        if found.is_empty() {
            return Ok(RecordBatch::new_empty(Arc::clone(&self.schema)));
        }
        interleave_record_batch(&self.batches.iter().collect::<Vec<_>>(), &found)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use arrow::array::{AsArray, Int32Array, Int64Array, StringArray};
    use arrow::datatypes::{DataType, Field, Int32Type, Schema};
    use headwater_core::world::Clock as _;
    use headwater_core::world::sim::SimWorld;
    use parking_lot::Mutex;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// What is read of it one time after the other: a value that all keys have then, or why it cannot be read.
    #[derive(Clone, Default)]
    struct Script {
        next: Arc<Mutex<VecDeque<Result<i32>>>>,
        readings: Arc<Mutex<usize>>,
    }

    impl Script {
        fn then(&self, next: Result<i32>) {
            self.next.lock().push_back(next);
        }
    }

    fn batch(keys: Vec<Option<i32>>, value: i32) -> RecordBatch {
        let values: ArrayRef = Arc::new(Int32Array::from(vec![value; keys.len()]));
        let keys: ArrayRef = Arc::new(Int32Array::from(keys));
        RecordBatch::try_from_iter_with_nullable([("k", keys, true), ("v", values, true)]).unwrap()
    }

    #[async_trait]
    impl WholeTable for Script {
        fn shown(&self) -> String {
            "table t".to_owned()
        }

        async fn read(&mut self) -> Result<Vec<RecordBatch>> {
            *self.readings.lock() += 1;
            let value = self.next.lock().pop_front().unwrap()?;
            Ok(vec![
                batch(vec![Some(1), Some(2), None], value),
                batch(vec![], 0),
                batch(vec![Some(1)], value + 1),
            ])
        }
    }

    fn cache(script: &Script, world: &SimWorld, reload: Reload, retries: Option<u32>) -> FullCache<Script> {
        let wanted = Wanted { columns: batch(vec![], 0).schema(), key: vec!["k".to_owned()] };
        FullCache::new(script.clone(), wanted, world.world(), reload, Retries::new(retries))
    }

    /// The values found by keys of a wider type than the table's.
    async fn values(cache: &mut FullCache<Script>, keys: &[i64]) -> Result<Vec<i32>> {
        let keys: ArrayRef = Arc::new(Int64Array::from(keys.to_vec()));
        let found = cache.fetch(&RecordBatch::try_from_iter([("k", keys)]).unwrap()).await?;
        let mut values = found["v"].as_primitive::<Int32Type>().values().to_vec();
        values.sort_unstable();
        Ok(values)
    }

    fn away() -> Result<i32> {
        Err(ConnectorError::outage("read table t", "it is away"))
    }

    #[tokio::test]
    async fn keys_are_answered_from_one_reading_until_the_next_is_due() {
        let (script, world) = (Script::default(), SimWorld::new(1));
        let mut table = cache(&script, &world, Reload::FixedDelay(MINUTE), None);
        assert_eq!(table.fresh_from(), Some(EventTime::MAX));
        script.then(Ok(10));
        assert_eq!(values(&mut table, &[1, 2, 3]).await.unwrap(), [10, 10, 11]);
        assert!(values(&mut table, &[3]).await.unwrap().is_empty());
        let began = world.clock().now();
        world.clock().advance(MINUTE - Duration::from_nanos(1));
        assert_eq!(table.fresh_from(), Some(began));
        assert_eq!(values(&mut table, &[2]).await.unwrap(), [10]);
        assert_eq!(*script.readings.lock(), 1);
        world.clock().advance(Duration::from_nanos(1));
        assert_eq!(table.fresh_from(), Some(EventTime::MAX));
        script.then(Ok(20));
        assert_eq!(values(&mut table, &[2]).await.unwrap(), [20]);
        assert_eq!(table.fresh_from(), Some(world.clock().now()));
    }

    #[tokio::test]
    async fn what_is_read_once_is_good_for_good() {
        let (script, world) = (Script::default(), SimWorld::new(1));
        let mut table = cache(&script, &world, Reload::Never, None);
        script.then(Ok(10));
        for _ in 0..3 {
            assert_eq!(table.fresh_from(), None);
            assert_eq!(values(&mut table, &[2]).await.unwrap(), [10]);
            world.clock().advance(10_000 * MINUTE);
        }
    }

    #[tokio::test]
    async fn a_reading_that_fails_leaves_the_rows_and_is_tried_again() {
        let (script, world) = (Script::default(), SimWorld::new(1));
        // After the first reading no failure counts, be it an outage or a refusal.
        let mut table = cache(&script, &world, Reload::FixedDelay(MINUTE), Some(0));
        script.then(Ok(10));
        assert_eq!(values(&mut table, &[2]).await.unwrap(), [10]);
        let began = world.clock().now();
        world.clock().advance(MINUTE);
        for error in [away(), Err(ConnectorError::refused("read table t", "there is no such table"))] {
            script.then(error);
            assert_eq!(values(&mut table, &[2]).await.unwrap(), [10]);
            // It is left alone for a moment, in which the answers are as good as they were.
            assert_eq!(values(&mut table, &[2]).await.unwrap(), [10]);
            assert_eq!(table.fresh_from(), Some(began));
            world.clock().advance(Duration::from_secs(1));
            assert_eq!(table.fresh_from(), Some(EventTime::MAX));
        }
        script.then(Ok(20));
        assert_eq!(values(&mut table, &[2]).await.unwrap(), [20]);
        assert_eq!(*script.readings.lock(), 4);
        assert_eq!(table.fresh_from(), Some(world.clock().now()));
    }

    #[tokio::test]
    async fn a_first_reading_that_fails_is_tried_as_often_as_it_may_be() {
        let (script, world) = (Script::default(), SimWorld::new(1));
        let mut table = cache(&script, &world, Reload::Never, Some(1));
        script.then(away());
        assert!(values(&mut table, &[2]).await.unwrap_err().is_retryable());
        script.then(away());
        let error = values(&mut table, &[2]).await.unwrap_err();
        assert!(!error.is_retryable() && error.to_string().contains("given up after 1 retries"), "{error}");
    }

    #[test]
    fn a_table_without_rows_answers_none() {
        let schema = Arc::new(Schema::new(vec![Field::new("k", DataType::Utf8, true)]));
        let wanted = Wanted { columns: Arc::clone(&schema), key: vec!["k".to_owned()] };
        let rows = Rows::new(Vec::new(), &wanted, &schema).unwrap();
        let keys: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
        let keys = RecordBatch::try_new(schema, vec![keys]).unwrap();
        assert_eq!(rows.find(&keys).unwrap().num_rows(), 0);
    }
}
