//! Talks to a running server.

use anyhow::{Context, Result, anyhow, bail, ensure};
use arrow::ipc::reader::StreamReader;
use headwater_ingest::Format;
use reqwest::{Response, StatusCode, Url, header};
use serde::Deserialize;

use crate::output::{self, OutputFormat};

/// A server that runs elsewhere.
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
}

#[derive(Deserialize)]
struct Failure {
    error: FailureDetail,
}

#[derive(Deserialize)]
struct FailureDetail {
    code: String,
    message: String,
    line: Option<u64>,
    column: Option<u64>,
    hint: Option<String>,
    help: String,
}

/// An answer without rows.
#[derive(Deserialize)]
pub(crate) struct Done {
    pub status: String,
    pub notes: Vec<String>,
}

/// What a server answered.
pub(crate) enum Answered {
    /// So many rows, which were written to standard output.
    Rows(usize),
    /// Something was done.
    Done(Done),
}

/// The server that is asked unless another is named.
const USUAL: &str = "http://127.0.0.1:8585";

/// The environment variable that names another.
const FROM_ENVIRONMENT: &str = "HEADWATER_URL";

impl Client {
    /// A client of the server that the command line names; without it, of that which the environment names, or of the usual one.
    pub fn of(named: Option<&str>) -> Result<Self> {
        // The command line's parser does not read the variable: it would take it for something that was said with --data.
        match (named, std::env::var(FROM_ENVIRONMENT)) {
            (Some(named), _) => Self::new(named),
            (None, Ok(url)) if !url.is_empty() => Self::new(&url).context(FROM_ENVIRONMENT),
            _ => Self::new(USUAL),
        }
    }

    /// A client of the server at `base`, such as `http://127.0.0.1:8585`.
    pub fn new(base: &str) -> Result<Self> {
        let url = Url::parse(base).with_context(|| format!("{base:?} is not a URL; one is {USUAL}"))?;
        ensure!(
            matches!(url.scheme(), "http" | "https"),
            "{base:?} is not a URL of a server; one is {USUAL}"
        );
        // No proxy: the server is meant, not something on the way to it.
        let http = reqwest::Client::builder().no_proxy().build().context("cannot make an HTTP client")?;
        Ok(Self { http, base: url })
    }

    /// A request to a path below the base, such as `["v1", "sql"]`.
    pub fn post(&self, path: &[&str]) -> Result<reqwest::RequestBuilder> {
        Ok(self.http.post(self.below(path)?))
    }

    /// A request for a path below the base.
    pub fn get(&self, path: &[&str]) -> Result<reqwest::RequestBuilder> {
        Ok(self.http.get(self.below(path)?))
    }

    fn below(&self, path: &[&str]) -> Result<Url> {
        let mut url = self.base.clone();
        let segments = url.path_segments_mut();
        segments.map_err(|()| anyhow!("nothing lies below {}", self.base))?.pop_if_empty().extend(path);
        Ok(url)
    }

    /// Runs SQL whose answer does not matter, unless it is an error.
    pub async fn sql_quietly(&self, sql: &str) -> Result<()> {
        let request =
            self.post(&["v1", "sql"])?.header(header::CONTENT_TYPE, "text/plain").body(sql.to_owned());
        self.send(request).await.map(|_| ())
    }

    /// Runs SQL and writes its rows to standard output.
    pub async fn sql(&self, sql: &str, format: OutputFormat) -> Result<Answered> {
        let request =
            self.post(&["v1", "sql"])?.header(header::CONTENT_TYPE, "text/plain").body(sql.to_owned());
        self.rows(request, format).await
    }

    /// Sends a request whose answer is rows.
    pub async fn rows(&self, request: reqwest::RequestBuilder, format: OutputFormat) -> Result<Answered> {
        let response = self.ask_rows(request, format).await?;
        show(response, format).await
    }

    /// Sends a request whose answer is rows, and answers before they are there: [`show`] shows them.
    pub async fn ask_rows(&self, request: reqwest::RequestBuilder, format: OutputFormat) -> Result<Response> {
        let wanted = format.encoded().unwrap_or(Format::Arrow).media_type();
        let wanted = wanted.split(';').next().unwrap_or(wanted);
        self.send(request.header(header::ACCEPT, wanted)).await
    }

    /// Sends a request; an answer that is an error becomes one.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Result<Response> {
        let base = &self.base;
        let response =
            request.send().await.with_context(|| format!("no answer from {base}; is a server running?"))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let text = response.text().await.unwrap_or_default();
        bail!(describe(status, &text))
    }
}

/// Writes the rows of an answer to standard output.
pub(crate) async fn show(response: Response, format: OutputFormat) -> Result<Answered> {
    let sent =
        response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    if sent == "application/json" {
        return Ok(Answered::Done(response.json().await?));
    }
    match format {
        OutputFormat::Table => {
            let bytes = response.bytes().await.context(BROKE_OFF)?;
            let reader = StreamReader::try_new(&bytes[..], None)?;
            let schema = reader.schema();
            let batches = reader.collect::<Result<Vec<_>, _>>()?;
            Ok(Answered::Rows(output::write_batches(schema, batches, format)?))
        }
        _ => pass_on(response).await.map(Answered::Rows),
    }
}

/// The server tells why in its own log alone: when an answer has begun, there is no room in it for an error.
const BROKE_OFF: &str = "the answer broke off before its end; the server's log says why";

/// Copies an answer to standard output; counts lines as rows.
async fn pass_on(mut response: Response) -> Result<usize> {
    use std::io::Write;
    let mut lines = 0;
    while let Some(chunk) = response.chunk().await.context(BROKE_OFF)? {
        lines += chunk.iter().filter(|byte| **byte == b'\n').count();
        std::io::stdout().write_all(&chunk)?;
    }
    std::io::stdout().flush()?;
    Ok(lines)
}

fn describe(status: StatusCode, text: &str) -> String {
    let Ok(Failure { error }) = serde_json::from_str::<Failure>(text) else {
        return format!("the server answered {status}: {text}");
    };
    let mut out = format!("{}: {}", error.code, error.message);
    if let (Some(line), Some(column)) = (error.line, error.column) {
        out.push_str(&format!("\n  at line {line}, column {column}"));
    }
    if let Some(hint) = error.hint {
        out.push_str(&format!("\n  hint: {hint}"));
    }
    format!("{out}\n  help: {}", error.help)
}
