//! The statements of the dialect.

use std::fmt;
use std::time::Duration;

use datafusion::sql::sqlparser::ast;
use headwater_core::EventTime;
use headwater_decide::alarm::AlarmState;
use headwater_decide::scaling::Resize;

use crate::decision::AlarmDef;
use crate::definition::{ArchiveDef, JobDef, MapReduceDef, StreamDef, ViewDef};
use crate::parse::Like;
use crate::scaling::{GroupDef, PolicyDef};
use crate::script::{Position, Script};
use crate::state_ttl::Hint;
use crate::trigger::TriggerDef;
use crate::user_functions::{FunctionDef, Functions};

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

/// `CREATE STREAM [IF NOT EXISTS]` and `CREATE TABLE`.
#[derive(Debug, Clone)]
pub struct CreateStream {
    /// Its name and the place of that.
    pub name: Name,
    /// What is created.
    pub definition: StreamDef,
    /// Whether one of the name may exist already.
    pub if_not_exists: bool,
    /// `LIKE`: what the definition is completed with when the statement is applied to a catalog.
    pub(crate) like: Option<Box<Like>>,
}

/// Statements that are done together: all of them, or none.
#[derive(Debug, Clone)]
pub struct Together {
    /// `CREATE TABLE ... AS`: the table.
    pub table: Option<Box<Parsed>>,
    /// What is inserted, each as a job of its own.
    pub inserts: Vec<Parsed>,
}

/// `CREATE [OR REPLACE] VIEW [IF NOT EXISTS]`.
#[derive(Debug, Clone)]
pub struct CreateView {
    /// Its name and the place of that.
    pub name: Name,
    /// What is created.
    pub definition: ViewDef,
    /// Whether a view of the name is replaced.
    pub or_replace: bool,
    /// Whether one of the name may exist already.
    pub if_not_exists: bool,
}

/// `CREATE [OR REPLACE] JOB [IF NOT EXISTS]`.
#[derive(Debug, Clone)]
pub struct CreateJob {
    /// Its name and the place of that.
    pub name: Name,
    /// The target and the place of that.
    pub target: Name,
    /// What is created.
    pub definition: JobDef,
    /// Whether a job of the name is replaced.
    pub or_replace: bool,
    /// Whether one of the name may exist already.
    pub if_not_exists: bool,
}

/// `CREATE [OR REPLACE] [COMPOSITE] ALARM [IF NOT EXISTS]`.
#[derive(Debug, Clone)]
pub struct CreateAlarm {
    /// Its name and the place of that.
    pub name: Name,
    /// What is created.
    pub definition: AlarmDef,
    /// Whether an alarm of the name is replaced.
    pub or_replace: bool,
    /// Whether one of the name may exist already.
    pub if_not_exists: bool,
}

/// `CREATE MAPREDUCE JOB [IF NOT EXISTS]`.
#[derive(Debug, Clone)]
pub struct CreateMapReduce {
    /// Its name and the place of that.
    pub name: Name,
    /// What is created.
    pub definition: MapReduceDef,
    /// Whether one of the name may exist already.
    pub if_not_exists: bool,
}

/// `CREATE ARCHIVE [IF NOT EXISTS]`.
#[derive(Debug, Clone)]
pub struct CreateArchive {
    /// Its name and the place of that.
    pub name: Name,
    /// The stream and the place of that.
    pub stream: Name,
    /// What is created.
    pub definition: ArchiveDef,
    /// Whether one of the name may exist already.
    pub if_not_exists: bool,
}

/// `CREATE [OR REPLACE] TRIGGER [IF NOT EXISTS]`.
#[derive(Debug, Clone)]
pub struct CreateTrigger {
    /// Its name and the place of that.
    pub name: Name,
    /// The stream or view that it looks at, and the place of that.
    pub on: Name,
    /// What is created.
    pub definition: TriggerDef,
    /// Whether a trigger of the name is replaced.
    pub or_replace: bool,
    /// Whether one of the name may exist already.
    pub if_not_exists: bool,
}

/// `CREATE [OR REPLACE] FUNCTION [IF NOT EXISTS]`.
#[derive(Debug, Clone)]
pub struct CreateFunction {
    /// Its name and the place of that.
    pub name: Name,
    /// What is created.
    pub definition: FunctionDef,
    /// Whether it takes the place of one that has the name.
    pub or_replace: bool,
    /// Whether one of the name may exist already.
    pub if_not_exists: bool,
}

/// `DROP FUNCTION [IF EXISTS]`.
#[derive(Debug, Clone)]
pub struct DropFunction {
    /// Which.
    pub name: Name,
    /// Whether it may be missing.
    pub if_exists: bool,
}

