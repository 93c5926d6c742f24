//! A table as the database describes it, and whether a stream's rows go into it.

use arrow::datatypes::SchemaRef;
use headwater_connectors::ConnectorError;
use headwater_ingest::nearest;

use crate::kind::{DIGITS_MAX, Kind};

/// A column of a database's table.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// The name of its type, without what is in parentheses; a domain's is that of what it is made of.
    pub(crate) type_name: String,
    /// Its type as people write it.
    pub(crate) shown: String,
    /// Whether it is an enumeration of the database's own.
    pub(crate) is_enum: bool,
    /// How many digits of a second it keeps, if it is a time.
    pub(crate) digits: Option<u8>,
    /// How many digits behind the point, if it is a decimal number with a fixed scale.
    pub(crate) scale: Option<i16>,
    /// Whether each row must give it a value.
    pub(crate) is_required: bool,
}

/// One of ours.
#[derive(Clone, Debug)]
pub(crate) struct Ours {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) is_nullable: bool,
    pub(crate) is_key: bool,
}

/// The columns of a stream, which have `PRIMARY KEY (key)`. The error names one that no column can hold.
pub(crate) fn ours(schema: &SchemaRef, key: &[String]) -> Result<Vec<Ours>, ConnectorError> {
    let one = |field: &arrow::datatypes::FieldRef| {
        let kind = Kind::of(field.data_type()).ok_or_else(|| {
            let reason = format!("a database has no column for {}", field.data_type());
            ConnectorError::refused(format!("column '{}'", field.name()), reason)
        })?;
        let is_key = key.contains(field.name());
        Ok(Ours { name: field.name().clone(), kind, is_nullable: field.is_nullable() && !is_key, is_key })
    };
    schema.fields().iter().map(one).collect()
}

