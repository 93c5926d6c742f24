//! An error code has one owner and one page of remedy.

use std::collections::{BTreeMap, BTreeSet};

use crate::tree::File;

/// The folder of the pages.
const PAGES: &str = "docs/errors/";

/// Whose the codes are, by their first digit.
const LAYERS: &[(char, &[&str])] = &[
    ('1', &["engine/log"]),
    ('2', &["engine/ingest"]),
    ('3', &["engine/plan", "engine/run"]),
    ('4', &["engine/operators", "engine/run"]),
    ('5', &["connectors", "engine/archive"]),
    ('6', &["engine/serve", "engine/cli"]),
];

/// Complains about codes without a page, pages without a code, codes of two crates and codes of another layer.
pub fn check(files: &[File]) -> Vec<String> {
    let mut owners: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.is_rust() && !file.name().ends_with("tests.rs")) {
        let Some((owner, _)) = file.path.split_once("/src/") else { continue };
        for code in used(&file.text) {
            owners.entry(code).or_default().insert(owner);
        }
    }
    let pages: BTreeMap<&str, &File> = files
        .iter()
        .filter_map(|file| Some((file.path.strip_prefix(PAGES)?.strip_suffix(".md")?, file)))
        .filter(|(name, _)| name.starts_with("HW"))
        .collect();
    let mut complaints = Vec::new();
    for (code, owners) in &owners {
        if !pages.contains_key(code) {
            complaints.push(format!("{code} has no page {PAGES}{code}.md"));
        }
        if owners.len() > 1 {
            complaints.push(format!("{code} is used by several crates: {owners:?}"));
        }
        for owner in owners.iter().filter(|owner| !owns(owner, code)) {
            complaints.push(format!("{code} is used by {owner}: its first digit is another layer's"));
        }
    }
    for (code, page) in pages {
        if !owners.contains_key(code) {
            complaints.push(format!("{} is about a code that nothing uses", page.path));
        }
        if !page.text.starts_with(&format!("# {code}")) {
            complaints.push(format!("{} must start with the heading `# {code}`", page.path));
        }
    }
    complaints
}

fn owns(owner: &str, code: &str) -> bool {
    LAYERS.iter().any(|(digit, owners)| code[2..].starts_with(*digit) && owners.contains(&owner))
}

/// The codes that a source names outside its tests.
fn used(text: &str) -> impl Iterator<Item = &str> {
    let source = text.split("#[cfg(test)]").next().unwrap_or_default();
    let is_code = |part: &&str| {
        part.strip_prefix("HW")
            .is_some_and(|digits| digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit()))
    };
    let lines = source.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.flat_map(|line| line.split('"')).filter(is_code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::tree;

    #[test]
    fn missing_stray_shared_and_foreign_codes_are_found() {
        let one = "Code::new(\"HW1001\")\n\"HW1002\",\n#[cfg(test)]\n\"HW1009\"";
        let two = "Code::new(\"HW2001\")\n// as in {\"HW3001\"}\n\"HW1001\"";
        let files = tree(&[
            ("engine/log/src/error.rs", one),
            ("engine/ingest/src/deep/error.rs", two),
            ("docs/errors/HW1001.md", "# HW1001: locked"),
            ("docs/errors/HW2001.md", "no heading"),
            ("docs/errors/HW2002.md", "# HW2002: stray"),
            ("docs/errors/README.md", "what these are"),
        ]);
        assert_eq!(
            check(&files),
            [
                "HW1001 is used by several crates: {\"engine/ingest\", \"engine/log\"}",
                "HW1001 is used by engine/ingest: its first digit is another layer's",
                "HW1002 has no page docs/errors/HW1002.md",
                "docs/errors/HW2001.md must start with the heading `# HW2001`",
                "docs/errors/HW2002.md is about a code that nothing uses",
            ]
        );
    }
}
