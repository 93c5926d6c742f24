//! `POST /v1/streams/NAME`: records in, one answer about all of them.
//!
//! The good records of a request are kept whatever the others are; the bad ones go to the dead letters with their bytes and
//! the reason. The answer comes when the rows are as safe as the stream's durability says.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use headwater_ingest::{AppendRequest, Format, Payload, PendingReport, Report};
use serde::Serialize;
use utoipa::ToSchema;

use crate::body::{self, Encoding};
use crate::budget::Hold;
use crate::error::{ApiError, ErrorBody};
use crate::extract::InPath;
use crate::state::App;
use crate::streams::no_stream;

const FORMATS: &str = "application/x-ndjson, application/json, text/csv, application/vnd.apache.arrow.stream, application/vnd.apache.parquet";

/// What became of the records of a request.
#[derive(Serialize, ToSchema)]
pub(crate) struct AppendAnswer {
    /// Rows that are in the stream.
    accepted: u64,
    /// Records that are in `system.dead_letters`.
    dead_lettered: u64,
    /// Whether this was a repeat of an earlier request with the same key, so that nothing was appended.
    duplicate: bool,
    /// The last row in each shard that got any.
    shards: Vec<ShardEnd>,
    /// The first few bad records.
    errors: Vec<RecordError>,
}

/// The last row of the request in one shard.
#[derive(Serialize, ToSchema)]
struct ShardEnd {
    /// The shard.
    shard: u32,
    /// The row's sequence number.
    last_sequence: u64,
}

/// A record that could not become a row.
#[derive(Serialize, ToSchema)]
struct RecordError {
    /// Which, from 1; where `line` is given, that line.
    record: u64,
    /// In formats of lines (JSON lines, CSV) the line of the body on which it begins, from 1: a CSV header and blank lines count.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    /// The field to blame, if one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// The code of the fault.
    code: String,
    /// What was expected and what was found.
    reason: String,
}

impl AppendAnswer {
    fn of(report: Report, format: Format) -> Self {
        let shard = |end: &headwater_ingest::ShardEnd| ShardEnd {
            shard: end.shard,
            last_sequence: end.last_sequence,
        };
        let error = |bad: headwater_ingest::BadRecord| RecordError {
            record: bad.record,
            line: format.is_lines().then_some(bad.record),
            code: bad.code().to_string(),
            field: bad.field,
            reason: bad.reason.into_owned(),
        };
        Self {
            accepted: report.accepted,
            dead_lettered: report.dead_lettered,
            duplicate: report.duplicate,
            shards: report.shards.iter().map(shard).collect(),
            errors: report.errors.into_iter().map(error).collect(),
        }
    }
}

