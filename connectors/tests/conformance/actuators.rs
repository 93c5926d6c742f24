//! Actuators: each decision is carried out once, whenever the process dies; and workers on this host.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray,
};
use arrow::datatypes::{
    DataType, Field, Int32Type, Int64Type, Schema, SchemaRef, TimeUnit, TimestampNanosecondType,
};
use async_trait::async_trait;
use headwater_connectors::{
    ATTEMPTS, Activity, Actuator, ActuatorContext, ActuatorDef, ActuatorKind, Allowed, ConnectorError,
    ConnectorSupervisor, Handle, SetWorkers, State, add_actuator,
};
use headwater_core::{ShardId, StreamName, World};
use headwater_ingest::{Ingest, Options};
use headwater_log::{Append, Log, MemoryLog, ReadSpec, StreamSpec};
use parking_lot::Mutex;
use tokio::runtime::Runtime;

use crate::lab::{LIVES, eventually, runtime};

/// A log with what groups decide.
struct Groups {
    ingest: Arc<Ingest>,
}

fn time() -> DataType {
    DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()))
}

fn schema(fields: &[(&str, DataType)]) -> SchemaRef {
    let fields = fields.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

impl Groups {
    fn new() -> Self {
        let world = World::real();
        let log = MemoryLog::new(world.clone());
        let (text, number) = (DataType::Utf8, DataType::Int64);
        let activities = schema(&[
            ("at", time()),
            ("group", text.clone()),
            ("by", text.clone()),
            ("before", number.clone()),
            ("after", number.clone()),
            ("activity", number.clone()),
            ("reason", text.clone()),
            ("min", number.clone()),
            ("max", number.clone()),
        ]);
        let progress = schema(&[
            ("at", time()),
            ("group", text.clone()),
            ("activity", number),
            ("succeeded", DataType::Boolean),
            ("detail", text),
        ]);
        for (name, schema) in
            [("system.scaling_activities", activities), ("system.scaling_progress", progress)]
        {
            Log::create_stream(log.as_ref(), StreamSpec::new(StreamName::new(name).unwrap(), schema))
                .unwrap();
        }
        Self { ingest: Arc::new(Ingest::new(world, log).unwrap()) }
    }

    /// A decision at second 100; without a number it is one that changes nothing.
    fn decide(&self, group: &str, number: Option<i64>, size: i64) {
        let info = self.ingest.log().stream_named("system.scaling_activities").unwrap();
        let text = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text])) };
        let one = |number: Option<i64>| -> ArrayRef { Arc::new(Int64Array::from(vec![number])) };
        let columns: Vec<ArrayRef> = vec![
            Arc::new(TimestampNanosecondArray::from(vec![100_000_000_000]).with_timezone("UTC")),
            text(group),
            text("more"),
            one(Some(1)),
            one(Some(size)),
            one(number),
            text("simple, +1"),
            one(Some(0)),
            one(Some(1_000)),
        ];
        let rows = RecordBatch::try_new(Arc::clone(&info.spec.schema), columns).unwrap();
        self.ingest.log().append(vec![Append::new(info.id, ShardId(0), rows)]).unwrap();
    }

    fn start(&self, runtime: &Runtime, def: &ActuatorDef, allowed: &Allowed) -> Handle {
        add_actuator(&GAUGE);
        let supervisor =
            ConnectorSupervisor::new(Arc::clone(&self.ingest), runtime.handle().clone()).unwrap();
        supervisor.start_actuator(def.clone(), allowed, jobs()).unwrap()
    }

    fn rows(&self, stream: &str) -> Vec<RecordBatch> {
        let log = self.ingest.log();
        let Ok(info) = log.stream_named(stream) else { return Vec::new() };
        let mut reader = log.read(ReadSpec::all(info.id, ShardId(0))).unwrap();
        let mut all = Vec::new();
        while let Some(read) = reader.next().unwrap() {
            all.push(read.rows);
        }
        all
    }

    /// The attempts so far: action, activity, size, attempt, outcome.
    fn attempts(&self) -> Vec<String> {
        let mut all = Vec::new();
        for rows in self.rows(ATTEMPTS) {
            let text = |name: &str| rows.column_by_name(name).unwrap().as_string::<i32>().clone();
            let (actions, outcomes) = (text("action"), text("outcome"));
            let number = |name: &str| rows.column_by_name(name).unwrap().as_primitive::<Int64Type>().clone();
            let (activities, sizes) = (number("activity"), number("size"));
            let attempts = rows.column_by_name("attempt").unwrap().as_primitive::<Int32Type>().clone();
            all.extend((0..rows.num_rows()).map(|row| {
                let activity =
                    if activities.is_valid(row) { activities.value(row).to_string() } else { "-".into() };
                let (action, outcome) = (actions.value(row), outcomes.value(row));
                format!("{action} {activity} {} {} {outcome}", sizes.value(row), attempts.value(row))
            }));
        }
        all
    }

    /// What the group was told: activity, whether it succeeded; in event time, not by today's clock.
    fn progress(&self) -> Vec<(i64, bool)> {
        let mut all = Vec::new();
        for rows in self.rows("system.scaling_progress") {
            let times = rows.column(0).as_primitive::<TimestampNanosecondType>();
            let (activities, succeeded): (_, &BooleanArray) =
                (rows.column(2).as_primitive::<Int64Type>(), rows.column(3).as_boolean());
            all.extend((0..rows.num_rows()).map(|row| {
                let later = times.value(row) / 1_000_000_000 - 100;
                assert!((0..600).contains(&later), "{later} seconds after it was decided");
                (activities.value(row), succeeded.value(row))
            }));
        }
        all
    }
}

