//! `ROW(a, b)`, and casts of rows, lists and maps.
//!
//! A row becomes one of another type by the places of its fields, whatever these are called. As text a row is `(1, a)`, a list `[1, NULL]`
//! and a map `{a=1}`, with values as casts to text write them.
//!
//! Casts of texts to whole numbers are here, too, as there may be such in a row: `1.9` is 1.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, ListArray, MapArray, StringArray, StringBuilder, StructArray, new_null_array,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::functions::utils::make_scalar_function;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::as_text::{is_written, written};
use super::computed::Computed;

pub(super) fn functions() -> Vec<ScalarUDF> {
    let row = Computed {
        name: "row",
        coerce: |types| match types {
            [] => plan_err!("ROW takes the values of a row"),
            types => Ok(types.to_vec()),
        },
        returns: row_of,
        call: |values| {
            let kinds: Vec<DataType> = values.iter().map(|values| values.data_type().clone()).collect();
            let DataType::Struct(fields) = row_of(&kinds) else { return exec_err!("ROW makes a row") };
            Ok(Arc::new(StructArray::try_new(fields, values.to_vec(), None)?))
        },
    };
    vec![row.function()]
}

/// A row whose fields are `f0`, `f1`, ...
fn row_of(kinds: &[DataType]) -> DataType {
    let field = |(nth, kind): (usize, &DataType)| Field::new(format!("f{nth}"), kind.clone(), true);
    DataType::Struct(kinds.iter().enumerate().map(field).collect())
}

/// Whether a cast between these is one of ours: of rows, lists and maps, and of texts to whole numbers.
pub(super) fn is_ours(from: &DataType, to: &DataType) -> bool {
    let is_nested = |kind: &DataType| {
        matches!(kind, DataType::Struct(_) | DataType::Map(..) | DataType::List(_) | DataType::LargeList(_))
            || matches!(kind, DataType::FixedSizeList(..))
    };
    let is_text_of = is_nested(from) && *to == DataType::Utf8;
    is_text_of
        || is_nested(from) && is_nested(to) && from != to
        || matches!(to, DataType::Struct(_) | DataType::Map(..)) && from != to
        || *from == DataType::Utf8 && to.is_signed_integer()
}

/// Whether values of one type can be cast to another, as far as rows in them have as many fields.
pub fn fits(from: &DataType, to: &DataType) -> bool {
    use DataType::{FixedSizeList, LargeList, List, Map, Struct};
    match (from, to) {
        (Struct(from), Struct(to)) => {
            from.len() == to.len()
                && from.iter().zip(to).all(|(from, to)| fits(from.data_type(), to.data_type()))
        }
        (List(from) | LargeList(from) | FixedSizeList(from, _), List(to)) => {
            fits(from.data_type(), to.data_type())
        }
        (Map(from, _), Map(to, _)) => fits(from.data_type(), to.data_type()),
        (Struct(_) | List(_) | LargeList(_) | FixedSizeList(..) | Map(..), kind) => *kind == DataType::Utf8,
        (from, to) => from.is_null() || arrow::compute::can_cast_types(from, to),
    }
}

/// The cast to a type, as a function; if it `may_fail`, what cannot be cast is NULL.
pub fn cast_as(to: &DataType, may_fail: bool) -> ScalarUDF {
    ScalarUDF::new_from_impl(Cast {
        to: to.clone(),
        may_fail,
        signature: Signature::any(1, Volatility::Immutable),
    })
}

/// What casts are called of which DataFusion has none.
pub const CAST: &str = "$cast";

#[derive(Debug, PartialEq, Eq, Hash)]
struct Cast {
    to: DataType,
    may_fail: bool,
    signature: Signature,
}

