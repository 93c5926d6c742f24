//! Reads a whole archive and says what is wrong with it.

use std::collections::BTreeMap;

use bytes::Bytes;
use headwater_core::World;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::encode::{crc32c, sequences};
use crate::error::Result;
use crate::identity::Identity;
use crate::layout;
use crate::ledger::Ledger;
use crate::manifest::{FileInfo, Manifest, Range, Span};
use crate::place::Place;
use crate::upload::about_of;

/// What a check found.
#[derive(Clone, Debug, Default)]
pub struct Verified {
    /// Committed ranges.
    pub ranges: u64,
    /// Committed files.
    pub files: u64,
    /// Committed rows.
    pub rows: u64,
    /// Committed bytes.
    pub bytes: u64,
    /// What is wrong.
    pub problems: Vec<String>,
    /// Files of ranges that are planned and not committed: whoever archives next goes on with them.
    pub unfinished: Vec<String>,
    /// Files that nothing names: `compact` removes them.
    pub leftovers: Vec<String>,
}

/// Reads everything that is committed: every file is there, whole, and each row of each range is in it once.
pub async fn verify(world: &World, place: &Place) -> Result<Verified> {
    let whose = Identity::read(place).await?;
    let ledger = Ledger::open(world, place.clone()).await?;
    let manifest = ledger.manifest();
    let mut verified = Verified::default();
    for range in manifest.all_ranges() {
        verified.ranges += 1;
        verified.files += range.files.len() as u64;
        verified.bytes += range.files.iter().map(|file| file.bytes).sum::<u64>();
        verified.rows += range.span.next - range.span.first;
        check_range(place, (&whose, manifest), range, &mut verified.problems).await?;
    }
    let (files, spans) = manifest.in_use();
    for (name, _) in place.list("").await? {
        let Some((span, _)) = layout::parse_file(&name) else { continue };
        if files.contains(name.as_str()) {
            continue;
        }
        let unfinished = spans.contains(&span);
        if unfinished { &mut verified.unfinished } else { &mut verified.leftovers }.push(name);
    }
    Ok(verified)
}

async fn check_range(
    place: &Place,
    whose: (&Identity, &Manifest),
    range: &Range,
    problems: &mut Vec<String>,
) -> Result<()> {
    let mut seen: BTreeMap<i64, u32> = BTreeMap::new();
    let before = problems.len();
    for file in &range.files {
        let Some(bytes) = place.get(&file.path).await? else {
            problems.push(format!("{} is missing", place.show(&file.path)));
            continue;
        };
        if let Err(reason) = check_file(whose, &range.span, file, bytes, &mut seen) {
            problems.push(format!("{}: {reason}", place.show(&file.path)));
        }
    }
    let dense = seen.keys().copied().eq(range.span.first as i64..range.span.next as i64);
    if problems.len() == before && !(dense && seen.values().all(|times| *times == 1)) {
        let Span { shard, first, next } = range.span;
        problems
            .push(format!("shard {shard}: the files of rows {first} to {next} do not hold each row once"));
    }
    Ok(())
}

fn check_file(
    whose: (&Identity, &Manifest),
    span: &Span,
    file: &FileInfo,
    bytes: Bytes,
    seen: &mut BTreeMap<i64, u32>,
) -> std::result::Result<(), String> {
    let (length, crc) = (bytes.len() as u64, crc32c(&bytes));
    if (length, crc) != (file.bytes, file.crc32c) {
        return Err(format!(
            "it has {length} bytes with the checksum {crc:08x}, {} with {:08x} were committed",
            file.bytes, file.crc32c
        ));
    }
    let (about, rows) = about_of(&bytes)?;
    let (identity, manifest) = whose;
    if !identity.wrote(manifest, &about.stream, about.created) {
        return Err(format!("it is of another stream, {}", about.stream));
    }
    if about.span != *span || rows != file.rows {
        return Err(format!(
            "it says that it holds {rows} rows of {:?}, committed were {} of {span:?}",
            about.span, file.rows
        ));
    }
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|error| error.to_string())?;
    for batch in reader.build().map_err(|error| error.to_string())? {
        let batch = batch.map_err(|error| error.to_string())?;
        let sequences = sequences(&batch).ok_or("it has no column _sequence")?;
        for sequence in sequences.values() {
            *seen.entry(*sequence).or_default() += 1;
        }
    }
    Ok(())
}
