//! Functions of Flink's over texts.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, StringArray};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{Result, plan_err};
use datafusion::functions::expr_fn::{
    character_length, concat, encode, left, lpad, regexp_like, regexp_match, regexp_replace, right, rpad,
    sha224, sha256, sha384, sha512, strpos, substr, substring,
};
use datafusion::functions_nested::expr_fn::{array_element, make_array, string_to_array};
use datafusion::logical_expr::{
    BinaryExpr, Expr, Operator, ScalarUDF, Signature, Volatility, cast, lit, when,
};
use datafusion::scalar::ScalarValue;
use sha1::{Digest, Sha1};

use super::super::expanded::Expanded;
use super::computed::Computed;
use super::{any_of, arguments, to_text};
use crate::types::sql_type;

pub(super) fn functions() -> Vec<ScalarUDF> {
    let expanded =
        parts().into_iter().chain(pieces()).chain(patterns()).chain(hashes()).map(Expanded::function);
    expanded.chain(computed().into_iter().map(Computed::function)).collect()
}

fn text() -> DataType {
    DataType::Utf8
}

fn parts() -> Vec<Expanded> {
    vec![
        Expanded {
            name: "split",
            signature: any_of([vec![text(), text()]]),
            returns: |_| DataType::new_list(DataType::Utf8, true),
            expand: |args| {
                let [text, separator] = arguments(args)?;
                parts_of(text, separator)
            },
        },
        // NULL as soon as an argument is.
        Expanded {
            name: "concat",
            signature: Signature::variadic_any(Volatility::Immutable),
            returns: to_text,
            expand: |args| {
                let texts = args.into_iter().map(|arg| cast(arg, DataType::Utf8));
                let both = |a: Expr, b: Expr| {
                    Expr::BinaryExpr(BinaryExpr::new(Box::new(a), Operator::StringConcat, Box::new(b)))
                };
                Ok(texts.reduce(both).unwrap_or_else(|| lit("")))
            },
        },
        Expanded {
            name: "locate",
            signature: any_of([vec![text(), text()], vec![text(), text(), DataType::Int64]]),
            returns: |_| DataType::Int32,
            expand: |mut args| {
                let from = if args.len() > 2 { Some(args.remove(2)) } else { None };
                let [sought, text] = arguments(args)?;
                let Some(from) = from else { return Ok(cast(strpos(text, sought), DataType::Int32)) };
                let place = cast(strpos(substr(text, from.clone()), sought), DataType::Int64);
                let mut there = when(place.clone().gt(lit(0_i64)), place + from - lit(1_i64));
                Ok(cast(there.otherwise(lit(0_i64))?, DataType::Int32))
            },
        },
        Expanded {
            name: "elt",
            signature: Signature::variadic_any(Volatility::Immutable),
            returns: to_text,
            expand: |mut args| {
                if args.len() < 2 {
                    return plan_err!("ELT takes a number, and texts of which it chooses one");
                }
                let n = cast(args.remove(0), DataType::Int64);
                let mut texts = (1_i64..).zip(args);
                let (first, text) = texts.next().expect("there is one");
                let mut choice = when(n.clone().eq(lit(first)), cast(text, DataType::Utf8));
                for (nth, text) in texts {
                    choice = choice.when(n.clone().eq(lit(nth)), cast(text, DataType::Utf8));
                }
                choice.end()
            },
        },
    ]
}

/// The parts of nothing are one that is empty.
fn parts_of(text: Expr, separator: Expr) -> Result<Expr> {
    let parts = string_to_array(text.clone(), separator, lit(ScalarValue::Utf8(None)));
    when(text.eq(lit("")), make_array(vec![lit("")])).otherwise(parts)
}

