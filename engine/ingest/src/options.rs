//! Options as a statement or a request gives them: names and texts, each taken once by whoever knows it.
//!
//! Names are compared without case, and `_` is the same as `-`: Flink writes `rows-per-second`, Arroyo
//! `rows_per_second`. What nobody has asked for by the time of [`Options::finish`] is an error that names the nearest
//! option that there is. Values of options whose name sounds like a secret are never shown.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::quantity::{parse_duration, parse_size};

/// Why an option cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// Nobody knows an option of this name.
    #[error("{owner} has no option '{name}'{}", hint(.nearest))]
    Unknown {
        /// Whose options these are.
        owner: String,
        /// The name that was given.
        name: String,
        /// The most similar name that there is.
        nearest: Option<String>,
    },
    /// An option that must be given was not.
    #[error("{owner} needs option '{name}'")]
    Missing {
        /// Whose options these are.
        owner: String,
        /// The option.
        name: String,
    },
    /// The value of an option cannot be used.
    #[error("{owner}: option '{name}' cannot be {value}: {reason}")]
    BadValue {
        /// Whose options these are.
        owner: String,
        /// The option.
        name: String,
        /// The value, hidden if secret.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// What an error says of a name that may have been meant.
pub(crate) fn hint(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|name| format!("; did you mean '{name}'?")).unwrap_or_default()
}

type Result<T> = std::result::Result<T, OptionError>;

/// The names of columns and of their fields as records have them, with `,` between, where those of the schema are in lower case.
pub const FIELD_NAMES: &str = "field-names";

/// Options that are taken one by one.
#[derive(Clone)]
pub struct Options {
    owner: String,
    entries: BTreeMap<String, String>,
    asked: BTreeSet<String>,
}

impl Options {
    /// Options of `owner`, which error messages name, such as `connector datagen`.
    pub fn new<K: AsRef<str>, V: Into<String>>(
        owner: impl Into<String>,
        entries: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let entries =
            entries.into_iter().map(|(name, value)| (canonical(name.as_ref()), value.into())).collect();
        Self { owner: owner.into(), entries, asked: BTreeSet::new() }
    }

    /// Whose options these are.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// The value of an option, if given.
    pub fn get(&mut self, name: &str) -> Option<String> {
        let name = canonical(name);
        let value = self.entries.get(&name).cloned();
        self.asked.insert(name);
        value
    }

    /// The value under the first of several names that is given: an option that peers name differently.
    pub fn get_any(&mut self, names: &[&str]) -> Option<String> {
        names.iter().map(|name| self.get(name)).fold(None, Option::or)
    }

    /// The value of an option that must be given.
    pub fn require(&mut self, name: &str) -> Result<String> {
        self.get(name)
            .ok_or_else(|| OptionError::Missing { owner: self.owner.clone(), name: name.to_owned() })
    }

    /// The value of an option as a number or anything else that is read from text.
    pub fn parse<T: FromStr<Err: fmt::Display>>(&mut self, name: &str) -> Result<Option<T>> {
        self.parse_with(name, |text| text.trim().parse::<T>().map_err(|error| error.to_string()))
    }

    /// The value of an option that is `true` or `false`.
    pub fn flag(&mut self, name: &str) -> Result<Option<bool>> {
        self.parse_with(name, |text| match text.trim().to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("it is true or false".to_owned()),
        })
    }

    /// The value of an option that is a duration, such as `5 minutes`.
    pub fn duration(&mut self, name: &str) -> Result<Option<Duration>> {
        self.parse_with(name, parse_duration)
    }

    /// The value of an option that is a number of bytes, such as `64 MiB`.
    pub fn size(&mut self, name: &str) -> Result<Option<u64>> {
        self.parse_with(name, parse_size)
    }

    /// The value of an option, read by `read`, whose error says what would be right.
    pub fn parse_with<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&str) -> std::result::Result<T, String>,
    ) -> Result<Option<T>> {
        let Some(text) = self.get(name) else { return Ok(None) };
        read(&text).map(Some).map_err(|reason| self.bad(name, &text, reason))
    }

    /// The error of an option whose value cannot be used.
    pub fn bad(&self, name: &str, value: &str, reason: impl Into<String>) -> OptionError {
        let value = if is_secret(name) { "what it is (hidden)".to_owned() } else { format!("'{value}'") };
        OptionError::BadValue {
            owner: self.owner.clone(),
            name: name.to_owned(),
            value,
            reason: reason.into(),
        }
    }

    /// The options whose name begins with `prefix`, without it, and marks them as known: `fields.` of a generator.
    pub fn with_prefix(&mut self, prefix: &str) -> Vec<(String, String)> {
        let prefix = canonical(prefix);
        let mut found = Vec::new();
        for (name, value) in &self.entries {
            if let Some(rest) = name.strip_prefix(&prefix) {
                self.asked.insert(name.clone());
                found.push((rest.to_owned(), value.clone()));
            }
        }
        found
    }

    /// Ends the taking: an option that nobody asked for is an error.
    pub fn finish(&self) -> Result<()> {
        // The engine itself says it of a table, whoever reads or writes that.
        let is_left = |name: &&String| !self.asked.contains(*name) && *name != FIELD_NAMES;
        let Some(name) = self.entries.keys().find(is_left) else { return Ok(()) };
        let nearest = nearest(name, self.asked.iter().map(String::as_str)).map(str::to_owned);
        Err(OptionError::Unknown { owner: self.owner.clone(), name: name.clone(), nearest })
    }
}

/// Names and values, with secrets hidden.
impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, value)) in self.entries.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            let value = if is_secret(name) { "(hidden)" } else { value };
            write!(f, "{comma}'{name}' = '{value}'")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({self})", self.owner)
    }
}

fn canonical(name: &str) -> String {
    name.trim().to_ascii_lowercase().replace('_', "-")
}

/// Whether the value of an option of this name must never be shown.
pub fn is_secret(name: &str) -> bool {
    let name = canonical(name);
    [
        "password",
        "secret",
        "token",
        "credential",
        "authorization",
        "headers",
        "private",
        "api-key",
        "access-key",
        "sasl",
        "user-info",
    ]
    .iter()
    .any(|word| name.contains(word))
}

/// The name most like the one that was given, if one is like it at all.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let known = known.into_iter().map(|known| (distance(given, known), known));
    known.min().filter(|(distance, _)| *distance <= given.len().div_ceil(2)).map(|(_, known)| known)
}

/// How many letters must be put in, left out or changed to get from one name to the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let change = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_taken_under_either_spelling() {
        let mut options = Options::new("connector x", [("rows_per_second", "5"), ("Flush-Interval", "2 s")]);
        assert_eq!(options.parse::<u64>("rows-per-second"), Ok(Some(5)));
        assert_eq!(options.duration("flush-interval"), Ok(Some(Duration::from_secs(2))));
        assert_eq!(options.get("other"), None);
        assert_eq!(options.finish(), Ok(()));
    }

    #[test]
    fn an_unknown_option_names_the_nearest() {
        let mut options = Options::new("connector datagen", [("rows-per-secund", "5")]);
        options.get("rows-per-second");
        options.get("seed");
        let error = options.finish().unwrap_err().to_string();
        assert_eq!(
            error,
            "connector datagen has no option 'rows-per-secund'; did you mean 'rows-per-second'?"
        );
    }

    #[test]
    fn secrets_are_not_shown() {
        let mut options = Options::new("connector x", [("password", "hunter2"), ("path", "/x")]);
        assert_eq!(format!("{options:?}"), "connector x('password' = '(hidden)', 'path' = '/x')");
        let error = options.parse::<u64>("password").unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
