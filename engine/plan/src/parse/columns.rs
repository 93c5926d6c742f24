//! The parenthesised part of CREATE STREAM and CREATE TABLE: columns, WATERMARK FOR, PRIMARY KEY.

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::{DataType, Field};
use datafusion::sql::sqlparser::tokenizer::Token;
use headwater_functions::sql_type;

use super::computed::{check_computed, must_be_stored, names_in, read_computed, read_generated};
use super::reader::Reader;
use super::types::read_type;
use crate::METADATA_COLUMNS;
use crate::computed::ComputedColumn;
use crate::definition::WatermarkDef;
use crate::error::{Mistake, Result, SqlError, did_you_mean};
use crate::script::{Position, Script};
use crate::statement::Name;

/// The columns of a stream or table, and what belongs to them.
#[derive(Debug, Clone, Default)]
pub(super) struct Columns {
    pub(super) fields: Vec<Field>,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) read_only: BTreeSet<String>,
    pub(super) computed: Vec<ComputedColumn>,
    pub(super) watermark: Option<WatermarkDef>,
    pub(super) primary_key: Vec<String>,
    pub(super) proctime: Vec<String>,
    /// The names of columns and of their fields as they were written, where they have capital letters and no quotes.
    pub(super) written_names: Vec<String>,
}

impl Columns {
    /// Whether something has this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|field| field.name() == name) || self.computes(name)
    }

    /// Whether what has this name is not stored.
    pub(super) fn computes(&self, name: &str) -> bool {
        self.computed.iter().any(|column| column.name == name)
            || self.proctime.iter().any(|column| column == name)
    }
}

/// What the parentheses hold; what it says of columns may be of those of another table.
#[derive(Debug, Clone, Default)]
pub(super) struct Written {
    pub(super) columns: Columns,
    pub(super) watermark: Option<WrittenWatermark>,
    pub(super) key: Vec<Name>,
    /// Where it ends, if it is there.
    pub(super) end: Option<Position>,
}

/// `WATERMARK FOR column AS expr PER keys`.
#[derive(Debug, Clone)]
pub(super) struct WrittenWatermark {
    pub(super) column: Name,
    pub(super) expr: String,
    pub(super) per: Vec<Name>,
    /// The columns that the expression names.
    pub(super) uses: Vec<Name>,
}

/// Reads `(column type ..., WATERMARK FOR ..., PRIMARY KEY ...)`.
pub(super) fn read_columns(reader: &mut Reader) -> Result<Written> {
    let mut written = Written::default();
    reader.written_names.clear();
    reader.expect(&Token::LParen)?;
    loop {
        if reader.sees("WATERMARK FOR") {
            written.watermark = Some(read_watermark(reader)?);
        } else if reader.sees("PRIMARY KEY") {
            written.key = read_primary_key(reader)?;
        } else if reader.sees("CONSTRAINT") {
            reader.next();
            reader.column()?;
            written.key = read_primary_key(reader)?;
        } else {
            read_column(reader, &mut written.columns, &mut written.key)?;
        }
        if !reader.take(&Token::Comma) {
            break;
        }
    }
    if *reader.peek() != Token::RParen {
        return Err(reader.expected("',' or ')'"));
    }
    reader.next();
    written.columns.written_names = std::mem::take(&mut reader.written_names);
    written.end = Some(reader.position());
    Ok(written)
}

impl Written {
    /// The columns, if what is said of them is of columns that there are.
    pub(super) fn finish(self, script: &Script) -> Result<Columns> {
        let Self { mut columns, watermark, key, end } = self;
        if let Some(end) = end.filter(|_| columns.fields.is_empty()) {
            return Err(SqlError::new(Mistake::Definition, "there is no column").at(end, script));
        }
        check_computed(&columns)?;
        if let Some(watermark) = watermark {
            check_watermark(script, &columns, &watermark)?;
            let WrittenWatermark { column, expr, per, .. } = watermark;
            let per = per.into_iter().map(|name| name.value).collect();
            columns.watermark = Some(WatermarkDef { column: column.value, expr, per });
        }
        for name in key {
            must_be_stored(script, &columns, &name, "a PRIMARY KEY")?;
            check_column(script, &columns.fields, &name)?;
            columns.primary_key.push(name.value);
        }
        Ok(columns)
    }
}

