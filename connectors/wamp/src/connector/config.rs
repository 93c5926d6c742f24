//! Options to a source, a sink or a table to look rows up in.

use std::path::PathBuf;

use headwater_connectors::registry;
use headwater_connectors::{Connector, ConnectorError, Context, Result, Sink, Source, fill_from_environment};
use headwater_core::{StreamId, World};
use headwater_ingest::Options;
use headwater_net::ClientTls;
use url::Url;

use super::embedded;
use super::lookup::lookup;
use super::sink::Publisher;
use super::source::Recorder;
use crate::auth::Secret;
use crate::client::{ClientError, Credentials, Method, Session, Target, is_secure};
use crate::message::{Match, uri};

/// The entry of the registry.
pub const CONNECTOR: Connector = Connector {
    name: "wamp",
    summary: "records WAMP topics; publishes to them",
    source: Some(source),
    sink: Some(sink),
    gateway: None,
};

/// Adds the connector to the registry, and that rows can be looked up in its tables.
pub fn add() {
    registry::add(&CONNECTOR);
    registry::add_lookup(CONNECTOR.name, lookup);
}

/// Where topics are, and how to get there.
#[derive(Clone)]
pub(super) struct Place {
    pub realm: String,
    pub topic: String,
    url: Option<Url>,
    tls: ClientTls,
    credentials: Credentials,
    pub world: World,
}

impl Place {
    fn take(world: &World, options: &mut Options) -> Result<Self> {
        let realm = options.require("realm")?;
        let topic = options.require("topic")?;
        Self::take_rest(world, realm, topic, options, "secret")
    }

    /// Takes the options besides realm and topic.
    pub(super) fn take_rest(
        world: &World,
        realm: String,
        topic: String,
        options: &mut Options,
        secret: &str,
    ) -> Result<Self> {
        let url = options.parse_with("url", |text| {
            let url = Url::parse(text.trim()).map_err(|error| error.to_string())?;
            match url.scheme() {
                "ws" | "wss" | "rs" | "rss" => Ok(url),
                _ => Err("it begins with ws://, wss://, rs:// or rss://".to_owned()),
            }
        })?;
        let tls = take_tls(options, url.as_ref().is_some_and(is_secure))?;
        let method = options.parse_with("authmethod", |name| {
            let known = Method::from_name(name.trim());
            known.ok_or_else(|| "it is anonymous, ticket, wampcra or cryptosign".to_owned())
        })?;
        let authid = options.get("authid");
        let secret = options.parse_with(secret, fill_from_environment)?.map(Secret::new);
        if url.is_none() && (method.is_some() || secret.is_some()) {
            return Err(options
                .bad("url", "", "a router in this process asks for no proof; give a url")
                .into());
        }
        let credentials = Credentials { method: method.unwrap_or_default(), authid, secret };
        Ok(Self { realm, topic, url, tls, credentials, world: world.clone() })
    }

    /// What is shown of it.
    pub(super) fn shown(&self) -> String {
        let elsewhere = self.elsewhere().map(|target| target.shown());
        format!("realm {} of {}", self.realm, elsewhere.as_deref().unwrap_or("the router of this process"))
    }

    /// Whether it is the router of this process.
    fn is_here(&self) -> bool {
        self.url.is_none()
    }

    /// Joins the realm.
    pub(super) async fn join(&self) -> Result<Session> {
        let session = Session::join(&self.target()?, &self.realm, &self.credentials).await;
        session.map_err(|error| self.failed("join", error))
    }

    /// Joins the realm to write down all that is published, and for whom, as far as the router tells.
    pub(super) async fn join_as_recorder(&self) -> Result<Session> {
        let session = match &self.url {
            Some(_) => return self.join().await,
            None => Session::join_as_recorder(&self.target()?, &self.realm, &self.credentials).await,
        };
        session.map_err(|error| self.failed("join", error))
    }

    fn elsewhere(&self) -> Option<Target> {
        let (url, tls, world) = (self.url.clone()?, self.tls.clone(), self.world.clone());
        Some(Target::At { url, tls: Box::new(tls), world })
    }

    fn target(&self) -> Result<Target> {
        if let Some(target) = self.elsewhere() {
            // Files that are of no use stay so until somebody does something about it.
            target.check().map_err(|error| ConnectorError::refused(self.shown(), error))?;
            return Ok(target);
        }
        let nowhere = "there is none; start it with serve --wamp, or give a url";
        let router = embedded::router();
        router.map(Target::Here).ok_or_else(|| ConnectorError::outage(self.shown(), nowhere))
    }

    /// What an error of the client means for the connector.
    pub(super) fn failed(&self, what: &str, error: ClientError) -> ConnectorError {
        let what = format!("{what} {}", self.shown());
        match error {
            ClientError::Gone(reason) | ClientError::HungUp(reason) => ConnectorError::outage(what, reason),
            // A realm may come, a router may be busy: only what is about permission stays as it is.
            ClientError::Refused { uri, message } if is_temporary(&uri) => {
                ConnectorError::outage(what, format!("{uri}: {message}"))
            }
            ClientError::Refused { uri, message } => {
                ConnectorError::refused(what, format!("{uri}: {message}"))
            }
        }
    }
}

/// Whom TLS trusts, and how it proves who comes.
fn take_tls(options: &mut Options, is_secure: bool) -> Result<ClientTls> {
    let mut given = |name: &'static str| options.get(name).map(|path| (name, path));
    let all = [given("tls.ca"), given("tls.cert"), given("tls.key")];
    if let Some((name, path)) = all.iter().flatten().next().filter(|_| !is_secure) {
        return Err(options.bad(name, path, "it is for a url that begins with wss:// or rss://").into());
    }
    match all.map(|given| given.map(|(_, path)| PathBuf::from(path))) {
        [ca, Some(certificate), Some(key)] => Ok(ClientTls { ca, identity: Some((certificate, key)) }),
        [ca, None, None] => Ok(ClientTls { ca, identity: None }),
        _ => Err(options.bad("tls.cert", "", "tls.cert and tls.key belong together").into()),
    }
}

fn is_temporary(error: &str) -> bool {
    error.starts_with("wamp.close.")
        || [uri::error::NO_SUCH_REALM, uri::error::UNAVAILABLE, uri::error::TIMEOUT].contains(&error)
}

fn source(context: Context, options: &mut Options) -> Result<Box<dyn Source>> {
    let place = Place::take(&context.world, options)?;
    let matching = options
        .parse_with("match", |name| {
            Match::from_name(name.trim()).ok_or_else(|| "it is exact, prefix or wildcard".to_owned())
        })?
        .unwrap_or_default();
    if !matching.is_valid(&place.topic, false) {
        return Err(options.bad("topic", &place.topic, "it is not a topic, or not such a pattern").into());
    }
    // A source that is made for a stream is there to stay: from now on acknowledgements wait for it.
    if context.stream_id != StreamId(0)
        && let Some(router) = embedded::router()
    {
        match place.is_here() {
            true => router.record(&place.realm, &context.name, matching, &place.topic),
            false => router.forget_stream(&context.name),
        }
    }
    Ok(Box::new(Recorder::new(&context, place, matching)))
}

fn sink(context: Context, options: &mut Options) -> Result<Box<dyn Sink>> {
    let place = Place::take(&context.world, options)?;
    if !uri::is_valid(&place.topic, false) || uri::is_reserved(&place.topic) {
        return Err(options.bad("topic", &place.topic, "it is not a topic that can be published to").into());
    }
    Ok(Box::new(Publisher::new(context, place)))
}
