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
use std::path::PathBuf;
use std::time::Duration;

use headwater_core::causes;
use headwater_ingest::{Format, Options, RegisteredSchema, Schemas};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::environment::fill_from_environment;
use crate::error::{ConnectorError, Result};
use crate::http::Tls;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// After how long a schema is asked for again that was not there.
const AGAIN: Duration = Duration::from_millis(500);

/// How many files one schema may import, each and all that those import.
const REFERENCES_MAX: usize = 256;

/// Where a registry is, and who we are to it.
#[derive(Clone)]
pub struct SchemaRegistry {
    url: String,
    user: Option<(String, String)>,
    token: Option<String>,
    tls: Tls,
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

impl SchemaRegistry {
    /// [`SchemaRegistry::take`] for messages in these formats: an error if one of them asks for a registry and none is given.
    pub fn take_for(formats: &[Format], options: &mut Options) -> Result<Option<Self>> {
        let registry = Self::take(options)?;
        if registry.is_none()
            && let Some(format) = formats.iter().find(|format| format.is_registered())
        {
            let family =
                if *format == Format::ProtobufConfluent { "protobuf-confluent" } else { "avro-confluent" };
            let reason = "it is where the schema registry is";
            return Err(options.bad(&format!("{family}.url"), "", reason).into());
        }
        Ok(registry)
    }

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
        let ca = take("tls.ca")?.or(take("ssl.ca.location")?);
        let (certificate, key) = (take("tls.cert")?, take("tls.key")?);
        // Flink has this option to say where the user comes from; here there is one place.
        let from = take("basic-auth.credentials-source")?;
        if let Some((name, from)) = from
            && from != "USER_INFO"
        {
            return Err(options.bad(&name, &from, "it is USER_INFO").into());
        }
        let Some((name, url)) = url else { return Ok(None) };
        if let Some((name, path)) = [&ca, &certificate, &key].into_iter().flatten().next()
            && !url.starts_with("https://")
        {
            return Err(options.bad(name, path, "it is for a URL that begins with https://").into());
        }
        let path = |given: Option<(String, String)>| given.map(|(_, path)| PathBuf::from(path));
        let identity = match (path(certificate), path(key)) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err(options.bad("tls.cert", "", "tls.cert and tls.key belong together").into()),
        };
        let tls = Tls { ca: path(ca), identity };
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
        Ok(Some(Self { url: url.trim_end_matches('/').to_owned(), user, token, tls }))
    }

    /// Reads files, where that may wait.
    async fn client(&self) -> Result<Client> {
        let tls = self.tls.clone();
        let build = move || tls.build(Client::builder().timeout(PATIENCE));
        let gone = |error| ConnectorError::outage("make an HTTP client", error);
        tokio::task::spawn_blocking(build).await.map_err(gone)?
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
            ConnectorError::outage(&what, causes(&error.without_url()))
        })?;
        let status = answer.status();
        let body = answer
            .text()
            .await
            .map_err(|error| ConnectorError::outage(&what, causes(&error.without_url())))?;
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

    /// Fetches the schemas that messages name and that are not known yet.
    pub async fn fetch_for<'a>(
        &self,
        messages: impl IntoIterator<Item = &'a [u8]>,
        schemas: &Schemas,
    ) -> Result<()> {
        match schemas.missing(messages) {
            missing if missing.is_empty() => Ok(()),
            missing => self.fetch(missing, schemas).await,
        }
    }

    /// Fetches the schemas of these numbers, with all that they import. Those that the registry does not know are asked for once more
    /// a moment later, together: it may hear of a new one after its first message was written.
    pub async fn fetch(&self, ids: impl IntoIterator<Item = u32>, schemas: &Schemas) -> Result<()> {
        let client = self.client().await?;
        let mut unknown = Vec::new();
        for id in ids {
            match self.find(&client, id).await? {
                Some(schema) => schemas.put(id, Some(schema)),
                None => unknown.push(id),
            }
        }
        if !unknown.is_empty() {
            tokio::time::sleep(AGAIN).await;
        }
        for id in unknown {
            schemas.put(id, self.find(&client, id).await?);
        }
        Ok(())
    }

    async fn find(&self, client: &Client, id: u32) -> Result<Option<RegisteredSchema>> {
        let number = id.to_string();
        let request = self.request(client, Method::GET, &["schemas", "ids", &number])?;
        match self.send(&format!("ask for schema {id}"), request).await? {
            Some(value) => self.complete(client, id, value).await.map(Some),
            None => Ok(None),
        }
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
pub fn take_subject(options: &mut Options, topic: &str, part: &str) -> String {
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// A registry that gives these answers, one for each request.
    async fn answering(answers: &'static [&'static str]) -> SchemaRegistry {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            for answer in answers {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut request = [0; 4_096];
                let _ = socket.read(&mut request).await.unwrap();
                let (status, length, body) = match answer.split_once(' ') {
                    Some((length, body)) => ("200 OK", length.parse().unwrap(), body),
                    None => ("404 Not Found", answer.len(), *answer),
                };
                let head = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
                socket.write_all(head.as_bytes()).await.unwrap();
            }
        });
        let given = [("avro-confluent.url", url.as_str())];
        SchemaRegistry::take(&mut Options::new("connector kafka", given)).unwrap().unwrap()
    }

    #[tokio::test]
    async fn a_schema_that_comes_late_is_found_and_half_an_answer_is_an_outage() {
        let schemas = Schemas::default();
        let registry = answering(&["none", "none", r#"20 {"schema":"\"int\""}"#, "none"]).await;
        registry.fetch([7, 8], &schemas).await.unwrap();
        assert!(schemas.get(7).is_some() && schemas.get(8).is_none());
        assert!(
            schemas.missing([[0, 0, 0, 0, 8, 1].as_slice()]).is_empty(),
            "it is not asked for with each message"
        );

        let error = answering(&["100 {"]).await.fetch([9], &schemas).await.unwrap_err();
        assert!(error.is_retryable(), "{error}");
    }
}
