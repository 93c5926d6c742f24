//! Rows as the body of an answer, sent as they come.
//!
//! The first rows are awaited before the answer begins, so that a query that fails at once, or whose answer is small, is answered with a
//! status that says so. One that fails later breaks the body off: the client sees an answer that is not whole.

use axum::body::Body;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use datafusion::execution::SendableRecordBatchStream;
use futures::{StreamExt, stream};
use headwater_ingest::{Encoder, Format, FormatOptions};
use headwater_run::RunError;
use tokio::sync::OwnedSemaphorePermit;

use crate::error::ApiError;

const FORMATS: &str = "application/x-ndjson, application/json, text/csv, application/vnd.apache.arrow.stream";

/// The format that the client likes best of those that can be streamed; JSON lines if it does not care.
pub(crate) fn accepted(headers: &HeaderMap) -> Result<Format, ApiError> {
    let mut named =
        headers.get_all(header::ACCEPT).iter().flat_map(|value| value.to_str().unwrap_or("").split(','));
    let mut best: Option<(Format, f32)> = None;
    let mut asked = false;
    for range in named.by_ref().filter(|range| !range.trim().is_empty()) {
        asked = true;
        let Some(format) = format_of(range) else { continue };
        let quality = quality_of(range);
        // Of equally good ones the first.
        if quality > 0.0 && best.is_none_or(|(_, known)| quality > known) {
            best = Some((format, quality));
        }
    }
    match best {
        Some((format, _)) => Ok(format),
        None if !asked => Ok(Format::JsonLines),
        None => {
            let given = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
            Err(ApiError::not_acceptable(given, FORMATS))
        }
    }
}

fn format_of(range: &str) -> Option<Format> {
    let media_type = range.split(';').next().unwrap_or_default().trim();
    match media_type {
        "*/*" | "application/*" => Some(Format::JsonLines),
        "text/*" => Some(Format::Csv),
        _ => Format::from_media_type(media_type)
            .filter(|format| !matches!(format, Format::Raw | Format::Parquet)),
    }
}

fn quality_of(range: &str) -> f32 {
    let q = range.split(';').skip(1).find_map(|parameter| parameter.trim().strip_prefix("q=")?.parse().ok());
    q.unwrap_or(1.0)
}

/// How much of a query's answer is made before it begins.
pub(crate) const HEAD: usize = 64 << 10;

/// The rows that are not sent yet, what encodes them, and the permit, which is kept until the last of them is sent, or the client is gone.
type Rest = (SendableRecordBatchStream, Encoder, OwnedSemaphorePermit);

/// Answers with rows. As much as `head` bytes of them are awaited before the answer begins, and at least the first batch.
pub(crate) async fn answer(
    rows: SendableRecordBatchStream,
    format: Format,
    permit: OwnedSemaphorePermit,
    head: usize,
) -> Result<Response, ApiError> {
    let encoder = Encoder::new(format, rows.schema(), &FormatOptions::default())?;
    let mut made = Vec::new();
    let mut rest = more((rows, encoder, permit), &mut made).await?;
    while made.len() < head
        && let Some(left) = rest.take()
    {
        rest = more(left, &mut made).await?;
    }
    let body = stream::iter([Ok(Bytes::from(made))]).chain(sent(rest));
    Ok(([(header::CONTENT_TYPE, format.media_type())], Body::from_stream(body)).into_response())
}

/// The rest of the rows as bytes.
fn sent(rest: Option<Rest>) -> impl futures::Stream<Item = Result<Bytes, RunError>> + Send {
    stream::unfold(rest, |rest| async move {
        let mut out = Vec::new();
        match more(rest?, &mut out).await {
            Ok(rest) => Some((Ok(out.into()), rest)),
            Err(error) => {
                tracing::warn!(code = %error.code(), "an answer breaks off: {error}");
                Some((Err(error), None))
            }
        }
    })
}

/// Encodes the next batch, or the end of the format. Answers what is left.
async fn more((mut rows, mut encoder, permit): Rest, out: &mut Vec<u8>) -> Result<Option<Rest>, RunError> {
    match rows.next().await.transpose().map_err(RunError::of_rows)? {
        Some(batch) => {
            encoder.encode(&batch, out)?;
            Ok(Some((rows, encoder, permit)))
        }
        None => {
            encoder.finish(out)?;
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(accept: &str) -> Result<Format, u16> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().unwrap());
        accepted(&headers).map_err(|error| error.status.as_u16())
    }

    #[test]
    fn the_client_chooses_the_format() {
        assert_eq!(accepted(&HeaderMap::new()).unwrap(), Format::JsonLines);
        assert_eq!(format("*/*"), Ok(Format::JsonLines));
        assert_eq!(format("application/json"), Ok(Format::JsonArray));
        assert_eq!(format("text/csv;q=0.5, application/vnd.apache.arrow.stream"), Ok(Format::Arrow));
        assert_eq!(format("image/png, text/csv;q=0.1"), Ok(Format::Csv));
        assert_eq!(format("image/png"), Err(406));
        assert_eq!(format("text/csv;q=0"), Err(406));
    }
}