fn def(group: &str, actuator: &str, options: &[(&str, &str)]) -> ActuatorDef {
    let retry = [("retry.first", "10ms"), ("retry.longest", "50ms")];
    let all = retry.iter().chain(options).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    ActuatorDef {
        group: group.to_owned(),
        identity: "7".to_owned(),
        actuator: actuator.to_owned(),
        size: 2,
        bounds: (0, 1_000),
        options: all.collect(),
    }
}

/// The jobs of an engine, of which there is one.
fn jobs() -> SetWorkers {
    Arc::new(|job, workers| {
        let mut now = WORKERS.lock();
        match (job, workers) {
            ("averages", Some(workers)) => Ok(std::mem::replace(&mut *now, workers)),
            ("averages", None) => Ok(*now),
            _ => Err(format!("there is no job {job}")),
        }
    })
}

static WORKERS: Mutex<usize> = Mutex::new(1);

impl Groups {
    /// Waits until something is so.
    fn until(&self, runtime: &Runtime, what: &str, mut is_so: impl FnMut() -> bool) {
        let look = || if is_so() { Ok(()) } else { Err(self.attempts()) };
        runtime.block_on(eventually(what, look));
    }
}

/// An actuator that lives in a crate of its own: it sets a number, by group, and does as it is told first.
struct Gauge {
    group: String,
}

#[derive(Clone, Copy, Default)]
struct Orders {
    /// How often it is out of order.
    outages: u32,
    refuses: bool,
    takes: Duration,
}

/// What a group's gauge is told to do, how often it was asked, and to what it was set.
#[derive(Default)]
struct Seen {
    orders: Orders,
    asked: usize,
    sizes: Vec<u64>,
}

static GAUGES: Mutex<BTreeMap<String, Seen>> = Mutex::new(BTreeMap::new());

const GAUGE: ActuatorKind = ActuatorKind { name: "gauge", summary: "sets a number", make: make_gauge };

fn make_gauge(context: ActuatorContext, _: &mut Options) -> Result<Box<dyn Actuator>, ConnectorError> {
    Ok(Box::new(Gauge { group: context.group }))
}

