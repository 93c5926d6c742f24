//! SHOW and DESCRIBE.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::memory::MemoryStream;
use headwater_archive::ArchiveStatus;
use headwater_plan::statement::{Kind, Name, Show};
use headwater_plan::{Entry, sql_type};

use super::state::Inner;
use super::triggers::TriggerStatus;
use crate::Figure;
use crate::error::Result;

/// Rows that are there already, as a stream of batches.
pub(crate) fn rows(batch: RecordBatch) -> Result<SendableRecordBatchStream> {
    let schema = batch.schema();
    Ok(Box::pin(MemoryStream::try_new(vec![batch], schema, None)?))
}

/// Lines of text as rows of one column.
pub(super) fn lines<'a>(
    column: &str,
    lines: impl Iterator<Item = &'a str>,
) -> Result<SendableRecordBatchStream> {
    rows(texts(&[column], &lines.map(|line| vec![Some(line.to_owned())]).collect::<Vec<_>>())?)
}

/// A batch of text columns.
pub(super) fn texts(columns: &[&str], rows: &[Vec<Option<String>>]) -> Result<RecordBatch> {
    let fields: Vec<Field> = columns.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect();
    let column = |nth: usize| {
        Arc::new(rows.iter().map(|row| row[nth].as_deref()).collect::<StringArray>()) as ArrayRef
    };
    let arrays = (0..columns.len()).map(column).collect();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}

/// A batch of columns, each of which may have nulls.
fn columns<const N: usize>(columns: [(&str, ArrayRef); N]) -> Result<RecordBatch> {
    let columns = columns.map(|(name, column)| (name, column, true));
    Ok(RecordBatch::try_from_iter_with_nullable(columns)?)
}

