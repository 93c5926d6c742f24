//! Rows to bytes.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::{Format, FormatOptions};
use crate::error::Result;

/// Turns rows of one schema into bytes.
pub struct Encoder {
    _schema: SchemaRef,
}

impl Encoder {
    /// An encoder at the beginning of an output.
    pub fn new(format: Format, schema: SchemaRef, options: &FormatOptions) -> Result<Self> {
        let _ = (format, options);
        Ok(Self { _schema: schema })
    }

    /// Appends rows to `out`. The first call may write a header.
    pub fn encode(&mut self, rows: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        let _ = (rows, out);
        unimplemented!()
    }

    /// Ends the output: closes an array, writes a footer.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let _ = out;
        unimplemented!()
    }
}
