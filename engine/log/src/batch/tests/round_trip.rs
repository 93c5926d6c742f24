//! What was written is read back, whole or in part, as the schema that wrote it or a newer one.

use std::cell::RefCell;
use std::ops::Range;

use arrow::array::*;
use arrow::datatypes::*;
use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions};
use headwater_core::{Epoch, ProducerId};
use rand::Rng;

use super::bytes::*;
use crate::api::Producer;

#[test]
fn random_rows_come_back() {
    for seed in 0..400 {
        let mut random = arbitrary::random(seed);
        let rows = arbitrary::rows(&mut random);
        let compression = COMPRESSIONS[seed as usize % 3];
        let bytes = encode(&rows, compression);
        let back = read(&bytes, rows.schema_ref()).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!(back, rows, "seed {seed}");
    }
}

#[test]
fn every_flat_type_comes_back() {
    for (seed, data_type) in arbitrary::flat_types().into_iter().enumerate() {
        let mut random = arbitrary::random(seed as u64);
        let column = arbitrary::column(&mut random, &data_type, 100, true).slice(11, 70);
        let rows = RecordBatch::try_from_iter_with_nullable([("c", column, true)]).unwrap();
        for compression in COMPRESSIONS {
            assert_eq!(read(&encode(&rows, compression), rows.schema_ref()).unwrap(), rows, "{data_type}");
        }
    }
}

#[test]
fn any_projection_in_any_order_comes_back() {
    for seed in 0..200 {
        let mut random = arbitrary::random(seed);
        let rows = arbitrary::rows(&mut random);
        let schema = rows.schema();
        let bytes = encode(&rows, COMPRESSIONS[seed as usize % 3]);
        let columns: Vec<usize> =
            (0..random.random_range(0..4)).map(|_| random.random_range(0..rows.num_columns())).collect();
        let header = Header::parse(&bytes, &Limits::FORMAT).unwrap();
        let output = project(&schema, &columns);
        let wanted = Wanted {
            written: &schema,
            target: &schema,
            projection: Some(&columns),
            output: &output,
            arrivals: true,
        };
        let back = decode(&header, &wanted, &Buffer::from(bytes)).unwrap();
        assert_eq!(back.rows, rows.project(&columns).unwrap(), "seed {seed}");
        assert_eq!(back.arrivals, Some(Arrivals::Same(ARRIVAL)));
    }
}

#[test]
fn the_body_is_that_of_an_arrow_ipc_record_batch() {
    for seed in 0..200 {
        let mut random = arbitrary::random(seed);
        // Arrow does not drop what views no longer use, so rows are not sliced here where there are views.
        let whole = arbitrary::rows(&mut random);
        let rows = arrow::compute::concat_batches(whole.schema_ref(), [&whole]).unwrap();
        if format!("{:?}", rows.schema()).contains("View") {
            continue;
        }
        for (compression, ipc) in [
            (Compression::None, None),
            (Compression::Lz4, Some(arrow::ipc::CompressionType::LZ4_FRAME)),
            (Compression::Zstd, Some(arrow::ipc::CompressionType::ZSTD)),
        ] {
            let bytes = encode(&rows, compression);
            let header = Header::parse(&bytes, &Limits::FORMAT).unwrap();
            let options = IpcWriteOptions::default().try_with_compression(ipc).unwrap();
            let (_, expected) = IpcDataGenerator::default()
                .encode(&rows, &mut DictionaryTracker::new(false), &options, &mut IpcWriteContext::default())
                .unwrap();
            assert_eq!(bytes[header.lengths.header..], expected.arrow_data, "seed {seed}");

            let message = arrow::ipc::root_as_message(&expected.ipc_message).unwrap();
            let message = message.header_as_record_batch().unwrap();
            let nodes = message.nodes().unwrap().iter().map(|node| (node.length(), node.null_count()));
            let buffers = message.buffers().unwrap().iter().map(|buffer| (buffer.offset(), buffer.length()));
            assert!(nodes.eq(header.nodes.iter().map(|node| (node.len as i64, node.nulls as i64))));
            assert!(
                buffers.eq(header.buffers.iter().map(|buffer| (buffer.offset as i64, buffer.len as i64)))
            );
        }
    }
}

#[test]
fn views_leave_behind_what_they_do_not_use() {
    let long: Vec<String> =
        (0..1000).map(|row| format!("a text that is too long for a view {row}")).collect();
    let column: ArrayRef = Arc::new(StringViewArray::from_iter_values(&long));
    let rows = RecordBatch::try_from_iter([("c", column)]).unwrap().slice(500, 2);
    let bytes = encode(&rows, Compression::None);
    assert!(bytes.len() < 1000, "{}", bytes.len());
    assert_eq!(read(&bytes, rows.schema_ref()).unwrap(), rows);
}

