//! A client of a schema registry with Confluent's interface (Confluent, Karapace, Apicurio and Redpanda have it).
//!
//! ```text
//!  GET  /schemas/ids/7                     {"schema": "…", "references": [{"name", "subject", "version"}]}
//!  GET  /subjects/NAME/versions/3          the same, of a reference
//!  POST /subjects/NAME/versions            {"schema": "…", "schemaType": "PROTOBUF"} -> {"id": 7}
//! ```
//!
//! A number means the same schema for ever, so what was fetched once is kept in [`Schemas`] and never asked for again.

use std::collections::BTreeMap;
use std::time::Duration;

use headwater_connectors::{ConnectorError, Result, fill_from_environment};
use headwater_ingest::{Format, Options, RegisteredSchema, Schemas};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many files one schema may import, each and all that those import.
const REFERENCES_MAX: usize = 256;

/// Where a registry is, and who we are to it.
#[derive(Clone)]
pub(crate) struct Registry {
    url: String,
    user: Option<(String, String)>,
    token: Option<String>,
    authority: Option<String>,
}

/// What the registry says of a schema.
#[derive(Deserialize)]
struct Answer {
    schema: String,
    #[serde(default)]
    references: Vec<Reference>,
}

#[derive(Deserialize)]
struct Reference {
    name: String,
    subject: String,
    version: i64,
}

#[derive(Deserialize)]
struct Registered {
    id: u32,
}

impl Registry {
    /// Takes the options of a registry: `avro-confluent.*`, `protobuf-confluent.*` or `schema-registry.*`, also with `value.` or
    /// `key.` before. `None` if none is given.
    pub fn take(options: &mut Options) -> Result<Option<Self>> {
        let mut take = |name: &str| {
            let families = ["avro-confluent", "protobuf-confluent", "schema-registry"];
            let parts = ["", "value.", "key."];
            let names = parts.iter().flat_map(|part| families.map(|family| format!("{part}{family}.{name}")));
            let mut found = None;
            for full in names {
                let value = options.parse_with(&full, fill_from_environment)?;
                found = found.or(value.map(|value| (full, value)));
            }
            Ok::<_, ConnectorError>(found)
        };
        let url = take("url")?;
        let user = take("basic-auth.user-info")?;
        let token = take("bearer-auth.token")?.map(|(_, token)| token);
        let authority = take("ssl.ca.location")?.map(|(_, path)| path);
        // Flink has this option to say where the user comes from; here there is one place.
        let from = take("basic-auth.credentials-source")?;
        if let Some((name, from)) = from
            && from != "USER_INFO"
        {
            return Err(options.bad(&name, &from, "it is USER_INFO").into());
        }
        let Some((name, url)) = url else { return Ok(None) };
        if !(url.starts_with("http://") || url.starts_with("https://")) {
            return Err(options.bad(&name, &url, "it begins with http:// or https://").into());
        }
        let user = match user {
            Some((name, user)) => match user.split_once(':') {
                Some((user, password)) => Some((user.to_owned(), password.to_owned())),
                None => return Err(options.bad(&name, "", "it is user:password").into()),
            },
            None => None,
        };
        Ok(Some(Self { url: url.trim_end_matches('/').to_owned(), user, token, authority }))
    }

    async fn client(&self) -> Result<Client> {
        let mut builder = Client::builder().timeout(PATIENCE);
        if let Some(path) = &self.authority {
            let refused =
                |error: &dyn ToString| ConnectorError::refused(format!("read {path}"), error.to_string());
            let pem = tokio::fs::read(path).await.map_err(|error| refused(&error))?;
            let certificate = reqwest::Certificate::from_pem(&pem).map_err(|error| refused(&error))?;
            builder = builder.add_root_certificate(certificate);
        }
        builder.build().map_err(|error| ConnectorError::refused("make a client of the registry", error))
    }

    fn request(&self, client: &Client, method: Method, path: &[&str]) -> Result<RequestBuilder> {
        let refused =
            |reason: String| ConnectorError::refused(format!("ask the registry at {}", self.url), reason);
        let mut url = reqwest::Url::parse(&self.url).map_err(|error| refused(error.to_string()))?;
        url.path_segments_mut()
            .map_err(|()| refused("it has no path".to_owned()))?
            .pop_if_empty()
            .extend(path);
        let mut request = client.request(method, url);
        if let Some((user, password)) = &self.user {
            request = request.basic_auth(user, Some(password));
        }
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        Ok(request.header("Accept", "application/vnd.schemaregistry.v1+json"))
    }

