//! Runs a script.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use headwater_run::RunError;

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
    let run = || {
        let mut life = Life::default();
        let all = events.iter().try_for_each(|event| life.happens(event));
        match all.and_then(|()| life.close()) {
            Ok(()) => Outcome::Agrees,
            Err(outcome) => outcome,
        }
    };
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Outcome::Wrong(Fault::Panic, text.unwrap_or_default())
    })
}

#[derive(Default)]
struct Life {
    machine: Option<Machine>,
    /// The views, and what each is compared with.
    views: BTreeMap<String, String>,
    /// The streams that end, and those of the rows that were on time.
    streams: Vec<String>,
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
            }
            Event::Sql(sql) => self.define(sql)?,
            Event::Insert { stream, rows } => self.machine().insert(stream, &format!("VALUES {rows}")),
            Event::Turns(turns) => self.machine().turns(*turns),
            Event::Kill(workers) => self.machine().kill(*workers),
            Event::LosePower(workers) => self.machine().lose_power(*workers),
            Event::Restart(workers) => self.machine().restart(*workers),
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
            self.views.insert(name.to_owned(), self.batch_of(query));
        }
        Ok(())
    }

    /// The batch that a view is compared with: where there is a stream of the rows that were on time, it reads that.
    fn batch_of(&self, query: &str) -> String {
        let mut batch = query.split(" EMIT ").next().unwrap_or_default().to_owned();
        for stream in &self.streams {
            if let Some(of) = stream.strip_prefix("on_time_") {
                for end in [",", " "] {
                    batch = batch.replace(&format!("TABLE {of}{end}"), &format!("TABLE {stream}{end}"));
                }
            }
        }
        batch
    }

    fn catch_up(&mut self) -> Result<(), Outcome> {
        let (jobs, views) = (self.machine().engine().jobs().len(), self.views.len());
        if jobs < views {
            return Err(Outcome::Wrong(Fault::Job, format!("{jobs} of {views} jobs have started")));
        }
        self.machine().try_catch_up().map_err(|error| Outcome::Wrong(Fault::Job, error))
    }

    fn compare(&mut self) -> Result<(), Outcome> {
        for (view, batch) in self.views.clone() {
            let wrong = |error: RunError| Outcome::Wrong(Fault::Batch, format!("{error}: {batch}"));
            let found = self.machine().try_query(&format!("SELECT * FROM {view}")).map_err(wrong)?;
            let expected = self.machine().try_query(&batch).map_err(wrong)?;
            if found != expected {
                return Err(Outcome::Wrong(Fault::Rows, difference(&view, &found, &expected)));
            }
        }
        Ok(())
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
