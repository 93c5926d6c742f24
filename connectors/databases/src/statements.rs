//! Statements over one connection, to either system: what their errors mean, and what they answer.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use headwater_connectors::ConnectorError;
use sqlx::{Connection, Database, Executor, IntoArguments, MySql, Postgres, Row, SqlSafeStr};

use crate::fault::{self, Fault, Meaning, fault_of};

/// How many rows of a whole table are in the driver's form at a time.
const ROWS_AT_ONCE: usize = 8_192;

/// What the driver of a system does not say by itself.
pub(crate) trait System: Database {
    /// What an error of the system's own means.
    fn meaning(error: &dyn sqlx::error::DatabaseError) -> Meaning;

    /// How many rows a statement has written.
    fn written(done: &Self::QueryResult) -> u64;
}

impl System for MySql {
    fn meaning(error: &dyn sqlx::error::DatabaseError) -> Meaning {
        fault::mysql(error)
    }

    fn written(done: &Self::QueryResult) -> u64 {
        done.rows_affected()
    }
}

impl System for Postgres {
    fn meaning(error: &dyn sqlx::error::DatabaseError) -> Meaning {
        fault::postgres(error)
    }

    fn written(done: &Self::QueryResult) -> u64 {
        done.rows_affected()
    }
}

/// A connection over which statements go.
pub(crate) struct Statements<D: System> {
    connection: D::Connection,
    /// The database as errors name it.
    shown: String,
}

impl<D> Statements<D>
where
    D: System,
    D::Arguments: IntoArguments<D>,
    for<'c> &'c mut D::Connection: Executor<'c, Database = D>,
{
    pub(crate) fn new(connection: D::Connection, shown: String) -> Self {
        Self { connection, shown }
    }

    /// The database as errors name it.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// Writes by a statement, and answers how many rows were written. A row may be to blame if it fails.
    pub(crate) async fn write(
        &mut self,
        sql: impl SqlSafeStr,
        arguments: D::Arguments,
    ) -> Result<u64, Fault> {
        let query = sqlx::query_with(sql, arguments);
        let done = query.execute(&mut self.connection).await;
        done.map(|done| D::written(&done)).map_err(|error| self.fault(error))
    }

    /// Runs a statement in which no row can be to blame, and answers how many rows were written.
    pub(crate) async fn execute(
        &mut self,
        sql: impl SqlSafeStr,
        arguments: D::Arguments,
    ) -> Result<u64, ConnectorError> {
        let done = self.write(sql, arguments).await;
        done.map_err(|fault| fault.whole(&self.shown))
    }

    /// Runs a statement without arguments, which is not prepared.
    pub(crate) async fn run(&mut self, sql: &'static str) -> Result<(), ConnectorError> {
        let done = self.connection.execute(sql).await;
        self.read(done.map(drop))
    }

    /// The rows that a statement answers.
    pub(crate) async fn fetch(
        &mut self,
        sql: impl SqlSafeStr,
        arguments: D::Arguments,
    ) -> Result<Vec<D::Row>, ConnectorError> {
        let rows = self.try_fetch(sql, arguments).await;
        self.read(rows)
    }

    /// The rows that a statement answers, or the driver's error.
    pub(crate) async fn try_fetch(
        &mut self,
        sql: impl SqlSafeStr,
        arguments: D::Arguments,
    ) -> Result<Vec<D::Row>, sqlx::Error> {
        sqlx::query_with(sql, arguments).fetch_all(&mut self.connection).await
    }

    /// Hands on the rows that a statement without arguments answers, as what is made of some thousand of them at a time, and keeps none.
    /// The next of them must be there within `patience`.
    pub(crate) async fn each<T>(
        &mut self,
        sql: impl SqlSafeStr,
        patience: Duration,
        mut make: impl FnMut(&[D::Row]) -> Result<T, sqlx::Error>,
        hand_on: &mut (dyn FnMut(T) -> Result<(), ConnectorError> + Send),
    ) -> Result<(), ConnectorError> {
        let shown = self.shown.as_str();
        let whole = |error| fault_of(shown, error, D::meaning).whole(shown);
        let late = |_| ConnectorError::outage(shown, format!("no more rows within {patience:?}"));
        let query = sqlx::query_with(sql, D::Arguments::default());
        let mut rows = query.fetch(&mut self.connection).fuse();
        loop {
            let next = rows.by_ref().take(ROWS_AT_ONCE).try_collect::<Vec<_>>();
            let next = tokio::time::timeout(patience, next).await.map_err(late)?.map_err(whole)?;
            if next.is_empty() {
                return Ok(());
            }
            hand_on(make(&next).map_err(whole)?)?;
        }
    }

    /// What an error of the driver's means.
    pub(crate) fn fault(&self, error: sqlx::Error) -> Fault {
        fault_of(&self.shown, error, D::meaning)
    }

    /// What was read, or why not; no row is to blame.
    pub(crate) fn read<T>(&self, read: Result<T, sqlx::Error>) -> Result<T, ConnectorError> {
        read.map_err(|error| self.fault(error).whole(&self.shown))
    }

    /// Closes the connection.
    pub(crate) async fn close(self) {
        // Whoever closes does not care whether the other side hears of it.
        let _ = self.connection.close().await;
    }
}

/// The values of one column of an answer.
pub(crate) fn values<'r, R, T>(rows: &'r [R], nth: usize) -> Result<Vec<T>, sqlx::Error>
where
    R: Row,
    usize: sqlx::ColumnIndex<R>,
    T: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
{
    rows.iter().map(|row| row.try_get(nth)).collect()
}
