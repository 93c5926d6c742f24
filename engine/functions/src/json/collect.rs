//! `JSON_ARRAYAGG` and `JSON_OBJECTAGG`: the values of a group as one array or object.
//!
//! As arguments: `json_arrayagg(json)` and `json_objectagg(key, json)`, each with an ORDER BY that ends with the value
//! (`parse/json_aggregates.rs` writes them so). Rows whose JSON is NULL are left out.
//!
//! Elements are in that order, and members in the order of their keys; of several values of one key the last in that order
//! counts. What is equal in it is ordered by its text. So the result is a function of the rows alone, in whatever order they
//! come, are merged or taken back.
//!
//! State: a list of structs, one for each row: what it is ordered by, in `arrow-row` encoding, its key, and its JSON.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, ListArray, StringArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use arrow::row::{RowConverter, SortField};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};

use super::build::write_text;

/// Both of them.
pub fn aggregate_functions() -> [AggregateUDF; 2] {
    [false, true].map(|of_members| AggregateUDF::new_from_impl(Collect::new(of_members)))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Collect {
    /// Whether an object is made, and not an array.
    of_members: bool,
    signature: Signature,
}

impl Collect {
    fn new(of_members: bool) -> Self {
        Self { of_members, signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for Collect {
    fn name(&self) -> &str {
        if self.of_members { "json_objectagg" } else { "json_arrayagg" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, args: &[DataType]) -> Result<Vec<DataType>> {
        let wanted = if self.of_members { 2 } else { 1 };
        if args.len() != wanted {
            return plan_err!("{} takes a value, JSON_OBJECTAGG a key before it", self.name());
        }
        Ok(vec![DataType::Utf8; wanted])
    }

    fn return_type(&self, _args: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    /// Rows are put in order when the result is read.
    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Beneficial
    }

    fn with_beneficial_ordering(
        self: Arc<Self>,
        _is_sorted: bool,
    ) -> Result<Option<Arc<dyn AggregateUDFImpl>>> {
        Ok(Some(self))
    }

    /// What there is without rows.
    fn default_value(&self, _kind: &DataType) -> Result<ScalarValue> {
        Ok(ScalarValue::from(if self.of_members { "{}" } else { "[]" }))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let name = format_state_name(args.name, "rows");
        Ok(vec![Arc::new(Field::new(name, DataType::List(entry_field()), true))])
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let orders = args
            .order_bys
            .iter()
            .map(|order| Ok(SortField::new_with_options(order.expr.data_type(args.schema)?, order.options)));
        let orders = orders.collect::<Result<Vec<_>>>()?;
        let order = if orders.is_empty() { None } else { Some(RowConverter::new(orders)?) };
        let (of_members, distinct) = (self.of_members, args.is_distinct);
        Ok(Box::new(Collected { of_members, distinct, order, entries: Vec::new(), bytes: 0 }))
    }
}

/// A row: in the order of its fields.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    order: Box<[u8]>,
    key: Option<Box<str>>,
    json: Box<str>,
}

impl Entry {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.order.len() + self.json.len() + self.key.as_ref().map_or(0, |key| key.len())
    }
}

/// The rows of a group.
#[derive(Debug)]
struct Collected {
    of_members: bool,
    distinct: bool,
    /// What rows are ordered by.
    order: Option<RowConverter>,
    entries: Vec<Entry>,
    bytes: usize,
}

impl Collected {
    fn add(&mut self, order: &[u8], key: Option<&str>, json: &str) {
        let entry = Entry { order: order.into(), key: key.map(Into::into), json: json.into() };
        self.bytes += entry.bytes();
        self.entries.push(entry);
    }

    fn sort(&mut self) {
        self.entries.sort_unstable();
    }

    fn array(&self) -> Vec<u8> {
        let mut out = vec![b'['];
        let mut before = None;
        for entry in &self.entries {
            // Equal values are beside each other: a distinct call has no order but theirs.
            if self.distinct && before == Some(entry) {
                continue;
            }
            if out.len() > 1 {
                out.push(b',');
            }
            out.extend(entry.json.as_bytes());
            before = Some(entry);
        }
        out.push(b']');
        out
    }

    fn object(&self) -> Result<Vec<u8>> {
        let members: BTreeMap<&str, &str> = self
            .entries
            .iter()
            .map(|entry| (entry.key.as_deref().unwrap_or_default(), &*entry.json))
            .collect();
        let mut out = vec![b'{'];
        for (key, json) in members {
            if out.len() > 1 {
                out.push(b',');
            }
            write_text(key, &mut out)?;
            out.push(b':');
            out.extend(json.as_bytes());
        }
        out.push(b'}');
        Ok(out)
    }
}

impl Accumulator for Collected {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let (args, orders) = values.split_at(if self.of_members { 2 } else { 1 });
        let json: &StringArray = args[args.len() - 1].as_string();
        let keys: Option<&StringArray> = self.of_members.then(|| args[0].as_string());
        let order = match &self.order {
            Some(order) => Some(order.convert_columns(orders)?),
            None => None,
        };
        for row in (0..json.len()).filter(|row| json.is_valid(*row)) {
            if keys.is_some_and(|keys| keys.is_null(row)) {
                return exec_err!(
                    "JSON_OBJECTAGG: a key is NULL; FILTER (WHERE key IS NOT NULL) leaves such rows out"
                );
            }
            let order = order.as_ref().map_or(&[][..], |rows| rows.row(row).data());
            self.add(order, keys.map(|keys| keys.value(row)), json.value(row));
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.sort();
        let out = if self.of_members { self.object()? } else { self.array() };
        match String::from_utf8(out) {
            Ok(text) => Ok(ScalarValue::from(text)),
            Err(error) => exec_err!("JSON that is no UTF-8: {error}"),
        }
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.bytes + self.order.as_ref().map_or(0, RowConverter::size)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.sort();
        let orders = BinaryArray::from_iter_values(self.entries.iter().map(|entry| &entry.order));
        let keys: StringArray = self.entries.iter().map(|entry| entry.key.as_deref()).collect();
        let json = StringArray::from_iter_values(self.entries.iter().map(|entry| &entry.json));
        let columns: Vec<ArrayRef> = vec![Arc::new(orders), Arc::new(keys), Arc::new(json)];
        let rows = StructArray::try_new(entry_fields(), columns, None)?;
        let lengths = OffsetBuffer::from_lengths([self.entries.len()]);
        let list = ListArray::try_new(entry_field(), lengths, Arc::new(rows), None)?;
        Ok(vec![ScalarValue::List(Arc::new(list))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for rows in states[0].as_list::<i32>().iter().flatten() {
            let rows = rows.as_struct();
            let (orders, keys) = (rows.column(0).as_binary::<i32>(), rows.column(1).as_string::<i32>());
            let json = rows.column(2).as_string::<i32>();
            for row in 0..rows.len() {
                let key = keys.is_valid(row).then(|| keys.value(row));
                self.add(orders.value(row), key, json.value(row));
            }
        }
        Ok(())
    }
}

fn entry_fields() -> Fields {
    Fields::from(vec![
        Field::new("order", DataType::Binary, false),
        Field::new("key", DataType::Utf8, true),
        Field::new("json", DataType::Utf8, false),
    ])
}

fn entry_field() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Struct(entry_fields()), false))
}
