//! `PERCENTILE(x, percentage [, frequency])`: the value below which such a part of a group's values are, between two of them by a line.
//!
//! A row counts as often as its frequency says, once if none is given; one whose value or frequency is NULL, or whose frequency is not
//! above zero, does not. Of several percentages, as a list, there is a list of results.
//!
//! State: two lists, of the values and of how often each is there.

use std::mem::size_of;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array};
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};
use datafusion::physical_expr::expressions::Literal;

/// The aggregate.
pub(super) fn percentile() -> AggregateUDF {
    AggregateUDF::new_from_impl(Percentile { signature: Signature::user_defined(Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Percentile {
    signature: Signature,
}

fn doubles() -> DataType {
    DataType::new_list(DataType::Float64, true)
}

impl AggregateUDFImpl for Percentile {
    fn name(&self) -> &str {
        "percentile"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let is_number = |kind: &DataType| kind.is_numeric() || kind.is_null();
        let (value, percentage, frequency) = match types {
            [value, percentage] => (value, percentage, None),
            [value, percentage, frequency] => (value, percentage, Some(frequency)),
            _ => return plan_err!("PERCENTILE takes a number, a percentage such as 0.5, and a frequency"),
        };
        let percentage = match percentage {
            DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => doubles(),
            kind if is_number(kind) => DataType::Float64,
            _ => return plan_err!("the percentage of PERCENTILE is a number from 0 to 1, or a list of such"),
        };
        if !is_number(value) || frequency.is_some_and(|kind| !kind.is_integer() && !kind.is_null()) {
            return plan_err!("PERCENTILE takes numbers, and a frequency that is a whole number");
        }
        let frequency = frequency.map(|_| DataType::Int64);
        Ok([DataType::Float64, percentage].into_iter().chain(frequency).collect())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[1].clone())
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let field = |name, kind| {
            let kind = DataType::new_list(kind, true);
            Arc::new(Field::new(format_state_name(args.name, name), kind, true))
        };
        Ok(vec![field("values", DataType::Float64), field("counts", DataType::Int64)])
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let Some(percentage) = args.exprs[1].downcast_ref::<Literal>() else {
            return plan_err!(
                "the percentage of PERCENTILE stands in the query, as a number or a list of numbers"
            );
        };
        let (parts, is_list) = match percentage.value() {
            ScalarValue::List(list) if !list.is_null(0) => {
                (list.value(0).as_primitive::<Float64Type>().iter().collect(), true)
            }
            ScalarValue::Float64(Some(part)) => (vec![Some(*part)], false),
            _ => return plan_err!("the percentage of PERCENTILE is not NULL"),
        };
        let parts = parts.into_iter().map(|part: Option<f64>| match part {
            Some(part) if (0.0..=1.0).contains(&part) => Ok(part),
            _ => plan_err!("a percentage of PERCENTILE is a number from 0 to 1"),
        });
        let (parts, distinct) = (parts.collect::<Result<_>>()?, args.is_distinct);
        Ok(Box::new(Values { parts, is_list, distinct, values: Vec::new() }))
    }
}

/// The values of a group.
#[derive(Debug)]
struct Values {
    parts: Vec<f64>,
    is_list: bool,
    /// Whether what is there several times counts once.
    distinct: bool,
    /// Each with how often it is there.
    values: Vec<(f64, i64)>,
}

impl Values {
    fn add(&mut self, values: &Float64Array, counts: Option<&Int64Array>) {
        for row in 0..values.len() {
            let count = match counts {
                Some(counts) if counts.is_null(row) => 0,
                Some(counts) => counts.value(row),
                None => 1,
            };
            if count > 0 && !values.is_null(row) {
                self.values.push((values.value(row), count));
            }
        }
    }

    /// The value at a place from 0, in the order of values.
    fn at(&self, place: f64) -> f64 {
        let mut before = 0_i64;
        for (value, count) in &self.values {
            before = before.saturating_add(*count);
            if place < before as f64 {
                return *value;
            }
        }
        self.values.last().map_or(f64::NAN, |(value, _)| *value)
    }

    fn percentile(&self, part: f64, count: i64) -> f64 {
        let place = part * (count - 1) as f64;
        let (lower, upper) = (place.floor(), place.ceil());
        let (below, above) = (self.at(lower), self.at(upper));
        if below == above { below } else { (upper - place) * below + (place - lower) * above }
    }
}

impl Accumulator for Values {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let counts = columns.get(2).map(|counts| counts.as_primitive::<Int64Type>());
        self.add(columns[0].as_primitive(), counts);
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let (values, counts) = (states[0].as_list::<i32>(), states[1].as_list::<i32>());
        for row in (0..values.len()).filter(|row| !values.is_null(*row)) {
            let (values, counts) = (values.value(row), counts.value(row));
            self.add(values.as_primitive(), Some(counts.as_primitive()));
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values: Vec<ScalarValue> = self.values.iter().map(|(value, _)| (*value).into()).collect();
        let counts: Vec<ScalarValue> = self.values.iter().map(|(_, count)| (*count).into()).collect();
        Ok(vec![
            ScalarValue::List(ScalarValue::new_list_nullable(&values, &DataType::Float64)),
            ScalarValue::List(ScalarValue::new_list_nullable(&counts, &DataType::Int64)),
        ])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.values.sort_by(|(a, n), (b, m)| a.total_cmp(b).then(n.cmp(m)));
        if self.distinct {
            self.values.dedup_by(|(a, n), (b, m)| a.total_cmp(b).is_eq() && n == m);
        }
        let count = self.values.iter().try_fold(0_i64, |sum, (_, count)| sum.checked_add(*count));
        let Some(count) = count else { return exec_err!("PERCENTILE: the sum of frequencies is too large") };
        if count == 0 {
            return ScalarValue::try_from(if self.is_list { doubles() } else { DataType::Float64 });
        }
        let found = self.parts.iter().map(|part| self.percentile(*part, count).into());
        let found: Vec<ScalarValue> = found.collect();
        Ok(match self.is_list {
            true => ScalarValue::List(ScalarValue::new_list_nullable(&found, &DataType::Float64)),
            false => found.into_iter().next().unwrap_or(ScalarValue::Float64(None)),
        })
    }

    fn size(&self) -> usize {
        size_of::<Self>()
            + self.parts.capacity() * size_of::<f64>()
            + self.values.capacity() * size_of::<(f64, i64)>()
    }
}
