//! What a sink asks of a database, whichever it is.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use headwater_connectors::ConnectorError;
use headwater_core::{Sequence, ShardId};

use crate::cells::Cells;
use crate::fault::Fault;
use crate::table::{Column, Ours, TableName, quoted};

/// The table in which sinks keep where they stand, beside the tables that they write.
pub(crate) const POSITIONS: &str = "headwater_positions";

/// What is written, and how.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub(crate) table: TableName,
    /// The columns, in the order of the cells.
    pub(crate) ours: Vec<Ours>,
    /// The key by which rows are updated; empty: they are inserted.
    pub(crate) key: Vec<String>,
    /// Whether a table that is not there is created.
    pub(crate) create: bool,
}

impl Spec {
    /// Refuses a table without columns, which is one that is not there, of the database `shown`.
    pub(crate) fn check_is_there(&self, theirs: &[Column], shown: &str) -> Result<(), ConnectorError> {
        if !theirs.is_empty() {
            return Ok(());
        }
        let reason = "there is no such table; 'auto.create' = 'true' creates it";
        Err(ConnectorError::refused(format!("write into table {} of {shown}", self.table), reason))
    }
}

/// What is asked of a table, or read of it as a whole.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) table: TableName,
    /// The columns that are wanted.
    pub(crate) columns: Vec<Ours>,
    /// The columns by which rows are asked for, and as what their values are sent; none where all rows are.
    pub(crate) keys: Vec<Ours>,
}

impl Question {
    /// Where all rows are read: the condition that leaves out those that have no key, which nobody can ask for.
    pub(crate) fn of_some_key(&self, quote: char) -> String {
        let keys = self.columns.iter().filter(|our| our.is_key);
        let there: Vec<_> = keys.map(|our| format!("{} IS NOT NULL", quoted(&our.name, quote))).collect();
        if there.is_empty() { String::new() } else { format!(" WHERE {}", there.join(" AND ")) }
    }

    /// Refuses a table without columns, which is one that is not there, of the database `shown`.
    pub(crate) fn check_is_there(&self, theirs: &[Column], shown: &str) -> Result<(), ConnectorError> {
        if !theirs.is_empty() {
            return Ok(());
        }
        let what = format!("read table {} of {shown}", self.table);
        Err(ConnectorError::refused(what, "there is no such table"))
    }
}

/// Whose position it is: a table's name and when its stream was created, which no other has, of whatever log.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    pub(crate) sink: String,
    pub(crate) created: i64,
}

/// What is done with rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    /// They are inserted, or take the place of those with their keys.
    Write,
    /// Those of their keys go; only the key's cells are given.
    Delete,
}

/// A connection on which one flush after the other is written. After an error it is of no use any more, unless the error is a row's fault.
#[async_trait]
pub(crate) trait Session: Send + Sync {
    /// Looks at the table, creates it if that is asked for, and checks that rows will fit.
    async fn prepare(&mut self, spec: &Spec) -> Result<(), ConnectorError>;

    /// Where an owner stands, by shard. Creates the table of positions if it is not there.
    async fn positions(&mut self, owner: &Owner) -> Result<BTreeMap<ShardId, Sequence>, ConnectorError>;

    /// Begins a transaction.
    async fn begin(&mut self) -> Result<(), ConnectorError>;

    /// Moves a position; `false` if it is not where it was believed to be, because somebody else has moved it.
    async fn advance(
        &mut self,
        owner: &Owner,
        shard: ShardId,
        from: Option<Sequence>,
        to: Sequence,
    ) -> Result<bool, ConnectorError>;

    /// Runs a statement without arguments, whose answer nobody wants.
    async fn run(&mut self, sql: &'static str) -> Result<(), ConnectorError>;

    /// Sends rows to be written or deleted. After a row's fault some of the others may have been.
    async fn send(&mut self, change: Change, rows: &[Cells]) -> Result<(), Fault>;

    /// Writes or deletes rows, all or none of them. A row's fault leaves the transaction as it was before.
    async fn change(&mut self, change: Change, rows: &[Cells]) -> Result<(), Fault> {
        self.run("SAVEPOINT headwater").await?;
        match self.send(change, rows).await {
            Ok(()) => Ok(self.run("RELEASE SAVEPOINT headwater").await?),
            Err(Fault::Row(reason)) => {
                self.run("ROLLBACK TO SAVEPOINT headwater").await?;
                Err(Fault::Row(reason))
            }
            // The connection is of no use any more, and the transaction goes with it.
            Err(error) => Err(error),
        }
    }

    /// Commits the transaction. An error may mean either.
    async fn commit(&mut self) -> Result<(), ConnectorError> {
        self.run("COMMIT").await
    }

    /// Looks at a table that is to be asked, and checks that it has the columns.
    async fn prepare_question(&mut self, question: &Question) -> Result<(), ConnectorError>;

    /// Asks for the rows with these keys, and answers their columns. A row's fault is one of a key: the database cannot read it as what
    /// its column holds.
    async fn ask(&mut self, question: &Question, keys: &[Cells]) -> Result<Vec<Cells>, Fault>;

    /// Asks for all rows, by a question without keys, and hands on their columns, some thousand rows at a time. It gives up when the next
    /// of them do not come within `patience`.
    async fn read_all(
        &mut self,
        question: &Question,
        patience: Duration,
        rows: &mut (dyn FnMut(Vec<Cells>) -> Result<(), ConnectorError> + Send),
    ) -> Result<(), ConnectorError>;

    /// Closes the connection.
    async fn close(self: Box<Self>);
}

/// Positions by shard, from the columns in which they are kept as integers with a sign, as PostgreSQL has no others.
pub(crate) fn positions_of(shards: Vec<i32>, next: Vec<i64>) -> BTreeMap<ShardId, Sequence> {
    let shards = shards.into_iter().map(|shard| ShardId(shard.cast_unsigned()));
    shards.zip(next.into_iter().map(|next| Sequence(next.cast_unsigned()))).collect()
}
