//! `CREATE STREAM` for columns that are there already: those of a replay's results.

use arrow::datatypes::Schema;
use headwater_functions::sql_type;

use super::scripts::parse_one;
use crate::error::{Mistake, Result, SqlError};
use crate::statement::{Parsed, Statement};
/// The statement that creates a stream with these columns, each of which may be NULL. Fails if one has a type or a name that no stream can
/// be declared with.
pub fn create_stream_of(name: &str, schema: &Schema) -> Result<Parsed> {
    let columns = schema.fields().iter();
    let columns = columns.map(|field| format!("{} {}", quoted(field.name()), sql_type(field.data_type())));
    let name = name.split('.').map(quoted).collect::<Vec<_>>().join(".");
    let text = format!("CREATE STREAM {name} ({})", columns.collect::<Vec<_>>().join(", "));
    let refused = |reason: String| {
        SqlError::new(Mistake::Definition, format!("no stream can be made for these columns: {reason}"))
            .hint("give them other names and types: AS name, CAST(... AS type)")
    };
    let parsed = parse_one(&text).map_err(|error| refused(error.message().to_owned()))?;
    let Statement::CreateStream(create) = &parsed.statement else { return Err(refused(text)) };
    let made = create.definition.schema.fields().iter().zip(schema.fields());
    let other = made.into_iter().find(|(made, wanted)| {
        made.name() != wanted.name() || sql_type(made.data_type()) != sql_type(wanted.data_type())
    });
    match other {
        Some((_, wanted)) => Err(refused(format!("'{}' is {}", wanted.name(), sql_type(wanted.data_type())))),
        None => Ok(parsed),
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field, TimeUnit};

    use super::*;

    fn made(fields: Vec<Field>) -> Result<Vec<Field>> {
        let parsed = create_stream_of("again", &Schema::new(fields))?;
        match parsed.statement {
            Statement::CreateStream(create) => {
                Ok(create.definition.schema.fields().iter().map(|field| (**field).clone()).collect())
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_stream_has_the_columns_that_are_given() {
        let utc = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
        let item = Field::new_list_field(DataType::Float64, true);
        let inner = DataType::Struct(vec![Field::new("a", DataType::Int32, true)].into());
        let fields = vec![
            Field::new("device", DataType::Utf8, true),
            Field::new("Two \"Words\"", DataType::Int64, true),
            Field::new("select", DataType::Timestamp(TimeUnit::Millisecond, None), true),
            Field::new("_at", utc, true),
            Field::new("price", DataType::Decimal128(12, 2), true),
            Field::new("list", DataType::List(item.into()), true),
            Field::new("both", inner, true),
            Field::new("_weight", DataType::Int64, true),
        ];
        assert_eq!(made(fields.clone()).unwrap(), fields);
    }

    #[test]
    fn what_no_stream_can_have_is_refused() {
        let error = made(vec![Field::new("_arrival", DataType::Int64, true)]).unwrap_err().to_string();
        assert!(error.contains("metadata column") && error.contains("AS name"), "{error}");
        let span = DataType::Duration(TimeUnit::Second);
        let error = made(vec![Field::new("span", span, true)]).unwrap_err().to_string();
        assert!(error.contains("no stream can be made"), "{error}");
    }
}
