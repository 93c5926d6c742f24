//! `SPLIT_INDEX(text, separator, n)`, whose separator may be the number of a letter, and `REGEXP_EXTRACT(text, regex [, n])`: parts of a
//! text.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, StringArray, StringBuilder};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use regex::Regex;

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct SplitIndex {
    signature: Signature,
}

impl SplitIndex {
    pub(super) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for SplitIndex {
    fn name(&self) -> &str {
        "split_index"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// A number is that of the letter which separates.
    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let [_, separator, _] = types else {
            return plan_err!("SPLIT_INDEX takes a text, a separator, and a number");
        };
        let separator = if separator.is_integer() { DataType::Int64 } else { DataType::Utf8 };
        Ok(vec![DataType::Utf8, separator, DataType::Int64])
    }

    fn return_type(&self, _args: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [text, separator, n] = args.args.as_slice() else { return exec_err!("split_index takes three") };
        let numbers = Numbers::of(n)?;
        if separator.data_type() == DataType::Int64 {
            let letters = Numbers::of(separator)?;
            return each_text(text, args.number_rows, |row, text| {
                let letter = u8::try_from(letters.get(row)?).ok().filter(|letter| *letter > 0)?;
                let n = usize::try_from(numbers.get(row)?).ok()?;
                if text.is_empty() { None } else { text.split(char::from(letter)).nth(n) }
            });
        }
        let separators = Texts::of(separator)?;
        each_text(text, args.number_rows, |row, text| {
            part(text, separators.get(row)?, usize::try_from(numbers.get(row)?).ok()?)
        })
    }
}

/// The `n`th part of a text. Without a separator there is one part, and of nothing there are none.
fn part<'a>(text: &'a str, separator: &str, n: usize) -> Option<&'a str> {
    match separator.as_bytes() {
        _ if text.is_empty() => None,
        [] => (n == 0).then_some(text),
        [one] => text.split(char::from(*one)).nth(n),
        _ => text.split(separator).nth(n),
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct RegexpExtract {
    signature: Signature,
}

impl RegexpExtract {
    pub(super) fn new() -> Self {
        let types = [
            TypeSignature::Exact(vec![DataType::Utf8, DataType::Utf8]),
            TypeSignature::Exact(vec![DataType::Utf8, DataType::Utf8, DataType::Int64]),
        ];
        Self { signature: Signature::one_of(types.to_vec(), Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for RegexpExtract {
    fn name(&self) -> &str {
        "regexp_extract"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    /// Refuses an expression that is wrong before any row comes.
    fn simplify(&self, args: Vec<Expr>, _info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        if let Some(Expr::Literal(ScalarValue::Utf8(Some(regex)), _)) = args.get(1)
            && let Err(error) = Regex::new(regex)
        {
            return plan_err!("regexp_extract: {error}");
        }
        Ok(ExprSimplifyResult::Original(args))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (Some(text), Some(regex)) = (args.args.first(), args.args.get(1)) else {
            return exec_err!("regexp_extract takes a text and an expression");
        };
        let regexes = Texts::of(regex)?;
        let numbers = args.args.get(2).map_or(Ok(Numbers::One(Some(0))), Numbers::of)?;
        let mut compiled: Option<(String, Regex, regex::CaptureLocations)> = None;
        let mut failed = None;
        let found = each_text(text, args.number_rows, |row, text| {
            let (regex, n) = (regexes.get(row)?, usize::try_from(numbers.get(row)?).ok()?);
            if compiled.as_ref().is_none_or(|(known, ..)| known != regex) {
                match Regex::new(regex) {
                    Ok(new) => {
                        let groups = new.capture_locations();
                        compiled = Some((regex.to_owned(), new, groups));
                    }
                    Err(error) => {
                        failed = Some(error);
                        return None;
                    }
                }
            }
            let (_, regex, groups) = compiled.as_mut()?;
            if n == 0 {
                return regex.find(text).map(|found| found.as_str());
            }
            regex.captures_read(groups, text)?;
            groups.get(n).map(|(from, to)| &text[from..to])
        })?;
        match failed {
            Some(error) => exec_err!("regexp_extract: {error}"),
            None => Ok(found),
        }
    }
}

/// Calls `part` with each text that is not NULL; NULL is the part of one that is.
fn each_text(
    texts: &ColumnarValue,
    rows: usize,
    mut part: impl for<'a> FnMut(usize, &'a str) -> Option<&'a str>,
) -> Result<ColumnarValue> {
    let is_scalar = matches!(texts, ColumnarValue::Scalar(_)) && rows == 1;
    let texts = texts.to_array(rows)?;
    let texts = texts.as_string::<i32>();
    let mut parts = StringBuilder::with_capacity(texts.len(), texts.value_data().len() / 4);
    for (row, text) in texts.iter().enumerate() {
        parts.append_option(text.and_then(|text| part(row, text)));
    }
    let parts = parts.finish();
    Ok(match is_scalar {
        true => {
            ColumnarValue::Scalar(ScalarValue::Utf8(parts.is_valid(0).then(|| parts.value(0).to_owned())))
        }
        false => ColumnarValue::Array(Arc::new(parts)),
    })
}

/// A text for each row, or one for all.
enum Texts<'a> {
    One(Option<&'a str>),
    Each(&'a StringArray),
}

impl<'a> Texts<'a> {
    fn of(value: &'a ColumnarValue) -> Result<Self> {
        match value {
            ColumnarValue::Scalar(ScalarValue::Utf8(text)) => Ok(Self::One(text.as_deref())),
            ColumnarValue::Array(texts) => Ok(Self::Each(texts.as_string())),
            ColumnarValue::Scalar(other) => exec_err!("{other} is no text"),
        }
    }

    fn get(&self, row: usize) -> Option<&'a str> {
        match self {
            Self::One(text) => *text,
            Self::Each(texts) => texts.is_valid(row).then(|| texts.value(row)),
        }
    }
}

/// A number for each row, or one for all.
enum Numbers<'a> {
    One(Option<i64>),
    Each(&'a Int64Array),
}

impl<'a> Numbers<'a> {
    fn of(value: &'a ColumnarValue) -> Result<Self> {
        match value {
            ColumnarValue::Scalar(ScalarValue::Int64(number)) => Ok(Self::One(*number)),
            ColumnarValue::Array(numbers) => Ok(Self::Each(numbers.as_primitive::<Int64Type>())),
            ColumnarValue::Scalar(other) => exec_err!("{other} is no number"),
        }
    }

    fn get(&self, row: usize) -> Option<i64> {
        match self {
            Self::One(number) => *number,
            Self::Each(numbers) => numbers.is_valid(row).then(|| numbers.value(row)),
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Field;
    use datafusion::config::ConfigOptions;

    use super::*;

    fn call(function: &dyn ScalarUDFImpl, args: Vec<ColumnarValue>, rows: usize) -> Vec<Option<String>> {
        let arg_fields = args.iter().map(|arg| Arc::new(Field::new("a", arg.data_type(), true))).collect();
        let args = ScalarFunctionArgs {
            args,
            arg_fields,
            number_rows: rows,
            return_field: Arc::new(Field::new("r", DataType::Utf8, true)),
            config_options: Arc::new(ConfigOptions::default()),
        };
        let parts = function.invoke_with_args(args).unwrap().to_array(rows).unwrap();
        parts.as_string::<i32>().iter().map(|part| part.map(str::to_owned)).collect()
    }

    fn texts(texts: &[Option<&str>]) -> ColumnarValue {
        ColumnarValue::Array(Arc::new(StringArray::from(texts.to_vec())))
    }

    fn text(text: &str) -> ColumnarValue {
        ColumnarValue::Scalar(ScalarValue::from(text))
    }

    fn number(number: i64) -> ColumnarValue {
        ColumnarValue::Scalar(ScalarValue::Int64(Some(number)))
    }

    #[test]
    fn parts_are_counted_from_zero() {
        let split = |text: &str, separator: &str, n| part(text, separator, n).map(str::to_owned);
        assert_eq!(split("a/b//c", "/", 0).as_deref(), Some("a"));
        assert_eq!(split("a/b//c", "/", 2).as_deref(), Some(""));
        assert_eq!(split("a/b//c", "/", 3).as_deref(), Some("c"));
        assert_eq!(split("a/b//c", "/", 4), None);
        assert_eq!(split("aäbäc", "ä", 2).as_deref(), Some("c"));
        assert_eq!(split("a, b, c", ", ", 1).as_deref(), Some("b"));
        assert_eq!((split("abc", "", 0).as_deref(), split("abc", "", 1)), (Some("abc"), None));
        assert_eq!(split("", "/", 0), None);
        let many = || texts(&[Some("a/b"), None, Some("c")]);
        let one = call(&SplitIndex::new(), vec![many(), text("/"), number(1)], 3);
        assert_eq!(one, [Some("b".into()), None, None]);
        let numbers = ColumnarValue::Array(Arc::new(Int64Array::from(vec![Some(0), Some(0), Some(-1)])));
        let separators = texts(&[Some("b"), Some("/"), Some("/")]);
        let each = call(&SplitIndex::new(), vec![many(), separators, numbers], 3);
        assert_eq!(each, [Some("a/".into()), None, None]);
        assert_eq!(call(&SplitIndex::new(), vec![text("a/b"), text("/"), number(0)], 1), [Some("a".into())]);
    }

    #[test]
    fn groups_are_those_of_the_first_match() {
        let extract = |args: Vec<ColumnarValue>, rows| call(&RegexpExtract::new(), args, rows);
        let many = || texts(&[Some("rack-7/fan-2"), None, Some("fan"), Some("fan-3")]);
        let regex = || text(r"(rack-(\d)/)?fan-(\d)");
        let of = |n| extract(vec![many(), regex(), number(n)], 4);
        let found = |parts: [Option<&str>; 4]| parts.map(|part| part.map(str::to_owned));
        assert_eq!(of(0), found([Some("rack-7/fan-2"), None, None, Some("fan-3")]));
        assert_eq!(of(3), found([Some("2"), None, None, Some("3")]));
        // A group that took no part in the match is NULL, and those behind it keep their numbers.
        assert_eq!(of(2), found([Some("7"), None, None, None]));
        assert_eq!((of(4), of(-1)), (vec![None; 4], vec![None; 4]));
        assert_eq!(extract(vec![many(), regex()], 4), of(0));
        let regexes = texts(&[Some("k."), Some("x"), Some("a"), None]);
        assert_eq!(extract(vec![many(), regexes], 4), found([Some("k-"), None, Some("a"), None]));
    }
}
