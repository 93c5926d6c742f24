//! What is committed: a fold over the entries of the manifest.
//!
//! ```json
//! {"format":1,"number":7,"writer":"9f3c..","at":"2026-03-01T10:00:00Z","plan":[{"shard":0,"first":0,"next":12000}]}
//! {"format":1,"number":8,..,"commit":[{"shard":0,"first":0,"next":12000,"files":[{"path":"00000-..parquet",..}]}]}
//! {"format":1,"number":9,..,"plan_merge":{"shard":0,"first":0,"next":48000}}
//! {"format":1,"number":10,..,"merge":{"shard":0,"first":0,"next":48000,"files":[..]}}
//! ```
//!
//! | entry | what it says |
//! |---|---|
//! | `plan` | the next ranges of some shards end here; each starts where the shard's last committed range ends |
//! | `commit` | the files of planned ranges are there, whole |
//! | `plan_merge` | these committed ranges, taken together, are to become one |
//! | `merge` | the files of the merged range are there and take the place of those before, which are removed |
//! | `attach` | from here on the archive is that of the stream created then, behind the committed rows; what was planned is not |

use std::collections::{BTreeMap, BTreeSet};

/// The version of all that is written as JSON.
pub(crate) const FORMAT: u32 = 1;

/// A range of sequence numbers of a shard, `first` to `next`, exclusive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
pub struct Span {
    /// The shard.
    pub shard: u32,
    /// The first row.
    pub first: u64,
    /// The row after the last.
    pub next: u64,
}

/// A file of a range.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct FileInfo {
    /// Its name, relative to the archive's place.
    pub path: String,
    /// How many rows.
    pub rows: u64,
    /// Its length.
    pub bytes: u64,
    /// The CRC-32C of all of it.
    pub crc32c: u32,
    /// Whether its rows are in another order than that of their sequence numbers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sorted: bool,
    /// The smallest and the largest event time, nanoseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_time: Option<(i64, i64)>,
    /// When the first and the last row arrived, nanoseconds since the epoch.
    pub arrival: (i64, i64),
}

/// A range that is committed.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Range {
    /// Which rows.
    #[serde(flatten)]
    pub span: Span,
    /// Where they are: a file for each partition, in the order of their names.
    pub files: Vec<FileInfo>,
}

/// What an entry says.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Act {
    Plan(Vec<Span>),
    Commit(Vec<Range>),
    PlanMerge(Span),
    Merge(Range),
    /// When the stream was created that the archive belongs to from here on, nanoseconds since the epoch.
    Attach(i64),
}

/// An entry of the manifest.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Entry {
    pub format: u32,
    pub number: u64,
    /// Who wrote it: random, one for each time that an archive is opened.
    pub writer: String,
    /// When, by the writer's clock.
    pub at: String,
    #[serde(flatten)]
    pub act: Act,
}

/// What is known of a shard.
#[derive(Clone, PartialEq, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Shard {
    /// The committed ranges: they follow one another without a gap.
    pub ranges: Vec<Range>,
    /// The next range, planned and not committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned: Option<Span>,
    /// Ranges that are to become one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merging: Option<Span>,
}

/// All that the entries come to.
#[derive(Clone, PartialEq, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Manifest {
    pub(crate) format: u32,
    /// The number of the last entry.
    pub(crate) number: u64,
    pub(crate) shards: BTreeMap<u32, Shard>,
    /// When the streams were created that have taken the archive over, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) owners: Vec<i64>,
}

impl Manifest {
    /// The number of the last entry.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The committed ranges of a shard, in order.
    pub fn ranges(&self, shard: u32) -> &[Range] {
        self.shards.get(&shard).map_or(&[], |shard| shard.ranges.as_slice())
    }

    /// All committed ranges, shard by shard.
    pub fn all_ranges(&self) -> impl Iterator<Item = &Range> {
        self.shards.values().flat_map(|shard| &shard.ranges)
    }

    /// All committed files.
    pub fn files(&self) -> impl Iterator<Item = &FileInfo> {
        self.all_ranges().flat_map(|range| &range.files)
    }

