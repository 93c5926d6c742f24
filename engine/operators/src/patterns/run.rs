//! Drives the attempts: start after start, row after row.

use std::sync::Arc;

use super::attempt::{Attempt, Followed};
use super::buffer::{Buffer, Place};
use super::conditions::{Column, Conditions, Questions};
use super::emitted::Emitted;
use super::lists::Lists;
use super::partition::Partition;
use super::program::Program;
use super::registers::{Layout, Look};
use super::spec::{MatchRecognize, Skip};
use super::threads::{Taking, Threads, Way};
use crate::error::Result;

/// Where an attempt stands when no more can be done with it now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// It waits for rows, or for time.
    Waits,
    /// It has asked about its next row.
    Asks,
}

/// What all partitions share.
pub(super) struct Matcher {
    what: Arc<MatchRecognize>,
    program: Arc<Program>,
    lists: Lists,
    /// What conditions look at.
    layout: Layout,
    /// What ways without history remember: nothing.
    bare: Layout,
    pub(super) conditions: Conditions,
    pub(super) questions: Questions,
    pub(super) emitted: Emitted,
}

impl Matcher {
    pub(super) fn new(what: &Arc<MatchRecognize>, program: &Arc<Program>) -> Result<Self> {
        let types = what.operand_types()?;
        let conditions = Conditions::new(&what.definitions, &types)?;
        Ok(Self {
            lists: Lists::new(program),
            layout: Layout::new(conditions.run_looks(), &types)?,
            bare: Layout::default(),
            questions: conditions.questions(&types),
            emitted: Emitted::new(what, &types)?,
            conditions,
            what: Arc::clone(what),
            program: Arc::clone(program),
        })
    }

    /// The last moment that a match may have that begins at this row.
    pub(super) fn deadline(&self, partition: &Partition, start: u64) -> i64 {
        match self.what.within {
            Some(within) => partition.row(start).time.saturating_add(within),
            None => i64::MAX,
        }
    }

    /// Goes on with a partition as far as its rows and the watermark allow, or until it has to ask.
    pub(super) fn advance(
        &mut self,
        number: u32,
        partition: &mut Partition,
        buffer: &Buffer,
        watermark: i64,
    ) -> Result<Progress> {
        while partition.start < partition.judged {
            let deadline = self.deadline(partition, partition.start);
            let progress = if self.conditions.look_at_runs() {
                self.follow_threads(partition, buffer, deadline)?
            } else {
                self.follow_lists(partition, deadline)?
            };
            match progress {
                Some(Progress::Asks) => return Ok(Progress::Asks),
                Some(Progress::Waits) if !is_closed(partition, deadline, watermark) => {
                    return Ok(Progress::Waits);
                }
                _ => self.settle(number, partition, buffer)?,
            }
        }
        Ok(Progress::Waits)
    }

    /// `None`: the attempt is over.
    fn follow_lists(&mut self, partition: &mut Partition, deadline: i64) -> Result<Option<Progress>> {
        let start = partition.start;
        if matches!(partition.attempt, Attempt::None) {
            partition.attempt = Attempt::Lists(Box::new(Followed::new(start)));
        }
        let Partition { attempt: Attempt::Lists(followed), rows, first, judged, .. } = partition else {
            unreachable!("without history an attempt is a list");
        };
        if !followed.running {
            followed.begin(start);
        }
        loop {
            if followed.is_over() {
                return Ok(None);
            }
            let next = followed.next();
            if next >= *judged {
                return Ok(Some(Progress::Waits));
            }
            let row = &rows[(next - *first) as usize];
            if row.time > deadline {
                return Ok(None);
            }
            let step = self.lists.step(&self.program, followed.list(), row.may_be)?;
            followed.step(step.to, step.ends);
        }
    }

    fn follow_threads(
        &mut self,
        partition: &mut Partition,
        buffer: &Buffer,
        deadline: i64,
    ) -> Result<Option<Progress>> {
        let start = partition.start;
        if matches!(partition.attempt, Attempt::None) {
            let threads = Threads::new(&self.program, &self.layout);
            partition.attempt = Attempt::Threads(Box::new(threads), None);
        }
        loop {
            let Attempt::Threads(threads, asked) = &mut partition.attempt else {
                unreachable!("with history an attempt is a tree of paths");
            };
            if threads.is_over() {
                return Ok(None);
            }
            let next = start + u64::from(threads.taken);
            if next >= partition.judged {
                return Ok(Some(Progress::Waits));
            }
            let row = partition.rows[(next - partition.first) as usize];
            if row.time > deadline {
                return Ok(None);
            }
            if asked.is_none() {
                let questions = self.ask(partition, row.may_be, row.place, buffer)?;
                let Attempt::Threads(_, asked) = &mut partition.attempt else {
                    unreachable!("it was one before")
                };
                let waits = questions.iter().any(Option::is_some);
                *asked = Some(questions);
                if waits {
                    return Ok(Some(Progress::Asks));
                }
                continue;
            }
            let asked = asked.take().unwrap_or_default();
            let taking = Taking { program: &self.program, layout: &self.layout, buffer, place: row.place };
            let questions = &self.questions;
            threads.take(&taking, |nth, way| {
                let variable = self.program.variables[usize::from(way.place)];
                row.may_be & 1 << variable != 0
                    && asked[nth].is_none_or(|question| questions.answer(variable, question))
            })?;
        }
    }

