//! A stream's archived rows in a query: its Parquet files, read by DataFusion, with all that it leaves out by statistics.
//!
//! ```text
//!  archive   |== 0..100 ==|== 100..220 ==|== 220..300 ==|
//!  log                         150 |======================|=======> next
//!  query     '---- files --------'         '---- log -------'
//! ```
//!
//! Whole ranges are read from files, as long as they begin before the log does; from there on the log.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::Session;
use datafusion::common::stats::Precision;
use datafusion::common::{DFSchema, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::conjunction;
use datafusion::physical_plan::ExecutionPlan;
use headwater_archive::{Archive, FileInfo};
use headwater_core::Sequence;
use headwater_log::{ColumnBound, LogError, ShardBounds};

use super::bounds::outside;
use super::stream::external;

/// So much of a file's end is fetched at once: with the footer in it.
const FOOTER_BYTES: usize = 64 << 10;

/// The files that a query reads, and what is left for the log.
pub(super) struct Archived {
    archive: Arc<Archive>,
    files: Vec<FileInfo>,
    /// What the log has to give.
    pub rest: Vec<ShardBounds>,
}

impl Archived {
    /// Splits a stream at the place where the log begins. `None`: the log has everything that there is.
    pub fn split(archive: Arc<Archive>, bounds: Vec<ShardBounds>) -> Result<Option<Self>> {
        if bounds.iter().all(|bounds| bounds.first == Sequence::ZERO) {
            return Ok(None);
        }
        let manifest = archive.manifest().map_err(|error| external(LogError::from(error)))?;
        let (mut files, mut rest) = (Vec::new(), bounds);
        for (shard, bounds) in (0..).zip(&mut rest) {
            // Rows between archive and log would be missing; then what is older does not count.
            let reaches = manifest.bounds(shard).is_some_and(|(_, next)| next >= bounds.first.0);
            for range in manifest.ranges(shard).iter().filter(|_| reaches) {
                if range.span.first >= bounds.first.0 {
                    break;
                }
                files.extend(range.files.iter().cloned());
                bounds.first = Sequence(range.span.next.max(bounds.first.0));
            }
        }
        Ok((!files.is_empty()).then_some(Self { archive, files, rest }))
    }

    /// The plan that reads the files.
    pub fn scan(
        self,
        state: &dyn Session,
        table: &SchemaRef,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        bounds: &[ColumnBound],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let time = self.archive.info().spec.event_time.as_deref().and_then(|name| table.index_of(name).ok());
        let may_match = |file: &&FileInfo| match (file.event_time, time) {
            (Some(times), Some(column)) => !outside(times, column, bounds),
            _ => true,
        };
        let files: Vec<_> = self.files.iter().filter(may_match).collect();
        let rows = files.iter().map(|file| file.rows as usize).sum();
        let url = ObjectStoreUrl::parse(format!("headwater-archive://stream-{}", self.archive.info().id))?;
        state.runtime_env().register_object_store(url.as_ref(), Arc::clone(self.archive.place().store()));
        let mut source = ParquetSource::new(Arc::clone(table))
            .with_metadata_size_hint(FOOTER_BYTES)
            .with_enable_page_index(true)
            .with_bloom_filter_on_read(true);
        if let Some(filter) = conjunction(filters.iter().cloned()) {
            let schema = DFSchema::try_from(table.as_ref().clone())?;
            source = source.with_predicate(state.create_physical_expr(filter, &schema)?);
        }
        // As many groups as there are threads to read them, each with about as many bytes.
        let mut groups =
            vec![(0, Vec::new()); state.config().target_partitions().clamp(1, files.len().max(1))];
        for file in files {
            if let Some(least) = groups.iter_mut().min_by_key(|(bytes, _)| *bytes) {
                least.0 += file.bytes;
                least.1.push(self.file(file));
            }
        }
        let statistics = Statistics { num_rows: Precision::Exact(rows), ..Statistics::new_unknown(table) };
        let config = FileScanConfigBuilder::new(url, Arc::new(source))
            .with_file_groups(groups.into_iter().map(|(_, files)| FileGroup::new(files)).collect())
            .with_statistics(statistics)
            .with_projection_indices(projection.cloned())?
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    fn file(&self, file: &FileInfo) -> PartitionedFile {
        PartitionedFile::new_from_meta(object_store::ObjectMeta {
            location: self.archive.place().path(&file.path),
            last_modified: chrono::DateTime::<chrono::Utc>::UNIX_EPOCH,
            size: file.bytes,
            e_tag: None,
            version: None,
        })
    }
}
