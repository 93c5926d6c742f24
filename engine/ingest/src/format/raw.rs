//! Bytes as they are: each line, or each message, is the value of the stream's one column.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryBuilder, RecordBatch, StringBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef};
use bytes::Bytes;

use super::Format;
use super::decode::Decoded;
use super::json::not_utf8;
use super::settings::FormatOptions;
use super::type_name::type_name;
use crate::bad::{BadRecord, RecordFault};
use crate::error::{IngestError, Result};

/// Decodes records into a single column of bytes or text.
pub(super) struct RawDecoder {
    schema: SchemaRef,
    is_text: bool,
    record_bytes_max: usize,
}

impl RawDecoder {
    pub(super) fn new(schema: &SchemaRef, options: &FormatOptions) -> Result<Self> {
        let is_text = match schema.fields().as_ref() {
            [one] => match one.data_type() {
                DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
                DataType::Binary | DataType::LargeBinary | DataType::BinaryView => false,
                _ => return Err(unsupported(schema, 0)),
            },
            _ => return Err(unsupported(schema, 1)),
        };
        Ok(Self { schema: Arc::clone(schema), is_text, record_bytes_max: options.limits.record_bytes_max })
    }

    /// Decodes lines. A line feed at the very end ends the last line and begins no other.
    pub(super) fn decode_lines(&mut self, bytes: Bytes, next_line: &mut u64) -> Result<Decoded> {
        let content = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let mut lines = Vec::new();
        if !bytes.is_empty() {
            for line in content.split(|byte| *byte == b'\n') {
                lines.push(bytes.slice_ref(line.strip_suffix(b"\r").unwrap_or(line)));
            }
        }
        self.decode_messages(&lines, next_line)
    }

    pub(super) fn decode_messages(&mut self, messages: &[Bytes], next_record: &mut u64) -> Result<Decoded> {
        let mut bad = Vec::new();
        let mut good = Vec::with_capacity(messages.len());
        for message in messages {
            match self.check(message) {
                Ok(()) => good.push(message),
                Err((fault, reason)) => {
                    let reason = reason.into();
                    bad.push(BadRecord {
                        record: *next_record,
                        fault,
                        field: None,
                        reason,
                        payload: message.clone(),
                    });
                }
            }
            *next_record += 1;
        }
        let column: ArrayRef = if self.is_text {
            let mut column = StringBuilder::new();
            good.iter()
                .for_each(|message| column.append_value(std::str::from_utf8(message).unwrap_or_default()));
            Arc::new(column.finish())
        } else {
            let mut column = BinaryBuilder::new();
            good.iter().for_each(|message| column.append_value(message));
            Arc::new(column.finish())
        };
        let wanted = self.schema.field(0).data_type();
        let column = if column.data_type() == wanted { column } else { cast(&column, wanted)? };
        let rows = RecordBatch::try_new(Arc::clone(&self.schema), vec![column])?;
        Ok(Decoded { rows, bad, origins: Vec::new(), bytes: Bytes::new() })
    }

    fn check(&self, message: &[u8]) -> std::result::Result<(), (RecordFault, String)> {
        if message.len() > self.record_bytes_max {
            let reason = format!("{} bytes, the most is {}", message.len(), self.record_bytes_max);
            return Err((RecordFault::TooLarge, reason));
        }
        match std::str::from_utf8(message) {
            Err(error) if self.is_text => {
                let fault = not_utf8(error.valid_up_to());
                Err((fault.fault, fault.reason.into_owned()))
            }
            _ => Ok(()),
        }
    }
}

fn unsupported(schema: &SchemaRef, column: usize) -> IngestError {
    let field = schema.fields().get(column);
    IngestError::Unsupported {
        format: Format::Raw.name(),
        column: field.map_or_else(|| "(none)".to_owned(), |field| field.name().clone()),
        data_type: field.map_or_else(|| "(none)".to_owned(), |field| type_name(field.data_type())),
        remedy: "declare a single column of type VARCHAR or BYTES",
    }
}
