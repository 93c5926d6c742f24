//! Walks a path through a JSON text: one pass that checks the whole text and keeps nothing but what the path leads to.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::filter::filtered;
use super::path::Step;

/// The values that steps lead to, as they stand in the text, in its order; of members with one name the last. An error: the text is
/// no JSON.
pub(super) fn find<'t>(text: &'t str, steps: &[Step]) -> serde_json::Result<Vec<&'t str>> {
    find_under(text, steps, text)
}

/// The same in a part of a whole, which filters may look at.
pub(super) fn find_under<'t>(
    text: &'t str,
    steps: &[Step],
    root: &'t str,
) -> serde_json::Result<Vec<&'t str>> {
    let mut found = Vec::new();
    let mut reader = serde_json::Deserializer::from_str(text);
    Walk { steps, root, found: &mut found }.deserialize(&mut reader)?;
    reader.end()?;
    Ok(found)
}

/// A scalar as text: a string without its quotes, anything else as it is written. `None` for NULL, objects and arrays.
pub(super) fn scalar(json: &str) -> Option<Cow<'_, str>> {
    match json.as_bytes().first() {
        Some(b'{' | b'[' | b'n') | None => None,
        Some(b'"') => serde_json::from_str::<String>(json).ok().map(Cow::Owned),
        Some(_) => Some(Cow::Borrowed(json)),
    }
}

/// Whether this is an object or an array.
pub(super) fn is_composite(json: &str) -> bool {
    json.starts_with(['{', '['])
}

/// JSON without the spaces between its parts.
pub(super) fn compact(json: &str, out: &mut String) {
    let (mut quoted, mut escaped) = (false, false);
    out.extend(json.chars().filter(|c| {
        let kept = quoted || !c.is_ascii_whitespace();
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        kept
    }));
}

/// The rest of a path, from the value that is read next.
struct Walk<'a, 't> {
    steps: &'a [Step],
    root: &'t str,
    found: &'a mut Vec<&'t str>,
}

impl<'t> Walk<'_, 't> {
    fn onward(&mut self) -> Walk<'_, 't> {
        Walk { steps: &self.steps[1..], root: self.root, found: self.found }
    }

    /// Goes on from a value that has been read.
    fn onward_from<E: Error>(&mut self, value: &'t str) -> Result<(), E> {
        let inner = find_under(value, &self.steps[1..], self.root).map_err(E::custom)?;
        self.found.extend(inner);
        Ok(())
    }

    /// Goes on from a value that has been read, and from all within it.
    fn onward_from_all_within<E: Error>(&mut self, value: &'t str) -> Result<(), E> {
        self.onward_from(value)?;
        let within = find_under(value, &[Step::Every], self.root).map_err(E::custom)?;
        within.into_iter().try_for_each(|value| self.onward_from_all_within(value))
    }
}

impl<'t> DeserializeSeed<'t> for Walk<'_, 't> {
    type Value = ();

    fn deserialize<D: Deserializer<'t>>(mut self, from: D) -> Result<(), D::Error> {
        match self.steps.first() {
            None => {
                self.found.push(raw(from)?);
                Ok(())
            }
            Some(Step::Filter(condition)) => {
                let passed = filtered(raw(from)?, condition, self.root);
                passed.into_iter().try_for_each(|value| self.onward_from(value))
            }
            Some(Step::Deep) => self.onward_from_all_within(raw(from)?),
            Some(_) => from.deserialize_any(self),
        }
    }
}

fn raw<'t, D: Deserializer<'t>>(from: D) -> Result<&'t str, D::Error> {
    <&RawValue as serde::Deserialize>::deserialize(from).map(RawValue::get)
}

/// What is left of an array's elements.
fn elements<'t, A: SeqAccess<'t>>(seq: &mut A) -> Result<Vec<&'t str>, A::Error> {
    let mut elements = Vec::new();
    while let Some(element) = seq.next_element::<&RawValue>()? {
        elements.push(element.get());
    }
    Ok(elements)
}

