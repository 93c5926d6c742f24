//! `GET /v1/streams/NAME/tail` and `GET /v1/sql/tail?q=`: rows as they come, as server-sent events.
//!
//! A task reads the tail and puts events into a queue with a bound; the connection takes them out. When the reader takes nothing for
//! [`crate::ServeOptions::tail_stall_max`], the task gives up: the log and the job behind the tail never wait for a socket.

use std::sync::{Arc, OnceLock};

use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{StreamExt, stream};
use headwater_core::{EventTime, Sequence, ShardId};
use headwater_run::{Tail, TailFrom};
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use utoipa::IntoParams;

use crate::error::{ApiError, ErrorBody};
use crate::extract::{InPath, InQuery};
use crate::state::App;
use crate::streams::no_stream;
use crate::tail_events::{Events, Farewell};

/// How many events' worth of buffers may wait for a reader. Each holds at most [`crate::tail_events::ROWS_PER_CHUNK`] rows.
const QUEUE: usize = 16;

/// Where a tail starts.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct StreamParameters {
    /// `now` (the default), `earliest`, an RFC 3339 time, a sequence number for all shards, or `shard:sequence,...`.
    from: Option<String>,
}

/// Which query is tailed, and from where.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct QueryParameters {
    /// A streaming query.
    q: String,
    /// `now` (the default), `earliest`, or an RFC 3339 time.
    from: Option<String>,
}

/// Tails a stream. Each row is an event `row` with a JSON object; the last one of a batch has an id, which `Last-Event-ID` resumes after.
#[utoipa::path(
    get, path = "/v1/streams/{name}/tail", tag = "streams",
    params(
        ("name" = String, Path, description = "the stream"), StreamParameters,
        ("Last-Event-ID" = Option<String>, Header, description = "goes on after this event; wins over `from`"),
    ),
    responses(
        (status = 200, description = "server-sent events: row, error, cut, end", content_type = "text/event-stream", body = String),
        (status = 404, description = "there is no such stream", body = ErrorBody),
        (status = 410, description = "the rows behind that place are gone", body = ErrorBody),
        (status = 429, description = "too many tails are open", body = ErrorBody),
    ),
)]
pub(crate) async fn stream(
    State(app): State<App>,
    InPath(name): InPath<String>,
    InQuery(parameters): InQuery<StreamParameters>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let info = app.engine.log().stream_named(&name).map_err(|error| no_stream(&app, error))?;
    let from = from_of(&headers, parameters.from.as_deref(), Some(info.spec.shards))?;
    let permit = permit(&app)?;
    app.engine.begin_reading(&name).await?;
    let tail = app.engine.tail_stream(&name, from)?;
    answer(&app, tail, permit)
}

/// Tails a streaming query. The query runs for as long as the tail is open.
#[utoipa::path(
    get, path = "/v1/sql/tail", tag = "sql",
    params(
        QueryParameters,
        ("Last-Event-ID" = Option<String>, Header, description = "goes on after this event; wins over `from`"),
    ),
    responses(
        (status = 200, description = "server-sent events: row, uncomputed, error, cut, end", content_type = "text/event-stream", body = String),
        (status = 400, description = "the query is wrong, or does not run as a stream", body = ErrorBody),
        (status = 410, description = "the rows behind that place are gone", body = ErrorBody),
        (status = 429, description = "too many tails are open", body = ErrorBody),
    ),
)]
pub(crate) async fn query(
    State(app): State<App>,
    InQuery(parameters): InQuery<QueryParameters>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let from = from_of(&headers, parameters.from.as_deref(), None)?;
    let permit = permit(&app)?;
    app.engine.begin_reading(&parameters.q).await?;
    let tail = app.engine.tail_query(&parameters.q, from)?;
    answer(&app, tail, permit)
}

fn permit(app: &App) -> Result<OwnedSemaphorePermit, ApiError> {
    if *app.closing.borrow() {
        return Err(ApiError::stopping());
    }
    app.tails.clone().try_acquire_owned().map_err(|_| ApiError::too_many_tails(app.options.tails_max))
}

/// Where to start; `shards` is how many the stream has, `None` for a query.
fn from_of(headers: &HeaderMap, from: Option<&str>, shards: Option<u32>) -> Result<TailFrom, ApiError> {
    if let Some(id) = headers.get("last-event-id").filter(|id| !id.is_empty()) {
        let id = id.to_str().map_err(|error| ApiError::bad_parameter("Last-Event-ID", error))?;
        return Ok(TailFrom::Resume(id.to_owned()));
    }
    let text = match from {
        None | Some("now") => return Ok(TailFrom::Now),
        Some("earliest") => return Ok(TailFrom::Earliest),
        Some(text) => text,
    };
    if let Some(shards) = shards
        && let Some(places) = sequences_of(text, shards)
    {
        return Ok(TailFrom::Sequences(places));
    }
    match string_to_timestamp_nanos(text) {
        Ok(nanos) => Ok(TailFrom::Time(EventTime(nanos))),
        Err(_) => {
            let known = if shards.is_some() { "a sequence number, shard:sequence, or " } else { "" };
            Err(ApiError::bad_parameter(
                "from",
                format!("{text:?} is none of now, earliest, {known}an RFC 3339 time"),
            ))
        }
    }
}

