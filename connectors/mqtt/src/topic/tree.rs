//! Values by filter, found by topic: a tree of levels, so that the cost of a lookup does not depend on how many filters there are.

use std::collections::HashMap;

/// Values by filter.
#[derive(Debug)]
pub struct Tree<V> {
    /// Below a level of this name.
    children: HashMap<Box<str>, Tree<V>>,
    /// Below `+`.
    any: Option<Box<Tree<V>>>,
    /// Of filters that end here.
    values: Vec<V>,
    /// Of filters that end here with `#`.
    below: Vec<V>,
}

impl<V> Default for Tree<V> {
    fn default() -> Self {
        Self { children: HashMap::new(), any: None, values: Vec::new(), below: Vec::new() }
    }
}

impl<V> Tree<V> {
    /// The values of a filter, to change them.
    pub fn entry(&mut self, filter: &str) -> &mut Vec<V> {
        let mut node = self;
        for level in filter.split('/') {
            node = match level {
                "#" => return &mut node.below,
                "+" => node.any.get_or_insert_default(),
                level => node.children.entry(level.into()).or_default(),
            };
        }
        &mut node.values
    }

    /// Removes what `is_gone` says of a filter's values, and the branches that are bare then.
    pub fn remove(&mut self, filter: &str, is_gone: &mut impl FnMut(&mut V) -> bool) {
        self.remove_below(Some(filter), is_gone);
    }

    fn remove_below(&mut self, filter: Option<&str>, is_gone: &mut impl FnMut(&mut V) -> bool) {
        let Some(filter) = filter else { return self.values.retain_mut(|value| !is_gone(value)) };
        let (level, rest) = match filter.split_once('/') {
            Some((level, rest)) => (level, Some(rest)),
            None => (filter, None),
        };
        match level {
            "#" => self.below.retain_mut(|value| !is_gone(value)),
            "+" => {
                if let Some(any) = &mut self.any {
                    any.remove_below(rest, is_gone);
                    if any.is_bare() {
                        self.any = None;
                    }
                }
            }
            level => {
                if let Some(child) = self.children.get_mut(level) {
                    child.remove_below(rest, is_gone);
                    if child.is_bare() {
                        self.children.remove(level);
                    }
                }
            }
        }
    }

    fn is_bare(&self) -> bool {
        self.children.is_empty() && self.any.is_none() && self.values.is_empty() && self.below.is_empty()
    }

    /// Shows the values of all filters that match a topic.
    pub fn matching<'a>(&'a self, topic: &str, found: &mut impl FnMut(&'a V)) {
        // Wildcards at the beginning do not match what begins with a dollar sign.
        let (level, rest) = split(topic);
        if topic.starts_with('$') {
            if let Some(child) = self.children.get(level) {
                child.matching_below(rest, found);
            }
            return;
        }
        self.matching_below(Some(topic), found);
    }

    fn matching_below<'a>(&'a self, topic: Option<&str>, found: &mut impl FnMut(&'a V)) {
        self.below.iter().for_each(&mut *found);
        let Some(topic) = topic else { return self.values.iter().for_each(found) };
        let (level, rest) = split(topic);
        if let Some(any) = &self.any {
            any.matching_below(rest, found);
        }
        if let Some(child) = self.children.get(level) {
            child.matching_below(rest, found);
        }
    }
}

fn split(topic: &str) -> (&str, Option<&str>) {
    topic.split_once('/').map_or((topic, None), |(level, rest)| (level, Some(rest)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{check_filter, matches};
    use super::*;

    #[test]
    fn what_is_removed_leaves_nothing_behind() {
        let mut tree = Tree::default();
        for (value, filter) in (0..).zip(["a/+/c", "a/#", "a", "+/+", "#", "a/b/c"]) {
            tree.entry(filter).push(value);
        }
        let mut found = Vec::new();
        tree.matching("a/b/c", &mut |value| found.push(*value));
        found.sort_unstable();
        assert_eq!(found, [0, 1, 4, 5]);
        for filter in ["a/+/c", "a/#", "a", "+/+", "#", "a/b/c"] {
            tree.remove(filter, &mut |_| true);
        }
        assert!(tree.is_bare());
    }

    proptest! {
        /// The tree finds what a comparison with each filter finds.
        #[test]
        fn the_tree_and_a_comparison_agree(
            filters in proptest::collection::vec("[ab+#$/]{1,7}", 1..12),
            topic in "[ab$/]{1,7}",
        ) {
            let filters: Vec<_> = filters.into_iter().filter(|filter| check_filter(filter).is_ok()).collect();
            let mut tree = Tree::default();
            for filter in &filters {
                tree.entry(filter).push(filter.clone());
            }
            let mut found = Vec::new();
            tree.matching(&topic, &mut |filter| found.push(filter.clone()));
            let mut expected = filters;
            expected.retain(|filter| matches(filter, &topic));
            found.sort();
            expected.sort();
            prop_assert_eq!(found, expected);
        }
    }
}
