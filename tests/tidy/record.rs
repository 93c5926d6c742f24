//! The track record of `tests/README.md` names code that is there: what has moved can no longer be taken out.

use crate::tree::File;

const PAGE: &str = "tests/README.md";
const COLUMN: &str = "Fix taken out";

/// Complains about files and names of code in the column of fixes that no Rust file of the tree has.
pub fn names(files: &[File]) -> Vec<String> {
    let Some(page) = files.iter().find(|file| file.path == PAGE) else {
        return vec![format!("there is no {PAGE}")];
    };
    let mut lines = page.lines();
    let Some(column) = lines.find_map(|(_, line)| cells(line).position(|cell| cell == COLUMN)) else {
        return vec![format!("{PAGE}: no table has a column {COLUMN}")];
    };
    let rust: Vec<&File> = files.iter().filter(|file| file.is_rust()).collect();
    let rows = lines.take_while(|(_, line)| line.starts_with('|'));
    let named = rows.flat_map(|(number, line)| {
        let cell = cells(line).nth(column).unwrap_or_default();
        // Every other part stands between backticks.
        cell.split('`').skip(1).step_by(2).map(move |code| (number, code))
    });
    named
        .filter(|(_, code)| !rust.iter().any(|file| has(file, code)))
        .map(|(number, code)| {
            format!("{PAGE}:{number}: no Rust file has `{code}`: say where that is now, or take the row out")
        })
        .collect()
}

/// The cells of a line of a table.
fn cells(line: &str) -> impl Iterator<Item = &str> {
    line.split('|').map(str::trim)
}

/// Whether a file is the one that is named, or holds all names of a piece of code.
fn has(file: &File, code: &str) -> bool {
    if code.ends_with(".rs") {
        return file.path == code || file.path.ends_with(&format!("/{code}"));
    }
    let is_of_name = |c: char| c.is_alphanumeric() || c == '_';
    let is_name = |part: &&str| part.starts_with(|c: char| c.is_alphabetic() || c == '_');
    let mut names = code.split(|c: char| !is_of_name(c)).filter(is_name);
    let holds = |name: &str| file.text.split(|c: char| !is_of_name(c)).any(|word| word == name);
    // Of a function with its type, the file with the type's methods.
    let owner = code.split_once("::").map(|(owner, _)| owner);
    let is_known = owner.is_none_or(|owner| file.text.contains(code) || has_methods_of(file, owner));
    is_known && names.all(holds)
}

/// Whether a file has an `impl` of a type.
fn has_methods_of(file: &File, owner: &str) -> bool {
    file.lines().filter_map(|(_, line)| line.strip_prefix("impl")).any(|line| {
        let of = line.trim_end_matches(" {");
        let of = of.rsplit_once(" for ").map_or(of, |(_, of)| of);
        of.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == owner)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::tree;

    const HEAD: &str = "| Bug | Fix taken out | Command |\n|---|---|---|\n";

    #[test]
    fn what_has_moved_is_found() {
        let rows = "| `never` | `step` out of `Quiet::step` in `job/quiet.rs` | `nowhere` |\n\
                    | b | `> journal.begins()` for `> 0`; `Vec::new` | c |\n\
                    | b | `quiet_step`, `Work::pull`, `begin` | c |\n\
                    | b | `driver.rs` | c |\n\n\
                    `beyond_the_table`\n";
        let page = format!("`before_it`\n\n{HEAD}{rows}");
        let files = tree(&[
            (PAGE, &page),
            ("a/job/quiet.rs", "impl Quiet {\n    fn step() { journal.begins(); Vec::new(); }\n}"),
            ("a/job/not_driver.rs", "impl Pull for Poller {\n    fn pull(work: Work) { quiet_steps(); }\n}"),
            ("a/b.md", "quiet_step"),
        ]);
        let line = |number: u8, code| {
            format!("{PAGE}:{number}: no Rust file has `{code}`: say where that is now, or take the row out")
        };
        assert_eq!(
            names(&files),
            [line(7, "quiet_step"), line(7, "Work::pull"), line(7, "begin"), line(8, "driver.rs")]
        );
    }

    #[test]
    fn a_page_without_the_table_is_found() {
        assert_eq!(names(&tree(&[])), [format!("there is no {PAGE}")]);
        let page = HEAD.replace(COLUMN, "Fix");
        assert_eq!(names(&tree(&[(PAGE, &page)])), [format!("{PAGE}: no table has a column {COLUMN}")]);
    }
}
