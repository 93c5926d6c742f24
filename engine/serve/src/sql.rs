//! `POST /v1/sql`: runs statements and answers with the rows of the last one.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use headwater_run::Answer;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::{ApiError, ErrorBody};
use crate::state::App;
use crate::{body, rows};

/// A request with SQL, as JSON.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SqlRequest {
    /// One or more statements, separated by `;`.
    sql: String,
}

/// The answer to a statement that has no rows.
#[derive(Serialize, ToSchema)]
pub(crate) struct Done {
    /// What was done, such as `CREATE STREAM` or `INSERT 3`.
    pub status: String,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// Runs SQL. Of several statements the last one is answered. It takes as long as it takes: a client that goes away ends its query; a
/// definition is brought to its end.
#[utoipa::path(
    post, path = "/v1/sql", tag = "sql",
    params(("Accept" = Option<String>, Header, description = "JSON lines (the default), JSON, CSV or Arrow IPC")),
    request_body(
        description = "SQL as text, or as JSON",
        content((String = "text/plain"), (SqlRequest = "application/json")),
    ),
    responses(
        (status = 200, description = "rows, or what was done", content(
            (String = "application/x-ndjson"), (Done = "application/json"),
            (String = "text/csv"), (String = "application/vnd.apache.arrow.stream"),
        )),
        (status = 400, description = "the statement is wrong; the error says where", body = ErrorBody),
        (status = 409, description = "the name is taken, or in use", body = ErrorBody),
        (status = 422, description = "the statement failed on its values", body = ErrorBody),
        (status = 503, description = "too many statements are under way, or there is not enough memory", body = ErrorBody),
    ),
)]
pub(crate) async fn run(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let format = rows::accepted(&parts.headers)?;
    let permit = app.begin_query()?;
    let body = body::read_sql(&parts.headers, body, &app.options).await?;
    let sql = text_of(&parts.headers, body)?;
    // Boxed: planning makes a future of many kilobytes.
    let answers = Box::pin(app.engine.execute(&sql)).await?;
    match answers.into_iter().next_back() {
        Some(Answer::Rows(stream)) => rows::answer(stream, format, permit, rows::HEAD).await,
        Some(Answer::Done { tag, notes }) => Ok(Json(Done { status: tag, notes }).into_response()),
        None => Err(ApiError::bad_parameter("body", "there is no statement in it")),
    }
}

fn text_of(headers: &HeaderMap, body: Bytes) -> Result<String, ApiError> {
    let content_type =
        headers.get(header::CONTENT_TYPE).map_or("text/plain", |value| value.to_str().unwrap_or("?"));
    match content_type.split(';').next().unwrap_or_default().trim() {
        "application/json" => match serde_json::from_slice::<SqlRequest>(&body) {
            Ok(request) => Ok(request.sql),
            Err(error) => {
                Err(ApiError::bad_parameter("body", format!("{error}; it is {{\"sql\": \"...\"}}")))
            }
        },
        // What curl calls a body that it is not told the type of.
        "text/plain" | "application/sql" | "application/x-www-form-urlencoded" => {
            String::from_utf8(body.into()).map_err(|error| ApiError::bad_parameter("body", error))
        }
        other => Err(ApiError::unsupported_media(
            "Content-Type",
            other,
            "text/plain, application/sql, application/json",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sql_comes_as_text_or_as_json() {
        let of = |content_type: &str, body: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, content_type.parse().unwrap());
            text_of(&headers, Bytes::from_static(body.as_bytes())).map_err(|error| error.status.as_u16())
        };
        assert_eq!(of("text/plain; charset=utf-8", "SELECT 1"), Ok("SELECT 1".to_owned()));
        assert_eq!(of("application/json", r#"{"sql": "SELECT 1"}"#), Ok("SELECT 1".to_owned()));
        assert_eq!(of("application/json", r#"{"query": "SELECT 1"}"#), Err(400));
        assert_eq!(of("application/xml", "<a/>"), Err(415));
    }
}
