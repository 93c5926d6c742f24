//! Which crate may know which: by the arrows in ARCHITECTURE.md, and by what must not be reached through others.

use std::collections::{BTreeMap, BTreeSet};

use crate::tree::File;

/// Where the arrows stand.
const MAP: &str = "ARCHITECTURE.md";

const CORE: &str = "headwater-core";
const DECIDE: &str = "headwater-decide";
const MAPREDUCE: &str = "headwater-mapreduce";
const OBJECTS: &str = "headwater-objects";
const SEQUENCES: &str = "headwater-sequences";
const LOG: &str = "headwater-log";
const ARCHIVE: &str = "headwater-archive";
const OPERATORS: &str = "headwater-operators";
const WASM: &str = "headwater-wasm";
const INGEST: &str = "headwater-ingest";
const PLAN: &str = "headwater-plan";
const CONNECTORS: &str = "headwater-connectors";
const AWS: &str = "headwater-aws";
const DATABASES: &str = "headwater-databases";
const KAFKA: &str = "headwater-kafka";
const MQTT: &str = "headwater-mqtt";
const NET: &str = "headwater-net";
const WAMP: &str = "headwater-wamp";

/// What a crate must not reach, through others either: the log knows nothing of SQL or the network, and so on.
const ABSENT: &[(&str, &[&str])] = &[
    (CORE, &["datafusion", "tokio", "axum"]),
    (DECIDE, &["datafusion", "tokio", LOG]),
    (SEQUENCES, &["datafusion", "arrow", "tokio"]),
    (OBJECTS, &["datafusion", "arrow"]),
    (MAPREDUCE, &["datafusion", LOG]),
    (WASM, &["datafusion", "tokio"]),
    (LOG, &["datafusion", "parquet", "tokio", "axum", "object_store"]),
    (ARCHIVE, &["datafusion", "axum"]),
    (INGEST, &["datafusion", "axum"]),
    (OPERATORS, &[LOG, INGEST, "axum"]),
    (PLAN, &[LOG, INGEST, "axum"]),
    (CONNECTORS, &["datafusion", OPERATORS, PLAN]),
    (AWS, &["datafusion", OPERATORS, PLAN]),
    (DATABASES, &["datafusion", OPERATORS, PLAN]),
    (KAFKA, &["datafusion", OPERATORS, PLAN]),
    (NET, &["datafusion", "axum", LOG]),
    (MQTT, &["datafusion", OPERATORS, PLAN]),
    (WAMP, &["datafusion", OPERATORS, PLAN]),
];

/// Of these there must be one version in the tree, or their types do not fit together.
const ONE_VERSION: &[&str] = &["arrow", "datafusion", "parquet", "object_store"];

/// Complains about a dependency between crates of ours for which there is no arrow, and about an arrow that nobody needs.
pub fn between_crates(files: &[File]) -> Vec<String> {
    let mut unused = arrows(files);
    let mut complaints = Vec::new();
    for file in files.iter().filter(|file| file.name() == "Cargo.toml") {
        let manifest = file.toml();
        let Some(name) = manifest.get("package").and_then(|package| package.get("name")?.as_str()) else {
            continue;
        };
        let needed = manifest.get("dependencies").and_then(|needed| needed.as_table()).into_iter().flatten();
        for (needed, _) in needed.filter(|(needed, _)| needed.starts_with("headwater-")) {
            if !unused.remove(&(needed.clone(), name.to_owned())) {
                complaints.push(format!("{}: {name} must not depend on {needed}", file.path));
            }
        }
    }
    let unused = unused.into_iter();
    complaints.extend(unused.map(|(needed, by)| format!("{MAP}: {by} does not depend on {needed}")));
    complaints
}

/// The arrows, as what is needed and who needs it: a line `core, log ← ingest` has two of them.
fn arrows(files: &[File]) -> BTreeSet<(String, String)> {
    let map = files.iter().find(|file| file.path == MAP).map_or("", |map| &map.text);
    let names = |list: &str| -> Vec<String> {
        list.split(", ").map(|name| format!("headwater-{}", name.trim())).collect()
    };
    let mut arrows = BTreeSet::new();
    for (needed, by) in map.lines().filter_map(|line| line.split_once(" ← ")) {
        for by in names(by) {
            arrows.extend(names(needed).into_iter().map(|needed| (needed, by.clone())));
        }
    }
    arrows
}

