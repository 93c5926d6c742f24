//! MIN and MAX of numbers, times and texts.
//!
//! Floats are in total order: NaN is greater than all numbers, -0.0 less than 0.0, as in Arrow's kernels.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowNativeTypeOp, AsArray, LargeStringArray, PrimitiveArray, StringArray,
    StringViewArray, downcast_primitive,
};
use arrow::datatypes::{ArrowNativeType, ArrowPrimitiveType, DataType};

use super::{Aggregator, pick};
use crate::error::Result;

/// The aggregator for a type, if there is a native one.
pub(super) fn extreme(kind: &DataType, max: bool) -> Option<Box<dyn Aggregator>> {
    macro_rules! primitive {
        ($t:ty) => {
            Some(Box::new(Primitive::<$t> { kind: kind.clone(), max, values: Vec::new(), set: Vec::new() }))
        };
    }
    downcast_primitive! {
        kind => (primitive),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            Some(Box::new(Text { kind: kind.clone(), max, values: Vec::new() }))
        }
        _ => None
    }
}

struct Primitive<T: ArrowPrimitiveType> {
    kind: DataType,
    max: bool,
    values: Vec<T::Native>,
    set: Vec<bool>,
}

impl<T: ArrowPrimitiveType> Primitive<T> {
    #[inline]
    fn add<const MAX: bool>(&mut self, group: u32, value: T::Native) {
        let group = group as usize;
        let current = self.values[group];
        let better = if MAX { value.is_gt(current) } else { value.is_lt(current) };
        if better || !self.set[group] {
            self.values[group] = value;
            self.set[group] = true;
        }
    }

    fn add_all<const MAX: bool>(&mut self, values: &PrimitiveArray<T>, groups: &[u32]) {
        if values.null_count() == 0 {
            for (group, value) in groups.iter().zip(values.values()) {
                self.add::<MAX>(*group, *value);
            }
        } else {
            for (group, value) in groups.iter().zip(values) {
                if let Some(value) = value {
                    self.add::<MAX>(*group, value);
                }
            }
        }
    }
}

impl<T: ArrowPrimitiveType> Aggregator for Primitive<T> {
    fn resize(&mut self, groups: usize) {
        self.values.resize(groups, T::Native::default());
        self.set.resize(groups, false);
    }

    fn update(&mut self, values: &[ArrayRef], groups: &[u32], _weights: Option<&[i64]>) -> Result<()> {
        let values = values[0].as_primitive::<T>();
        if self.max {
            self.add_all::<true>(values, groups);
        } else {
            self.add_all::<false>(values, groups);
        }
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], groups: &[u32]) -> Result<()> {
        self.update(states, groups, None)
    }

    fn evaluate(&mut self, groups: &[u32]) -> Result<ArrayRef> {
        let results: PrimitiveArray<T> = groups
            .iter()
            .map(|group| self.set[*group as usize].then(|| self.values[*group as usize]))
            .collect();
        Ok(Arc::new(results.with_data_type(self.kind.clone())))
    }

    fn state_types(&self) -> Result<Vec<DataType>> {
        Ok(vec![self.kind.clone()])
    }

    fn state(&mut self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(groups)?])
    }

    fn clear(&mut self, groups: &[u32]) {
        for group in groups {
            self.values[*group as usize] = T::Native::default();
            self.set[*group as usize] = false;
        }
    }

    fn retain(&mut self, groups: &[u32]) {
        self.values = pick(&self.values, groups);
        self.set = pick(&self.set, groups);
    }

    fn size(&self) -> usize {
        self.values.capacity() * T::Native::get_byte_width() + self.set.capacity()
    }
}

struct Text {
    kind: DataType,
    max: bool,
    values: Vec<Option<Box<str>>>,
}

impl Text {
    fn add_all<'a>(&mut self, values: impl Iterator<Item = Option<&'a str>>, groups: &[u32]) {
        for (group, value) in groups.iter().zip(values) {
            let Some(value) = value else { continue };
            let current = &mut self.values[*group as usize];
            let better = match current.as_deref() {
                None => true,
                Some(current) if self.max => value > current,
                Some(current) => value < current,
            };
            if better {
                *current = Some(value.into());
            }
        }
    }
}

impl Aggregator for Text {
    fn resize(&mut self, groups: usize) {
        self.values.resize(groups, None);
    }

    fn update(&mut self, values: &[ArrayRef], groups: &[u32], _weights: Option<&[i64]>) -> Result<()> {
        match self.kind {
            DataType::Utf8 => self.add_all(values[0].as_string::<i32>().iter(), groups),
            DataType::LargeUtf8 => self.add_all(values[0].as_string::<i64>().iter(), groups),
            _ => self.add_all(values[0].as_string_view().iter(), groups),
        }
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], groups: &[u32]) -> Result<()> {
        self.update(states, groups, None)
    }

    fn evaluate(&mut self, groups: &[u32]) -> Result<ArrayRef> {
        let values = groups.iter().map(|group| self.values[*group as usize].as_deref());
        Ok(match self.kind {
            DataType::Utf8 => Arc::new(values.collect::<StringArray>()),
            DataType::LargeUtf8 => Arc::new(values.collect::<LargeStringArray>()),
            _ => Arc::new(values.collect::<StringViewArray>()),
        })
    }

    fn state_types(&self) -> Result<Vec<DataType>> {
        Ok(vec![self.kind.clone()])
    }

    fn state(&mut self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(groups)?])
    }

    fn clear(&mut self, groups: &[u32]) {
        groups.iter().for_each(|group| self.values[*group as usize] = None);
    }

    fn retain(&mut self, groups: &[u32]) {
        self.values = groups.iter().map(|group| self.values[*group as usize].take()).collect();
    }

    fn size(&self) -> usize {
        let texts: usize = self.values.iter().flatten().map(|text| text.len()).sum();
        texts + self.values.capacity() * size_of::<Option<Box<str>>>()
    }
}
