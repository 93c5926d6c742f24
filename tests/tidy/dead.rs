//! Every Rust file is reached from a target of Cargo through `mod` declarations.

use std::collections::{BTreeMap, BTreeSet};

use crate::tree::File;

/// Complains about Rust files that nothing compiles.
pub fn check(files: &[File]) -> Vec<String> {
    let by_path: BTreeMap<&str, &File> =
        files.iter().filter(|file| file.is_rust()).map(|file| (file.path.as_str(), file)).collect();
    let mut todo: Vec<(String, bool)> = files.iter().flat_map(|file| roots(file, &by_path)).collect();
    let mut alive = BTreeSet::new();
    while let Some((path, is_root)) = todo.pop() {
        if let Some(file) = by_path.get(path.as_str())
            && alive.insert(path)
        {
            todo.extend(declared(file, is_root).into_iter().map(|path| (path, false)));
        }
    }
    by_path
        .keys()
        .filter(|path| !alive.contains(**path))
        .map(|path| format!("{path}: no `mod` declaration and no target leads here"))
        .collect()
}

/// The files that Cargo compiles for a manifest.
fn roots(file: &File, by_path: &BTreeMap<&str, &File>) -> Vec<(String, bool)> {
    if file.name() != "Cargo.toml" {
        return Vec::new();
    }
    let manifest = file.toml();
    let prefix = if file.folder().is_empty() { String::new() } else { format!("{}/", file.folder()) };
    let mut roots: Vec<String> =
        ["src/lib.rs", "src/main.rs", "build.rs"].iter().map(|path| format!("{prefix}{path}")).collect();
    for kind in ["lib", "bin", "test", "bench", "example"] {
        let targets = match manifest.get(kind) {
            Some(toml::Value::Array(targets)) => targets.as_slice(),
            Some(target) => std::slice::from_ref(target),
            None => &[],
        };
        roots.extend(
            targets.iter().filter_map(|target| Some(format!("{prefix}{}", target.get("path")?.as_str()?))),
        );
    }
    // What Cargo finds by itself: a file of these folders, or main.rs of a folder in them.
    for (folder, switch) in [
        ("src/bin", "autobins"),
        ("tests", "autotests"),
        ("benches", "autobenches"),
        ("examples", "autoexamples"),
    ] {
        let off = manifest.get("package").and_then(|package| package.get(switch)?.as_bool()) == Some(false);
        let folder = format!("{prefix}{folder}/");
        roots.extend(by_path.keys().filter(|_| !off).filter_map(|path| {
            let rest = path.strip_prefix(&folder)?;
            let is_target =
                !rest.contains('/') || (rest.matches('/').count() == 1 && rest.ends_with("/main.rs"));
            is_target.then(|| (*path).to_owned())
        }));
    }
    roots.into_iter().map(|root| (root, true)).collect()
}

/// The paths at which the modules that a file declares may lie.
fn declared(file: &File, is_root: bool) -> Vec<String> {
    let folder = if is_root || file.name() == "mod.rs" {
        file.folder().to_owned()
    } else {
        file.path.trim_end_matches(".rs").to_owned()
    };
    let mut declared = Vec::new();
    let mut given = None;
    for line in file.text.lines().map(str::trim) {
        if let Some(path) = line.strip_prefix("#[path = \"").and_then(|rest| rest.strip_suffix("\"]")) {
            given = Some(path);
        } else if let Some(name) = module_name(line) {
            match given.take() {
                Some(path) => declared.push(format!("{}/{path}", file.folder())),
                None => {
                    declared.push(format!("{folder}/{name}.rs"));
                    declared.push(format!("{folder}/{name}/mod.rs"));
                }
            }
        }
    }
    declared
}

/// The name in `mod name;`, whatever its visibility.
fn module_name(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("pub").map_or(line, |rest| match rest.strip_prefix('(') {
        Some(scope) => scope.split_once(')').map_or("", |(_, rest)| rest),
        None => rest,
    });
    rest.trim_start().strip_prefix("mod ")?.strip_suffix(';')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::tree;

    #[test]
    fn a_file_that_nothing_declares_is_found() {
        let files = tree(&[
            ("a/Cargo.toml", "[package]\nautotests = false\n[[test]]\npath = 'odd/main.rs'"),
            (
                "a/src/lib.rs",
                "mod one;\npub(crate) mod two;\n#[path = \"other.rs\"]\nmod three;\nmod inline { }",
            ),
            ("a/src/one.rs", "pub mod inner;"),
            ("a/src/one/inner.rs", ""),
            ("a/src/two/mod.rs", "pub mod inner;"),
            ("a/src/two/inner.rs", ""),
            ("a/src/other.rs", ""),
            ("a/src/three.rs", ""),
            ("a/src/inner.rs", ""),
            ("a/odd/main.rs", "mod beside;"),
            ("a/odd/beside.rs", ""),
            ("a/tests/lost.rs", ""),
            ("b/Cargo.toml", "[package]"),
            ("b/tests/found.rs", ""),
            ("b/benches/found/main.rs", ""),
            ("b/benches/found/lost.rs", ""),
        ]);
        let dead: Vec<String> =
            check(&files).into_iter().filter_map(|line| Some(line.split_once(':')?.0.to_owned())).collect();
        assert_eq!(dead, ["a/src/inner.rs", "a/src/three.rs", "a/tests/lost.rs", "b/benches/found/lost.rs"]);
    }
}
