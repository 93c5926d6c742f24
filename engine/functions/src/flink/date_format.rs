//! `DATE_FORMAT(time, pattern)`: a time as text.
//!
//! Times of a stream come nearly in order, and most patterns end with the day or the minute: so the text is made anew only when the
//! part of the time that shows in it is another one than before.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use chrono::DateTime;
use chrono::format::{Item, StrftimeItems};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use headwater_core::time::nanos_per;

use super::pattern::strftime;
use super::timestamps;

const NAME: &str = "date_format";

const NO_LITERAL: &str = "the pattern of date_format is a text in quotes, such as 'yyyy-MM-dd'";

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct DateFormat {
    signature: Signature,
}

impl DateFormat {
    pub(super) fn new() -> Self {
        let each = timestamps().map(|time| TypeSignature::Exact(vec![time, DataType::Utf8]));
        Self { signature: Signature::one_of(each.collect(), Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for DateFormat {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _args: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    /// Refuses a pattern that is not known before any row comes.
    fn simplify(&self, args: Vec<Expr>, _info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        match args.get(1) {
            Some(Expr::Literal(ScalarValue::Utf8(Some(pattern)), _)) => {
                Pattern::of(pattern)?;
                Ok(ExprSimplifyResult::Original(args))
            }
            _ => plan_err!("{NO_LITERAL}"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [times, ColumnarValue::Scalar(ScalarValue::Utf8(Some(pattern)))] = args.args.as_slice() else {
            return exec_err!("{NO_LITERAL}");
        };
        let pattern = Pattern::of(pattern)?;
        match times {
            ColumnarValue::Array(times) => Ok(ColumnarValue::Array(Arc::new(pattern.format(times)?))),
            ColumnarValue::Scalar(time) => {
                let text = pattern.format(&time.to_array()?)?;
                let text = text.is_valid(0).then(|| text.value(0).to_owned());
                Ok(ColumnarValue::Scalar(ScalarValue::Utf8(text)))
            }
        }
    }
}

/// What a time is written by.
struct Pattern {
    items: Vec<Item<'static>>,
    /// Times that differ by less than this, from a multiple of it on, have the same text; in nanoseconds.
    grain: i64,
}

impl Pattern {
    /// A pattern of Java's.
    fn of(pattern: &str) -> Result<Self> {
        let text = strftime(pattern)?;
        let Ok(items) = StrftimeItems::new(&text).parse_to_owned() else {
            return plan_err!("date_format does not know the pattern \"{pattern}\"");
        };
        let has = |fields: &[&str]| fields.iter().any(|field| text.contains(field));
        let second = nanos_per(TimeUnit::Second);
        let grain = if has(&["%6f", "%9f"]) {
            1
        } else if has(&["%3f"]) {
            nanos_per(TimeUnit::Millisecond)
        } else if has(&["%S", "%-S"]) {
            second
        } else if has(&["%M", "%-M"]) {
            60 * second
        } else if has(&["%H", "%-H", "%I", "%-I", "%p"]) {
            3600 * second
        } else {
            86_400 * second
        };
        Ok(Self { items, grain })
    }

    fn format(&self, times: &ArrayRef) -> Result<StringArray> {
        let DataType::Timestamp(unit, _) = times.data_type() else {
            return exec_err!("date_format takes a timestamp, not {}", times.data_type());
        };
        let per_second = nanos_per(TimeUnit::Second) / nanos_per(*unit);
        let grain = (self.grain / nanos_per(*unit)).max(1);
        let values = cast(times, &DataType::Int64)?;
        let values = values.as_primitive::<Int64Type>();
        let mut texts = StringBuilder::with_capacity(values.len(), values.len() * 16);
        let (mut last, mut text) = (None, String::new());
        for time in values {
            let Some(time) = time else {
                texts.append_null();
                continue;
            };
            let now = Some(time.div_euclid(grain));
            if now != last {
                let nanos = time.rem_euclid(per_second) * nanos_per(*unit);
                let Some(date) = DateTime::from_timestamp(time.div_euclid(per_second), nanos as u32) else {
                    return exec_err!("date_format: the time {time} {unit:?} is out of range");
                };
                text = date.format_with_items(self.items.iter()).to_string();
                last = now;
            }
            texts.append_value(&text);
        }
        Ok(texts.finish())
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{TimestampMillisecondArray, TimestampSecondArray};

    use super::*;

    fn texts(pattern: &str, times: &ArrayRef) -> Vec<Option<String>> {
        let texts = Pattern::of(pattern).unwrap().format(times).unwrap();
        texts.iter().map(|text| text.map(str::to_owned)).collect()
    }

    #[test]
    fn texts_are_made_of_each_time_whatever_the_one_before_was() {
        let day = 86_400_000;
        let times = [Some(0), Some(59_999), Some(60_000), None, Some(-1), Some(0), Some(day - 1), Some(day)];
        let column: ArrayRef = Arc::new(TimestampMillisecondArray::from(times.to_vec()));
        for pattern in [
            "yyyy-MM-dd",
            "HH:mm",
            "hh a",
            "yyyy-MM-dd HH:mm:ss",
            "ss.SSS",
            "'at' HH 'o''clock'",
            "DDD E MMM yy",
            "d MMMM, H:mm",
            "h",
        ] {
            let parsed = Pattern::of(pattern).unwrap();
            let each = |time: &Option<i64>| {
                let date = DateTime::from_timestamp_millis((*time)?).unwrap();
                Some(date.format_with_items(parsed.items.iter()).to_string())
            };
            let expected: Vec<_> = times.iter().map(each).collect();
            assert_eq!(texts(pattern, &column), expected, "{pattern}");
        }
        let seconds: ArrayRef =
            Arc::new(TimestampSecondArray::from(vec![Some(1_772_359_207), None]).with_timezone("UTC"));
        assert_eq!(texts("yyyy-MM-dd HH:mm:ss", &seconds), [Some("2026-03-01 10:00:07".into()), None]);
        let far: ArrayRef = Arc::new(TimestampSecondArray::from(vec![i64::MAX]));
        let error = Pattern::of("yyyy").unwrap().format(&far).unwrap_err();
        assert!(error.to_string().contains("out of range"), "{error}");
    }
}