/// Complains about what a crate reaches through others.
pub fn reach(files: &[File]) -> Vec<String> {
    let lock = Lock::of(files);
    let mut complaints = Vec::new();
    for (from, absent) in ABSENT {
        let reached = lock.reachable(from);
        complaints.extend(
            absent.iter().filter(|to| reached.contains(*to)).map(|to| format!("{from} must not reach {to}")),
        );
    }
    complaints
}

/// Complains about a second version.
pub fn one_version(files: &[File]) -> Vec<String> {
    let lock = Lock::of(files);
    let versions = |name: &str| lock.packages.iter().filter(|package| package.name == name).count();
    ONE_VERSION
        .iter()
        .filter(|name| versions(name) > 1)
        .map(|name| format!("Cargo.lock: {} versions of {name}", versions(name)))
        .collect()
}

/// What Cargo.lock says.
struct Lock {
    packages: Vec<Package>,
}

struct Package {
    name: String,
    version: String,
    /// As `name`, or `name version` where there are several.
    needs: Vec<String>,
}

impl Lock {
    fn of(files: &[File]) -> Self {
        let lock = files.iter().find(|file| file.path == "Cargo.lock").expect("there is a Cargo.lock").toml();
        let packages = lock["package"].as_array().expect("packages are a list");
        let text = |value: &toml::Value| value.as_str().expect("a name or version is text").to_owned();
        let package = |package: &toml::Value| Package {
            name: text(&package["name"]),
            version: text(&package["version"]),
            needs: package
                .get("dependencies")
                .and_then(|needs| needs.as_array())
                .map_or_else(Vec::new, |needs| needs.iter().map(text).collect()),
        };
        Self { packages: packages.iter().map(package).collect() }
    }

    /// The names of all packages that one needs, directly or not.
    fn reachable(&self, from: &str) -> BTreeSet<&str> {
        let mut by_name: BTreeMap<String, &Package> = BTreeMap::new();
        for package in &self.packages {
            by_name.insert(package.name.clone(), package);
            by_name.insert(format!("{} {}", package.name, package.version), package);
        }
        let mut reached = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut todo = vec![from.to_owned()];
        while let Some(next) = todo.pop() {
            if let Some(package) = by_name.get(&next)
                && seen.insert((&package.name, &package.version))
            {
                reached.insert(package.name.as_str());
                todo.extend(package.needs.iter().cloned());
            }
        }
        reached
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::tree;

    #[test]
    fn a_wrong_arrow_and_an_unused_one_are_found() {
        let files = tree(&[
            ("ARCHITECTURE.md", "core ← log, plan\ncore, log ← run"),
            (
                "a/Cargo.toml",
                "[package]\nname = 'headwater-log'\n[dependencies]\nheadwater-plan.workspace = true",
            ),
            (
                "b/Cargo.toml",
                "[package]\nname = 'headwater-plan'\n[dependencies]\nheadwater-core = '1'\nserde = '1'",
            ),
            (
                "c/Cargo.toml",
                "[package]\nname = 'headwater-run'\n[dependencies]\nheadwater-core = '1'\nheadwater-log = '1'",
            ),
        ]);
        assert_eq!(
            between_crates(&files),
            [
                "a/Cargo.toml: headwater-log must not depend on headwater-plan",
                "ARCHITECTURE.md: headwater-log does not depend on headwater-core",
            ]
        );
    }

    #[test]
    fn a_way_round_and_a_second_version_are_found() {
        let lock = "
            [[package]]\nname = 'headwater-log'\nversion = '0.1.0'\ndependencies = ['sly 1.0.0']
            [[package]]\nname = 'sly'\nversion = '1.0.0'\ndependencies = ['datafusion']
            [[package]]\nname = 'sly'\nversion = '2.0.0'\ndependencies = ['axum']
            [[package]]\nname = 'datafusion'\nversion = '55.0.0'
            [[package]]\nname = 'axum'\nversion = '0.8.0'
            [[package]]\nname = 'arrow'\nversion = '58.0.0'
            [[package]]\nname = 'arrow'\nversion = '59.0.0'";
        let files = tree(&[("Cargo.lock", lock)]);
        assert_eq!(reach(&files), ["headwater-log must not reach datafusion"]);
        assert_eq!(one_version(&files), ["Cargo.lock: 2 versions of arrow"]);
    }
}
