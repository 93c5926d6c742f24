//! Modules of every kind, well behaved and not: what they give, and how they end.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Float32Array, Float64Array, Int8Array, Int32Array,
    Int64Array, StringArray, TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Float64Type, TimeUnit};
use headwater_wasm::{Function, Limits, Module, WasmError, hash_of};

const LITTLE: Limits =
    Limits { fuel: 100_000, fuel_per_row: 10, fuel_per_byte: 0, memory: 1 << 20, memory_per_byte: 0 };

fn function(module: &str, parameters: &[DataType], returns: &DataType) -> Result<Function, WasmError> {
    Function::new(&Module::new(module.as_bytes())?, "f", parameters, returns, LITTLE)
}

fn call(module: &str, columns: &[ArrayRef], returns: &DataType) -> Result<ArrayRef, WasmError> {
    let types: Vec<DataType> = columns.iter().map(|column| column.data_type().clone()).collect();
    let rows = columns.first().map_or(3, |column| column.len());
    function(module, &types, returns)?.call(columns, rows)
}

fn by_row(signature: &str, body: &str) -> String {
    format!("(module (func (export \"f\") {signature} {body}))")
}

/// A module that is called by batch: `alloc` takes pages at the end of its memory.
fn by_batch(body: &str) -> String {
    format!(
        "(module (memory (export \"memory\") 1)
           (func (export \"alloc\") (param $bytes i32) (result i32) (local $at i32)
             (local.set $at (i32.mul (memory.size) (i32.const 65536)))
             (drop (memory.grow (i32.shr_u (i32.add (local.get $bytes) (i32.const 65535)) (i32.const 16))))
             (local.get $at))
           (func (export \"f\") (param $batch i32) (result i32) {body}))"
    )
}

/// Gives the first column as it came.
const ECHO: &str = "(i32.add (local.get $batch) (i32.const 8))";

#[test]
fn rows_of_all_numbers() {
    let doubles: ArrayRef = Arc::new(Float64Array::from(vec![Some(212.0), None, Some(f64::INFINITY)]));
    let celsius = by_row(
        "(param f64) (result f64)",
        "(f64.div (f64.sub (local.get 0) (f64.const 32)) (f64.const 1.8))",
    );
    let expect: ArrayRef = Arc::new(Float64Array::from(vec![Some(100.0), None, Some(f64::INFINITY)]));
    assert_eq!(&call(&celsius, &[doubles], &DataType::Float64).unwrap(), &expect);

    let floats: ArrayRef = Arc::new(Float32Array::from(vec![1.5, 2.5]));
    let longs: ArrayRef = Arc::new(Int64Array::from(vec![Some(i64::MIN), Some(7)]));
    let first = by_row("(param f32 i64) (result i64)", "(local.get 1)");
    assert_eq!(&call(&first, &[floats, Arc::clone(&longs)], &DataType::Int64).unwrap(), &longs);

    let small: ArrayRef = Arc::new(Int8Array::from(vec![-100, 100]));
    let double = by_row("(param i32) (result i32)", "(i32.mul (local.get 0) (i32.const 2))");
    let expect: ArrayRef = Arc::new(Int32Array::from(vec![-200, 200]));
    assert_eq!(&call(&double, &[Arc::clone(&small)], &DataType::Int32).unwrap(), &expect);
    let error = call(&double, &[small], &DataType::Int8).unwrap_err();
    assert!(matches!(&error, WasmError::Result(why) if why.contains("-200")), "{error}");

    let yes: ArrayRef = Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]));
    let not = by_row("(param i32) (result i32)", "(i32.eqz (local.get 0))");
    let expect: ArrayRef = Arc::new(BooleanArray::from(vec![Some(false), Some(true), None]));
    assert_eq!(&call(&not, &[yes], &DataType::Boolean).unwrap(), &expect);

    let days: ArrayRef = Arc::new(Date32Array::from(vec![10, -1]));
    let next = by_row("(param i32) (result i32)", "(i32.add (local.get 0) (i32.const 1))");
    let expect: ArrayRef = Arc::new(Date32Array::from(vec![11, 0]));
    assert_eq!(&call(&next, &[days], &DataType::Date32).unwrap(), &expect);

    let times: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![5, -5]));
    let same = by_row("(param i64) (result i64)", "(local.get 0)");
    assert_eq!(
        &call(&same, &[Arc::clone(&times)], &DataType::Timestamp(TimeUnit::Millisecond, None)).unwrap(),
        &times
    );

    let none = by_row("(result i64)", "(i64.const 42)");
    let expect: ArrayRef = Arc::new(Int64Array::from(vec![42, 42, 42]));
    assert_eq!(&call(&none, &[], &DataType::Int64).unwrap(), &expect);
}