#[async_trait]
impl Actuator for Gauge {
    async fn scale(&mut self, activity: &Activity) -> Result<String, ConnectorError> {
        let orders = {
            let mut gauges = GAUGES.lock();
            let seen = gauges.entry(self.group.clone()).or_default();
            seen.asked += 1;
            let now = seen.orders;
            seen.orders.outages = now.outages.saturating_sub(1);
            now
        };
        tokio::time::sleep(orders.takes).await;
        if orders.outages > 0 {
            return Err(ConnectorError::outage("gauge", "it is out of order"));
        }
        if orders.refuses {
            return Err(ConnectorError::refused("gauge", "it does not want to"));
        }
        GAUGES.lock().entry(self.group.clone()).or_default().sizes.push(activity.size);
        Ok(format!("set to {}", activity.size))
    }
}

fn order(group: &str, orders: Orders) {
    GAUGES.lock().entry(group.to_owned()).or_default().orders = orders;
}

fn sizes(group: &str) -> Vec<u64> {
    GAUGES.lock().get(group).map(|seen| seen.sizes.clone()).unwrap_or_default()
}

fn asked(group: &str) -> usize {
    GAUGES.lock().get(group).map_or(0, |seen| seen.asked)
}

#[test]
fn a_decision_is_carried_out_once_and_the_group_is_told() {
    let (runtime, groups) = (runtime(), Groups::new());
    order("once", Orders::default());
    // What was decided before the group had an actuator, and what others decide, is none of its business.
    groups.decide("once", Some(9), 9);
    let handle = groups.start(&runtime, &def("once", "gauge", &[]), &Allowed::default());
    groups.decide("other", Some(1), 8);
    groups.decide("once", None, 7);
    groups.until(&runtime, "the first size", || sizes("once") == [2]);
    groups.decide("once", Some(1), 3);
    groups.until(&runtime, "three", || sizes("once") == [2, 3]);
    groups.until(&runtime, "progress", || !groups.progress().is_empty());
    assert_eq!(groups.progress(), [(1, true)]);
    assert_eq!(runtime.block_on(handle.stop()).state, State::Stopped);
    // What comes while nobody is there is done by the next one, which does nothing again.
    groups.decide("once", Some(2), 4);
    let handle = groups.start(&runtime, &def("once", "gauge", &[]), &Allowed::default());
    groups.until(&runtime, "four", || sizes("once") == [2, 3, 4]);
    runtime.block_on(handle.stop());
    let handle = groups.start(&runtime, &def("once", "gauge", &[]), &Allowed::default());
    groups.until(&runtime, "a resume", || groups.attempts().last().unwrap().starts_with("resume"));
    runtime.block_on(handle.stop());
    assert_eq!(sizes("once"), [2, 3, 4]);
    assert_eq!(
        groups.attempts(),
        ["scale 0 2 1 done", "scale 1 3 1 done", "scale 2 4 1 done", "resume - 4 1 done"]
    );
    // A group of the same name that is made anew begins with its own size.
    let anew = ActuatorDef { identity: "8".to_owned(), size: 5, ..def("once", "gauge", &[]) };
    let handle = groups.start(&runtime, &anew, &Allowed::default());
    groups.until(&runtime, "five", || sizes("once") == [2, 3, 4, 5]);
    runtime.block_on(handle.stop());
}

