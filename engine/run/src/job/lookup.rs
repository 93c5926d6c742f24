//! Who answers what a step asks of tables outside.
//!
//! Live, the tables are asked, and the answers become part of the step. A step that is done again gets the answers that it once
//! got, and asks nobody. So the rows that come out depend on what is in the log alone, whatever the tables hold by then.
//!
//! What people tell alarms and scaling groups ([`headwater_operators::decide::Told`]) takes the same way: it is an answer that nobody has
//! asked for.

use std::collections::HashMap;

use arrow::array::RecordBatch;
use headwater_core::World;
use headwater_operators::{Failed, LookupOperator, OperatorError, Rows};

use crate::options::LookupTable;

/// What a table said to a step: the stage that asked, and the answer as the journal keeps it.
pub(crate) type Answer = (usize, RecordBatch);

/// What is done while a table does not answer. Gets what it said, and how often it was asked; waits, and answers whether to ask again.
pub(crate) type Patience = Box<dyn FnMut(&str, u32) -> bool + Send>;

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
        let nobody =
            || OperatorError::Lookup { table: table.clone(), reason: "nobody is there to be asked".into() };
        let live = self.live.as_mut().ok_or_else(nobody)?;
        let now = live.world.clock.now();
        let Some(keys) = operator.asks(rows, now)? else { return Ok(None) };
        let source = live.tables.get_mut(&stage).ok_or_else(nobody)?;
        for attempt in 1.. {
            live.world.tasks.give_way();
            match source.fetch(&keys) {
                Ok(found) => return operator.answer(&keys, found, now).map(Some),
                Err(failure) if !failure.is_retryable => {
                    return Err(OperatorError::Lookup { table: table.clone(), reason: failure.reason });
                }
                Err(failure) => {
                    if !(live.patience)(&failure.reason, attempt) {
                        return Err(OperatorError::Stopped { table: table.clone() });
                    }
                }
            }
        }
        unreachable!("asking again has no end of its own")
    }
}
