//! The statements of the dialect.

use std::time::Duration;

use headwater_core::EventTime;
use headwater_decide::alarm::AlarmState;
use headwater_decide::scaling::Resize;

use crate::script::{Position, Script};

mod create;
mod kind;
mod query;

pub use create::{
    CreateAlarm, CreateArchive, CreateFunction, CreateJob, CreateMapReduce, CreateScalingGroup,
    CreateScalingPolicy, CreateStream, CreateTrigger, CreateView,
};
pub use kind::Kind;
pub use query::{Emit, Insert, InsertSettings, Query, QueryOptions, Together};

/// A statement and its place in a script.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// What it says.
    pub statement: Statement,
    /// Its own text, without the semicolon: parsed again it gives the same statement.
    pub text: String,
    /// Where it begins.
    pub position: Position,
    /// The text it is part of.
    pub script: Script,
}

/// A statement.
#[derive(Debug, Clone)]
pub enum Statement {
    /// `CREATE STREAM`.
    CreateStream(CreateStream),
    /// `CREATE TABLE ... WITH (connector = ...)`, `CREATE SOURCE`, `CREATE SINK` without a query.
    CreateTable(CreateStream),
    /// `EXECUTE STATEMENT SET`, `CREATE TABLE ... AS SELECT`.
    Together(Together),
    /// `CREATE [TEMPORARY] VIEW`.
    CreateView(CreateView),
    /// `CREATE MATERIALIZED VIEW`.
    CreateMaterializedView(CreateView),
    /// `CREATE JOB ... AS INSERT INTO ...`.
    CreateJob(CreateJob),
    /// `CREATE ALARM`, `CREATE COMPOSITE ALARM`.
    CreateAlarm(CreateAlarm),
    /// `CREATE SCALING POLICY`.
    CreateScalingPolicy(CreateScalingPolicy),
    /// `CREATE SCALING GROUP`.
    CreateScalingGroup(CreateScalingGroup),
    /// `CREATE ARCHIVE ... FOR ... TO ...`.
    CreateArchive(CreateArchive),
    /// `CREATE MAPREDUCE JOB`.
    CreateMapReduce(CreateMapReduce),
    /// `CREATE TRIGGER`.
    CreateTrigger(CreateTrigger),
    /// `CREATE FUNCTION`.
    CreateFunction(CreateFunction),
    /// `DROP FUNCTION`.
    DropFunction(DropFunction),
    /// `DROP`, of anything but a function.
    Drop(Drop),
    /// `ALTER STREAM`, or `ALTER TABLE`.
    AlterStream(AlterStream),
    /// `SHOW`.
    Show(Show),
    /// `SHOW CREATE`.
    ShowCreate(ShowCreate),
    /// `DESCRIBE`.
    Describe(Name),
    /// `DESCRIBE FUNCTION`.
    DescribeFunction(Name),
    /// `EXPLAIN`.
    Explain(Explain),
    /// `EXPLAIN ALARM`.
    ExplainAlarm(ExplainAlarm),
    /// `ALTER ALARM ... SET STATE`.
    SetAlarmState(SetAlarmState),
    /// `ALTER SCALING GROUP ... SET`.
    AlterScalingGroup(AlterScalingGroup),
    /// `PAUSE JOB`.
    PauseJob(Name),
    /// `RESUME JOB`.
    ResumeJob(Name),
    /// `RESUME TABLE`, or `RESUME STREAM`: starts its connector again.
    ResumeConnector(Name),
    /// `PAUSE TRIGGER`.
    PauseTrigger(Name),
    /// `RESUME TRIGGER`.
    ResumeTrigger(Name),
    /// `TEST TRIGGER`.
    TestTrigger(Name),
    /// `INSERT INTO`.
    Insert(Insert),
    /// `SELECT`, `WITH`, `VALUES`.
    Query(Query),
    /// `SET key = value`.
    Set(Set),
    /// `REPLAY JOB`.
    Replay(Replay),
    /// `CANCEL REPLAY number`.
    CancelReplay(u64),
    /// What scripts of Flink's say that has no meaning here, such as `USE CATALOG`: why it is passed over.
    PassedOver(String),
}