#[test]
fn a_dictionary_is_stored_as_its_values_and_comes_back_as_one() {
    let column: DictionaryArray<Int32Type> =
        [Some("EWR"), None, Some("JFK"), Some("EWR")].into_iter().collect();
    let rows = RecordBatch::try_from_iter([("station", Arc::new(column) as ArrayRef)]).unwrap();
    let bytes = encode(&rows, Compression::None);
    assert_eq!(Header::parse(&bytes, &Limits::FORMAT).unwrap().nodes.len(), 1);
    assert_eq!(read(&bytes, rows.schema_ref()).unwrap(), rows);
}

#[test]
fn the_header_says_what_was_written() {
    let times: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![Some(5), None, Some(-3)]));
    let rows = RecordBatch::try_from_iter([("at", times)]).unwrap();
    let producer = Some(Producer { id: ProducerId(9), epoch: Epoch(2), sequence: 77 });
    let source = Source { event_time: Some(0), producer, ..source(Compression::Zstd) };
    let prepared = prepare(&source, &rows, &Arrivals::Same(EventTime(0)), &Limits::FORMAT).unwrap();
    let encoded = prepared.finish(Placement { group_continues: true, ..placement() });
    let bytes = bytes_of(&encoded);
    let header = Header::parse(&bytes, &Limits::FORMAT).unwrap();
    assert_eq!(header.crc, encoded.crc());
    assert_eq!(header.chain, 0xfeed_beef);
    assert_eq!((header.stream, header.shard), (StreamId(7), ShardId(3)));
    assert_eq!((header.first, header.next()), (Sequence(1000), Sequence(1003)));
    assert_eq!((header.schema, header.rows), (SchemaId(0), 3));
    assert_eq!(header.compression, Compression::Zstd);
    assert!(header.group_continues && !header.has_arrivals);
    assert_eq!(header.event_time, Some((EventTime(-3_000_000), EventTime(5_000_000))));
    assert_eq!(header.arrival, (ARRIVAL, ARRIVAL));
    assert_eq!(header.producer, producer);
    assert_eq!(header.lengths.total, bytes.len() as u64);
    assert_eq!(header.stats[0].nulls, 1);
}

#[test]
fn rows_read_as_a_newer_schema() {
    let old = RecordBatch::try_from_iter([
        ("count", Arc::new(Int16Array::from(vec![1, -2])) as ArrayRef),
        ("name", Arc::new(StringArray::from(vec!["a", "b"]))),
        ("at", Arc::new(TimestampSecondArray::from(vec![i64::MAX, 1]))),
    ])
    .unwrap();
    let new = Arc::new(Schema::new(vec![
        Field::new("count", DataType::Float64, false),
        Field::new("name", DataType::LargeUtf8, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Nanosecond, None), false),
        Field::new("added", DataType::Int64, true),
    ]));
    crate::schema::evolve(old.schema_ref(), &new).unwrap();
    let bytes = encode(&old, Compression::None);
    let header = Header::parse(&bytes, &Limits::FORMAT).unwrap();
    let columns = [3, 0, 2, 1];
    let output = project(&new, &columns);
    let wanted = Wanted {
        written: &old.schema(),
        target: &new,
        projection: Some(&columns),
        output: &output,
        arrivals: false,
    };
    let back = decode(&header, &wanted, &Buffer::from(bytes)).unwrap().rows;
    let expected = RecordBatch::try_new(
        output.clone(),
        vec![
            Arc::new(Int64Array::from(vec![None, None])),
            Arc::new(Float64Array::from(vec![1.0, -2.0])),
            Arc::new(TimestampNanosecondArray::from(vec![i64::MAX, 1_000_000_000])),
            Arc::new(LargeStringArray::from(vec!["a", "b"])),
        ],
    );
    assert_eq!(back, expected.unwrap());
}

/// Counts what is read.
struct Counting(Buffer, RefCell<Vec<Range<u64>>>);

impl Fetch for Counting {
    fn fetch(&self, range: Range<u64>) -> crate::Result<Buffer> {
        self.1.borrow_mut().push(range.clone());
        self.0.fetch(range)
    }
}

