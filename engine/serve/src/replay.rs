//! `POST /v1/jobs/NAME/replay`: a job, or another definition of it, over a stretch of history.
//!
//! The answer is rows, sent as they come. With a difference, a first column `_change` says `-` for rows that only the job (or its own
//! definition) says and `+` for rows that only the replay says, and counts are in the headers. What goes into a stream is not sent.
//! A client that goes away cancels its replay.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::stream;
use headwater_core::EventTime;
use headwater_run::{ReplayReport, ReplaySpec};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::{ApiError, ErrorBody};
use crate::extract::InPath;
use crate::sql::Done;
use crate::state::App;
use crate::{body, rows, steps};

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
    /// A stream to write the results to, made if missing and otherwise empty; they are not answered.
    pub into: Option<String>,
    /// Whether to answer a difference: to what the job said or, of another query, to what the job's own says over the same stretch.
    pub diff: bool,
    /// How many times as fast as real time event time passes; as fast as can be unless set.
    pub speed: Option<f64>,
    /// The tables outside that are asked, or written into; no others are.
    pub effects: Vec<String>,
    /// Whether the replay goes step by step: the answer is its number, and `/v1/replays/ID/step` takes a step.
    pub step: bool,
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
            effects: spec.effects.clone(),
            step: spec.step_by_step,
        }
    }
}

/// Replays a job over a stretch of history. Nothing is asked or delivered outside that is not named, and the job goes on undisturbed.
#[utoipa::path(
    post, path = "/v1/jobs/{name}/replay", tag = "jobs",
    params(("name" = String, Path, description = "the job")),
    request_body(content = ReplayRequest, content_type = "application/json"),
    responses(
        (status = 200, description = "the rows, or the difference; INTO a stream: how many; step by step: its number", content(
            (String = "application/x-ndjson"), (Done = "application/json"),
        )),
        (status = 400, description = "the other definition is wrong", body = ErrorBody),
        (status = 404, description = "there is no such job", body = ErrorBody),
    ),
)]
pub(crate) async fn replay(
    State(app): State<App>,
    InPath(name): InPath<String>,
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
        effects: asked.effects,
        ..ReplaySpec::default()
    };
    if asked.step {
        let begun = Box::pin(app.engine.replay_steps(spec)).await?;
        return Ok(Json(steps::keep(&app, begun)).into_response());
    }
    if !spec.diff && spec.into.is_none() {
        // With a speed rows come when it is time for them.
        let rows = Box::pin(app.engine.replay_rows(spec)).await?;
        return rows::answer(rows, format, permit, 0).await;
    }
    let (into, diff) = (spec.into.clone(), spec.diff);
    let report = Box::pin(app.engine.replay(spec)).await?;
    let counts = counts_of(&report);
    let mut response = match into {
        Some(into) if !diff => {
            let status = format!("REPLAY {} INTO {into}", report.rows_out);
            Json(Done { status, notes: report.notes() }).into_response()
        }
        _ => {
            let (schema, batches) = replay_differences(report).map_err(ApiError::internal)?;
            let rows = RecordBatchStreamAdapter::new(schema, stream::iter(batches.into_iter().map(Ok)));
            rows::answer(Box::pin(rows), format, permit, rows::HEAD).await?
        }
    };
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
    headers.insert("headwater-rows-uncomputed", HeaderValue::from(report.uncomputed));
    headers.insert("headwater-rows-in-both", HeaderValue::from(report.in_both));
    headers
}

/// The rows that a replay with `diff` answers.
pub fn replay_differences(report: ReplayReport) -> Result<(SchemaRef, Vec<RecordBatch>), ArrowError> {
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
            rows_out: 2,
            uncomputed: 0,
            rows: Vec::new(),
            only_before: vec![batch(&[2])],
            only_now: vec![batch(&[3])],
            in_both: 1,
        };
        let (schema, batches) = replay_differences(report).unwrap();
        assert_eq!(schema.field(0).name(), "_change");
        let text = arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string();
        assert!(text.contains("| -       | 2 |") && text.contains("| +       | 3 |"), "{text}");
    }
}
