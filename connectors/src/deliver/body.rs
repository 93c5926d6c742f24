//! What is sent: the default document, or a template.

use serde_json::{Map, Value, json};

use super::firing::Firing;

/// The firings of one delivery.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    pub(super) trigger: String,
    /// What makes ids of this trigger's firings unlike those of one that had its name before.
    pub(super) stream: String,
    /// Never empty; in order.
    pub(super) firings: Vec<Firing>,
    /// Whether firings are put together.
    pub(super) grouped: bool,
}

impl Delivery {
    /// Names the delivery, at each attempt alike. That of a group names its first firing and its last: after a crash a group may be cut
    /// otherwise, and a receiver must not take the one for the other.
    pub(super) fn id(&self) -> String {
        let first = self.id_of(&self.firings[0]);
        match self.firings.as_slice() {
            [_, .., last] => format!("{first}-{}", last.sequence),
            _ => first,
        }
    }

    fn id_of(&self, firing: &Firing) -> String {
        format!("{}/{}/{}", self.trigger, self.stream, firing.sequence)
    }

    /// Whether all of it was fired by hand.
    pub(super) fn is_test(&self) -> bool {
        self.firings.iter().all(|firing| firing.columns.get("cause").is_some_and(|cause| cause == "test"))
    }

    /// All firings, each with its id.
    fn all(&self) -> Value {
        self.firings
            .iter()
            .map(|firing| json!({ "id": self.id_of(firing), "firing": firing.columns }))
            .collect()
    }

    /// The default document.
    pub(super) fn document(&self) -> Vec<u8> {
        let document = if self.grouped {
            json!({ "trigger": self.trigger, "id": self.id(), "firings": self.all() })
        } else {
            json!({ "trigger": self.trigger, "id": self.id(), "firing": self.firings[0].columns })
        };
        document.to_string().into_bytes()
    }
}

/// Text with places for values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// `{{ name }}`
    AsText(String),
    /// `{{{ name }}}`
    AsJson(String),
}

/// What a template can name besides the firing's columns.
const OWN: [&str; 4] = ["trigger", "id", "count", "firings"];

impl Template {
    /// Reads a template whose names are columns or [`OWN`].
    pub(super) fn parse(text: &str, columns: &[&str]) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let raw = after.starts_with('{');
            let (open, close) = if raw { (1, "}}}") } else { (0, "}}") };
            let (name, behind) =
                after[open..].split_once(close).ok_or_else(|| format!("'{{{{' without '{close}'"))?;
            let name = name.trim().to_owned();
            if !columns.contains(&name.as_str()) && !OWN.contains(&name.as_str()) {
                let known = columns.iter().chain(&OWN).copied();
                let near = headwater_ingest::nearest(&name, known.clone());
                let hint = near.map_or_else(
                    || known.collect::<Vec<_>>().join(", "),
                    |near| format!("did you mean '{near}'?"),
                );
                return Err(format!("a firing has no '{name}': {hint}"));
            }
            parts.push(if raw { Part::AsJson(name) } else { Part::AsText(name) });
            rest = behind;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    /// The text for a delivery, with the values of its first firing. `escape`: text goes into JSON strings.
    pub(super) fn render(&self, delivery: &Delivery, escape: bool) -> Vec<u8> {
        let first: &Map<String, Value> = &delivery.firings[0].columns;
        let value = |name: &str| match name {
            "trigger" if !first.contains_key(name) => json!(delivery.trigger),
            "id" if !first.contains_key(name) => json!(delivery.id()),
            "count" if !first.contains_key(name) => json!(delivery.firings.len()),
            "firings" if !first.contains_key(name) => delivery.all(),
            column => first.get(column).cloned().unwrap_or(Value::Null),
        };
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::AsJson(name) => text.push_str(&value(name).to_string()),
                Part::AsText(name) => {
                    let plain = match value(name) {
                        Value::String(text) => text,
                        Value::Null => String::new(),
                        other => other.to_string(),
                    };
                    if escape {
                        let quoted = Value::String(plain).to_string();
                        text.push_str(&quoted[1..quoted.len() - 1]);
                    } else {
                        text.push_str(&plain);
                    }
                }
            }
        }
        text.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(grouped: bool, count: u64) -> Delivery {
        let firing = |sequence| {
            let Value::Object(columns) = json!({ "device": "a \"b\"", "temp": 31.5, "none": null }) else {
                unreachable!("an object")
            };
            Firing { sequence, columns }
        };
        Delivery {
            trigger: "hot".into(),
            stream: "12".into(),
            firings: (7..7 + count).map(firing).collect(),
            grouped,
        }
    }

    #[test]
    fn the_document_names_the_firing() {
        let text = |delivery: Delivery| String::from_utf8(delivery.document()).unwrap();
        let row = r#"{"device":"a \"b\"","temp":31.5,"none":null}"#;
        assert_eq!(
            text(delivery(false, 1)),
            format!(r#"{{"trigger":"hot","id":"hot/12/7","firing":{row}}}"#)
        );
        let two = format!(r#"[{{"id":"hot/12/7","firing":{row}}},{{"id":"hot/12/8","firing":{row}}}]"#);
        assert_eq!(
            text(delivery(true, 2)),
            format!(r#"{{"trigger":"hot","id":"hot/12/7-8","firings":{two}}}"#)
        );
    }

    #[test]
    fn a_template_has_places_for_values() {
        let columns = ["device", "temp", "none"];
        let check = |template: &str, escape: bool, expect: &str| {
            let template = Template::parse(template, &columns).unwrap();
            let text = String::from_utf8(template.render(&delivery(true, 2), escape)).unwrap();
            assert_eq!(text, expect);
        };
        check(r#"{"text": "{{ device }} at {{temp}}"}"#, true, r#"{"text": "a \"b\" at 31.5"}"#);
        check(r#"{"d": {{{ device }}}, "n": {{{ none }}}}"#, true, r#"{"d": "a \"b\"", "n": null}"#);
        check("{{ device }}|{{ none }}|{{ count }}|{{ id }}", false, "a \"b\"||2|hot/12/7-8");
        let row = r#"{"device":"a \"b\"","temp":31.5,"none":null}"#;
        let all = format!(r#"[{{"id":"hot/12/7","firing":{row}}},{{"id":"hot/12/8","firing":{row}}}]"#);
        check("{{{ firings }}}", true, &all);
        assert!(Template::parse("{{ devcie }}", &columns).unwrap_err().contains("did you mean 'device'?"));
        assert!(Template::parse("{{ device", &columns).is_err());
    }
}
