//! `PRINTF(format, value, ...)`: as Java's Formatter writes values.
//!
//! `%[n$][flags][width][.precision]conversion`, where `n` is which value it is, `<` among the flags the one before. Conversions are `b`,
//! `s`, `c`, `d`, `x`, `o`, `f`, `e`, `g`, `n` and `%`; in capitals (`B`, `S`, `C`, `X`, `E`, `G`) they give capitals.
//! NULL is written as `null`.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int64Type};
use datafusion::common::{Result, exec_datafusion_err, exec_err, plan_err};
use datafusion::logical_expr::ScalarUDF;
use regex::Regex;

use super::as_text::number;
use super::computed::Computed;
use super::digits::{Digits, grouped};
use crate::types::sql_type;

pub(super) fn functions() -> Vec<ScalarUDF> {
    let printf = Computed {
        name: "printf",
        coerce: |types| match types {
            [_, values @ ..] => {
                let values = values.iter().map(taken_as);
                std::iter::once(Ok(DataType::Utf8)).chain(values).collect()
            }
            [] => plan_err!("PRINTF takes a format, such as '%s: %d', and values"),
        },
        returns: |_| DataType::Utf8,
        call: printf,
    };
    vec![printf.function()]
}

fn taken_as(kind: &DataType) -> Result<DataType> {
    Ok(match kind {
        DataType::Boolean | DataType::Float32 | DataType::Float64 => kind.clone(),
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => kind.clone(),
        _ if kind.is_integer() => DataType::Int64,
        DataType::Null | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        // As in Flink only `%s` writes it.
        DataType::Decimal128(..) | DataType::Decimal256(..) => DataType::Utf8,
        _ => {
            return plan_err!(
                "PRINTF writes texts, numbers and booleans, not {}; CAST it AS STRING",
                sql_type(kind)
            );
        }
    })
}

/// A value that is written.
#[derive(Clone)]
enum Value {
    Null,
    Text(String),
    Truth(bool),
    /// With how many bits it has.
    Whole(i64, u32),
    /// With how it is written as text.
    Real(f64, String),
}

/// A column of values.
enum Values<'a> {
    Texts(&'a StringArray),
    Others(Vec<Value>),
}

impl<'a> Values<'a> {
    fn of(column: &'a ArrayRef) -> Result<Self> {
        let or_null = |value: Option<Value>| value.unwrap_or(Value::Null);
        let bits = column.data_type().primitive_width().unwrap_or(8) as u32 * 8;
        Ok(Self::Others(match column.data_type() {
            DataType::Utf8 => return Ok(Self::Texts(column.as_string())),
            DataType::Boolean => {
                column.as_boolean().iter().map(|truth| or_null(truth.map(Value::Truth))).collect()
            }
            DataType::Float32 => {
                let text =
                    |x: f32| Value::Real(x.into(), number(x.into(), &format!("{x:e}"), &x.to_string()));
                column.as_primitive::<Float32Type>().iter().map(|x| or_null(x.map(text))).collect()
            }
            DataType::Float64 => {
                let text = |x: f64| Value::Real(x, number(x, &format!("{x:e}"), &x.to_string()));
                column.as_primitive::<Float64Type>().iter().map(|x| or_null(x.map(text))).collect()
            }
            _ => {
                let numbers = cast(column, &DataType::Int64)?;
                let numbers = numbers.as_primitive::<Int64Type>().iter();
                numbers.map(|n| or_null(n.map(|n| Value::Whole(n, bits)))).collect()
            }
        }))
    }

    fn get(&self, row: usize) -> Value {
        match self {
            Self::Texts(texts) if texts.is_null(row) => Value::Null,
            Self::Texts(texts) => Value::Text(texts.value(row).to_owned()),
            Self::Others(values) => values[row].clone(),
        }
    }
}

fn printf(args: &[ArrayRef]) -> Result<ArrayRef> {
    let formats = args[0].as_string::<i32>();
    let values = args[1..].iter().map(Values::of).collect::<Result<Vec<_>>>()?;
    let mut known: Option<(&str, Vec<Piece>)> = None;
    let mut row = 0;
    let written = formats.iter().map(|format| {
        let nth = row;
        row += 1;
        let Some(format) = format else { return Ok(None) };
        // It is mostly the same in all rows.
        let pieces = match known.take() {
            Some((of, pieces)) if of == format => pieces,
            _ => pieces_of(format)?,
        };
        let text = write(&pieces, |column| values.get(column).map(|values| values.get(nth)));
        known = Some((format, pieces));
        text.map(Some)
    });
    Ok(Arc::new(written.collect::<Result<StringArray>>()?))
}

