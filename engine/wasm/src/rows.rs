//! Calls by row: numbers in, a number out.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float32Array, Float64Array, Int64Array};
use arrow::buffer::NullBuffer;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int64Type};
use arrow::error::ArrowError;
use wasmi::{F32, F64, Val, ValType};

use crate::error::{Result, WasmError};
use crate::instance::Instance;

/// As what a value of a type goes in.
pub(crate) fn value_type(kind: &DataType) -> Result<ValType> {
    Ok(match kind {
        DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::UInt8
        | DataType::UInt16
        | DataType::Date32 => ValType::I32,
        DataType::Int64 | DataType::UInt32 | DataType::Timestamp(..) | DataType::Time64(_) => ValType::I64,
        DataType::Float32 => ValType::F32,
        DataType::Float64 => ValType::F64,
        other => return Err(WasmError::Type { kind: other.to_string(), how: "by row" }),
    })
}

/// Calls a function for every row that has no NULL.
pub(crate) fn call(
    instance: &mut Instance,
    export: &str,
    columns: &[ArrayRef],
    rows: usize,
    returns: &DataType,
) -> Result<ArrayRef> {
    let nulls = columns
        .iter()
        .fold(None, |nulls, column| NullBuffer::union(nulls.as_ref(), column.logical_nulls().as_ref()));
    let columns = columns.iter().map(Numbers::of).collect::<Result<Vec<_>>>()?;
    let mut arguments = vec![Val::I32(0); columns.len()];
    let mut results = [Val::default_for_ty(value_type(returns)?)];
    let mut given = Given { integers: Vec::with_capacity(rows), floats: Vec::new(), doubles: Vec::new() };
    for row in 0..rows {
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            given.push(&Val::default_for_ty(value_type(returns)?));
            continue;
        }
        for (argument, column) in arguments.iter_mut().zip(&columns) {
            *argument = column.value(row);
        }
        instance.call_with(export, &arguments, &mut results)?;
        given.push(&results[0]);
    }
    given.finish(returns, nulls)
}

/// A column of numbers, and how they go in.
enum Numbers {
    Words(Int64Array),
    Longs(Int64Array),
    Floats(Float32Array),
    Doubles(Float64Array),
}

impl Numbers {
    fn of(column: &ArrayRef) -> Result<Self> {
        let kind = value_type(column.data_type())?;
        Ok(match kind {
            ValType::F32 => Self::Floats(column.as_primitive::<Float32Type>().clone()),
            ValType::F64 => Self::Doubles(column.as_primitive::<Float64Type>().clone()),
            kind => {
                let number = match column.data_type() {
                    DataType::Date32 => cast(column, &DataType::Int32)?,
                    _ => Arc::clone(column),
                };
                let numbers = cast(&number, &DataType::Int64)?.as_primitive::<Int64Type>().clone();
                if kind == ValType::I32 { Self::Words(numbers) } else { Self::Longs(numbers) }
            }
        })
    }

    fn value(&self, row: usize) -> Val {
        match self {
            // Of the types that go in as words none has a value that is larger.
            Self::Words(numbers) => Val::I32(numbers.value(row) as i32),
            Self::Longs(numbers) => Val::I64(numbers.value(row)),
            Self::Floats(numbers) => Val::F32(F32::from(numbers.value(row))),
            Self::Doubles(numbers) => Val::F64(F64::from(numbers.value(row))),
        }
    }
}

/// What came out; one of the lists.
struct Given {
    integers: Vec<i64>,
    floats: Vec<f32>,
    doubles: Vec<f64>,
}

impl Given {
    fn push(&mut self, value: &Val) {
        match value {
            Val::I32(value) => self.integers.push(i64::from(*value)),
            Val::I64(value) => self.integers.push(*value),
            Val::F32(value) => self.floats.push(f32::from(*value)),
            Val::F64(value) => self.doubles.push(f64::from(*value)),
            _ => {}
        }
    }

    fn finish(self, returns: &DataType, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let numbers: ArrayRef = match value_type(returns)? {
            ValType::F32 => return Ok(Arc::new(Float32Array::new(self.floats.into(), nulls))),
            ValType::F64 => return Ok(Arc::new(Float64Array::new(self.doubles.into(), nulls))),
            _ => Arc::new(Int64Array::new(self.integers.into(), nulls)),
        };
        match returns {
            DataType::Date32 => cast(&cast(&numbers, &DataType::Int32)?, returns),
            _ => cast(&numbers, returns),
        }
    }
}

/// A number that the type has no place for is an error.
fn cast(column: &ArrayRef, kind: &DataType) -> Result<ArrayRef> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(column, kind, &options)
        .map_err(|error: ArrowError| WasmError::Result(error.to_string()))
}
