//! Procedures whose calls run a query: the arguments are its parameters, its rows are the result.
//!
//! Each realm that has some is joined as any callee joins it, so that permissions, timeouts, cancelling and the meta API are the router's
//! as for other procedures.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use datafusion::common::ScalarValue;
use futures::TryStreamExt as _;
use headwater_plan::Statement;
use headwater_run::{Engine, RunError};
use headwater_wamp::client::{Asked, Call, Callee, ClientError, Credentials, Outcome, Target};
use headwater_wamp::gateway::ProcedureConfig;
use headwater_wamp::message::Id;
use headwater_wamp::message::uri::error;
use headwater_wamp::router::{RealmHandle, Router};
use headwater_wamp::wire::{Payload, Serializer, Value};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};

use super::rows::json_of;

/// How many calls of a realm run at a time; others wait.
const CALLS_MAX: usize = 16;

/// How many rows one result has at most, unless the procedure says.
const ROWS_MAX: usize = 1_000;

/// After how long procedures are offered anew when their session has ended.
const AGAIN: Duration = Duration::from_secs(1);

/// How long to wait before looking again whether a caller has taken what it was sent.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// The procedures of all realms, until dropped.
#[derive(Default)]
pub(crate) struct Procedures(Vec<JoinHandle<()>>);

