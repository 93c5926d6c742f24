//! Runs a script.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use headwater_run::RunError;

use super::landmarks::{self, Mutant};
use super::script::Event;
use crate::machine::Machine;

/// What came of a script.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Agrees,
    /// The query does not run as a stream, and the engine said so.
    Refused(String),
    Wrong(Fault, String),
}

/// What is wrong; a smaller case shows the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A statement that should be accepted or refused is neither.
    Statement,
    /// The same query as a batch.
    Batch,
    /// A job has failed, or does not come to rest.
    Job,
    /// The view holds something else than the batch gives.
    Rows,
    Panic,
}

/// SQL that does not run as a stream: what may be said of a query that is made up.
const REFUSED: &str = "HW3011";

/// Runs a script to its end, or to the first thing that is wrong.
pub fn run(events: &[Event]) -> Outcome {
    run_and_look(events, &[]).0
}

/// The same, and what was met on the way: of these mutants those that give something else.
pub fn run_and_look(events: &[Event], mutants: &[Mutant]) -> (Outcome, BTreeSet<&'static str>) {
    let met = RefCell::new(BTreeSet::new());
    let run = || {
        let mut life = Life::default();
        let all = events.iter().try_for_each(|event| life.happens(event));
        met.borrow_mut().extend(life.met.iter());
        let looked = all.map(|()| met.borrow_mut().extend(life.look(mutants)));
        match looked.and_then(|()| life.close()) {
            Ok(()) => Outcome::Agrees,
            Err(outcome) => outcome,
        }
    };
    let outcome = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Outcome::Wrong(Fault::Panic, text.unwrap_or_default())
    });
    (outcome, met.into_inner())
}

/// What a view is compared with.
#[derive(Clone)]
struct View {
    /// Its own query.
    query: String,
    /// What is there instead.
    batches: Vec<String>,
}

#[derive(Default)]
struct Life {
    machine: Option<Machine>,
    views: BTreeMap<String, View>,
    /// The streams that end.
    streams: Vec<String>,
    met: BTreeSet<&'static str>,
    workers: usize,
    rows: usize,
}

impl Life {
    fn machine(&mut self) -> &mut Machine {
        self.machine.as_mut().expect("a script begins with the machine")
    }

    fn happens(&mut self, event: &Event) -> Result<(), Outcome> {
        match event {
            Event::Machine { seed, step_rows, checkpoint_millis, workers } => {
                let mut machine = Machine::new(*seed);
                machine.step_rows_max = *step_rows;
                machine.checkpoint_interval = Duration::from_millis(*checkpoint_millis);
                if *seed % 2 == 1 {
                    machine.use_threads();
                }
                machine.restart(*workers);
                self.machine = Some(machine);
                self.workers = *workers;
            }
            Event::Sql(sql) => self.define(sql)?,
            Event::Batch { view, sql } => match self.views.get_mut(view) {
                Some(view) => view.batches.push(sql.clone()),
                None => panic!("there is no view {view} to compare with a batch"),
            },
            Event::Insert { stream, rows } => {
                self.rows += 1;
                self.machine().insert(stream, &format!("VALUES {rows}"));
            }
            Event::Turns(turns) => self.machine().turns(*turns),
            Event::Kill(workers) => {
                self.note_start(landmarks::KILL, *workers);
                self.machine().kill(*workers);
            }
            Event::LosePower(workers) => {
                self.note_start(landmarks::LOSS_OF_POWER, *workers);
                self.machine().lose_power(*workers);
            }
            Event::Restart(workers) => {
                self.note_start(landmarks::RESTART, *workers);
                self.machine().restart(*workers);
            }
            Event::Wait(millis) => self.machine().sim.clock().advance(Duration::from_millis(*millis)),
            Event::CatchUp => self.catch_up()?,
            Event::Compare => {
                self.catch_up()?;
                self.compare()?;
            }
            Event::Finish => {
                let streams: Vec<String> = self.streams.clone();
                let streams: Vec<&str> = streams.iter().map(String::as_str).collect();
                self.catch_up()?;
                self.machine().finish_streams(&streams);
                self.compare()?;
            }
        }
        Ok(())
    }

