//! What the tests share: expected answers as files, a catalog from DDL, tables in memory.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, TimestampNanosecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use headwater_plan::{Catalog, Planner, Statement, Tables, Target, parse, parse_one};

/// Compares a text with the file of that name under `tests/snapshots/`; `UPDATE_SNAPSHOTS=1 cargo test` writes it anew.
pub fn check_snapshot(name: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(name);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        #[expect(clippy::disallowed_methods, reason = "a test writes its own expectations")]
        std::fs::write(&path, actual).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        expected == actual,
        "{name} differs; if it is right, UPDATE_SNAPSHOTS=1 cargo test\n--- expected\n{expected}\n--- actual\n{actual}"
    );
}

/// The catalog that a script defines.
pub fn catalog(script: &str) -> Catalog {
    let mut catalog = Catalog::default();
    for statement in parse(script).unwrap_or_else(|error| panic!("{}", error.render())) {
        catalog = catalog.apply(&statement).unwrap_or_else(|error| panic!("{}", error.render())).0;
    }
    catalog
}

/// Tables in memory.
#[derive(Debug, Default)]
pub struct InMemory(BTreeMap<String, Arc<dyn TableProvider>>);

impl Tables for InMemory {
    fn provider(&self, name: &str) -> Option<Arc<dyn TableProvider>> {
        self.0.get(name).cloned()
    }

    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
}

impl InMemory {
    /// A table with these rows.
    pub fn with(mut self, name: &str, rows: RecordBatch) -> Self {
        let table = MemTable::try_new(rows.schema(), vec![vec![rows]]).unwrap();
        self.0.insert(name.to_owned(), Arc::new(table));
        self
    }

    /// A stream with these rows: in shard 0, each arrived a second after the one before.
    pub fn with_stream(self, name: &str, rows: RecordBatch) -> Self {
        let count = rows.num_rows() as i64;
        let arrivals = TimestampNanosecondArray::from_iter_values((0..count).map(|row| row * 1_000_000_000));
        let metadata: [(&str, ArrayRef); 3] = [
            ("_shard", Arc::new(Int32Array::from_iter_values((0..count).map(|_| 0)))),
            ("_sequence", Arc::new(Int64Array::from_iter_values(0..count))),
            ("_arrival", Arc::new(arrivals.with_timezone("UTC"))),
        ];
        let mut fields: Vec<_> = rows.schema().fields().to_vec();
        let mut columns = rows.columns().to_vec();
        for (name, column) in metadata {
            fields.push(Arc::new(Field::new(name, column.data_type().clone(), false)));
            columns.push(column);
        }
        self.with(name, RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap())
    }

    /// Boxed as the planner takes it.
    pub fn tables(self) -> Arc<dyn Tables> {
        Arc::new(self)
    }
}

/// Event times in seconds as a column of TIMESTAMP(3).
pub fn seconds(values: &[i64]) -> ArrayRef {
    let millis: Vec<i64> = values.iter().map(|value| value * 1000).collect();
    Arc::new(arrow::array::TimestampMillisecondArray::from(millis))
}

/// The type of [`seconds`].
pub fn millis() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, None)
}

/// A mistake: a statement, the text that the place is at, words of the message, and of the advice.
pub struct Case(pub &'static str, pub &'static str, pub &'static str, pub &'static str);

/// Checks what is said of mistakes in statements over these streams, where, and what is advised.
pub fn check_cases(ddl: &str, cases: &[Case]) {
    let catalog = catalog(ddl);
    let (planner, tables) = (Planner::new(), InMemory::default().tables());
    let mut wrong = Vec::new();
    for Case(sql, at, says, advises) in cases {
        let planned = parse_one(sql).and_then(|parsed| match &parsed.statement {
            Statement::Query(query) => planner.stream(&catalog, &tables, query, Target::Anywhere).map(drop),
            Statement::Insert(insert) => {
                let into = Target::Stream(catalog.stream(&insert.target.value).unwrap(), &[]);
                planner.stream(&catalog, &tables, &insert.query, into).map(drop)
            }
            other => panic!("no mistake: {sql}: {other:?}"),
        });
        let Err(error) = planned else { panic!("no mistake: {sql}") };
        let column = error.position().map(|position| position.column as usize - 1);
        let advice = error.advice().unwrap_or_default();
        let is_there = column.is_some_and(|column| sql[column..].starts_with(at));
        if !is_there || !error.message().contains(says) || !advice.contains(advises) {
            wrong.push(format!("{}\n  expected at '{at}': {says}; {advises}", error.render()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
