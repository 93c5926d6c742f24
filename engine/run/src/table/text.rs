//! `read_text('url')`: the lines of files or objects as a table of one column, for bounded queries.
//!
//! Objects are cut into splits at the ends of lines, and the splits are dealt out to the partitions of the query, which read them side by
//! side. Bytes that are no UTF-8 turn into U+FFFD. Nothing of it goes through the log. An address at which nothing lies is an error: most
//! often it is a slip of the pen.

use std::io::{self, Write};
use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::streaming::StreamingTable;
use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::streaming::PartitionStream;
use headwater_objects::{Location, Split, splits};
use tokio::runtime::Handle;
use tokio::sync::mpsc::Sender;

/// How many bytes of lines make a batch.
const BATCH: usize = 1 << 20;

/// How many batches may wait to be taken.
const AHEAD: usize = 4;

/// The table function.
#[derive(Debug)]
pub(crate) struct ReadText;

impl TableFunctionImpl for ReadText {
    fn call_with_args(&self, args: TableFunctionArgs<'_, '_>) -> Result<Arc<dyn TableProvider>> {
        let [Expr::Literal(url, _)] = args.exprs() else {
            return Err(DataFusionError::Plan("it is read_text('url')".to_owned()));
        };
        let Some(url) = url.try_as_str().flatten() else {
            return Err(DataFusionError::Plan(
                "the address that read_text reads is a text in quotes".to_owned(),
            ));
        };
        let location = Location::parse(url).map_err(|error| DataFusionError::Plan(error.to_string()))?;
        let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("line", DataType::Utf8, false)]));
        let count = args.session().config_options().execution.target_partitions.max(1);
        let partition = |number| {
            let (location, schema) = (location.clone(), Arc::clone(&schema));
            Arc::new(Partition { location, schema, number, count }) as Arc<dyn PartitionStream>
        };
        let partitions = (0..count).map(partition).collect();
        Ok(Arc::new(StreamingTable::try_new(Arc::clone(&schema), partitions)?))
    }
}

/// Every so-many-th split.
#[derive(Debug)]
struct Partition {
    location: Location,
    schema: SchemaRef,
    number: usize,
    count: usize,
}

impl PartitionStream for Partition {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut builder = RecordBatchReceiverStream::builder(Arc::clone(&self.schema), AHEAD);
        let into = builder.tx();
        let (location, schema) = (self.location.clone(), Arc::clone(&self.schema));
        let (number, count) = (self.number, self.count);
        builder.spawn(async move {
            let external = |error| DataFusionError::External(Box::new(error));
            let all = splits(&[location], count, None).await.map_err(external)?;
            let own: Vec<_> = all.into_iter().skip(number).step_by(count).collect();
            let runtime = Handle::current();
            let read = tokio::task::spawn_blocking(move || read(&own, schema, &into, &runtime));
            read.await.map_err(|error| DataFusionError::External(Box::new(error)))?
        });
        builder.build()
    }
}

fn read(
    splits: &[Split],
    schema: SchemaRef,
    into: &Sender<Result<RecordBatch>>,
    runtime: &Handle,
) -> Result<()> {
    let mut lines = Lines { schema, into, bytes: Vec::new(), offsets: vec![0], open: false };
    for split in splits {
        let copied = split.copy(&mut lines, runtime.clone()).and_then(|()| lines.flush());
        match copied {
            Ok(()) => {}
            // Nobody wants more.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(DataFusionError::IoError(error)),
        }
    }
    Ok(())
}

/// Gathers lines, without their line feeds, into batches.
struct Lines<'a> {
    schema: SchemaRef,
    into: &'a Sender<Result<RecordBatch>>,
    bytes: Vec<u8>,
    /// Where each line begins, and where the last one ends.
    offsets: Vec<i32>,
    /// Whether the last line has not ended yet.
    open: bool,
}

impl Lines<'_> {
    fn end_line(&mut self) {
        if self.bytes.last() == Some(&b'\r')
            && self.bytes.len() > self.offsets.last().map_or(0, |at| *at as usize)
        {
            self.bytes.pop();
        }
        self.offsets.push(self.bytes.len() as i32);
        self.open = false;
    }

    /// Hands on the lines that have ended.
    fn hand_on(&mut self) -> io::Result<()> {
        let end = self.offsets.last().map_or(0, |at| *at as usize);
        let rest = self.bytes.split_off(end);
        let bytes = std::mem::replace(&mut self.bytes, rest);
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        self.bytes.reserve(BATCH);
        if offsets.len() == 1 {
            return Ok(());
        }
        let lines = lines_of(bytes, offsets);
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), vec![Arc::new(lines)]);
        let sent = self.into.blocking_send(batch.map_err(Into::into));
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

fn lines_of(bytes: Vec<u8>, offsets: Vec<i32>) -> StringArray {
    let bounds = OffsetBuffer::new(ScalarBuffer::from(offsets));
    let values = Buffer::from_vec(bytes);
    match StringArray::try_new(bounds.clone(), values.clone(), None) {
        Ok(lines) => lines,
        Err(_) => {
            let lines = bounds.windows(2).map(|ends| &values[ends[0] as usize..ends[1] as usize]);
            StringArray::from_iter_values(lines.map(String::from_utf8_lossy))
        }
    }
}

impl Write for Lines<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > i32::MAX as usize {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a line of more than 2 GB"));
        }
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', bytes) {
            self.bytes.extend_from_slice(&bytes[start..end]);
            self.end_line();
            start = end + 1;
        }
        if start < bytes.len() {
            self.bytes.extend_from_slice(&bytes[start..]);
            self.open = true;
        }
        if self.bytes.len() >= BATCH && self.offsets.len() > 1 {
            self.hand_on()?;
        }
        Ok(bytes.len())
    }

    /// The end of a split: all lines have ended.
    fn flush(&mut self) -> io::Result<()> {
        if self.open {
            self.end_line();
        }
        self.hand_on()
    }
}
