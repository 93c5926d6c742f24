//! Words that do not stay in a finished source, and names that say nothing.

use crate::tree::File;

/// In two parts, so that this file does not contain them.
const BANNED: &[[&str; 2]] = &[
    ["to", "do!"],
    ["unimple", "mented!"],
    ["db", "g!("],
    ["FIX", "ME"],
    ["XX", "X"],
    ["HA", "CK"],
    ["for ", "now"],
    ["#[igno", "re"],
];

/// What a module must not be called: it says nothing about what is in it.
const EMPTY_NAMES: &[&str] = &["util", "utils", "common", "helper", "helpers", "misc"];

/// Complains about banned words and empty names.
pub fn check(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let parts = file.path.trim_end_matches(".rs").split('/');
        for part in parts.filter(|part| EMPTY_NAMES.contains(part)) {
            complaints.push(format!("{}: {part} says nothing about what is in it", file.path));
        }
        for (number, line) in file.lines() {
            for word in BANNED.iter().map(|parts| parts.concat()).filter(|word| holds(line, word)) {
                complaints.push(format!("{}:{number}: {word}", file.path));
            }
        }
    }
    complaints
}

/// Whether a line holds a word and not just a part of a longer one.
fn holds(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let joins = |c: char| c.is_alphanumeric() || c == '_';
        let before = line[..at].chars().next_back().is_some_and(joins);
        let after = word.ends_with(joins) && line[at + word.len()..].chars().next().is_some_and(joins);
        !before && !after
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::tree;

    #[test]
    fn every_banned_word_is_found_and_longer_ones_are_not() {
        for word in BANNED.iter().map(|parts| parts.concat()) {
            let text = format!("//! x\n fn f() {{ {word} }}");
            assert_eq!(check(&tree(&[("a.rs", &text)])), [format!("a.rs:2: {word}")]);
            assert!(check(&tree(&[("a.rs", &format!("x{word}")), ("a.md", &word)])).is_empty());
        }
        assert!(check(&tree(&[("a.rs", "wait for nowhere")])).is_empty());
    }

    #[test]
    fn empty_names_are_found() {
        let files = tree(&[("a/utils/mod.rs", ""), ("a/common.rs", ""), ("a/commons.rs", "")]);
        assert_eq!(check(&files).len(), 2);
    }
}
