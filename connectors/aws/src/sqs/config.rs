//! Options to a source or a sink. The table of them is in the module's own page.

use std::time::Duration;

use aws_sdk_sqs::Client;
use headwater_connectors::{Connector, ConnectorError, Context, Result, Sink, Source};
use headwater_ingest::{Options, parse_duration};

use super::sink::Sending;
use super::source::{FIELDS, Receiving};
use crate::access::{Access, failed};
use crate::message::{Bodies, KeyColumns, MessageReader, column_for};

/// The entry of the registry.
pub const CONNECTOR: Connector = Connector {
    name: "sqs",
    summary: "receives from and sends to queues of SQS",
    source: Some(source),
    sink: Some(sink),
    gateway: None,
};

/// Which queue.
pub(super) enum Queue {
    Url(String),
    Name(String),
}

impl Queue {
    /// What is shown of it.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Url(name) | Self::Name(name) => format!("queue {name}"),
        }
    }

    /// Its URL, asked for if it is not known.
    pub(super) async fn url(&self, client: &Client) -> Result<String> {
        let name = match self {
            Self::Url(url) => return Ok(url.clone()),
            Self::Name(name) => name,
        };
        let what = format!("find {}", self.shown());
        let answer = client.get_queue_url().queue_name(name).send().await;
        let answer = answer.map_err(|error| failed(what.clone(), &error))?;
        answer.queue_url.ok_or_else(|| ConnectorError::outage(what, "the answer has no URL"))
    }
}

/// What a source's options say.
pub(super) struct SourceOptions {
    /// Seconds.
    pub wait: i32,
    /// Seconds; `None` as the queue has it.
    pub visibility: Option<i32>,
    pub receivers: usize,
}

/// What a sink's options say.
pub(super) struct SinkOptions {
    pub group: Option<KeyColumns>,
}

fn place(options: &mut Options) -> Result<(Queue, Access)> {
    let url = options.parse_with("queue-url", |text| match text.trim().starts_with("http") {
        true => Ok(text.trim().to_owned()),
        false => Err("it begins with http:// or https://".to_owned()),
    })?;
    let name = options.get("queue");
    let access = Access::take(options, None)?;
    let queue = match (url, name) {
        (Some(url), _) => Queue::Url(url),
        (None, Some(name)) => Queue::Name(name),
        (None, None) => Queue::Url(options.require("queue-url")?),
    };
    Ok((queue, access))
}

/// A duration in whole seconds of which there may be as many as `range` says.
fn seconds(options: &mut Options, name: &str, range: std::ops::RangeInclusive<u64>) -> Result<Option<i32>> {
    let read = |text: &str| {
        let duration: Duration = parse_duration(text)?;
        let seconds = duration.as_secs();
        match range.contains(&seconds) && duration.subsec_nanos() == 0 {
            true => i32::try_from(seconds).map_err(|error| error.to_string()),
            false => Err(format!("it is whole seconds, from {} to {}", range.start(), range.end())),
        }
    };
    Ok(options.parse_with(name, read)?)
}

fn source(context: Context, options: &mut Options) -> Result<Box<dyn Source>> {
    let (queue, access) = place(options)?;
    let wait = seconds(options, "source.wait-time", 0..=20)?.unwrap_or(10);
    let visibility = seconds(options, "source.visibility-timeout", 1..=43_200)?;
    let receivers = options.parse_with("source.receivers", |text| match text.trim().parse::<usize>() {
        Ok(number) if (1..=64).contains(&number) => Ok(number),
        _ => Err("it is a number from 1 to 64".to_owned()),
    })?;
    let messages = MessageReader::new(&context, FIELDS, Bodies::Text, options)?;
    let options = SourceOptions { wait, visibility, receivers: receivers.unwrap_or(4) };
    Ok(Box::new(Receiving::new(context.world, access, queue, options, messages)))
}

fn sink(context: Context, options: &mut Options) -> Result<Box<dyn Sink>> {
    let (queue, access) = place(options)?;
    let columns = |names: &str| KeyColumns::find(&context.schema, names, "|");
    let group = options.parse_with("sink.message-group-id", columns)?;
    let about = column_for(&context, "message-group-id", &["message-group-id"])?;
    let about = about.map(|column| KeyColumns::of(&context.schema, &[column], "|")).transpose()?;
    let options = SinkOptions { group: group.or(about) };
    Ok(Box::new(Sending::new(context, access, queue, options)?))
}
