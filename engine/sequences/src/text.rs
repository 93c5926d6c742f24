//! A sequence of text: a literal or a regular expression, and how often it is in lines.
//!
//! A literal is searched for in all lines at once, as they lie behind one another in memory; a find that reaches over the end of a line is
//! none. A regular expression is held against each line.

use memchr::memmem::Finder;
use regex::bytes::{Regex, RegexBuilder};

use crate::error::{Result, SequenceError};

/// What is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Counting {
    /// Occurrences that do not overlap, from the left.
    #[default]
    Occurrences,
    /// The places at which an occurrence begins: they may overlap.
    Overlapping,
    /// Lines that have at least one.
    Lines,
}

/// A sequence of text that is searched for.
#[derive(Clone, Debug)]
pub struct Sequence {
    text: String,
    search: Search,
}

#[derive(Clone, Debug)]
enum Search {
    Literal(Box<Finder<'static>>),
    Regex(Regex),
}

impl Sequence {
    /// A text as it is.
    pub fn literal(text: &str) -> Result<Self> {
        let search = Search::Literal(Box::new(Finder::new(text.as_bytes()).into_owned()));
        Self { text: text.to_owned(), search }.checked()
    }

    /// A regular expression, in the syntax of the `regex` crate; occurrences of no text are not counted.
    pub fn regex(text: &str, ignore_case: bool) -> Result<Self> {
        let regex = RegexBuilder::new(text).case_insensitive(ignore_case).build();
        let regex = regex.map_err(|error| SequenceError::Text {
            sequence: text.to_owned(),
            reason: error.to_string().split_whitespace().collect::<Vec<_>>().join(" "),
        })?;
        Self { text: text.to_owned(), search: Search::Regex(regex) }.checked()
    }

    /// A text as it is, but for the case of its letters.
    pub fn literal_ignoring_case(text: &str) -> Result<Self> {
        Self { text: text.to_owned(), ..Self::regex(&regex::escape(text), true)? }.checked()
    }

    fn checked(self) -> Result<Self> {
        if self.text.is_empty() {
            let reason = "it is empty, and would be everywhere".to_owned();
            return Err(SequenceError::Text { sequence: self.text, reason });
        }
        Ok(self)
    }

    /// As it was given.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How often it is in one line; at most once if lines are counted.
    pub fn count(&self, line: &[u8], counting: Counting) -> u64 {
        match &self.search {
            Search::Literal(finder) => {
                let mut count = 0;
                scan(finder, line, counting, |_| {
                    count += 1;
                    line.len()
                });
                count
            }
            Search::Regex(regex) => count_regex(regex, line, counting),
        }
    }

