//! The search for a match from one start.
//!
//! Without history an attempt is a list of places after each row. The lists after the rows that are still kept are
//! noted: when the attempt from a later start comes to the same list after the same row as an earlier one, all that
//! follows is as it was, and need not be done again. So a row is taken a few times, not once for each start.

use std::collections::VecDeque;

use super::lists::{EMPTY, FIRST};
use super::threads::Threads;

/// Notes are tidied up when there are more of them than this, and than twice the rows.
const CHAINS_MIN: usize = 64;

/// What runs from a partition's start.
#[derive(Debug, Default)]
pub(super) enum Attempt {
    /// Nothing yet.
    #[default]
    None,
    /// Ways without history.
    Lists(Box<Followed>),
    /// Ways with history, and what has been asked about the next row, by way: the number of the question, where one
    /// had to be asked.
    Threads(Box<Threads>, Option<Vec<Option<u32>>>),
}

impl Attempt {
    pub(super) fn forget_before(&mut self, start: u64) {
        if let Self::Lists(followed) = self {
            followed.forget_before(start);
        }
    }

    pub(super) fn size(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Lists(followed) => followed.size(),
            Self::Threads(threads, _) => threads.size(),
        }
    }
}

/// A list after a row, and the chain of lists that goes on from there.
#[derive(Debug, Clone, Copy)]
struct Note {
    list: u32,
    chain: u32,
}

/// Lists that follow one another, row by row.
#[derive(Debug, Clone, Copy)]
struct Chain {
    /// The last of them.
    list: u32,
    /// The row after the last that has been taken.
    next: u64,
    /// The last row that a match may end with.
    best: Option<u64>,
}

/// An attempt without history, and the notes of those before it.
#[derive(Debug)]
pub(super) struct Followed {
    /// Whether an attempt runs.
    pub(super) running: bool,
    start: u64,
    chain: u32,
    own_best: Option<u64>,
    notes: VecDeque<Note>,
    /// The row of the first note.
    first: u64,
    chains: Vec<Chain>,
}

impl Followed {
    pub(super) fn new(start: u64) -> Self {
        Self {
            running: false,
            start,
            chain: 0,
            own_best: None,
            notes: VecDeque::new(),
            first: start,
            chains: Vec::new(),
        }
    }

    pub(super) fn begin(&mut self, start: u64) {
        self.running = true;
        self.start = start;
        self.own_best = None;
        if start >= self.first + self.notes.len() as u64 {
            self.notes.clear();
            self.chains.clear();
            self.first = start;
        }
        self.tidy();
        self.chain = self.chains.len() as u32;
        self.chains.push(Chain { list: FIRST, next: start, best: None });
    }

    fn current(&self) -> &Chain {
        &self.chains[self.chain as usize]
    }

    /// The list before the next row.
    pub(super) fn list(&self) -> u32 {
        self.current().list
    }

    /// The next row to be taken.
    pub(super) fn next(&self) -> u64 {
        self.current().next
    }

    /// The last row of the preferred match so far.
    pub(super) fn best(&self) -> Option<u64> {
        self.own_best.max(self.current().best)
    }

    pub(super) fn is_over(&self) -> bool {
        self.current().list == EMPTY
    }

    /// The next row has been taken: where that has led, and whether a match may end with it.
    pub(super) fn step(&mut self, list: u32, ends: bool) {
        let row = self.next();
        let nth = (row - self.first) as usize;
        let chain = &mut self.chains[self.chain as usize];
        (chain.list, chain.next) = (list, row + 1);
        if ends {
            chain.best = Some(row);
            self.own_best = Some(row);
        }
        if list == EMPTY {
            return;
        }
        match self.notes.get(nth).copied() {
            Some(note) if note.list == list && note.chain != self.chain => {
                self.chain = note.chain;
                for nth in (self.start - self.first) as usize..nth {
                    self.notes[nth].chain = note.chain;
                }
                // An end that the other chain had found by this row is none of this start's.
                let chain = &mut self.chains[note.chain as usize];
                chain.best = chain.best.filter(|best| *best > row).or(self.own_best);
            }
            Some(_) => self.notes[nth] = Note { list, chain: self.chain },
            None => self.notes.push_back(Note { list, chain: self.chain }),
        }
    }

    fn forget_before(&mut self, start: u64) {
        while self.first < start && self.notes.pop_front().is_some() {
            self.first += 1;
        }
        if self.notes.is_empty() && !self.running {
            self.chains.clear();
        }
    }

    /// Takes out the chains that no note names.
    fn tidy(&mut self) {
        if self.chains.len() < CHAINS_MIN || self.chains.len() < 2 * self.notes.len() {
            return;
        }
        let mut kept = Vec::new();
        let mut numbers = vec![u32::MAX; self.chains.len()];
        for note in &mut self.notes {
            let number = &mut numbers[note.chain as usize];
            if *number == u32::MAX {
                *number = kept.len() as u32;
                kept.push(self.chains[note.chain as usize]);
            }
            note.chain = *number;
        }
        self.chains = kept;
    }

    fn size(&self) -> usize {
        self.notes.capacity() * size_of::<Note>() + self.chains.capacity() * size_of::<Chain>()
    }
}