/// A name and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The name, in lower case unless it was quoted.
    pub value: String,
    /// Where it stands.
    pub position: Position,
}

/// `ALTER ALARM name [FOR 'host=a'] SET STATE 'OK' REASON '...'`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAlarmState {
    /// The alarm.
    pub name: Name,
    /// Which of its metrics.
    pub dimensions: Option<String>,
    /// The state, until the alarm is evaluated again.
    pub state: AlarmState,
    /// Why.
    pub reason: String,
}

/// `ALTER SCALING GROUP name SET (...)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlterScalingGroup {
    /// The group.
    pub name: Name,
    /// What is set.
    pub change: GroupChange,
}

/// What `ALTER SCALING GROUP` sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupChange {
    /// `min`, `max`, `desired`, `honor_cooldown`: a decision like those of its policies.
    Resize(Resize),
    /// `cooldown`, `warmup`: another definition of the group.
    Rules {
        /// The cooldown of simple policies.
        cooldown: Option<Duration>,
        /// How long new instances warm up.
        warmup: Option<Duration>,
    },
}

/// `DROP FUNCTION [IF EXISTS]`.
#[derive(Debug, Clone)]
pub struct DropFunction {
    /// Which.
    pub name: Name,
    /// Whether it may be missing.
    pub if_exists: bool,
}

/// `EXPLAIN ALARM name [FOR 'dimensions'] [AT time]`.
#[derive(Debug, Clone)]
pub struct ExplainAlarm {
    /// Which.
    pub name: Name,
    /// Of an alarm with dimensions, whose decision, such as `host=a`; `None`: all.
    pub dimensions: Option<String>,
    /// The time of the decision that is explained: the last one up to it; `None`: the last one.
    pub at: Option<EventTime>,
}

/// `SHOW CREATE TABLE name`, and so on.
#[derive(Debug, Clone)]
pub struct ShowCreate {
    /// What kind of thing; `None`: a function.
    pub kind: Option<Kind>,
    /// Which.
    pub name: Name,
}

impl Statement {
    /// The kind and the name of what it creates; the kind of a function is `None`. A `CREATE TABLE ... LIKE` says so only in part.
    pub fn creates(&self) -> Option<(Option<Kind>, &Name)> {
        Some(match self {
            Self::CreateStream(create) => (Some(Kind::Stream), &create.name),
            Self::CreateTable(create) => (Some(Kind::Table), &create.name),
            Self::CreateView(create) => (Some(Kind::View), &create.name),
            Self::CreateMaterializedView(create) => (Some(Kind::MaterializedView), &create.name),
            Self::CreateJob(create) => (Some(Kind::Job), &create.name),
            Self::CreateMapReduce(create) => (Some(Kind::Job), &create.name),
            Self::CreateAlarm(create) => (Some(Kind::Alarm), &create.name),
            Self::CreateScalingPolicy(create) => (Some(Kind::ScalingPolicy), &create.name),
            Self::CreateScalingGroup(create) => (Some(Kind::ScalingGroup), &create.name),
            Self::CreateArchive(create) => (Some(Kind::Archive), &create.name),
            Self::CreateTrigger(create) => (Some(Kind::Trigger), &create.name),
            Self::CreateFunction(create) => (None, &create.name),
            _ => return None,
        })
    }

    /// Whether it creates something like another table, and so does not say all of it.
    pub fn is_like_another(&self) -> bool {
        matches!(self, Self::CreateStream(create) | Self::CreateTable(create) if create.like.is_some())
    }
}

