//! What a client is told when something goes wrong: a status, a code with a page of remedy, and where to look.
//!
//! ```json
//! {"error": {"code": "HW3003", "message": "no column 'tmep'", "line": 1, "column": 8,
//!            "hint": "did you mean 'temp'?", "help": "docs/errors/HW3003.md"}}
//! ```

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use datafusion::error::DataFusionError;
use headwater_core::Code;
use headwater_ingest::IngestError;
use headwater_log::LogError;
use headwater_plan::{Mistake, SqlError};
use headwater_run::RunError;
use serde::Serialize;
use utoipa::ToSchema;

/// An answer that is an error.
#[derive(Debug)]
pub(crate) struct ApiError {
    pub status: StatusCode,
    pub detail: Box<ErrorDetail>,
    /// When it may be worth trying again.
    pub retry_after: Option<Duration>,
}

/// The body of such an answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    /// What went wrong.
    pub error: Box<ErrorDetail>,
}

/// What went wrong.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorDetail {
    /// The code, which stays the same when the message changes.
    pub code: String,
    /// What, where, and what to do.
    pub message: String,
    /// The line of the statement, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The column in that line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u64>,
    /// What to try.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The page of remedy.
    pub help: String,
}

impl ApiError {
    pub fn new(status: StatusCode, code: Code, message: impl Into<String>) -> Self {
        let help = format!("docs/errors/{code}.md");
        let detail = Box::new(ErrorDetail {
            code: code.to_string(),
            message: message.into(),
            line: None,
            column: None,
            hint: None,
            help,
        });
        Self { status, detail, retry_after: None }
    }

    pub fn hint(mut self, hint: Option<String>) -> Self {
        self.detail.hint = self.detail.hint.take().or(hint);
        self
    }

    fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(Duration::from_secs(seconds));
        self
    }

    /// A body that is larger than it may be.
    pub fn body_too_large(most: usize) -> Self {
        let message = format!(
            "the body is larger than {most} bytes (decompressed, if it is compressed); send it in parts"
        );
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, Code::new("HW6003"), message)
    }

    /// More records than one request may have.
    pub fn too_many_records(given: usize, most: usize) -> Self {
        let message = format!("the body has {given} records, the most is {most}; send it in parts");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, Code::new("HW6003"), message)
    }

    /// A body that did not arrive whole, or cannot be decompressed.
    pub fn unreadable_body(reason: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Code::new("HW6004"), format!("the body cannot be read: {reason}"))
    }

    /// A content type or encoding that is not taken.
    pub fn unsupported_media(what: &str, given: &str, known: &str) -> Self {
        let message = format!("{what} {given:?} is not taken; use one of {known}");
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::new("HW6005"), message)
    }

    /// Nothing that the client accepts can be made.
    pub fn not_acceptable(given: &str, known: &str) -> Self {
        let message = format!("nothing of Accept {given:?} can be sent; use one of {known}");
        Self::new(StatusCode::NOT_ACCEPTABLE, Code::new("HW6006"), message)
    }

    /// A parameter with a value that it cannot have.
    pub fn bad_parameter(name: &str, reason: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Code::new("HW6007"), format!("{name}: {reason}"))
    }

    /// No such path, or not with this method.
    pub fn no_route(status: StatusCode, method: &str, path: &str) -> Self {
        let message = format!("there is no {method} {path}; see /v1/openapi.json for what there is");
        Self::new(status, Code::new("HW6008"), message)
    }

    /// No replay of this number goes step by step.
    pub fn no_replay(id: u64) -> Self {
        let message = format!(
            "no replay {id} goes step by step: it has ended, or nobody has asked for its steps for too long"
        );
        Self::new(StatusCode::NOT_FOUND, Code::new("HW6016"), message)
    }

    /// As many tails are open as may be.
    pub fn too_many_tails(most: usize) -> Self {
        let message =
            format!("{most} tails are open already, which is the most; close some, or raise tails_max");
        Self::new(StatusCode::TOO_MANY_REQUESTS, Code::new("HW6009"), message).retry_after(5)
    }

    /// More of something under way than may be.
    pub fn overloaded(what: &str, most: usize) -> Self {
        let message = format!("{most} {what} are under way, which is the most; try again");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::new("HW6010"), message).retry_after(1)
    }

    /// Bodies of other appends take all the memory that bodies may.
    pub fn no_room(most: u64) -> Self {
        let message =
            format!("bodies of other appends take the {most} bytes that all may have together; try again");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::new("HW6010"), message).retry_after(1)
    }

    /// No answer in time.
    pub fn timeout(after: Duration) -> Self {
        let message = format!("the request was given up after {} s", after.as_secs_f32());
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::new("HW6011"), message).retry_after(1)
    }

    /// A request that a web page of somebody else made.
    pub fn foreign_origin(who: &str) -> Self {
        let message =
            format!("requests from {who} are refused: this server answers to its own pages and to programs");
        Self::new(StatusCode::FORBIDDEN, Code::new("HW6012"), message)
    }

    /// The server is about to stop.
    pub fn stopping() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::new("HW6013"), "the server is stopping")
            .retry_after(5)
    }

    /// Rows can be read but not written.
    pub fn not_ready(cause: &str) -> Self {
        let message = format!("the log takes no more appends since writing failed ({cause})");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::new("HW6015"), message).retry_after(30)
    }

    /// The log is not open yet.
    pub fn opening(waits_for: Option<&str>) -> Self {
        let waits_for = waits_for.map(|what| format!(": {what}")).unwrap_or_default();
        let message = format!("the server is opening its log{waits_for}");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::new("HW6015"), message).retry_after(5)
    }

    /// A part of the server failed in a way that it should not.
    pub fn internal(reason: impl std::fmt::Display) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            Code::new("HW6014"),
            format!("the server failed: {reason}"),
        )
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if self.status.is_server_error() {
            tracing::warn!(status = self.status.as_u16(), code = self.detail.code, "{}", self.detail.message);
        }
        let mut response = (self.status, Json(ErrorBody { error: self.detail })).into_response();
        if let Some(after) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs()));
        }
        response
    }
}

