//! Reads the rows of a range in the order of their sequence numbers, fetching only what is wanted.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::{SortColumn, concat_batches, lexsort_to_indices, take_record_batch};
use arrow::datatypes::{Schema, SchemaRef};
use parquet::DecodeResult;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::push_decoder::{ParquetPushDecoder, ParquetPushDecoderBuilder};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataPushDecoder};

use crate::encode::sequences;
use crate::error::{ArchiveError, Result};
use crate::gather::fit;
use crate::layout::SEQUENCE;
use crate::manifest::{FileInfo, Range};
use crate::place::Place;
use crate::prune::{Bound, rows_to_read};

/// So many rows come at once.
const BATCH_ROWS: usize = 65_536;
/// So much of a file's end is fetched at first: footers are seldom larger.
const TAIL_BYTES: u64 = 64 << 10;

/// What to read of a file.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// The columns to come, in this order; those that a file lacks are NULL. `_sequence` is among them.
    pub schema: SchemaRef,
    /// Bounds that leave out row groups and pages.
    pub bounds: Vec<Bound>,
}

/// The rows of a file, as they lie.
pub(crate) struct FileReader {
    place: Place,
    path: String,
    schema: SchemaRef,
    decoder: ParquetPushDecoder,
}

impl FileReader {
    /// Starts to read a file whose footer is known.
    pub fn new(place: Place, file: &FileInfo, footer: Arc<ParquetMetaData>, wanted: &Wanted) -> Result<Self> {
        let metadata = ArrowReaderMetadata::try_new(Arc::clone(&footer), ArrowReaderOptions::new())?;
        let there = Arc::clone(metadata.schema());
        let roots = (0..there.fields().len())
            .filter(|root| wanted.schema.index_of(there.field(*root).name()).is_ok());
        let mask = ProjectionMask::roots(metadata.parquet_schema(), roots.collect::<Vec<_>>());
        let (groups, selection) = rows_to_read(&footer, &there, &wanted.bounds)?;
        let mut builder = ParquetPushDecoderBuilder::new_with_metadata(metadata)
            .with_projection(mask)
            .with_batch_size(BATCH_ROWS)
            .with_row_groups(groups);
        if let Some(selection) = selection {
            builder = builder.with_row_selection(selection);
        }
        let decoder = builder.build()?;
        Ok(Self { place, path: file.path.clone(), schema: Arc::clone(&wanted.schema), decoder })
    }

    /// The next rows.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            match self.decoder.try_decode()? {
                DecodeResult::NeedsData(ranges) => {
                    let bytes = self.place.get_ranges(&self.path, &ranges).await?;
                    self.decoder.push_ranges(ranges, bytes)?;
                }
                DecodeResult::Data(batch) => return fit(&self.schema, batch).map(Some),
                DecodeResult::Finished => return Ok(None),
            }
        }
    }
}

/// Fetches a file's footer, and the statistics of its pages.
pub(crate) async fn fetch_footer(place: &Place, file: &FileInfo) -> Result<Arc<ParquetMetaData>> {
    let mut decoder =
        ParquetMetaDataPushDecoder::try_new(file.bytes)?.with_page_index_policy(PageIndexPolicy::Optional);
    let tail = file.bytes.saturating_sub(TAIL_BYTES)..file.bytes;
    let bytes = place.get_ranges(&file.path, std::slice::from_ref(&tail)).await?;
    decoder.push_ranges(vec![tail], bytes)?;
    loop {
        match decoder.try_decode()? {
            DecodeResult::NeedsData(ranges) => {
                let bytes = place.get_ranges(&file.path, &ranges).await?;
                decoder.push_ranges(ranges, bytes)?;
            }
            DecodeResult::Data(metadata) => return Ok(Arc::new(metadata)),
            DecodeResult::Finished => {
                return Err(ArchiveError::damaged(place.show(&file.path), "it has no footer"));
            }
        }
    }
}

/// The rows of some files by sequence number, all at once: for files that are sorted otherwise, or share a range.
pub(crate) async fn read_ordered(readers: Vec<FileReader>, schema: &SchemaRef) -> Result<RecordBatch> {
    let mut batches = Vec::new();
    for mut reader in readers {
        while let Some(batch) = reader.next().await? {
            batches.push(batch);
        }
    }
    let all = concat_batches(schema, &batches)?;
    let Some(sequence) = all.column_by_name(SEQUENCE) else { return Ok(all) };
    let by = SortColumn { values: Arc::clone(sequence), options: None };
    let order = lexsort_to_indices(&[by], None)?;
    Ok(take_record_batch(&all, &order)?)
}

/// All rows of some ranges with all their columns, in order: for what works on whole files.
pub(crate) async fn read_whole(place: &Place, ranges: &[Range]) -> Result<RecordBatch> {
    let files = || ranges.iter().flat_map(|range| &range.files);
    let mut footers = Vec::new();
    let mut schema: Option<SchemaRef> = None;
    for file in files() {
        let footer = fetch_footer(place, file).await?;
        let metadata = ArrowReaderMetadata::try_new(Arc::clone(&footer), ArrowReaderOptions::new())?;
        let there = Arc::clone(metadata.schema());
        // Columns are only ever added, so the longest schema is the newest.
        if schema.as_ref().is_none_or(|known| there.fields().len() >= known.fields().len()) {
            schema = Some(Arc::new(Schema::new(there.fields().clone())));
        }
        footers.push(footer);
    }
    let Some(schema) = schema else { return Ok(RecordBatch::new_empty(Arc::new(Schema::empty()))) };
    let wanted = Wanted { schema, bounds: Vec::new() };
    let readers = files()
        .zip(footers)
        .map(|(file, footer)| FileReader::new(place.clone(), file, footer, &wanted))
        .collect::<Result<Vec<_>>>()?;
    let rows = read_ordered(readers, &wanted.schema).await?;
    check_dense(place, ranges, &rows)?;
    Ok(rows)
}

/// Whether rows are those of the ranges, each once.
pub(crate) fn check_dense(place: &Place, ranges: &[Range], rows: &RecordBatch) -> Result<()> {
    let (Some(first), Some(last)) = (ranges.first(), ranges.last()) else { return Ok(()) };
    let expected = first.span.first as i64..last.span.next as i64;
    let fits =
        sequences(rows).is_some_and(|sequences| sequences.values().iter().copied().eq(expected.clone()));
    if fits {
        return Ok(());
    }
    let name = first.files.first().map_or("", |file| file.path.as_str());
    let reason =
        format!("its range and those after it, up to row {}, do not hold each row once", expected.end);
    Err(ArchiveError::damaged(place.show(name), reason))
}

/// Where consecutive sequence numbers begin in sorted ones, and how many there are.
pub(crate) fn runs(sequences: &[i64]) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (at, sequence) in sequences.iter().enumerate() {
        match runs.last_mut() {
            Some((from, rows)) if sequences[*from] + *rows as i64 == *sequence => *rows += 1,
            _ => runs.push((at, 1)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_found() {
        assert_eq!(runs(&[3, 4, 5, 9, 11, 12]), [(0, 3), (3, 1), (4, 2)]);
        assert_eq!(runs(&[]), []);
    }
}
