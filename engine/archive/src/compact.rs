//! Merges small ranges that follow one another into larger ones, and removes what nothing names.
//!
//! A merge is planned, written and committed like a range, so it may be broken off anywhere and gone on with by whoever comes
//! next. The files before it are removed a while after it is committed, as a server reads by a manifest that it has read before.
//! Readers that go by the manifest see each row once at any time; those that take whatever files lie there should not read meanwhile.

use std::time::Duration;

use headwater_core::World;

use crate::encode::{About, encode};
use crate::error::{ArchiveError, Result};
use crate::identity::Identity;
use crate::layout;
use crate::ledger::Ledger;
use crate::manifest::{Act, Range, Span, merged};
use crate::place::Place;
use crate::reader::{fetch_footer, read_whole};
use crate::settings::Settings;
use crate::upload::{Progress, put_file};

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// How many merges.
    pub merges: u64,
    /// Committed files before.
    pub files_before: u64,
    /// Committed files after.
    pub files_after: u64,
    /// Objects that were removed: merged files, leftovers, old entries of the manifest.
    pub removed: u64,
}

/// How long files that were merged are to lie there for a server that reads meanwhile: it looks for a newer manifest every half minute, and
/// queries go on for a while by the one that they began with.
pub const GRACE: Duration = Duration::from_secs(120);

/// Merges ranges as long as a merged one has at most so many bytes, and removes what is no longer needed, after `grace`. A grace needs a
/// runtime of tokio's.
pub async fn compact(world: &World, place: &Place, bytes_max: u64, grace: Duration) -> Result<Compacted> {
    let whose = Identity::read(place).await?;
    let mut ledger = Ledger::open(world, place.clone()).await?;
    let mut done =
        Compacted { files_before: ledger.manifest().files().count() as u64, ..Compacted::default() };
    loop {
        if let Some(span) = ledger.manifest().shards.values().find_map(|shard| shard.merging) {
            done.merges += u64::from(merge(world, &mut ledger, &whose, span).await?);
            continue;
        }
        let shards = ledger.manifest().shards.values();
        let Some(span) = shards.into_iter().find_map(|shard| next_merge(&shard.ranges, bytes_max)) else {
            break;
        };
        // Whether it was us or somebody else who planned: the plan is followed.
        ledger.append(world, Act::PlanMerge(span)).await?;
    }
    if !grace.is_zero() && !unnamed(&mut ledger).await?.is_empty() {
        tokio::time::sleep(grace).await;
    }
    done.removed = sweep(&mut ledger).await?;
    done.files_after = ledger.manifest().files().count() as u64;
    Ok(done)
}

/// The first ranges that follow one another and together are not too large.
fn next_merge(ranges: &[Range], bytes_max: u64) -> Option<Span> {
    let size = |range: &Range| range.files.iter().map(|file| file.bytes).sum::<u64>();
    let mut from = 0;
    let mut bytes = 0;
    for (at, range) in ranges.iter().enumerate() {
        bytes += size(range);
        if bytes > bytes_max {
            if at - from >= 2 {
                return Some(Span { next: ranges[at - 1].span.next, ..ranges[from].span });
            }
            (from, bytes) = (at, size(range));
        }
    }
    let last = ranges.last()?;
    (ranges.len() - from >= 2 && bytes <= bytes_max)
        .then(|| Span { next: last.span.next, ..ranges[from].span })
}

/// Does a merge that is planned. `false` if somebody else did it meanwhile.
async fn merge(world: &World, ledger: &mut Ledger, whose: &Identity, span: Span) -> Result<bool> {
    let place = ledger.place().clone();
    let all = ledger.manifest().ranges(span.shard);
    let ranges = all[merged(all, &span)].to_vec();
    let (rows, settings) = match read(&place, &ranges).await {
        // Merged and removed by somebody else.
        Err(ArchiveError::Store { cause, .. })
            if matches!(*cause, object_store::Error::NotFound { .. }) && ledger.refresh().await? =>
        {
            return Ok(false);
        }
        read => read?,
    };
    let about =
        About { stream: whose.stream.clone(), created: whose.created, span, settings: settings.remembered() };
    let mut files = Vec::new();
    for file in encode(rows, &span, whose, &settings)? {
        files.push(put_file(&place, file, &about, settings.part_bytes, &Progress::default()).await?);
    }
    ledger.append(world, Act::Merge(Range { span, files })).await
}

async fn read(place: &Place, ranges: &[Range]) -> Result<(arrow::array::RecordBatch, Settings)> {
    let rows = read_whole(place, ranges).await?;
    let newest = ranges.iter().rev().find_map(|range| range.files.first());
    let Some(newest) = newest else { return Ok((rows, Settings::default())) };
    let footer = fetch_footer(place, newest).await?;
    let pairs = footer.file_metadata().key_value_metadata();
    let about = pairs.into_iter().flatten().find(|pair| pair.key == crate::encode::ABOUT);
    let about = about.and_then(|pair| serde_json::from_str::<About>(pair.value.as_deref()?).ok());
    let about =
        about.ok_or_else(|| ArchiveError::damaged(place.show(&newest.path), "it does not say what it is"))?;
    Ok((rows, Settings::recall(about.settings)))
}

/// Removes files that nothing names, and entries of the manifest that snapshots cover.
async fn sweep(ledger: &mut Ledger) -> Result<u64> {
    let names = unnamed(ledger).await?;
    for name in &names {
        ledger.place().remove(name).await?;
    }
    Ok(names.len() as u64 + ledger.trim().await?)
}

/// The files that nothing names.
async fn unnamed(ledger: &mut Ledger) -> Result<Vec<String>> {
    let names = ledger.place().list("").await?;
    // What was planned or committed while the names were listed is named.
    ledger.refresh().await?;
    let (files, spans) = ledger.manifest().in_use();
    let is_unnamed = |name: &String| {
        let span = layout::parse_file(name).map(|(span, _)| span);
        span.is_some_and(|span| !files.contains(name.as_str()) && !spans.contains(&span))
    };
    Ok(names.into_iter().map(|(name, _)| name).filter(is_unnamed).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::FileInfo;

    fn ranges(sizes: &[u64]) -> Vec<Range> {
        let range = |(at, bytes): (u64, &u64)| {
            let span = Span { shard: 0, first: at * 10, next: at * 10 + 10 };
            let file = FileInfo {
                path: String::new(),
                rows: 10,
                bytes: *bytes,
                crc32c: 0,
                sorted: false,
                event_time: None,
                arrival: (0, 0),
            };
            Range { span, files: vec![file] }
        };
        (0..).zip(sizes).map(range).collect()
    }

    #[test]
    fn small_neighbours_are_merged() {
        let next =
            |sizes: &[u64]| next_merge(&ranges(sizes), 100).map(|span| (span.first / 10, span.next / 10));
        assert_eq!(next(&[]), None);
        assert_eq!(next(&[10]), None);
        assert_eq!(next(&[10, 20]), Some((0, 2)));
        assert_eq!(next(&[90, 20, 70, 60]), Some((1, 3)));
        assert_eq!(next(&[200, 90, 60]), None);
        assert_eq!(next(&[200, 10, 20]), Some((1, 3)));
    }
}