/// Why a call fails: a URI for programs, and words for people.
type Failure = (&'static str, String);

impl Procedures {
    /// Offers procedures in the realms of a router.
    pub fn start(
        engine: &Engine,
        router: &Arc<Router>,
        offered: &[(String, Vec<ProcedureConfig>)],
    ) -> Result<Self> {
        let mut realms = Self::default();
        for (name, procedures) in offered {
            for procedure in procedures {
                check(&procedure.query).with_context(|| format!("procedure {}", procedure.uri))?;
            }
            let Some(realm) = router.realm(name) else { continue };
            let offer = Offer {
                engine: engine.clone(),
                target: Target::Here(Arc::clone(router)),
                realm: Arc::clone(realm),
                procedures: procedures.iter().cloned().map(Arc::new).collect(),
            };
            realms.0.push(tokio::spawn(offer.run()));
        }
        Ok(realms)
    }
}

impl Drop for Procedures {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

/// Whether a text is one query. Which streams it reads may be known later.
fn check(query: &str) -> Result<()> {
    match headwater_plan::parse_one(query)?.statement {
        Statement::Query(_) => Ok(()),
        _ => anyhow::bail!("a procedure runs a query: SELECT ..."),
    }
}

/// The procedures of one realm.
struct Offer {
    engine: Engine,
    target: Target,
    realm: Arc<RealmHandle>,
    procedures: Vec<Arc<ProcedureConfig>>,
}

impl Offer {
    async fn run(self) {
        loop {
            if let Err(error) = self.serve().await {
                tracing::warn!(realm = self.realm.name(), "procedures are offered anew: {error}");
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Registers the procedures and answers calls until the session ends.
    async fn serve(&self) -> Result<(), ClientError> {
        let mut callee = Callee::join(&self.target, self.realm.name(), &Credentials::default()).await?;
        let mut registered = HashMap::new();
        for procedure in &self.procedures {
            registered.insert(callee.register(&procedure.uri).await?, procedure);
        }
        let places = Arc::new(Semaphore::new(CALLS_MAX));
        let (say, mut said) = mpsc::channel(CALLS_MAX);
        let mut tasks = JoinSet::new();
        let mut running: HashMap<Id, AbortHandle> = HashMap::new();
        loop {
            tokio::select! {
                asked = callee.asked() => match asked? {
                    Asked::Call(call) => {
                        let Some(procedure) = registered.get(&call.registration) else { continue };
                        let answering = Answering {
                            engine: self.engine.clone(),
                            realm: Arc::clone(&self.realm),
                            procedure: Arc::clone(procedure),
                            say: say.clone(),
                        };
                        let (id, places) = (call.id, Arc::clone(&places));
                        let task = tasks.spawn(async move {
                            let place = places.acquire().await;
                            answering.answer(call).await;
                            drop(place);
                        });
                        running.insert(id, task);
                    }
                    Asked::Cancel(id) => {
                        if let Some(task) = running.remove(&id) {
                            task.abort();
                            let why = "the call was canceled".to_owned();
                            callee.answer(id, Outcome::Error(error::CANCELED, why)).await?;
                        }
                    }
                },
                Some((id, outcome)) = said.recv() => {
                    let is_over = !matches!(outcome, Outcome::Progress(_));
                    if running.contains_key(&id) {
                        callee.answer(id, outcome).await?;
                    }
                    if is_over {
                        running.remove(&id);
                    }
                }
                Some(_) = tasks.join_next() => {}
            }
        }
    }
}

/// What it takes to answer a call.
struct Answering {
    engine: Engine,
    realm: Arc<RealmHandle>,
    procedure: Arc<ProcedureConfig>,
    say: mpsc::Sender<(Id, Outcome)>,
}

impl Answering {
    async fn answer(&self, call: Call) {
        let outcome = match self.rows(&call).await {
            Ok(last) => Outcome::Result(last),
            Err((uri, why)) => Outcome::Error(uri, why),
        };
        // Nobody hears it if the session has ended.
        let _ = self.say.send((call.id, outcome)).await;
    }

    /// Runs the query. All parts but the last are sent on the way, if that was asked for.
    async fn rows(&self, call: &Call) -> Result<Payload, Failure> {
        let most = self.procedure.rows_max.unwrap_or(ROWS_MAX).max(1);
        let parameters = parameters(&call.payload).map_err(|why| (error::INVALID_ARGUMENT, why))?;
        let mut batches = self.engine.select(&self.procedure.query, parameters).await.map_err(refused)?;
        let mut rows = Vec::new();
        while let Some(batch) = batches.try_next().await.map_err(|error| refused(error.into()))? {
            for json in json_of(&batch).map_err(failed)? {
                if rows.len() == most {
                    if !call.receive_progress {
                        let why = format!(
                            "there are more than {most} rows: ask for progressive results, or for fewer"
                        );
                        return Err((error::PAYLOAD_SIZE_EXCEEDED, why));
                    }
                    self.wait_for(call.caller).await;
                    let part = Outcome::Progress(part(std::mem::take(&mut rows)));
                    self.say.send((call.id, part)).await.map_err(failed)?;
                }
                rows.push(Serializer::Json.read(&json).map_err(failed)?);
            }
        }
        Ok(part(rows))
    }

    /// Waits until a caller has taken most of what it was sent.
    async fn wait_for(&self, caller: Option<Id>) {
        let Some(caller) = caller else { return };
        while self.realm.with(|realm| realm.is_crowded(caller)) {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

fn part(rows: Vec<Value>) -> Payload {
    Payload::of(vec![Value::List(rows)])
}

/// What a query cannot be run for, with the code by which the remedy is found.
fn refused(error: RunError) -> Failure {
    match error {
        RunError::Invalid(why) => (error::INVALID_ARGUMENT, why),
        other => (error::RUNTIME_ERROR, format!("{}: {other}", other.code())),
    }
}

fn failed(error: impl std::fmt::Display) -> Failure {
    (error::RUNTIME_ERROR, error.to_string())
}

/// Positional arguments are called 1, 2, ..; named ones by their names.
fn parameters(payload: &Payload) -> Result<BTreeMap<String, ScalarValue>, String> {
    let (args, kwargs) = match (payload.args(), payload.kwargs()) {
        (Ok(args), Ok(kwargs)) => (args, kwargs),
        (Err(malformed), _) | (_, Err(malformed)) => return Err(malformed.to_string()),
    };
    let positional = (1..).zip(args).map(|(number, value): (usize, Value)| (number.to_string(), value));
    let named = kwargs.iter().map(|(name, value)| (name.to_owned(), value.clone()));
    positional.chain(named).map(|(name, value)| Ok((name.clone(), scalar(&name, value)?))).collect()
}

fn scalar(name: &str, value: Value) -> Result<ScalarValue, String> {
    Ok(match value {
        Value::Null => ScalarValue::Null,
        Value::Bool(truth) => ScalarValue::from(truth),
        Value::Int(int) => match i64::try_from(int) {
            Ok(int) => ScalarValue::from(int),
            Err(_) => {
                ScalarValue::from(u64::try_from(int).map_err(|_| format!("argument {name} is too large"))?)
            }
        },
        Value::Float(float) => ScalarValue::from(float),
        Value::Text(text) => ScalarValue::from(text),
        Value::Bytes(bytes) => ScalarValue::Binary(Some(bytes.to_vec())),
        Value::List(_) | Value::Dict(_) => {
            return Err(format!("argument {name} is a list or a dictionary; arguments are single values"));
        }
    })
}

#[cfg(test)]
mod tests {
    use headwater_wamp::wire::Dict;

    use super::*;

    #[test]
    fn arguments_are_parameters_by_number_and_name() {
        let payload = Payload::new(vec!["t7".into(), Value::Int(-1)], Dict::new().with("open", true));
        let given = parameters(&payload).unwrap();
        let expected = [
            ("1", ScalarValue::from("t7")),
            ("2", ScalarValue::from(-1_i64)),
            ("open", ScalarValue::from(true)),
        ];
        assert_eq!(given, expected.map(|(name, value)| (name.to_owned(), value)).into());
        let why = parameters(&Payload::of(vec![vec![1_u64].into()])).unwrap_err();
        assert!(why.contains("argument 1"), "{why}");
    }

    #[test]
    fn a_log_that_cannot_be_read_is_told_by_its_code() {
        let away = headwater_log::TopicError::Outage {
            what: "read headwater.readings/0".to_owned(),
            reason: "nobody answers".to_owned(),
        };
        let (uri, why) = refused(RunError::Log(headwater_log::LogError::Topics(away)));
        assert_eq!(uri, "wamp.error.runtime_error");
        assert!(why.starts_with("HW1017: ") && why.contains("nobody answers"), "{why}");
        assert_eq!(refused(RunError::Invalid("no".into())), (error::INVALID_ARGUMENT, "no".to_owned()));
    }

    #[test]
    fn a_procedure_is_a_query() {
        assert!(check("SELECT * FROM readings WHERE device = $1").is_ok());
        assert!(check("DROP STREAM readings").is_err());
        assert!(check("SELECT 1; SELECT 2").is_err());
    }
}
