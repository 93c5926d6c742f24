//! Filters in paths, as Jayway's JsonPath (so Flink) writes them: `[?(@.temp > 30 && @.unit == 'C')]`.
//!
//! ```text
//!  filter  = any
//!  any     = all *( "||" all )
//!  all     = one *( "&&" one )
//!  one     = "!" one | "(" any ")" | path | operand sign operand | operand ( "in" | "nin" ) "[" literal *( "," literal ) "]"
//!  operand = path | literal
//!  path    = ( "@" | "$" ) step*
//!  sign    = "==" | "!=" | "<>" | "<" | "<=" | ">" | ">="
//! ```
//!
//! `@` is the element that is tested, `$` the whole. A path alone asks whether it leads anywhere, be it to NULL. What is compared is of
//! one type, or it is not equal and has no order: a number is never a text. What is missing equals only what is missing.
//!
//! The parser is our own. The crates that have filters (serde_json_path, jsonpath-rust) walk a tree of the whole text; ours walks the text
//! once and keeps each value as it stands there, and takes Flink's forms (`lax`, `strict`, `.[...]`), which RFC 9535 does not have.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::find::{find, find_under, scalar};
use super::path::{Step, quoted, step};

/// Conditions within each other.
const DEPTH_MAX: usize = 64;

/// What ends a name or a word in a filter.
const ENDS: &[char] =
    &['.', '[', ']', ' ', '\t', '\n', '(', ')', '?', '@', '\'', '"', '=', '!', '<', '>', '&', '|', ',', '~'];

const SIGNS: [(&str, Sign); 7] = [
    ("==", Sign::Equal),
    ("!=", Sign::Unequal),
    ("<>", Sign::Unequal),
    ("<=", Sign::AtMost),
    (">=", Sign::AtLeast),
    ("<", Sign::Less),
    (">", Sign::Greater),
];

/// What must hold for an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Condition {
    Any(Vec<Condition>),
    All(Vec<Condition>),
    Not(Box<Condition>),
    Leads(Inner),
    Compare(Operand, Sign, Operand),
    Among { operand: Operand, values: Vec<String>, negated: bool },
}

/// A path within a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Inner {
    /// Whether it begins with the whole, and not with the element.
    of_root: bool,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Operand {
    Path(Inner),
    /// As JSON.
    Literal(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

impl Condition {
    /// Reads a filter, the question mark of which is read, and what is behind it.
    pub(super) fn parse(text: &str) -> Result<(Self, &str), &'static str> {
        let mut reader = Reader { rest: text, depth: 0 };
        let condition = reader.any()?;
        Ok((condition, reader.rest))
    }

    /// Whether it holds for an element of a whole.
    pub(super) fn holds(&self, element: &str, root: &str) -> bool {
        match self {
            Self::Any(parts) => parts.iter().any(|part| part.holds(element, root)),
            Self::All(parts) => parts.iter().all(|part| part.holds(element, root)),
            Self::Not(part) => !part.holds(element, root),
            Self::Leads(path) => !path.values(element, root).is_empty(),
            Self::Compare(left, sign, right) => sign.holds(left.of(element, root), right.of(element, root)),
            Self::Among { operand, values, negated } => {
                let value = operand.of(element, root);
                values.iter().any(|other| equal(value, Some(other))) != *negated
            }
        }
    }
}

impl Inner {
    fn values<'t>(&self, element: &'t str, root: &'t str) -> Vec<&'t str> {
        let from = if self.of_root { root } else { element };
        // A part of JSON is JSON.
        find_under(from, &self.steps, root).unwrap_or_default()
    }
}

impl Operand {
    fn of<'t>(&'t self, element: &'t str, root: &'t str) -> Option<&'t str> {
        match self {
            Self::Path(path) => path.values(element, root).first().copied(),
            Self::Literal(json) => Some(json),
        }
    }
}

impl Sign {
    fn holds(self, left: Option<&str>, right: Option<&str>) -> bool {
        let order = || order(left?, right?);
        match self {
            Self::Equal => equal(left, right),
            Self::Unequal => !equal(left, right),
            Self::Less => order() == Some(Ordering::Less),
            Self::Greater => order() == Some(Ordering::Greater),
            Self::AtMost => order() == Some(Ordering::Less) || equal(left, right),
            Self::AtLeast => order() == Some(Ordering::Greater) || equal(left, right),
        }
    }
}

fn equal(left: Option<&str>, right: Option<&str>) -> bool {
    let (Some(left), Some(right)) = (left, right) else { return left == right };
    if let Some(order) = order(left, right) {
        return order == Ordering::Equal;
    }
    let value = |json: &str| serde_json::from_str::<serde_json::Value>(json).ok();
    value(left) == value(right)
}

