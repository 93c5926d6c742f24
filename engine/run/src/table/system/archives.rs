//! `system.archives` and `system.archive_files`: how archives do, and what they have.

use std::sync::Arc;

use headwater_core::EventTime;

use super::{Columns, number, small, text, time};
use crate::engine::Inner;

pub(super) fn archives(inner: &Arc<Inner>) -> Columns {
    let all = inner.archive_statuses();
    Columns(vec![
        ("name", text(&all, |(name, _)| Some(name.clone()))),
        ("stream", text(&all, |(_, status)| Some(status.stream.clone()))),
        ("place", text(&all, |(_, status)| Some(status.place.clone()))),
        ("state", text(&all, |(_, status)| Some(status.state))),
        ("ranges", number(&all, |(_, status)| Some(status.ranges))),
        ("files", number(&all, |(_, status)| Some(status.files))),
        ("rows", number(&all, |(_, status)| Some(status.rows))),
        ("bytes", number(&all, |(_, status)| Some(status.bytes))),
        ("lag", number(&all, |(_, status)| Some(status.lag))),
        ("committed", time(&all, |(_, status)| status.committed)),
        ("upload_file", text(&all, |(_, status)| status.upload.as_ref().map(|upload| upload.0.clone()))),
        ("upload_bytes", number(&all, |(_, status)| status.upload.as_ref().map(|upload| upload.1))),
        ("upload_total", number(&all, |(_, status)| status.upload.as_ref().map(|upload| upload.2))),
        ("parts_resumed", number(&all, |(_, status)| Some(status.parts_resumed))),
        ("retries", small(&all, |(_, status)| status.retries)),
        ("last_error", text(&all, |(_, status)| status.last_error.clone())),
    ])
}

pub(super) fn archive_files(inner: &Arc<Inner>) -> Columns {
    let mut all = Vec::new();
    for (name, archive) in inner.archives() {
        // An archive that cannot be reached shows in system.archives.
        let Ok(manifest) = archive.manifest() else { continue };
        for range in manifest.all_ranges() {
            all.extend(range.files.iter().map(|file| (name.clone(), range.span, file.clone())));
        }
    }
    Columns(vec![
        ("archive", text(&all, |(name, ..)| Some(name.clone()))),
        ("shard", small(&all, |(_, span, _)| span.shard)),
        ("first_sequence", number(&all, |(_, span, _)| Some(span.first))),
        ("next_sequence", number(&all, |(_, span, _)| Some(span.next))),
        ("path", text(&all, |(.., file)| Some(file.path.clone()))),
        ("rows", number(&all, |(.., file)| Some(file.rows))),
        ("bytes", number(&all, |(.., file)| Some(file.bytes))),
        ("event_time_min", time(&all, |(.., file)| file.event_time.map(|times| EventTime(times.0)))),
        ("event_time_max", time(&all, |(.., file)| file.event_time.map(|times| EventTime(times.1)))),
        ("arrival_min", time(&all, |(.., file)| Some(EventTime(file.arrival.0)))),
        ("arrival_max", time(&all, |(.., file)| Some(EventTime(file.arrival.1)))),
    ])
}
