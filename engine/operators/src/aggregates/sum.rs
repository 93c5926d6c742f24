//! SUM and AVG.
//!
//! Integers are added up in 128 bits, and what is read of them are the last 64: a sum that does not fit wraps around, in Flink, in
//! DataFusion and here, and comes to the same in whatever order rows are added and taken back. Decimals of many digits are added up in
//! 256 bits and checked when the result is read; one that does not fit is NULL.

use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowNativeTypeOp, AsArray, Int64Array, PrimitiveArray};
use arrow::datatypes::{
    ArrowNativeType, ArrowPrimitiveType, DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType,
    Decimal128Type, Decimal256Type, Float64Type, Int64Type, UInt64Type, i256,
};
use arrow::error::ArrowError;

use super::{Aggregator, pick};
use crate::error::Result;

/// The aggregator for a type, if there is a native one.
pub(super) fn sum(kind: &DataType, average: bool) -> Option<Box<dyn Aggregator>> {
    match kind {
        DataType::Int64 => Some(Box::new(Sum::<Int64Type, Decimal128Type>::new(kind, average))),
        DataType::UInt64 => Some(Box::new(Sum::<UInt64Type, Decimal128Type>::new(kind, average))),
        DataType::Float64 => Some(Box::new(Sum::<Float64Type, Float64Type>::new(kind, average))),
        DataType::Decimal128(precision, scale) => {
            // The type of the result, as DataFusion has it. What gets ten digits more is not outgrown by any number of rows.
            let kind = DataType::Decimal128(DECIMAL128_MAX_PRECISION.min(precision + 10), *scale);
            Some(match precision + 10 <= DECIMAL128_MAX_PRECISION {
                true => Box::new(Sum::<Decimal128Type, Decimal128Type>::new(&kind, average)),
                false => Box::new(Sum::<Decimal128Type, Decimal256Type>::new(&kind, average)),
            })
        }
        _ => None,
    }
}

/// What a sum of `T` is kept as.
trait Widen<T: ArrowPrimitiveType>: ArrowPrimitiveType {
    fn widen(value: T::Native) -> Self::Native;
    fn narrow(sum: Self::Native) -> Option<T::Native>;
    fn weigh(weight: i64) -> Self::Native;
}

impl Widen<Int64Type> for Decimal128Type {
    fn widen(value: i64) -> i128 {
        i128::from(value)
    }
    fn narrow(sum: i128) -> Option<i64> {
        Some(sum as i64)
    }
    fn weigh(weight: i64) -> i128 {
        i128::from(weight)
    }
}

impl Widen<UInt64Type> for Decimal128Type {
    fn widen(value: u64) -> i128 {
        i128::from(value)
    }
    fn narrow(sum: i128) -> Option<u64> {
        Some(sum as u64)
    }
    fn weigh(weight: i64) -> i128 {
        i128::from(weight)
    }
}

impl Widen<Decimal128Type> for Decimal128Type {
    fn widen(value: i128) -> i128 {
        value
    }
    fn narrow(sum: i128) -> Option<i128> {
        Some(sum)
    }
    fn weigh(weight: i64) -> i128 {
        i128::from(weight)
    }
}

impl Widen<Decimal128Type> for Decimal256Type {
    fn widen(value: i128) -> i256 {
        i256::from_i128(value)
    }
    fn narrow(sum: i256) -> Option<i128> {
        let bound = 10_u128.pow(DECIMAL128_MAX_PRECISION.into());
        sum.to_i128().filter(|sum| sum.unsigned_abs() < bound)
    }
    fn weigh(weight: i64) -> i256 {
        i256::from_i128(weight.into())
    }
}

impl Widen<Float64Type> for Float64Type {
    fn widen(value: f64) -> f64 {
        value
    }
    fn narrow(sum: f64) -> Option<f64> {
        Some(sum)
    }
    fn weigh(weight: i64) -> f64 {
        weight as f64
    }
}

