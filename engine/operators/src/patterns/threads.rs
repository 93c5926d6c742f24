//! Ways with history: all that lead on from one start, in the order of preference, each with what the conditions can
//! see of it and the path that it has come.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::{HashSet, HashTable};

use super::buffer::{Buffer, Place};
use super::program::{END, Program};
use super::registers::{Layout, Registers};
use super::spec::NAME;
use crate::error::{OperatorError, Result};

/// How many ways from one start may be open at once.
const WAYS_MAX: usize = 10_000;

/// Up to so many are looked through one by one.
const FEW: usize = 16;

const NO_NODE: u32 = u32::MAX;

/// One way: it waits to take the next row at a place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    pub(super) place: u16,
    /// Which of the registers.
    pub(super) registers: u32,
    /// The last row that it took, as a node of the tree of paths.
    node: u32,
}

/// The ways from one start.
#[derive(Debug)]
pub(super) struct Threads {
    pub(super) ways: Vec<Way>,
    pub(super) registers: Vec<Registers>,
    /// The tree of paths: the row before, and the variable.
    nodes: Vec<(u32, u16)>,
    /// How many rows have been taken.
    pub(super) taken: u32,
    /// The preferred end so far: how many rows, and the last one's node.
    best: Option<(u32, u32)>,
}

/// A row that is to be taken.
pub(super) struct Taking<'a> {
    pub(super) program: &'a Program,
    pub(super) layout: &'a Layout,
    pub(super) buffer: &'a Buffer,
    pub(super) place: Place,
}

impl Threads {
    pub(super) fn new(program: &Program, layout: &Layout) -> Self {
        let ways = program.first.iter().map(|place| Way { place: *place, registers: 0, node: NO_NODE });
        Self {
            ways: ways.collect(),
            registers: vec![layout.empty()],
            nodes: Vec::new(),
            taken: 0,
            best: None,
        }
    }

    /// Takes a row on all ways for which `may` holds; the others end.
    pub(super) fn take(&mut self, row: &Taking<'_>, mut may: impl FnMut(usize, &Way) -> bool) -> Result<()> {
        let before = std::mem::take(&mut self.ways);
        let mut next = Next::default();
        let mut seen = None;
        'ways: for (nth, way) in before.iter().enumerate() {
            if !may(nth, way) {
                continue;
            }
            let variable = row.program.variables[usize::from(way.place)];
            let mut registers = self.registers[way.registers as usize].clone();
            row.layout.take(&mut registers, self.taken, variable, row.place, row.buffer)?;
            let registers = next.number(registers);
            let node = self.nodes.len() as u32;
            self.nodes.push((way.node, variable));
            for place in &row.program.follow[usize::from(way.place)] {
                if *place == END {
                    // Whatever comes after is less preferred than to end here.
                    self.best = Some((self.taken + 1, node));
                    break 'ways;
                }
                let way = Way { place: *place, registers, node };
                if is_new(&way, &self.ways, &mut seen) {
                    self.ways.push(way);
                }
            }
        }
        self.registers = next.registers;
        self.taken += 1;
        if self.ways.len() > WAYS_MAX {
            let reason = format!(
                "more than {WAYS_MAX} ways to match are open at once in one partition: the definitions look at rows matched \
                 before, so that ways cannot be merged; use fewer quantifiers next to each other, or definitions that exclude \
                 each other"
            );
            return Err(OperatorError::unsupported(NAME, reason));
        }
        Ok(())
    }

    pub(super) fn is_over(&self) -> bool {
        self.ways.is_empty()
    }

    /// The variables of the preferred match's rows so far.
    pub(super) fn best(&self) -> Option<Vec<u16>> {
        let (rows, mut node) = self.best?;
        let mut variables = vec![0; rows as usize];
        for variable in variables.iter_mut().rev() {
            (node, *variable) = self.nodes[node as usize];
        }
        Some(variables)
    }

    pub(super) fn size(&self) -> usize {
        self.nodes.capacity() * size_of::<(u32, u16)>()
            + self.ways.capacity() * size_of::<Way>()
            + self.registers.capacity() * size_of::<Registers>()
    }
}

/// Whether no other way waits at the same place with the same registers. Few are looked through, many are looked up.
fn is_new(way: &Way, others: &[Way], seen: &mut Option<HashSet<(u16, u32), FixedState>>) -> bool {
    let key = |way: &Way| (way.place, way.registers);
    if others.len() < FEW {
        return others.iter().all(|other| key(other) != key(way));
    }
    let seen = seen.get_or_insert_with(|| {
        let mut seen = HashSet::with_hasher(FixedState::with_seed(0));
        seen.extend(others.iter().map(key));
        seen
    });
    seen.insert(key(way))
}

/// Registers after a row, each once.
#[derive(Default)]
struct Next {
    registers: Vec<Registers>,
    numbers: HashTable<u32>,
}

impl Next {
    fn number(&mut self, registers: Registers) -> u32 {
        let hash = |registers: &Registers| FixedState::with_seed(0).hash_one(registers.hash());
        let known = &self.registers;
        if known.len() < FEW {
            let same = known.iter().position(|other| other.same(&registers));
            return same.unwrap_or_else(|| {
                self.registers.push(registers);
                self.registers.len() - 1
            }) as u32;
        }
        if self.numbers.is_empty() {
            for (number, other) in (0..).zip(known) {
                self.numbers.insert_unique(hash(other), number, |nth| hash(&known[*nth as usize]));
            }
        }
        let own = hash(&registers);
        match self.numbers.find(own, |nth| known[*nth as usize].same(&registers)) {
            Some(number) => *number,
            None => {
                let number = known.len() as u32;
                self.registers.push(registers);
                let known = &self.registers;
                self.numbers.insert_unique(own, number, |nth| hash(&known[*nth as usize]));
                number
            }
        }
    }
}
