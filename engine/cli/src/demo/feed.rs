//! Sends the stations and the year to the server, over HTTP, as any device would.

use anyhow::{Context, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;

use super::year::{STATIONS, Year};
use crate::client::Client;

#[derive(Deserialize)]
struct Report {
    accepted: u64,
    dead_lettered: u64,
}

#[derive(Deserialize)]
struct Stream {
    shards: Vec<Shard>,
}

#[derive(Deserialize)]
struct Shard {
    next: u64,
}

/// What was sent.
pub(crate) struct Fed {
    /// Readings that are in the stream now.
    pub accepted: u64,
    /// Readings that are among the dead letters.
    pub dead_lettered: u64,
    /// Readings that were there before, from a run that was broken off.
    pub there_before: u64,
}

/// Registers the stations and replays the year. What an earlier run has sent is not sent again: a day is one
/// append, whole or not at all, so that the rows in the stream say where to go on.
pub(crate) async fn feed(client: &Client, year: &Year) -> Result<Fed> {
    register_stations(client).await?;
    let there_before = rows_of(client, "weather").await?;
    let mut fed = Fed { accepted: 0, dead_lettered: 0, there_before };
    let mut to_skip = there_before;

    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} readings, {per_sec}");
    let bar =
        ProgressBar::new(year.readings()).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    for day in &year.days {
        bar.set_message(day.date.clone());
        bar.inc(day.readings);
        if to_skip >= day.readings {
            to_skip -= day.readings;
            continue;
        }
        let key = format!("demo-{}", day.date);
        let report = append(client, "weather", day.lines.clone(), &key).await?;
        fed.accepted += report.accepted;
        fed.dead_lettered += report.dead_lettered;
    }
    bar.finish_and_clear();
    Ok(fed)
}

async fn register_stations(client: &Client) -> Result<()> {
    let line = |(origin, name, lat, lon)| serde_json::json!({"origin": origin, "name": name, "lat": lat, "lon": lon});
    let lines: String = STATIONS.map(|station| format!("{}\n", line(station))).concat();
    append_once(client, "stations", lines).await
}

/// Appends all rows of a stream, unless an earlier run has: it is one append, whole or not at all.
pub(super) async fn append_once(client: &Client, stream: &str, lines: String) -> Result<()> {
    if rows_of(client, stream).await? > 0 {
        return Ok(());
    }
    let rows = lines.lines().count() as u64;
    let report = append(client, stream, lines, &format!("demo-{stream}")).await?;
    ensure!(report.accepted == rows, "only {} of {rows} {stream} were accepted", report.accepted);
    Ok(())
}

async fn append(client: &Client, stream: &str, lines: String, key: &str) -> Result<Report> {
    let request = client.post(&["v1", "streams", stream])?;
    let request =
        request.header("content-type", "application/x-ndjson").header("idempotency-key", key).body(lines);
    client.send(request).await?.json().await.context("the server's answer to an append")
}

/// How many rows a stream has ever got.
async fn rows_of(client: &Client, stream: &str) -> Result<u64> {
    let response = client.send(client.get(&["v1", "streams", stream])?).await?;
    let stream: Stream = response.json().await.context("the server's description of a stream")?;
    Ok(stream.shards.iter().map(|shard| shard.next).sum())
}