    /// Sends a request; `None` if there is no such thing.
    async fn send(&self, what: &str, request: RequestBuilder) -> Result<Option<Value>> {
        let what = format!("{what} of the registry at {}", self.url);
        let answer = request.send().await.map_err(|error| {
            // The error's own text has the whole address in it.
            ConnectorError::outage(&what, headwater_connectors::causes(&error.without_url()))
        })?;
        let status = answer.status();
        let body = answer.text().await.unwrap_or_default();
        match status {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => {
                serde_json::from_str(&body).map(Some).map_err(|error| ConnectorError::refused(what, error))
            }
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                Err(ConnectorError::outage(what, status))
            }
            status => {
                let said: Value = serde_json::from_str(&body).unwrap_or_default();
                let said = said["message"].as_str().unwrap_or_default();
                Err(ConnectorError::refused(what, format!("{status}: {said}")))
            }
        }
    }

    /// Fetches the schemas of these numbers, with all that they import.
    pub async fn fetch(&self, ids: impl IntoIterator<Item = u32>, schemas: &Schemas) -> Result<()> {
        let client = self.client().await?;
        for id in ids {
            let number = id.to_string();
            let request = self.request(&client, Method::GET, &["schemas", "ids", &number])?;
            let found = self.send(&format!("ask for schema {id}"), request).await?;
            let schema = match found {
                Some(value) => Some(self.complete(&client, id, value).await?),
                None => None,
            };
            schemas.put(id, schema);
        }
        Ok(())
    }

    /// A schema with all that it imports.
    async fn complete(&self, client: &Client, id: u32, value: Value) -> Result<RegisteredSchema> {
        let what = format!("ask for schema {id}");
        let read = |value| {
            serde_json::from_value::<Answer>(value).map_err(|error| ConnectorError::refused(&what, error))
        };
        let answer = read(value)?;
        let mut references = BTreeMap::new();
        let mut open = answer.references;
        while let Some(Reference { name, subject, version }) = open.pop() {
            if references.contains_key(&name) {
                continue;
            }
            if references.len() >= REFERENCES_MAX {
                return Err(ConnectorError::refused(
                    what,
                    format!("it imports more than {REFERENCES_MAX} files"),
                ));
            }
            let version = version.to_string();
            let request = self.request(client, Method::GET, &["subjects", &subject, "versions", &version])?;
            let found = self.send(&format!("ask for version {version} of {subject}"), request).await?;
            let missing = || ConnectorError::refused(&what, format!("its reference {subject} is not there"));
            let referred = read(found.ok_or_else(missing)?)?;
            references.insert(name, referred.schema);
            open.extend(referred.references);
        }
        Ok(RegisteredSchema { text: answer.schema, references })
    }

    /// Registers a schema, unless it is known, and answers its number.
    pub async fn register(&self, subject: &str, format: Format, schema: &str) -> Result<u32> {
        let kind = if format == Format::ProtobufConfluent { "PROTOBUF" } else { "AVRO" };
        let client = self.client().await?;
        let request = self.request(&client, Method::POST, &["subjects", subject, "versions"])?;
        let request = request
            .header("Content-Type", "application/vnd.schemaregistry.v1+json")
            .body(json!({"schema": schema, "schemaType": kind}).to_string());
        let what = format!("register a schema for {subject}");
        let missing = || ConnectorError::refused(&what, "there is no such place; is the address right?");
        let answer = self.send(&what, request).await?.ok_or_else(missing)?;
        let answer = serde_json::from_value::<Registered>(answer);
        answer.map(|answer| answer.id).map_err(|error| ConnectorError::refused(&what, error))
    }
}

/// The subject under which schemas of a topic's values or keys are registered, unless it is given.
pub(crate) fn take_subject(options: &mut Options, topic: &str, part: &str) -> String {
    let mut names = Vec::new();
    for family in ["avro-confluent", "protobuf-confluent", "schema-registry"] {
        names.push(format!("{part}.{family}.subject"));
        if part == "value" {
            names.push(format!("{family}.subject"));
        }
    }
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    options.get_any(&names).unwrap_or_else(|| format!("{topic}-{part}"))
}
