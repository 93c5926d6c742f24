//! Which row groups and pages of a file may hold rows within bounds, by their statistics.
//!
//! Floating-point columns do not count: Parquet's statistics pass over NaN, which compares greater than every number.

use arrow::array::{Array, ArrayRef, BooleanArray, Scalar, UInt64Array};
use arrow::compute::cast;
use arrow::compute::kernels::cmp;
use arrow::datatypes::SchemaRef;
use headwater_log::ColumnBound;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use parquet::file::metadata::ParquetMetaData;

use crate::error::Result;
use crate::manifest::FileInfo;

/// A bound on a column, by name.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    pub column: String,
    min: Option<ArrayRef>,
    max: Option<ArrayRef>,
}

impl Bound {
    /// The bounds of a reader of the log.
    pub fn of(bounds: &[ColumnBound], schema: &SchemaRef) -> Vec<Self> {
        let named = |bound: &ColumnBound| {
            let field = schema.fields().get(bound.column)?;
            let counts = !field.data_type().is_floating() && !field.data_type().is_nested();
            counts.then(|| Self {
                column: field.name().clone(),
                min: bound.min.clone(),
                max: bound.max.clone(),
            })
        };
        bounds.iter().filter_map(named).collect()
    }

    /// For each pair of a least and a greatest value, whether something between may be within the bound. NULL: not known.
    fn may_match(&self, mins: &ArrayRef, maxes: &ArrayRef) -> Result<Vec<bool>> {
        let mut keep = vec![true; mins.len()];
        let mut rule_out = |out: BooleanArray| {
            for (keep, out) in keep.iter_mut().zip(out.iter()) {
                *keep &= out != Some(true);
            }
        };
        if let Some(min) = &self.min {
            rule_out(cmp::lt(&cast(maxes, min.data_type())?, &Scalar::new(min))?);
        }
        if let Some(max) = &self.max {
            rule_out(cmp::gt(&cast(mins, max.data_type())?, &Scalar::new(max))?);
        }
        Ok(keep)
    }

    /// Whether a file may hold rows within the bound, if this is the column with event time.
    fn may_be_in(&self, file: &FileInfo) -> bool {
        let Some((least, greatest)) = file.event_time else { return true };
        let nanos = |bound: &Option<ArrayRef>| {
            let unit = match bound.as_ref()?.data_type() {
                arrow::datatypes::DataType::Timestamp(unit, _) => headwater_core::time::nanos_per(*unit),
                _ => return None,
            };
            let raw = cast(bound.as_ref()?, &arrow::datatypes::DataType::Int64).ok()?;
            let raw = raw.as_any().downcast_ref::<arrow::array::Int64Array>()?;
            raw.is_valid(0).then(|| raw.value(0).saturating_mul(unit))
        };
        nanos(&self.min).is_none_or(|min| greatest >= min) && nanos(&self.max).is_none_or(|max| least <= max)
    }
}

/// Whether a file may hold rows within all bounds, by what the manifest says of it.
pub(crate) fn file_may_match(file: &FileInfo, event_time: Option<&str>, bounds: &[Bound]) -> bool {
    bounds.iter().filter(|bound| Some(bound.column.as_str()) == event_time).all(|bound| bound.may_be_in(file))
}

/// The row groups that may hold rows within all bounds, and which of their rows, if pages can be left out.
pub(crate) fn rows_to_read(
    metadata: &ParquetMetaData,
    schema: &SchemaRef,
    bounds: &[Bound],
) -> Result<(Vec<usize>, Option<RowSelection>)> {
    let groups = metadata.row_groups();
    let mut keep = vec![true; groups.len()];
    let mut converters = Vec::new();
    for bound in bounds.iter().filter(|bound| schema.index_of(&bound.column).is_ok()) {
        let parquet = metadata.file_metadata().schema_descr();
        let converter = StatisticsConverter::try_new(&bound.column, schema, parquet)?;
        let (mins, maxes) = (converter.row_group_mins(groups)?, converter.row_group_maxes(groups)?);
        for (keep, may) in keep.iter_mut().zip(bound.may_match(&mins, &maxes)?) {
            *keep &= may;
        }
        converters.push((bound, converter));
    }
    let kept: Vec<usize> = (0..groups.len()).filter(|group| keep[*group]).collect();
    let (Some(columns), Some(offsets)) = (metadata.column_index(), metadata.offset_index()) else {
        return Ok((kept, None));
    };
    let mut selection: Option<RowSelection> = None;
    for (bound, converter) in converters {
        let mins = converter.data_page_mins(columns, offsets, &kept)?;
        let maxes = converter.data_page_maxes(columns, offsets, &kept)?;
        let Some(counts) = converter.data_page_row_counts(offsets, groups, &kept)? else { continue };
        if counts.len() != mins.len() || counts.null_count() > 0 {
            continue;
        }
        let pages = select(&bound.may_match(&mins, &maxes)?, &counts);
        selection = Some(selection.map_or(pages.clone(), |selection| selection.intersection(&pages)));
    }
    Ok((kept, selection))
}

fn select(keep: &[bool], counts: &UInt64Array) -> RowSelection {
    let selector = |(keep, rows): (&bool, &u64)| match keep {
        true => RowSelector::select(*rows as usize),
        false => RowSelector::skip(*rows as usize),
    };
    keep.iter().zip(counts.values()).map(selector).collect::<Vec<_>>().into()
}
