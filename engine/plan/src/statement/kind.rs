//! What kinds of things have a name in the catalog.

use std::fmt;

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
