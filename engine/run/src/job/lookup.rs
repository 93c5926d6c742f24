//! Who answers what a step asks of tables outside.
//!
//! Live, the tables are asked, and the answers become part of the step. A step that is done again gets the answers that it once
//! got, and asks nobody. So the rows that come out depend on what is in the log alone, whatever the tables hold by then.
//!
//! What people tell alarms and scaling groups ([`headwater_operators::decide::Told`]) takes the same way: it is an answer that nobody has
//! asked for.

use std::collections::HashMap;
use std::iter::repeat_n;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use headwater_core::World;
use headwater_operators::{Failed, LookupOperator, OperatorError, Rows};

use crate::options::LookupTable;

/// What a table said to a step: the stage that asked, and the answer as the journal keeps it.
pub(crate) type Answer = (usize, RecordBatch);

/// What is done until a table is asked again: waits, and answers whether to ask.
pub(crate) type Patience = Box<dyn FnMut(Again<'_>) -> bool + Send>;

/// Why a table is asked again.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Again<'a> {
    /// It did not answer.
    Unanswered {
        /// What it said.
        reason: &'a str,
        /// How often it was asked.
        attempt: u32,
    },
    /// It lacks keys, and may have them after so long.
    Missing(Duration),
}

/// How often a table that does not answer is asked where nobody waits.
const ATTEMPTS_AT_ONCE: u32 = 3;

/// Asks again at once: for whoever looks at rows of long ago, or has somebody waiting.
pub(crate) fn at_once() -> Patience {
    Box::new(|again| match again {
        Again::Unanswered { attempt, .. } => attempt < ATTEMPTS_AT_ONCE,
        Again::Missing(_) => true,
    })
}

/// Who answers.
#[derive(Default)]
pub(crate) struct Answers {
    live: Option<Live>,
    recorded: Option<Vec<Answer>>,
    /// What people have said to stages, for the next step.
    told: Vec<Answer>,
}

struct Live {
    tables: HashMap<usize, Box<dyn LookupTable>>,
    world: World,
    patience: Patience,
}

impl Answers {
    /// Asks tables, by the stages that look rows up in them.
    pub fn ask(&mut self, tables: Vec<(usize, Box<dyn LookupTable>)>, world: World, patience: Patience) {
        self.live = Some(Live { tables: tables.into_iter().collect(), world, patience });
    }

    /// The tables that are asked, by the stages that look rows up in them.
    pub fn tables(&self) -> impl Iterator<Item = (usize, &dyn LookupTable)> {
        self.live.iter().flat_map(|live| &live.tables).map(|(stage, table)| (*stage, &**table))
    }

    /// For the next step, these are the answers.
    pub fn obey(&mut self, recorded: Vec<Answer>) {
        self.recorded = Some(recorded);
    }

    /// For the next step, this is said to a stage.
    pub fn tell(&mut self, stage: usize, order: RecordBatch) {
        self.told.push((stage, order));
    }

    /// A step begins that may need answers.
    pub fn begin(&mut self) -> StepAnswers<'_> {
        let told = std::mem::take(&mut self.told);
        StepAnswers { recorded: self.recorded.take(), live: self.live.as_mut(), told }
    }
}

/// Who answers one step.
pub(crate) struct StepAnswers<'a> {
    recorded: Option<Vec<Answer>>,
    live: Option<&'a mut Live>,
    told: Vec<Answer>,
}

impl StepAnswers<'_> {
    /// What is said to a stage that asks nobody, in that order.
    pub fn told(&self, stage: usize) -> impl Iterator<Item = &RecordBatch> {
        let said = self.recorded.as_ref().unwrap_or(&self.told);
        said.iter().filter(move |(to, _)| *to == stage).map(|(_, order)| order)
    }

    /// What is to be learnt before a stage can join these rows, if anything is, and the rows of the table that could not be computed: of
    /// what was recorded none, as they went to the log with the step that asked.
    pub fn to(
        &mut self,
        stage: usize,
        operator: &LookupOperator,
        rows: &[Rows],
    ) -> Result<Option<(RecordBatch, Vec<Failed>)>, OperatorError> {
        if let Some(recorded) = &self.recorded {
            let answer = recorded.iter().find(|(asked, _)| *asked == stage);
            return Ok(answer.map(|(_, answer)| (answer.clone(), Vec::new())));
        }
        let table = &operator.lookup().table;
        let live = self.live.as_mut().ok_or_else(|| nobody(table))?;
        let fresh_from = live.tables.get(&stage).and_then(|source| source.fresh_from());
        let Some(keys) = operator.asks(rows, live.world.clock.now(), fresh_from)? else { return Ok(None) };
        let mut found = live.fetch(stage, table, &keys)?;
        let retry = operator.lookup().retry;
        for delay in retry.iter().flat_map(|retry| repeat_n(retry.delay, retry.attempts as usize)) {
            let Some(missing) = operator.missing(&keys, &found)? else { break };
            live.wait(table, Again::Missing(delay))?;
            let more = live.fetch(stage, table, &missing)?;
            found = concat_batches(&found.schema(), [&found, &more])?;
        }
        // What is kept for a while is so from when it was said.
        operator.answer(&keys, found, live.world.clock.now()).map(Some)
    }
}

impl Live {
    /// Asks a table until it answers.
    fn fetch(&mut self, stage: usize, table: &str, keys: &RecordBatch) -> Result<RecordBatch, OperatorError> {
        for attempt in 1.. {
            self.world.tasks.give_way();
            let source = self.tables.get_mut(&stage).ok_or_else(|| nobody(table))?;
            match source.fetch(keys) {
                Ok(found) => return Ok(found),
                Err(failure) if !failure.is_retryable => {
                    return Err(OperatorError::Lookup { table: table.to_owned(), reason: failure.reason });
                }
                Err(failure) => self.wait(table, Again::Unanswered { reason: &failure.reason, attempt })?,
            }
        }
        unreachable!("asking again has no end of its own")
    }

    /// Waits until a table is to be asked again; fails if the job is to stop instead.
    fn wait(&mut self, table: &str, again: Again<'_>) -> Result<(), OperatorError> {
        match (self.patience)(again) {
            true => Ok(()),
            false => Err(OperatorError::Stopped { table: table.to_owned() }),
        }
    }
}

fn nobody(table: &str) -> OperatorError {
    OperatorError::Lookup { table: table.to_owned(), reason: "nobody is there to be asked".into() }
}
