//! A pattern as places: each occurrence of a variable is a place, and after each place certain places may follow, in
//! the order of preference. A quantifier with numbers is written out.
//!
//! ```text
//!  A (B | C)* D        first: [A]      after A, B and C: [B, C, D]      after D: [END]
//! ```

use std::collections::HashSet;

use super::pattern::Pattern;

/// Stands among what follows for the end of the match.
pub(super) const END: u16 = u16::MAX;

/// How many instructions a pattern may be written out to.
const INSTRUCTIONS_MAX: usize = 10_000;

/// A pattern, ready to be run.
#[derive(Debug, Clone)]
pub(super) struct Program {
    /// The variable of each place.
    pub(super) variables: Vec<u16>,
    /// Where a match begins.
    pub(super) first: Vec<u16>,
    /// What may follow each place.
    pub(super) follow: Vec<Vec<u16>>,
}

#[derive(Debug, Clone, Copy)]
enum Instruction {
    /// Takes a row at this place, and goes on.
    Take(u16, u32),
    /// Either; the first is preferred.
    Split(u32, u32),
    /// Once more, or on. `mark`: a bit, if what is repeated may be empty.
    Again {
        body: u32,
        next: u32,
        greedy: bool,
        mark: u64,
    },
    End,
}

impl Program {
    /// Writes a pattern out; the error says why that cannot be.
    pub(super) fn compile(pattern: &Pattern) -> Result<Self, String> {
        let mut writer = Writer { instructions: vec![Instruction::End], variables: Vec::new(), marks: 0 };
        let entry = writer.write(pattern, 0)?;
        let first = reach(entry, &writer.instructions);
        let mut follow = vec![Vec::new(); writer.variables.len()];
        for instruction in &writer.instructions {
            if let Instruction::Take(place, next) = instruction {
                follow[usize::from(*place)] = reach(*next, &writer.instructions);
            }
        }
        Ok(Self { variables: writer.variables, first, follow })
    }

    /// Whether no row at all is a match.
    pub(super) fn matches_nothing(&self) -> bool {
        self.first.contains(&END)
    }

    /// The variables of places after which a match may end, but rather goes on.
    pub(super) fn open_ends(&self) -> impl Iterator<Item = u16> {
        let open = |follow: &Vec<u16>| follow.iter().position(|next| *next == END).is_some_and(|at| at > 0);
        self.follow
            .iter()
            .zip(&self.variables)
            .filter(move |(follow, _)| open(follow))
            .map(|(_, variable)| *variable)
    }

    /// For each variable how many rows of a match lie before its own at least; `None` for one that is in no match.
    pub(super) fn rows_before(&self, variables: usize) -> Vec<Option<u32>> {
        let mut of_places = vec![None; self.variables.len()];
        let mut found = vec![None; variables];
        let mut now = self.first.clone();
        for before in 0.. {
            let mut next = Vec::new();
            for place in now {
                if place == END || of_places[usize::from(place)].is_some() {
                    continue;
                }
                of_places[usize::from(place)] = Some(before);
                found[usize::from(self.variables[usize::from(place)])].get_or_insert(before);
                next.extend_from_slice(&self.follow[usize::from(place)]);
            }
            if next.is_empty() {
                break;
            }
            now = next;
        }
        found
    }

    /// Whether each match has a row of this variable: without its places the end cannot be reached.
    pub(super) fn requires(&self, variable: u16) -> bool {
        let mut seen = vec![false; self.variables.len()];
        let mut open = self.first.clone();
        while let Some(place) = open.pop() {
            if place == END {
                return false;
            }
            let place = usize::from(place);
            if self.variables[place] != variable && !std::mem::replace(&mut seen[place], true) {
                open.extend_from_slice(&self.follow[place]);
            }
        }
        true
    }
}

/// Writes instructions from the back: each part knows what follows it.
struct Writer {
    instructions: Vec<Instruction>,
    variables: Vec<u16>,
    /// How many bits are taken.
    marks: u32,
}

impl Writer {
    fn push(&mut self, instruction: Instruction) -> Result<u32, String> {
        if self.instructions.len() >= INSTRUCTIONS_MAX {
            return Err(format!(
                "the pattern is too large: with its quantifiers written out it has more than {INSTRUCTIONS_MAX} parts"
            ));
        }
        self.instructions.push(instruction);
        Ok(self.instructions.len() as u32 - 1)
    }

    fn mark(&mut self) -> Result<u64, String> {
        if self.marks >= u64::BITS {
            return Err("the pattern repeats what may be empty too often".to_owned());
        }
        self.marks += 1;
        Ok(1 << (self.marks - 1))
    }