impl From<LogError> for ApiError {
    fn from(error: LogError) -> Self {
        let status = match &error {
            LogError::NoStream { .. } | LogError::NoShard { .. } => StatusCode::NOT_FOUND,
            LogError::StreamExists { .. }
            | LogError::WrongSequence { .. }
            | LogError::Fenced { .. }
            | LogError::StaleEpoch { .. }
            | LogError::ProducerTooOld { .. } => StatusCode::CONFLICT,
            LogError::Trimmed { .. } => StatusCode::GONE,
            LogError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            LogError::BadSpec { .. } | LogError::SchemaMismatch { .. } => StatusCode::BAD_REQUEST,
            LogError::Locked { .. }
            | LogError::Poisoned { .. }
            | LogError::OnlyLooked { .. }
            | LogError::Topics(_)
            | LogError::Closed => StatusCode::SERVICE_UNAVAILABLE,
            LogError::Archive { retryable: true, .. } => StatusCode::SERVICE_UNAVAILABLE,
            LogError::Archive { .. }
            | LogError::Corrupt { .. }
            | LogError::Io { .. }
            | LogError::Arrow(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let answer = Self::new(status, error.code(), error.to_string());
        if status == StatusCode::SERVICE_UNAVAILABLE { answer.retry_after(5) } else { answer }
    }
}

impl From<IngestError> for ApiError {
    fn from(error: IngestError) -> Self {
        let status = match error {
            IngestError::Log(error) => return error.into(),
            IngestError::UnknownFormat { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            IngestError::SystemStream { .. } => StatusCode::FORBIDDEN,
            IngestError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            IngestError::Option(_) | IngestError::Unreadable { .. } | IngestError::Unsupported { .. } => {
                StatusCode::BAD_REQUEST
            }
            IngestError::Arrow(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.code(), error.to_string())
    }
}

impl From<SqlError> for ApiError {
    fn from(error: SqlError) -> Self {
        let status = match error.mistake() {
            Mistake::NameTaken | Mistake::InUse => StatusCode::CONFLICT,
            _ => StatusCode::BAD_REQUEST,
        };
        let mut answer = Self::new(status, error.code(), error.message());
        answer.detail.line = error.position().map(|position| position.line);
        answer.detail.column = error.position().map(|position| position.column);
        answer.hint(error.advice().map(str::to_owned))
    }
}

impl From<RunError> for ApiError {
    fn from(error: RunError) -> Self {
        let status = match error {
            RunError::Sql(error) => return error.into(),
            RunError::Log(error) => return error.into(),
            RunError::Ingest(error) => return error.into(),
            RunError::Archive(ref error) if error.is_retryable() => StatusCode::SERVICE_UNAVAILABLE,
            RunError::Archive(_) => StatusCode::BAD_REQUEST,
            RunError::Query(ref error) => status_of_query(error),
            RunError::NoJob { .. } => StatusCode::NOT_FOUND,
            RunError::Connector { .. }
            | RunError::Delivery { .. }
            | RunError::Actuator { .. }
            | RunError::Replace { .. }
            | RunError::Invalid(_) => StatusCode::BAD_REQUEST,
            RunError::Cancelled { .. } | RunError::AtRest { .. } => StatusCode::CONFLICT,
            RunError::Gone { .. } => StatusCode::GONE,
            RunError::Closed => StatusCode::SERVICE_UNAVAILABLE,
            RunError::Operator { .. }
            | RunError::Checkpoint { .. }
            | RunError::Journal { .. }
            | RunError::Panicked { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let answer = Self::new(status, error.code(), error.to_string());
        if status == StatusCode::SERVICE_UNAVAILABLE { answer.retry_after(5) } else { answer }
    }
}

/// A query that fails while it runs mostly does so because of its values: a division by zero, a text that is no number.
fn status_of_query(error: &DataFusionError) -> StatusCode {
    match error.find_root() {
        DataFusionError::ResourcesExhausted(_) => StatusCode::SERVICE_UNAVAILABLE,
        DataFusionError::Internal(_) | DataFusionError::IoError(_) | DataFusionError::ExecutionJoin(_) => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    }
}
