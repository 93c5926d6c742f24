//! Column types: SQL's spelling, in all the dialects, to Arrow.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, IntervalUnit, TimeUnit};
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;
use headwater_functions::Length;

use super::reader::{Reader, name_of, normal};
use crate::error::{Mistake, Result, SqlError, did_you_mean};

const NAMES: [&str; 23] = [
    "STRING",
    "VARCHAR",
    "TEXT",
    "INT",
    "BIGINT",
    "SMALLINT",
    "TINYINT",
    "DOUBLE",
    "FLOAT",
    "REAL",
    "BOOLEAN",
    "DECIMAL",
    "DATE",
    "TIME",
    "TIMESTAMP",
    "TIMESTAMP_LTZ",
    "BYTES",
    "VARBINARY",
    "BYTEA",
    "ARRAY",
    "ROW",
    "MAP",
    "MULTISET",
];

/// Reads a type, such as `ROW<id INT, tags ARRAY<STRING>>`.
pub(super) fn read_type(reader: &mut Reader) -> Result<DataType> {
    let mut owed = 0;
    let kind = read_nested(reader, &mut owed)?;
    if owed > 0 { Err(reader.expected("a column")) } else { Ok(kind) }
}

/// `owed` counts the closing brackets that were read too many, as `>>` is one token.
fn read_nested(reader: &mut Reader, owed: &mut u32) -> Result<DataType> {
    let word = reader.peek_word(0).unwrap_or_default();
    let mut kind = match word.as_str() {
        "ARRAY" if opens(reader, 1) => {
            open(reader);
            let item = read_nested(reader, owed)?;
            close(reader, owed)?;
            list_of(item)
        }
        "MAP" if opens(reader, 1) => {
            open(reader);
            let key = read_nested(reader, owed)?;
            reader.expect(&Token::Comma)?;
            let value = read_nested(reader, owed)?;
            close(reader, owed)?;
            map_of(key, value)
        }
        // As COLLECT gives it: how often an element is there.
        "MULTISET" if opens(reader, 1) => {
            open(reader);
            let element = read_nested(reader, owed)?;
            close(reader, owed)?;
            map_of(element, DataType::Int32)
        }
        "ROW" | "STRUCT" if opens(reader, 1) => {
            open(reader);
            let mut fields = vec![read_field(reader, owed)?];
            while *owed == 0 && reader.take(&Token::Comma) {
                fields.push(read_field(reader, owed)?);
            }
            close(reader, owed)?;
            DataType::Struct(fields.into())
        }
        _ => read_plain(reader)?,
    };
    while *owed == 0 && *reader.peek() == Token::LBracket {
        reader.next();
        reader.expect(&Token::RBracket)?;
        kind = list_of(kind);
    }
    Ok(kind)
}

fn read_field(reader: &mut Reader, owed: &mut u32) -> Result<Field> {
    let name = reader.declared_column()?;
    reader.take(&Token::Colon);
    let kind = read_nested(reader, owed)?;
    let nullable = *owed > 0 || !reader.take_words("NOT NULL");
    Ok(Field::new(name.value, kind, nullable))
}

fn opens(reader: &Reader, nth: usize) -> bool {
    matches!(reader.peek_nth(nth), Token::Lt | Token::LParen)
}

fn open(reader: &mut Reader) {
    reader.next();
    reader.next();
}

fn close(reader: &mut Reader, owed: &mut u32) -> Result<()> {
    if *owed > 0 {
        *owed -= 1;
        return Ok(());
    }
    match reader.peek() {
        Token::Gt | Token::RParen => {
            reader.next();
            Ok(())
        }
        Token::ShiftRight => {
            reader.next();
            *owed = 1;
            Ok(())
        }
        _ => Err(reader.expected("'>'")),
    }
}

fn read_plain(reader: &mut Reader) -> Result<DataType> {
    let at = reader.position();
    let script = reader.script().clone();
    let kind = reader.sql("a type", Parser::parse_data_type)?;
    arrow_type(&kind).ok_or_else(|| {
        let name = kind.to_string();
        let word = name.split(['(', '<', ' ']).next().unwrap_or_default().to_uppercase();
        SqlError::new(Mistake::Type, format!("there is no type '{kind}'"))
            .hint_if(did_you_mean(&word, NAMES))
            .at(at, &script)
    })
}

fn list_of(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(item, true)))
}

fn map_of(key: DataType, value: DataType) -> DataType {
    let entries = Fields::from(vec![Field::new("key", key, false), Field::new("value", value, true)]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false)
}