    /// Where a shard's committed rows begin and end, if there are any.
    pub fn bounds(&self, shard: u32) -> Option<(u64, u64)> {
        let ranges = self.ranges(shard);
        Some((ranges.first()?.span.first, ranges.last()?.span.next))
    }

    /// The range that is planned for a shard.
    pub(crate) fn planned(&self, shard: u32) -> Option<Span> {
        self.shards.get(&shard)?.planned
    }

    /// The range of a shard that holds a row.
    pub(crate) fn range_of(&self, shard: u32, sequence: u64) -> Option<&Range> {
        let ranges = self.ranges(shard);
        let index = ranges.partition_point(|range| range.span.next <= sequence);
        ranges.get(index).filter(|range| range.span.first <= sequence)
    }

    /// The names that are in use, or may come into use by what is planned.
    pub(crate) fn in_use(&self) -> (BTreeSet<&str>, BTreeSet<Span>) {
        let files = self.files().map(|file| file.path.as_str()).collect();
        let spans = self.shards.values().flat_map(|shard| [shard.planned, shard.merging]).flatten();
        (files, spans.collect())
    }

    /// Whether an entry's act follows from this; if not, why.
    pub(crate) fn check(&self, act: &Act) -> Result<(), String> {
        match act {
            Act::Plan(spans) => spans.iter().try_for_each(|span| self.check_plan(span)),
            Act::Commit(ranges) => ranges.iter().try_for_each(|range| {
                if self.planned(range.span.shard) != Some(range.span) {
                    return Err(format!("{:?} was not planned", range.span));
                }
                check_files(range)
            }),
            Act::Attach(created) if self.owners.last() == Some(created) => {
                Err("the stream has the archive already".to_owned())
            }
            Act::Attach(_) => Ok(()),
            Act::PlanMerge(span) => {
                let shard = self.shards.get(&span.shard).ok_or("a shard without ranges is to be merged")?;
                let within = merged(&shard.ranges, span);
                if within.is_empty() {
                    return Err(format!("{span:?} does not begin and end with committed ranges"));
                }
                match shard.merging {
                    Some(other) => Err(format!("{other:?} is being merged already")),
                    None => Ok(()),
                }
            }
            Act::Merge(range) => {
                let merging = self.shards.get(&range.span.shard).and_then(|shard| shard.merging);
                if merging != Some(range.span) {
                    return Err(format!("{:?} was not to be merged", range.span));
                }
                check_files(range)
            }
        }
    }

    fn check_plan(&self, span: &Span) -> Result<(), String> {
        if span.first >= span.next {
            return Err(format!("{span:?} is empty"));
        }
        if let Some(other) = self.planned(span.shard) {
            return Err(format!("{other:?} is planned already"));
        }
        match self.bounds(span.shard) {
            Some((_, next)) if next != span.first => Err(format!("{span:?} does not begin at {next}")),
            _ => Ok(()),
        }
    }

    /// Applies the next entry.
    pub(crate) fn apply(&mut self, entry: &Entry) -> Result<(), String> {
        if entry.format != FORMAT {
            return Err(format!("format {} is not known; a newer Headwater may read it", entry.format));
        }
        if entry.number != self.number + 1 {
            return Err(format!("entry {} does not follow {}", entry.number, self.number));
        }
        self.check(&entry.act)?;
        match &entry.act {
            Act::Plan(spans) => {
                for span in spans {
                    self.shards.entry(span.shard).or_default().planned = Some(*span);
                }
            }
            Act::Commit(ranges) => {
                for range in ranges {
                    let shard = self.shards.entry(range.span.shard).or_default();
                    shard.planned = None;
                    shard.ranges.push(range.clone());
                }
            }
            Act::Attach(created) => {
                // The rows of these are gone with the stream that had them.
                self.shards.values_mut().for_each(|shard| shard.planned = None);
                self.owners.push(*created);
            }
            Act::PlanMerge(span) => self.shards.entry(span.shard).or_default().merging = Some(*span),
            Act::Merge(range) => {
                let shard = self.shards.entry(range.span.shard).or_default();
                let within = merged(&shard.ranges, &range.span);
                shard.ranges.splice(within, [range.clone()]);
                shard.merging = None;
            }
        }
        self.format = FORMAT;
        self.number = entry.number;
        Ok(())
    }
}

