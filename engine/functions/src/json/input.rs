//! What the functions over paths have in common: their arguments, and what is done where a path leads nowhere.

use std::fmt::Display;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs};

use super::find::find;
use super::path::Path;

/// Texts and a path into each of them.
pub(super) struct Input {
    pub texts: ArrayRef,
    pub path: Path,
}

impl Input {
    /// The first two arguments.
    pub(super) fn of(args: &ScalarFunctionArgs) -> Result<Self> {
        let texts = args.args[0].to_array(args.number_rows)?;
        Ok(Self { texts, path: Path::parse(&constant(&args.args, 1)?)? })
    }

    /// What the path leads to in a row; `None` where the text is NULL.
    pub(super) fn found(&self, row: usize) -> Option<Found<'_>> {
        let texts: &StringArray = self.texts.as_string();
        if texts.is_null(row) {
            return None;
        }
        let text = texts.value(row);
        Some(match find(text, &self.path.steps) {
            Err(error) => Found::Wrong(format!("{} is no JSON: {error}", excerpt(text))),
            Ok(found) if found.is_empty() && self.path.strict && !self.reaches_filter(text) => {
                Found::Wrong(format!("the path leads nowhere in {}", excerpt(text)))
            }
            Ok(found) => Found::Values(found),
        })
    }
}

impl Input {
    /// Whether there is something for a filter of the path to test.
    fn reaches_filter(&self, text: &str) -> bool {
        let before = self.path.before_filter();
        before.len() < self.path.steps.len() && find(text, before).is_ok_and(|found| !found.is_empty())
    }
}

/// What a path leads to.
pub(super) enum Found<'t> {
    /// These, maybe none.
    Values(Vec<&'t str>),
    /// There is an error; what it is.
    Wrong(String),
}

/// What is given where there is nothing, or an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Otherwise {
    Null,
    Error,
    /// Another argument's value.
    Default,
    EmptyArray,
    EmptyObject,
}

impl Otherwise {
    /// The argument that says so, as `parse/json.rs` writes it.
    pub(super) fn of(args: &[ColumnarValue], nth: usize) -> Result<Self> {
        Ok(match constant(args, nth)?.as_str() {
            "null" => Self::Null,
            "error" => Self::Error,
            "default" => Self::Default,
            "empty array" => Self::EmptyArray,
            "empty object" => Self::EmptyObject,
            other => return exec_err!("'{other}' is not known"),
        })
    }
}

/// The text of an argument that is the same for all rows.
pub(super) fn constant(args: &[ColumnarValue], nth: usize) -> Result<String> {
    match args.get(nth) {
        Some(ColumnarValue::Scalar(ScalarValue::Utf8(Some(text)))) => Ok(text.clone()),
        _ => plan_err!("the path of a JSON function is a text in quotes, such as '$.a.b'"),
    }
}

/// Tells a mistake in a path when a query is planned, not when it runs.
pub(super) fn check_path(args: &ReturnFieldArgs<'_>) -> Result<()> {
    match args.scalar_arguments.get(1) {
        Some(Some(ScalarValue::Utf8(Some(path)) | ScalarValue::Utf8View(Some(path)))) => {
            Path::parse(path).map(drop)
        }
        _ => plan_err!("the path of a JSON function is a text in quotes, such as '$.a.b'"),
    }
}

/// The types of arguments: text, except for those at some places, which all have one type.
pub(super) fn texts_except(args: &[DataType], places: &[usize], kind: &DataType) -> Vec<DataType> {
    let of = |nth| if places.contains(&nth) { kind.clone() } else { DataType::Utf8 };
    (0..args.len()).map(of).collect()
}

/// The error that a function's clause asked for.
pub(super) fn asked_for(function: &str, what: impl Display) -> DataFusionError {
    DataFusionError::Execution(format!("{function}: {what}"))
}

/// The beginning of a text, in quotes.
fn excerpt(text: &str) -> String {
    const SHOWN: usize = 60;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("'{}...'", &text[..end]),
        None => format!("'{text}'"),
    }
}
