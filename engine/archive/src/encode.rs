//! A range's rows as Parquet: split into partitions, sorted if wanted, one file each.
//!
//! The same rows and settings give the same bytes: rows are put together and cut anew, however the log held them. So a part of an
//! upload that is there already can be told from its checksum.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, TimestampNanosecondArray, UInt32Array};
use arrow::compute::{SortColumn, lexsort_to_indices, take_record_batch};
use arrow::datatypes::{SchemaRef, TimeUnit};
use bytes::Bytes;
use headwater_core::time::nanos_per;
use parquet::arrow::{ArrowSchemaConverter, ArrowWriter};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;

use crate::error::Result;
use crate::gather::event_times;
use crate::identity::Identity;
use crate::layout::{self, ARRIVAL, SEQUENCE};
use crate::manifest::{FileInfo, Span};
use crate::settings::{Codec, Partition, Remembered, Settings};

/// The key under which a file says what it is.
pub(crate) const ABOUT: &str = "headwater.archive";

/// So many rows are handed to the writer at once.
const SLICE_ROWS: usize = 65_536;

/// What a file says of itself, in its footer.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct About {
    pub stream: String,
    pub created: i64,
    #[serde(flatten)]
    pub span: Span,
    pub settings: Remembered,
}

/// A file, ready to be put.
pub(crate) struct Encoded {
    /// What the manifest will say of it.
    pub info: FileInfo,
    /// All of it.
    pub bytes: Bytes,
}

/// The files of a range, in the order of their names.
pub(crate) fn encode(
    rows: RecordBatch,
    span: &Span,
    whose: &Identity,
    settings: &Settings,
) -> Result<Vec<Encoded>> {
    let times = event_times(&rows, whose.event_time.as_deref())?;
    let mut files = Vec::new();
    for (partition, rows) in split(rows, times.as_ref(), whose.partition)? {
        files.push(encode_file(rows, layout::file(span, &partition), span, whose, settings)?);
    }
    files.sort_by(|a, b| a.info.path.cmp(&b.info.path));
    Ok(files)
}

fn split(
    rows: RecordBatch,
    times: Option<&TimestampNanosecondArray>,
    by: Partition,
) -> Result<Vec<(String, RecordBatch)>> {
    let unit = match by {
        Partition::None => return Ok(vec![(String::new(), rows)]),
        Partition::Day => 86_400 * nanos_per(TimeUnit::Second),
        Partition::Hour => 3_600 * nanos_per(TimeUnit::Second),
    };
    let mut parts: BTreeMap<Option<i64>, Vec<u32>> = BTreeMap::new();
    for row in 0..rows.num_rows() {
        let time = times.filter(|times| times.is_valid(row)).map(|times| times.value(row));
        parts.entry(time.map(|time| time.div_euclid(unit))).or_default().push(row as u32);
    }
    let name = |key: Option<i64>| layout::partition(by, key.map(|key| key * unit));
    if parts.len() == 1 {
        return Ok(parts.into_keys().map(|key| (name(key), rows.clone())).collect());
    }
    let part = |(key, indices): (Option<i64>, Vec<u32>)| {
        Ok((name(key), take_record_batch(&rows, &UInt32Array::from(indices))?))
    };
    parts.into_iter().map(part).collect()
}

fn encode_file(
    mut rows: RecordBatch,
    path: String,
    span: &Span,
    whose: &Identity,
    settings: &Settings,
) -> Result<Encoded> {
    let times = event_times(&rows, whose.event_time.as_deref())?;
    let event_time =
        times.as_ref().and_then(|times| Some((arrow::compute::min(times)?, arrow::compute::max(times)?)));
    let arrivals = event_times(&rows, Some(ARRIVAL))?;
    let arrival =
        arrivals.as_ref().and_then(|times| Some((arrow::compute::min(times)?, arrow::compute::max(times)?)));
    if !settings.sort.is_empty() {
        rows = sort(&rows, &settings.sort)?;
    }
    let sorted = !in_sequence(&rows);
    let schema = rows.schema();
    let mut writer = ArrowWriter::try_new(
        Vec::new(),
        Arc::clone(&schema),
        Some(properties(&schema, span, whose, settings)?),
    )?;
    for from in (0..rows.num_rows()).step_by(SLICE_ROWS) {
        writer.write(&rows.slice(from, SLICE_ROWS.min(rows.num_rows() - from)))?;
    }
    let bytes = Bytes::from(writer.into_inner()?);
    let info = FileInfo {
        path,
        rows: rows.num_rows() as u64,
        bytes: bytes.len() as u64,
        crc32c: crc32c(&bytes),
        sorted,
        event_time,
        arrival: arrival.unwrap_or_default(),
    };
    Ok(Encoded { info, bytes })
}