    /// Calls `found` with the number of a line for each time that it is in the line, or for each line that has it. Line `n` is
    /// `text[offsets[n]..offsets[n + 1]]`.
    pub fn scan(&self, text: &[u8], offsets: &[i32], counting: Counting, mut found: impl FnMut(usize, u64)) {
        let lines = offsets.len().saturating_sub(1);
        if lines == 0 {
            return;
        }
        let place = |line: usize| offsets[line] as usize;
        match &self.search {
            Search::Literal(finder) => {
                let mut line = 0;
                scan(finder, &text[place(0)..place(lines)], counting, |at| {
                    let at = at + place(0);
                    line = line_of(offsets, line, at);
                    if at + finder.needle().len() <= place(line + 1) {
                        found(line, 1);
                    }
                    place(line + 1) - place(0)
                });
            }
            Search::Regex(regex) => {
                for line in 0..lines {
                    let count = count_regex(regex, &text[place(line)..place(line + 1)], counting);
                    if count > 0 {
                        found(line, count);
                    }
                }
            }
        }
    }
}

/// Calls `found` with the place of each find; it answers where the line of the find ends.
fn scan(finder: &Finder<'_>, text: &[u8], counting: Counting, mut found: impl FnMut(usize) -> usize) {
    let length = finder.needle().len();
    let mut at = 0;
    while let Some(ahead) = finder.find(&text[at..]) {
        let find = at + ahead;
        let end = found(find);
        at = match counting {
            // A find that reaches over the end of the line hides none in the next line: that begins at its start.
            _ if find + length > end => end,
            Counting::Lines => end,
            Counting::Occurrences => find + length,
            Counting::Overlapping => find + 1,
        };
    }
}

/// The line that has byte `at`, which is not before line `from`. Most finds are near the last one.
fn line_of(offsets: &[i32], from: usize, at: usize) -> usize {
    let is_after = |line: usize| offsets[line] as usize > at;
    let (mut low, mut step) = (from, 1);
    while low + step < offsets.len() && !is_after(low + step) {
        low += step;
        step *= 2;
    }
    let high = (low + step).min(offsets.len());
    low + offsets[low..high].partition_point(|offset| *offset as usize <= at) - 1
}

fn count_regex(regex: &Regex, line: &[u8], counting: Counting) -> u64 {
    match counting {
        // With a match of no text there may be another one of some text behind it.
        Counting::Lines => {
            u64::from(regex.is_match(line) && regex.find_iter(line).any(|found| !found.is_empty()))
        }
        Counting::Occurrences => regex.find_iter(line).filter(|found| !found.is_empty()).count() as u64,
        Counting::Overlapping => {
            let (mut at, mut count) = (0, 0);
            while let Some(found) = regex.find_at(line, at) {
                count += u64::from(!found.is_empty());
                if found.start() == line.len() {
                    break;
                }
                at = found.start() + 1;
            }
            count
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    #[test]
    fn what_is_counted() {
        let ways = [Counting::Occurrences, Counting::Overlapping, Counting::Lines];
        for (sequence, line, expect) in [
            (Sequence::literal("aa"), "aaaa", [2, 3, 1]),
            (Sequence::literal("ab"), "xab", [1, 1, 1]),
            (Sequence::literal("ab"), "", [0, 0, 0]),
            (Sequence::regex("a.a", false), "abaca", [1, 2, 1]),
            (Sequence::regex("x*", false), "axxb", [1, 2, 1]),
            (Sequence::regex("^e", true), "Ee", [1, 1, 1]),
            (Sequence::literal_ignoring_case("é."), "É.é.", [2, 2, 1]),
        ] {
            let sequence = sequence.unwrap();
            assert_eq!(
                ways.map(|way| sequence.count(line.as_bytes(), way)),
                expect,
                "{} in {line}",
                sequence.text()
            );
        }
        assert!(Sequence::literal("").is_err());
        assert!(Sequence::regex("(", false).unwrap_err().to_string().contains("unclosed group"));
    }

    #[test]
    fn all_lines_at_once_are_each_line_by_itself() {
        let mut random = SmallRng::seed_from_u64(7);
        for _ in 0..2000 {
            let mut text = String::from("abab");
            let mut offsets = vec![text.len() as i32];
            for _ in 0..random.random_range(0..12) {
                let length = random.random_range(0..6);
                text.extend((0..length).map(|_| if random.random_bool(0.6) { 'a' } else { 'b' }));
                offsets.push(text.len() as i32);
            }
            text.push_str("abab");
            for needle in ["a", "ab", "aba", "bb"] {
                let sequence = Sequence::literal(needle).unwrap();
                for counting in [Counting::Occurrences, Counting::Overlapping, Counting::Lines] {
                    let mut counts = vec![0; offsets.len() - 1];
                    sequence.scan(text.as_bytes(), &offsets, counting, |line, count| counts[line] += count);
                    let expect: Vec<_> = offsets
                        .windows(2)
                        .map(|ends| {
                            sequence.count(&text.as_bytes()[ends[0] as usize..ends[1] as usize], counting)
                        })
                        .collect();
                    assert_eq!(counts, expect, "{needle} {counting:?} {offsets:?} {text}");
                }
            }
        }
    }
}