    /// Asks for each way whether it may take a row, where that depends on its history.
    fn ask(
        &mut self,
        partition: &Partition,
        may_be: u64,
        place: Place,
        buffer: &Buffer,
    ) -> Result<Vec<Option<u32>>> {
        let Attempt::Threads(threads, _) = &partition.attempt else { return Ok(Vec::new()) };
        let mut asked: Vec<Option<u32>> = Vec::with_capacity(threads.ways.len());
        // Ways with the same history ask the same.
        let mut known: Vec<(u32, u16, u32)> = Vec::new();
        for way in &threads.ways {
            let variable = self.program.variables[usize::from(way.place)];
            if may_be & 1 << variable == 0 || !self.conditions.looks_at_run(variable) {
                asked.push(None);
                continue;
            }
            let same =
                |(registers, other, _): &&(u32, u16, u32)| *registers == way.registers && *other == variable;
            if let Some((.., question)) = known.iter().rev().take(8).find(same) {
                asked.push(Some(*question));
                continue;
            }
            let (columns, question) = self.questions.ask(variable);
            for (look, column) in self.conditions.run_of(variable).iter().zip(columns) {
                see(look, column, way, variable, threads, partition, place, &self.layout, buffer)?;
            }
            known.push((way.registers, variable, question));
            asked.push(Some(question));
        }
        Ok(asked)
    }

    /// The attempt has ended: says its match, if it has found one, and puts the start where the next begins.
    fn settle(&mut self, number: u32, partition: &mut Partition, buffer: &Buffer) -> Result<()> {
        let start = partition.start;
        let variables = match &mut partition.attempt {
            Attempt::None => None,
            Attempt::Threads(threads, _) => threads.best(),
            Attempt::Lists(followed) => {
                followed.running = false;
                match followed.best() {
                    Some(last) => Some(self.path(partition, buffer, last)?),
                    None => None,
                }
            }
        };
        if let Attempt::Threads(..) = partition.attempt {
            partition.attempt = Attempt::None;
        }
        let Some(variables) = variables else {
            partition.start = start + 1;
            return Ok(());
        };
        partition.matches += 1;
        self.emitted.say(number, partition, &variables, buffer)?;
        let at = |place: Option<usize>| start + place.unwrap_or(0) as u64;
        partition.start = match self.what.skip {
            Skip::PastLastRow => start + variables.len() as u64,
            Skip::ToNextRow => start + 1,
            Skip::ToFirst(wanted) => at(variables.iter().position(|variable| *variable == wanted)),
            Skip::ToLast(wanted) => at(variables.iter().rposition(|variable| *variable == wanted)),
        }
        // Where it would begin with the same row again, it begins with the next.
        .max(start + 1);
        Ok(())
    }

    /// The preferred way from the start to a last row, without history.
    fn path(&self, partition: &Partition, buffer: &Buffer, last: u64) -> Result<Vec<u16>> {
        let mut threads = Threads::new(&self.program, &self.bare);
        for number in partition.start..=last {
            let row = partition.row(number);
            let taking = Taking { program: &self.program, layout: &self.bare, buffer, place: row.place };
            let may =
                |_: usize, way: &Way| row.may_be & 1 << self.program.variables[usize::from(way.place)] != 0;
            threads.take(&taking, may)?;
        }
        let variables = threads.best().unwrap_or_default();
        debug_assert_eq!(
            variables.len() as u64,
            last + 1 - partition.start,
            "the match ends where it was found to"
        );
        Ok(variables)
    }

    pub(super) fn size(&self) -> usize {
        self.lists.size()
    }
}

/// Whether no row that an attempt could still take will come.
fn is_closed(partition: &Partition, deadline: i64, watermark: i64) -> bool {
    if watermark == i64::MAX {
        return partition.judged == partition.end();
    }
    let unjudged = partition.judged < partition.end() && partition.row(partition.judged).time <= deadline;
    watermark > deadline && !unjudged
}

/// Adds to a column what a way would see if it took a row.
fn see(
    look: &Look,
    column: &mut Column,
    way: &Way,
    variable: u16,
    threads: &Threads,
    partition: &Partition,
    place: Place,
    layout: &Layout,
    buffer: &Buffer,
) -> Result<()> {
    let registers = &threads.registers[way.registers as usize];
    match (look, column) {
        (Look::Row { of, side, offset, step, .. }, Column::Rows(_, places)) => {
            let current = Some((variable, threads.taken));
            let row = layout.row(registers, *of, *side, *offset, current);
            places.push(row.and_then(|row| partition.neighbour(partition.start + u64::from(row), *step)));
        }
        (Look::Fold { fold, operand, of }, Column::Values(_, values)) => {
            let current = Some((variable, place));
            values.push(layout.fold(registers, *fold, *operand, *of, current, buffer)?);
        }
        _ => unreachable!("a definition looks at rows and aggregates"),
    }
    Ok(())
}
