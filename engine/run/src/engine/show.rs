//! SHOW and DESCRIBE.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::memory::MemoryStream;
use headwater_plan::statement::{Kind, Name, Show};
use headwater_plan::{Entry, sql_type};

use super::state::Inner;
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

impl Inner {
    /// `SHOW ...`.
    pub fn show(self: &Arc<Self>, what: Show) -> Result<SendableRecordBatchStream> {
        let wanted: &[Kind] = match what {
            Show::Streams => &[Kind::Stream],
            Show::Tables => &[Kind::Stream, Kind::Table, Kind::View, Kind::MaterializedView],
            Show::Views => &[Kind::View, Kind::MaterializedView],
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

    fn show_jobs(self: &Arc<Self>) -> Result<SendableRecordBatchStream> {
        let found: Vec<_> = self
            .job_statuses()
            .into_iter()
            .map(|status| {
                vec![
                    Some(status.name.clone()),
                    Some(status.shown_state().to_owned()),
                    Some(status.target.clone()),
                    status.known(Figure::RowsIn, status.rows_in).map(|rows| rows.to_string()),
                    status.known(Figure::RowsOut, status.rows_out).map(|rows| rows.to_string()),
                    status.knows(Figure::Steps).then(|| status.watermark.to_string()),
                    status.error,
                ]
            })
            .collect();
        let columns = ["name", "state", "target", "rows_in", "rows_out", "watermark", "error"];
        rows(texts(&columns, &found)?)
    }

    fn show_archives(&self) -> Result<SendableRecordBatchStream> {
        let found: Vec<_> = self
            .archive_statuses()
            .into_iter()
            .map(|(name, status)| {
                vec![
                    Some(name),
                    Some(status.stream),
                    Some(status.place),
                    Some(status.state.to_owned()),
                    Some(status.rows.to_string()),
                    Some(status.lag.to_string()),
                    status.last_error,
                ]
            })
            .collect();
        rows(texts(&["name", "stream", "place", "state", "rows", "lag", "error"], &found)?)
    }

    fn show_triggers(self: &Arc<Self>) -> Result<SendableRecordBatchStream> {
        let found: Vec<_> = self
            .triggers()
            .into_iter()
            .map(|trigger| {
                vec![
                    Some(trigger.name),
                    Some(trigger.state.to_owned()),
                    Some(trigger.on),
                    Some(trigger.condition),
                    Some(trigger.action),
                    Some(trigger.firings.to_string()),
                    trigger.last_fired.map(|time| time.to_string()),
                    trigger.last_error,
                ]
            })
            .collect();
        let columns = ["name", "state", "on", "condition", "action", "firings", "last_fired", "last_error"];
        rows(texts(&columns, &found)?)
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
        let text = |values: Vec<Option<String>>| Arc::new(StringArray::from(values)) as ArrayRef;
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
            text(fields.iter().map(|field| Some(field.name().clone())).collect()),
            text(fields.iter().map(|field| Some(sql_type(field.data_type()))).collect()),
            Arc::new(fields.iter().map(|field| Some(field.is_nullable())).collect::<BooleanArray>()),
            text(fields.iter().map(mark).collect()),
        ];
        rows(RecordBatch::try_new(Arc::new(out), columns)?)
    }
}
