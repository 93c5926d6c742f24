//! What is wrong with a statement: a code, the place, and what to do.

use std::fmt;

use datafusion::common::DataFusionError;
use headwater_core::Code;

use crate::script::{Position, Script};

/// The result of parsing or planning.
pub type Result<T> = std::result::Result<T, SqlError>;

/// What kind of mistake it is; each has a page under `docs/errors/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mistake {
    /// The text is not a statement.
    Syntax,
    /// No table, stream, view or job of this name.
    UnknownName,
    /// No column of this name, or more than one.
    UnknownColumn,
    /// No function of this name, or not for these arguments.
    UnknownFunction,
    /// An option that does not exist or a value that it cannot have.
    Option,
    /// Types do not fit.
    Type,
    /// A definition that contradicts itself or another one.
    Definition,
    /// The name is in use.
    NameTaken,
    /// Something else still refers to it.
    InUse,
    /// A window over a stream without a watermark.
    NoWatermark,
    /// SQL that does not run as a stream.
    NotStreaming,
    /// A function whose value depends on when it is called, in a streaming query.
    NotReproducible,
    /// Updates into a stream that only takes additions.
    UpdatesIntoStream,
    /// The query's columns do not fit the target's.
    TargetColumns,
    /// A window that is not well formed.
    Window,
    /// DataFusion refused, for another reason.
    Query,
    /// A row pattern that is not well formed.
    Pattern,
}

impl Mistake {
    /// All of them, for documentation and tests.
    pub const ALL: [Self; 17] = [
        Self::Syntax,
        Self::UnknownName,
        Self::UnknownColumn,
        Self::UnknownFunction,
        Self::Option,
        Self::Type,
        Self::Definition,
        Self::NameTaken,
        Self::InUse,
        Self::NoWatermark,
        Self::NotStreaming,
        Self::NotReproducible,
        Self::UpdatesIntoStream,
        Self::TargetColumns,
        Self::Window,
        Self::Query,
        Self::Pattern,
    ];

    /// The code under which the remedy is found.
    pub const fn code(self) -> Code {
        Code::new(match self {
            Self::Syntax => "HW3001",
            Self::UnknownName => "HW3002",
            Self::UnknownColumn => "HW3003",
            Self::UnknownFunction => "HW3004",
            Self::Option => "HW3005",
            Self::Type => "HW3006",
            Self::Definition => "HW3007",
            Self::NameTaken => "HW3008",
            Self::InUse => "HW3009",
            Self::NoWatermark => "HW3010",
            Self::NotStreaming => "HW3011",
            Self::NotReproducible => "HW3012",
            Self::UpdatesIntoStream => "HW3013",
            Self::TargetColumns => "HW3014",
            Self::Window => "HW3015",
            Self::Query => "HW3016",
            Self::Pattern => "HW3017",
        })
    }
}

/// An error in a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlError(Box<Inner>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Inner {
    mistake: Mistake,
    message: String,
    position: Option<Position>,
    line: String,
    hint: Option<String>,
}

