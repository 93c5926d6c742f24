//! The order of files, and the bounds of what is written. What files have in common with the others is in the conformance suite.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use headwater_core::{Sequence, ShardId, StreamId, StreamName, World};
use headwater_ingest::{Options, Payload};

use crate::connector::{Context, Cursor, Delivery, Pulled};
use crate::parking::Parking;
use crate::registry::{make_sink, make_source};
use headwater_ingest::FormatOptions;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]))
}

fn context() -> Context {
    Context {
        world: World::real(),
        name: "test".to_owned(),
        stream: StreamName::new("s").unwrap(),
        stream_id: StreamId(1),
        created: EventTime(0),
        key: Vec::new(),
        schema: schema(),
        event_time: None,
        metadata: BTreeMap::new(),
        format: None,
        format_options: FormatOptions::default(),
        parking: Parking::default(),
    }
}

#[expect(clippy::disallowed_methods, reason = "a test makes its own files")]
fn write(path: &Path, content: &str) {
    std::fs::write(path, content).unwrap();
}

async fn read_all(connector: &str, options: &[(&str, &str)]) -> Vec<i64> {
    let options = Options::new("test", options.iter().copied());
    let mut source = make_source(connector, context(), options).unwrap();
    source.open(BTreeMap::new()).await.unwrap();
    let mut all = Vec::new();
    loop {
        match source.pull().await.unwrap() {
            Pulled::Records { payload: Payload::Decoded(decoded), .. } => {
                all.extend(decoded.rows.column(0).as_primitive::<Int64Type>().values());
            }
            Pulled::End => return all,
            _ => {}
        }
    }
}

#[tokio::test]
async fn files_are_read_in_the_order_of_their_names_each_in_its_format() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("b.csv"), "n\n3\n4\n");
    write(&dir.path().join("a.jsonl"), "{\"n\":1}\n{\"n\":2}");
    write(&dir.path().join("c.json"), "{\"n\":5}\n");
    write(&dir.path().join(".hidden.csv"), "n\n99\n");
    let path = dir.path().to_str().unwrap();
    assert_eq!(read_all("filesystem", &[("path", path)]).await, [1, 2, 3, 4, 5]);
    assert_eq!(read_all("filesystem", &[("path", &format!("{path}/?.csv"))]).await, [3, 4]);
    assert_eq!(
        read_all("single_file", &[("path", &format!("file://{path}/a.jsonl")), ("type", "source")]).await,
        [1, 2]
    );
}

#[tokio::test]
async fn columns_are_written_and_read_back() {
    for format in ["parquet", "arrow", "json", "csv", "json_array"] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_str().unwrap();
        let options = Options::new("test", [("path", path), ("format", format)]);
        let mut sink = make_sink("filesystem", context(), options).unwrap();
        sink.open(Cursor::default()).await.unwrap();
        for first in [0_i64, 3] {
            let column = Int64Array::from_iter_values(first..first + 3);
            let rows = RecordBatch::try_new(schema(), vec![Arc::new(column)]).unwrap();
            let stream = StreamName::new("s").unwrap();
            let first = Sequence(first.cast_unsigned());
            sink.deliver(Delivery { stream, shard: ShardId(0), first, rows }).await.unwrap();
        }
        sink.flush().await.unwrap();
        let read = read_all("filesystem", &[("path", path), ("format", format)]).await;
        assert_eq!(read, [0, 1, 2, 3, 4, 5], "{format}");
        // The names are the cursor.
        let next = sink.open(Cursor::default()).await.unwrap().next;
        assert_eq!(next, BTreeMap::from([(ShardId(0), Sequence(6))]), "{format}");
    }
}

#[test]
fn options_are_checked_before_anything_is_touched() {
    let told = |options: &[(&str, &str)]| {
        let options = Options::new("connector filesystem", options.iter().copied());
        make_source("filesystem", context(), options).err().unwrap().to_string()
    };
    assert_eq!(told(&[]), "connector filesystem needs option 'path'");
    assert_eq!(
        told(&[("path", "/nowhere"), ("formt", "json")]),
        "connector filesystem has no option 'formt'; did you mean 'format'?"
    );
    assert!(told(&[("path", "s3://bucket/x")]).contains("only local paths"));
    assert!(told(&[("path", "/nowhere"), ("format", "xml")]).contains("there is no format \"xml\""));
    let options = Options::new("connector single_file", [("path", "/nowhere"), ("format", "parquet")]);
    assert!(
        make_sink("single_file", context(), options)
            .err()
            .unwrap()
            .to_string()
            .contains("filesystem takes the others")
    );
}
