//! Every aggregate function against DataFusion, over one group and many, in one phase and two.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
    UInt64Array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit};
use headwater_operators::{
    GroupAggregate, GroupAggregateSpec, OperatorSpec, OutputColumn, Rows, WindowAggregate, WindowColumn,
    WindowFinalSpec, WindowKind, WindowPartialSpec,
};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::data::SECOND;
use crate::harness::{Between, Step, forward, lines, run};
use crate::oracle;

/// The result does not depend on the order of the rows, but perhaps on rounding.
const FUNCTIONS: &[&str] = &[
    "count(*)",
    "count(x)",
    "count(x, i)",
    "sum(x)",
    "sum(i)",
    "sum(u)",
    "sum(d)",
    "avg(x)",
    "avg(i)",
    "avg(d)",
    "min(x)",
    "max(x)",
    "min(i32)",
    "max(u)",
    "min(d)",
    "max(d)",
    "min(ts)",
    "max(ts)",
    "min(day)",
    "max(day)",
    "min(s)",
    "max(s)",
    "min(v)",
    "max(v)",
    "min(b)",
    "max(b)",
    "bool_and(b)",
    "bool_or(b)",
    "bit_and(i)",
    "bit_or(i)",
    "bit_xor(i)",
    "var(x)",
    "var_pop(x)",
    "stddev(x)",
    "stddev_pop(x)",
    "covar_samp(x, i)",
    "covar_pop(x, i)",
    "corr(x, i)",
    "regr_slope(x, i)",
    "median(x)",
    "median(i)",
    "percentile_cont(0.25) WITHIN GROUP (ORDER BY x)",
    "approx_distinct(s)",
    "count(distinct i)",
    "count(distinct s)",
    "count(distinct v)",
    "count(distinct d)",
    "count(distinct b)",
    "sum(distinct i)",
    "avg(distinct x)",
    "array_agg(distinct s ORDER BY s)",
    "array_agg(i ORDER BY i DESC NULLS LAST, row)",
    "array_agg(s ORDER BY row)",
    "string_agg(s, '-' ORDER BY row)",
    "nth_value(i, 2 ORDER BY row)",
    "first_value(x ORDER BY row)",
    "last_value(x ORDER BY row)",
    "first_value(i ORDER BY s NULLS LAST, row DESC)",
    "last_value(s ORDER BY i DESC NULLS FIRST, row)",
    "first_value(x ORDER BY row) FILTER (WHERE row < 0)",
    "first_value(i IGNORE NULLS ORDER BY row)",
    "last_value(i IGNORE NULLS ORDER BY row)",
    "sum(i) FILTER (WHERE b)",
    "count(*) FILTER (WHERE x > 0)",
    "count(distinct i) FILTER (WHERE b)",
    "min(s) FILTER (WHERE i > 5)",
];

/// Over all rows, in order of arrival.
const BY_ARRIVAL: &[&str] = &[
    "array_agg(i)",
    "first_value(i)",
    "last_value(s)",
    "string_agg(s, ',')",
    "min(nan)",
    "max(nan)",
    "sum(nan)",
];

fn random_table(seed: u64, rows: usize) -> RecordBatch {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut maybe = |low: i64, high: i64| -> Vec<Option<i64>> {
        (0..rows).map(|_| random.random_bool(0.85).then(|| random.random_range(low..high))).collect()
    };
    let ints = Int64Array::from(maybe(-20, 20));
    let words = StringArray::from_iter(
        maybe(0, 30)
            .into_iter()
            .map(|n| n.map(|n| if n < 15 { format!("w{n}") } else { format!("a much longer word {n}") })),
    );
    let floats: Float64Array = maybe(-1000, 1000).into_iter().map(|n| n.map(|n| n as f64 / 7.0)).collect();
    let special: Float64Array = maybe(0, 12)
        .into_iter()
        .map(|n| {
            n.map(|n| match n {
                0 => f64::NAN,
                1 => f64::INFINITY,
                2 => -0.0,
                3 => 0.0,
                n => n as f64,
            })
        })
        .collect();
    let unsigned: UInt64Array = maybe(0, 1 << 40).into_iter().map(|n| n.map(|n| n as u64)).collect();
    let bools: arrow::array::BooleanArray = maybe(0, 2).into_iter().map(|n| n.map(|n| n == 1)).collect();
    let times = TimestampMillisecondArray::from_iter_values((0..rows as i64).map(|row| row * 3 % 997));
    let to = |column: &dyn Array, kind: DataType| cast(column, &kind).unwrap();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("ts", Arc::new(times)),
        ("k", Arc::new(StringArray::from_iter(maybe(0, 7).into_iter().map(|n| n.map(|n| format!("k{n}")))))),
        ("x", Arc::new(floats)),
        ("nan", Arc::new(special)),
        ("i32", to(&ints, DataType::Int32)),
        ("u", Arc::new(unsigned)),
        ("d", to(&ints, DataType::Decimal128(12, 2))),
        ("day", to(&to(&ints, DataType::Int32), DataType::Date32)),
        ("v", to(&words, DataType::Utf8View)),
        ("i", Arc::new(ints)),
        ("s", Arc::new(words)),
        ("b", Arc::new(bools)),
        ("row", Arc::new(Int64Array::from_iter_values(0..rows as i64))),
    ];
    let fields: Vec<_> =
        columns.iter().map(|(name, c)| Field::new(*name, c.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, c)| c).collect())
        .unwrap()
}

fn steps(table: &RecordBatch, cut: usize) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut start = 0;
    while start < table.num_rows() {
        let length = cut.min(table.num_rows() - start);
        steps.push(Step { batches: vec![Rows::new(table.slice(start, length))], watermark: i64::MIN });
        start += length;
    }
    steps.push(Step { batches: Vec::new(), watermark: i64::MAX });
    steps
}

