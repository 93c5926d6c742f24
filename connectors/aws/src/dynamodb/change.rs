//! What a row changes of its item, on the condition that the item has not seen it.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use headwater_core::Sequence;

use super::item::{Attributes, Item};

/// The condition under which an item changes.
pub(super) const CONDITION: &str = "attribute_not_exists(#o) OR #o < :o";

/// An update in DynamoDB's words.
pub(super) struct Change {
    pub expression: String,
    pub names: HashMap<String, String>,
    pub values: Attributes,
}

impl Change {
    /// Changes an item as a row says, whose place is remembered in the attribute `offset`. The columns in `added` are added to what is
    /// there.
    pub(super) fn of(item: &Item, offset: String, sequence: Sequence, added: &[String]) -> Self {
        let mut names = HashMap::from([("#o".to_owned(), offset)]);
        let mut values = HashMap::from([(":o".to_owned(), AttributeValue::N(sequence.to_string()))]);
        let (mut set, mut add, mut remove) = (vec!["#o = :o".to_owned()], Vec::new(), Vec::new());
        for (nth, (name, value)) in item.rest.iter().enumerate() {
            let is_added = added.contains(name);
            match value {
                Some(value) => {
                    values.insert(format!(":v{nth}"), value.clone());
                    if is_added {
                        add.push(format!("#c{nth} :v{nth}"));
                    } else {
                        set.push(format!("#c{nth} = :v{nth}"));
                    }
                }
                // Nothing to add changes nothing.
                None if is_added => continue,
                None => remove.push(format!("#c{nth}")),
            }
            names.insert(format!("#c{nth}"), name.clone());
        }
        let clauses = [("SET", set), ("ADD", add), ("REMOVE", remove)];
        let clauses = clauses.into_iter().filter(|(_, parts)| !parts.is_empty());
        let expression: Vec<_> =
            clauses.map(|(verb, parts)| format!("{verb} {}", parts.join(", "))).collect();
        Self { expression: expression.join(" "), names, values }
    }
}
