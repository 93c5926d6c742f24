//! Rows as JSON, which is how values get from columns into messages.

use arrow::array::RecordBatch;
use headwater_ingest::{Encoder, Format, FormatOptions, IngestError};

/// One JSON object for each row.
pub(super) fn json_of(rows: &RecordBatch) -> Result<Vec<Vec<u8>>, IngestError> {
    let mut lines = Vec::new();
    let mut encoder = Encoder::new(Format::JsonLines, rows.schema(), &FormatOptions::default())?;
    encoder.encode(rows, &mut lines)?;
    encoder.finish(&mut lines)?;
    Ok(lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect())
}
