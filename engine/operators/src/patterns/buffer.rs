//! Where rows are kept while they may still be part of a match: the batches that they came in, and the columns
//! computed from them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::{interleave, take_record_batch};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::physical_expr::PhysicalExpr;
use headwater_core::size::{bytes_of_column, bytes_of_rows};

use super::spec::NAME;
use crate::error::Result;
use crate::uncomputed::column_or_null;

/// Fewer rows than this are not worth packing.
const PACK_MIN: usize = 4_096;

/// Up to so many batches may be smaller than [`BATCH_MIN`] rows.
const BATCHES_MIN: usize = 64;

const BATCH_MIN: usize = 64;

/// A row: the batch and the row in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Place {
    pub(super) batch: u32,
    pub(super) row: u32,
}

struct Kept {
    batch: RecordBatch,
    /// Columns computed from it.
    operands: Vec<ArrayRef>,
    /// How many of its rows are still wanted.
    live: usize,
    bytes: usize,
}

/// Batches of rows, by number.
pub(super) struct Buffer {
    schema: SchemaRef,
    operands: Vec<Arc<dyn PhysicalExpr>>,
    types: Vec<DataType>,
    batches: Vec<Option<Kept>>,
    free: Vec<u32>,
    live: usize,
    held: usize,
    bytes: usize,
}

impl Buffer {
    pub(super) fn new(schema: SchemaRef, operands: Vec<Arc<dyn PhysicalExpr>>) -> Result<Self> {
        let types = operands.iter().map(|operand| Ok(operand.data_type(&schema)?)).collect::<Result<_>>()?;
        Ok(Self {
            schema,
            operands,
            types,
            batches: Vec::new(),
            free: Vec::new(),
            live: 0,
            held: 0,
            bytes: 0,
        })
    }

    /// Keeps all rows of a batch, and answers its number.
    pub(super) fn add(&mut self, batch: RecordBatch) -> Result<u32> {
        let operands = self
            .operands
            .iter()
            .map(|operand| column_or_null(operand, &batch, NAME))
            .collect::<Result<Vec<_>>>()?;
        let rows = batch.num_rows();
        self.live += rows;
        self.held += rows;
        let bytes = size_of_rows(&batch, &operands);
        self.bytes += bytes;
        let kept = Some(Kept { batch, operands, live: rows, bytes });
        Ok(match self.free.pop() {
            Some(number) => {
                self.batches[number as usize] = kept;
                number
            }
            None => {
                self.batches.push(kept);
                self.batches.len() as u32 - 1
            }
        })
    }

    fn kept(&self, batch: u32) -> &Kept {
        self.batches[batch as usize].as_ref().expect("a row that is wanted keeps its batch")
    }

    /// The computed columns of a batch.
    pub(super) fn operands(&self, batch: u32) -> &[ArrayRef] {
        &self.kept(batch).operands
    }

    /// A computed column where a row's value is.
    pub(super) fn value(&self, operand: usize, place: Place) -> (&ArrayRef, usize) {
        (&self.kept(place.batch).operands[operand], place.row as usize)
    }

    pub(super) fn release(&mut self, place: Place) {
        let slot = &mut self.batches[place.batch as usize];
        let kept = slot.as_mut().expect("a row that is wanted keeps its batch");
        kept.live -= 1;
        self.live -= 1;
        if kept.live == 0 {
            self.held -= kept.batch.num_rows();
            self.bytes -= kept.bytes;
            *slot = None;
            self.free.push(place.batch);
        }
    }

    /// A computed column of certain rows; NULL where there is none.
    pub(super) fn gather_operand(&self, operand: usize, places: &[Option<Place>]) -> Result<ArrayRef> {
        let column = |batch| Arc::clone(&self.kept(batch).operands[operand]);
        gather(places, &self.types[operand], self.batches.len(), column)
    }

    /// A column of the input of certain rows.
    pub(super) fn gather_column(&self, column: usize, places: &[Option<Place>]) -> Result<ArrayRef> {
        let kind = self.schema.field(column).data_type();
        let column = |batch| Arc::clone(self.kept(batch).batch.column(column));
        gather(places, kind, self.batches.len(), column)
    }

    /// How many rows are wanted.
    pub(super) fn len(&self) -> usize {
        self.live
    }

    /// Whether most of what is held is not wanted any more, or there are many small batches.
    pub(super) fn wants_packing(&self) -> bool {
        let waste = self.held > PACK_MIN && self.held > 2 * self.live;
        waste || self.batches.len() > BATCHES_MIN + self.live / BATCH_MIN
    }

    /// Copies the rows at these places, which must be all that are wanted, and forgets the old batches. The places
    /// become those of the copies.
    pub(super) fn pack(&mut self, places: &mut [&mut Place]) -> Result<()> {
        debug_assert_eq!(places.len(), self.live, "all wanted rows are named");
        let mut order: Vec<u32> = (0..places.len() as u32).collect();
        order.sort_unstable_by_key(|nth| {
            let place = &places[*nth as usize];
            (place.batch, place.row)
        });
        let mut parts = Vec::new();
        for run in order.chunk_by(|a, b| places[*a as usize].batch == places[*b as usize].batch) {
            let rows: UInt32Array =
                run.iter().map(|nth| places[*nth as usize].row).collect::<Vec<_>>().into();
            parts.push(take_record_batch(&self.kept(places[run[0] as usize].batch).batch, &rows)?);
        }
        let packed = arrow::compute::concat_batches(&self.schema, &parts)?;
        (self.batches, self.free) = (Vec::new(), Vec::new());
        (self.live, self.held, self.bytes) = (0, 0, 0);
        if packed.num_rows() > 0 {
            let batch = self.add(packed)?;
            for (row, nth) in order.into_iter().enumerate() {
                *places[nth as usize] = Place { batch, row: row as u32 };
            }
        }
        Ok(())
    }

    pub(super) fn size(&self) -> usize {
        self.bytes + self.batches.capacity() * size_of::<Option<Kept>>()
    }
}

fn size_of_rows(batch: &RecordBatch, operands: &[ArrayRef]) -> usize {
    let computed = operands.iter().filter(|operand| {
        // A column that is looked at as it is takes no memory of its own.
        !batch.columns().iter().any(|column| Arc::ptr_eq(column, operand))
    });
    bytes_of_rows(batch) + computed.map(|operand| bytes_of_column(operand)).sum::<usize>()
}

fn gather(
    places: &[Option<Place>],
    kind: &DataType,
    batches: usize,
    column: impl Fn(u32) -> ArrayRef,
) -> Result<ArrayRef> {
    // The first source is NULL; 0 stands for a batch that is not a source yet.
    let mut sources: Vec<ArrayRef> = vec![new_null_array(kind, 1)];
    let mut of_batch = vec![0; batches];
    let mut indices = Vec::with_capacity(places.len());
    for place in places {
        let Some(place) = place else {
            indices.push((0, 0));
            continue;
        };
        let source: &mut usize = &mut of_batch[place.batch as usize];
        if *source == 0 {
            *source = sources.len();
            sources.push(column(place.batch));
        }
        indices.push((*source, place.row as usize));
    }
    let sources: Vec<&dyn Array> = sources.iter().map(|source| source.as_ref()).collect();
    Ok(interleave(&sources, &indices)?)
}
