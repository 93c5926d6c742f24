//! Tables whose rows are the answers of a procedure: a job asks a device about each key.
//!
//! Arguments of a call are the columns that are asked by. The answer is a row, as a dictionary or as named results; several, as a list of
//! dictionaries; none, as null or nothing; or the value of the only column that is not asked by.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use headwater_connectors::{ConnectorError, Context, Kept, Lookup, Result, Retries, Wanted};
use headwater_ingest::{Decoder, Encoder, Format, FormatOptions, Options};

use super::config::Place;
use crate::client::Session;
use crate::message::uri::{self, error};
use crate::wire::{Dict, Payload, Serializer, Value};

/// How long a procedure may take for an answer, unless the table says.
const PATIENCE: Duration = Duration::from_secs(30);

/// What stays as it is, however often is called. Any other error may be of the moment, whether there is no callee or it has trouble.
const STAYS: [&str; 4] =
    [error::INVALID_URI, error::NOT_AUTHORIZED, error::AUTHORIZATION_FAILED, error::PAYLOAD_SIZE_EXCEEDED];

/// How much of the arguments an error shows.
const SHOWN_MAX: usize = 200;

/// A table whose rows a procedure knows.
struct Asked {
    place: Place,
    procedure: String,
    patience: Duration,
    kept: Kept,
    retries: Retries,
    wanted: Wanted,
    /// Whether arguments have no names, but are in the order of the table's columns.
    is_positional: bool,
    /// The columns of the table that are not asked by.
    values: Vec<String>,
    session: Option<Session>,
}

/// Makes a table to look rows up in.
pub(super) fn lookup(context: Context, wanted: Wanted, options: &mut Options) -> Result<Box<dyn Lookup>> {
    let procedure = options.require("procedure")?;
    if !uri::is_valid(&procedure, false) {
        return Err(options.bad("procedure", &procedure, "it is not a URI").into());
    }
    // `lookup` is what the table is for.
    options.get("type");
    let realm = options.require("realm")?;
    let place = Place::take_rest(&context.world, realm, procedure.clone(), options, "secret")?;
    let patience = options.duration("timeout")?.unwrap_or(PATIENCE);
    let (kept, retries) = (Kept::take(options)?, Retries::take(options)?);
    let is_positional =
        options.parse_with("arguments", |text| match text.trim().to_ascii_lowercase().as_str() {
            "named" => Ok(false),
            "positional" => Ok(true),
            _ => Err("they are named or positional".to_owned()),
        })?;
    let is_positional = is_positional.unwrap_or(false);
    let names = context.schema.fields().iter().map(|field| field.name().clone());
    let values = names.filter(|name| !wanted.key.contains(name)).collect();
    let session = None;
    Ok(Box::new(Asked { place, procedure, patience, kept, retries, wanted, is_positional, values, session }))
}

impl Asked {
    fn wrong(&self, why: impl std::fmt::Display) -> ConnectorError {
        ConnectorError::refused(format!("call {} in {}", self.procedure, self.place.shown()), why)
    }

