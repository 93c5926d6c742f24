//! Columns as values that a driver sends.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Float32Array, Float64Array, Int64Array, StringArray,
    Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, Date32Type, Float32Type, Float64Type, Int64Type, Time64MicrosecondType, TimeUnit,
    TimestampMicrosecondType,
};
use arrow::temporal_conversions::{as_date, as_datetime, as_time};
use headwater_ingest::json_cells;
use sqlx::types::chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};

use crate::kind::Kind;

/// The values of one column.
pub(crate) enum Cells {
    Bool(Vec<Option<bool>>),
    Int(Vec<Option<i64>>),
    Float(Vec<Option<f32>>),
    Double(Vec<Option<f64>>),
    /// Text, and what is written as such: decimals, large integers, JSON.
    Text(Vec<Option<String>>),
    Bytes(Vec<Option<Vec<u8>>>),
    Date(Vec<Option<NaiveDate>>),
    Time(Vec<Option<NaiveTime>>),
    Moment(Vec<Option<NaiveDateTime>>),
    Instant(Vec<Option<DateTime<Utc>>>),
}

impl Cells {
    /// The values of a column of this kind. The error says what cannot be sent.
    pub(crate) fn of(column: &ArrayRef, kind: Kind) -> Result<Self, String> {
        let to = |target: &DataType| exactly(column, target);
        Ok(match kind {
            Kind::Bool => Self::Bool(to(&DataType::Boolean)?.as_boolean().iter().collect()),
            Kind::Unsigned(64) | Kind::Decimal(..) | Kind::Text => {
                Self::Text(to(&DataType::LargeUtf8)?.as_string::<i64>().iter().map(own).collect())
            }
            Kind::Int(_) | Kind::Unsigned(_) => {
                Self::Int(to(&DataType::Int64)?.as_primitive::<Int64Type>().iter().collect())
            }
            Kind::Float => {
                Self::Float(to(&DataType::Float32)?.as_primitive::<Float32Type>().iter().collect())
            }
            Kind::Double => {
                Self::Double(to(&DataType::Float64)?.as_primitive::<Float64Type>().iter().collect())
            }
            Kind::Bytes => {
                let bytes = to(&DataType::LargeBinary)?;
                Self::Bytes(bytes.as_binary::<i64>().iter().map(|cell| cell.map(<[u8]>::to_vec)).collect())
            }
            Kind::Date => {
                let days = to(&DataType::Date32)?;
                let day = |days: i32| as_date::<Date32Type>(i64::from(days));
                Self::Date(each(days.as_primitive::<Date32Type>().iter(), day)?)
            }
            Kind::Time => {
                let times = to(&DataType::Time64(TimeUnit::Microsecond))?;
                let time = as_time::<Time64MicrosecondType>;
                Self::Time(each(times.as_primitive::<Time64MicrosecondType>().iter(), time)?)
            }
            Kind::Moment(_) => Self::Moment(moments(column)?),
            Kind::Instant(_) => {
                let utc = |time: Option<NaiveDateTime>| time.map(|time| time.and_utc());
                Self::Instant(moments(column)?.into_iter().map(utc).collect())
            }
            Kind::Json => {
                let text = |cell: Option<Vec<u8>>| cell.map(String::from_utf8).transpose();
                let cells = json_cells(column).map_err(|error| error.to_string())?.into_iter().map(text);
                Self::Text(cells.collect::<Result<_, _>>().map_err(|error| error.to_string())?)
            }
        })
    }
}