/// `CREATE [OR REPLACE] SCALING POLICY [IF NOT EXISTS]`.
#[derive(Debug, Clone)]
pub struct CreateScalingPolicy {
    /// Its name and the place of that.
    pub name: Name,
    /// What is created.
    pub definition: PolicyDef,
    /// Whether a policy of the name is replaced.
    pub or_replace: bool,
    /// Whether one of the name may exist already.
    pub if_not_exists: bool,
}

/// `CREATE [OR REPLACE] SCALING GROUP [IF NOT EXISTS]`.
#[derive(Debug, Clone)]
pub struct CreateScalingGroup {
    /// Its name and the place of that.
    pub name: Name,
    /// Its policies and the places of their names.
    pub policies: Vec<Name>,
    /// What is created.
    pub definition: GroupDef,
    /// Whether a group of the name is replaced.
    pub or_replace: bool,
    /// Whether one of the name may exist already.
    pub if_not_exists: bool,
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

/// What kind of thing a name names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A stream of the log.
    Stream,
    /// A table of a connector.
    Table,
    /// A view.
    View,
    /// A materialized view.
    MaterializedView,
    /// A job.
    Job,
    /// An alarm.
    Alarm,
    /// A scaling policy.
    ScalingPolicy,
    /// A scaling group.
    ScalingGroup,
    /// An archive.
    Archive,
    /// A trigger.
    Trigger,
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
    /// `ADD COLUMN name type`: nullable, last.
    AddColumn(arrow::datatypes::Field),
    /// `SET (key = value, ...)`.
    SetOptions(Vec<(Name, String)>),
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

/// `INSERT INTO target [(columns)] query`.
#[derive(Debug, Clone)]
pub struct Insert {
    /// Where to.
    pub target: Name,
    /// The columns that the query fills, in its order; empty: all.
    pub columns: Vec<Name>,
    /// What is inserted; `VALUES` is a query, too.
    pub query: Query,
    /// Its own text, without what a script has set for it.
    pub text: String,
    /// What a script has set for it.
    pub settings: InsertSettings,
}

/// What a script has set for an INSERT INTO.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InsertSettings {
    /// Whether it goes on for ever, as a job; `None`: if what it reads does.
    pub goes_on: Option<bool>,
    /// `SET 'pipeline.name'`: what the job is called.
    pub name: Option<String>,
    /// `SET 'ttl'`, as it was written.
    pub ttl: Option<String>,
}

/// A query.
#[derive(Debug, Clone)]
pub struct Query {
    /// The syntax tree; its spans are places in `script`.
    pub ast: Box<ast::Query>,
    /// Its own text.
    pub text: String,
    /// Where it begins.
    pub position: Position,
    /// The text it is part of.
    pub script: Script,
    /// When its rows come out, as a stream.
    pub options: QueryOptions,
    /// The functions of the user's that it calls, if it is part of a definition: as they were when that was made. `None`: those
    /// that there are.
    pub functions: Option<Functions>,
}

/// What a query says, as a stream, of when its rows come out and how long its state is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueryOptions {
    /// When a window's rows come out.
    pub emit: Emit,
    /// `ALLOW LATENESS`: how long after their end windows are kept for late rows, in nanoseconds.
    pub lateness: Option<i64>,
    /// `LATE DATA TO`: the stream that takes the rows which come too late.
    pub late: Option<Box<Name>>,
    /// `SET 'ttl'`: after how long without a row a group is forgotten, in nanoseconds of event time.
    pub ttl: Option<i64>,
    /// `STATE_TTL`: the same for single tables of FROM.
    pub(crate) hints: Box<[Hint]>,
}

/// When the rows of a window come out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Emit {
    /// `EMIT ON WINDOW CLOSE`: when it has ended.
    #[default]
    OnWindowClose,
    /// `EMIT CHANGES`: with every step that changes it.
    Changes,
    /// `EMIT EVERY interval`: when the watermark comes to a multiple of so many nanoseconds, if it has changed.
    Every(i64),
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

impl Query {
    /// Whether this is `VALUES` alone.
    pub fn is_values(&self) -> bool {
        self.ast.with.is_none() && matches!(*self.ast.body, ast::SetExpr::Values(_))
    }
}

impl Kind {
    /// How it is written in a statement.
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::Stream => "STREAM",
            Self::Table => "TABLE",
            Self::View => "VIEW",
            Self::MaterializedView => "MATERIALIZED VIEW",
            Self::Job => "JOB",
            Self::Alarm => "ALARM",
            Self::ScalingPolicy => "SCALING POLICY",
            Self::ScalingGroup => "SCALING GROUP",
            Self::Archive => "ARCHIVE",
            Self::Trigger => "TRIGGER",
        }
    }
}

impl Kind {
    /// As a sentence has it: `a stream`, `an alarm`.
    pub fn with_article(self) -> String {
        let article = if self == Self::Alarm { "an" } else { "a" };
        format!("{article} {self}")
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.keyword().to_lowercase())
    }
}