/// Appends records to a stream.
#[utoipa::path(
    post, path = "/v1/streams/{name}", tag = "streams",
    params(
        ("name" = String, Path, description = "the stream"),
        ("Content-Type" = Option<String>, Header, description = "JSON lines (the default), a JSON array, CSV, Arrow IPC or Parquet"),
        ("Content-Encoding" = Option<String>, Header, description = "gzip or zstd"),
        ("Idempotency-Key" = Option<String>, Header, description = "a repeat with the same key appends nothing, while the key is among the newest 4,096 of its shard (`--idempotency-keys`)"),
    ),
    request_body(content = String, content_type = "application/x-ndjson"),
    responses(
        (status = 200, description = "some records were accepted", body = AppendAnswer),
        (status = 404, description = "there is no such stream", body = ErrorBody),
        (status = 413, description = "the body is too large", body = ErrorBody),
        (status = 415, description = "the content type or encoding is not taken", body = ErrorBody),
        (status = 422, description = "all records were bad; they are in the dead letters", body = AppendAnswer),
        (status = 503, description = "overloaded, or the log cannot write", body = ErrorBody),
    ),
)]
pub(crate) async fn append(
    State(app): State<App>,
    InPath(name): InPath<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let limit = app.options.appends_max;
    let permit =
        app.appends.clone().try_acquire_owned().map_err(|_| ApiError::overloaded("appends", limit))?;
    let (parts, body) = request.into_parts();
    let format = format_of(&parts.headers)?;
    let encoding = Encoding::of(&parts.headers)?;
    let idempotency_key = key_of(&parts.headers)?;
    // Before the body is read: a typing error in the name should not cost an upload.
    app.engine.log().stream_named(&name).map_err(|error| no_stream(&app, error))?;
    app.engine.begin_writing(&name).await?;
    let most = app.options.body_bytes_max;
    let mut hold = Hold::of(&app.bodies);
    let bytes = body::read(&parts.headers, body, most, Some(&mut hold)).await?;

    let submitter = app.clone();
    let submitted = tokio::task::spawn_blocking(move || {
        let bytes = encoding.decompress(bytes, most, &mut hold)?;
        Ok::<_, ApiError>((submit(&submitter, name, bytes, format, idempotency_key)?, hold))
    });
    let (submitted, hold) = submitted.await.map_err(ApiError::internal)??;
    let report = submitted.await?;
    drop((hold, permit));

    let all_bad = report.accepted == 0 && report.dead_lettered > 0;
    let status = if all_bad { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    Ok((status, Json(AppendAnswer::of(report, format))).into_response())
}

fn submit(
    app: &App,
    stream: String,
    body: Bytes,
    format: Format,
    idempotency_key: Option<String>,
) -> Result<PendingReport, ApiError> {
    let records = match format {
        Format::JsonArray => elements_beyond(&body, app.options.batch_records_max),
        format if format.is_lines() => records_in_lines(&body),
        _ => 0,
    };
    if records > app.options.batch_records_max {
        return Err(ApiError::too_many_records(records, app.options.batch_records_max));
    }
    let payload = Payload::Bytes { body, format, options: None };
    let mut request = AppendRequest::new(stream, "http", payload);
    request.idempotency_key = idempotency_key;
    Ok(app.engine.ingest().append(request)?)
}

/// How many lines there are, the last one without a line feed included.
fn records_in_lines(bytes: &[u8]) -> usize {
    let feeds = bytes.iter().filter(|byte| **byte == b'\n').count();
    feeds + usize::from(bytes.last().is_some_and(|byte| *byte != b'\n'))
}

/// How many elements a JSON array has; 0 if the text is none, or so short that it cannot have more than `most`: then nobody needs to look.
/// Of one that is not well-formed the count means nothing, and who decodes it says what is wrong.
fn elements_beyond(bytes: &[u8], most: usize) -> usize {
    let is_array = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    // An element and its comma are two bytes.
    if !is_array || bytes.len() / 2 < most {
        return 0;
    }
    let (mut depth, mut quoted, mut commas) = (0_u32, false, 0);
    let mut bytes = bytes.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' if quoted => drop(bytes.next()),
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 1 => commas += 1,
            _ => {}
        }
    }
    commas + 1
}

fn format_of(headers: &HeaderMap) -> Result<Format, ApiError> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(Format::JsonLines) };
    let name = value.to_str().unwrap_or_default();
    match Format::from_media_type(name) {
        Some(Format::Raw) | None => Err(ApiError::unsupported_media("Content-Type", name, FORMATS)),
        Some(format) => Ok(format),
    }
}

fn key_of(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    match value.to_str() {
        Ok(key) if (1..=256).contains(&key.len()) => Ok(Some(key.to_owned())),
        _ => Err(ApiError::bad_parameter("Idempotency-Key", "it has 1 to 256 characters of ASCII")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_with_and_without_a_last_line_feed() {
        assert_eq!(
            [
                records_in_lines(b""),
                records_in_lines(b"a"),
                records_in_lines(b"a\n"),
                records_in_lines(b"a\nb")
            ],
            [0, 1, 1, 2]
        );
    }

    #[test]
    fn the_content_type_tells_the_format() {
        let mut headers = HeaderMap::new();
        assert_eq!(format_of(&headers).unwrap(), Format::JsonLines);
        headers.insert(header::CONTENT_TYPE, "text/csv; charset=utf-8".parse().unwrap());
        assert_eq!(format_of(&headers).unwrap(), Format::Csv);
        headers.insert(header::CONTENT_TYPE, "application/xml".parse().unwrap());
        assert_eq!(format_of(&headers).unwrap_err().status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
}