#[test]
fn what_fails_is_tried_again_and_at_last_given_up() {
    let (runtime, groups) = (runtime(), Groups::new());
    order("fails", Orders { outages: 2, ..Orders::default() });
    // What is given up is tried again after the longest wait, which does not come here.
    let options = [("attempts", "3"), ("retry.longest", "1 h")];
    let handle = groups.start(&runtime, &def("fails", "gauge", &options), &Allowed::default());
    groups.until(&runtime, "the first size", || sizes("fails") == [2]);
    order("fails", Orders { outages: 99, ..Orders::default() });
    groups.decide("fails", Some(1), 3);
    groups.until(&runtime, "given up", || groups.progress() == [(1, false)]);
    order("fails", Orders { refuses: true, ..Orders::default() });
    groups.decide("fails", Some(2), 4);
    groups.until(&runtime, "refused", || groups.progress().len() == 2);
    assert!(handle.status().last_error.unwrap().contains("it does not want to"));
    order("fails", Orders::default());
    groups.decide("fails", Some(3), 5);
    groups.until(&runtime, "five", || sizes("fails") == [2, 5]);
    runtime.block_on(handle.stop());
    assert_eq!(
        groups.attempts(),
        [
            "scale 0 2 1 failed",
            "scale 0 2 2 failed",
            "scale 0 2 3 done",
            "scale 1 3 1 failed",
            "scale 1 3 2 failed",
            "scale 1 3 3 parked",
            "scale 2 4 1 parked",
            "scale 3 5 1 done",
        ]
    );
}

#[test]
fn a_newer_decision_cuts_an_older_one_short() {
    let (runtime, groups) = (runtime(), Groups::new());
    order("newer", Orders { takes: Duration::from_secs(3_600), ..Orders::default() });
    let handle = groups.start(&runtime, &def("newer", "gauge", &[]), &Allowed::default());
    groups.until(&runtime, "at work", || asked("newer") == 1);
    groups.decide("newer", Some(1), 3);
    groups.until(&runtime, "the first is superseded, and the next is at work", || {
        groups.attempts() == ["scale 0 2 1 superseded"] && asked("newer") == 2
    });
    order("newer", Orders::default());
    groups.decide("newer", Some(2), 4);
    groups.until(&runtime, "four", || sizes("newer") == [4]);
    runtime.block_on(handle.stop());
    assert_eq!(groups.attempts()[1..], ["scale 1 3 1 superseded", "scale 2 4 1 done"]);
    assert_eq!(groups.progress(), [(1, true), (2, true)]);
}

#[test]
fn each_decision_is_over_once_whenever_the_process_dies() {
    let groups = Groups::new();
    order("dies", Orders { takes: Duration::from_millis(3), ..Orders::default() });
    let mut number = 0;
    for millis in LIVES.iter().chain(&LIVES) {
        let runtime = runtime();
        let handle = groups.start(&runtime, &def("dies", "gauge", &[]), &Allowed::default());
        for _ in 0..3 {
            number += 1;
            groups.decide("dies", Some(number), 10 + number);
            runtime.block_on(async { tokio::time::sleep(Duration::from_millis(*millis / 3)).await });
        }
        runtime.shutdown_background();
        drop(handle);
    }
    let runtime = runtime();
    let handle = groups.start(&runtime, &def("dies", "gauge", &[]), &Allowed::default());
    groups.until(&runtime, "all are over", || groups.progress().len() as i64 >= number);
    runtime.block_on(handle.stop());
    let told: Vec<i64> = groups.progress().into_iter().map(|(number, ..)| number).collect();
    assert_eq!(told, (1..=number).collect::<Vec<_>>(), "each once, in order");
    assert_eq!(sizes("dies").last(), Some(&(10 + number as u64)));
    let done: Vec<String> =
        groups.attempts().into_iter().filter(|attempt| attempt.ends_with(" done")).collect();
    let scaled: BTreeSet<&str> =
        done.iter().filter(|attempt| attempt.starts_with("scale")).map(String::as_str).collect();
    assert_eq!(scaled.len(), done.iter().filter(|attempt| attempt.starts_with("scale")).count());
}

/// The workers of a group, as the machine has them: slot and process.
fn workers(group: &str) -> BTreeMap<String, u32> {
    let mut all = BTreeMap::new();
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(environment) = fs::read(process.path().join("environ")) else { continue };
        let environment = String::from_utf8_lossy(&environment).into_owned();
        let value =
            |name: &str| environment.split('\0').find_map(|one| one.strip_prefix(name)).map(str::to_owned);
        if value("HEADWATER_GROUP=").as_deref() == Some(group) && value("HEADWATER_PID=").is_none() {
            all.insert(value("HEADWATER_SLOT=").unwrap(), pid);
        }
    }
    all
}