#[test]
fn batches_of_all_types_come_back_as_they_went_in() {
    let columns: [ArrayRef; 6] = [
        Arc::new(StringArray::from(vec![Some("é"), None, Some(""), Some("a longer text"), Some("z")])),
        Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), Some(true), Some(true)])),
        Arc::new(Int64Array::from(vec![Some(1), Some(-1), None, Some(i64::MAX), Some(0)])),
        Arc::new(Float32Array::from(vec![0.5, -0.0, 1e30, 3.0, 2.0])),
        Arc::new(arrow::array::BinaryArray::from(vec![
            Some(&b"\xff\x00"[..]),
            None,
            Some(b""),
            Some(b"x"),
            Some(b"yz"),
        ])),
        Arc::new(
            arrow::array::Decimal128Array::from(vec![
                Some(1_234_567_890_123_456_789),
                None,
                Some(-5),
                Some(0),
                Some(1),
            ])
            .with_precision_and_scale(38, 4)
            .unwrap(),
        ),
    ];
    for column in columns {
        let given = call(&by_batch(ECHO), &[Arc::clone(&column)], column.data_type()).unwrap();
        assert_eq!(&given, &column);
        // A part of a longer column, whose bits do not begin at a byte.
        let part = column.slice(1, 3);
        assert_eq!(&call(&by_batch(ECHO), &[Arc::clone(&part)], part.data_type()).unwrap(), &part);
        let none = column.slice(0, 0);
        assert_eq!(call(&by_batch(ECHO), &[none], column.data_type()).unwrap().len(), 0);
    }
}

#[test]
fn every_call_begins_anew() {
    let counting = "(module (global $n (mut i64) (i64.const 0)) (func (export \"f\") (result i64)
        (global.set $n (i64.add (global.get $n) (i64.const 1))) (global.get $n)))";
    let function = function(counting, &[], &DataType::Int64).unwrap();
    let expect: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    for _ in 0..3 {
        assert_eq!(&function.call(&[], 2).unwrap(), &expect);
    }
}

#[test]
fn no_number_is_the_same_everywhere() {
    let nan =
        by_row("(param f64) (result i64)", "(i64.reinterpret_f64 (f64.div (local.get 0) (f64.const 0)))");
    let zero: ArrayRef = Arc::new(Float64Array::from(vec![0.0]));
    let expect: ArrayRef = Arc::new(Int64Array::from(vec![0x7ff8_0000_0000_0000]));
    assert_eq!(&call(&nan, &[zero], &DataType::Int64).unwrap(), &expect);
}

/// A module, given one column of three rows, and how its call ends.
#[track_caller]
fn fails(module: &str, returns: &DataType, expect: &str) {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let error = call(module, &[column], returns).unwrap_err().to_string();
    assert!(error.contains(expect), "{error}");
}

#[test]
fn a_call_ends_whatever_a_module_does() {
    let long = DataType::Int64;
    let endless = "(loop $again (br $again)) (i64.const 0)";
    fails(
        &by_row("(param i64) (result i64)", endless),
        &long,
        "it ran out of fuel: more than 100030 instructions",
    );
    fails(&by_row("(param i64) (result i64)", "(unreachable)"), &long, "it trapped: ");
    fails(
        &by_row("(param i64) (result i64)", "(i64.div_s (local.get 0) (i64.const 0))"),
        &long,
        "it trapped: ",
    );
    let deep = "(module (func $f (export \"f\") (param i64) (result i64) (i64.add (call $f (local.get 0)) (i64.const 1))))";
    fails(deep, &long, "it ");
    let hungry = "(module (memory 1) (func (export \"f\") (param i64) (result i64)
        (loop $more (drop (memory.grow (i32.const 1))) (br $more)) (i64.const 0)))";
    fails(hungry, &long, "it wanted more than 1048576 bytes of memory");
    fails(
        "(module (memory 1000) (func (export \"f\") (param i64) (result i64) (i64.const 0)))",
        &long,
        "memory",
    );
    fails(&by_batch("(unreachable)"), &long, "it trapped: ");
    fails(&by_batch("(loop $again (br $again)) (i32.const 0)"), &long, "it ran out of fuel");
}