/// The Arrow type of an SQL type; also of those in CAST.
pub(crate) fn arrow_type(kind: &ast::DataType) -> Option<DataType> {
    use ast::DataType as Sql;
    use ast::TimezoneInfo;
    Some(match kind {
        Sql::Boolean | Sql::Bool => DataType::Boolean,
        Sql::TinyInt(_) => DataType::Int8,
        Sql::SmallInt(_) | Sql::Int2(_) => DataType::Int16,
        Sql::Int(_) | Sql::Integer(_) | Sql::Int4(_) => DataType::Int32,
        Sql::BigInt(_) | Sql::Int8(_) => DataType::Int64,
        Sql::TinyIntUnsigned(_) => DataType::UInt8,
        Sql::SmallIntUnsigned(_) => DataType::UInt16,
        Sql::IntUnsigned(_) | Sql::IntegerUnsigned(_) => DataType::UInt32,
        Sql::BigIntUnsigned(_) => DataType::UInt64,
        Sql::Real | Sql::Float4 => DataType::Float32,
        Sql::Float(ast::ExactNumberInfo::Precision(p)) if *p > 24 => DataType::Float64,
        Sql::Float(_) => DataType::Float32,
        Sql::Double(_) | Sql::DoublePrecision | Sql::Float8 => DataType::Float64,
        Sql::Char(_)
        | Sql::Character(_)
        | Sql::Varchar(_)
        | Sql::CharVarying(_)
        | Sql::CharacterVarying(_)
        | Sql::Text
        | Sql::String(_)
        | Sql::JSON
        | Sql::JSONB => DataType::Utf8,
        Sql::Bytea | Sql::Bytes(_) | Sql::Binary(_) | Sql::Varbinary(_) | Sql::Blob(_) => DataType::Binary,
        Sql::Date => DataType::Date32,
        Sql::Time(_, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            DataType::Time64(TimeUnit::Nanosecond)
        }
        Sql::Timestamp(precision, zone) => {
            let utc = matches!(zone, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz);
            timestamp(*precision, utc)?
        }
        Sql::Datetime(precision) => timestamp(*precision, false)?,
        Sql::Numeric(info) | Sql::Decimal(info) | Sql::Dec(info) => decimal(info)?,
        Sql::Interval { .. } => DataType::Interval(IntervalUnit::MonthDayNano),
        Sql::Array(
            ast::ArrayElemTypeDef::AngleBracket(item) | ast::ArrayElemTypeDef::SquareBracket(item, _),
        ) => list_of(arrow_type(item)?),
        Sql::Map(key, value) => map_of(arrow_type(key)?, arrow_type(value)?),
        Sql::Struct(fields, _) => {
            let field = |field: &ast::StructField| {
                let name = normal(field.field_name.as_ref()?);
                Some(Field::new(name, arrow_type(&field.field_type)?, true))
            };
            DataType::Struct(fields.iter().map(field).collect::<Option<Fields>>()?)
        }
        Sql::Custom(name, arguments) => custom(&name_of(name), arguments)?,
        _ => return None,
    })
}

fn custom(name: &str, arguments: &[String]) -> Option<DataType> {
    let precision = match arguments {
        [] => None,
        [one] => Some(one.parse().ok()?),
        _ => return None,
    };
    match name {
        "timestamp_ltz" => timestamp(precision, true),
        "string" => Some(DataType::Utf8),
        "bytes" => Some(DataType::Binary),
        _ => None,
    }
}

/// How long the texts of `VARCHAR(n)` and `CHAR(n)` are.
pub(crate) fn length_of(kind: &ast::DataType) -> Option<Length> {
    use ast::DataType as Sql;
    let count = |length: &Option<ast::CharacterLength>| match length {
        Some(ast::CharacterLength::IntegerLength { length, .. }) => Some(*length),
        _ => None,
    };
    match kind {
        Sql::Varchar(length) | Sql::CharVarying(length) | Sql::CharacterVarying(length) => {
            count(length).map(Length::AtMost)
        }
        Sql::Char(length) | Sql::Character(length) => count(length).map(Length::Exactly),
        _ => None,
    }
}

/// Without a precision nanoseconds, as DataFusion has it.
fn timestamp(precision: Option<u64>, utc: bool) -> Option<DataType> {
    let unit = match precision {
        Some(0) => TimeUnit::Second,
        Some(1..=3) => TimeUnit::Millisecond,
        Some(4..=6) => TimeUnit::Microsecond,
        Some(7..=9) | None => TimeUnit::Nanosecond,
        Some(_) => return None,
    };
    Some(DataType::Timestamp(unit, utc.then(|| "UTC".into())))
}

fn decimal(info: &ast::ExactNumberInfo) -> Option<DataType> {
    let (precision, scale) = match info {
        ast::ExactNumberInfo::None => (38, 10),
        ast::ExactNumberInfo::Precision(precision) => (*precision, 0),
        ast::ExactNumberInfo::PrecisionAndScale(precision, scale) => (*precision, *scale),
    };
    let (precision, scale) = (u8::try_from(precision).ok()?, i8::try_from(scale).ok()?);
    match precision {
        1..=38 => Some(DataType::Decimal128(precision, scale)),
        39..=76 => Some(DataType::Decimal256(precision, scale)),
        _ => None,
    }
}