fn sort(rows: &RecordBatch, by: &[String]) -> Result<RecordBatch> {
    // By sequence at last, so that there is one order only.
    let columns =
        by.iter().map(String::as_str).chain([SEQUENCE]).filter_map(|name| rows.column_by_name(name));
    let columns: Vec<_> =
        columns.map(|values: &ArrayRef| SortColumn { values: Arc::clone(values), options: None }).collect();
    Ok(take_record_batch(rows, &lexsort_to_indices(&columns, None)?)?)
}

/// The sequence numbers of rows of an archive.
pub(crate) fn sequences(rows: &RecordBatch) -> Option<&Int64Array> {
    rows.column_by_name(SEQUENCE)?.as_any().downcast_ref()
}

fn in_sequence(rows: &RecordBatch) -> bool {
    sequences(rows).is_some_and(|sequences| sequences.values().is_sorted())
}

pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

fn properties(
    schema: &SchemaRef,
    span: &Span,
    whose: &Identity,
    settings: &Settings,
) -> Result<WriterProperties> {
    let about = About {
        stream: whose.stream.clone(),
        created: whose.created,
        span: *span,
        settings: settings.remembered(),
    };
    let about = KeyValue::new(ABOUT.to_owned(), serde_json::to_string(&about).unwrap_or_default());
    let compression = match settings.codec {
        Codec::None => Compression::UNCOMPRESSED,
        Codec::Snappy => Compression::SNAPPY,
        Codec::Lz4 => Compression::LZ4_RAW,
        Codec::Zstd(level) => Compression::ZSTD(ZstdLevel::try_new(level)?),
    };
    let mut builder = WriterProperties::builder()
        .set_created_by("headwater".to_owned())
        .set_compression(compression)
        .set_max_row_group_row_count(Some(settings.row_group_rows))
        .set_key_value_metadata(Some(vec![about]))
        .set_sorting_columns(sorting(schema, settings)?);
    // These hardly repeat: a dictionary of them would be thrown away after it was made.
    for dense in [Some(SEQUENCE), whose.event_time.as_deref()].into_iter().flatten() {
        builder = builder
            .set_column_dictionary_enabled(ColumnPath::from(dense), false)
            .set_column_encoding(ColumnPath::from(dense), Encoding::DELTA_BINARY_PACKED);
    }
    for column in &settings.bloom {
        builder = builder.set_column_bloom_filter_enabled(ColumnPath::from(column.as_str()), true);
    }
    Ok(page_index(builder, settings).build())
}

fn page_index(mut builder: WriterPropertiesBuilder, settings: &Settings) -> WriterPropertiesBuilder {
    let Some(columns) = &settings.page_index else { return builder };
    builder = builder.set_statistics_enabled(EnabledStatistics::Chunk);
    for column in columns.iter().map(String::as_str).chain([SEQUENCE]) {
        builder = builder.set_column_statistics_enabled(ColumnPath::from(column), EnabledStatistics::Page);
    }
    builder
}

/// The order of the rows, for readers that make use of it.
fn sorting(schema: &SchemaRef, settings: &Settings) -> Result<Option<Vec<SortingColumn>>> {
    let parquet = ArrowSchemaConverter::new().convert(schema)?;
    let leaf = |name: &str| parquet.columns().iter().position(|column| column.path().string() == name);
    let by = settings.sort.iter().map(String::as_str).chain([SEQUENCE]);
    let column = |name: &str| {
        Some(SortingColumn { column_idx: leaf(name)? as i32, descending: false, nulls_first: true })
    };
    Ok(by.map(column).collect())
}