fn allowed(workers: &[(&str, &[&str])]) -> Allowed {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let workers = workers.iter().map(|(name, program)| ((*name).to_owned(), words(program)));
    Allowed { workers: workers.collect(), ..Allowed::default() }
}

#[test]
fn workers_are_started_stopped_replaced_and_taken_over() {
    let (runtime, groups) = (runtime(), Groups::new());
    let group = format!("workers-{}", std::process::id());
    let allowed = allowed(&[("sleeper", &["/bin/sleep"])]);
    let definition = def(&group, "command", &[("command", "sleeper"), ("arguments", "60{{ slot }}")]);
    let slots = || workers(&group).into_keys().collect::<Vec<_>>();
    let handle = groups.start(&runtime, &definition, &allowed);
    groups.until(&runtime, "two workers", || slots() == ["0", "1"]);
    groups.decide(&group, Some(1), 4);
    groups.until(&runtime, "four workers", || slots() == ["0", "1", "2", "3"]);
    groups.decide(&group, Some(2), 3);
    groups.until(&runtime, "three workers", || slots() == ["0", "1", "2"] && groups.progress().len() == 2);
    // The process dies and leaves its workers; one of them ends before the next is there.
    let before = workers(&group);
    runtime.shutdown_background();
    drop(handle);
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(before["1"] as i32).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    let runtime = crate::lab::runtime();
    let handle = groups.start(&runtime, &definition, &allowed);
    // Looked at once: one that is killed may still be there at the first look, and gone at the second.
    groups.until(&runtime, "the missing one is there again", || {
        let now = workers(&group);
        now.keys().eq(["0", "1", "2"]) && now["1"] != before["1"]
    });
    // If it is gone at the second look only, that was an attempt.
    let is_resumed = |attempt: &String| attempt.starts_with("resume - 3 ") && attempt.ends_with(" done");
    groups.until(&runtime, "resumed", || groups.attempts().iter().any(is_resumed));
    let now = workers(&group);
    assert_eq!((now["0"], now["2"]), (before["0"], before["2"]), "these were taken over");
    // One of its own ends, and is replaced without anybody asking.
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(now["1"] as i32).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    groups.until(&runtime, "replaced", || {
        groups.attempts().iter().any(|attempt| attempt == "replace - 3 1 done")
    });
    assert_eq!(slots(), ["0", "1", "2"]);
    runtime.block_on(handle.stop());
    assert_eq!(slots(), Vec::<String>::new(), "an orderly end leaves nobody behind");
}

#[test]
fn a_worker_that_is_not_well_is_replaced_and_one_that_cannot_live_is_an_error() {
    let (runtime, groups) = (runtime(), Groups::new());
    let group = format!("unwell-{}", std::process::id());
    let dir = tempfile::tempdir().unwrap();
    let mark = dir.path().join("well-").display().to_string();
    let start = format!(": > {mark}$HEADWATER_SLOT; exec sleep 600");
    let check = format!("test -e {mark}$HEADWATER_SLOT && kill -0 $HEADWATER_PID");
    let allowed = allowed(&[
        ("worker", &["/bin/sh", "-c", &start]),
        ("check", &["/bin/sh", "-c", &check]),
        ("broken", &["/bin/false"]),
    ]);
    let options = [
        ("command", "worker"),
        ("health.command", "check"),
        ("health.interval", "50ms"),
        ("health.failures", "2"),
        ("health.timeout", "60s"),
        ("health.grace", "3s"),
    ];
    let handle = groups.start(&runtime, &def(&group, "command", &options), &allowed);
    let is_scaled = |attempt: &String| attempt.starts_with("scale 0 2 ") && attempt.ends_with(" done");
    groups.until(&runtime, "two are well", || groups.attempts().iter().any(is_scaled));
    let before = workers(&group);
    #[expect(clippy::disallowed_methods, reason = "a test makes its own files")]
    fs::rename(format!("{mark}1"), dir.path().join("gone")).unwrap();
    groups.until(&runtime, "replaced", || {
        groups.attempts().iter().any(|attempt| attempt == "replace - 2 1 done")
            && fs::exists(format!("{mark}1")).unwrap()
    });
    let now = workers(&group);
    assert_eq!(now["0"], before["0"]);
    assert_ne!(now["1"], before["1"]);
    runtime.block_on(handle.stop());
    assert!(workers(&group).is_empty());

    let broken = format!("broken-{}", std::process::id());
    let options = [("command", "broken"), ("attempts", "2")];
    let handle = groups.start(&runtime, &def(&broken, "command", &options), &allowed);
    groups.until(&runtime, "given up", || {
        groups.attempts().iter().any(|attempt| attempt == "scale 0 2 2 parked")
    });
    assert!(handle.status().last_error.unwrap().contains("exit status: 1"));
    runtime.block_on(handle.stop());
}