/// Sums of `T`, kept as `S`, with how many values went in.
struct Sum<T: ArrowPrimitiveType, S: Widen<T>> {
    kind: DataType,
    average: bool,
    sums: Vec<S::Native>,
    counts: Vec<i64>,
    of: PhantomData<fn(T)>,
}

impl<T: ArrowPrimitiveType, S: Widen<T>> Sum<T, S> {
    fn new(kind: &DataType, average: bool) -> Self {
        Self { kind: kind.clone(), average, sums: Vec::new(), counts: Vec::new(), of: PhantomData }
    }

    #[inline]
    fn add(&mut self, group: u32, value: S::Native, count: i64) -> Result<(), ArrowError> {
        let group = group as usize;
        self.sums[group] = self.sums[group].add_checked(value)?;
        self.counts[group] += count;
        if self.counts[group] == 0 {
            // All was retracted: nothing of a float's rounding may remain.
            self.sums[group] = S::Native::default();
        }
        Ok(())
    }
}

impl<T: ArrowPrimitiveType, S: Widen<T>> Aggregator for Sum<T, S> {
    fn resize(&mut self, groups: usize) {
        self.sums.resize(groups, S::Native::default());
        self.counts.resize(groups, 0);
    }

    fn update(&mut self, values: &[ArrayRef], groups: &[u32], weights: Option<&[i64]>) -> Result<()> {
        let values = values[0].as_primitive::<T>();
        match weights {
            None if values.null_count() == 0 => {
                for (group, value) in groups.iter().zip(values.values()) {
                    self.add(*group, S::widen(*value), 1)?;
                }
            }
            None => {
                for (group, value) in groups.iter().zip(values) {
                    if let Some(value) = value {
                        self.add(*group, S::widen(value), 1)?;
                    }
                }
            }
            Some(weights) => {
                for ((group, value), weight) in groups.iter().zip(values).zip(weights) {
                    if let Some(value) = value {
                        let value = S::widen(value).mul_checked(S::weigh(*weight))?;
                        self.add(*group, value, *weight)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], groups: &[u32]) -> Result<()> {
        let sums = states[0].as_primitive::<S>().values();
        let counts = states[1].as_primitive::<Int64Type>().values();
        for (row, group) in groups.iter().enumerate() {
            if counts[row] != 0 {
                self.add(*group, sums[row], counts[row])?;
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, groups: &[u32]) -> Result<ArrayRef> {
        let results: PrimitiveArray<T> = groups
            .iter()
            .map(|group| {
                let (sum, count) = (self.sums[*group as usize], self.counts[*group as usize]);
                let sum = if self.average { sum.div_wrapping(S::weigh(count)) } else { sum };
                // An empty group's average is a division by zero, and its result NULL.
                if count == 0 { None } else { S::narrow(sum) }
            })
            .collect();
        Ok(Arc::new(results.with_data_type(self.kind.clone())))
    }

    fn state_types(&self) -> Result<Vec<DataType>> {
        let sums = match S::DATA_TYPE {
            DataType::Decimal256(..) => DataType::Decimal256(DECIMAL256_MAX_PRECISION, 0),
            DataType::Decimal128(..) => DataType::Decimal128(DECIMAL128_MAX_PRECISION, 0),
            other => other,
        };
        Ok(vec![sums, DataType::Int64])
    }

    fn state(&mut self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let sums = PrimitiveArray::<S>::from_iter_values(pick(&self.sums, groups));
        let sums = sums.with_data_type(self.state_types()?.swap_remove(0));
        Ok(vec![Arc::new(sums), Arc::new(Int64Array::from(pick(&self.counts, groups)))])
    }

    fn clear(&mut self, groups: &[u32]) {
        for group in groups {
            self.sums[*group as usize] = S::Native::default();
            self.counts[*group as usize] = 0;
        }
    }

    fn retain(&mut self, groups: &[u32]) {
        self.sums = pick(&self.sums, groups);
        self.counts = pick(&self.counts, groups);
    }

    fn size(&self) -> usize {
        self.sums.capacity() * S::Native::get_byte_width() + self.counts.capacity() * size_of::<i64>()
    }
}
