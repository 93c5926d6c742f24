//! Writes rows as lines.

use std::io::{ErrorKind, Write};

use async_trait::async_trait;
use headwater_ingest::Encoder;

use crate::connector::{Cursor, Delivery, Sink};
use crate::error::{ConnectorError, Result};

/// Writes rows as lines.
pub(super) struct Stdout {
    encoder: Encoder,
    prefix: String,
    out: Box<dyn Write + Send>,
}

impl Stdout {
    pub(super) fn new(encoder: Encoder, prefix: String, out: Box<dyn Write + Send>) -> Self {
        Self { encoder, prefix, out }
    }

    fn write(&mut self, lines: &[u8]) -> std::io::Result<()> {
        if self.prefix.is_empty() {
            return self.out.write_all(lines);
        }
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            self.out.write_all(self.prefix.as_bytes())?;
            self.out.write_all(line)?;
        }
        Ok(())
    }
}

#[async_trait]
impl Sink for Stdout {
    async fn open(&mut self, stored: Cursor) -> Result<Cursor> {
        Ok(stored)
    }

    async fn deliver(&mut self, delivery: Delivery) -> Result<()> {
        let mut lines = Vec::new();
        self.encoder.encode(&delivery.rows, &mut lines)?;
        self.write(&lines).map_err(failed)
    }

    async fn flush(&mut self) -> Result<String> {
        self.out.flush().map_err(failed)?;
        Ok(String::new())
    }
}

/// A reader that has gone away does not come back.
fn failed(error: std::io::Error) -> ConnectorError {
    match error.kind() {
        ErrorKind::BrokenPipe => ConnectorError::refused("write to standard output", error),
        _ => ConnectorError::outage("write to standard output", error),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, RecordBatch};
    use headwater_core::{Sequence, ShardId, StreamName};
    use headwater_ingest::{Format, FormatOptions};
    use parking_lot::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn rows_are_lines_with_a_prefix() {
        let rows = RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![1, 2])) as _)]).unwrap();
        let encoder = Encoder::new(Format::JsonLines, rows.schema(), &FormatOptions::default()).unwrap();
        let out = Shared::default();
        let mut sink = Stdout::new(encoder, "out> ".to_owned(), Box::new(out.clone()));
        let stream = StreamName::new("s").unwrap();
        sink.deliver(Delivery { stream, shard: ShardId(0), first: Sequence(0), rows }).await.unwrap();
        sink.flush().await.unwrap();
        assert_eq!(out.0.lock().as_slice(), b"out> {\"n\":1}\nout> {\"n\":2}\n");
    }
}
