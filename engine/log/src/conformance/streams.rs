//! Streams come, change and go.

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef};
use headwater_core::{SchemaId, ShardId, StreamId, StreamName};

use super::Make;
use super::fixture::{Fixture, create, rows, schema};
use crate::api::{Append, From, ReadSpec, Retention, StreamSpec};
use crate::error::LogError;

pub(super) fn made_found_and_dropped(make: Make<'_>) {
    let log = make();
    let (b, a) = (create(&*log, "b", 2), create(&*log, "a", 1));
    assert_ne!(a.id, b.id);
    assert_eq!(*log.stream(b.id).unwrap(), b);
    assert_eq!(*log.stream_named("a").unwrap(), a);
    let names: Vec<String> = log.streams().iter().map(|info| info.spec.name.to_string()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(log.bounds(b.id).unwrap().len(), 2);
    let retention = Retention { age: None, bytes: Some(1 << 30) };
    log.set_retention(a.id, retention).unwrap();
    assert_eq!(log.stream(a.id).unwrap().spec.retention, retention);
    let properties = std::collections::BTreeMap::from([("clock.guard".to_owned(), "none".to_owned())]);
    log.set_properties(a.id, properties.clone()).unwrap();
    let spec = StreamSpec { retention, properties, ..a.spec.clone() };
    assert_eq!(log.stream(a.id).unwrap().spec, spec);
    let unknown = log.set_properties(StreamId(77), Default::default());
    assert!(matches!(unknown, Err(LogError::NoStream { .. })));

    let mut reader = log.read(ReadSpec::all(b.id, ShardId(0))).unwrap();
    log.append(vec![Append::new(b.id, ShardId(0), rows(0..3))]).unwrap();
    assert_eq!(log.ends(b.id).unwrap().iter().map(|next| next.0).collect::<Vec<_>>(), [3, 0]);
    log.drop_stream(b.id).unwrap();
    assert!(matches!(reader.next(), Err(LogError::NoStream { .. })));
    assert!(matches!(log.ends(b.id), Err(LogError::NoStream { .. })));
    assert!(matches!(log.stream(b.id), Err(LogError::NoStream { .. })));
    assert!(matches!(log.stream_named("b"), Err(LogError::NoStream { .. })));
    assert!(matches!(log.drop_stream(b.id), Err(LogError::NoStream { .. })));
    let late = log.append(vec![Append::new(b.id, ShardId(0), rows(0..3))]);
    assert!(matches!(late, Err(LogError::NoStream { .. })));
    let again = create(&*log, "b", 1);
    assert_ne!(again.id, b.id, "numbers are never used again");
    assert_eq!(log.bounds(again.id).unwrap()[0].next.0, 0);
}

pub(super) fn bad_ones_are_refused(make: Make<'_>) {
    let log = make();
    create(&*log, "taken", 1);
    let spec = |name: &str| StreamSpec::new(StreamName::new(name).unwrap(), schema());
    assert!(matches!(log.create_stream(spec("taken")), Err(LogError::StreamExists { .. })));
    let bad = [
        StreamSpec { shards: 0, ..spec("a") },
        StreamSpec { shards: 65_537, ..spec("a") },
        StreamSpec { partition_by: vec!["no".to_owned()], ..spec("a") },
        StreamSpec { event_time: Some("no".to_owned()), ..spec("a") },
        StreamSpec { event_time: Some("value".to_owned()), ..spec("a") },
    ];
    for spec in bad {
        assert!(matches!(log.create_stream(spec), Err(LogError::BadSpec { .. })));
    }
    assert!(matches!(log.bounds(StreamId(77)), Err(LogError::NoStream { .. })));
    assert!(matches!(log.read(ReadSpec::all(StreamId(77), ShardId(0))), Err(LogError::NoStream { .. })));
    assert_eq!(log.streams().len(), 1);
}

/// `value` widened to floats, and a new column.
fn wider() -> SchemaRef {
    let mut fields: Vec<Field> = schema().fields().iter().map(|field| Field::clone(field)).collect();
    fields[1] = Field::new("value", DataType::Float64, false);
    fields.push(Field::new("unit", DataType::Utf8, true));
    Arc::new(Schema::new(fields))
}

pub(super) fn old_rows_read_as_the_new_schema(make: Make<'_>) {
    let log = make();
    let narrow = Arc::new(Schema::new(vec![
        schema().field(0).clone(),
        Field::new("value", DataType::Int32, false),
        schema().field(2).clone(),
    ]));
    let spec = StreamSpec::new(StreamName::new("evolving").unwrap(), Arc::clone(&narrow));
    let stream = log.create_stream(spec).unwrap().id;
    let old = rows(0..4);
    let value = arrow::compute::cast(old.column(1), &DataType::Int32).unwrap();
    let columns = vec![Arc::clone(old.column(0)), value, Arc::clone(old.column(2))];
    let old = arrow::array::RecordBatch::try_new(Arc::clone(&narrow), columns).unwrap();
    log.append(vec![Append::new(stream, ShardId(0), old.clone())]).unwrap();

    let info = log.evolve(stream, wider()).unwrap();
    assert_eq!((info.schema_id, info.spec.schema), (SchemaId(1), wider()));
    assert_eq!(log.evolve(stream, wider()).unwrap().schema_id, SchemaId(1), "the same again changes nothing");
    let error = log.evolve(stream, narrow).unwrap_err();
    assert!(matches!(error, LogError::BadSpec { .. }), "{error}");
    let error = log.append(vec![Append::new(stream, ShardId(0), old)]).unwrap_err();
    assert!(matches!(error, LogError::SchemaMismatch { .. }), "{error}");

    let batch = log.read(ReadSpec::all(stream, ShardId(0))).unwrap().next().unwrap().unwrap();
    assert_eq!(batch.rows.schema(), wider());
    assert_eq!(batch.rows.column(1).as_primitive::<Float64Type>().values().to_vec(), [0., 1., 2., 3.]);
    assert_eq!(batch.rows.column(3).null_count(), 4);
    let spec = ReadSpec { projection: Some(vec![3, 1]), ..ReadSpec::all(stream, ShardId(0)) };
    let batch = log.read(spec).unwrap().next().unwrap().unwrap();
    assert_eq!(batch.rows.column(0).null_count(), 4);
    assert_eq!(batch.rows.column(1).as_primitive::<Float64Type>().value(3), 3.);
}

pub(super) fn a_follower_sees_a_schema_evolve(make: Make<'_>) {
    let fixture = Fixture::new(make, 1);
    let mut fields: Vec<Field> = schema().fields().iter().map(|field| Field::clone(field)).collect();
    fields.push(Field::new("unit", DataType::Utf8, true));
    let new: SchemaRef = Arc::new(Schema::new(fields));
    let mut reader = fixture.log.read(ReadSpec { from: From::Earliest, ..fixture.spec(0) }).unwrap();
    fixture.append(0, 0..2);
    assert_eq!(reader.next().unwrap().unwrap().rows.num_columns(), 3);
    fixture.append(0, 2..4);
    fixture.log.evolve(fixture.stream, Arc::clone(&new)).unwrap();
    let batch = reader.next().unwrap().unwrap();
    assert_eq!((batch.first.0, batch.rows.schema()), (2, new));
    assert!(reader.next().unwrap().is_none());
}
