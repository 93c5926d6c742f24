//! Every type, there and back by the server's own client.

use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::{DataType, Field, Int32Type, TimeUnit};

use crate::promise::to;
use crate::rows::lab_of;
use crate::server::{Kind, Server};

const DAY: i64 = 86_400;

/// One row with values, one with the ends of their ranges, one of nulls.
pub fn columns() -> Vec<(&'static str, ArrayRef)> {
    let millis = |values: Vec<Option<i64>>| TimestampMillisecondArray::from(values);
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([
        Some(vec![Some(1), None, Some(3)]),
        Some(vec![]),
        None,
    ]);
    let inner = Arc::new(StringArray::from(vec![Some("x\"y"), None, None])) as ArrayRef;
    let fields = vec![Field::new("a", DataType::Utf8, true)];
    let row = StructArray::new(fields.into(), vec![inner], Some(vec![true, true, false].into()));
    vec![
        ("k", Arc::new(Int64Array::from(vec![1, 2, 3])) as ArrayRef),
        ("yes", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
        ("i8", Arc::new(Int8Array::from(vec![Some(-1), Some(i8::MIN), None]))),
        ("i16", Arc::new(Int16Array::from(vec![Some(-1), Some(i16::MAX), None]))),
        ("i32", Arc::new(Int32Array::from(vec![Some(7), Some(i32::MIN), None]))),
        ("i64", Arc::new(Int64Array::from(vec![Some(7), Some(i64::MIN), None]))),
        ("u8", Arc::new(UInt8Array::from(vec![Some(7), Some(u8::MAX), None]))),
        ("u32", Arc::new(UInt32Array::from(vec![Some(7), Some(u32::MAX), None]))),
        ("u64", Arc::new(UInt64Array::from(vec![Some(7), Some(u64::MAX), None]))),
        ("f32", Arc::new(Float32Array::from(vec![Some(0.5), Some(-1.25e30), None]))),
        ("f64", Arc::new(Float64Array::from(vec![Some(0.1), Some(1.0e300), None]))),
        (
            "dec",
            Arc::new(
                Decimal128Array::from(vec![Some(12_345), Some(-9_999_999_999), None])
                    .with_precision_and_scale(10, 2)
                    .unwrap(),
            ),
        ),
        ("txt", Arc::new(StringArray::from(vec![Some("Zürich 🌡 'a' \\ \"b\""), Some(""), None]))),
        ("bin", Arc::new(BinaryArray::from(vec![Some(&[0_u8, 255, 10][..]), Some(&[]), None]))),
        ("day", Arc::new(Date32Array::from(vec![Some(20_513), Some(-1), None]))),
        (
            "tod",
            Arc::new(Time64MicrosecondArray::from(vec![
                Some((DAY - 1) * 1_000_000 + 999_999),
                Some(0),
                None,
            ])),
        ),
        ("ts3", Arc::new(millis(vec![Some(1_772_359_207_123), Some(1), None]))),
        (
            "ts9",
            Arc::new(TimestampNanosecondArray::from(vec![
                Some(1_772_359_207_123_456_789),
                Some(1_000),
                None,
            ])),
        ),
        ("utc", Arc::new(millis(vec![Some(1_772_359_207_123), Some(1), None]).with_timezone("UTC"))),
        ("list", Arc::new(list)),
        ("row", Arc::new(row)),
    ]
}

pub fn every_type_arrives_as_it_was(server: &Server) {
    let columns = columns();
    let fields =
        columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), *name != "k"));
    assert!(
        columns
            .iter()
            .any(|(_, column)| *column.data_type() == DataType::Timestamp(TimeUnit::Nanosecond, None))
    );
    let lab = lab_of(fields.collect());
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.iter().map(|(name, column)| (*name, Arc::clone(column), *name != "k")),
    );
    lab.ingest.append_batch("events", "test", batch.unwrap()).unwrap();
    let mut def = to(server, "valued");
    def.key = vec!["k".to_owned()];
    def.options.insert("auto.create".into(), "true".into());
    let status = lab.sink_life(&def, None).unwrap();
    assert_eq!(status.dead_letters, 0);
    // Twice by one key, over what is there: a second sink, which has a position of its own.
    let again = headwater_connectors::ConnectorDef { name: "again".into(), ..def };
    let status = lab.sink_life(&again, None).unwrap();
    assert_eq!((status.rows, status.dead_letters), (3, 0), "{:?}", status.last_error);
    match server.kind {
        Kind::Postgres => postgres(server),
        Kind::MariaDb => mariadb(server),
    }
    assert_eq!(
        server.ask(
            "SELECT COUNT(*) FROM valued WHERE txt IS NULL AND \"row\" IS NULL AND ts3 IS NULL"
                .replace('"', if server.kind == Kind::Postgres { "\"" } else { "`" })
                .as_str()
        ),
        "1"
    );
}