/// The order of two numbers or two texts.
fn order(left: &str, right: &str) -> Option<Ordering> {
    let is_text = |json: &str| json.starts_with('"');
    let is_number = |json: &str| json.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    if is_text(left) && is_text(right) {
        let (left, right): (Cow<'_, str>, Cow<'_, str>) = (scalar(left)?, scalar(right)?);
        return Some(left.cmp(&right));
    }
    if !is_number(left) || !is_number(right) {
        return None;
    }
    match (left.parse::<i64>(), right.parse::<i64>()) {
        (Ok(left), Ok(right)) => Some(left.cmp(&right)),
        _ => left.parse::<f64>().ok()?.partial_cmp(&right.parse::<f64>().ok()?),
    }
}

struct Reader<'t> {
    rest: &'t str,
    depth: usize,
}

impl Reader<'_> {
    fn takes(&mut self, sign: &str) -> bool {
        let rest = self.rest.trim_start().strip_prefix(sign);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn any(&mut self) -> Result<Condition, &'static str> {
        let first = self.all()?;
        let mut parts = vec![first];
        while self.takes("||") {
            parts.push(self.all()?);
        }
        Ok(if parts.len() > 1 { Condition::Any(parts) } else { parts.remove(0) })
    }

    fn all(&mut self) -> Result<Condition, &'static str> {
        let first = self.one()?;
        let mut parts = vec![first];
        while self.takes("&&") {
            parts.push(self.one()?);
        }
        Ok(if parts.len() > 1 { Condition::All(parts) } else { parts.remove(0) })
    }

    fn one(&mut self) -> Result<Condition, &'static str> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err("has a filter that is nested too deeply");
        }
        let condition = if self.takes("!") {
            Condition::Not(Box::new(self.one()?))
        } else if self.takes("(") {
            let inner = self.any()?;
            if !self.takes(")") {
                return Err("has a filter that lacks ')'");
            }
            inner
        } else {
            self.comparison()?
        };
        self.depth -= 1;
        Ok(condition)
    }

    fn comparison(&mut self) -> Result<Condition, &'static str> {
        let operand = self.operand()?;
        for (sign, meaning) in SIGNS {
            if self.takes(sign) {
                let other = self.operand()?;
                return Ok(Condition::Compare(singular(operand)?, meaning, singular(other)?));
            }
        }
        for (word, negated) in [("in", false), ("nin", true)] {
            if self.takes_word(word) {
                let values = self.list()?;
                return Ok(Condition::Among { operand: singular(operand)?, values, negated });
            }
        }
        let next = self.rest.trim_start();
        match operand {
            _ if next.starts_with("=~") => {
                Err("has a regular expression in a filter, which is not supported")
            }
            _ if next.starts_with('=') => Err("has '=' in a filter, where '==' is meant"),
            _ if next.starts_with(char::is_alphabetic) => {
                Err("has another operator in a filter than ==, !=, <, <=, >, >=, in and nin")
            }
            Operand::Path(path) => Ok(Condition::Leads(path)),
            Operand::Literal(_) => Err("has a value in a filter that is compared with nothing"),
        }
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let next = self.rest.trim_start();
        let end = next.find(|c: char| !c.is_alphanumeric()).unwrap_or(next.len());
        next[..end].eq_ignore_ascii_case(word) && self.takes(&next[..end])
    }

    fn operand(&mut self) -> Result<Operand, &'static str> {
        for (sign, of_root) in [("@", false), ("$", true)] {
            if self.takes(sign) {
                let mut steps = Vec::new();
                while self.rest.starts_with(['.', '[']) {
                    let (next, rest) = step(self.rest, ENDS)?;
                    steps.push(next);
                    self.rest = rest;
                }
                return Ok(Operand::Path(Inner { of_root, steps }));
            }
        }
        self.literal().map(Operand::Literal)
    }

    fn literal(&mut self) -> Result<String, &'static str> {
        for quote in ['\'', '"'] {
            if self.takes(&quote.to_string()) {
                let (text, rest) = quoted(self.rest, quote).ok_or("has a quote that is open")?;
                self.rest = rest;
                return Ok(serde_json::Value::from(text).to_string());
            }
        }
        let text = self.rest.trim_start();
        let ends = |c: char| c != '.' && ENDS.contains(&c);
        let (word, rest) = text.split_at(text.find(ends).unwrap_or(text.len()));
        if !matches!(word, "true" | "false" | "null") && serde_json::from_str::<f64>(word).is_err() {
            return Err(
                "needs a path from @ or $, a number, a text in quotes, true, false or null in a filter",
            );
        }
        self.rest = rest;
        Ok(word.to_owned())
    }

    fn list(&mut self) -> Result<Vec<String>, &'static str> {
        const WANTED: &str = "needs a list such as ['a', 'b'] behind 'in' in a filter";
        if !self.takes("[") {
            return Err(WANTED);
        }
        let mut values = vec![self.literal()?];
        while self.takes(",") {
            values.push(self.literal()?);
        }
        if self.takes("]") { Ok(values) } else { Err(WANTED) }
    }
}