#[test]
fn what_is_given_up_is_tried_again_until_it_succeeds() {
    let (runtime, groups) = (runtime(), Groups::new());
    let options = [("attempts", "2"), ("retry.first", "10ms"), ("retry.longest", "50ms")];
    let definition = def("later", "gauge", &options);
    let handle = groups.start(&runtime, &definition, &Allowed::default());
    groups.until(&runtime, "the first size", || sizes("later") == [2]);
    order("later", Orders { outages: 4, ..Orders::default() });
    groups.decide("later", Some(1), 3);
    groups.until(&runtime, "three after all", || sizes("later") == [2, 3]);
    // The group is told once.
    assert_eq!(groups.progress(), [(1, false)]);
    // So it is after a restart.
    order("later", Orders { outages: 99, ..Orders::default() });
    groups.decide("later", Some(2), 4);
    groups.until(&runtime, "given up", || groups.progress().len() == 2);
    runtime.block_on(handle.stop());
    order("later", Orders::default());
    let handle = groups.start(&runtime, &definition, &Allowed::default());
    groups.until(&runtime, "four after all", || sizes("later").last() == Some(&4));
    runtime.block_on(handle.stop());
    let attempts = groups.attempts();
    assert_eq!(
        attempts[..6],
        [
            "scale 0 2 1 done",
            "scale 1 3 1 failed",
            "scale 1 3 2 parked",
            "scale 1 3 1 parked",
            "scale 1 3 1 parked",
            "scale 1 3 1 done",
        ]
    );
    assert_eq!(attempts.last().unwrap(), "scale 2 4 1 done");
    // What is done is not done again.
    let handle = groups.start(&runtime, &definition, &Allowed::default());
    groups.until(&runtime, "a resume", || groups.attempts().last().unwrap() == "resume - 4 1 done");
    runtime.block_on(handle.stop());
}

#[test]
fn what_the_configuration_does_not_name_is_refused() {
    let world = World::real();
    let refused = |def: ActuatorDef, allowed: &Allowed| {
        ConnectorSupervisor::validate_actuator(&def, &world, allowed, jobs()).unwrap_err().to_string()
    };
    let nobody = Allowed { webhooks: Some(vec!["http://127.0.0.1:9/".to_owned()]), ..Allowed::default() };
    let triggers = Allowed {
        commands: [("sleeper".to_owned(), vec!["/bin/sleep".to_owned()])].into(),
        ..nobody.clone()
    };
    let sleeper = def("g", "command", &[("command", "sleeper")]);
    assert!(refused(sleeper.clone(), &triggers).contains("allows scaling groups no command 'sleeper'"));
    let workers = allowed(&[("sleeper", &["/bin/sleep"])]);
    ConnectorSupervisor::validate_actuator(&sleeper, &world, &workers, jobs()).unwrap();
    let webhook = def("g", "webhook", &[("url", "http://example.org/")]);
    assert!(refused(webhook, &nobody).contains("does not allow webhooks to http://example.org"));
    let health = [("command", "sleeper"), ("health.url", "http://example.org:90{{ slot }}/")];
    let elsewhere = Allowed { webhooks: nobody.webhooks.clone(), ..workers.clone() };
    assert!(refused(def("g", "command", &health), &elsewhere).contains("does not allow webhooks"));
    assert!(refused(def("g", "comand", &[]), &workers).contains("did you mean 'command'?"));
    let unknown = def("g", "command", &[("command", "sleeper"), ("health.intervall", "1s")]);
    let said = refused(unknown, &workers);
    assert!(said.contains("health.intervall") && said.contains("health.interval"), "{said}");
}