fn text(values: impl Iterator<Item = Option<String>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

/// Numbers of rows, or of what else is counted.
fn count(values: impl Iterator<Item = Option<u64>>) -> ArrayRef {
    Arc::new(values.map(|count| count.map(u64::cast_signed)).collect::<Int64Array>())
}

impl Inner {
    /// `SHOW ...`.
    pub fn show(self: &Arc<Self>, what: Show) -> Result<SendableRecordBatchStream> {
        let wanted: &[Kind] = match what {
            Show::Streams => &[Kind::Stream],
            Show::Tables => &[Kind::Stream, Kind::Table, Kind::View, Kind::MaterializedView],
            Show::Views => &[Kind::View, Kind::MaterializedView],
            Show::SystemTables => return self.show_system_tables(),
            Show::Jobs => return self.show_jobs(),
            Show::Alarms => &[Kind::Alarm],
            Show::ScalingGroups => &[Kind::ScalingGroup],
            Show::ScalingPolicies => &[Kind::ScalingPolicy],
            Show::Functions => return self.show_functions(),
            Show::UserFunctions => return self.show_user_functions(),
            Show::Archives => return self.show_archives(),
            Show::Triggers => return self.show_triggers(),
        };
        let catalog = self.catalog();
        let found: Vec<_> = catalog
            .entries()
            .filter(|entry| wanted.contains(&entry.kind()))
            .map(|entry| vec![Some(entry.name().to_owned()), Some(entry.kind().to_string())])
            .collect();
        rows(texts(&["name", "kind"], &found)?)
    }

    fn show_system_tables(self: &Arc<Self>) -> Result<SendableRecordBatchStream> {
        let is_one = |name: &String| name.strip_prefix("system.").is_some_and(|rest| !rest.contains('.'));
        let names: BTreeSet<String> = self.tables().names().into_iter().filter(is_one).collect();
        rows(columns([("name", text(names.into_iter().map(Some)))])?)
    }

    fn show_jobs(self: &Arc<Self>) -> Result<SendableRecordBatchStream> {
        let jobs = self.job_statuses();
        rows(columns([
            ("name", text(jobs.iter().map(|job| Some(job.name.clone())))),
            ("state", text(jobs.iter().map(|job| Some(job.shown_state().to_owned())))),
            ("target", text(jobs.iter().map(|job| Some(job.target.clone())))),
            ("rows_in", count(jobs.iter().map(|job| job.known(Figure::RowsIn, job.rows_in)))),
            ("rows_out", count(jobs.iter().map(|job| job.known(Figure::RowsOut, job.rows_out)))),
            (
                "watermark",
                text(jobs.iter().map(|job| job.knows(Figure::Steps).then(|| job.watermark.to_string()))),
            ),
            ("error", text(jobs.iter().map(|job| job.error.clone()))),
        ])?)
    }

    fn show_archives(&self) -> Result<SendableRecordBatchStream> {
        let archives = self.archive_statuses();
        let of = |column: fn(&ArchiveStatus) -> Option<String>| {
            text(archives.iter().map(|(_, status)| column(status)))
        };
        rows(columns([
            ("name", text(archives.iter().map(|(name, _)| Some(name.clone())))),
            ("stream", of(|status| Some(status.stream.clone()))),
            ("place", of(|status| Some(status.place.clone()))),
            ("state", of(|status| Some(status.state.to_owned()))),
            ("rows", count(archives.iter().map(|(_, status)| Some(status.rows)))),
            ("lag", count(archives.iter().map(|(_, status)| Some(status.lag)))),
            ("error", of(|status| status.last_error.clone())),
        ])?)
    }

    fn show_triggers(self: &Arc<Self>) -> Result<SendableRecordBatchStream> {
        let triggers = self.triggers();
        let of = |column: fn(&TriggerStatus) -> Option<String>| text(triggers.iter().map(column));
        rows(columns([
            ("name", of(|trigger| Some(trigger.name.clone()))),
            ("state", of(|trigger| Some(trigger.state.to_owned()))),
            ("on", of(|trigger| Some(trigger.on.clone()))),
            ("condition", of(|trigger| Some(trigger.condition.clone()))),
            ("action", of(|trigger| Some(trigger.action.clone()))),
            ("firings", count(triggers.iter().map(|trigger| Some(trigger.firings)))),
            ("last_fired", of(|trigger| trigger.last_fired.map(|time| time.to_string()))),
            ("last_error", of(|trigger| trigger.last_error.clone())),
        ])?)
    }

    /// `DESCRIBE name`: its columns, and which of them carries event time.
    pub fn describe(self: &Arc<Self>, name: &Name) -> Result<SendableRecordBatchStream> {
        let catalog = self.catalog();
        let table = &name.value;
        let (schema, watermark) = match catalog.get(table) {
            Some(Entry::Stream(def) | Entry::Table(def)) => {
                (self.planner.columns_of(&catalog, &self.tables(), def)?, def.watermark.clone())
            }
            Some(Entry::View(view)) => {
                let plan = self.planner.batch(&catalog, &self.tables(), &view.query)?;
                (Arc::clone(plan.schema().inner()), None)
            }
            _ => match self.tables().provider(table) {
                Some(provider) => (provider.schema(), None),
                None => return Err(catalog.unknown(name, "stream, table or view").into()),
            },
        };
        let fields = schema
            .fields()
            .iter()
            .filter(|field| !headwater_plan::METADATA_COLUMNS.contains(&field.name().as_str()));
        let fields: Vec<_> = fields.collect();
        let mark = |field: &&Arc<Field>| {
            let watermark = watermark.as_ref().filter(|watermark| watermark.column == *field.name())?;
            let per = if watermark.per.is_empty() {
                String::new()
            } else {
                format!(" PER {}", watermark.per.join(", "))
            };
            Some(format!("{}{per}", watermark.expr))
        };
        let out = Schema::new(vec![
            Field::new("column", DataType::Utf8, false),
            Field::new("type", DataType::Utf8, false),
            Field::new("nullable", DataType::Boolean, false),
            Field::new("watermark", DataType::Utf8, true),
        ]);
        let columns = vec![
            text(fields.iter().map(|field| Some(field.name().clone()))),
            text(fields.iter().map(|field| Some(sql_type(field.data_type())))),
            Arc::new(fields.iter().map(|field| Some(field.is_nullable())).collect::<BooleanArray>()),
            text(fields.iter().map(mark)),
        ];
        rows(RecordBatch::try_new(Arc::new(out), columns)?)
    }
}
