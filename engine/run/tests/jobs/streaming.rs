//! The queries of `queries/streaming`, each twice: straight, and with kills and restarts at other numbers of workers in between. Both give
//! what `queries/streaming/expected` holds, which SQLite has computed (`tests/oracle/streaming.py`).

use std::path::{Path, PathBuf};
use std::time::Duration;

use headwater_core::world::sim::SimRandom;

use crate::machine::Machine;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../queries/streaming")
}

/// The statements of a file, without comments.
fn statements(text: &str) -> Vec<String> {
    let lines = text.lines().map(|line| line.split("--").next().unwrap_or_default());
    let text = lines.collect::<Vec<_>>().join("\n");
    text.split(';').map(|statement| statement.trim().to_owned()).filter(|one| !one.is_empty()).collect()
}

/// What is done between two statements that append.
type Between<'a> = &'a dyn Fn(&mut Machine);

/// Runs a file, ends its streams, and gives the rows of each relation that something is expected of.
fn run(file: &Path, relations: &[String], between: Between<'_>) -> Vec<(String, Vec<String>)> {
    let mut machine = Machine::new(7);
    machine.step_rows_max = 3;
    machine.checkpoint_interval = Duration::from_millis(1);
    machine.restart(2);
    let mut read = Vec::new();
    for statement in statements(&std::fs::read_to_string(file).unwrap()) {
        match statement.split_once(" VALUES") {
            Some((into, rows)) if into.starts_with("INSERT INTO") => {
                machine.insert(into.trim_start_matches("INSERT INTO").trim(), &format!("VALUES {rows}"));
                between(&mut machine);
            }
            _ => machine.sql(&statement),
        }
        if let Some(name) =
            statement.strip_prefix("CREATE STREAM ").filter(|_| statement.contains("WATERMARK"))
        {
            read.push(name.split(' ').next().unwrap().to_owned());
        }
    }
    let read: Vec<&str> = read.iter().map(String::as_str).collect();
    machine.catch_up();
    machine.finish_streams(&read);
    let rows = |relation: &String| (relation.clone(), machine.query(&format!("SELECT * FROM {relation}")));
    let rows = relations.iter().map(rows).collect();
    machine.engine().close_here().unwrap();
    rows
}

/// The expected rows as the machine gives them.
fn expected(relation: &str) -> Vec<String> {
    let text = std::fs::read_to_string(folder().join(format!("expected/{relation}.csv"))).unwrap();
    let cell = |cell: &str| if cell.is_empty() { "null".to_owned() } else { cell.to_owned() };
    let mut lines: Vec<String> =
        text.lines().map(|line| line.split(',').map(cell).collect::<Vec<_>>().join(" ")).collect();
    lines.sort();
    lines
}

#[test]
fn every_query_gives_what_is_expected_straight_and_with_kills_in_between() {
    let mut checked = 0;
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder()).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "sql"));
    files.sort();
    for file in &files {
        let text = std::fs::read_to_string(file).unwrap();
        let names = std::fs::read_dir(folder().join("expected")).unwrap();
        let names =
            names.map(|name| name.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned());
        let relations: Vec<String> = names
            .filter(|name| {
                ["STREAM", "VIEW"].iter().any(|kind| {
                    text.contains(&format!("CREATE {kind} {name} "))
                        || text.contains(&format!("MATERIALIZED {kind} {name} "))
                })
            })
            .collect();
        assert!(!relations.is_empty(), "nothing is expected of {}", file.display());
        let straight = run(file, &relations, &|machine| machine.catch_up());
        let random = SimRandom::new(11);
        let killed = run(file, &relations, &|machine| {
            machine.turns(random.index(60));
            let workers = 1 + random.index(4);
            if random.chance(1, 3) { machine.restart(workers) } else { machine.kill(workers) }
        });
        for ((relation, straight), (_, killed)) in straight.iter().zip(&killed) {
            let expected = expected(relation);
            assert_eq!(*straight, expected, "{relation} of {}, straight", file.display());
            assert_eq!(*killed, expected, "{relation} of {}, with kills", file.display());
            checked += 1;
        }
    }
    assert!(checked >= files.len());
}
