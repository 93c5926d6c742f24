//! A batch that is left out has no row within the bounds.

use std::cmp::Ordering;

use arrow::array::*;
use arrow::datatypes::*;
use rand::Rng;
use rand::rngs::SmallRng;

use super::bytes::*;
use crate::api::ColumnBound;
use crate::schema::widen;

/// Types in which columns are written, and those in which they are read.
fn pairs() -> Vec<(DataType, DataType)> {
    use DataType::*;
    let same = arbitrary::flat_types().into_iter().map(|data_type| (data_type.clone(), data_type));
    let wider = [
        (Int8, Int64),
        (Int32, Float64),
        (UInt16, Int32),
        (UInt32, Float64),
        (Float32, Float64),
        (Utf8, LargeUtf8),
        (Utf8, Utf8View),
        (Binary, BinaryView),
        (Decimal64(12, 2), Decimal256(40, 2)),
        (Timestamp(TimeUnit::Second, None), Timestamp(TimeUnit::Nanosecond, None)),
        (Timestamp(TimeUnit::Millisecond, None), Timestamp(TimeUnit::Microsecond, None)),
    ];
    same.chain(wider).collect()
}

#[test]
fn no_row_within_the_bounds_is_left_out() {
    let (mut kept, mut left_out) = (0, 0);
    for (written, target) in pairs() {
        for seed in 0..60 {
            let mut random = arbitrary::random(seed);
            let len = random.random_range(1..6);
            let column = arbitrary::column(&mut random, &written, len, true);
            let rows = RecordBatch::try_from_iter_with_nullable([("c", Arc::clone(&column), true)]).unwrap();
            let header = Header::parse(&encode(&rows, Compression::None), &Limits::FORMAT).unwrap();
            let schema = Schema::new(vec![Field::new("c", target.clone(), true)]);

            let column = widen(&column, &target).unwrap();
            let others = widen(&arbitrary::column(&mut random, &written, 4, true), &target).unwrap();
            let all = arrow::compute::concat(&[&column, &others]).unwrap();
            let mut pick = || random_bound(&mut random, &all);
            let bound = ColumnBound { column: 0, min: pick(), max: pick() };
            let any = (0..column.len()).any(|row| is_within(&column.slice(row, 1), &bound));
            let may = may_match(&header, std::slice::from_ref(&bound), rows.schema_ref(), &schema);
            assert!(may || !any, "{written} as {target}, seed {seed}: {bound:?} of {column:?}");
            *(if may { &mut kept } else { &mut left_out }) += 1;
        }
    }
    assert!(kept > 500 && left_out > 500, "{kept} kept, {left_out} left out");
}

fn random_bound(random: &mut SmallRng, all: &ArrayRef) -> Option<ArrayRef> {
    random.random_bool(0.6).then(|| all.slice(random.random_range(0..all.len()), 1))
}

/// Whether a row has a value within a bound, by arrow's own comparison.
fn is_within(value: &ArrayRef, bound: &ColumnBound) -> bool {
    let order = |bound: &Option<ArrayRef>, outside: Ordering| match bound {
        Some(bound) if bound.is_valid(0) && bound.data_type() != &DataType::Null => {
            make_comparator(value, bound)(0, 0) != outside
        }
        _ => true,
    };
    let is_value = value.is_valid(0) && value.data_type() != &DataType::Null;
    is_value && order(&bound.min, Ordering::Less) && order(&bound.max, Ordering::Greater)
}

fn make_comparator(left: &ArrayRef, right: &ArrayRef) -> DynComparator {
    arrow::array::make_comparator(left, right, Default::default()).unwrap()
}

fn check(written: ArrayRef, min: Option<ArrayRef>, max: Option<ArrayRef>, expect: bool) {
    let rows = RecordBatch::try_from_iter_with_nullable([("c", written, true)]).unwrap();
    let header = Header::parse(&encode(&rows, Compression::None), &Limits::FORMAT).unwrap();
    let bound = ColumnBound { column: 0, min, max };
    assert_eq!(may_match(&header, &[bound], rows.schema_ref(), rows.schema_ref()), expect);
}

#[test]
fn bounds_leave_out_what_they_can() {
    let ints = |values: Vec<Option<i64>>| Arc::new(Int64Array::from(values)) as ArrayRef;
    let int = |value: i64| Some(ints(vec![Some(value)]));
    let five_to_nine = || ints(vec![Some(5), None, Some(9)]);
    check(five_to_nine(), int(9), None, true);
    check(five_to_nine(), int(10), None, false);
    check(five_to_nine(), None, int(5), true);
    check(five_to_nine(), None, int(4), false);
    check(five_to_nine(), int(6), int(7), true);
    check(five_to_nine(), None, None, true);
    check(ints(vec![None, None]), int(0), None, false);
    check(ints(vec![None, None]), None, None, true);

    let floats = |values: Vec<f64>| Arc::new(Float64Array::from(values)) as ArrayRef;
    check(floats(vec![1.0, f64::NAN]), Some(floats(vec![2.0])), None, true);
    check(floats(vec![-0.0]), Some(floats(vec![0.0])), None, true);
    check(floats(vec![1.0]), Some(floats(vec![f64::NAN])), None, true);

    let texts = |text: String| Arc::new(StringArray::from(vec![text])) as ArrayRef;
    let long = |last: char| "x".repeat(40) + &last.to_string();
    check(texts(long('b')), Some(texts(long('a'))), Some(texts(long('c'))), true);
    check(texts(long('b')), Some(texts(long('c'))), None, true);
    check(texts(long('b')), Some(texts("y".to_owned())), None, false);
    check(texts(long('b')), None, Some(texts("x".to_owned())), false);
    let highest = Arc::new(BinaryArray::from(vec![&[0xff; 40][..]])) as ArrayRef;
    check(highest.clone(), Some(highest), None, true);
}

#[test]
fn a_column_that_the_batch_lacks_is_all_null() {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let rows = RecordBatch::try_from_iter([("c", column)]).unwrap();
    let header = Header::parse(&encode(&rows, Compression::None), &Limits::FORMAT).unwrap();
    let target =
        Schema::new(vec![Field::new("c", DataType::Int64, false), Field::new("d", DataType::Utf8, true)]);
    let value: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
    let bound = |min: Option<ArrayRef>| ColumnBound { column: 1, min, max: None };
    assert!(!may_match(&header, &[bound(Some(value))], rows.schema_ref(), &target));
    assert!(may_match(&header, &[bound(None)], rows.schema_ref(), &target));
}
