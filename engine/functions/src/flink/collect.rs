//! `COLLECT([DISTINCT] x)`: a group's values, as a map of each to how often it is there. That is what a MULTISET of Flink's is.
//!
//! Values that are NULL are left out, and of no values there is an empty map. Entries are in the order of values, so that the result does
//! not depend on when rows came.
//!
//! State: two lists, of the values and of how often each is there.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, Int64Array, ListArray, MapArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Int64Type};
use arrow::row::{RowConverter, SortField};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};

/// The aggregate.
pub(super) fn collect() -> AggregateUDF {
    AggregateUDF::new_from_impl(Collect { signature: Signature::any(1, Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Collect {
    signature: Signature,
}

/// The fields of the map's entries.
fn entries(element: &DataType) -> Fields {
    Fields::from(vec![Field::new("key", element.clone(), false), Field::new("value", DataType::Int32, true)])
}

fn map_of(element: &DataType) -> DataType {
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries(element)), false)), false)
}

impl AggregateUDFImpl for Collect {
    fn name(&self) -> &str {
        "collect"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match &types[0] {
            DataType::Null => plan_err!("COLLECT takes values of a type; CAST what is NULL to one"),
            element => Ok(map_of(element)),
        }
    }

    /// What there is without rows.
    fn default_value(&self, kind: &DataType) -> Result<ScalarValue> {
        match kind {
            DataType::Map(field, _) => match field.data_type() {
                DataType::Struct(fields) => Counts::of(fields[0].data_type(), false)?.evaluate(),
                _ => ScalarValue::try_from(kind),
            },
            _ => ScalarValue::try_from(kind),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let field = |name, kind| {
            let kind = DataType::new_list(kind, true);
            Arc::new(Field::new(format_state_name(args.name, name), kind, true))
        };
        let element = args.input_fields[0].data_type().clone();
        Ok(vec![field("values", element), field("counts", DataType::Int64)])
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Counts::of(&args.exprs[0].data_type(args.schema)?, args.is_distinct)?))
    }
}

/// The values of a group.
#[derive(Debug)]
struct Counts {
    element: DataType,
    /// Whether what is there several times counts once.
    distinct: bool,
    converter: RowConverter,
    /// By the value, in `arrow-row` encoding, how often it is there.
    counts: BTreeMap<Box<[u8]>, i64>,
    bytes: usize,
}

/// What an entry takes beside its value.
const ENTRY_BYTES: usize = size_of::<(Box<[u8]>, i64)>() + 16;

impl Counts {
    fn of(element: &DataType, distinct: bool) -> Result<Self> {
        let converter = RowConverter::new(vec![SortField::new(element.clone())])?;
        Ok(Self { element: element.clone(), distinct, converter, counts: BTreeMap::new(), bytes: 0 })
    }

    fn add(&mut self, values: &ArrayRef, counts: Option<&Int64Array>) -> Result<()> {
        let encoded = self.converter.convert_columns(std::slice::from_ref(values))?;
        for row in (0..values.len()).filter(|row| !values.is_null(*row)) {
            let count = counts.map_or(1, |counts| counts.value(row));
            let key = encoded.row(row);
            match self.counts.get_mut(key.as_ref()) {
                Some(there) => *there += count,
                None => {
                    self.bytes += key.as_ref().len() + ENTRY_BYTES;
                    self.counts.insert(key.as_ref().into(), count);
                }
            }
        }
        Ok(())
    }

    /// The values, in their order.
    fn values(&self) -> Result<ArrayRef> {
        let parser = self.converter.parser();
        let columns = self.converter.convert_rows(self.counts.keys().map(|key| parser.parse(key)))?;
        columns.into_iter().next().ok_or_else(|| exec_datafusion_err!("COLLECT: a value has no column"))
    }
}

impl Accumulator for Counts {
    fn update_batch(&mut self, columns: &[ArrayRef]) -> Result<()> {
        self.add(&columns[0], None)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let (values, counts) = (states[0].as_list::<i32>(), states[1].as_list::<i32>());
        for row in (0..values.len()).filter(|row| !values.is_null(*row)) {
            self.add(&values.value(row), Some(counts.value(row).as_primitive::<Int64Type>()))?;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let list = |items: ArrayRef| -> Result<ScalarValue> {
            let field = Arc::new(Field::new_list_field(items.data_type().clone(), true));
            let offsets = OffsetBuffer::from_lengths([items.len()]);
            Ok(ScalarValue::List(Arc::new(ListArray::try_new(field, offsets, items, None)?)))
        };
        let counts: Int64Array = self.counts.values().copied().collect();
        Ok(vec![list(self.values()?)?, list(Arc::new(counts))?])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let count = |count: &i64| if self.distinct { 1 } else { i32::try_from(*count).unwrap_or(i32::MAX) };
        let counts: Int32Array = self.counts.values().map(count).collect();
        let values: Vec<ArrayRef> = vec![self.values()?, Arc::new(counts)];
        let offsets = OffsetBuffer::from_lengths([self.counts.len()]);
        let made = StructArray::try_new(entries(&self.element), values, None)?;
        let field = Arc::new(Field::new("entries", made.data_type().clone(), false));
        Ok(ScalarValue::Map(Arc::new(MapArray::try_new(field, offsets, made, None, false)?)))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.converter.size() + self.bytes
    }
}