    fn write(&mut self, pattern: &Pattern, next: u32) -> Result<u32, String> {
        match pattern {
            Pattern::Variable(variable) => {
                let place = self.variables.len() as u16;
                self.variables.push(*variable);
                self.push(Instruction::Take(place, next))
            }
            Pattern::Concat(parts) => parts.iter().rev().try_fold(next, |next, part| self.write(part, next)),
            Pattern::Alternation(parts) => {
                let mut entry = None;
                for part in parts.iter().rev() {
                    let this = self.write(part, next)?;
                    entry = Some(match entry {
                        None => this,
                        Some(others) => self.push(Instruction::Split(this, others))?,
                    });
                }
                Ok(entry.unwrap_or(next))
            }
            Pattern::Repeat { inner, min, max, greedy } => self.repeat(inner, *min, *max, *greedy, next),
        }
    }

    fn repeat(
        &mut self,
        inner: &Pattern,
        min: u32,
        max: Option<u32>,
        greedy: bool,
        next: u32,
    ) -> Result<u32, String> {
        let split = |more: u32, less: u32| {
            if greedy { Instruction::Split(more, less) } else { Instruction::Split(less, more) }
        };
        let (mut entry, mut left) = (next, min);
        match max {
            None => {
                let again = self.push(Instruction::End)?;
                let body = self.write(inner, again)?;
                let mark = if is_nullable(inner) { self.mark()? } else { 0 };
                self.instructions[again as usize] = Instruction::Again { body, next, greedy, mark };
                entry = again;
                if min > 0 && mark == 0 {
                    // The first time round is one of those that must be.
                    entry = body;
                    left -= 1;
                }
            }
            Some(max) => {
                for _ in min..max {
                    let body = self.write(inner, entry)?;
                    entry = self.push(split(body, next))?;
                }
            }
        }
        for _ in 0..left {
            entry = self.write(inner, entry)?;
        }
        Ok(entry)
    }
}

/// Whether a pattern also matches no row at all.
fn is_nullable(pattern: &Pattern) -> bool {
    match pattern {
        Pattern::Variable(_) => false,
        Pattern::Concat(parts) => parts.iter().all(is_nullable),
        Pattern::Alternation(parts) => parts.iter().any(is_nullable),
        Pattern::Repeat { inner, min, .. } => *min == 0 || is_nullable(inner),
    }
}

/// The places that can be reached without taking a row, in the order of preference. Going round without a row leads
/// nowhere: `marks` are those of the repetitions that are being gone round.
fn reach(entry: u32, instructions: &[Instruction]) -> Vec<u16> {
    let mut seen: HashSet<(u32, u64)> = HashSet::new();
    let mut found = Vec::new();
    let mut open = vec![(entry, 0)];
    while let Some((at, marks)) = open.pop() {
        if !seen.insert((at, marks)) {
            continue;
        }
        match instructions[at as usize] {
            Instruction::Take(place, _) if found.contains(&place) => {}
            Instruction::Take(place, _) => found.push(place),
            Instruction::Split(first, second) => open.extend([(second, marks), (first, marks)]),
            Instruction::Again { mark, .. } if marks & mark != 0 => {}
            Instruction::Again { body, next, greedy: true, mark } => {
                open.extend([(next, marks), (body, marks | mark)]);
            }
            Instruction::Again { body, next, greedy: false, mark } => {
                open.extend([(body, marks | mark), (next, marks)]);
            }
            Instruction::End if found.contains(&END) => {}
            Instruction::End => found.push(END),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable(nth: u16) -> Pattern {
        Pattern::Variable(nth)
    }

    fn repeat(inner: Pattern, min: u32, max: Option<u32>, greedy: bool) -> Pattern {
        Pattern::Repeat { inner: Box::new(inner), min, max, greedy }
    }

    #[test]
    fn what_follows_is_in_the_order_of_preference() {
        let either = Pattern::Alternation(vec![variable(1), variable(2)]);
        let pattern = Pattern::Concat(vec![variable(0), repeat(either.clone(), 0, None, true), variable(3)]);
        let program = Program::compile(&pattern).unwrap();
        let names = |places: &[u16]| -> String {
            places
                .iter()
                .map(|place| match *place {
                    END => '.',
                    place => char::from(b'A' + program.variables[usize::from(place)] as u8),
                })
                .collect()
        };
        assert_eq!(names(&program.first), "A");
        for (place, follow) in program.follow.iter().enumerate() {
            let expected = if program.variables[place] == 3 { "." } else { "BCD" };
            assert_eq!(names(follow), expected);
        }
        assert_eq!(program.rows_before(4), [Some(0), Some(1), Some(1), Some(1)]);
        assert!(program.requires(3) && !program.requires(1));
        assert_eq!(program.open_ends().count(), 0);
        let open = Pattern::Concat(vec![variable(0), repeat(either, 0, Some(2), true)]);
        assert!(Program::compile(&open).unwrap().open_ends().count() > 0);
        assert!(Program::compile(&repeat(variable(0), 0, Some(3), false)).unwrap().matches_nothing());
    }

    #[test]
    fn a_pattern_that_would_be_huge_is_refused() {
        let mut pattern = variable(0);
        for _ in 0..5 {
            pattern = repeat(pattern, 100, Some(100), true);
        }
        assert!(Program::compile(&pattern).unwrap_err().contains("too large"));
    }
}