/// A part of a format.
enum Piece {
    Text(String),
    Value(Spec),
}

/// Which value is meant.
#[derive(Clone, Copy, PartialEq)]
enum Which {
    Next,
    Former,
    Nth(usize),
}

/// How a value is written.
struct Spec {
    which: Which,
    flags: String,
    width: usize,
    precision: Option<usize>,
    conversion: char,
    capitals: bool,
    /// As it is written in the format.
    shown: String,
}

fn pieces_of(format: &str) -> Result<Vec<Piece>> {
    static SPEC: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"^%(\d+\$)?([-#+ 0,(<]*)(\d+)?(\.\d+)?([a-zA-Z%])").ok());
    let wrong = || exec_datafusion_err!("PRINTF: a % of the format '{format}' is followed by no conversion");
    let mut pieces = Vec::new();
    let mut rest = format;
    while let Some(start) = rest.find('%') {
        if start > 0 {
            pieces.push(Piece::Text(rest[..start].to_owned()));
        }
        rest = &rest[start..];
        let found = SPEC.as_ref().and_then(|spec| spec.captures(rest)).ok_or_else(wrong)?;
        let shown = &found[0];
        let count = |nth: usize| {
            let digits = found.get(nth).map(|digits| digits.as_str().trim_matches(['$', '.']));
            digits.map(|digits| digits.parse::<u16>().map(usize::from)).transpose()
        };
        let (Ok(nth), Ok(width), Ok(precision)) = (count(1), count(3), count(4)) else {
            return exec_err!("PRINTF: a number in '{shown}' is too large");
        };
        let conversion = found[5].chars().next().ok_or_else(wrong)?;
        let flags = found[2].to_owned();
        let spec = Spec {
            which: match nth {
                _ if flags.contains('<') => Which::Former,
                Some(nth) => Which::Nth(nth),
                None => Which::Next,
            },
            width: width.unwrap_or(0),
            precision,
            capitals: "BSCXEG".contains(conversion),
            conversion: if conversion == 'N' { conversion } else { conversion.to_ascii_lowercase() },
            flags,
            shown: shown.to_owned(),
        };
        spec.check(conversion)?;
        pieces.push(Piece::Value(spec));
        rest = &rest[shown.len()..];
    }
    pieces.push(Piece::Text(rest.to_owned()));
    Ok(pieces)
}

fn write(pieces: &[Piece], value: impl Fn(usize) -> Option<Value>) -> Result<String> {
    let mut out = String::new();
    let (mut next, mut former) = (0, None);
    for piece in pieces {
        let spec = match piece {
            Piece::Text(text) => {
                out.push_str(text);
                continue;
            }
            Piece::Value(spec) if spec.conversion == 'n' => {
                out.push('\n');
                continue;
            }
            Piece::Value(spec) if spec.conversion == '%' => {
                out.push_str(&spec.padded("%".to_owned()));
                continue;
            }
            Piece::Value(spec) => spec,
        };
        let column = match spec.which {
            Which::Next => {
                next += 1;
                Some(next - 1)
            }
            Which::Former => former,
            Which::Nth(nth) => nth.checked_sub(1),
        };
        let Some(value) = column.and_then(&value) else {
            return exec_err!("PRINTF: there is no value for '{}'", spec.shown);
        };
        former = column;
        out.push_str(&spec.write(&value)?);
    }
    Ok(out)
}

impl Spec {
    fn has(&self, flag: char) -> bool {
        self.flags.contains(flag)
    }

    /// What Java's refuses, and what is not there.
    fn check(&self, written: char) -> Result<()> {
        let flags = match self.conversion {
            'b' | 's' | 'c' | '%' => "-<",
            'd' => "-+ 0,(<",
            'x' | 'o' => "-#0<",
            'f' => "-#+ 0,(<",
            'e' => "-#+ 0(<",
            'g' => "-+ 0,(<",
            _ => "",
        };
        let has_precision = self.precision.is_some();
        let is_known = "bBsScCdxXoeEfgGn%".contains(written);
        let is_wrong = !is_known
            || self.flags.chars().any(|flag| !flags.contains(flag))
            || self.flags.chars().enumerate().any(|(nth, flag)| self.flags[nth + 1..].contains(flag))
            || self.has('-') && self.has('0')
            || self.has('+') && self.has(' ')
            || (self.has('-') || self.has('0')) && self.width == 0
            || has_precision && "cdxon%".contains(self.conversion)
            || self.conversion == 'n' && self.width > 0;
        match is_wrong {
            true => exec_err!("PRINTF: '{}' is no conversion with such flags", self.shown),
            false => Ok(()),
        }
    }

