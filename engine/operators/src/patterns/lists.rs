//! Ways without history: where they wait, in the order of preference, is all that their future depends on. Each list
//! of places that comes up gets a number, and each step from list to list is computed once.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::program::{END, Program};
use super::spec::NAME;
use crate::error::{OperatorError, Result};

/// No way is left.
pub(super) const EMPTY: u32 = 0;

/// Before the first row.
pub(super) const FIRST: u32 = 1;

/// How many lists one pattern may come to.
const LISTS_MAX: usize = 1 << 14;

/// When more steps than this are remembered, they are forgotten.
const STEPS_MAX: usize = 1 << 17;

/// What a row makes of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// The places at which the next row may be taken.
    pub(super) to: u32,
    /// Whether the match may end with the row.
    pub(super) ends: bool,
}

struct List {
    places: Box<[u16]>,
    /// The variables of the places, as bits.
    variables: u64,
}

/// The lists of one pattern and the steps between them.
pub(super) struct Lists {
    lists: Vec<List>,
    numbers: HashMap<Box<[u16]>, u32, FixedState>,
    steps: HashMap<(u32, u64), Step, FixedState>,
    seen: Vec<bool>,
}

impl Lists {
    pub(super) fn new(program: &Program) -> Self {
        let mut lists = Self {
            lists: Vec::new(),
            numbers: HashMap::with_hasher(FixedState::with_seed(0)),
            steps: HashMap::with_hasher(FixedState::with_seed(0)),
            seen: vec![false; program.variables.len()],
        };
        lists.add(program, Box::from([]));
        lists.add(program, program.first.clone().into_boxed_slice());
        lists
    }

    fn add(&mut self, program: &Program, places: Box<[u16]>) -> u32 {
        let variables = places.iter().map(|place| 1 << program.variables[usize::from(*place)]);
        let variables = variables.fold(0, |all, variable: u64| all | variable);
        let number = self.lists.len() as u32;
        self.numbers.insert(places.clone(), number);
        self.lists.push(List { places, variables });
        number
    }

    /// `row`: the variables whose definitions hold for the row, as bits.
    #[inline]
    pub(super) fn step(&mut self, program: &Program, list: u32, row: u64) -> Result<Step> {
        let row = row & self.lists[list as usize].variables;
        if row == 0 {
            return Ok(Step { to: EMPTY, ends: false });
        }
        match self.steps.get(&(list, row)) {
            Some(step) => Ok(*step),
            None => self.compute(program, list, row),
        }
    }

    fn compute(&mut self, program: &Program, list: u32, row: u64) -> Result<Step> {
        let mut places: Vec<u16> = Vec::new();
        let mut ends = false;
        self.seen.fill(false);
        'ways: for place in &self.lists[list as usize].places {
            if row & 1 << program.variables[usize::from(*place)] == 0 {
                continue;
            }
            for next in &program.follow[usize::from(*place)] {
                if *next == END {
                    // Whatever comes after is less preferred than to end here.
                    ends = true;
                    break 'ways;
                }
                if !std::mem::replace(&mut self.seen[usize::from(*next)], true) {
                    places.push(*next);
                }
            }
        }
        let to = match self.numbers.get(places.as_slice()) {
            Some(number) => *number,
            None if self.lists.len() < LISTS_MAX => self.add(program, places.into_boxed_slice()),
            None => {
                let reason = format!(
                    "the pattern can be in more than {LISTS_MAX} states; write it with fewer quantifiers inside one another"
                );
                return Err(OperatorError::unsupported(NAME, reason));
            }
        };
        if self.steps.len() >= STEPS_MAX {
            self.steps.clear();
        }
        let step = Step { to, ends };
        self.steps.insert((list, row), step);
        Ok(step)
    }

    pub(super) fn size(&self) -> usize {
        let places: usize = self.lists.iter().map(|list| 2 * size_of_val(&*list.places)).sum();
        places + self.lists.capacity() * size_of::<List>() + self.steps.allocation_size()
    }
}
