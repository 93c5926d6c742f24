//! Files that can be read in one sitting, lines that can be read at one glance.

use crate::tree::File;

/// The most lines of a Rust file.
const LINES_MAX: usize = 800;
/// The most columns of a line of Rust, what stands in its strings aside: a statement of SQL may be better left whole.
const COLUMNS_MAX: usize = 140;

/// Complains about long files and long lines.
pub fn check(files: &[File]) -> Vec<String> {
    let mut complaints = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let lines = file.text.lines().count();
        if lines > LINES_MAX {
            complaints
                .push(format!("{}: {lines} lines, the most is {LINES_MAX}: two ideas, two files", file.path));
        }
        for (number, line) in file.lines() {
            let columns: usize = line.split('"').step_by(2).map(|code| code.chars().count()).sum();
            if columns > COLUMNS_MAX {
                complaints
                    .push(format!("{}:{number}: {columns} columns, the most is {COLUMNS_MAX}", file.path));
            }
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::tree;

    #[test]
    fn long_files_and_lines_are_found() {
        let (long, wide) = ("\n".repeat(LINES_MAX + 1), format!("\n{}", "ä".repeat(COLUMNS_MAX + 1)));
        let fits = format!("{}\n", "ä".repeat(COLUMNS_MAX)).repeat(LINES_MAX);
        let quoted = format!("check(\"{wide}\");", wide = "ä".repeat(COLUMNS_MAX));
        let files = [
            ("long.rs", &long),
            ("wide.rs", &wide),
            ("fits.rs", &fits),
            ("quoted.rs", &quoted),
            ("a.md", &wide),
        ];
        let files = tree(&files.map(|(path, text)| (path, text.as_str())));
        let complaints = check(&files);
        assert_eq!(complaints.len(), 2, "{complaints:?}");
        assert!(
            complaints[0].starts_with("long.rs: 801 lines")
                && complaints[1].starts_with("wide.rs:2: 141 columns")
        );
    }
}
