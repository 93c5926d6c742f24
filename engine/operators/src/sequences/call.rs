//! A call of one of the functions with its constants bound, and the state it needs.

use arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion::common::{DataFusionError, Result, exec_datafusion_err, plan_err};
use headwater_sequences::{Counting, Funnel, FunnelMode, Pattern, Sequence};

use super::events::{EventLists, Reading};
use super::line_count::LineCount;
use super::retained::Retained;
use crate::aggregates::Aggregator;

/// What a function is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Kind {
    Match,
    Count,
    Funnel,
    Retention,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Match, Self::Count, Self::Funnel, Self::Retention];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Match => "sequence_match",
            Self::Count => "sequence_count",
            Self::Funnel => "window_funnel",
            Self::Retention => "retention",
        }
    }

    /// ClickHouse's name: as SQL folds it, and in quotes.
    pub(super) fn aliases(self) -> Vec<String> {
        let names: &[&str] = match self {
            Self::Match => &["sequencematch", "sequenceMatch"],
            Self::Count => &["sequencecount", "sequenceCount"],
            Self::Funnel => &["windowfunnel", "windowFunnel"],
            Self::Retention => &[],
        };
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    pub(super) fn returns(self) -> DataType {
        match self {
            Self::Match => DataType::Boolean,
            Self::Count => DataType::Int64,
            Self::Funnel => DataType::Int32,
            Self::Retention => DataType::List(Field::new_list_field(DataType::Int32, true).into()),
        }
    }
}

/// The constants of a call.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Call {
    Match(String),
    Count(String),
    Funnel { window: Window, mode: FunnelMode },
    Retention,
    Lines(Text),
}

/// How long a funnel's window is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Window {
    /// In seconds, or in the unit of a time that is a number.
    Units(i64),
    /// In nanoseconds.
    Nanos(i64),
}

/// A sequence of text, and what is counted.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Text {
    pub(super) sequence: String,
    pub(super) options: TextOptions,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(super) struct TextOptions {
    pub(super) regex: bool,
    pub(super) ignore_case: bool,
    pub(super) counting: Counting,
}

impl TextOptions {
    /// Reads words such as `regex lines`.
    pub(super) fn read(words: &str) -> Result<Self> {
        let mut options = Self::default();
        for word in words.split([' ', ',']).filter(|word| !word.is_empty()) {
            match word {
                "regex" => options.regex = true,
                "ignore_case" => options.ignore_case = true,
                "occurrences" => options.counting = Counting::Occurrences,
                "overlapping" => options.counting = Counting::Overlapping,
                "lines" => options.counting = Counting::Lines,
                _ => {
                    return plan_err!(
                        "a sequence of text has no option '{word}'; there are regex, ignore_case, and one of \
                         occurrences, overlapping and lines"
                    );
                }
            }
        }
        Ok(options)
    }
}

impl Text {
    pub(super) fn sequence(&self) -> Result<Sequence> {
        let (text, TextOptions { regex, ignore_case, .. }) = (&self.sequence, self.options);
        let made = match (regex, ignore_case) {
            (true, _) => Sequence::regex(text, ignore_case),
            (false, false) => Sequence::literal(text),
            (false, true) => Sequence::literal_ignoring_case(text),
        };
        made.map_err(mistake)
    }
}

impl Call {
    /// State over columns of these types.
    pub(super) fn aggregator(&self, types: &[DataType]) -> Result<Box<dyn Aggregator + Sync>> {
        let conditions = types.len().saturating_sub(1);
        Ok(match self {
            Self::Match(text) => {
                let pattern = Pattern::parse(text, conditions, unit(&types[0])).map_err(mistake)?;
                Box::new(EventLists::new(Reading::Match(pattern)))
            }
            Self::Count(text) => {
                let pattern = Pattern::parse(text, conditions, unit(&types[0])).map_err(mistake)?;
                Box::new(EventLists::new(Reading::Count(pattern)))
            }
            Self::Funnel { window, mode } => {
                let window = window.over(&types[0])?;
                let funnel = Funnel::new(window, conditions, *mode).map_err(mistake)?;
                Box::new(EventLists::new(Reading::Funnel(funnel)))
            }
            Self::Retention => Box::new(Retained::new(types.len())),
            Self::Lines(text) => Box::new(LineCount::new(text.sequence()?, text.options.counting)),
        })
    }

    /// The types of the state's columns.
    pub(super) fn state_types(&self) -> Vec<DataType> {
        match self {
            Self::Match(_) | Self::Count(_) | Self::Funnel { .. } => vec![DataType::Binary],
            Self::Retention | Self::Lines(_) => vec![DataType::Int64],
        }
    }
}

impl Window {
    /// In the unit of a time.
    fn over(self, time: &DataType) -> Result<i64> {
        match (self, time) {
            (Self::Units(units), _) => Ok(units.saturating_mul(unit(time))),
            (Self::Nanos(nanos), DataType::Timestamp(..)) => Ok(nanos / (1_000_000_000 / unit(time))),
            (Self::Nanos(_), _) => {
                plan_err!(
                    "the window of window_funnel is an interval, but the time is a number; give a number"
                )
            }
        }
    }
}

/// How many units of a time one second has; a number has no other unit than its own.
fn unit(time: &DataType) -> i64 {
    match time {
        DataType::Timestamp(TimeUnit::Millisecond, _) => 1_000,
        DataType::Timestamp(TimeUnit::Microsecond, _) => 1_000_000,
        DataType::Timestamp(TimeUnit::Nanosecond, _) => 1_000_000_000,
        _ => 1,
    }
}

pub(super) fn mistake(error: headwater_sequences::SequenceError) -> DataFusionError {
    exec_datafusion_err!("{error}")
}
