//! Functions of Flink's over lists.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, ListArray, UInt32Array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{self, take};
use arrow::datatypes::DataType;
use datafusion::common::{ScalarValue, plan_err};
use datafusion::functions::expr_fn::coalesce;
use datafusion::functions_nested::expr_fn::{
    array_has, array_position, array_prepend, array_remove_all, array_slice, array_sort, cardinality,
};
use datafusion::functions_nested::sort::array_sort_udf;
use datafusion::logical_expr::{Expr, ScalarUDF, Signature, Volatility, cast, lit, when};

use super::super::expanded::{Expanded, ExpandedByType};
use super::arguments;
use super::computed::Computed;
use super::rows::plain;

pub(super) fn functions() -> Vec<ScalarUDF> {
    let signature = || Signature::array_and_element(Volatility::Immutable);
    let all = [
        // What is not there is at 0.
        Expanded {
            name: "array_position",
            signature: signature(),
            returns: |_| DataType::Int32,
            expand: |args| {
                let [list, element] = arguments(args)?;
                let place = array_position(list.clone(), element.clone(), lit(1_i64));
                let place = coalesce(vec![cast(place, DataType::Int32), lit(0_i32)]);
                when(list.is_not_null().and(element.is_not_null()), place).end()
            },
        },
        // All of them, not only the first; NULL stands for those that are NULL.
        Expanded {
            name: "array_remove",
            signature: signature(),
            returns: |arguments| arguments[0].clone(),
            expand: |args| {
                let [list, element] = arguments(args)?;
                let without = array_remove_all(list.clone(), element.clone());
                match &element {
                    Expr::Literal(value, _) if !value.is_null() => Ok(without),
                    Expr::Literal(..) => Ok(WITHOUT_NULLS.call(vec![list])),
                    _ => when(element.is_not_null(), without).otherwise(WITHOUT_NULLS.call(vec![list])),
                }
            },
        },
        // NULL is there if an element is NULL.
        Expanded {
            name: "array_contains",
            signature: signature(),
            returns: |_| DataType::Boolean,
            expand: |args| {
                let [list, element] = arguments(args)?;
                // DataFusion says NULL where it is not found among elements of which one is.
                let has = coalesce(vec![array_has(list.clone(), element.clone()), lit(false)]);
                let has = when(list.clone().is_not_null(), has).end()?;
                let has_null = HAS_NULLS.call(vec![list]);
                match &element {
                    Expr::Literal(value, _) if !value.is_null() => Ok(has),
                    Expr::Literal(..) => Ok(has_null),
                    _ => when(element.is_not_null(), has).otherwise(has_null),
                }
            },
        },
    ];
    all.into_iter().map(Expanded::function).chain(by_type()).collect()
}

/// The elements that are not NULL.
static WITHOUT_NULLS: LazyLock<ScalarUDF> = LazyLock::new(|| {
    let without = Computed {
        name: "$without_nulls",
        coerce: |types| Ok(types.to_vec()),
        returns: |types| types[0].clone(),
        call: |args| {
            let kind = args[0].data_type();
            let lists = plain(&args[0])?;
            let (field, offsets, items, nulls) = lists.as_list::<i32>().clone().into_parts();
            let kept = |row: usize| {
                let places = offsets[row] as usize..offsets[row + 1] as usize;
                places.filter(|place| items.is_valid(*place)).map(|place| place as u32)
            };
            let rows = offsets.len() - 1;
            let places: UInt32Array = (0..rows).flat_map(kept).collect::<Vec<_>>().into();
            let lengths = OffsetBuffer::from_lengths((0..rows).map(|row| kept(row).count()));
            let made = ListArray::try_new(field, lengths, take(&items, &places, None)?, nulls)?;
            Ok(compute::cast(&made, kind)?)
        },
    };
    without.function()
});

/// Whether an element is NULL.
static HAS_NULLS: LazyLock<ScalarUDF> = LazyLock::new(|| {
    let has = Computed {
        name: "$has_nulls",
        coerce: |types| Ok(types.to_vec()),
        returns: |_| DataType::Boolean,
        call: |args| {
            let lists = plain(&args[0])?;
            let has = |list: Option<ArrayRef>| list.map(|list| list.logical_null_count() > 0);
            Ok(Arc::new(lists.as_list::<i32>().iter().map(has).collect::<BooleanArray>()))
        },
    };
    has.function()
});

fn item_of(list: &DataType) -> Option<DataType> {
    match list {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            Some(item.data_type().clone())
        }
        _ => None,
    }
}

/// Those that DataFusion has with other arguments, which are taken, too.
fn by_type() -> [ScalarUDF; 3] {
    let any = || Signature::variadic_any(Volatility::Immutable);
    [
        // Whether it ascends, and whether NULLs come first; they do where it ascends unless something else is said.
        ExpandedByType {
            name: "array_sort",
            signature: any(),
            returns: |types| types[0].clone(),
            expand: |args, types| {
                let mut args = args.into_iter();
                let list = args.next().unwrap_or_else(|| lit(ScalarValue::Null));
                let [ascends, first] = [args.next(), args.next()];
                let Some(DataType::Boolean) = types.get(1) else {
                    let args = [Some(list), ascends, first].into_iter().flatten();
                    return Ok(array_sort_udf().call(args.collect()));
                };
                let said = |truth: Option<Expr>| match truth {
                    Some(Expr::Literal(ScalarValue::Boolean(Some(truth)), _)) => Ok(Some(truth)),
                    None => Ok(None),
                    Some(_) => plan_err!("the order of ARRAY_SORT is TRUE or FALSE"),
                };
                let ascends = said(ascends)?.unwrap_or(true);
                let first = said(first)?.unwrap_or(ascends);
                let order = if ascends { "ASC" } else { "DESC" };
                let nulls = if first { "NULLS FIRST" } else { "NULLS LAST" };
                Ok(array_sort(list, lit(order), lit(nulls)))
            },
        }
        .function(),
        // The list comes first; as in PostgreSQL the element may.
        ExpandedByType {
            name: "array_prepend",
            signature: Signature::any(2, Volatility::Immutable),
            returns: |types| match (item_of(&types[0]), item_of(&types[1])) {
                (_, Some(item)) if item == types[0] => types[1].clone(),
                (Some(_), _) => types[0].clone(),
                _ => types[1].clone(),
            },
            expand: |args, types| {
                let [first, second] = arguments(args)?;
                match (item_of(&types[0]), item_of(&types[1])) {
                    (_, Some(item)) if item == types[0] => Ok(array_prepend(first, second)),
                    (Some(item), _) => Ok(array_prepend(cast(second, item), first)),
                    (None, Some(item)) => Ok(array_prepend(cast(first, item), second)),
                    _ => plan_err!("ARRAY_PREPEND takes a list and an element"),
                }
            },
        }
        .function(),
        // To its end, unless something else is said.
        ExpandedByType {
            name: "array_slice",
            signature: any(),
            returns: |types| types[0].clone(),
            expand: |args, _| {
                let number = |arg: Expr| cast(arg, DataType::Int64);
                let mut args = args.into_iter();
                let (Some(list), Some(from)) = (args.next(), args.next()) else {
                    return plan_err!("ARRAY_SLICE takes a list and a place");
                };
                let to = args.next().map_or_else(|| number(cardinality(list.clone())), number);
                Ok(array_slice(list, number(from), to, args.next().map(number)))
            },
        }
        .function(),
    ]
}