impl ScalarUDFImpl for Cast {
    fn name(&self) -> &str {
        CAST
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(self.to.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let call = |values: &[ArrayRef]| cast(&values[0], &self.to, self.may_fail);
        make_scalar_function(call, Vec::new())(&args.args)
    }
}

/// The values as those of another type.
fn cast(values: &ArrayRef, to: &DataType, may_fail: bool) -> Result<ArrayRef> {
    use DataType::{FixedSizeList, LargeList, List, Map, Struct, Utf8};
    match (values.data_type(), to) {
        (from, to) if from == to => Ok(Arc::clone(values)),
        (DataType::Null, to) => Ok(new_null_array(to, values.len())),
        (Struct(_), Struct(fields)) => {
            let rows = values.as_struct();
            if rows.num_columns() != fields.len() {
                return exec_err!("a row of {} fields is none of {}", rows.num_columns(), fields.len());
            }
            let columns = rows.columns().iter().zip(fields);
            let columns = columns.map(|(column, field)| cast(column, field.data_type(), may_fail));
            let columns = columns.collect::<Result<Vec<_>>>()?;
            Ok(Arc::new(StructArray::try_new(fields.clone(), columns, rows.nulls().cloned())?))
        }
        (List(_) | LargeList(_) | FixedSizeList(..), List(item)) => {
            let lists = plain(values)?;
            let (_, offsets, items, nulls) = lists.as_list::<i32>().clone().into_parts();
            let items = cast(&items, item.data_type(), may_fail)?;
            Ok(Arc::new(ListArray::try_new(Arc::clone(item), offsets, items, nulls)?))
        }
        (Map(..), Map(entries, sorted)) => {
            let (_, offsets, from, nulls, _) = values.as_map().clone().into_parts();
            let from: ArrayRef = Arc::new(from);
            let made = cast(&from, entries.data_type(), may_fail)?.as_struct().clone();
            Ok(Arc::new(MapArray::try_new(Arc::clone(entries), offsets, made, nulls, *sorted)?))
        }
        (Struct(_) | List(_) | LargeList(_) | FixedSizeList(..) | Map(..), Utf8) => {
            Ok(Arc::new(texts(values)?))
        }
        (from, Utf8) if is_written(from) => written(values),
        (Utf8, to) if to.is_signed_integer() => whole_numbers(values, to, may_fail),
        (_, to) => {
            let options = CastOptions { safe: may_fail, ..CastOptions::default() };
            Ok(cast_with_options(values, to, &options)?)
        }
    }
}

/// Texts as whole numbers: spaces around them do not count, nor digits behind a point.
fn whole_numbers(texts: &ArrayRef, to: &DataType, may_fail: bool) -> Result<ArrayRef> {
    let safe = CastOptions { safe: true, ..CastOptions::default() };
    let plain = cast_with_options(texts, to, &safe)?;
    if plain.null_count() == texts.null_count() {
        return Ok(plain);
    }
    let whole: StringArray = texts.as_string::<i32>().iter().map(|text| text.map(whole_part)).collect();
    Ok(cast_with_options(&whole, to, &CastOptions { safe: may_fail, ..safe })?)
}

/// `-1` of ` -1.9 `; a text that is no such number as it is.
fn whole_part(text: &str) -> &str {
    let text = text.trim_matches(' ');
    match text.split_once('.') {
        Some((whole, behind)) if behind.bytes().all(|digit| digit.is_ascii_digit()) => match whole {
            "" | "-" | "+" if !behind.is_empty() => "0",
            whole => whole,
        },
        _ => text,
    }
}

/// Lists with offsets of 32 bits.
pub(super) fn plain(values: &ArrayRef) -> Result<ArrayRef> {
    Ok(match values.data_type() {
        DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            cast_with_options(values, &DataType::List(Arc::clone(item)), &CastOptions::default())?
        }
        _ => Arc::clone(values),
    })
}

/// What rows, lists and maps are as text.
fn texts(values: &ArrayRef) -> Result<StringArray> {
    let of = |part: &ArrayRef| cast(part, &DataType::Utf8, false);
    match values.data_type() {
        DataType::Struct(_) => {
            let columns = values.as_struct().columns().iter().map(of).collect::<Result<Vec<_>>>()?;
            Ok(each(values, ['(', ')'], |row, out| {
                let fields = columns.iter().map(|column| shown(column.as_string(), row));
                out.push_str(&fields.collect::<Vec<_>>().join(", "));
            }))
        }
        DataType::Map(..) => {
            let maps = values.as_map();
            let (keys, items) = (of(maps.keys())?, of(maps.values())?);
            let (keys, items) = (keys.as_string::<i32>(), items.as_string::<i32>());
            let offsets = maps.value_offsets();
            Ok(each(values, ['{', '}'], |row, out| {
                let entries = offsets[row] as usize..offsets[row + 1] as usize;
                let entries = entries.map(|place| format!("{}={}", shown(keys, place), shown(items, place)));
                out.push_str(&entries.collect::<Vec<_>>().join(", "));
            }))
        }
        _ => {
            let lists = plain(values)?;
            let lists = lists.as_list::<i32>();
            let items = of(lists.values())?;
            let (items, offsets) = (items.as_string::<i32>(), lists.value_offsets());
            Ok(each(values, ['[', ']'], |row, out| {
                let places = offsets[row] as usize..offsets[row + 1] as usize;
                out.push_str(&places.map(|place| shown(items, place)).collect::<Vec<_>>().join(", "));
            }))
        }
    }
}

/// A text between brackets for each value that is not NULL.
fn each(values: &ArrayRef, brackets: [char; 2], mut write: impl FnMut(usize, &mut String)) -> StringArray {
    let mut out = StringBuilder::with_capacity(values.len(), values.len() * 16);
    let mut text = String::new();
    for row in 0..values.len() {
        if values.is_null(row) {
            out.append_null();
            continue;
        }
        text.clear();
        text.push(brackets[0]);
        write(row, &mut text);
        text.push(brackets[1]);
        out.append_value(&text);
    }
    out.finish()
}

fn shown(texts: &StringArray, row: usize) -> &str {
    if texts.is_null(row) { "NULL" } else { texts.value(row) }
}
