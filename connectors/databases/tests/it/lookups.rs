//! Rows are found again by their keys, with the values that were written.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::{sort_to_indices, take_record_batch};
use arrow::datatypes::{DataType, Int64Type, Schema};
use headwater_connectors::registry::make_lookup;
use headwater_connectors::{ConnectorError, Context, Lookup, Wanted};
use headwater_core::{StreamName, World};
use headwater_ingest::Options;

use crate::lab::runtime;
use crate::promise::to;
use crate::server::Server;
use crate::values::columns;

fn lookup(server: &Server, wanted: &Schema, key: &str) -> Result<Box<dyn Lookup>, ConnectorError> {
    lookup_in(server, "valued", wanted, key)
}

fn lookup_in(
    server: &Server,
    table: &str,
    wanted: &Schema,
    key: &str,
) -> Result<Box<dyn Lookup>, ConnectorError> {
    let def = to(server, table);
    let schema = Arc::new(wanted.clone());
    let stream = StreamName::new(table).unwrap();
    let context =
        Context { name: def.name.clone(), ..Context::of(World::real(), stream, Arc::clone(&schema)) };
    let wanted = Wanted { columns: schema, key: vec![key.to_owned()] };
    make_lookup("jdbc", context, wanted, Options::new("connector jdbc", def.options))
}

/// What was written, of the columns that are not nested.
fn written() -> RecordBatch {
    let is_flat = |column: &ArrayRef| !matches!(column.data_type(), DataType::List(_) | DataType::Struct(_));
    let flat = columns().into_iter().filter(|(_, column)| is_flat(column));
    let flat = flat.map(|(name, column)| (name, column, name != "k"));
    RecordBatch::try_from_iter_with_nullable(flat).unwrap()
}

pub fn every_type_is_found_again(server: &mut Server) {
    let written = written();
    let runtime = runtime();
    let mut table = lookup(server, &written.schema(), "k").unwrap();
    let keys: ArrayRef = Arc::new(Int64Array::from((1..1_500).rev().collect::<Vec<_>>()));
    let keys = RecordBatch::try_from_iter([("k", keys)]).unwrap();
    let found = runtime.block_on(table.fetch(&keys)).unwrap();
    let order = sort_to_indices(found.column(0), None, None).unwrap();
    let found = take_record_batch(&found, &order).unwrap();
    for (nth, field) in written.schema().fields().iter().enumerate() {
        match field.name().as_str() {
            // Nanoseconds are cut off.
            "ts9" => assert_eq!(found.column(nth).null_count(), 1),
            name => assert_eq!(found.column(nth), written.column(nth), "{name}"),
        }
    }

    // By a text that has to be quoted, and with an answer without rows.
    let by = |text: &str| {
        let text: ArrayRef = Arc::new(StringArray::from(vec![text]));
        RecordBatch::try_from_iter([("txt", text)]).unwrap()
    };
    let few = written.schema().project(&[0, 12]).unwrap();
    let mut table = lookup(server, &few, "txt").unwrap();
    let text = written.column(12).as_string::<i32>().value(0).to_owned();
    let found = runtime.block_on(table.fetch(&by(&text))).unwrap();
    assert_eq!(found.column(0).as_primitive::<Int64Type>().values(), &[1]);
    assert_eq!(runtime.block_on(table.fetch(&by("nobody"))).unwrap().num_rows(), 0);

    // While the server is away the failure is one that passes; then the same table answers again.
    server.kill();
    let error = runtime.block_on(table.fetch(&by(&text))).unwrap_err();
    assert!(error.is_retryable(), "{error}");
    server.run();
    assert_eq!(runtime.block_on(table.fetch(&by(&text))).unwrap().num_rows(), 1);

    // What does not lie there is said by name, and nested values are not read.
    let other = Schema::new(vec![few.field(1).clone().with_name("text")]);
    let error = runtime.block_on(lookup(server, &other, "text").unwrap().fetch(&by("a"))).unwrap_err();
    assert!(error.to_string().contains("there is no column 'text', did you mean 'txt'?"), "{error}");
    let nested =
        Schema::new(vec![arrow::datatypes::Field::new("list", columns()[19].1.data_type().clone(), true)]);
    assert!(lookup(server, &nested, "list").err().unwrap().to_string().contains("declare it as STRING"));
}

/// A key that the database cannot read as what its column holds is the key of no row, and of no more than itself.
pub fn a_key_that_is_none_is_that_of_no_row(server: &Server) {
    server.ask("CREATE TABLE tagged (tag uuid, small smallint, name varchar(9))");
    server.ask("INSERT INTO tagged VALUES ('11111111-1111-1111-1111-111111111111', 7, 'one')");
    server.ask("INSERT INTO tagged VALUES ('22222222-2222-2222-2222-222222222222', 8, 'two')");
    let field = |name: &str, data_type| arrow::datatypes::Field::new(name, data_type, true);
    let runtime = runtime();
    let names = |found: &RecordBatch| -> Vec<String> {
        let names = found.column_by_name("name").unwrap().as_string::<i32>();
        let mut names: Vec<_> = names.iter().flatten().map(str::to_owned).collect();
        names.sort();
        names
    };
    let schema = Schema::new(vec![field("tag", DataType::Utf8), field("name", DataType::Utf8)]);
    let mut table = lookup_in(server, "tagged", &schema, "tag").unwrap();
    let keys = [
        "22222222-2222-2222-2222-222222222222",
        "abc",
        "",
        "33333333-3333-3333-3333-333333333333",
        "11111111-1111-1111-1111-111111111111",
        "with\0zero",
    ];
    let keys: ArrayRef = Arc::new(StringArray::from(keys.to_vec()));
    let keys = RecordBatch::try_from_iter([("tag", keys)]).unwrap();
    assert_eq!(names(&runtime.block_on(table.fetch(&keys)).unwrap()), ["one", "two"]);
    assert_eq!(runtime.block_on(table.fetch(&keys.slice(1, 1))).unwrap().num_rows(), 0);

    let schema = Schema::new(vec![field("small", DataType::Int64), field("name", DataType::Utf8)]);
    let mut table = lookup_in(server, "tagged", &schema, "small").unwrap();
    let keys: ArrayRef = Arc::new(Int64Array::from(vec![1 << 40, 7]));
    let keys = RecordBatch::try_from_iter([("small", keys)]).unwrap();
    assert_eq!(names(&runtime.block_on(table.fetch(&keys)).unwrap()), ["one"]);
}
