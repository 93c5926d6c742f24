//! Statements that define something.

use super::Name;
use crate::decision::AlarmDef;
use crate::definition::{ArchiveDef, JobDef, MapReduceDef, StreamDef, ViewDef};
use crate::parse::Like;
use crate::scaling::{GroupDef, PolicyDef};
use crate::trigger::TriggerDef;
use crate::user_functions::FunctionDef;

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