/// Which of a shard's ranges make up a span; none if it does not begin and end with ranges.
pub(crate) fn merged(ranges: &[Range], span: &Span) -> std::ops::Range<usize> {
    let from = ranges.partition_point(|range| range.span.first < span.first);
    let to = ranges.partition_point(|range| range.span.next <= span.next);
    let fits = from < to && ranges[from].span.first == span.first && ranges[to - 1].span.next == span.next;
    if fits { from..to } else { 0..0 }
}

fn check_files(range: &Range) -> Result<(), String> {
    let rows: u64 = range.files.iter().map(|file| file.rows).sum();
    let expected = range.span.next - range.span.first;
    if rows != expected {
        return Err(format!("the files of {:?} hold {rows} rows instead of {expected}", range.span));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(first: u64, next: u64) -> Span {
        Span { shard: 0, first, next }
    }

    fn range(first: u64, next: u64) -> Range {
        let file = FileInfo {
            path: crate::layout::file(&span(first, next), ""),
            rows: next - first,
            bytes: 1,
            crc32c: 0,
            sorted: false,
            event_time: None,
            arrival: (0, 0),
        };
        Range { span: span(first, next), files: vec![file] }
    }

    fn apply(manifest: &mut Manifest, act: Act) -> Result<(), String> {
        let number = manifest.number + 1;
        manifest.apply(&Entry { format: FORMAT, number, writer: String::new(), at: String::new(), act })
    }

    #[test]
    fn ranges_follow_one_another() {
        let mut manifest = Manifest::default();
        apply(&mut manifest, Act::Plan(vec![span(5, 9)])).unwrap();
        assert!(apply(&mut manifest, Act::Plan(vec![span(5, 9)])).unwrap_err().contains("planned already"));
        assert!(apply(&mut manifest, Act::Commit(vec![range(5, 8)])).unwrap_err().contains("not planned"));
        apply(&mut manifest, Act::Commit(vec![range(5, 9)])).unwrap();
        assert!(apply(&mut manifest, Act::Plan(vec![span(8, 12)])).unwrap_err().contains("begin at 9"));
        apply(&mut manifest, Act::Plan(vec![span(9, 12)])).unwrap();
        let mut short = range(9, 12);
        short.files[0].rows = 2;
        assert!(apply(&mut manifest, Act::Commit(vec![short])).unwrap_err().contains("2 rows instead of 3"));
        apply(&mut manifest, Act::Commit(vec![range(9, 12)])).unwrap();
        assert_eq!((manifest.bounds(0), manifest.bounds(1)), (Some((5, 12)), None));
        assert_eq!(manifest.range_of(0, 9).map(|range| range.span), Some(span(9, 12)));
        assert_eq!((manifest.range_of(0, 4), manifest.range_of(0, 12)), (None, None));
    }

    #[test]
    fn ranges_are_merged_at_their_borders() {
        let mut manifest = Manifest::default();
        for (first, next) in [(0, 2), (2, 4), (4, 7), (7, 9)] {
            apply(&mut manifest, Act::Plan(vec![span(first, next)])).unwrap();
            apply(&mut manifest, Act::Commit(vec![range(first, next)])).unwrap();
        }
        assert!(apply(&mut manifest, Act::PlanMerge(span(1, 7))).is_err());
        assert!(apply(&mut manifest, Act::PlanMerge(span(2, 8))).is_err());
        apply(&mut manifest, Act::PlanMerge(span(2, 7))).unwrap();
        assert!(apply(&mut manifest, Act::PlanMerge(span(7, 9))).is_err());
        assert!(apply(&mut manifest, Act::Merge(range(0, 9))).is_err());
        apply(&mut manifest, Act::Merge(range(2, 7))).unwrap();
        let spans: Vec<_> = manifest.ranges(0).iter().map(|range| range.span).collect();
        assert_eq!(spans, [span(0, 2), span(2, 7), span(7, 9)]);
        let text = serde_json::to_string(&manifest).unwrap();
        assert_eq!(serde_json::from_str::<Manifest>(&text).unwrap(), manifest);
    }
}
