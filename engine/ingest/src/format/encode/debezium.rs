//! Changes as Debezium writes them.
//!
//! ```text
//!  {"before":null,"after":{"k":"a","n":1},"op":"c"}      a row is added
//!  {"before":{"k":"a","n":1},"after":null,"op":"d"}      a row is retracted
//! ```
//!
//! How often a row is added or retracted is the column `_weight`, if that is the last one, and is not written. An update is a retraction
//! and an addition, as Flink writes it.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;

use super::super::settings::FormatOptions;
use super::json_text;
use crate::error::Result;
use crate::format::WEIGHT;

pub(super) fn write(rows: &RecordBatch, options: &FormatOptions, out: &mut Vec<u8>) -> Result<()> {
    let schema = rows.schema();
    let weighted = schema.fields().last().is_some_and(|field| field.name() == WEIGHT);
    let own = rows.num_columns() - usize::from(weighted);
    let weights = if weighted { rows.column(own).as_primitive_opt::<Int64Type>() } else { None };
    let columns: Vec<usize> = (0..own).collect();
    json_text::write_each(&rows.project(&columns)?, options, out, |row, object, out| {
        let weight = weights.map_or(1, |weights| weights.value(row));
        for _ in 0..weight.unsigned_abs() {
            let parts: [&[u8]; 3] = if weight > 0 {
                [b"{\"before\":null,\"after\":", object, b",\"op\":\"c\"}\n"]
            } else {
                [b"{\"before\":", object, b",\"after\":null,\"op\":\"d\"}\n"]
            };
            parts.iter().for_each(|part| out.extend_from_slice(part));
        }
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray};

    use super::*;

    #[test]
    fn a_change_is_a_line_for_each_time_it_is_made() {
        let rows = RecordBatch::try_from_iter([
            ("k", Arc::new(StringArray::from(vec!["a", "b", "c"])) as _),
            (WEIGHT, Arc::new(Int64Array::from(vec![-1, 2, 1])) as _),
        ])
        .unwrap();
        let mut out = Vec::new();
        write(&rows, &FormatOptions::default(), &mut out).unwrap();
        let b = r#"{"before":null,"after":{"k":"b"},"op":"c"}"#;
        let expected = [
            r#"{"before":{"k":"a"},"after":null,"op":"d"}"#,
            b,
            b,
            r#"{"before":null,"after":{"k":"c"},"op":"c"}"#,
        ];
        assert_eq!(String::from_utf8(out).unwrap().lines().collect::<Vec<_>>(), expected);
    }
}