#[test]
fn a_job_of_the_engine_has_as_many_workers_as_its_group_says_but_one_at_least() {
    let (runtime, groups) = (runtime(), Groups::new());
    let definition = def("scaled", "job", &[("job", "averages")]);
    let handle = groups.start(&runtime, &definition, &Allowed::default());
    groups.until(&runtime, "two", || *WORKERS.lock() == 2);
    groups.decide("scaled", Some(1), 0);
    groups.until(&runtime, "one", || groups.progress() == [(1, true)]);
    assert_eq!(*WORKERS.lock(), 1);
    groups.decide("scaled", Some(2), 5);
    groups.until(&runtime, "five", || *WORKERS.lock() == 5 && groups.progress().len() == 2);
    runtime.block_on(handle.stop());
    // The number does not outlive the process.
    *WORKERS.lock() = 1;
    let handle = groups.start(&runtime, &definition, &Allowed::default());
    groups.until(&runtime, "five again", || *WORKERS.lock() == 5);
    runtime.block_on(handle.stop());
}

#[test]
fn a_webhook_is_told_of_each_decision_with_its_id() {
    use axum::routing::post;
    let (runtime, groups) = (runtime(), Groups::new());
    type Got = Arc<Mutex<Vec<(String, String, String, serde_json::Value)>>>;
    let got = Got::default();
    let take = |axum::extract::State(got): axum::extract::State<Got>,
                headers: axum::http::HeaderMap,
                body: String| async move {
        let text = |name: &str| headers.get(name).unwrap().to_str().unwrap().to_owned();
        let document: serde_json::Value = serde_json::from_str(&body).unwrap();
        let is_first = got.lock().is_empty();
        got.lock().push((
            text("idempotency-key"),
            text("x-headwater-attempt"),
            text("x-headwater-signature"),
            document,
        ));
        if is_first { axum::http::StatusCode::SERVICE_UNAVAILABLE } else { axum::http::StatusCode::OK }
    };
    let router = axum::Router::new().route("/", post(take)).with_state(Arc::clone(&got));
    let url = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    });
    let definition = def("posted", "webhook", &[("url", &url), ("secret", "a secret")]);
    let handle = groups.start(&runtime, &definition, &Allowed::default());
    groups.until(&runtime, "the first size", || got.lock().len() == 2);
    groups.decide("posted", Some(1), 3);
    groups.until(&runtime, "three", || got.lock().len() == 3);
    runtime.block_on(handle.stop());
    let got = got.lock();
    let ids: Vec<(&str, &str)> =
        got.iter().map(|(id, attempt, ..)| (id.as_str(), attempt.as_str())).collect();
    assert_eq!(ids, [("posted/7/0", "1"), ("posted/7/0", "2"), ("posted/7/1", "1")]);
    assert!(got[2].2.starts_with("t=") && got[2].2.contains(",v1="));
    let document = &got[2].3;
    assert_eq!((&document["group"], &document["size"]), (&"posted".into(), &3.into()));
    assert_eq!((&document["by"], &document["before"]), (&"more".into(), &1.into()));
}
