//! What a job is.

use std::path::PathBuf;
use std::time::Duration;

use headwater_objects::Location;

use crate::error::{JobError, Result};

/// A program and its arguments; no shell is involved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The program, then its arguments.
    words: Vec<String>,
}

impl Program {
    /// A program and its arguments.
    pub fn new(words: Vec<String>) -> Result<Self> {
        match words.first() {
            Some(program) if !program.is_empty() => Ok(Self { words }),
            _ => Err(JobError::Spec("a program has a name".to_owned())),
        }
    }

    /// A command line: words separated by blanks; quotes of both kinds keep blanks.
    pub fn parse(line: &str) -> Result<Self> {
        let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
        for letter in line.chars() {
            match (quote, letter) {
                (Some(open), _) if letter == open => quote = None,
                (None, '"' | '\'') => {
                    quote = Some(letter);
                    word.get_or_insert_default();
                }
                (None, _) if letter.is_whitespace() => words.extend(word.take()),
                _ => word.get_or_insert_default().push(letter),
            }
        }
        if quote.is_some() {
            return Err(JobError::Spec(format!("a quote is open in the command line: {line}")));
        }
        words.extend(word);
        Self::new(words)
    }

    /// The program, then its arguments.
    pub fn words(&self) -> &[String] {
        &self.words
    }
}

impl std::fmt::Display for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.words.join(" "))
    }
}

/// A job.
#[derive(Clone, Debug)]
pub struct JobSpec {
    /// Gets lines of the input, gives lines of key TAB value.
    pub mapper: Program,
    /// Gets the lines of some keys, in order, gives lines of the output. `None`: the lines go out in order as they are.
    pub reducer: Option<Program>,
    /// A reducer over what one mapper gave, before it goes to the reducers; its lines are key TAB value again.
    pub combiner: Option<Program>,
    /// Where the input lies.
    pub inputs: Vec<Location>,
    /// Where the output goes; nothing may lie there yet.
    pub output: Location,
    /// Into how many parts keys are divided, each with a reducer of its own; with 0, what the mappers give is the output.
    pub reducers: usize,
    /// How many tasks run at a time.
    pub slots: usize,
    /// How many times a task is tried.
    pub attempts: u32,
    /// How long a program may neither read its input nor say anything before its attempt has failed; `None`: for ever.
    pub timeout: Option<Duration>,
    /// Bytes of memory for lines that are being sorted, over all tasks.
    pub memory: usize,
    /// Where runs lie while the job runs.
    pub work: PathBuf,
    /// Whether this job has run before: the parts that it left are taken away, and if it came to its end nothing is done.
    pub again: bool,
    /// The most bytes of a split of an input that is not compressed; `None`: as the size of the input suggests.
    pub split: Option<u64>,
}

impl JobSpec {
    /// A job with the usual settings for so many tasks at a time.
    pub fn new(
        mapper: Program,
        inputs: Vec<Location>,
        output: Location,
        work: PathBuf,
        slots: usize,
    ) -> Self {
        Self {
            mapper,
            reducer: None,
            combiner: None,
            inputs,
            output,
            reducers: slots,
            slots: slots.max(1),
            attempts: 4,
            timeout: Some(Duration::from_secs(600)),
            memory: 256 << 20,
            work,
            again: false,
            split: None,
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        let wrong = |reason: &str| Err(JobError::Spec(reason.to_owned()));
        if self.inputs.is_empty() {
            return wrong("a job has an input");
        }
        if self.reducers == 0 && (self.reducer.is_some() || self.combiner.is_some()) {
            return wrong("with 0 reducers there is neither a reducer nor a combiner");
        }
        if self.reducers > 100_000 {
            return wrong("a job has at most 100000 reducers");
        }
        if self.attempts == 0 || self.slots == 0 {
            return wrong("a task is tried at least once, and at least one runs at a time");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines() {
        let words = |line: &str| Program::parse(line).unwrap().words().to_vec();
        assert_eq!(words("./map.py --by 'a b' \"c\"d"), ["./map.py", "--by", "a b", "cd"]);
        assert_eq!(words(" awk '' "), ["awk", ""]);
        assert!(Program::parse("awk '").is_err());
        assert!(Program::parse("  ").is_err());
    }
}
