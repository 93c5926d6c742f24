//! Nothing says where it was once checked out.

use crate::tree::File;

/// In two parts, so that this file does not contain them.
const MACHINE_PATHS: &[[&str; 2]] = &[["/ro", "ot"], ["/wo", "rk"], ["/ho", "me"], ["/Use", "rs"]];

/// Complains about absolute paths of one machine.
pub fn check(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files {
        for (number, line) in file.lines() {
            for path in MACHINE_PATHS.iter().map(|parts| parts.concat()).filter(|path| holds(line, path)) {
                complaints.push(format!("{}:{number}: a path of one machine: {path}", file.path));
            }
        }
    }
    complaints
}

/// Whether a line holds an absolute path that starts like this.
fn holds(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        // A part of a longer path or of an address is none.
        let inside =
            line[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || "_-./}>".contains(c));
        let longer =
            line[at + path.len()..].chars().next().is_some_and(|c| c.is_alphanumeric() || "_-".contains(c));
        !inside && !longer
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::tree;

    #[test]
    fn machine_paths_are_found_in_any_text() {
        for path in MACHINE_PATHS.iter().map(|parts| parts.concat()) {
            let bad = format!("# a\nrun `{path}/x/y` now");
            assert_eq!(check(&tree(&[("a.md", &bad)])), [format!("a.md:2: a path of one machine: {path}")]);
            let fine = format!("engine{path}/x and {path}er/x and http://host{path}");
            assert!(check(&tree(&[("a.md", &fine)])).is_empty());
        }
    }
}