/// Parts of a text by places below zero, which count from its end, as in Flink.
fn pieces() -> Vec<Expanded> {
    let number = || DataType::Int64;
    let substr_of = Expanded {
        name: "substr",
        signature: any_of([vec![text(), number()], vec![text(), number(), number()]]),
        returns: to_text,
        expand: |mut args| {
            let count = if args.len() > 2 { Some(args.remove(2)) } else { None };
            let [text, from] = arguments(args)?;
            let part = |from: Expr| match count.clone() {
                Some(count) => substring(text.clone(), from, count),
                None => substr(text.clone(), from),
            };
            let part = match &from {
                Expr::Literal(ScalarValue::Int64(Some(1..)), _) => part(from),
                _ => {
                    // From the end, and nothing if it is not so long; 0 is the first as well.
                    let length = cast(character_length(text.clone()), DataType::Int64);
                    let back = from.clone() + length + lit(1_i64);
                    when(from.clone().gt(lit(0_i64)), part(from.clone()))
                        .when(from.clone().eq(lit(0_i64)), part(lit(1_i64)))
                        .when(back.clone().gt(lit(0_i64)), part(back.clone()))
                        .when(back.lt_eq(lit(0_i64)), lit(""))
                        .end()?
                }
            };
            match count {
                None | Some(Expr::Literal(ScalarValue::Int64(Some(0..)), _)) => Ok(part),
                Some(count) => when(count.gt_eq(lit(0_i64)), part).end(),
            }
        },
    };
    let end = |name, expand| Expanded {
        name,
        signature: any_of([vec![text(), number()]]),
        returns: to_text,
        expand,
    };
    let pad = |name, expand| Expanded {
        name,
        signature: any_of([vec![text(), number()], vec![text(), number(), text()]]),
        returns: to_text,
        expand,
    };
    vec![
        substr_of,
        end("left", |args| end_of(args, left)),
        end("right", |args| end_of(args, right)),
        pad("lpad", |args| padded(args, lpad)),
        pad("rpad", |args| padded(args, rpad)),
    ]
}

/// A text filled up by another; NULL if that is empty, or a length below zero is asked for.
fn padded(args: Vec<Expr>, pad: fn(Vec<Expr>) -> Expr) -> Result<Expr> {
    let [_, length, by] = args.as_slice() else { return Ok(pad(args)) };
    let is_long_enough = matches!(length, Expr::Literal(ScalarValue::Int64(Some(0..)), _));
    let is_there = matches!(by, Expr::Literal(ScalarValue::Utf8(Some(by)), _) if !by.is_empty());
    if is_long_enough && is_there {
        return Ok(pad(args));
    }
    when(length.clone().gt_eq(lit(0_i64)).and(by.clone().not_eq(lit(""))), pad(args.clone())).end()
}

/// So many characters of a text, and none if that is below zero.
fn end_of(args: Vec<Expr>, end: fn(Expr, Expr) -> Expr) -> Result<Expr> {
    let [text, count] = arguments(args)?;
    match &count {
        Expr::Literal(ScalarValue::Int64(Some(0..)), _) => Ok(end(text, count)),
        _ => when(count.clone().lt(lit(0_i64)), lit("")).otherwise(end(text, count)),
    }
}

fn patterns() -> Vec<Expanded> {
    vec![
        Expanded {
            name: "regexp_substr",
            signature: any_of([vec![text(), text()]]),
            returns: to_text,
            expand: |args| group(args, lit(0_i64)),
        },
        Expanded {
            name: "regexp",
            signature: any_of([vec![text(), text()]]),
            returns: |_| DataType::Boolean,
            expand: |args| {
                let [text, regex] = arguments(args)?;
                Ok(regexp_like(text, regex, None))
            },
        },
        // Without flags every match, as in Java.
        Expanded {
            name: "regexp_replace",
            signature: any_of([vec![text(); 3], vec![text(); 4]]),
            returns: to_text,
            expand: |mut args| {
                let flags = if args.len() > 3 { args.remove(3) } else { lit("g") };
                let [text, regex, by] = arguments(args)?;
                Ok(regexp_replace(text, regex, by, Some(flags)))
            },
        },
    ]
}

/// What the `n`th group of the first match matched.
fn group(args: Vec<Expr>, n: Expr) -> Result<Expr> {
    let [text, regex] = arguments(args)?;
    // A group around the whole shifts the others by one, and arrays are counted from one.
    let whole = concat(vec![lit("("), regex, lit(")")]);
    Ok(array_element(regexp_match(text, whole, None), n + lit(1_i64)))
}

