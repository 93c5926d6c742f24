//! Options of a statement, taken one by one; what is left over is a mistake.

use std::collections::BTreeMap;
use std::time::Duration;

use headwater_decide::DecideError;

use super::options::{Given, duration, read_options};
use super::reader::Reader;
use crate::error::{Mistake, Result, SqlError, nearest};
use crate::script::Script;

/// The options of `WITH (...)`, or none.
pub(super) struct Options {
    given: Vec<Given>,
    script: Script,
}

impl Options {
    /// Reads the clause if it is there.
    pub(super) fn read(reader: &mut Reader) -> Result<Self> {
        let given = if reader.take_words("WITH") { read_options(reader)? } else { Vec::new() };
        Ok(Self { given, script: reader.script().clone() })
    }

    /// Reads the list of options that must be there.
    pub(super) fn expect(reader: &mut Reader) -> Result<Self> {
        Ok(Self { given: read_options(reader)?, script: reader.script().clone() })
    }

    /// The value of a key as text.
    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        self.take(key).map(|(_, value, _)| value)
    }

    fn take(&mut self, key: &str) -> Option<Given> {
        let place = self.given.iter().position(|(given, ..)| given.value.eq_ignore_ascii_case(key))?;
        Some(self.given.remove(place))
    }

    /// The value of a key, read by a rule's own reader.
    pub(super) fn parsed<T>(
        &mut self,
        key: &str,
        parse: impl FnOnce(&str) -> std::result::Result<T, DecideError>,
    ) -> Result<Option<T>> {
        let Some((_, value, at)) = self.take(key) else { return Ok(None) };
        let wrong =
            |error: DecideError| SqlError::new(Mistake::Option, error.to_string()).at(at, &self.script);
        parse(&value).map(Some).map_err(wrong)
    }

    /// A number.
    pub(super) fn number(&mut self, key: &str) -> Result<Option<f64>> {
        self.parsed(key, |text| {
            let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
            number.ok_or_else(|| DecideError::new(format!("'{text}' is no number for '{key}'")))
        })
    }

    /// A whole number of 0 or more.
    pub(super) fn whole<T: std::str::FromStr>(&mut self, key: &str) -> Result<Option<T>> {
        self.parsed(key, |text| {
            text.parse().map_err(|_| DecideError::new(format!("'{text}' is no whole number for '{key}'")))
        })
    }

    /// `true` or `false`.
    pub(super) fn truth(&mut self, key: &str) -> Result<Option<bool>> {
        self.parsed(key, |text| {
            text.to_lowercase()
                .parse()
                .map_err(|_| DecideError::new(format!("'{text}' must be true or false for '{key}'")))
        })
    }

    /// A length of time.
    pub(super) fn duration(&mut self, key: &str) -> Result<Option<Duration>> {
        self.parsed(key, |text| {
            duration(text).ok_or_else(|| {
                DecideError::new(format!(
                    "'{text}' is no length of time for '{key}': write '30 seconds' or '5 minutes'"
                ))
            })
        })
    }

    /// All that has not been taken.
    pub(super) fn rest(&mut self) -> BTreeMap<String, String> {
        self.given.drain(..).map(|(key, value, _)| (key.value, value)).collect()
    }

    /// Fails if something has not been taken.
    pub(super) fn finish(self, what: &str, known: &[&str]) -> Result<()> {
        let Some((key, ..)) = self.given.first() else { return Ok(()) };
        let hint = match nearest(&key.value, known.iter().copied()) {
            Some(near) => format!("did you mean '{near}'?"),
            None => format!("{what} has the options {}", known.join(", ")),
        };
        Err(SqlError::new(Mistake::Option, format!("{what} has no option '{}'", key.value))
            .at(key.position, &self.script)
            .hint(hint))
    }
}
