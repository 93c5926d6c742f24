//! The options of the HTTP connectors.
//!
//! | option | meaning |
//! |---|---|
//! | `endpoint` | the URL; `{{ VARIABLE }}` is taken from the environment, and shown by its name |
//! | `method` | source: `GET` unless set; sink: `POST` unless set |
//! | `headers` | `Name: value` pairs with commas between; `{{ VARIABLE }}` is taken from the environment |
//! | `body` | source: what to send |
//! | `tls.ca` | a file in PEM: who must have signed the server's certificate; those that browsers trust unless set |
//! | `tls.cert`, `tls.key` | files in PEM: the client's certificate and its key, for servers that ask for one |
//! | `timeout` | for a whole request; 30 s unless set |
//! | `poll-interval`, `poll_interval_ms` | source: how often; a second unless set |
//! | `emit-behavior` | source: `all` (unless set) or `changed` |
//! | `batch-rows` | sink: how many rows a request has at most; 1 unless set |
//! | `secret` | sink: signs each request, as `deliver/sign.rs` says; `{{ VARIABLE }}` is taken from the environment |
//! | `attempts` | sink: how often rows are tried before they are parked; 16 unless set |
//! | `retry.first`, `retry.longest` | sink: waits double from the first to the longest, cut by up to half at random; a second, an hour |

use std::time::Duration;

use headwater_ingest::{Format, Options};
use reqwest::Method;

use super::client::Client;
use super::sink::Webhook;
use super::source::Polling;
use crate::connector::{Context, Sink, Source};
use crate::environment::fill_from_environment;
use crate::error::Result;
use crate::registry::Connector;
use crate::retry::Retry;

/// The entry of the registry.
pub(crate) const HTTP: Connector = Connector {
    name: "http",
    summary: "polls a URL; posts to a URL",
    source: Some(source),
    sink: Some(sink),
    gateway: None,
};

/// The source under the name that Arroyo gives it.
pub(crate) const POLLING_HTTP: Connector =
    Connector { name: "polling_http", summary: "polls a URL", sink: None, ..HTTP };

/// The sink under the name that Arroyo gives it.
pub(crate) const WEBHOOK: Connector =
    Connector { name: "webhook", summary: "posts to a URL", source: None, ..HTTP };

fn source(context: Context, options: &mut Options) -> Result<Box<dyn Source>> {
    let client = Client::take(options, Method::GET, &context.allowed)?;
    let body = options.get("body");
    let millis = options.parse::<u64>("poll-interval-ms")?.map(Duration::from_millis);
    let interval = options.duration("poll-interval")?.or(millis).unwrap_or(Duration::from_secs(1));
    let changed_only =
        options.parse_with("emit-behavior", |text| match text.trim().to_ascii_lowercase().as_str() {
            "all" => Ok(false),
            "changed" => Ok(true),
            _ => Err("it is all or changed".to_owned()),
        })?;
    let format = context.format.unwrap_or(Format::JsonLines);
    headwater_ingest::Decoder::new(format, context.schema.clone(), &context.format_options)?;
    Ok(Box::new(Polling::new(context, client, format, body, interval, changed_only.unwrap_or(false))))
}

fn sink(context: Context, options: &mut Options) -> Result<Box<dyn Sink>> {
    let client = Client::take(options, Method::POST, &context.allowed)?;
    let rows = options.parse_with("batch-rows", |text| match text.trim().parse::<usize>() {
        Ok(rows) if rows > 0 => Ok(rows),
        _ => Err("it is a number above 0".to_owned()),
    })?;
    // One row by itself is one JSON object, whatever the media type says about lines.
    let rows = rows.unwrap_or(1);
    let format = context.format.unwrap_or(Format::JsonLines);
    headwater_ingest::Encoder::new(format, context.schema.clone(), &context.format_options)?;
    let secret = options.parse_with("secret", fill_from_environment)?;
    let retry = Retry::take(options)?;
    Ok(Box::new(Webhook::new(context, client, format, rows, secret.map(String::into_bytes), retry)))
}
