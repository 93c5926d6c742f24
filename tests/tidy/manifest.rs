//! Every crate is named, licensed and linted alike.

use crate::tree::File;

/// Complains about a manifest that differs from the others.
pub fn agrees(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files.iter().filter(|file| file.name() == "Cargo.toml") {
        let manifest = file.toml();
        let mut complain = |what: &str| complaints.push(format!("{}: {what}", file.path));
        let at = |path: &[&str]| {
            let (first, rest) = path.split_first()?;
            rest.iter().try_fold(manifest.get(*first)?, |value, part| value.get(part))
        };
        if at(&["workspace"]).is_some() {
            if at(&["workspace", "package", "license"]).and_then(|license| license.as_str())
                != Some("Apache-2.0")
            {
                complain("the license must be Apache-2.0");
            }
            continue;
        }
        if !at(&["package", "name"])
            .and_then(|n| n.as_str())
            .is_some_and(|name| name.starts_with("headwater-"))
        {
            complain("the name must start with headwater-");
        }
        let is_true = |path| at(path).and_then(|value| value.as_bool()) == Some(true);
        if !is_true(&["package", "license", "workspace"]) {
            complain("say license.workspace = true");
        }
        if !is_true(&["lints", "workspace"]) {
            complain("say [lints] workspace = true");
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::tree;

    #[test]
    fn a_manifest_of_another_kind_is_found() {
        let files = tree(&[
            ("Cargo.toml", "[workspace.package]\nlicense = 'MIT'"),
            ("a/Cargo.toml", "[package]\nname = 'a'\nlicense = 'MIT'"),
            (
                "b/Cargo.toml",
                "[package]\nname = 'headwater-b'\nlicense.workspace = true\n[lints]\nworkspace = true",
            ),
        ]);
        assert_eq!(
            agrees(&files),
            [
                "Cargo.toml: the license must be Apache-2.0",
                "a/Cargo.toml: the name must start with headwater-",
                "a/Cargo.toml: say license.workspace = true",
                "a/Cargo.toml: say [lints] workspace = true",
            ]
        );
    }
}