    /// The keys, as dictionaries.
    fn asked(&self, keys: &RecordBatch) -> Result<Vec<Dict>> {
        if keys.num_columns() == 0 {
            return Ok(vec![Dict::new(); keys.num_rows()]);
        }
        let mut lines = Vec::new();
        let mut encoder = Encoder::new(Format::JsonLines, keys.schema(), &FormatOptions::default())?;
        encoder.encode(keys, &mut lines)?;
        encoder.finish(&mut lines)?;
        let mut asked = Vec::with_capacity(keys.num_rows());
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match Serializer::Json.read(line) {
                Ok(Value::Dict(key)) => asked.push(key),
                _ => return Err(self.wrong("a key is not an object")),
            }
        }
        Ok(asked)
    }

    async fn fetch_once(&mut self, keys: &RecordBatch) -> Result<RecordBatch> {
        let asked = self.asked(keys)?;
        let rows = self.call(&asked).await?;
        let mut found = Vec::new();
        for row in rows {
            Serializer::Json.write(&Value::Dict(row), &mut found);
            found.push(b'\n');
        }
        let schema = Arc::clone(&self.wanted.columns);
        let mut decoder = Decoder::new(Format::JsonLines, schema, &FormatOptions::default())?;
        let decoded = decoder.decode(found.into())?;
        match decoded.bad.first() {
            None => Ok(decoded.rows),
            Some(bad) => Err(self.wrong(format!("an answer does not fit the table: {}", bad.reason))),
        }
    }

    async fn call(&mut self, keys: &[Dict]) -> Result<Vec<Dict>> {
        let arguments: Vec<_> = keys.iter().map(|key| self.arguments(key)).collect();
        // Taken out: a session in which something went wrong is not used again.
        let mut session = match self.session.take() {
            Some(session) => session,
            None => self.place.join().await?,
        };
        let answers = session.call(&self.procedure, &arguments, self.patience).await;
        let answers = answers.map_err(|error| self.place.failed("call in", error))?;
        self.session = Some(session);
        let mut rows = Vec::new();
        for (key, answer) in keys.iter().zip(answers) {
            match answer {
                Ok(payload) => rows.extend(self.rows(key, &payload).map_err(|why| self.wrong(why))?),
                Err((uri, message)) => {
                    let arguments = self.shown(key);
                    let what = format!("call {} with {arguments} in {}", self.procedure, self.place.shown());
                    let stays = STAYS.contains(&uri.as_str());
                    let said = if message.is_empty() { uri } else { format!("{uri}: {message}") };
                    return Err(match stays {
                        true => ConnectorError::refused(what, said),
                        false => ConnectorError::outage(what, said),
                    });
                }
            }
        }
        Ok(rows)
    }

    /// The arguments of a call, for people.
    fn shown(&self, key: &Dict) -> String {
        let arguments = match self.is_positional {
            true => Value::List(self.arguments(key).args().unwrap_or_default()),
            false => Value::Dict(key.clone()),
        };
        let mut text = Vec::new();
        Serializer::Json.write(&arguments, &mut text);
        let mut text = String::from_utf8_lossy(&text).into_owned();
        if let Some((end, _)) = text.char_indices().nth(SHOWN_MAX) {
            text.truncate(end);
            text.push('…');
        }
        text
    }

    fn arguments(&self, key: &Dict) -> Payload {
        if !self.is_positional {
            return Payload::new(Vec::new(), key.clone());
        }
        let columns =
            self.wanted.columns.fields().iter().filter(|field| self.wanted.key.contains(field.name()));
        let value = |name: &str| key.get(name).cloned().unwrap_or(Value::Null);
        Payload::new(columns.map(|field| value(field.name())).collect(), Dict::new())
    }

    /// The rows that an answer is made of.
    fn rows(&self, key: &Dict, payload: &Payload) -> std::result::Result<Vec<Dict>, String> {
        let readable = |error: crate::wire::Malformed| error.to_string();
        let (args, kwargs) = (payload.args().map_err(readable)?, payload.kwargs().map_err(readable)?);
        let answers = match args.into_iter().next() {
            None if kwargs.is_empty() => Vec::new(),
            None => vec![Value::Dict(kwargs)],
            Some(Value::Null) => Vec::new(),
            Some(Value::List(rows)) => rows,
            Some(one) => vec![one],
        };
        answers.into_iter().map(|answer| self.row(key, answer)).collect()
    }

    fn row(&self, key: &Dict, answer: Value) -> std::result::Result<Dict, String> {
        let given = match (answer, self.values.as_slice()) {
            (Value::Dict(given), [only]) if given.get(only).is_none() => {
                let names: Vec<_> = given.iter().map(|(name, _)| name).collect();
                return Err(format!("the answer has no '{only}', but {}", names.join(", ")));
            }
            (Value::Dict(given), _) => given,
            (value, [only]) => Dict::new().with(only, value),
            (_, columns) => {
                let columns = columns.join(", ");
                return Err(format!("the answer is a single value, and the table has the columns {columns}"));
            }
        };
        let asked: BTreeSet<&str> = key.iter().map(|(name, _)| name).collect();
        let given = given.iter().filter(|(name, _)| !asked.contains(name));
        let all = key.iter().chain(given);
        Ok(all.map(|(name, value)| (name.to_owned(), value.clone())).collect())
    }
}

#[async_trait]
impl Lookup for Asked {
    fn kept(&self) -> Kept {
        self.kept
    }

    async fn fetch(&mut self, keys: &RecordBatch) -> Result<RecordBatch> {
        let fetched = self.fetch_once(keys).await;
        self.retries.count(fetched)
    }
}
