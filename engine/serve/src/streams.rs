//! `GET /v1/streams` and `GET /v1/streams/NAME`: what there is.

use axum::Json;
use axum::extract::State;
use headwater_log::{LogError, StreamInfo};
use headwater_plan::error::did_you_mean;
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::{ApiError, ErrorBody};
use crate::extract::InPath;
use crate::state::App;

/// A stream.
#[derive(Serialize, ToSchema)]
pub(crate) struct StreamView {
    /// Its name.
    name: String,
    /// Its columns, in order.
    columns: Vec<ColumnView>,
    /// The columns whose hash chooses the shard.
    partition_by: Vec<String>,
    /// The column that carries event time.
    event_time: Option<String>,
    /// Which fault an acknowledged row survives.
    #[schema(value_type = String)]
    durability: headwater_log::Durability,
    /// When it was created.
    created: String,
    /// Where each shard begins and ends.
    shards: Vec<ShardView>,
}

/// A column.
#[derive(Serialize, ToSchema)]
struct ColumnView {
    /// Its name.
    name: String,
    /// Its Arrow type.
    r#type: String,
    /// Whether it may be null.
    nullable: bool,
}

/// A shard.
#[derive(Serialize, ToSchema)]
struct ShardView {
    /// Its number.
    shard: usize,
    /// The sequence number of the oldest row kept.
    first: u64,
    /// The sequence number that the next row will get.
    next: u64,
}

/// Lists the streams.
#[utoipa::path(
    get, path = "/v1/streams", tag = "streams",
    responses((status = 200, description = "all streams, by name", body = Vec<StreamView>)),
)]
pub(crate) async fn list(State(app): State<App>) -> Result<Json<Vec<StreamView>>, ApiError> {
    app.engine.log().streams().iter().map(|info| view(&app, info)).collect::<Result<_, _>>().map(Json)
}

/// Describes a stream.
#[utoipa::path(
    get, path = "/v1/streams/{name}", tag = "streams",
    params(("name" = String, Path, description = "the stream")),
    responses(
        (status = 200, description = "the stream", body = StreamView),
        (status = 404, description = "there is no such stream", body = ErrorBody),
    ),
)]
pub(crate) async fn describe(
    State(app): State<App>,
    InPath(name): InPath<String>,
) -> Result<Json<StreamView>, ApiError> {
    let info = app.engine.log().stream_named(&name).map_err(|error| no_stream(&app, error))?;
    view(&app, &info).map(Json)
}

/// The answer to a name that is not that of a stream, with the nearest one that is.
pub(crate) fn no_stream(app: &App, error: LogError) -> ApiError {
    let LogError::NoStream { name } = &error else { return error.into() };
    let streams = app.engine.log().streams();
    let hint = did_you_mean(name, streams.iter().map(|info| info.spec.name.as_str()));
    ApiError::from(error).hint(hint)
}

fn view(app: &App, info: &StreamInfo) -> Result<StreamView, ApiError> {
    let spec = &info.spec;
    let columns = spec.schema.fields().iter().map(|field| ColumnView {
        name: field.name().clone(),
        r#type: field.data_type().to_string(),
        nullable: field.is_nullable(),
    });
    let bounds = app.engine.log().bounds(info.id)?;
    let shards = bounds.iter().enumerate().map(|(shard, bounds)| ShardView {
        shard,
        first: bounds.first.0,
        next: bounds.next.0,
    });
    Ok(StreamView {
        name: spec.name.to_string(),
        columns: columns.collect(),
        partition_by: spec.partition_by.clone(),
        event_time: spec.event_time.clone(),
        durability: spec.durability,
        created: info.created.to_string(),
        shards: shards.collect(),
    })
}