/// `12` for all shards, or `0:12,3:7`.
fn sequences_of(text: &str, shards: u32) -> Option<Vec<(ShardId, Sequence)>> {
    if let Ok(sequence) = text.parse() {
        return Some((0..shards).map(|shard| (ShardId(shard), Sequence(sequence))).collect());
    }
    let place = |part: &str| {
        let (shard, sequence) = part.split_once(':')?;
        Some((ShardId(shard.trim().parse().ok()?), Sequence(sequence.trim().parse().ok()?)))
    };
    text.split(',').map(place).collect()
}

fn answer(app: &App, tail: Tail, permit: OwnedSemaphorePermit) -> Result<Response, ApiError> {
    let events = Events::new(tail.schema())?;
    let (sender, receiver) = mpsc::channel(QUEUE);
    let farewell = Arc::new(OnceLock::new());
    let open = Open::new(app, permit);
    tokio::spawn(pump(app.clone(), tail, events, sender, Arc::clone(&farewell)));

    // The first bytes go out at once, so that the client knows that it is connected.
    let hello = stream::iter([Bytes::from_static(b": tail\n\n")]);
    let queued = stream::unfold(receiver, |mut receiver| async { Some((receiver.recv().await?, receiver)) });
    // The farewell was set before the task ended and so before the queue did.
    let last = stream::once(async move {
        drop(open);
        farewell.get().map(Farewell::event).unwrap_or_default()
    });
    let body = hello.chain(queued).chain(last).map(Ok::<_, std::convert::Infallible>);
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Body::from_stream(body)).into_response())
}

/// Counts an open tail for as long as its body lives.
struct Open {
    app: App,
    _permit: OwnedSemaphorePermit,
}

impl Open {
    fn new(app: &App, permit: OwnedSemaphorePermit) -> Self {
        app.metrics.tails.inc();
        Self { app: app.clone(), _permit: permit }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.app.metrics.tails.dec();
    }
}

/// Moves events from a tail into the queue until one of the two ends.
async fn pump(
    app: App,
    mut tail: Tail,
    mut events: Events,
    queue: mpsc::Sender<Bytes>,
    farewell: Arc<OnceLock<Farewell>>,
) {
    let mut closing = app.closing.clone();
    let end = loop {
        let next = tokio::select! {
            next = tokio::time::timeout(app.options.tail_heartbeat, tail.next()) => next,
            _ = closing.wait_for(|closing| *closing) => break Farewell::Cut("the server is stopping"),
            () = queue.closed() => return,
        };
        let chunks = match next {
            Err(_) => Ok(vec![Events::heartbeat()]),
            Ok(None) => break Farewell::End,
            Ok(Some(batch)) => batch.map_err(ApiError::from).and_then(|batch| Ok(events.encode(&batch)?)),
        };
        let chunks = match chunks {
            Ok(chunks) => chunks,
            Err(error) => break Farewell::Error(error.detail),
        };
        match send_all(&queue, chunks, app.options.tail_stall_max).await {
            Sent::All => {}
            Sent::ReaderGone => return,
            Sent::ReaderStalled => {
                app.metrics.tails_cut.inc();
                break Farewell::Cut("the reader did not keep up; resume with Last-Event-ID");
            }
        }
    };
    // Only this task sets it, and only once.
    let _ = farewell.set(end);
}

enum Sent {
    All,
    ReaderGone,
    ReaderStalled,
}

async fn send_all(queue: &mpsc::Sender<Bytes>, chunks: Vec<Bytes>, stall_max: std::time::Duration) -> Sent {
    for chunk in chunks {
        match queue.send_timeout(chunk, stall_max).await {
            Ok(()) => {}
            Err(mpsc::error::SendTimeoutError::Closed(_)) => return Sent::ReaderGone,
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => return Sent::ReaderStalled,
        }
    }
    Sent::All
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(text: &str, shards: Option<u32>) -> Result<TailFrom, u16> {
        from_of(&HeaderMap::new(), Some(text), shards).map_err(|error| error.status.as_u16())
    }

    #[test]
    fn a_tail_starts_where_it_is_told() {
        let places = |list: &[(u32, u64)]| {
            TailFrom::Sequences(list.iter().map(|(shard, at)| (ShardId(*shard), Sequence(*at))).collect())
        };
        assert_eq!(from("now", Some(1)), Ok(TailFrom::Now));
        assert_eq!(from("earliest", None), Ok(TailFrom::Earliest));
        assert_eq!(from("7", Some(2)), Ok(places(&[(0, 7), (1, 7)])));
        assert_eq!(from("1:7, 0:3", Some(2)), Ok(places(&[(1, 7), (0, 3)])));
        assert_eq!(from("1970-01-01T00:00:01Z", None), Ok(TailFrom::Time(EventTime(1_000_000_000))));
        assert_eq!(from("yesterday", Some(2)), Err(400));
        assert_eq!(from("7", None), Err(400));
    }

    #[test]
    fn the_last_event_wins_over_the_parameter() {
        let mut headers = HeaderMap::new();
        headers.insert("last-event-id", "0:5".parse().unwrap());
        assert_eq!(from_of(&headers, Some("now"), Some(1)).unwrap(), TailFrom::Resume("0:5".to_owned()));
        headers.insert("last-event-id", "".parse().unwrap());
        assert_eq!(from_of(&headers, Some("earliest"), Some(1)).unwrap(), TailFrom::Earliest);
    }
}
