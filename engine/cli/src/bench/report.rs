//! What a measurement says: its set-up, medians of several runs, and ratios between what was measured in the same run.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;

use crate::output::say;

/// The result of a bench.
#[derive(Serialize)]
pub(crate) struct Report {
    /// What was measured.
    pub bench: &'static str,
    /// On what and how.
    pub setup: BTreeMap<&'static str, String>,
    /// What came out, in this order.
    pub figures: Vec<Figure>,
}

/// One number.
#[derive(Serialize)]
pub(crate) struct Figure {
    /// What it is.
    pub name: String,
    /// How much.
    pub value: f64,
    /// Of what.
    pub unit: &'static str,
    /// What it should be at least (or at most), if there is an aim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aim: Option<String>,
}

impl Report {
    /// A report with the set-up of this machine.
    pub fn new(bench: &'static str) -> Self {
        let mut setup = BTreeMap::new();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        setup.insert("version", env!("CARGO_PKG_VERSION").to_owned());
        setup.insert(
            "build",
            if cfg!(debug_assertions) { "debug (figures mean little)" } else { "release" }.to_owned(),
        );
        setup.insert("processors", cores.to_string());
        setup.insert("system", format!("{} {}", std::env::consts::OS, std::env::consts::ARCH));
        Self { bench, setup, figures: Vec::new() }
    }

    /// Notes a part of the set-up.
    pub fn setup(&mut self, name: &'static str, value: impl ToString) {
        self.setup.insert(name, value.to_string());
    }

    /// Notes a number.
    pub fn figure(&mut self, name: impl Into<String>, value: f64, unit: &'static str) {
        self.figures.push(Figure { name: name.into(), value, unit, aim: None });
    }

    /// Notes a number that has an aim.
    pub fn aimed(&mut self, name: impl Into<String>, value: f64, unit: &'static str, aim: impl Into<String>) {
        self.figures.push(Figure { name: name.into(), value, unit, aim: Some(aim.into()) });
    }

    /// Writes the report to standard output.
    pub fn write(&self, json: bool) -> Result<()> {
        if json {
            return say(serde_json::to_string_pretty(self)?);
        }
        say(format_args!("bench {}", self.bench))?;
        for (name, value) in &self.setup {
            say(format_args!("  {name}: {value}"))?;
        }
        for Figure { name, value, unit, aim } in &self.figures {
            let aim = aim.as_ref().map(|aim| format!("  (aim: {aim})")).unwrap_or_default();
            say(format_args!("  {name:<52} {:>14} {unit}{aim}", number(*value)))?;
        }
        Ok(())
    }
}

/// The middle of some measurements.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Large numbers without a fraction and with separators, small ones with three digits.
fn number(value: f64) -> String {
    if value.abs() < 100.0 {
        return format!("{value:.3}");
    }
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 && digit != '-' {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!([number(1_234_567.4), number(999.6), number(0.7312)], ["1,234,567", "1,000", "0.731"]);
    }
}