/// Equal but for the rounding of floats.
fn assert_close(found: &RecordBatch, expected: &RecordBatch, what: &str) {
    assert_eq!(found.num_rows(), expected.num_rows(), "{what}");
    for (column, (a, b)) in found.columns().iter().zip(expected.columns()).enumerate() {
        assert_eq!(a.data_type(), b.data_type(), "{what}, column {column}");
    }
    for (a, b) in lines(found).iter().zip(lines(expected)) {
        for (column, (a, b)) in a.split(" | ").zip(b.split(" | ")).enumerate() {
            let close = match (a.parse::<f64>(), b.parse::<f64>()) {
                (Ok(a), Ok(b)) if a.is_finite() && b.is_finite() => (a - b).abs() <= 1e-9 * a.abs().max(1.0),
                _ => a == b,
            };
            assert!(close, "{what}, column {column}: {a} is not {b}");
        }
    }
}

fn window_spec(schema: &SchemaRef, list: &[&str], keys: Vec<usize>) -> WindowAggregate {
    let mut output: Vec<_> =
        (0..keys.len()).map(|key| OutputColumn { from: WindowColumn::Key(key), name: "k".into() }).collect();
    output.extend(
        (0..list.len())
            .map(|index| OutputColumn { from: WindowColumn::Aggregate(index), name: format!("a{index}") }),
    );
    WindowAggregate {
        // One window over all; its slices and phases are merged.
        kind: WindowKind::Hop { size: 100 * SECOND, slide: 100 * SECOND, offset: 0 },
        input: Arc::clone(schema),
        time: 0,
        output,
        keys,
        aggregates: oracle::calls(schema, list),
        per_key: None,
    }
}

fn check(function: &str, keyed: bool, rows: usize, merged: bool) {
    let table = random_table(rows as u64, rows);
    let keys = if keyed { vec![1] } else { Vec::new() };
    let sql = if keyed {
        format!("SELECT k, {function} AS a FROM t GROUP BY k ORDER BY k NULLS FIRST")
    } else {
        format!("SELECT {function} AS a FROM t")
    };
    let expected = oracle::query(table.clone(), &sql);
    let what = GroupAggregate {
        closes: None,
        revises: None,
        ttl: None,
        input: table.schema(),
        keys: keys.clone(),
        aggregates: oracle::calls(&table.schema(), &[function]),
        retractions: false,
    };
    let spec: Arc<dyn OperatorSpec> = Arc::new(GroupAggregateSpec::try_new(what).unwrap());
    let one =
        Step { batches: steps(&table, 37).into_iter().flat_map(|step| step.batches).collect(), watermark: 0 };
    if rows > 0 {
        let (found, _) = run(&spec, &keys, &[one], 1, |_| Between::Nothing);
        assert_close(&found[0].batch, &expected, &format!("{function} in one phase"));
        assert!(found[0].weights.as_ref().is_none_or(|w| w.values().iter().all(|w| *w == 1)));
    }
    if rows > 0 && merged {
        let what = window_spec(&table.schema(), &[function], keys.clone());
        let partial = WindowPartialSpec::try_new(what.clone()).unwrap();
        let last: Arc<dyn OperatorSpec> = Arc::new(WindowFinalSpec::try_new(what).unwrap());
        let (partials, _) = forward(&partial, &steps(&table, 41));
        let restart =
            |step| if step == 2 { Between::Restart { full: false, workers: 2 } } else { Between::Nothing };
        let (found, _) = run(&last, &partial.exchange_keys(), &partials, 1, restart);
        assert_close(&found[0].batch, &expected, &format!("{function} in two phases"));
    }
}

#[test]
fn every_function_equals_datafusions() {
    for function in FUNCTIONS {
        check(function, true, 300, true);
        check(function, false, 150, true);
        check(function, true, 1, true);
    }
    for function in BY_ARRIVAL {
        check(function, false, 150, !function.starts_with("sum"));
    }
}

#[test]
fn a_sum_that_overflows_wraps_around_whatever_the_order() {
    let schema = Arc::new(Schema::new(vec![
        Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), true),
        Field::new("k", DataType::Utf8, true),
        Field::new("i", DataType::Int64, true),
    ]));
    let result = |numbers: &[i64]| {
        let rows = numbers.len();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(TimestampMillisecondArray::from(vec![0; rows])),
            Arc::new(StringArray::from(vec!["a"; rows])),
            Arc::new(Int64Array::from(numbers.to_vec())),
        ];
        let what = GroupAggregate {
            closes: None,
            revises: None,
            ttl: None,
            input: Arc::clone(&schema),
            keys: vec![1],
            aggregates: oracle::calls(&schema, &["sum(i)"]),
            retractions: false,
        };
        let mut instance = GroupAggregateSpec::try_new(what).unwrap().instantiate().unwrap();
        let mut out = Default::default();
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
        instance.on_batch(0, Rows::new(batch), &mut out).unwrap();
        instance.on_watermark(headwater_core::EventTime(0), &mut out).unwrap();
        out.rows[0].batch.column(1).as_primitive::<Int64Type>().value(0)
    };
    for order in [[i64::MAX, 1, -1], [1, i64::MAX, -1], [-1, 1, i64::MAX]] {
        assert_eq!(result(&order), i64::MAX);
    }
    assert_eq!(result(&[i64::MAX, 1]), i64::MIN);
    assert_eq!(result(&[i64::MIN, -1]), i64::MAX);
    assert_eq!(result(&[i64::MAX, i64::MAX, i64::MAX]), i64::MAX - 2);
}
