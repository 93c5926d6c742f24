//! The options of a delivery; `mod.rs` lists them.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use headwater_core::World;
use headwater_ingest::Options;
use reqwest::Url;
use reqwest::header::HeaderValue;

use super::allow::Allowed;
use super::attempt::Way;
use super::body::{Delivery, Template};
use super::command::Program;
use super::lanes::Grouping;
use super::limit::Rate;
use super::publish::Publication;
use super::webhook::Webhook;
use crate::environment::fill_from_environment;
use crate::error::{ConnectorError, Result};
use crate::http::{Tls, read_headers};
use crate::retry::{Retry, positive};

/// A trigger whose firings are delivered.
#[derive(Clone, Debug)]
pub struct DeliveryDef {
    /// The trigger, and the stream of its firings.
    pub trigger: String,
    /// The columns that tell one key from another.
    pub keys: Vec<String>,
    /// Where to.
    pub target: Target,
    /// The options as they were written.
    pub options: BTreeMap<String, String>,
}

/// Where a trigger's firings go.
#[derive(Clone, Debug)]
pub enum Target {
    /// A URL.
    Webhook {
        /// Which.
        url: String,
    },
    /// A topic.
    Publish {
        /// Which.
        topic: String,
    },
    /// A program that the configuration allows.
    Command {
        /// The name that it has in the configuration.
        name: String,
        /// Arguments behind those of the configuration.
        arguments: Vec<String>,
    },
}

/// What the options say.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(super) way: Way,
    pub(super) retry: Retry,
    pub(super) rate: Option<Rate>,
    pub(super) drop_over_rate: bool,
    pub(super) grouping: Option<Grouping>,
    /// By what firings are put in lanes.
    pub(super) lane_by: Vec<String>,
    template: Option<Template>,
    /// Whether the body is JSON, so that text in a template is escaped.
    is_json: bool,
}

impl Settings {
    /// Reads and checks everything; `firing` are the columns of a firing. Touches nothing outside.
    pub(crate) fn read(
        def: &DeliveryDef,
        firing: &SchemaRef,
        allowed: &Allowed,
        world: &World,
    ) -> Result<Self> {
        let mut options = Options::new("the delivery", def.options.iter());
        let timeout = options.duration("timeout")?.unwrap_or(Duration::from_secs(10));
        let (way, is_json) = match &def.target {
            Target::Webhook { url } => {
                let (webhook, is_json) = read_webhook(url, timeout, allowed, &mut options)?;
                (Way::Webhook(Box::new(webhook)), is_json)
            }
            Target::Publish { topic } => {
                let publication = Publication::read(topic, timeout, world, &mut options)?;
                (Way::Publish(publication), true)
            }
            Target::Command { name, arguments } => (program(name, arguments, timeout, allowed)?, true),
        };
        let retry = Retry::take(&mut options)?;
        let rate = options.parse_with("rate", Rate::parse)?;
        let over =
            options.parse_with("rate.exceeded", |text| match text.trim().to_ascii_lowercase().as_str() {
                "wait" => Ok(false),
                "drop" => Ok(true),
                _ => Err("it is wait or drop".to_owned()),
            })?;
        let columns: Vec<&str> = firing.fields().iter().map(|field| field.name().as_str()).collect();
        let (grouping, group_by) = grouping(&mut options, &columns)?;
        let template = options.parse_with("body", |text| Template::parse(text, &columns))?;
        options.finish()?;
        Ok(Self {
            way,
            retry,
            rate,
            drop_over_rate: over.unwrap_or(false),
            lane_by: if grouping.is_some() { group_by } else { def.keys.clone() },
            grouping,
            template,
            is_json,
        })
    }

    pub(super) fn body(&self, delivery: &Delivery) -> Vec<u8> {
        match &self.template {
            Some(template) => template.render(delivery, self.is_json),
            None => delivery.document(),
        }
    }
}

/// Reads a webhook's options; whether its body is JSON.
pub(crate) fn read_webhook(
    url: &str,
    timeout: Duration,
    allowed: &Allowed,
    options: &mut Options,
) -> Result<(Webhook, bool)> {
    let refused = |reason: String| ConnectorError::refused(options_owner(options), reason);
    let parsed = Url::parse(url).map_err(|error| refused(format!("'{url}' is no URL: {error}")))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(refused(format!(
            "a webhook begins with http:// or https://, not {}://",
            parsed.scheme()
        )));
    }
    allowed.check_url(&parsed).map_err(refused)?;
    let headers = options.parse_with("headers", read_headers)?.unwrap_or_default();
    let secret = options.parse_with("secret", fill_from_environment)?;
    let content_type = options.get("content-type").unwrap_or_else(|| "application/json".to_owned());
    let is_json = content_type.contains("json");
    let content_type = HeaderValue::from_str(&content_type)
        .map_err(|error| options.bad("content-type", &content_type, error.to_string()))?;
    let secret = secret.map(|secret| secret.into_bytes().into());
    let tls = Tls::take(options, &parsed)?;
    Ok((Webhook { url: parsed, headers, content_type, secret, timeout, tls }, is_json))
}

fn options_owner(options: &Options) -> String {
    options.owner().to_owned()
}

fn program(name: &str, arguments: &[String], timeout: Duration, allowed: &Allowed) -> Result<Way> {
    let program = allowed
        .command(name)
        .map_err(|reason| ConnectorError::refused(format!("command '{name}'"), reason))?;
    let words = program.iter().chain(arguments).cloned().collect();
    Ok(Way::Program(Program { words, timeout }))
}

fn grouping(options: &mut Options, columns: &[&str]) -> Result<(Option<Grouping>, Vec<String>)> {
    let wait = options.duration("group")?;
    let max = options.parse_with("group.max", positive)?;
    let by = options.parse_with("group.by", |text| {
        let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
        match names.iter().find(|name| !columns.contains(&name.as_str())) {
            Some(unknown) => Err(format!("a firing has no column '{unknown}'")),
            None => Ok(names),
        }
    })?;
    let max = max.map_or(1_000, |max| max as usize);
    Ok((wait.map(|wait| Grouping { wait, max }), by.unwrap_or_default()))
}
