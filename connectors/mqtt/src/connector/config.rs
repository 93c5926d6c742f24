//! Options to a source or a sink.

use std::path::PathBuf;

use bytes::Bytes;
use headwater_connectors::{Connector, ConnectorError, Context, Result, Sink, Source, fill_from_environment};
use headwater_core::StreamId;
use headwater_ingest::{Format, Options};
use url::Url;

use super::embedded;
use super::rows::{RowReader, RowWriter};
use super::sink::Publisher;
use super::source::Recorder;
use super::subscriber::Subscriber;
use crate::client::{Client, ClientError, Login, Target};
use crate::net::ClientTls;
use crate::topic::{check_filter, check_topic, split_shared};
use crate::wire::{Qos, Version};

/// The entry of the registry.
pub const CONNECTOR: Connector = Connector {
    name: "mqtt",
    summary: "records MQTT topics; publishes to them",
    source: Some(source),
    sink: Some(sink),
    gateway: None,
};

/// How long a packet may be that comes in, unless it is said.
const PACKET_BYTES_MAX: u64 = 1 << 20;

/// A broker elsewhere, and who comes to it.
#[derive(Clone)]
pub(super) struct Place {
    pub target: Target,
    pub login: Login,
}

impl Place {
    /// What the options say; `None` is the broker of this process. The name is that of the session, unless an option says another.
    pub(super) fn take(name: &str, options: &mut Options) -> Result<Option<Self>> {
        let url = options.parse_with("url", |text| {
            let url = Url::parse(text.trim()).map_err(|error| error.to_string())?;
            if url.password().is_some() {
                return Err("a password does not belong there; use the option password".to_owned());
            }
            Target::check(&url).map_err(str::to_owned).map(|()| url)
        })?;
        let version = options.parse_with("protocol-version", |text| match text.trim() {
            "5" | "5.0" => Ok(Version::V5),
            "3.1.1" | "4" => Ok(Version::V3),
            _ => Err("it is 5 or 3.1.1".to_owned()),
        })?;
        let username = options.parse_with("username", fill_from_environment)?;
        let password = options.parse_with("password", fill_from_environment)?.map(Bytes::from);
        let from_file = options.parse_with("password-file", |path| read_password(path.trim()))?;
        let prefix = options.get("client-prefix").unwrap_or_else(|| "headwater".to_owned());
        let client_id = options.get("client-id").unwrap_or_else(|| format!("{prefix}-{name}"));
        let packet_bytes_max = options.size("max-packet-size")?.unwrap_or(PACKET_BYTES_MAX);
        let path = |options: &mut Options, name: &str| options.get(name).map(PathBuf::from);
        let ca = path(options, "tls.ca");
        let identity = match (path(options, "tls.cert"), path(options, "tls.key")) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err(options.bad("tls.cert", "", "tls.cert and tls.key belong together").into()),
        };
        let Some(url) = url else {
            if username.is_some() || password.is_some() || from_file.is_some() {
                let why = "the broker in this process asks connectors for no proof; give a url";
                return Err(options.bad("url", "", why).into());
            }
            return Ok(None);
        };
        let username = username.or_else(|| (!url.username().is_empty()).then(|| url.username().to_owned()));
        let target = Target {
            url,
            tls: ClientTls { ca, identity },
            version: version.unwrap_or_default(),
            packet_bytes_max: u32::try_from(packet_bytes_max).unwrap_or(u32::MAX),
        };
        Ok(Some(Self { target, login: Login { client_id, username, password: password.or(from_file) } }))
    }

    /// Goes to the broker.
    pub(super) async fn connect(&self, is_lasting: bool) -> Result<Client> {
        // Files that are of no use stay so until somebody does something about it.
        self.target.check_files().map_err(|error| ConnectorError::refused(self.target.shown(), error))?;
        let client = Client::connect(&self.target, &self.login, is_lasting).await;
        client.map_err(|error| self.failed("connect to", error))
    }

    /// What an error of the client means for the connector.
    pub(super) fn failed(&self, what: &str, error: ClientError) -> ConnectorError {
        let what = format!("{what} {}", self.target.shown());
        match error.is_temporary() {
            true => ConnectorError::outage(what, error),
            false => ConnectorError::refused(what, error),
        }
    }
}

/// The first line of a file.
pub(crate) fn read_password(path: &str) -> std::result::Result<Bytes, String> {
    let read = std::fs::read(path).map_err(|error| format!("cannot read {path}: {error}"))?;
    let line = read.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    Ok(Bytes::copy_from_slice(line))
}

pub(super) fn take_qos(options: &mut Options) -> Result<Qos> {
    let qos = options.parse_with("qos", |text| {
        match text.trim().to_ascii_lowercase().replace(['_', '-'], "").as_str() {
            "0" | "atmostonce" => Ok(Qos::AtMostOnce),
            "1" | "atleastonce" => Ok(Qos::AtLeastOnce),
            "2" | "exactlyonce" => Ok(Qos::ExactlyOnce),
            _ => Err("it is 0, 1 or 2".to_owned()),
        }
    })?;
    Ok(qos.unwrap_or(Qos::AtLeastOnce))
}

/// The name of a table's session.
fn session_of(context: &Context) -> String {
    format!("{}-{}", context.name, context.stream_id.0)
}

fn source(context: Context, options: &mut Options) -> Result<Box<dyn Source>> {
    let place = Place::take(&session_of(&context), options)?;
    let filter = options.require("topic")?;
    let qos = take_qos(options)?;
    let checked = match split_shared(&filter) {
        None => check_filter(&filter),
        Some(shared) if place.is_some() => shared.map(drop),
        Some(_) => Err("the broker of this process has nobody to share it with; leave out $share/GROUP/"),
    };
    checked.map_err(|why| options.bad("topic", &filter, why))?;
    let rows = RowReader::new(&context, options)?;
    let Some(place) = place else {
        // A source that is made for a stream is there to stay, and what is published from now on is kept for it.
        if context.stream_id != StreamId(0)
            && let Some(broker) = embedded::broker()
        {
            broker.record(&context.name, &filter);
        }
        return Ok(Box::new(Recorder::new(context.name, filter, rows, context.world)));
    };
    Ok(Box::new(Subscriber::new(place, filter, qos, rows, context.world)))
}

fn sink(context: Context, options: &mut Options) -> Result<Box<dyn Sink>> {
    let place = Place::take(&session_of(&context), options)?;
    let topic = options.get("topic");
    let qos = take_qos(options)?;
    let retain = options.flag("sink.retain")?.unwrap_or(false);
    if let Some(topic) = &topic {
        check_topic(topic).map_err(|why| options.bad("topic", topic, why))?;
    }
    let format = context.format.unwrap_or(Format::JsonLines);
    let version = place.as_ref().map_or(Version::V5, |place| place.target.version);
    let rows = RowWriter::new(&context, format, version, topic, options)?;
    Ok(Box::new(Publisher::new(place, rows, (qos, retain), context.parking, context.world)))
}