fn postgres(server: &Server) {
    let kinds = server.ask(
        "SELECT string_agg(format_type(atttypid, atttypmod), ',' ORDER BY attnum) FROM pg_attribute \
         WHERE attrelid = 'valued'::regclass AND attnum > 0",
    );
    assert_eq!(
        kinds,
        "bigint,boolean,smallint,smallint,integer,bigint,smallint,bigint,numeric(20,0),real,double precision,numeric(10,2),\
         text,bytea,date,time without time zone,timestamp(3) without time zone,timestamp(6) without time zone,\
         timestamp(3) with time zone,jsonb,jsonb"
    );
    let row = |k: u8| server.ask(&format!("SET timezone = 'UTC'; SELECT * FROM valued WHERE k = {k}"));
    assert_eq!(
        row(1),
        "1\tt\t-1\t-1\t7\t7\t7\t7\t7\t0.5\t0.1\t123.45\tZürich 🌡 'a' \\ \"b\"\t\\x00ff0a\t2026-03-01\t23:59:59.999999\t\
         2026-03-01 10:00:07.123\t2026-03-01 10:00:07.123456\t2026-03-01 10:00:07.123+00\t[1, null, 3]\t{\"a\": \"x\\\"y\"}"
    );
    assert_eq!(
        row(2),
        "2\tf\t-128\t32767\t-2147483648\t-9223372036854775808\t255\t4294967295\t18446744073709551615\t-1.25e+30\t1e+300\t\
         -99999999.99\t\t\\x\t1969-12-31\t00:00:00\t1970-01-01 00:00:00.001\t1970-01-01 00:00:00.000001\t\
         1970-01-01 00:00:00.001+00\t[]\t{\"a\": null}"
    );
}

fn mariadb(server: &Server) {
    let row = |k: u8| {
        server.ask(&format!(
            "SELECT k, yes, i8, i16, i32, i64, u8, u32, u64, f32, f64, `dec`, txt, HEX(bin), day, tod, ts3, ts9, utc, list, `row` \
             FROM valued WHERE k = {k}"
        ))
    };
    assert_eq!(
        row(1),
        "1\t1\t-1\t-1\t7\t7\t7\t7\t7\t0.5\t0.1\t123.45\tZürich 🌡 'a' \\ \"b\"\t00FF0A\t2026-03-01\t23:59:59.999999\t\
         2026-03-01 10:00:07.123\t2026-03-01 10:00:07.123456\t2026-03-01 10:00:07.123\t[1,null,3]\t{\"a\":\"x\\\"y\"}"
    );
    assert_eq!(
        row(2),
        "2\t0\t-128\t32767\t-2147483648\t-9223372036854775808\t255\t4294967295\t18446744073709551615\t-1.25e30\t1e300\t\
         -99999999.99\t\t\t1969-12-31\t00:00:00.000000\t1970-01-01 00:00:00.001\t1970-01-01 00:00:00.000001\t\
         1970-01-01 00:00:00.001\t[]\t{\"a\":null}"
    );
}
