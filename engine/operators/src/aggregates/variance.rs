//! VAR and STDDEV, of a sample or of the population, by Welford's method.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array};
use arrow::datatypes::{DataType, Float64Type, Int64Type};

use super::{Aggregator, pick};
use crate::error::Result;

/// How many values, their mean, and the sum of the squares of their distances from it.
#[derive(Clone, Copy, Default)]
struct Moments {
    count: i64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn add(&mut self, value: f64) {
        self.count += 1;
        let before = value - self.mean;
        self.mean += before / self.count as f64;
        self.squares += before * (value - self.mean);
    }

    fn merge(&mut self, other: Self) {
        if self.count == 0 {
            *self = other;
        } else if other.count > 0 {
            let count = self.count + other.count;
            let apart = other.mean - self.mean;
            let share = other.count as f64 / count as f64;
            self.mean += apart * share;
            self.squares += other.squares + apart * apart * self.count as f64 * share;
            self.count = count;
        }
    }
}

/// The variance or its root.
pub(super) struct Variance {
    population: bool,
    root: bool,
    moments: Vec<Moments>,
}

impl Variance {
    pub(super) fn new(population: bool, root: bool) -> Self {
        Self { population, root, moments: Vec::new() }
    }

    fn result(&self, moments: Moments) -> Option<f64> {
        let divisor = if self.population { moments.count } else { moments.count - 1 };
        let variance = (divisor > 0).then(|| moments.squares / divisor as f64)?;
        Some(if self.root { variance.sqrt() } else { variance })
    }
}

impl Aggregator for Variance {
    fn resize(&mut self, groups: usize) {
        self.moments.resize(groups, Moments::default());
    }

    fn update(&mut self, values: &[ArrayRef], groups: &[u32], weights: Option<&[i64]>) -> Result<()> {
        for (row, (group, value)) in groups.iter().zip(values[0].as_primitive::<Float64Type>()).enumerate() {
            let Some(value) = value else { continue };
            for _ in 0..weights.map_or(1, |weights| weights[row]) {
                self.moments[*group as usize].add(value);
            }
        }
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], groups: &[u32]) -> Result<()> {
        let counts = states[0].as_primitive::<Int64Type>().values();
        let means = states[1].as_primitive::<Float64Type>().values();
        let squares = states[2].as_primitive::<Float64Type>().values();
        for (row, group) in groups.iter().enumerate() {
            let other = Moments { count: counts[row], mean: means[row], squares: squares[row] };
            self.moments[*group as usize].merge(other);
        }
        Ok(())
    }

    fn evaluate(&mut self, groups: &[u32]) -> Result<ArrayRef> {
        let results = groups.iter().map(|group| self.result(self.moments[*group as usize]));
        Ok(Arc::new(results.collect::<Float64Array>()))
    }

    fn state_types(&self) -> Result<Vec<DataType>> {
        Ok(vec![DataType::Int64, DataType::Float64, DataType::Float64])
    }

    fn state(&mut self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let moments = pick(&self.moments, groups);
        Ok(vec![
            Arc::new(Int64Array::from_iter_values(moments.iter().map(|moments| moments.count))),
            Arc::new(Float64Array::from_iter_values(moments.iter().map(|moments| moments.mean))),
            Arc::new(Float64Array::from_iter_values(moments.iter().map(|moments| moments.squares))),
        ])
    }

    fn clear(&mut self, groups: &[u32]) {
        groups.iter().for_each(|group| self.moments[*group as usize] = Moments::default());
    }

    fn retain(&mut self, groups: &[u32]) {
        self.moments = pick(&self.moments, groups);
    }

    fn size(&self) -> usize {
        self.moments.capacity() * size_of::<Moments>()
    }
}
