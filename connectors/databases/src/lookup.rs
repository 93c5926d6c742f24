//! Tables in which jobs look rows up: one query for all keys that a step lacks, or one for all rows, which are kept in memory.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use headwater_connectors::{ConnectorError, Kept, Lookup, Result, Retries, Wanted, WholeTable};

use crate::address::Address;
use crate::cells::Cells;
use crate::connection::connect;
use crate::fault::Fault;
use crate::kind::Kind;
use crate::session::{Question, Session};
use crate::table::{Ours, TableName, ours};

/// A table that is asked.
pub(crate) struct DatabaseLookup {
    address: Address,
    wanted: Wanted,
    question: Question,
    kept: Kept,
    patience: Duration,
    retries: Retries,
    session: Option<Box<dyn Session>>,
}

impl DatabaseLookup {
    pub(crate) fn new(
        address: Address,
        table: TableName,
        wanted: Wanted,
        kept: Kept,
        patience: Duration,
        retries: Retries,
    ) -> Result<Self> {
        let question = question(table, &wanted)?;
        Ok(Self { address, wanted, question, kept, patience, retries, session: None })
    }

    async fn ask(&mut self, keys: &RecordBatch) -> Result<RecordBatch> {
        let what = format!("look rows up in table {} of {}", self.question.table, self.address.shown());
        let wrong = |reason: String| ConnectorError::refused(what.clone(), reason);
        self.question.keys = ours(&keys.schema(), &[])?;
        // Taken out: a session in which something went wrong is not used again.
        let mut session = match self.session.take() {
            Some(session) => session,
            None => {
                let mut session = connect(&self.address).await?;
                session.prepare_question(&self.question).await?;
                session
            }
        };
        let mut found = Vec::new();
        // A key that the database cannot read as what the column holds is the key of no row: its halves are asked for until it is found.
        let mut open = vec![keys.clone()];
        while let Some(keys) = open.pop() {
            let cell = |(our, column): (&Ours, _)| Cells::of(column, our.kind);
            let cells = self.question.keys.iter().zip(keys.columns()).map(cell);
            let cells = cells.collect::<std::result::Result<Vec<_>, _>>().map_err(wrong)?;
            match session.ask(&self.question, &cells).await {
                Ok(rows) => found.push(rows_of(rows, &self.wanted.columns).map_err(wrong)?),
                Err(Fault::Row(_)) if keys.num_rows() == 1 => {}
                Err(Fault::Row(_)) => {
                    let half = keys.num_rows() / 2;
                    open.extend([keys.slice(half, keys.num_rows() - half), keys.slice(0, half)]);
                }
                Err(Fault::Connector(error)) => return Err(error),
            }
        }
        self.session = Some(session);
        concat_batches(&self.wanted.columns, &found).map_err(|error| wrong(error.to_string()))
    }
}

/// Asks for what is wanted of a table, by no key as yet.
fn question(table: TableName, wanted: &Wanted) -> Result<Question> {
    let columns = ours(&wanted.columns, &wanted.key)?;
    if let Some(nested) = columns.iter().find(|column| column.kind == Kind::Json) {
        let reason = "nested values are looked up as the text that they are: declare it as STRING";
        return Err(ConnectorError::refused(format!("column '{}'", nested.name), reason));
    }
    Ok(Question { table, columns, keys: Vec::new() })
}

/// What was answered, as rows with the columns that are wanted.
fn rows_of(found: Vec<Cells>, wanted: &SchemaRef) -> std::result::Result<RecordBatch, String> {
    let fields = wanted.fields().iter();
    let columns = found.into_iter().zip(fields).map(|(cells, field)| cells.into_column(field.data_type()));
    let columns = columns.collect::<std::result::Result<Vec<_>, _>>()?;
    RecordBatch::try_new(Arc::clone(wanted), columns).map_err(|error| error.to_string())
}

#[async_trait]
impl Lookup for DatabaseLookup {
    fn kept(&self) -> Kept {
        self.kept
    }

    async fn fetch(&mut self, keys: &RecordBatch) -> Result<RecordBatch> {
        let patience = self.patience;
        let asked = tokio::time::timeout(patience, self.ask(keys)).await;
        let late = |_| ConnectorError::outage("look rows up", format!("no answer within {patience:?}"));
        self.retries.count(asked.map_err(late).flatten())
    }
}

/// A table of which all rows are read, over a connection of its own each time.
pub(crate) struct DatabaseTable {
    address: Address,
    columns: SchemaRef,
    question: Question,
    patience: Duration,
}

impl DatabaseTable {
    pub(crate) fn new(
        address: Address,
        table: TableName,
        wanted: &Wanted,
        patience: Duration,
    ) -> Result<Self> {
        let question = question(table, wanted)?;
        Ok(Self { address, columns: Arc::clone(&wanted.columns), question, patience })
    }
}

#[async_trait]
impl WholeTable for DatabaseTable {
    fn shown(&self) -> String {
        format!("table {} of {}", self.question.table, self.address.shown())
    }

    async fn read(&mut self) -> Result<Vec<RecordBatch>> {
        let patience = self.patience;
        let what = format!("read {}", self.shown());
        let begin = async {
            let mut session = connect(&self.address).await?;
            session.prepare_question(&self.question).await?;
            Ok::<_, ConnectorError>(session)
        };
        let late = |_| ConnectorError::outage(&what, format!("no answer within {patience:?}"));
        let mut session = tokio::time::timeout(patience, begin).await.map_err(late).flatten()?;
        let mut batches = Vec::new();
        let mut hand_on = |found: Vec<Cells>| {
            let rows = rows_of(found, &self.columns);
            batches.push(rows.map_err(|reason| ConnectorError::refused(&what, reason))?);
            Ok(())
        };
        session.read_all(&self.question, patience, &mut hand_on).await?;
        // All rows are there: whoever is slow to say goodbye is left.
        let _ = tokio::time::timeout(patience, session.close()).await;
        Ok(batches)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array};
    use arrow::datatypes::{DataType, Field, Schema};
    use headwater_ingest::Options;

    use super::*;

    /// A table at a port at which nobody listens.
    fn nobody(retries: Option<u32>) -> DatabaseLookup {
        let url = [("url", "postgresql://127.0.0.1:1/d")];
        let address = Address::take(&mut Options::new("connector jdbc", url), None).unwrap();
        let columns = Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, true)]));
        let wanted = Wanted { columns, key: vec!["k".to_owned()] };
        let kept = Kept { keys_max: 0, ttl: None, keeps_missing: false };
        let table = TableName::parse("t").unwrap();
        DatabaseLookup::new(address, table, wanted, kept, Duration::from_secs(60), Retries::new(retries))
            .unwrap()
    }

    #[tokio::test]
    async fn it_is_asked_as_often_as_it_may_be() {
        let keys: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        let keys = RecordBatch::try_from_iter([("k", keys)]).unwrap();
        let (mut patient, mut hasty) = (nobody(None), nobody(Some(2)));
        for _ in 0..3 {
            assert!(patient.fetch(&keys).await.unwrap_err().is_retryable());
        }
        for _ in 0..2 {
            assert!(hasty.fetch(&keys).await.unwrap_err().is_retryable());
        }
        let last = hasty.fetch(&keys).await.unwrap_err();
        assert!(!last.is_retryable() && last.to_string().contains("given up after 2 retries"), "{last}");
    }
}