fn read_column(reader: &mut Reader, columns: &mut Columns, key: &mut Vec<Name>) -> Result<()> {
    let name = reader.declared_column()?;
    let refuse =
        |message: String| SqlError::new(Mistake::Definition, message).at(name.position, reader.script());
    if METADATA_COLUMNS.contains(&name.value.as_str()) {
        return Err(refuse(format!("'{}' is a metadata column of every stream", name.value))
            .hint("choose another name"));
    }
    if columns.has(&name.value) {
        return Err(SqlError::new(Mistake::NameTaken, format!("there are two columns '{}'", name.value))
            .at(name.position, reader.script()));
    }
    if reader.take_words("AS PROCTIME") {
        reader.expect(&Token::LParen)?;
        reader.expect(&Token::RParen)?;
        columns.proctime.push(name.value);
        return Ok(());
    }
    if reader.take_words("AS") {
        return read_computed(reader, columns, name);
    }
    let kind = read_type(reader)?;
    if read_generated(reader, columns, &name, &kind)? {
        return Ok(());
    }
    let mut nullable = true;
    loop {
        if reader.take_words("NOT NULL") {
            nullable = false;
        } else if reader.take_words("NULL") {
            nullable = true;
        } else if reader.take_words("PRIMARY KEY") {
            reader.take_words("NOT ENFORCED");
            key.push(name.clone());
            nullable = false;
        } else if reader.take_words("METADATA") {
            let from = if reader.take_words("FROM") {
                reader.string("the metadata's name")?
            } else {
                name.value.clone()
            };
            if reader.take_words("VIRTUAL") {
                columns.read_only.insert(name.value.clone());
            }
            columns.metadata.insert(name.value.clone(), from);
        } else if reader.take_words("COMMENT") {
            reader.string("a comment")?;
        } else {
            break;
        }
    }
    columns.fields.push(Field::new(name.value, kind, nullable));
    Ok(())
}

/// `WATERMARK FOR column [AS expr] [PER keys]`; without AS rows may be a second late, as Arroyo has it.
fn read_watermark(reader: &mut Reader) -> Result<WrittenWatermark> {
    reader.expect_words("WATERMARK FOR")?;
    let column = reader.column()?;
    let (expr, uses) = if reader.take_words("AS") {
        let at = reader.position();
        let (expr, text) = reader.expr()?;
        let uses = names_in(&expr).into_iter().map(|value| Name { value, position: at }).collect();
        (text, uses)
    } else {
        (format!("\"{}\" - INTERVAL '1 second'", column.value), Vec::new())
    };
    let per = if reader.take_words("PER") { read_per(reader)? } else { Vec::new() };
    Ok(WrittenWatermark { column, expr, per, uses })
}

/// Keys up to the next definition: a column followed by `,` or `)`.
fn read_per(reader: &mut Reader) -> Result<Vec<Name>> {
    if *reader.peek() == Token::LParen {
        return reader.columns();
    }
    let mut keys = vec![reader.column()?];
    while *reader.peek() == Token::Comma && matches!(reader.peek_nth(2), Token::Comma | Token::RParen) {
        reader.next();
        keys.push(reader.column()?);
    }
    Ok(keys)
}

fn read_primary_key(reader: &mut Reader) -> Result<Vec<Name>> {
    reader.expect_words("PRIMARY KEY")?;
    let key = reader.columns()?;
    reader.take_words("NOT ENFORCED");
    Ok(key)
}

fn check_watermark(script: &Script, columns: &Columns, watermark: &WrittenWatermark) -> Result<()> {
    let WrittenWatermark { column, per, uses, .. } = watermark;
    let is_computed = |name: &Name| columns.computed.iter().any(|column| column.name == name.value);
    if columns.proctime.contains(&column.value) {
        let message = format!("'{}' is processing time, which has no watermark", column.value);
        return Err(SqlError::new(Mistake::Definition, message)
            .at(column.position, script)
            .hint("leave WATERMARK FOR out: windows over the column run in processing time"));
    }
    // The type of one that is computed is known when it is planned.
    let field = if is_computed(column) { None } else { Some(check_column(script, &columns.fields, column)?) };
    if let Some(field) = field.filter(|field| !matches!(field.data_type(), DataType::Timestamp(..))) {
        return Err(SqlError::new(
            Mistake::Type,
            format!(
                "the watermark's column '{}' is {}, not a timestamp",
                column.value,
                sql_type(field.data_type())
            ),
        )
        .at(column.position, script)
        .hint("declare the column as TIMESTAMP, or compute it: ts AS TO_TIMESTAMP_LTZ(ms, 3)"));
    }
    for name in per {
        must_be_stored(script, columns, name, "a timeline per key")?;
    }
    for name in per.iter().chain(uses).filter(|name| !is_computed(name)) {
        check_column(script, &columns.fields, name)?;
    }
    Ok(())
}

/// The column of a name, or the error that there is none.
pub(super) fn check_column<'a>(script: &Script, fields: &'a [Field], name: &Name) -> Result<&'a Field> {
    fields.iter().find(|field| *field.name() == name.value).ok_or_else(|| {
        SqlError::new(Mistake::UnknownColumn, format!("there is no column '{}'", name.value))
            .at(name.position, script)
            .hint_if(did_you_mean(&name.value, fields.iter().map(|field| field.name().as_str())))
    })
}
