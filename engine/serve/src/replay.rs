//! `POST /v1/jobs/NAME/replay`: a job, or another definition of it, over a stretch of history.
//!
//! The answer is rows. When the difference to what the job said is asked for, a first column `_change` says `-` for rows that
//! only the job said and `+` for rows that only the replay says. Counts are in the headers.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::stream;
use headwater_core::EventTime;
use headwater_run::{ReplayReport, ReplaySpec};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::{ApiError, ErrorBody};
use crate::state::App;
use crate::{body, rows};

/// What is to be replayed; everything may be left out.
#[derive(Deserialize, Serialize, ToSchema, Default, Debug)]
#[serde(default, deny_unknown_fields)]
pub struct ReplayRequest {
    /// Another query in place of the job's own.
    pub query: Option<String>,
    /// Only results with a time at or after this (RFC 3339): their event time or, where the query gives none, their first timestamp.
    pub from: Option<String>,
    /// Only results before this.
    pub to: Option<String>,
    /// A stream to write the results to, made if missing.
    pub into: Option<String>,
    /// Whether to answer the difference to what the job said.
    pub diff: bool,
    /// How many times as fast as real time event time passes; as fast as can be unless set.
    pub speed: Option<f64>,
}

impl From<&ReplaySpec> for ReplayRequest {
    fn from(spec: &ReplaySpec) -> Self {
        Self {
            query: spec.query.clone(),
            from: spec.from.map(|time| time.to_string()),
            to: spec.to.map(|time| time.to_string()),
            into: spec.into.clone(),
            diff: spec.diff,
            speed: spec.speed,
        }
    }
}

/// Replays a job over a stretch of history. Nothing is delivered outside, and the job goes on undisturbed.
#[utoipa::path(
    post, path = "/v1/jobs/{name}/replay", tag = "jobs",
    params(("name" = String, Path, description = "the job")),
    request_body(content = ReplayRequest, content_type = "application/json"),
    responses(
        (status = 200, description = "the rows, or the difference", content_type = "application/x-ndjson", body = String),
        (status = 400, description = "the other definition is wrong", body = ErrorBody),
        (status = 404, description = "there is no such job", body = ErrorBody),
    ),
)]
pub(crate) async fn replay(
    State(app): State<App>,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let format = rows::accepted(&parts.headers)?;
    let permit = app.begin_query()?;
    let body = body::read_sql(&parts.headers, body, &app.options).await?;
    let asked: ReplayRequest = match body.is_empty() {
        true => ReplayRequest::default(),
        false => serde_json::from_slice(&body).map_err(|error| ApiError::bad_parameter("body", error))?,
    };
    let spec = ReplaySpec {
        job: name,
        query: asked.query,
        from: time_of("from", asked.from)?,
        to: time_of("to", asked.to)?,
        into: asked.into,
        diff: asked.diff,
        speed: asked.speed,
    };
    let report = Box::pin(app.engine.replay(spec.clone())).await?;
    let counts = counts_of(&report);
    let (schema, batches) = replay_rows(&spec, report).map_err(ApiError::internal)?;
    let rows = RecordBatchStreamAdapter::new(schema, stream::iter(batches.into_iter().map(Ok)));
    let mut response = rows::answer(Box::pin(rows), format, permit).await?;
    response.headers_mut().extend(counts);
    Ok(response)
}

fn time_of(name: &str, text: Option<String>) -> Result<Option<EventTime>, ApiError> {
    let parse = |text: String| match string_to_timestamp_nanos(&text) {
        Ok(nanos) => Ok(EventTime(nanos)),
        Err(_) => Err(ApiError::bad_parameter(name, format!("{text:?} is not an RFC 3339 time"))),
    };
    text.map(parse).transpose()
}

fn counts_of(report: &ReplayReport) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("headwater-rows-in", HeaderValue::from(report.rows_in));
    headers.insert("headwater-rows-in-both", HeaderValue::from(report.in_both));
    headers
}

/// The rows that a replay answers: its results, or with `diff` the differences.
pub fn replay_rows(
    spec: &ReplaySpec,
    report: ReplayReport,
) -> Result<(SchemaRef, Vec<RecordBatch>), ArrowError> {
    if !spec.diff {
        return Ok((report.schema, report.rows));
    }
    let change = Arc::new(Field::new("_change", DataType::Utf8, false));
    let fields: Vec<_> = std::iter::once(change).chain(report.schema.fields().iter().cloned()).collect();
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let signed = |sign: &'static str, side: Vec<RecordBatch>| {
        let schema = Arc::clone(&schema);
        side.into_iter().map(move |batch| {
            let signs: ArrayRef =
                Arc::new(StringArray::from_iter_values(std::iter::repeat_n(sign, batch.num_rows())));
            let columns = std::iter::once(signs).chain(batch.columns().iter().cloned()).collect();
            RecordBatch::try_new(Arc::clone(&schema), columns)
        })
    };
    let rows =
        signed("-", report.only_before).chain(signed("+", report.only_now)).collect::<Result<_, _>>()?;
    Ok((schema, rows))
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;

    use super::*;

    fn batch(values: &[i64]) -> RecordBatch {
        let values: ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
        RecordBatch::try_from_iter([("n", values)]).unwrap()
    }

    #[test]
    fn a_difference_says_which_side_each_row_is_on() {
        let report = ReplayReport {
            schema: batch(&[]).schema(),
            rows_in: 3,
            rows: vec![batch(&[1, 3])],
            only_before: vec![batch(&[2])],
            only_now: vec![batch(&[3])],
            in_both: 1,
        };
        let spec = ReplaySpec { diff: true, ..ReplaySpec::default() };
        let (schema, batches) = replay_rows(&spec, report.clone()).unwrap();
        assert_eq!(schema.field(0).name(), "_change");
        let text = arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string();
        assert!(text.contains("| -       | 2 |") && text.contains("| +       | 3 |"), "{text}");
        let (_, plain) = replay_rows(&ReplaySpec::default(), report).unwrap();
        assert_eq!(plain, [batch(&[1, 3])]);
    }
}