/// An operand that is one value at most.
fn singular(operand: Operand) -> Result<Operand, &'static str> {
    match &operand {
        Operand::Path(path) if !path.steps.iter().all(Step::is_definite) => {
            Err("compares several values at once in a filter")
        }
        _ => Ok(operand),
    }
}

/// The values among these for which a condition holds: of an array its elements, and an object by itself.
pub(super) fn filtered<'t>(json: &'t str, condition: &Condition, root: &'t str) -> Vec<&'t str> {
    let candidates = match json.as_bytes().first() {
        Some(b'[') => find(json, &[Step::Every]).unwrap_or_default(),
        Some(b'{') => vec![json],
        _ => Vec::new(),
    };
    candidates.into_iter().filter(|value| condition.holds(value, root)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::path::Path;
    use super::*;

    const TEXT: &str = r#"{"limit": 30, "on": [1, 2], "s": [
        {"id": "a", "temp": 21.50, "unit": "C", "on": true, "tags": [1, 2]},
        {"id": "b", "temp": 30, "unit": "C", "on": null},
        {"id": "c", "temp": 86, "unit": "F"},
        {"id": "d", "temp": "30", "at": {"rack": 7}},
        9007199254740993, "x", null, [1]
    ]}"#;

    #[track_caller]
    fn check(filter: &str, expect: &[&str]) {
        let path = Path::parse(&format!("$.s[?{filter}].id")).unwrap();
        let expect: Vec<String> = expect.iter().map(|id| format!("\"{id}\"")).collect();
        assert_eq!(find(TEXT, &path.steps).unwrap(), expect, "{filter}");
    }

    #[test]
    fn elements_are_chosen() {
        check("(@.temp > 21.5)", &["b", "c"]);
        check("(@.temp >= 21.5 && @.unit == 'C')", &["a", "b"]);
        check("(@.temp==30)", &["b"]);
        check("(@['temp'] == \"30\")", &["d"]);
        check("(@.unit != 'C')", &["c", "d"]);
        check("(@.on)", &["a", "b"]);
        check("(!@.on && @.id)", &["c", "d"]);
        check("(@.on == null)", &["b"]);
        check("(@.on == true || @.at.rack == 7)", &["a", "d"]);
        check("(@.temp < $.limit)", &["a"]);
        check("(@.tags == $.on)", &["a"]);
        check("(@.tags[1] == 2)", &["a"]);
        check("(@.id in ['a', \"d\", 1])", &["a", "d"]);
        check("(@.id nin ['a'] && !(@.unit == 'F'))", &["b", "d"]);
        check("(@.nothing == @.nowhere && @.unit)", &["a", "b", "c"]);
        check("(@.tags[?(@ > 1)])", &["a"]);
        check(" @.id > 'b' ", &["c", "d"]);
        check("(@.temp <= '30')", &["d"]);
    }

    #[test]
    fn what_is_chosen_is_gone_on_from() {
        let found = |path: &str| find(TEXT, &Path::parse(path).unwrap().steps).unwrap();
        assert_eq!(found("$.s[?(@ == 9007199254740993)]"), ["9007199254740993"]);
        assert_eq!(found("$.s[?(@ == 9007199254740992)]"), [""; 0]);
        assert_eq!(found("$.s[?(@.id == 'a')].tags[*]"), ["1", "2"]);
        assert_eq!(found("$.s[*].at[?(@.rack == 7)].rack"), ["7"], "an object is tested by itself");
        assert_eq!(found("$.limit[?(@ > 1)]"), [""; 0]);
        assert_eq!(found("$.s[?(@.temp > $.limit)].temp"), ["86"]);
    }

    #[test]
    fn what_is_no_filter_is_told() {
        for (filter, told) in [
            ("(@.a = 1)", "'==' is meant"),
            ("(@.a =~ /x/)", "regular expression"),
            ("(@.a size 2)", "another operator"),
            ("(@.a > )", "needs a path"),
            ("(3)", "compared with nothing"),
            ("(@.a[*] > 3)", "several values"),
            ("(@.a > 3", "lacks ')'"),
            ("(@.a in 3)", "needs a list"),
            ("(@.a == 'x)", "quote that is open"),
            (&format!("{}@.a", "(".repeat(100)), "nested too deeply"),
        ] {
            let error = Path::parse(&format!("$.s[?{filter}]")).unwrap_err().to_string();
            assert!(error.contains(told), "{filter}: {error}");
        }
    }
}