impl Cells {
    /// As a column of some type; what does not fit is an error.
    pub(crate) fn into_column(self, kind: &DataType) -> Result<ArrayRef, String> {
        let micros = |time: NaiveDateTime| time.and_utc().timestamp_micros();
        let zone = match kind {
            DataType::Timestamp(_, zone) => zone.clone(),
            _ => None,
        };
        let moments = |cells: Vec<Option<i64>>| -> ArrayRef {
            Arc::new(TimestampMicrosecondArray::from(cells).with_timezone_opt(zone.clone()))
        };
        let column: ArrayRef = match self {
            Self::Bool(cells) => Arc::new(BooleanArray::from(cells)),
            Self::Int(cells) => Arc::new(Int64Array::from(cells)),
            Self::Float(cells) => Arc::new(Float32Array::from(cells)),
            Self::Double(cells) => Arc::new(Float64Array::from(cells)),
            Self::Text(cells) => Arc::new(StringArray::from(cells)),
            Self::Bytes(cells) => Arc::new(cells.into_iter().collect::<BinaryArray>()),
            Self::Date(cells) => {
                let days = |day: NaiveDate| (day - NaiveDate::default()).num_days();
                let days = cells.into_iter().map(|day| day.map(days)).collect::<Int64Array>();
                exactly(&(Arc::new(days) as ArrayRef), &DataType::Int32)
                    .and_then(|days| exactly(&days, &DataType::Date32))?
            }
            Self::Time(cells) => {
                let micros = |time: NaiveTime| (time - NaiveTime::MIN).num_microseconds();
                let micros = cells.into_iter().map(|time| time.and_then(micros));
                Arc::new(micros.collect::<Time64MicrosecondArray>())
            }
            Self::Moment(cells) => moments(cells.into_iter().map(|time| time.map(micros)).collect()),
            Self::Instant(cells) => {
                moments(cells.into_iter().map(|time| time.map(|time| time.timestamp_micros())).collect())
            }
        };
        exactly(&column, kind)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Bool(cells) => cells.len(),
            Self::Int(cells) => cells.len(),
            Self::Float(cells) => cells.len(),
            Self::Double(cells) => cells.len(),
            Self::Text(cells) => cells.len(),
            Self::Bytes(cells) => cells.len(),
            Self::Date(cells) => cells.len(),
            Self::Time(cells) => cells.len(),
            Self::Moment(cells) => cells.len(),
            Self::Instant(cells) => cells.len(),
        }
    }

    /// About how many bytes one takes on its way.
    pub(crate) fn bytes(&self, row: usize) -> usize {
        const FIXED: usize = 16;
        FIXED
            + match self {
                Self::Text(cells) => cells[row].as_ref().map_or(0, String::len),
                Self::Bytes(cells) => cells[row].as_ref().map_or(0, Vec::len),
                _ => 0,
            }
    }
}

/// A column of another type; what does not fit is an error and not NULL.
fn exactly(column: &ArrayRef, target: &DataType) -> Result<ArrayRef, String> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(column, target, &options).map_err(|error| error.to_string())
}

fn own(text: Option<&str>) -> Option<String> {
    text.map(str::to_owned)
}

/// Times without a zone; those with one are in UTC.
fn moments(column: &ArrayRef) -> Result<Vec<Option<NaiveDateTime>>, String> {
    let zone = match column.data_type() {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    };
    let micros = exactly(column, &DataType::Timestamp(TimeUnit::Microsecond, zone))?;
    each(micros.as_primitive::<TimestampMicrosecondType>().iter(), as_datetime::<TimestampMicrosecondType>)
}

/// Each value, or the error that one lies outside of what can be written.
fn each<I, T>(
    values: impl Iterator<Item = Option<I>>,
    read: impl Fn(I) -> Option<T>,
) -> Result<Vec<Option<T>>, String> {
    let one = |value: Option<I>| match value {
        Some(value) => read(value).map(Some).ok_or_else(|| "a time lies too far away".to_owned()),
        None => Ok(None),
    };
    values.map(one).collect()
}

#[cfg(test)]
mod tests {
    use arrow::array::{Date32Array, TimestampSecondArray};

    use super::*;

    #[test]
    fn nulls_stay_nulls() {
        let column: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None]));
        let Ok(Cells::Text(cells)) = Cells::of(&column, Kind::Text) else { panic!("it is text") };
        assert_eq!(cells, [Some("a".to_owned()), None]);
    }

    #[test]
    fn what_is_sent_comes_back() {
        let times: ArrayRef =
            Arc::new(TimestampMicrosecondArray::from(vec![Some(-1), None, Some(1_772_359_207_123_456)]));
        let days: ArrayRef = Arc::new(Date32Array::from(vec![Some(0), Some(-1), Some(20_513)]));
        for (column, kind) in [(times, Kind::Moment(6)), (days, Kind::Date)] {
            let cells = Cells::of(&column, kind).unwrap();
            assert_eq!(&cells.into_column(column.data_type()).unwrap(), &column);
        }
    }

    #[test]
    fn a_time_that_nobody_can_write_is_an_error() {
        let column: ArrayRef = Arc::new(TimestampSecondArray::from(vec![i64::MAX / 2]));
        assert!(Cells::of(&column, Kind::Moment(0)).is_err());
    }
}
