//! What a `CREATE TRIGGER` defines.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use datafusion::sql::sqlparser::ast;

use crate::script::{Position, Script};
use crate::statement::Name;
use crate::user_functions::Functions;

/// A trigger.
#[derive(Debug, Clone)]
pub struct TriggerDef {
    /// The name; the stream of its firings has it, too.
    pub name: String,
    /// The stream or view whose rows are looked at.
    pub on: String,
    /// The stream's columns that it knows, if others have been added since: its firings have these. `None`: all that there are.
    pub columns: Option<Vec<String>>,
    /// What tells one key from another.
    pub partition: Partition,
    /// What it waits for.
    pub when: Condition,
    /// For how long the condition must hold.
    pub hold: Option<Duration>,
    /// How a key that has fired is armed again.
    pub rearm: RearmDef,
    /// What is done when it fires, besides that the firing is kept.
    pub action: Action,
    /// Which row is the first.
    pub start: StartAt,
    /// The options as they were written, those of the delivery.
    pub options: BTreeMap<String, String>,
    /// The functions of the user's that its conditions call, as they were when it was defined. `None`: those that there are.
    pub functions: Option<Functions>,
}

/// The key of a trigger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Partition {
    /// What the stream is partitioned by.
    OfStream,
    /// These columns; none: all rows are one key's.
    By(Vec<Name>),
}

/// A condition, or another expression over columns.
#[derive(Debug, Clone)]
pub struct Condition {
    /// The syntax tree.
    pub ast: Box<ast::Expr>,
    /// Its text.
    pub text: String,
    /// Where it begins.
    pub position: Position,
    /// The text it is part of.
    pub script: Script,
}

/// How a key that has fired is armed again.
#[derive(Debug, Clone)]
pub enum RearmDef {
    /// At once, or with FOR as soon as the condition is false.
    Freely,
    /// `UNTIL condition`.
    Until(Condition),
    /// `REARM AFTER duration`.
    After(Duration),
}

/// What a trigger does.
#[derive(Debug, Clone)]
pub enum Action {
    /// Nothing more: the firings can be read.
    Record,
    /// `EXECUTE WEBHOOK 'url'`.
    Webhook {
        /// Where to.
        url: String,
    },
    /// `EXECUTE INSERT INTO target [(columns)] [VALUES (expressions)]`.
    Insert {
        /// The stream.
        target: String,
        /// Where its name stands.
        position: Position,
        /// The columns that the values fill; empty: all.
        columns: Vec<String>,
        /// Expressions over a firing's columns; empty: the target's columns are those of the firing with the same name.
        values: Vec<Condition>,
    },
    /// `EXECUTE PUBLISH 'topic'`.
    Publish {
        /// Where to.
        topic: String,
    },
    /// `EXECUTE COMMAND 'name' ['argument' ...]`.
    Command {
        /// The name under which the configuration allows it.
        name: String,
        /// What it is called with.
        arguments: Vec<String>,
    },
}

/// Which row a new trigger looks at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StartAt {
    /// The first that comes after it was created.
    #[default]
    Latest,
    /// The first that there is.
    Earliest,
}

impl TriggerDef {
    /// The streams and views that it refers to.
    pub fn references(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::from([self.on.clone()]);
        if let Action::Insert { target, .. } = &self.action {
            names.insert(target.clone());
        }
        names
    }

    /// Whether firings are delivered by somebody outside of the engine.
    pub fn delivers(&self) -> bool {
        matches!(self.action, Action::Webhook { .. } | Action::Publish { .. } | Action::Command { .. })
    }
}

impl Action {
    /// As a statement says it.
    pub fn describe(&self) -> String {
        match self {
            Self::Record => "record".to_owned(),
            Self::Webhook { url } => format!("webhook '{url}'"),
            Self::Publish { topic } => format!("publish '{topic}'"),
            Self::Insert { target, .. } => format!("insert into {target}"),
            Self::Command { name, .. } => format!("command '{name}'"),
        }
    }
}
