//! A script: the statements of a case, and between them what happens to the machine, as a file of `queries/differential` has it.
//!
//! ```text
//!  --! machine SEED ROWS MILLIS WORKERS      of its seed; so many rows a step at most, time between checkpoints, workers
//!  --! turns N                               so many turns for whoever wants one
//!  --! kill N, --! lose-power N, --! restart N       the process ends like that, and starts with N workers
//!  --! wait N                                so many milliseconds pass
//!  --! batch VIEW                            the statement behind it is what the view is compared with, instead of its own query
//!  --! catch-up                              the jobs take all that there is
//!  --! compare                               the same, and each view is compared with its query as a batch
//!  --! finish                                the same, and the streams end first
//! ```

/// What stands before what is not SQL.
const SIGN: &str = "--! ";

const BATCH: &str = "batch ";

#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    Machine {
        seed: u64,
        step_rows: usize,
        checkpoint_millis: u64,
        workers: usize,
    },
    Sql(String),
    /// What a view is compared with, beside others.
    Batch {
        view: String,
        sql: String,
    },
    Insert {
        stream: String,
        rows: String,
    },
    Turns(usize),
    Kill(usize),
    LosePower(usize),
    Restart(usize),
    Wait(u64),
    CatchUp,
    Compare,
    Finish,
}

/// The text of a script.
pub fn write(events: &[Event]) -> String {
    let line = |event: &Event| match event {
        Event::Machine { seed, step_rows, checkpoint_millis, workers } => {
            format!("{SIGN}machine {seed} {step_rows} {checkpoint_millis} {workers}\n")
        }
        Event::Sql(sql) => format!("{sql};\n"),
        Event::Batch { view, sql } => format!("{SIGN}{BATCH}{view}\n{sql};\n"),
        Event::Insert { stream, rows } => format!("INSERT INTO {stream} VALUES {rows};\n"),
        Event::Turns(turns) => format!("{SIGN}turns {turns}\n"),
        Event::Kill(workers) => format!("{SIGN}kill {workers}\n"),
        Event::LosePower(workers) => format!("{SIGN}lose-power {workers}\n"),
        Event::Restart(workers) => format!("{SIGN}restart {workers}\n"),
        Event::Wait(millis) => format!("{SIGN}wait {millis}\n"),
        Event::CatchUp => format!("{SIGN}catch-up\n"),
        Event::Compare => format!("{SIGN}compare\n"),
        Event::Finish => format!("{SIGN}finish\n"),
    };
    events.iter().map(line).collect()
}

/// Reads a script. A line that begins with `--` and no more is a comment; a statement ends with `;` at the end of a line.
pub fn read(text: &str) -> Vec<Event> {
    let (mut events, mut statement, mut compared) = (Vec::new(), String::new(), None);
    for line in text.lines() {
        if let Some(view) = line.strip_prefix(SIGN).and_then(|happens| happens.strip_prefix(BATCH)) {
            compared = Some(view.to_owned());
        } else if let Some(happens) = line.strip_prefix(SIGN) {
            events.push(happening(happens));
        } else if !line.starts_with("--") {
            statement.push_str(line.trim());
            statement.push(' ');
            if let Some(whole) = statement.trim().strip_suffix(';') {
                let insert = whole.strip_prefix("INSERT INTO ").and_then(|rest| rest.split_once(" VALUES "));
                events.push(match (compared.take(), insert) {
                    (Some(view), _) => Event::Batch { view, sql: whole.to_owned() },
                    (None, Some((stream, rows))) => {
                        Event::Insert { stream: stream.to_owned(), rows: rows.to_owned() }
                    }
                    (None, None) => Event::Sql(whole.to_owned()),
                });
                statement.clear();
            }
        }
    }
    assert!(statement.trim().is_empty(), "a statement is open: {statement}");
    events
}

fn happening(text: &str) -> Event {
    let words: Vec<&str> = text.split_whitespace().collect();
    let number = |nth: usize| -> u64 {
        words
            .get(nth)
            .and_then(|word| word.parse().ok())
            .unwrap_or_else(|| panic!("a number is missing: {text}"))
    };
    match words[0] {
        "machine" => Event::Machine {
            seed: number(1),
            step_rows: number(2) as usize,
            checkpoint_millis: number(3),
            workers: number(4) as usize,
        },
        "turns" => Event::Turns(number(1) as usize),
        "kill" => Event::Kill(number(1) as usize),
        "lose-power" => Event::LosePower(number(1) as usize),
        "restart" => Event::Restart(number(1) as usize),
        "wait" => Event::Wait(number(1)),
        "catch-up" => Event::CatchUp,
        "compare" => Event::Compare,
        "finish" => Event::Finish,
        other => panic!("nothing happens that is called {other}"),
    }
}

#[test]
fn a_script_is_read_as_it_was_written() {
    let events = vec![
        Event::Machine { seed: 7, step_rows: 3, checkpoint_millis: 20, workers: 2 },
        Event::Sql("CREATE STREAM s0 (k STRING)".to_owned()),
        Event::Batch { view: "result".to_owned(), sql: "SELECT k FROM s0 WHERE k = 'INSERT'".to_owned() },
        Event::Insert { stream: "s0".to_owned(), rows: "('a'), (NULL)".to_owned() },
        Event::Turns(4),
        Event::Kill(3),
        Event::LosePower(1),
        Event::Restart(2),
        Event::Wait(100),
        Event::CatchUp,
        Event::Compare,
        Event::Finish,
    ];
    assert_eq!(read(&write(&events)), events);
}
