//! The files of the project, as a list of paths and texts.

use std::fs;
use std::path::Path;

/// A text file. Its path is relative to the root of the project, with `/` between the parts.
pub struct File {
    pub path: String,
    pub text: String,
}

impl File {
    /// The last part of the path.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// The folder, without a slash at its end; empty at the root.
    pub fn folder(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// The file as TOML.
    pub fn toml(&self) -> toml::Table {
        self.text.parse().unwrap_or_else(|error| panic!("{}: {error}", self.path))
    }

    /// The lines, numbered from 1.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines())
    }
}

/// All text files of this project that git would not ignore.
pub fn read() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the crate lies in tests");
    let ignored = fs::read_to_string(root.join(".gitignore")).expect("there is a .gitignore");
    let mut files = Vec::new();
    walk(root, "", &ignored.lines().collect::<Vec<_>>(), &mut files);
    assert!(files.iter().any(|file| file.path == "Cargo.lock"), "{} is not the project", root.display());
    files
}

fn walk(root: &Path, folder: &str, ignored: &[&str], files: &mut Vec<File>) {
    let entries = fs::read_dir(root.join(folder)).expect("a folder of the project can be read");
    let mut entries: Vec<_> = entries.map(|entry| entry.expect("an entry can be read")).collect();
    entries.sort_by_key(|entry| entry.file_name());
    for entry in entries {
        let name = entry.file_name().into_string().expect("names are UTF-8");
        let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
        let is_dir = entry.file_type().expect("an entry has a type").is_dir();
        if name == ".git" || is_ignored(&path, is_dir, ignored) {
            continue;
        }
        if is_dir {
            walk(root, &path, ignored, files);
        } else if let Ok(text) = fs::read_to_string(entry.path()) {
            files.push(File { path, text });
        }
    }
}

/// Whether a pattern of .gitignore takes a path out: `name/`, `*.ext`, `/at/the/root` or `name`.
fn is_ignored(path: &str, is_dir: bool, patterns: &[&str]) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    patterns.iter().filter(|pattern| !pattern.is_empty() && !pattern.starts_with('#')).any(|pattern| {
        let (pattern, fits) = match pattern.strip_suffix('/') {
            Some(dir) => (dir, is_dir),
            None => (*pattern, true),
        };
        fits && match (pattern.strip_prefix('/'), pattern.strip_prefix('*')) {
            (Some(rooted), _) => path == rooted,
            (None, Some(ending)) => name.ends_with(ending),
            (None, None) => name == pattern,
        }
    })
}

/// A tree for the test of a rule.
#[cfg(test)]
pub fn tree(files: &[(&str, &str)]) -> Vec<File> {
    files.iter().map(|&(path, text)| File { path: path.to_owned(), text: text.to_owned() }).collect()
}

#[test]
fn patterns_of_gitignore_are_understood() {
    let ignored =
        |path, is_dir| is_ignored(path, is_dir, &["# a comment", "", "target/", "*.profraw", "/data"]);
    assert!(ignored("target", true) && ignored("a/target", true) && ignored("a/b.profraw", false));
    assert!(ignored("data", true) && !ignored("fixtures/data", true));
    assert!(!ignored("target", false) && !ignored("src/main.rs", false));
}
