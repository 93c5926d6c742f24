//! Finds the patterns that match a URI.
//!
//! Exact ones are looked up. For prefixes the beginnings of the URI are looked up, in the lengths that there are. Wildcards are in
//! a tree by component, in which each step goes to the same component or to the empty one.

use std::collections::BTreeMap;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::message::Match;

type Map<K, V> = HashMap<K, V, RandomState>;

/// Patterns, each with a value.
#[derive(Debug)]
pub(super) struct PatternIndex<T> {
    exact: Map<String, T>,
    prefixes: Map<String, T>,
    /// The lengths of the prefixes, each with how many there are.
    lengths: BTreeMap<usize, usize>,
    wildcards: Node<T>,
}

#[derive(Debug)]
struct Node<T> {
    value: Option<T>,
    next: Map<String, Node<T>>,
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self { value: None, next: Map::default() }
    }
}

impl<T> Default for PatternIndex<T> {
    fn default() -> Self {
        Self {
            exact: Map::default(),
            prefixes: Map::default(),
            lengths: BTreeMap::new(),
            wildcards: Node::default(),
        }
    }
}

impl<T: Copy> PatternIndex<T> {
    /// The value of a pattern.
    pub(super) fn get(&self, matching: Match, pattern: &str) -> Option<T> {
        match matching {
            Match::Exact => self.exact.get(pattern).copied(),
            Match::Prefix => self.prefixes.get(pattern).copied(),
            Match::Wildcard => {
                let mut node = &self.wildcards;
                for part in pattern.split('.') {
                    node = node.next.get(part)?;
                }
                node.value
            }
        }
    }

    /// Adds a pattern that is not there yet.
    pub(super) fn insert(&mut self, matching: Match, pattern: &str, value: T) {
        match matching {
            Match::Exact => {
                self.exact.insert(pattern.to_owned(), value);
            }
            Match::Prefix => {
                self.prefixes.insert(pattern.to_owned(), value);
                *self.lengths.entry(pattern.len()).or_default() += 1;
            }
            Match::Wildcard => {
                let mut node = &mut self.wildcards;
                for part in pattern.split('.') {
                    node = node.next.entry_ref(part).or_default();
                }
                node.value = Some(value);
            }
        }
    }

    /// Removes a pattern that is there.
    pub(super) fn remove(&mut self, matching: Match, pattern: &str) {
        match matching {
            Match::Exact => {
                self.exact.remove(pattern);
            }
            Match::Prefix => {
                self.prefixes.remove(pattern);
                if let Some(count) = self.lengths.get_mut(&pattern.len()) {
                    *count -= 1;
                    if *count == 0 {
                        self.lengths.remove(&pattern.len());
                    }
                }
            }
            Match::Wildcard => {
                let parts: Vec<_> = pattern.split('.').collect();
                prune(&mut self.wildcards, &parts);
            }
        }
    }

    /// Calls `found` for every pattern that matches: the exact one, prefixes from the longest on, then wildcards with
    /// those first that have their first empty component last.
    pub(super) fn for_each(&self, uri: &str, mut found: impl FnMut(Match, T)) {
        if let Some(value) = self.exact.get(uri) {
            found(Match::Exact, *value);
        }
        for length in self.lengths.range(..=uri.len()).rev().map(|(length, _)| *length) {
            if let Some(prefix) = uri.get(..length)
                && let Some(value) = self.prefixes.get(prefix)
            {
                found(Match::Prefix, *value);
            }
        }
        if !self.wildcards.next.is_empty() {
            let parts: Vec<_> = uri.split('.').collect();
            walk(&self.wildcards, &parts, &mut |value| found(Match::Wildcard, value));
        }
    }

    /// The pattern that matches best: the first of [`PatternIndex::for_each`].
    pub(super) fn best(&self, uri: &str) -> Option<(Match, T)> {
        let mut best = None;
        self.for_each(uri, |matching, value| {
            best.get_or_insert((matching, value));
        });
        best
    }
}

fn walk<T: Copy>(node: &Node<T>, parts: &[&str], found: &mut impl FnMut(T)) {
    let Some((part, rest)) = parts.split_first() else {
        return node.value.into_iter().for_each(found);
    };
    if let Some(next) = node.next.get(*part) {
        walk(next, rest, found);
    }
    if !part.is_empty()
        && let Some(next) = node.next.get("")
    {
        walk(next, rest, found);
    }
}

/// Removes the value at the end of `parts`, and the nodes that are then empty.
fn prune<T>(node: &mut Node<T>, parts: &[&str]) {
    let Some((part, rest)) = parts.split_first() else {
        node.value = None;
        return;
    };
    if let Some(next) = node.next.get_mut(*part) {
        prune(next, rest);
        if next.value.is_none() && next.next.is_empty() {
            node.next.remove(*part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The patterns that match, in order; every pattern is held against [`Match::matches`], too.
    fn check(patterns: &[(Match, &str)], uri: &str, expected: &[usize]) {
        let mut index = PatternIndex::default();
        for (at, (matching, pattern)) in patterns.iter().enumerate() {
            index.insert(*matching, pattern, at);
        }
        let mut found = Vec::new();
        index.for_each(uri, |_, at| found.push(at));
        assert_eq!(found, expected, "{uri}");
        assert_eq!(index.best(uri).map(|(_, at)| at), expected.first().copied());
        for (at, (matching, pattern)) in patterns.iter().enumerate() {
            assert_eq!(matching.matches(pattern, uri), found.contains(&at), "{pattern} {uri}");
            assert_eq!(index.get(*matching, pattern), Some(at));
            index.remove(*matching, pattern);
            assert_eq!(index.get(*matching, pattern), None);
        }
        assert!(index.wildcards.next.is_empty() && index.lengths.is_empty());
    }

    #[test]
    fn all_that_match_are_found_the_best_first() {
        use Match::{Exact, Prefix, Wildcard};
        let patterns = [
            (Wildcard, "a1..d4"),
            (Wildcard, "a1.b2..d4.e5"),
            (Wildcard, "a1.b2..d4.e5..g7"),
            (Wildcard, "a1.b2.c33..e5.."),
            (Prefix, "a1.b2.c3"),
            (Prefix, "a1.b2.c3.d4"),
            (Exact, "a1.b2.c3.d4.e55"),
            (Prefix, ""),
        ];
        // After the specification's chapter on pattern-based registrations. A prefix is one of letters, not of components.
        check(&patterns, "a1.b2.c3.d4.e55", &[6, 5, 4, 7]);
        check(&patterns, "a1.b2.c3.d98.e74", &[4, 7]);
        check(&patterns, "a1.b2.c55.d4.e5", &[7, 1]);
        check(&patterns, "a1.b2.c33.d4.e5", &[4, 7, 1]);
        check(&patterns, "a1.b2.c88.d4.e5.f6.g7", &[7, 2]);
        check(&patterns, "a1.b2.c33.d4.e5.f6.g7", &[4, 7, 3, 2]);
        check(&patterns, "a2.b2.c2", &[7]);
        check(&[(Wildcard, ".b"), (Wildcard, "a."), (Wildcard, ".")], "a.b", &[1, 0, 2]);
        check(&[(Prefix, "é"), (Prefix, "x")], "éa", &[0]);
    }
}