impl SqlError {
    /// An error without a place yet. The message is lower case, without a full stop.
    pub fn new(mistake: Mistake, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            mistake,
            message: message.into(),
            position: None,
            line: String::new(),
            hint: None,
        }))
    }

    /// The error with a place, unless it has one already.
    pub fn at(mut self, position: Position, script: &Script) -> Self {
        if self.0.position.is_none() {
            self.0.position = Some(position);
            self.0.line = script.line(position.line).to_owned();
        }
        self
    }

    /// The error with advice, unless it has some already.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint.get_or_insert_with(|| hint.into());
        self
    }

    /// The error with this advice in place of any other.
    pub(crate) fn with_advice(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// The error with advice, if there is any.
    pub fn hint_if(self, hint: Option<String>) -> Self {
        match hint {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }

    /// What kind of mistake.
    pub fn mistake(&self) -> Mistake {
        self.0.mistake
    }

    /// The code under which the remedy is found.
    pub fn code(&self) -> Code {
        self.0.mistake.code()
    }

    /// What is wrong, without place and advice.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Where, in the script that was parsed.
    pub fn position(&self) -> Option<Position> {
        self.0.position
    }

    /// What to do.
    pub fn advice(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The error over several lines, with the line of the script and a caret under the place:
    ///
    /// ```text
    /// error HW3003: no column 'tmep'
    ///   at line 1, column 8
    ///   | SELECT tmep FROM weather
    ///   |        ^
    ///   hint: did you mean 'temp'?
    /// ```
    pub fn render(&self) -> String {
        let Inner { message, position, line, hint, .. } = &*self.0;
        let mut text = format!("error {}: {message}", self.code());
        if let Some(position) = position {
            let column = usize::try_from(position.column.saturating_sub(1)).unwrap_or_default();
            // Tabs stay tabs, so that the caret stands where a terminal puts the character.
            let indent: String =
                line.chars().take(column).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
            text.push_str(&format!("\n  at {position}\n  | {line}\n  | {indent}^"));
        }
        if let Some(hint) = hint {
            text.push_str(&format!("\n  hint: {hint}"));
        }
        text
    }
}

/// One paragraph: message, place, hint.
impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if let Some(position) = self.0.position {
            write!(f, " at {position}")?;
        }
        if let Some(hint) = &self.0.hint {
            write!(f, "; {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for SqlError {}

/// One of our errors on its way through DataFusion.
impl From<SqlError> for DataFusionError {
    fn from(error: SqlError) -> Self {
        Self::External(Box::new(error))
    }
}

/// The same, where a function is handier.
pub(crate) fn refused(error: SqlError) -> DataFusionError {
    error.into()
}

/// `did you mean 'x'?`, if one of the candidates is near enough.
pub fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(name, candidates).map(|near| format!("did you mean '{near}'?"))
}

/// What is meant by the name of a stream, table or view that is not there: it may have another catalog before it.
pub(crate) fn did_you_mean_relation<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str> + Clone,
) -> Option<String> {
    let qualified = name.rsplit_once('.').and_then(|(catalog, last)| {
        let known = candidates.clone().into_iter().find(|candidate| *candidate == last)?;
        Some(format!("there is one catalog, without databases: leave out '{catalog}.' before '{known}'"))
    });
    qualified.or_else(|| did_you_mean(name, candidates))
}

/// The candidate nearest to a name, if near enough to be a slip of the finger.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = name.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (likeness(&wanted, &candidate.to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        // Of equally near ones the first, so that the answer does not depend on the order of evaluation.
        .fold(None, |best: Option<(f64, &str)>, next| match best {
            Some(best) if best.0 >= next.0 => Some(best),
            _ => Some(next),
        })
        .map(|(_, candidate)| candidate)
}

/// How alike two names are, from 0 to 1. What they have in common before the last point says nothing: `system.` is before many.
fn likeness(one: &str, other: &str) -> f64 {
    match (one.rsplit_once('.'), other.rsplit_once('.')) {
        (Some((before, one)), Some((same, other))) if before == same => strsim::jaro_winkler(one, other),
        _ => strsim::jaro_winkler(one, other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_shows_its_place() {
        let script = Script::new("SELECT a,\n\ttmep FROM weather");
        let error = SqlError::new(Mistake::UnknownColumn, "no column 'tmep'")
            .at(Position { line: 2, column: 2 }, &script)
            .hint_if(did_you_mean("tmep", ["station", "temp"]));
        assert_eq!(
            error.render(),
            "error HW3003: no column 'tmep'\n  at line 2, column 2\n  | \ttmep FROM weather\n  | \t^\n  \
             hint: did you mean 'temp'?"
        );
        assert_eq!(error.to_string(), "no column 'tmep' at line 2, column 2; did you mean 'temp'?");
    }

    #[test]
    fn far_names_are_not_suggested() {
        assert_eq!(nearest("humidity", ["station", "temp"]), None);
        assert_eq!(nearest("system.tables", ["system.late_rows", "system.jobs"]), None);
        assert_eq!(nearest("system.job", ["system.late_rows", "system.jobs"]), Some("system.jobs"));
        assert_eq!(nearest("STATION", ["station", "stations"]), Some("station"));
    }
}
