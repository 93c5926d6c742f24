//! The cases of `queries/differential`.

use std::path::Path;

use super::life::{Outcome, run};
use super::script::{Event, read};

/// The statements alone: what comes is taken as it comes, and compared at the end.
fn straight(events: &[Event]) -> Vec<Event> {
    let strikes = |event: &&Event| {
        matches!(
            event,
            Event::Turns(_) | Event::Kill(_) | Event::LosePower(_) | Event::Restart(_) | Event::Wait(_)
        )
    };
    events.iter().filter(|event| !strikes(event)).cloned().collect()
}

#[test]
fn every_case_of_a_file_agrees() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../queries/differential");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<_> = files.filter(|file| file.extension().is_some_and(|end| end == "sql")).collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let events = read(&std::fs::read_to_string(&file).unwrap());
        assert!(
            events.iter().any(|event| matches!(event, Event::Compare | Event::Finish)),
            "{}",
            file.display()
        );
        assert_eq!(run(&straight(&events)), Outcome::Agrees, "{}, straight", file.display());
        assert_eq!(run(&events), Outcome::Agrees, "{}", file.display());
    }
}
