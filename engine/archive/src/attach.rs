//! Takes over the archive of a stream that is gone: its data directory was lost, what it had archived is there.
//!
//! ```text
//!  archive  |== 0..100 ==|== 100..220 ==|- planned: dropped -|   attach: from here on it is the new stream's
//!  log                                  220 begin_at ======> next
//! ```
//!
//! First an entry of the manifest says whose the archive is from now on, so that nobody else adds to it; then the shards of the log begin
//! where the archive's rows end. If the process ends in between, the same call goes on.

use headwater_core::{Sequence, ShardId, World};
use headwater_log::{Log, StreamInfo};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};

use crate::error::{ArchiveError, Result};
use crate::identity::Identity;
use crate::layout::{self, ARRIVAL, SEQUENCE, SHARD};
use crate::ledger::Ledger;
use crate::manifest::{Act, Manifest, Span};
use crate::place::Place;
use crate::reader::fetch_footer;
use crate::settings::Settings;

/// Makes a stream without rows the one that the archive at a place belongs to; it goes on behind the rows that are committed there.
pub(crate) async fn attach(
    world: &World,
    log: &dyn Log,
    info: &StreamInfo,
    place: &Place,
    settings: &Settings,
) -> Result<()> {
    let own = Identity::of(info, settings.partition);
    let found = Identity::read(place).await?;
    let mut ledger = Ledger::open(world, place.clone()).await?;
    let foreign = |reason| ArchiveError::Foreign { place: place.shown().to_owned(), reason };
    if let Some(difference) = found.difference(&own) {
        return Err(foreign(format!("the archive there cannot be attached: {difference}")));
    }
    if let Some(difference) = columns_differ(place, ledger.manifest(), info).await? {
        return Err(foreign(format!("the archive there cannot be attached: {difference}")));
    }
    let mut planned: Vec<Span> = Vec::new();
    while found.as_of(ledger.manifest()) != own {
        check_empty(log, info)?;
        planned = (0..info.spec.shards).filter_map(|shard| ledger.manifest().planned(shard)).collect();
        ledger.append(world, Act::Attach(own.created)).await?;
    }
    remove_unfinished(place, ledger.manifest(), &planned).await?;
    for (shard, bounds) in (0..).zip(log.bounds(info.id)?) {
        let archived = ledger.manifest().bounds(shard).map(|(_, next)| next);
        if let Some(next) = archived.filter(|next| bounds.next.0 < *next) {
            log.begin_at(info.id, ShardId(shard), Sequence(next))?;
        }
    }
    Ok(())
}

/// Rows of its own would have the numbers of the archive's.
fn check_empty(log: &dyn Log, info: &StreamInfo) -> Result<()> {
    let bounds = log.bounds(info.id)?;
    let Some((shard, bounds)) = (0..).zip(bounds).find(|(_, bounds)| bounds.next > Sequence::ZERO) else {
        return Ok(());
    };
    let reason = format!(
        "it has had rows of its own, up to {}; only a stream without any can go on behind the rows of an archive: create it anew",
        bounds.next
    );
    Err(ArchiveError::Apart { stream: info.spec.name.to_string(), shard, reason })
}

/// How the columns of the newest files differ from the stream's, so that both could not be read as one table.
async fn columns_differ(place: &Place, manifest: &Manifest, info: &StreamInfo) -> Result<Option<String>> {
    let own = &info.spec.schema;
    for shard in 0..info.spec.shards {
        let Some(file) = manifest.ranges(shard).last().and_then(|range| range.files.first()) else {
            continue;
        };
        let footer = fetch_footer(place, file).await?;
        let metadata = ArrowReaderMetadata::try_new(footer, ArrowReaderOptions::new())?;
        let theirs = metadata.schema();
        for field in theirs.fields() {
            let name = field.name().as_str();
            if [SHARD, SEQUENCE, ARRIVAL].contains(&name) {
                continue;
            }
            match own.field_with_name(name) {
                Ok(ours) if ours.data_type() == field.data_type() => {}
                Ok(ours) => {
                    let (ours, theirs) = (ours.data_type(), field.data_type());
                    return Ok(Some(format!("its column {name} is {theirs}, that of the stream is {ours}")));
                }
                Err(_) => return Ok(Some(format!("the stream has no column {name}, as its rows have"))),
            }
        }
        let lacks = |name: &str| theirs.index_of(name).is_err();
        if let Some(field) = own.fields().iter().find(|field| !field.is_nullable() && lacks(field.name())) {
            return Ok(Some(format!("its rows have no column {}, which must not be NULL", field.name())));
        }
    }
    Ok(None)
}

/// Removes files of ranges that were planned and never committed: their names may come to be used for other rows.
async fn remove_unfinished(place: &Place, manifest: &Manifest, planned: &[Span]) -> Result<()> {
    if planned.is_empty() {
        return Ok(());
    }
    let (files, _) = manifest.in_use();
    for (name, _) in place.list("").await? {
        let is_planned = layout::parse_file(&name).is_some_and(|(span, _)| planned.contains(&span));
        if is_planned && !files.contains(name.as_str()) {
            place.remove(&name).await?;
        }
    }
    Ok(())
}