fn hashes() -> Vec<Expanded> {
    let hash = |name, expand| Expanded { name, signature: any_of([vec![text()]]), returns: to_text, expand };
    vec![
        hash("sha224", |args| Ok(as_hex(sha224(only(args)?)))),
        hash("sha256", |args| Ok(as_hex(sha256(only(args)?)))),
        hash("sha384", |args| Ok(as_hex(sha384(only(args)?)))),
        hash("sha512", |args| Ok(as_hex(sha512(only(args)?)))),
        Expanded {
            name: "sha2",
            signature: any_of([vec![text(), DataType::Int64]]),
            returns: to_text,
            expand: |args| {
                let [text, bits] = arguments(args)?;
                when(bits.clone().eq(lit(224_i64)), as_hex(sha224(text.clone())))
                    .when(bits.clone().eq(lit(256_i64)), as_hex(sha256(text.clone())))
                    .when(bits.clone().eq(lit(384_i64)), as_hex(sha384(text.clone())))
                    .when(bits.eq(lit(512_i64)), as_hex(sha512(text)))
                    .end()
            },
        },
    ]
}

fn only(args: Vec<Expr>) -> Result<Expr> {
    arguments(args).map(|[one]| one)
}

fn as_hex(hash: Expr) -> Expr {
    encode(hash, lit("hex"))
}

/// Whether a text consists of such characters; an empty one and NULL do not.
fn consists(name: &'static str, call: fn(&[ArrayRef]) -> Result<ArrayRef>) -> Computed {
    Computed {
        name,
        coerce: |types| match types {
            [_] => Ok(vec![DataType::Utf8]),
            _ => plan_err!("a text is expected"),
        },
        returns: |_| DataType::Boolean,
        call,
    }
}

fn computed() -> Vec<Computed> {
    fn all(args: &[ArrayRef], is_one: fn(&str) -> bool) -> Result<ArrayRef> {
        let texts = args[0].as_string::<i32>().iter();
        Ok(Arc::new(texts.map(|text| Some(text.is_some_and(is_one))).collect::<BooleanArray>()))
    }
    vec![
        Computed {
            name: "sha1",
            coerce: |types| match types {
                [_] => Ok(vec![DataType::Utf8]),
                _ => plan_err!("SHA1 takes a text"),
            },
            returns: |_| DataType::Utf8,
            call: |args| {
                let hash = |text: &str| {
                    Sha1::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect::<String>()
                };
                let texts = args[0].as_string::<i32>().iter().map(|text| text.map(hash));
                Ok(Arc::new(texts.collect::<StringArray>()))
            },
        },
        consists("is_alpha", |args| {
            all(args, |text| !text.is_empty() && text.chars().all(char::is_alphabetic))
        }),
        consists("is_digit", |args| {
            all(args, |text| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit()))
        }),
        consists("is_decimal", |args| all(args, |text| text.trim().parse::<f64>().is_ok_and(f64::is_finite))),
        // Of a larger number the last byte.
        Computed {
            name: "chr",
            coerce: |types| match types {
                [kind] if kind.is_integer() || kind.is_null() => Ok(vec![DataType::Int64]),
                _ => plan_err!("CHR takes a whole number"),
            },
            returns: |_| DataType::Utf8,
            call: |args| {
                let letter = |n: i64| match n {
                    ..0 => String::new(),
                    _ => char::from((n & 0xFF) as u8).to_string(),
                };
                let numbers = args[0].as_primitive::<Int64Type>().iter();
                Ok(Arc::new(numbers.map(|n| n.map(letter)).collect::<StringArray>()))
            },
        },
        Computed {
            name: "typeof",
            coerce: |types| Ok(types.to_vec()),
            returns: |_| DataType::Utf8,
            call: |args| {
                let kind = sql_type(args[0].data_type());
                Ok(Arc::new(StringArray::from(vec![kind; args[0].len()])))
            },
        },
    ]
}