#[test]
fn only_what_is_wanted_is_read_and_neighbours_at_once() {
    let columns = (0..10).map(|index| {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(index..index + 8192));
        (format!("c{index}"), column)
    });
    let rows = RecordBatch::try_from_iter(columns).unwrap();
    let schema = rows.schema();
    let bytes = Buffer::from(encode(&rows, Compression::None));
    let header = Header::parse(&bytes, &Limits::FORMAT).unwrap();
    let reads = |columns: &[usize]| {
        let fetch = Counting(bytes.clone(), RefCell::default());
        let output = project(&schema, columns);
        let wanted = Wanted {
            written: &schema,
            target: &schema,
            projection: Some(columns),
            output: &output,
            arrivals: false,
        };
        let back = decode(&header, &wanted, &fetch).unwrap().rows;
        assert_eq!(back.num_rows(), 8192);
        fetch.1.into_inner()
    };
    let start = header.lengths.header as u64;
    assert_eq!(reads(&[]), []);
    assert_eq!(reads(&[2, 1]), vec![Range { start: start + 65536, end: start + 3 * 65536 }]);
    assert_eq!(reads(&[0, 9]), [start..start + 65536, start + 9 * 65536..start + 10 * 65536]);
}

#[test]
fn merged_batches_keep_each_arrival() {
    let batch = |from: i64, arrival: i64| {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(from..from + 3));
        let rows = RecordBatch::try_from_iter([("c", column)]).unwrap();
        Decoded { rows, arrivals: Some(Arrivals::Same(EventTime(arrival))) }
    };
    let (rows, arrivals) = merge(&[batch(0, 5), batch(3, 5)]).unwrap();
    assert_eq!((rows.num_rows(), arrivals), (6, Arrivals::Same(EventTime(5))));

    let (rows, arrivals) = merge(&[batch(0, 5), batch(3, 9)]).unwrap();
    let schema = rows.schema();
    let prepared = prepare(&source(Compression::Lz4), &rows, &arrivals, &Limits::FORMAT).unwrap();
    let bytes = bytes_of(&prepared.finish(placement()));
    let header = Header::parse(&bytes, &Limits::FORMAT).unwrap();
    assert_eq!(header.arrival, (EventTime(5), EventTime(9)));
    let wanted =
        Wanted { written: &schema, target: &schema, projection: None, output: &schema, arrivals: true };
    let back = decode(&header, &wanted, &Buffer::from(bytes.clone())).unwrap();
    assert_eq!(back.rows, rows);
    assert_eq!(back.arrivals.unwrap().to_array(6).values().as_ref(), [5, 5, 5, 9, 9, 9]);

    let none = project(&schema, &[]);
    let wanted = Wanted { projection: Some(&[]), output: &none, ..wanted };
    let back = decode(&header, &wanted, &Buffer::from(bytes)).unwrap();
    assert_eq!((back.rows.num_rows(), back.rows.num_columns()), (6, 0));
    assert_eq!(back.arrivals.unwrap().to_array(6).value(3), 9);
}

#[test]
fn small_batches_are_planned_together_and_large_ones_left_alone() {
    let header = |rows: u32, bytes: u64| {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        let one = RecordBatch::try_from_iter([("c", column)]).unwrap();
        let header = Header::parse(&encode(&one, Compression::None), &Limits::FORMAT).unwrap();
        Header { rows, decoded_bytes: bytes, ..header }
    };
    let headers: Vec<Header> = [(1, 1), (1, 1), (70_000, 1), (10, 1), (65_526, 1), (1, 5 << 20), (1, 1)]
        .map(|(r, b)| header(r, b))
        .into();
    assert_eq!(plan_merges(&headers), [0..2, 2..3, 3..5, 5..6, 6..7]);
    assert!(plan_merges(&[]).is_empty());
}

#[test]
fn what_cannot_be_stored_is_refused() {
    let refused = |rows: &RecordBatch, limits: Limits| {
        prepare(&source(Compression::None), rows, &Arrivals::Same(EventTime(0)), &limits)
            .unwrap_err()
            .to_string()
    };
    let column: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let rows = RecordBatch::try_from_iter([("c", column)]).unwrap();
    assert!(refused(&rows.slice(0, 0), Limits::FORMAT).contains("without rows"));
    assert!(
        refused(&rows, Limits { rows: 1, ..Limits::FORMAT }).contains("rows of a batch is 2, the most is 1")
    );
    assert!(refused(&rows, Limits { total_bytes: 100, ..Limits::FORMAT }).contains("bytes of a batch"));
    let union = DataType::Union(UnionFields::empty(), UnionMode::Dense);
    let refused = crate::schema::check(&Schema::new(vec![Field::new("u", union, true)])).unwrap_err();
    assert!(refused.contains("column u: a union cannot be stored"), "{refused}");
}
