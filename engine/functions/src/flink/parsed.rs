//! Times read from texts, by a pattern of Java's or as they are usually written. What is not like that is NULL.
//!
//! `TO_TIMESTAMP` and `TO_DATE` of anything else, and by a pattern of strftime's, are DataFusion's own.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, Date32Array, Int64Array, TimestampMillisecondArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use chrono::format::{Item, Parsed, StrftimeItems, parse};
use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, plan_err};
use datafusion::functions::datetime::{to_date, to_timestamp};
use datafusion::functions::utils::make_scalar_function;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::computed::Computed;
use super::pattern::strftime;

pub(super) fn functions() -> Vec<ScalarUDF> {
    let unix_timestamp = Computed {
        name: "unix_timestamp",
        coerce: |types| match types.len() {
            1 | 2 => Ok(vec![DataType::Utf8; types.len()]),
            _ => plan_err!("UNIX_TIMESTAMP takes a text, and a pattern such as 'yyyy-MM-dd HH:mm:ss'"),
        },
        returns: |_| DataType::Int64,
        call: |args| {
            let pattern = match args.get(1) {
                Some(patterns) => the_pattern(patterns),
                None => "yyyy-MM-dd HH:mm:ss",
            };
            let times = times(&args[0], pattern)?;
            Ok(Arc::new(times.map(|time| Some(time?.and_utc().timestamp())).collect::<Int64Array>()))
        },
    };
    let to_date = ByPattern {
        own: to_date(),
        returns: DataType::Date32,
        call: |args| {
            let Some(patterns) = args.get(1) else { return usual(&args[0], &DataType::Date32) };
            let times = times(&args[0], the_pattern(patterns))?;
            let day =
                |time: NaiveDateTime| time.signed_duration_since(NaiveDateTime::default()).num_days() as i32;
            let days = times.map(|time| Some(day(time?.date().into())));
            Ok(Arc::new(days.collect::<Date32Array>()))
        },
    };
    vec![unix_timestamp.function(), TO_TIMESTAMP.clone(), ScalarUDF::new_from_impl(to_date)]
}

const MILLIS: DataType = DataType::Timestamp(TimeUnit::Millisecond, None);

/// `TO_TIMESTAMP`.
pub(super) static TO_TIMESTAMP: LazyLock<ScalarUDF> = LazyLock::new(|| {
    ScalarUDF::new_from_impl(ByPattern {
        own: to_timestamp(&ConfigOptions::default()),
        returns: MILLIS,
        call: |args| {
            let Some(patterns) = args.get(1) else { return usual(&args[0], &MILLIS) };
            let times = times(&args[0], the_pattern(patterns))?;
            let millis = times.map(|time| Some(time?.and_utc().timestamp_millis()));
            Ok(Arc::new(millis.collect::<TimestampMillisecondArray>()))
        },
    })
});

/// Texts as times of a type; what is none is NULL.
fn usual(texts: &ArrayRef, kind: &DataType) -> Result<ArrayRef> {
    let options = CastOptions { safe: true, ..CastOptions::default() };
    Ok(cast_with_options(texts, kind, &options)?)
}

/// A function of DataFusion's, but for a text, by itself or with a pattern of Java's.
#[derive(Debug)]
struct ByPattern {
    own: Arc<ScalarUDF>,
    returns: DataType,
    call: fn(&[ArrayRef]) -> Result<ArrayRef>,
}

impl PartialEq for ByPattern {
    fn eq(&self, other: &Self) -> bool {
        self.own == other.own
    }
}

impl Eq for ByPattern {}

impl Hash for ByPattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.own.hash(state);
    }
}

impl ByPattern {
    /// Whether the arguments are a text, and such a pattern if there is another. Those of strftime have a percent sign.
    fn is_meant(types: &[&DataType], second: Option<&ScalarValue>) -> bool {
        let is_text =
            matches!(types.first(), Some(DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View));
        is_text && types.len() == 1
            || is_text
                && types.len() == 2
                && second
                    .and_then(|pattern| pattern.try_as_str().flatten())
                    .is_some_and(|text| !text.contains('%'))
    }
}

impl ScalarUDFImpl for ByPattern {
    fn name(&self) -> &str {
        self.own.name()
    }

    fn signature(&self) -> &Signature {
        const SIGNATURE: &Signature = &Signature {
            type_signature: datafusion::logical_expr::TypeSignature::VariadicAny,
            volatility: Volatility::Immutable,
            parameter_names: None,
        };
        SIGNATURE
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.own.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types: Vec<&DataType> = args.arg_fields.iter().map(|field| field.data_type()).collect();
        match Self::is_meant(&types, args.scalar_arguments.get(1).copied().flatten()) {
            true => Ok(Arc::new(Field::new(self.name(), self.returns.clone(), true))),
            false => self.own.return_field_from_args(args),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let types: Vec<DataType> = args.args.iter().map(ColumnarValue::data_type).collect();
        let pattern = match args.args.get(1) {
            Some(ColumnarValue::Scalar(pattern)) => Some(pattern),
            _ => None,
        };
        if *args.return_field.data_type() != self.returns
            || !Self::is_meant(&types.iter().collect::<Vec<_>>(), pattern)
        {
            return self.own.invoke_with_args(args);
        }
        let texts = args.args.iter().map(|text| text.cast_to(&DataType::Utf8, None));
        make_scalar_function(self.call, Vec::new())(&texts.collect::<Result<Vec<_>>>()?)
    }
}

/// The pattern, which is the same in all rows.
pub(super) fn the_pattern(patterns: &ArrayRef) -> &str {
    let patterns = patterns.as_string::<i32>();
    if patterns.is_empty() || patterns.is_null(0) { "" } else { patterns.value(0) }
}

/// The times of texts. What a pattern leaves out is the first there is: the first of January 1970, midnight.
pub(super) fn times<'t>(
    texts: &'t ArrayRef,
    pattern: &str,
) -> Result<impl Iterator<Item = Option<NaiveDateTime>> + 't> {
    let pattern = strftime(pattern)?;
    let items = StrftimeItems::new(&pattern).parse_to_owned();
    let items: Vec<Item<'static>> =
        items.map_err(|error| exec_datafusion_err!("the pattern '{pattern}' cannot be read by: {error}"))?;
    Ok(texts.as_string::<i32>().iter().map(move |text| time(text?, &items)))
}

fn time(text: &str, items: &[Item<'_>]) -> Option<NaiveDateTime> {
    let mut parsed = Parsed::new();
    parse(&mut parsed, text, items.iter()).ok()?;
    let date = parsed.to_naive_date().ok().or_else(|| {
        let (year, month) = (parsed.year().unwrap_or(1970), parsed.month().unwrap_or(1));
        NaiveDate::from_ymd_opt(year, month, parsed.day().unwrap_or(1))
    })?;
    let time = match (parsed.hour_div_12(), parsed.hour_mod_12(), parsed.minute()) {
        (None, None, None) => NaiveTime::MIN,
        (Some(half), Some(hour), None) => NaiveTime::from_hms_opt(half * 12 + hour, 0, 0)?,
        _ => parsed.to_naive_time().ok()?,
    };
    Some(date.and_time(time))
}