impl<'t> Visitor<'t> for Walk<'_, 't> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'t>>(mut self, mut map: A) -> Result<(), A::Error> {
        let (steps, before) = (self.steps, self.found.len());
        match &steps[0] {
            Step::Member(name) => {
                while let Some(is_it) = map.next_key_seed(Is(name))? {
                    if is_it {
                        self.found.truncate(before);
                        map.next_value_seed(self.onward())?;
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
            }
            Step::Every => {
                while map.next_key::<IgnoredAny>()?.is_some() {
                    map.next_value_seed(self.onward())?;
                }
            }
            // Those have read the whole value by themselves.
            Step::Element(_) | Step::Elements(_) | Step::Filter(_) | Step::Deep => {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'t>>(mut self, mut seq: A) -> Result<(), A::Error> {
        let steps = self.steps;
        match &steps[0] {
            Step::Every => while seq.next_element_seed(self.onward())?.is_some() {},
            Step::Element(nth) if *nth >= 0 => {
                let mut ahead = *nth;
                while ahead > 0 && seq.next_element::<IgnoredAny>()?.is_some() {
                    ahead -= 1;
                }
                if ahead == 0 {
                    seq.next_element_seed(self.onward())?;
                }
            }
            Step::Element(nth) => {
                let elements = elements(&mut seq)?;
                let back = usize::try_from(nth.unsigned_abs()).unwrap_or(usize::MAX);
                if let Some(element) = elements.len().checked_sub(back).and_then(|nth| elements.get(nth)) {
                    self.onward_from(element)?;
                }
            }
            Step::Elements(stretches) => {
                let elements = elements(&mut seq)?;
                for place in stretches.iter().flat_map(|stretch| stretch.places(elements.len())) {
                    self.onward_from(elements[place])?;
                }
            }
            Step::Member(_) | Step::Filter(_) | Step::Deep => {}
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Reads a key and says whether it is this one.
struct Is<'a>(&'a str);

impl<'t> DeserializeSeed<'t> for Is<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'t>>(self, from: D) -> Result<bool, D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for Is<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<bool, E> {
        Ok(key == self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::path::Path;
    use super::*;

    #[track_caller]
    fn check(text: &str, path: &str, expect: &[&str]) {
        assert_eq!(find(text, &Path::parse(path).unwrap().steps).unwrap(), expect, "{text} {path}");
    }

    #[test]
    fn paths_lead_to_what_stands_there() {
        let text = r#" {"a": {"b" : [1, 2.50, "x\"y", {"c":null}]}, "d": 1, "a b": true} "#;
        check(text, "$.a.b[1]", &["2.50"]);
        check(text, "$.a.b[-1].c", &["null"]);
        check(text, "$.a.b[-4]", &["1"]);
        check(text, "$.a.b[-5]", &[]);
        check(text, "$.a.b[9]", &[]);
        check(text, "$['a b']", &["true"]);
        check(text, "$.a.b[*]", &["1", "2.50", r#""x\"y""#, r#"{"c":null}"#]);
        check(text, "$.d.e", &[]);
        check(text, "$.d[0]", &[]);
        check(text, "$.a[0]", &[]);
        check("[[1],[2,3]]", "$[*][*]", &["1", "2", "3"]);
        check(r#"{"a":{"x":1},"a":{"y":2}}"#, "$.a.x", &[]);
        check(r#"{"k\u0065y":1}"#, "$.key", &["1"]);
        check("18446744073709551616.5", "$", &["18446744073709551616.5"]);
    }

    #[test]
    fn elements_are_named_by_their_places() {
        let text = r#"{"a": [0, 1, [2], {"b": 3}, 4], "b": {"c": [{"b": 5}, 6]}}"#;
        check(text, "$.a[1 to 2]", &["1", "[2]"]);
        check(text, "$.a[1:2]", &["1"]);
        check(text, "$.a[last - 1 to last]", &[r#"{"b": 3}"#, "4"]);
        check(text, "$.a[-2:]", &[r#"{"b": 3}"#, "4"]);
        check(text, "$.a[:2]", &["0", "1"]);
        check(text, "$.a[4, 0]", &["4", "0"]);
        check(text, "$.a[last, 7]", &["4"]);
        check(text, "$.a[2 to 3].b", &["3"]);
        check(text, "$.a[2:4][0]", &["2"]);
        check(text, "$.b[0 to 3]", &[]);
        check(text, "$..b", &[r#"{"c": [{"b": 5}, 6]}"#, "3", "5"]);
        check(text, "$..[1]", &["1", "6"]);
        check(text, "$.b..*", &[r#"[{"b": 5}, 6]"#, r#"{"b": 5}"#, "6", "5"]);
        check(text, "$.b.c[?(@..b)].b", &["5"]);
    }

    #[test]
    fn the_whole_text_is_checked() {
        for text in ["", "{", r#"{"a":1"#, r#"{"a":1}x"#, r#"{"a":1,"b":tru}"#, "[1,]", "nul"] {
            assert!(find(text, &Path::parse("$.a").unwrap().steps).is_err(), "{text}");
            assert!(find(text, &[]).is_err(), "{text}");
        }
    }

    #[test]
    fn scalars_and_spaces() {
        assert_eq!(scalar(r#""a\n\u00e9""#).as_deref(), Some("a\né"));
        assert_eq!(scalar("1.50").as_deref(), Some("1.50"));
        assert_eq!(scalar("null"), None);
        assert_eq!(scalar("[1]"), None);
        let mut out = String::new();
        compact("{ \"a b\" : [ 1 ,\t\"\\\" \" ] }", &mut out);
        assert_eq!(out, r#"{"a b":[1,"\" "]}"#);
    }
}