    fn define(&mut self, sql: &str) -> Result<(), Outcome> {
        if let Err(error) = self.machine().engine().define_here(sql) {
            return Err(said_of(&error, sql));
        }
        if let Some(rest) = sql.strip_prefix("CREATE STREAM ") {
            self.streams.extend(rest.split(' ').next().map(str::to_owned));
        }
        let view = sql.strip_prefix("CREATE MATERIALIZED VIEW ").and_then(|rest| rest.split_once(" AS "));
        if let Some((name, query)) = view {
            self.views.insert(name.to_owned(), View { query: query.to_owned(), batches: Vec::new() });
        }
        Ok(())
    }

    /// The process ends, if there was something for it to do.
    fn note_start(&mut self, how: &'static str, workers: usize) {
        if self.rows > 0 {
            self.met.insert(how);
            self.met.extend((workers != self.workers).then_some(landmarks::OTHER_WORKERS));
        }
        self.workers = workers;
    }

    fn catch_up(&mut self) -> Result<(), Outcome> {
        let (jobs, views) = (self.machine().engine().jobs().len(), self.views.len());
        if jobs < views {
            return Err(Outcome::Wrong(Fault::Job, format!("{jobs} of {views} jobs have started")));
        }
        self.machine().try_catch_up().map_err(|error| Outcome::Wrong(Fault::Job, error))?;
        let on_disk = self.machine().engine().jobs().iter().any(|job| job.state_spilled_bytes > 0);
        self.met.extend(on_disk.then_some(landmarks::STATE_ON_DISK));
        Ok(())
    }

    fn compare(&mut self) -> Result<(), Outcome> {
        for (view, View { query, batches }) in self.views.clone() {
            for batch in if batches.is_empty() { vec![query] } else { batches } {
                let wrong = |error: RunError| Outcome::Wrong(Fault::Batch, format!("{error}: {batch}"));
                let found = self.machine().try_query(&format!("SELECT * FROM {view}")).map_err(wrong)?;
                let expected = self.machine().try_query(&batch).map_err(wrong)?;
                if found != expected {
                    let difference = difference(&view, &found, &expected);
                    return Err(Outcome::Wrong(Fault::Rows, format!("{difference}\n  batch: {batch}")));
                }
            }
        }
        Ok(())
    }

    /// What can be said of the rows at the end.
    fn look(&mut self, mutants: &[Mutant]) -> Vec<&'static str> {
        let machine = self.machine();
        let mut met = Vec::new();
        if let Ok(info) = machine.log().stream_named("result") {
            let changes = info.spec.schema.fields().last().is_some_and(|field| field.name() == "_weight");
            let is_taken_back = changes && machine.rows("result").iter().any(|row| row.ends_with(" -1"));
            met.extend(is_taken_back.then_some(landmarks::RETRACTION));
        }
        let late = machine.rows("system.late_rows");
        met.extend(late.iter().any(|row| !row.contains("null event time")).then_some(landmarks::LATE_ROW));
        let Ok(found) = machine.try_query("SELECT * FROM result") else { return met };
        met.extend((!found.is_empty()).then_some(landmarks::ROWS));
        let differs = |mutant: &&Mutant| machine.try_query(&mutant.sql).is_ok_and(|rows| rows != found);
        met.extend(mutants.iter().filter(differs).map(|mutant| mutant.without));
        met
    }

    fn close(&mut self) -> Result<(), Outcome> {
        let closed = self.machine().engine().close_here();
        closed.map_err(|error| Outcome::Wrong(Fault::Job, format!("it does not close: {error}")))
    }
}

fn said_of(error: &RunError, sql: &str) -> Outcome {
    match error.code().to_string().as_str() {
        REFUSED => Outcome::Refused(error.to_string()),
        code => Outcome::Wrong(Fault::Statement, format!("{code} {error}: {sql}")),
    }
}

/// The rows that only one side has.
fn difference(view: &str, found: &[String], expected: &[String]) -> String {
    let beyond = |one: &[String], other: &[String]| {
        let mut rest = other.to_vec();
        let only = one.iter().filter(|row| match rest.iter().position(|other| other == *row) {
            Some(at) => {
                rest.swap_remove(at);
                false
            }
            None => true,
        });
        only.take(8).map(|row| format!("\n    {row}")).collect::<String>()
    };
    format!(
        "{view} holds {} rows, the batch gives {}\n  only in the view:{}\n  only in the batch:{}",
        found.len(),
        expected.len(),
        beyond(found, expected),
        beyond(expected, found)
    )
}