    fn write(&self, value: &Value) -> Result<String> {
        let text = match (self.conversion, value) {
            ('b', Value::Null) => self.cut("false"),
            ('b', Value::Truth(truth)) => self.cut(&truth.to_string()),
            ('b', _) => self.cut("true"),
            ('s', Value::Text(text)) => self.cut(text),
            ('s', Value::Truth(truth)) => self.cut(&truth.to_string()),
            ('s', Value::Whole(n, _)) => self.cut(&n.to_string()),
            ('s', Value::Real(_, text)) => self.cut(text),
            ('c' | 'd' | 'x' | 'o', Value::Null) => "null".to_owned(),
            // Of NULL only as many letters as the precision says.
            (_, Value::Null) => self.cut("null"),
            ('c', Value::Whole(n, _)) => match u32::try_from(*n).ok().and_then(char::from_u32) {
                Some(c) => c.to_string(),
                None => return exec_err!("PRINTF: {n} is no character for '{}'", self.shown),
            },
            ('d', Value::Whole(n, _)) => {
                let digits = n.unsigned_abs().to_string();
                let digits = if self.has(',') { grouped(&digits) } else { digits };
                return Ok(self.signed(*n < 0, digits));
            }
            ('x', Value::Whole(n, bits)) => {
                return Ok(self.unsigned("0x", format!("{:x}", masked(*n, *bits))));
            }
            ('o', Value::Whole(n, bits)) => {
                return Ok(self.unsigned("0", format!("{:o}", masked(*n, *bits))));
            }
            ('e' | 'f' | 'g', Value::Real(x, _)) => return Ok(self.real(*x)),
            _ => return exec_err!("PRINTF: '{}' does not write a value of this type", self.shown),
        };
        Ok(self.padded(text))
    }

    fn cut(&self, text: &str) -> String {
        text.chars().take(self.precision.unwrap_or(usize::MAX)).collect()
    }

    /// In capitals if that is said, and as wide as it is to be.
    fn padded(&self, text: String) -> String {
        let text = if self.capitals { text.to_uppercase() } else { text };
        let blanks = " ".repeat(self.width.saturating_sub(text.chars().count()));
        if self.has('-') { text + &blanks } else { blanks + &text }
    }

    fn unsigned(&self, prefix: &str, digits: String) -> String {
        let prefix = if self.has('#') { prefix } else { "" };
        self.filled(prefix, digits, "")
    }

    fn signed(&self, is_negative: bool, digits: String) -> String {
        let (sign, end) = self.sign(is_negative);
        self.filled(sign, digits, end)
    }

    /// What stands before a number, and behind it.
    fn sign(&self, is_negative: bool) -> (&'static str, &'static str) {
        match is_negative {
            true if self.has('(') => ("(", ")"),
            true => ("-", ""),
            false if self.has('+') => ("+", ""),
            false if self.has(' ') => (" ", ""),
            false => ("", ""),
        }
    }

    /// With zeros behind the sign, if they are to fill it up.
    fn filled(&self, sign: &str, digits: String, end: &str) -> String {
        let length = sign.len() + digits.len() + end.len();
        let zeros = if self.has('0') { self.width.saturating_sub(length) } else { 0 };
        self.padded(format!("{sign}{}{digits}{end}", "0".repeat(zeros)))
    }

    fn real(&self, x: f64) -> String {
        if x.is_nan() {
            return self.padded("NaN".to_owned());
        }
        let is_negative = x.is_sign_negative();
        if x.is_infinite() {
            let (sign, end) = self.sign(is_negative);
            return self.padded(format!("{sign}Infinity{end}"));
        }
        let digits = Digits::of(x);
        let text = match (self.conversion, self.precision) {
            ('f', precision) => digits.plain(precision.unwrap_or(6), self.has(',')),
            ('e', precision) => digits.scientific(precision.unwrap_or(6)),
            (_, precision) => digits.general(precision.unwrap_or(6).max(1), self.has(',')),
        };
        let has_point = text.contains('.');
        let text = match self.has('#') && !has_point {
            true if self.conversion == 'e' => text.replacen('e', ".e", 1),
            true => text + ".",
            false => text,
        };
        self.signed(is_negative, text)
    }
}

/// The bits of a number, of which it has so many.
fn masked(n: i64, bits: u32) -> u64 {
    n as u64 & (u64::MAX >> (64 - bits))
}