#[test]
fn nothing_in_its_memory_is_believed() {
    let long = DataType::Int64;
    fails(&by_batch("(i32.const 0)"), &long, "it refused: it gave 0 and no reason");
    fails(&by_batch("(i32.const -4)"), &long, "are not all in its memory");
    // Where the values are said to be, there is no memory.
    let far = format!("(i32.store offset=12 (local.get $batch) (i32.const 0x7fffffff)) {ECHO}");
    fails(&by_batch(&far), &long, "its values (24 bytes at 2147483647) are not all in its memory");
    fails(
        &by_batch(&format!("(i32.store offset=8 (local.get $batch) (i32.const -1)) {ECHO}")),
        &long,
        "bits of validity",
    );
    let texts = |edit: &str| {
        let column: ArrayRef = Arc::new(StringArray::from(vec!["ab", "cd"]));
        call(&by_batch(&format!("{edit} {ECHO}")), &[column], &DataType::Utf8).unwrap_err().to_string()
    };
    let bad = texts("(i32.store8 (i32.load offset=12 (local.get $batch)) (i32.const 0xff))");
    assert!(bad.contains("what it gave is no column") && bad.contains("UTF"), "{bad}");
    let bad = texts("(i32.store (i32.load offset=16 (local.get $batch)) (i32.const 3))");
    assert!(bad.contains("what it gave is no column"), "{bad}");
    let bad = texts("(i32.store offset=8 (i32.load offset=16 (local.get $batch)) (i32.const 99))");
    assert!(bad.contains("what it gave is no column"), "{bad}");
    let nowhere = "(module (memory (export \"memory\") 1) (func (export \"alloc\") (param i32) (result i32) (i32.const 65528))
        (func (export \"f\") (param i32) (result i32) (i32.const 8)))";
    fails(nowhere, &long, "alloc gave the address 65528 for 48 bytes, which are not all in its memory");
    let odd = nowhere.replace("65528", "3");
    fails(&odd, &long, "which is not aligned to 8");
}

#[test]
fn a_module_may_say_why() {
    let saying =
        "(module (memory (export \"memory\") 1) (data (i32.const 16) \"\\20\\00\\00\\00\\09\\00\\00\\00\")
        (data (i32.const 32) \"too cold!\")
        (func (export \"alloc\") (param i32) (result i32) (i32.const 1024))
        (func (export \"error\") (result i32) (i32.const 16))
        (func (export \"f\") (param i32) (result i32) (i32.const 0)))";
    fails(saying, &DataType::Int64, "it refused: too cold!");
}

#[test]
fn what_is_no_such_module_is_refused_at_once() {
    let refused = |module: &str, parameters: &[DataType], returns: DataType| {
        function(module, parameters, &returns).unwrap_err().to_string()
    };
    let double = [DataType::Float64];
    assert!(refused("(module", &double, DataType::Float64).starts_with("it is no WebAssembly module: "));
    assert!(Module::new(b"\0asm\x01").is_err());
    let clock = "(module (import \"env\" \"now\" (func (result i64))) (func (export \"f\") (param f64) (result f64) (local.get 0)))";
    assert_eq!(
        refused(clock, &double, DataType::Float64),
        "the module imports 'env.now', but a function has nothing from outside: no clock, no randomness, no files"
    );
    let other = "(module (func (export \"g\") (param f64) (result f64) (local.get 0)) (func (export \"h\")))";
    assert_eq!(
        refused(other, &double, DataType::Float64),
        "the module exports no function 'f'; there is g, h"
    );
    let same = by_row("(param f64) (result f64)", "(local.get 0)");
    assert_eq!(
        refused(&same, &[DataType::Int32], DataType::Float64),
        "the module's 'f' is (f64) -> f64, not (i32) -> f64"
    );
    assert_eq!(
        refused(&same, &[DataType::Utf8], DataType::Float64),
        "Utf8 does not go into a module called by row"
    );
    let list = DataType::new_list(DataType::Int32, true);
    assert!(
        refused(&by_batch(ECHO), &[list], DataType::Int32)
            .contains("does not go into a module called by batch")
    );
    let hidden = by_batch(ECHO).replace("(export \"memory\")", "");
    assert!(refused(&hidden, &double, DataType::Float64).contains("'memory'"));
}

#[test]
fn bytes_have_a_hash() {
    assert_eq!(hash_of(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

#[test]
fn what_a_c_compiler_makes_runs() {
    let module = |name: &str| {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/wasm").join(name);
        Module::new(&std::fs::read(path).unwrap()).unwrap()
    };
    let double = DataType::Float64;
    let celsius =
        Function::new(&module("celsius.wasm"), "celsius", std::slice::from_ref(&double), &double, LITTLE)
            .unwrap();
    let boiling: ArrayRef = Arc::new(Float64Array::from(vec![212.0]));
    assert_eq!(celsius.call(&[boiling], 1).unwrap().as_primitive::<Float64Type>().value(0), 100.0);
    let text = DataType::Utf8;
    let limits = Limits { memory: 4 << 20, ..LITTLE };
    let shout =
        Function::new(&module("shout.wasm"), "shout", std::slice::from_ref(&text), &text, limits).unwrap();
    assert!(shout.is_by_batch());
    let words: ArrayRef = Arc::new(StringArray::from(vec![Some("rack 7"), None, Some("éa")]));
    let loud: ArrayRef = Arc::new(StringArray::from(vec![Some("RACK 7"), None, Some("éA")]));
    assert_eq!(&shout.call(&[words], 3).unwrap(), &loud);
}
