//! Rows are found again by their keys, with the values that were written.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::{sort_to_indices, take_record_batch};
use arrow::datatypes::{DataType, Int64Type, Schema};
use headwater_connectors::registry::make_lookup;
use headwater_connectors::{ConnectorError, Context, Lookup, Wanted};
use headwater_core::world::sim::SimWorld;
use headwater_core::{StreamName, World};
use headwater_ingest::Options;

use crate::lab::runtime;
use crate::promise::to;
use crate::server::{Kind, Server};
use crate::values::columns;

/// All rows are kept in memory.
const FULL: (&str, &str) = ("lookup.cache", "FULL");

fn lookup(server: &Server, wanted: &Schema, key: &str) -> Result<Box<dyn Lookup>, ConnectorError> {
    lookup_in(server, "valued", wanted, key, World::real(), &[])
}

fn lookup_in(
    server: &Server,
    table: &str,
    wanted: &Schema,
    key: &str,
    world: World,
    options: &[(&str, &str)],
) -> Result<Box<dyn Lookup>, ConnectorError> {
    let mut def = to(server, table);
    def.options.extend(options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let schema = Arc::new(wanted.clone());
    let stream = StreamName::new(table).unwrap();
    let context = Context { name: def.name.clone(), ..Context::of(world, stream, Arc::clone(&schema)) };
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
    let keys: ArrayRef = Arc::new(Int64Array::from((1..1_500).rev().collect::<Vec<_>>()));
    let keys = RecordBatch::try_from_iter([("k", keys)]).unwrap();
    for options in [&[][..], &[FULL]] {
        let table = lookup_in(server, "valued", &written.schema(), "k", World::real(), options);
        let found = runtime.block_on(table.unwrap().fetch(&keys)).unwrap();
        let order = sort_to_indices(found.column(0), None, None).unwrap();
        let found = take_record_batch(&found, &order).unwrap();
        for (nth, field) in written.schema().fields().iter().enumerate() {
            match field.name().as_str() {
                // Nanoseconds are cut off.
                "ts9" => assert_eq!(found.column(nth).null_count(), 1),
                name => assert_eq!(found.column(nth), written.column(nth), "{name}"),
            }
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
    for options in [&[][..], &[FULL]] {
        let mut table = lookup_in(server, "tagged", &schema, "tag", World::real(), options).unwrap();
        assert_eq!(names(&runtime.block_on(table.fetch(&keys)).unwrap()), ["one", "two"]);
        assert_eq!(runtime.block_on(table.fetch(&keys.slice(1, 1))).unwrap().num_rows(), 0);
    }

    let schema = Schema::new(vec![field("small", DataType::Int64), field("name", DataType::Utf8)]);
    let keys: ArrayRef = Arc::new(Int64Array::from(vec![1 << 40, 7]));
    let keys = RecordBatch::try_from_iter([("small", keys)]).unwrap();
    for options in [&[][..], &[FULL]] {
        let mut table = lookup_in(server, "tagged", &schema, "small", World::real(), options).unwrap();
        assert_eq!(names(&runtime.block_on(table.fetch(&keys)).unwrap()), ["one"]);
    }
}

/// All rows are read at once and answered from memory until the next reading is due, and longer where that fails.
pub fn a_whole_table_is_kept_until_it_is_read_again(server: &mut Server) {
    let numbers = match server.kind {
        Kind::Postgres => "SELECT g, CONCAT('name ', g) FROM generate_series(1, 20000) AS g",
        Kind::MariaDb => "SELECT seq, CONCAT('name ', seq) FROM seq_1_to_20000",
    };
    server.ask("CREATE TABLE whole (k bigint, name varchar(20), rest int)");
    let world = SimWorld::new(1);
    let field = |name: &str, data_type| arrow::datatypes::Field::new(name, data_type, true);
    let key = field("k", DataType::Int64).with_nullable(false);
    let schema = Schema::new(vec![key, field("name", DataType::Utf8)]);
    let options = [FULL, ("lookup.full-cache.periodic-reload.interval", "1 h"), ("lookup.max-retries", "1")];
    let make = |server: &Server| lookup_in(server, "whole", &schema, "k", world.world(), &options).unwrap();
    let runtime = runtime();
    let found = |table: &mut Box<dyn Lookup>, keys: &[i64]| -> Vec<String> {
        let keys: ArrayRef = Arc::new(Int64Array::from(keys.to_vec()));
        let keys = RecordBatch::try_from_iter([("k", keys)]).unwrap();
        let found = runtime.block_on(table.fetch(&keys)).unwrap();
        let mut names: Vec<_> =
            found["name"].as_string::<i32>().iter().map(|name| name.unwrap_or("null").to_owned()).collect();
        names.sort();
        names
    };

    // None, and more than come at once, some of them with a key that has others or is none.
    let mut table = make(server);
    assert_eq!(found(&mut table, &[1]), [""; 0]);
    server.ask(&format!("INSERT INTO whole (k, name) {numbers}"));
    server.ask("INSERT INTO whole (k, name) VALUES (7, 'another'), (7, NULL), (NULL, 'of none')");
    assert_eq!(found(&mut table, &[1]), [""; 0], "it is not yet read again");
    world.clock().advance(Duration::from_secs(3_600));
    assert_eq!(
        found(&mut table, &[1, 8_192, 8_193, 20_000, 20_001]),
        ["name 1", "name 20000", "name 8192", "name 8193"]
    );
    assert_eq!(found(&mut table, &[7]), ["another", "name 7", "null"]);

    // While it is away, and after that while it refuses, the rows are what they were; then it is read again.
    server.ask("UPDATE whole SET name = 'new' WHERE k = 1");
    world.clock().advance(Duration::from_secs(3_600));
    server.kill();
    assert_eq!(found(&mut table, &[1]), ["name 1"]);
    server.run();
    server.ask("ALTER TABLE whole RENAME TO hidden");
    for _ in 0..3 {
        world.clock().advance(Duration::from_secs(60));
        assert_eq!(found(&mut table, &[1]), ["name 1"]);
    }
    let keys: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let keys = RecordBatch::try_from_iter([("k", keys)]).unwrap();
    let error = runtime.block_on(make(server).fetch(&keys)).unwrap_err();
    assert!(!error.is_retryable() && error.to_string().contains("there is no such table"), "{error}");
    server.ask("ALTER TABLE hidden RENAME TO whole");
    world.clock().advance(Duration::from_secs(60));
    assert_eq!(found(&mut table, &[1]), ["new"]);

    // A value that is none of the column's kind is said, not left out.
    let schema = Schema::new(vec![field("k", DataType::Int64), field("name", DataType::Int64)]);
    let mut other = lookup_in(server, "whole", &schema, "k", world.world(), &[FULL]).unwrap();
    if server.kind == Kind::Postgres {
        let error = runtime.block_on(other.fetch(&keys)).unwrap_err();
        assert!(!error.is_retryable() && error.to_string().contains("bigint"), "{error}");
    }

    // The first reading is waited for as other answers are, as often as that may be.
    server.kill();
    let mut table = make(server);
    assert!(runtime.block_on(table.fetch(&keys)).unwrap_err().is_retryable());
    let error = runtime.block_on(table.fetch(&keys)).unwrap_err();
    assert!(!error.is_retryable() && error.to_string().contains("given up after 1 retries"), "{error}");
    server.run();
    assert_eq!(found(&mut table, &[1]), ["new"]);
}

/// What is not kept so is said before anything is asked.
pub fn a_cache_that_is_none_is_refused(server: &Server) {
    let schema = Schema::new(vec![arrow::datatypes::Field::new("k", DataType::Int64, true)]);
    let interval = ("lookup.full-cache.periodic-reload.interval", "1 h");
    let strategy = "lookup.full-cache.reload-strategy";
    for (options, why) in [
        (&[("lookup.cache", "ALL")][..], "'lookup.cache' cannot be 'ALL': it is NONE, PARTIAL or FULL"),
        (&[("lookup.cache", "PARTIAL"), interval], "it is of 'lookup.cache' = 'FULL'"),
        (&[FULL, ("lookup.partial-cache.max-rows", "5")], "it is of 'lookup.cache' = 'PARTIAL'"),
        (&[FULL, (strategy, "TIMED")], "needs option 'lookup.full-cache.timed-reload.iso-time'"),
        (&[FULL, (strategy, "TIMED"), ("lookup.full-cache.timed-reload.iso-time", "25:00")], "a time of day"),
        (&[FULL, ("lookup.full-cache.periodic-reload.intervall", "1 h")], "did you mean"),
    ] {
        let error =
            lookup_in(server, "whole", &schema, "k", World::real(), options).err().unwrap().to_string();
        assert!(error.contains(why), "{options:?}: {error}");
    }
}