/// `DROP ... [IF EXISTS]`.
#[derive(Debug, Clone)]
pub struct Drop {
    /// What kind of thing.
    pub kind: Kind,
    /// Which.
    pub name: Name,
    /// Whether it may be missing.
    pub if_exists: bool,
}

/// `ALTER STREAM`, or `ALTER TABLE`, which means the same.
#[derive(Debug, Clone)]
pub struct AlterStream {
    /// Which.
    pub name: Name,
    /// What is changed.
    pub change: StreamChange,
    /// Whether it may be missing.
    pub if_exists: bool,
}

/// What `ALTER STREAM` changes.
#[derive(Debug, Clone)]
pub enum StreamChange {
    /// `ADD COLUMN name type`: nullable, last; and its names as they were written, where they have capital letters and no quotes.
    AddColumn(arrow::datatypes::Field, Vec<String>),
    /// `MODIFY (name type, ...)` or `ALTER COLUMN name TYPE type`; and names as they were written, as above.
    ModifyColumns(Vec<ColumnChange>, Vec<String>),
    /// `SET (key = value, ...)`.
    SetOptions(Vec<(Name, String)>),
}

/// What is to become of a column.
#[derive(Debug, Clone)]
pub struct ColumnChange {
    /// Which.
    pub name: Name,
    /// Its type from then on.
    pub kind: arrow::datatypes::DataType,
    /// Whether it may be NULL; `None`: as before.
    pub nullable: Option<bool>,
}

/// `SHOW`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// `SHOW STREAMS`.
    Streams,
    /// `SHOW TABLES`: streams, connector tables and views.
    Tables,
    /// `SHOW JOBS`.
    Jobs,
    /// `SHOW VIEWS`, materialized ones included.
    Views,
    /// `SHOW FUNCTIONS`.
    Functions,
    /// `SHOW SYSTEM TABLES`.
    SystemTables,
    /// `SHOW USER FUNCTIONS`.
    UserFunctions,
    /// `SHOW ALARMS`.
    Alarms,
    /// `SHOW SCALING GROUPS`.
    ScalingGroups,
    /// `SHOW SCALING POLICIES`.
    ScalingPolicies,
    /// `SHOW ARCHIVES`.
    Archives,
    /// `SHOW TRIGGERS`.
    Triggers,
}

/// `EXPLAIN [BATCH | ANALYZE | REPLACE]`.
#[derive(Debug, Clone)]
pub struct Explain {
    /// Which plan.
    pub mode: ExplainMode,
    /// Of what: a query, an insert, a statement set, `CREATE JOB` or `CREATE MATERIALIZED VIEW`.
    pub statement: Box<Parsed>,
}

/// Which plan `EXPLAIN` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExplainMode {
    /// The streaming plan if there can be one, otherwise the reason and the batch plan.
    Streaming,
    /// DataFusion's plan over the rows so far.
    Batch,
    /// DataFusion's plan, run, with its metrics.
    Analyze,
    /// What would become of the state and the results of the job that the statement would replace.
    Replace,
}

/// `SET key = value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// The key, such as `state.ttl`.
    pub key: Name,
    /// The value as text.
    pub value: String,
}

/// `REPLAY JOB name [FROM time] [TO time] [INTO stream] [AT SPEED times | AT FULL SPEED] [WITH EFFECTS (table, ...)] [AS definition]`.
#[derive(Debug, Clone)]
pub struct Replay {
    /// Which job.
    pub job: Name,
    /// From which event time on.
    pub from: Option<EventTime>,
    /// Up to which event time, exclusive.
    pub to: Option<EventTime>,
    /// The stream that takes the rows; `None`: they are shown.
    pub into: Option<Name>,
    /// How many times as fast as real time event time passes; `None`: as fast as can be.
    pub speed: Option<f64>,
    /// The tables outside that are asked, or written into.
    pub effects: Vec<Name>,
    /// The definition that is replayed in the place of the job's own, as it was written.
    pub definition: Option<String>,
}
