//! What stands where: a module opens with what it is, `mod.rs` only declares and re-exports, and the code map is whole.

use std::collections::BTreeSet;

use crate::tree::File;

/// What `mod.rs` must not define.
const DEFINITIONS: &[&str] = &[
    "fn ",
    "impl ",
    "impl<",
    "struct ",
    "enum ",
    "trait ",
    "const ",
    "static ",
    "macro_rules!",
    "async fn ",
];

/// Complains about modules that do not say what they are and about `mod.rs` files that hold code.
pub fn modules(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        if !file.text.starts_with("//! ") {
            complaints.push(format!("{}: must open with `//! ` and what it is", file.path));
        }
        if file.name() == "mod.rs" {
            // One complaint for each file: what follows is the same mistake.
            for (number, line) in file.lines().filter(|(_, line)| defines(line)).take(1) {
                complaints
                    .push(format!("{}:{number}: mod.rs only declares and re-exports: {line}", file.path));
            }
        }
    }
    complaints
}

/// Complains about folders at the root that the code map does not mention.
pub fn code_map(files: &[File]) -> Vec<String> {
    const MAP: &str = "ARCHITECTURE.md";
    let Some(map) = files.iter().find(|file| file.path == MAP) else {
        return vec![format!("{MAP} is missing")];
    };
    let folders = files.iter().filter_map(|file| Some(file.path.split_once('/')?.0));
    let folders: BTreeSet<&str> = folders.filter(|folder| !folder.starts_with('.')).collect();
    let is_known = |folder: &str| ["/", "`"].iter().any(|end| map.text.contains(&format!("`{folder}{end}")));
    let unknown = folders.into_iter().filter(|folder| !is_known(folder));
    unknown.map(|folder| format!("{MAP} does not mention `{folder}`")).collect()
}

fn defines(line: &str) -> bool {
    let line = line.trim_start();
    let line = line.strip_prefix("pub").map_or(line, |rest| match rest.strip_prefix('(') {
        Some(scope) => scope.split_once(')').map_or("", |(_, rest)| rest),
        None => rest,
    });
    DEFINITIONS.iter().any(|definition| line.trim_start().starts_with(definition))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::tree;

    #[test]
    fn folders_that_the_code_map_forgets_are_found() {
        let files = tree(&[
            ("ARCHITECTURE.md", "- `a/x`, `c`"),
            ("a/x", ""),
            ("c/z", ""),
            ("b/y", ""),
            (".ci/run", ""),
        ]);
        assert_eq!(code_map(&files), ["ARCHITECTURE.md does not mention `b`"]);
        assert_eq!(code_map(&files[1..]), ["ARCHITECTURE.md is missing"]);
    }

    #[test]
    fn definitions_are_told_from_declarations() {
        for line in ["pub(crate) fn f() {}", "impl<T> X for T {}", "    pub const A: u8 = 1;", "enum E {"] {
            assert!(defines(line), "{line}");
        }
        for line in [
            "pub mod a;",
            "pub use a::fn_like;",
            "/// impl in a comment",
            "#[cfg(test)]",
            "pub(super) use x::Y;",
        ] {
            assert!(!defines(line), "{line}");
        }
    }

    #[test]
    fn silent_modules_and_code_in_mod_files_are_found() {
        let files = tree(&[
            (
                "a/mod.rs",
                "//! A.\n\nmod b;\npub use b::B;\n/// fn in a comment\npub(crate) fn f() {}\nimpl<T> X for T {}",
            ),
            ("a/b.rs", "pub fn fine() {}"),
            ("a/lib.rs", "//! Fine.\npub fn fine() {}"),
        ]);
        assert_eq!(
            modules(&files),
            [
                "a/mod.rs:6: mod.rs only declares and re-exports: pub(crate) fn f() {}",
                "a/b.rs: must open with `//! ` and what it is",
            ]
        );
    }
}