/// All that keeps rows from going into a table, in one error.
pub(crate) fn check(
    table: &str,
    ours: &[Ours],
    theirs: &[Column],
    fits: fn(Kind, &Column) -> bool,
) -> Result<(), ConnectorError> {
    let mut wrong = Vec::new();
    for our in ours {
        match theirs.iter().find(|column| column.name == our.name) {
            None => {
                let near = nearest(&our.name, theirs.iter().map(|column| column.name.as_str()));
                let near = near.map(|name| format!(", did you mean '{name}'?")).unwrap_or_default();
                wrong.push(format!("there is no column '{}'{near}", our.name));
            }
            Some(column) if !fits(our.kind, column) => {
                wrong.push(format!("column '{}' is {}, which {}", our.name, column.shown, why(our.kind)));
            }
            Some(_) => {}
        }
    }
    for column in theirs.iter().filter(|column| column.is_required) {
        if ours.iter().all(|our| our.name != column.name) {
            wrong.push(format!(
                "column '{}' is NOT NULL without a default, and the stream lacks it",
                column.name
            ));
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(ConnectorError::refused(format!("write into table {table}"), wrong.join("; ")))
}

/// Whether a table has the columns that are wanted of it. What is read is made ours by a cast, so that types need not be the same.
pub(crate) fn check_names(table: &str, wanted: &[Ours], theirs: &[Column]) -> Result<(), ConnectorError> {
    let mut reads = theirs.to_vec();
    reads.iter_mut().for_each(|column| column.is_required = false);
    let what = |error: ConnectorError| match error {
        ConnectorError::Refused { reason, .. } => {
            ConnectorError::refused(format!("read table {table}"), reason)
        }
        other => other,
    };
    check(table, wanted, &reads, |_, _| true).map_err(what)
}

fn why(kind: Kind) -> String {
    match kind {
        Kind::Bool => "does not hold a BOOLEAN".to_owned(),
        Kind::Int(bits) => format!("does not hold an integer of {bits} bits"),
        Kind::Unsigned(bits) => format!("does not hold an integer of {bits} bits without a sign"),
        Kind::Float => "does not hold a FLOAT".to_owned(),
        Kind::Double => "does not hold a DOUBLE".to_owned(),
        Kind::Decimal(precision, scale) => {
            format!("does not hold a DECIMAL({precision}, {scale}) without rounding")
        }
        Kind::Text => "does not hold a STRING".to_owned(),
        Kind::Bytes => "does not hold BYTES".to_owned(),
        Kind::Date => "does not hold a DATE".to_owned(),
        Kind::Time => "does not hold a TIME of microseconds".to_owned(),
        Kind::Moment(digits) => format!("does not hold a TIMESTAMP({})", digits.min(DIGITS_MAX)),
        Kind::Instant(digits) => format!("does not hold a TIMESTAMP_LTZ({})", digits.min(DIGITS_MAX)),
        Kind::Json => "does not hold nested values: json does".to_owned(),
    }
}

/// A table's unique indexes must have one over exactly the key, so that the database knows which row a change is of.
pub(crate) fn check_key(
    table: &str,
    key: &[String],
    ours: &[Ours],
    unique: &[Vec<String>],
    is_strict: bool,
) -> Result<(), ConnectorError> {
    let what = || format!("update table {table} by ({})", key.join(", "));
    let is_key =
        |index: &&Vec<String>| index.len() == key.len() && index.iter().all(|name| key.contains(name));
    if unique.iter().find(is_key).is_none() {
        let reason = "it has no primary key or unique index over exactly these columns";
        return Err(ConnectorError::refused(what(), reason));
    }
    let written = |index: &&Vec<String>| index.iter().all(|name| ours.iter().any(|our| our.name == *name));
    match unique.iter().filter(|index| !is_key(index)).find(written) {
        Some(other) if is_strict => {
            let reason =
                format!("({}) is unique, too: a change would go to whatever row has these", other.join(", "));
            Err(ConnectorError::refused(what(), reason))
        }
        _ => Ok(()),
    }
}

/// A table's name, and that of its schema if one is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableName {
    pub(crate) schema: Option<String>,
    pub(crate) table: String,
}

impl TableName {
    /// Reads `schema.table` or `table`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = text.trim().splitn(2, '.').map(str::to_owned);
        let (first, second) = (parts.next().unwrap_or_default(), parts.next());
        let (schema, table) = match second {
            Some(table) => (Some(first), table),
            None => (None, first),
        };
        let bad = |name: &str| name.is_empty() || name.contains(['\0', '"', '`']) || name.len() > 128;
        if bad(&table) || schema.as_deref().is_some_and(bad) {
            return Err("it is a name, or schema.name, without quotes".to_owned());
        }
        Ok(Self { schema, table })
    }

    /// The name as a statement has it, each part in `quote`s; another table beside it, if one is given.
    pub(crate) fn quoted(&self, quote: char, beside: Option<&str>) -> String {
        let table = quoted(beside.unwrap_or(&self.table), quote);
        match &self.schema {
            Some(schema) => format!("{}.{table}", quoted(schema, quote)),
            None => table,
        }
    }
}

impl std::fmt::Display for TableName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.table),
            None => f.write_str(&self.table),
        }
    }
}

/// A name in quotes.
pub(crate) fn quoted(name: &str, quote: char) -> String {
    format!("{quote}{}{quote}", name.replace(quote, &format!("{quote}{quote}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_whatever_they_hold() {
        let name = TableName::parse("fleet.readings").unwrap();
        assert_eq!(name.quoted('"', None), "\"fleet\".\"readings\"");
        assert_eq!(name.quoted('`', Some("p")), "`fleet`.`p`");
        assert_eq!(quoted("a\"b", '"'), "\"a\"\"b\"");
        assert!(TableName::parse("a\"b").is_err());
    }

    #[test]
    fn a_key_needs_an_index_of_its_own() {
        let key = ["k".to_owned()];
        let our =
            |name: &str| Ours { name: name.into(), kind: Kind::Text, is_nullable: true, is_key: name == "k" };
        let ours = [our("k"), our("v")];
        let index = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let check = |unique: &[Vec<String>], strict| check_key("t", &key, &ours, unique, strict);
        assert!(check(&[index(&["k"])], true).is_ok());
        assert!(check(&[index(&["k", "v"])], false).is_err());
        assert!(check(&[index(&["k"]), index(&["v"])], false).is_ok());
        let error = check(&[index(&["k"]), index(&["v"])], true).unwrap_err().to_string();
        assert!(error.contains("(v) is unique, too"), "{error}");
        assert!(check(&[index(&["k"]), index(&["id"])], true).is_ok());
    }
}
