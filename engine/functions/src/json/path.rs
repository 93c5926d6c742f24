//! Paths into JSON, as Flink writes them: `$.a.b[0]`, `lax $['a b'][*]`, `strict $.a`.
//!
//! ```text
//!  path   = [ "lax" | "strict" ] "$" step*
//!  step   = ( "." | ".." ) ( name | "*" ) | [ "." | ".." ] "[" ( quoted name | subscripts | "*" | "?" filter ) "]"
//! ```
//!
//! In a strict path a step that leads nowhere is an error, in a lax one (which it is unless it says so) nothing is there. What a filter is
//! stands in `filter.rs`, and what subscripts are in `subscript.rs`. `..` leads to a value and all within it.

use datafusion::common::{Result, plan_err};

use super::filter::Condition;
use super::subscript::{Stretch, subscripts};

/// What ends a name.
const ENDS: &[char] = &['.', '[', ' ', '(', ')', '?', '@', '\'', '"'];

/// A step from a value to those within it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// The member of an object.
    Member(String),
    /// The element of an array, from 0; below zero from its end.
    Element(i64),
    /// Elements of an array, in this order.
    Elements(Vec<Stretch>),
    /// All members or elements.
    Every,
    /// The value itself and all within it, each before what is within it.
    Deep,
    /// The elements for which this holds; an object for which it does.
    Filter(Box<Condition>),
}

impl Step {
    /// Whether it leads to one value at most.
    pub(super) fn is_definite(&self) -> bool {
        matches!(self, Self::Member(_) | Self::Element(_))
    }
}

/// A path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    /// Whether it is an error when it leads nowhere.
    pub strict: bool,
    /// Its steps from the whole.
    pub steps: Vec<Step>,
}

impl Path {
    /// Reads a path.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let trimmed = text.trim();
        let word = |word: &str| {
            let rest = trimmed.get(word.len()..).filter(|_| trimmed[..word.len()].eq_ignore_ascii_case(word));
            rest.filter(|rest| rest.starts_with(char::is_whitespace)).map(str::trim_start)
        };
        let (strict, path) = match (word("strict"), word("lax")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => (false, trimmed),
        };
        let Some(mut rest) = path.strip_prefix('$') else {
            return plan_err!("the JSON path '{text}' does not begin with '$', as in '$.a.b[0]'");
        };
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = match step(rest, ENDS) {
                Ok(read) => read,
                Err(why) => return plan_err!("the JSON path '{text}' {why}, at '{rest}'"),
            };
            steps.push(step);
            rest = after;
        }
        Ok(Self { strict, steps })
    }

    /// Whether it leads to one value at most.
    pub(super) fn is_definite(&self) -> bool {
        self.steps.iter().all(Step::is_definite)
    }

    /// The steps before the first filter, which may well let nothing pass.
    pub(super) fn before_filter(&self) -> &[Step] {
        let end = self.steps.iter().position(|step| matches!(step, Step::Filter(_)));
        &self.steps[..end.unwrap_or(self.steps.len())]
    }
}

/// Reads a step, and what is behind it.
pub(super) fn step<'t>(text: &'t str, ends: &[char]) -> Result<(Step, &'t str), &'static str> {
    if let Some(rest) = text.strip_prefix("..") {
        // What is behind it is a step by itself: the second point is that of a name.
        return match rest.chars().next() {
            Some('.') | None => Err("lacks a name behind '..'"),
            Some('[') => Ok((Step::Deep, rest)),
            Some(_) => Ok((Step::Deep, &text[1..])),
        };
    }
    if let Some(rest) = text.strip_prefix(".[").or_else(|| text.strip_prefix('[')) {
        return bracketed(rest);
    }
    let Some(rest) = text.strip_prefix('.') else { return Err("is no path") };
    if let Some(after) = rest.strip_prefix('*') {
        return Ok((Step::Every, after));
    }
    let end = rest.find(ends).unwrap_or(rest.len());
    match rest.split_at(end) {
        ("", _) => Err("lacks a name behind '.'"),
        (_, after) if after.starts_with('(') => Err("calls a function, which is not supported"),
        (name, after) => Ok((Step::Member(name.to_owned()), after)),
    }
}

/// What stands in brackets, the first of which is read.
fn bracketed(text: &str) -> Result<(Step, &str), &'static str> {
    let text = text.trim_start();
    let (step, rest) = match text.chars().next() {
        Some(quote @ ('\'' | '"')) => {
            let (name, rest) = quoted(&text[1..], quote).ok_or("has a quote that is open")?;
            (Step::Member(name), rest)
        }
        Some('*') => (Step::Every, &text[1..]),
        Some('?') => {
            let (condition, rest) = Condition::parse(&text[1..])?;
            (Step::Filter(Box::new(condition)), rest)
        }
        _ => subscripts(text)?,
    };
    let rest = rest.trim_start();
    match rest.strip_prefix(']') {
        Some(after) => Ok((step, after)),
        None if rest.starts_with(',') => Err("has several names in brackets, which is not supported"),
        None => Err("lacks ']'"),
    }
}

/// A name up to its closing quote; a backslash keeps the character behind it.
pub(super) fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => name.push(chars.next()?.1),
            _ if c == quote => return Some((name, &text[at + 1..])),
            _ => name.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str) -> Step {
        Step::Member(name.to_owned())
    }

    #[test]
    fn paths_are_read() {
        let steps = |text: &str| Path::parse(text).unwrap().steps;
        assert_eq!(steps("$"), []);
        assert_eq!(steps("$.a.b[0]"), [member("a"), member("b"), Step::Element(0)]);
        assert_eq!(steps("lax $.a[*].c"), [member("a"), Step::Every, member("c")]);
        assert_eq!(steps("$.[\"a.b\"][-1]"), [member("a.b"), Step::Element(-1)]);
        assert_eq!(steps(r"$['it\'s'].*"), [member("it's"), Step::Every]);
        assert_eq!(steps("$.a[last].b"), [member("a"), Step::Element(-1), member("b")]);
        assert_eq!(steps("$..a[0]"), [Step::Deep, member("a"), Step::Element(0)]);
        assert_eq!(steps("$.a..[0]"), [member("a"), Step::Deep, Step::Element(0)]);
        assert_eq!(steps("$..*"), [Step::Deep, Step::Every]);
        assert!(matches!(steps("$.a[0:2].b").as_slice(), [_, Step::Elements(_), _]));
        assert!(Path::parse("strict $.a").unwrap().strict);
        assert!(Path::parse("STRICT $").unwrap().strict);
        assert!(!Path::parse("$.strict").unwrap().strict);
    }

    #[test]
    fn what_is_no_path_is_told() {
        for (text, told) in [
            ("a.b", "begin with '$'"),
            ("$..", "lacks a name behind '..'"),
            ("$...a", "lacks a name behind '..'"),
            ("$.", "lacks a name"),
            ("$.a[?(@.b > 1)", "']'"),
            ("$.a[?(@.b > 1) x]", "']'"),
            ("$.a[0:2:2]", "']'"),
            ("$['a', 'b']", "several names"),
            ("$.a[0", "']'"),
            ("$['a", "quote"),
            ("$.a[x]", "number"),
            ("$.a.size()", "function"),
        ] {
            let error = Path::parse(text).unwrap_err().to_string();
            assert!(error.contains(told), "{text}: {error}");
        }
    }
}
