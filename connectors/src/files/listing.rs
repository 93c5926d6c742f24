//! Which files a path means.

use std::io;
use std::path::{Path, PathBuf};

use headwater_core::world::Disk;

/// A file to be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Found {
    /// The name under which its mark is kept.
    pub(super) name: String,
    /// Where it is.
    pub(super) path: PathBuf,
}

/// The files that a path means, in the order of their names: a file, the files of a directory, or those that fit a pattern in the
/// last part of the path. Names that begin with a dot or an underscore are left out, unless named in full.
pub(super) fn list(disk: &dyn Disk, path: &Path) -> io::Result<Vec<Found>> {
    let last = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if last.contains(['*', '?']) {
        let dir = path.parent().unwrap_or(Path::new("."));
        return files_of(disk, dir, |name| fits(last.as_bytes(), name.as_bytes()));
    }
    match disk.list(path) {
        Ok(_) => files_of(disk, path, |_| true),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            Ok(vec![Found { name: last, path: path.to_owned() }])
        }
        Err(error) => Err(error),
    }
}

fn files_of(disk: &dyn Disk, dir: &Path, wanted: impl Fn(&str) -> bool) -> io::Result<Vec<Found>> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let entries = disk.list(dir)?.into_iter();
    let shown =
        entries.filter(|entry| !entry.is_dir && !entry.name.starts_with(['.', '_']) && wanted(&entry.name));
    Ok(shown.map(|entry| Found { path: dir.join(&entry.name), name: entry.name }).collect())
}

/// Whether a name fits a pattern, in which `*` is any text and `?` any byte.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=name.len()).any(|skip| fits(rest, &name[skip..])),
        ([b'?', pattern @ ..], [_, name @ ..]) => fits(pattern, name),
        ([p, pattern @ ..], [n, name @ ..]) if p == n => fits(pattern, name),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, expect) in [
            ("*.csv", "a.csv", true),
            ("*.csv", "a.csv.gz", false),
            ("a?c*", "abcd", true),
            ("a?c*", "ac", false),
            ("*", "", true),
            ("a*b*c", "aXbYbZc", true),
        ] {
            assert_eq!(fits(pattern.as_bytes(), name.as_bytes()), expect, "{pattern} {name}");
        }
    }
}
